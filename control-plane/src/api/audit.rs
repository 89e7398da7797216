//! `/api/v1/audit`: what was changed, and which calls were made. It is read here, and nothing edits it: records of
//! changes are written with the change itself, those of calls come from the proxies.

pub(crate) mod calls;
mod export;
pub(crate) mod list;

use super::error::ApiError;
use super::input::Page;
use crate::App;
use crate::store::search::{Search, Searched};
use axum::Json;

/// Bytes that a value to search for may have; names and ids are shorter.
const VALUE_LEN_MAX: usize = 255;

/// A value to search for, as it must be.
fn value(field: &str, value: Option<String>) -> Result<Option<String>, ApiError> {
    match value {
        Some(value) if value.len() > VALUE_LEN_MAX || value.contains(char::is_control) => Err(ApiError::BadRequest(
            format!("{field} must have at most {VALUE_LEN_MAX} bytes and no control characters."),
        )),
        value => Ok(value),
    }
}

/// The page after this row.
async fn page<E: Searched, V>(
    app: &App,
    search: &Search<E>,
    after: Option<i64>,
    limit: u64,
    view: impl Fn(E::Model) -> Result<V, ApiError>,
) -> Result<Json<Page<V>>, ApiError> {
    let place = match after {
        None => None,
        Some(id) => match Search::<E>::place_of(&app.store.db, id).await? {
            None => return Ok(Json(Page::new(Vec::new(), None))),
            place => place,
        },
    };
    let found = search.page(&app.store.db, place, limit).await?;
    let items = found.rows.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(Page::new(items, found.next.map(|place| place.id))))
}
