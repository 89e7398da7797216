//! `GET …/get`: a page of tokens: sysadmins see everyone's, everybody else their own; in standard mode with one's own tokens
//! themselves.

use super::element::{self, Element};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::listing;
use crate::api::input::Params;
use crate::api::tokens::rows;
use crate::permission::{Action, Whose as Relation};
use crate::store::tokens;
use crate::store::tokens::filter::Whose;
use crate::store::tokens::filter::numbered::{self, COUNTED_MAX};
use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Tokens of a page if nobody says otherwise, as the other product has it, and at most.
const PAGE_ROWS: u64 = 50;
const PAGE_ROWS_MAX: u64 = 1000;

/// Tokens that are in memory at a time: each may have 64 KiB of restrictions.
const ROWS: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    start_at: u64,
    #[serde(default)]
    max_results: u64,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(Page { start_at, max_results }): Params<Page>,
) -> Result<Response, ApiError> {
    if start_at > COUNTED_MAX {
        let most = format!("startAt must be at most {COUNTED_MAX}; GET /api/v1/tokens lists any number of API tokens.");
        return Err(ApiError::BadRequest(most));
    }
    let max_results = if max_results == 0 { PAGE_ROWS } else { max_results.min(PAGE_ROWS_MAX) };
    let (db, whose) = (&app.store.db, whose(&caller)?);
    let total = match numbered::count(db, whose).await? {
        all if all <= COUNTED_MAX => all,
        _ => COUNTED_MAX.max(start_at + max_results) + 1,
    };
    let ids = numbered::page(db, whose, start_at, max_results).await?;
    let (shown, caller) = shown(&app, caller, &ids).await?;
    let pages = total.div_ceil(max_results);
    let begin = format!(
        r#"{{"total":{total},"pages":{pages},"maxResults":{max_results},"startAt":{start_at},"status":"ok","tokens":["#
    );
    let parts: Vec<Vec<i64>> = ids.chunks(ROWS).map(<[i64]>::to_vec).collect();
    let known = Arc::new((app, caller, shown));
    let parts = stream::iter(parts).then(move |ids| part(known.clone(), ids));
    listing::values(begin, parts, "]}").await
}

/// Whose tokens the caller sees.
fn whose(caller: &Caller) -> Result<Whose, ApiError> {
    if caller.may(Action::ListTokens, Relation::Others).is_ok() {
        return Ok(Whose::Any);
    }
    caller.may(Action::ListTokens, Relation::Own)?;
    Ok(Whose::Of(caller.user.id))
}

/// Tokens themselves, by their numbers.
type Shown = HashMap<i64, Zeroizing<Vec<u8>>>;

async fn part(known: Arc<(Arc<App>, Caller, Shown)>, ids: Vec<i64>) -> Result<Vec<Element>, ApiError> {
    let (app, caller, shown) = &*known;
    let rows = rows::of(&app.store.db, &ids).await?;
    let mut makers = element::makers(&app.store.db, caller, &rows).await?;
    let elements = rows.into_iter().map(|row| {
        let maker = makers.remove(&row.token.public_id);
        // The third place where a token leaves the program: to its owner, who had it from the first.
        let token = shown.get(&row.token.id).map(|token| String::from_utf8_lossy(token).into_owned());
        Element::new(row, maker, token.map(Zeroizing::new))
    });
    elements.collect()
}

/// The caller's own among these tokens, as far as they are shown again, which the audit has by then; and the caller as it is
/// now.
async fn shown(app: &App, caller: Caller, ids: &[i64]) -> Result<(Shown, Caller), ApiError> {
    // Whoever came in the owner's name is somebody else all the same (S6).
    if app.secure_mode || caller.is_on_behalf() || !tokens::has_copies(&app.store.db, caller.user.id, ids).await? {
        return Ok((Shown::new(), caller));
    }
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::RevealToken, Relation::Own)?;
    let shown = change.reveal_tokens_of(&permit, caller.user.id, ids).await?;
    change.commit().await?;
    Ok((shown, caller))
}
