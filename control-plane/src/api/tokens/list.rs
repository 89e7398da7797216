//! `GET /api/v1/tokens`: lists tokens by filters: one's own, or, for sysadmins, those of `owner` or (`all=true`) everyone's.

use super::TokenView;
use super::filter::filter_params;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Params, limit};
use crate::api::openapi::Refusals;
use crate::permission::Action;
use crate::store::{token_usage, tokens, users};
use axum::Json;
use axum::extract::State;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Tokens that are read at a time.
const ROWS: usize = 100;

/// Bytes of restrictions after which a page ends: each token may have 64 KiB of them, and whoever has many tokens must not
/// fill the memory with a list.
const WEIGHT_MAX: usize = 4 * 1024 * 1024;

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
    let mut found = filter.page(db, after.transpose()?, limit).await?;
    let (mut rows, mut weight, mut read) = (HashMap::<i64, tokens::Model>::new(), 0, 0);
    for ids in found.ids.chunks(ROWS) {
        let there = tokens::Entity::find().filter(tokens::Column::DeletedAt.is_null());
        let some = there.filter(tokens::Column::Id.is_in(ids.iter().copied())).all(db).await?;
        read += ids.len();
        weight += some.iter().filter_map(|token| token.restrictions.as_ref()).map(String::len).sum::<usize>();
        rows.extend(some.into_iter().map(|token| (token.id, token)));
        if weight > WEIGHT_MAX && read < found.ids.len() {
            found.next = found.places.get(read - 1).cloned();
            found.ids.truncate(read);
            break;
        }
    }
    let ids = || found.ids.iter().copied();
    let owners =
        users::Entity::find().filter(users::Column::Id.is_in(rows.values().filter_map(|token| token.owner_id)));
    let owners: HashMap<i64, String> = owners.all(db).await?.into_iter().map(|user| (user.id, user.name)).collect();
    let used = token_usage::Entity::find().filter(token_usage::Column::TokenId.is_in(ids())).all(db).await?;
    let mut used: HashMap<i64, token_usage::Model> = used.into_iter().map(|usage| (usage.token_id, usage)).collect();
    let items = ids().filter_map(|id| {
        let token = rows.remove(&id)?;
        let owner = token.owner_id.and_then(|owner| owners.get(&owner)).map(String::as_str);
        let usage = used.remove(&id);
        Some(TokenView::new(token, owner, usage))
    });
    let items = items.collect::<Result<_, _>>()?;
    Ok(Json(TokenPage { items, next: found.next.map(|next| next.to_text()) }))
}
