//! Lists that other products give whole: a JSON array of any length, in as much memory as a page of it.

use crate::App;
use crate::api::error::ApiError;
use crate::api::tokens::rows::{self, Row};
use crate::store::tokens::filter::Filter;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;

/// Tokens that are read at a time.
const ROWS: u64 = 1000;

/// The tokens that a filter finds, as an array. The first page is read before anything is answered, so that what is wrong by
/// then is a refusal like any other; later an error breaks the connection, so that nobody takes what came for the whole.
pub(super) async fn array<V: Serialize + 'static>(
    app: Arc<App>,
    filter: Filter,
    view: fn(Row) -> Result<V, ApiError>,
) -> Result<Response, ApiError> {
    let (rows, next) = rows::page(&app.store.db, &filter, None, ROWS).await?;
    let (mut begin, mut separator) = (b"[".to_vec(), "");
    append(&mut begin, &mut separator, rows, view)?;
    let rest = stream::try_unfold(next.map(|next| (next, separator)), move |place| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some((place, mut separator)) = place else {
                return Ok(None);
            };
            let page = async {
                let (rows, next) = rows::page(&app.store.db, &filter, Some(place), ROWS).await?;
                let mut text = Vec::new();
                append(&mut text, &mut separator, rows, view)?;
                Ok::<_, ApiError>((Bytes::from(text), next.map(|next| (next, separator))))
            };
            page.await.map(Some).map_err(|error| {
                tracing::error!(?error, "a list broke off");
                Box::<dyn Error + Send + Sync>::from("a list broke off")
            })
        }
    });
    let end = stream::once(ready(Ok(Bytes::from_static(b"]"))));
    let body = stream::once(ready(Ok(Bytes::from(begin)))).chain(rest).chain(end);
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
}

/// Writes rows as further elements of an array.
fn append<V: Serialize>(
    text: &mut Vec<u8>,
    separator: &mut &'static str,
    rows: Vec<Row>,
    view: fn(Row) -> Result<V, ApiError>,
) -> Result<(), ApiError> {
    for row in rows {
        text.extend_from_slice(separator.as_bytes());
        *separator = ",";
        serde_json::to_writer(&mut *text, &view(row)?).map_err(|error| ApiError::Internal(Box::new(error)))?;
    }
    Ok(())
}
