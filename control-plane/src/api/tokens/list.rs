//! `GET /api/v1/tokens`: lists tokens by filters: one's own, or, for sysadmins, those of `owner` or (`all=true`) everyone's.

use super::TokenView;
use super::filter::filter_params;
use super::rows::{self, Row};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Params, limit};
use crate::api::openapi::Refusals;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

filter_params! {
    pub(crate) struct ListParams {
        /// `next` of the page before, with the same filters.
        #[param(max_length = 2048)]
        after: Option<String>,
        /// How many at most; 100 if not given.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<u64>,
    }
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenPage {
    /// May be fewer than `limit`, or none, while there is more: each page looks at 2,000 tokens at most.
    items: Vec<TokenView>,
    /// The `after` of the next page; null: this is the last one.
    next: Option<String>,
}

/// Lists tokens: one's own; sysadmins: anyone's. All filters combine.
///
/// The order is that of creation; with `label_prefix`, `last_used_…` or `expires_…` (the first of them that is there), and
/// neither `owner` nor `unbound=true`, that of label, last use or end. 200 with a page, which may have fewer tokens than
/// `limit` although there is more: follow `next` until it is null. Without `owner` and `all`, one's own.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_tokens",
    tag = "tokens",
    params(ListParams),
    responses((status = 200, description = "A page of tokens.", body = TokenPage), Refusals),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<TokenPage>, ApiError> {
    let (db, limit) = (&app.store.db, limit(params.limit)?);
    let (_permit, filter) = params.filters().judge(db, &caller, Action::ListTokens).await?;
    let after = params.after.map(|text| {
        let cursor = filter.read_cursor(&text);
        cursor.ok_or_else(|| ApiError::BadRequest("after must be the next of a page with the same filters.".into()))
    });
    let (rows, next) = rows::page(db, &filter, after.transpose()?, limit).await?;
    let view = |Row { token, owner, usage }: Row| TokenView::new(token, owner.as_deref(), usage);
    let items = rows.into_iter().map(view).collect::<Result<_, _>>()?;
    Ok(Json(TokenPage { items, next: next.map(|next| next.to_text()) }))
}
