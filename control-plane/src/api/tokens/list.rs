//! `GET /api/v1/tokens?owner=&all=&after=&limit=`: lists tokens in the order of their creation: one's own, or, for
//! sysadmins, those of `owner` or (`all=true`) everyone's.

use super::TokenView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, limit};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::{token_usage, tokens, users};
use axum::Json;
use axum::extract::State;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Of this user; one's own if nobody is named.
    owner: Option<String>,
    /// Everyone's.
    #[serde(default)]
    all: bool,
    /// `next` of the page before.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Lists tokens, in the order of their creation: one's own; sysadmins: anyone's.
///
/// 200 with a page.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_tokens",
    tag = "tokens",
    params(ListParams),
    responses((status = 200, description = "A page of tokens.", body = Page<TokenView>), Refusals),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<TokenView>>, ApiError> {
    let ListParams { owner, all, after, limit: wanted } = params;
    let limit = limit(wanted)?;
    let mut query = tokens::Entity::find().filter(tokens::Column::DeletedAt.is_null());
    match owner {
        Some(_) if all => return Err(ApiError::BadRequest("owner and all exclude each other.".into())),
        _ if all => {
            caller.may(Action::ListTokens, Whose::Others)?;
        }
        None => {
            caller.may(Action::ListTokens, Whose::Own)?;
            query = query.filter(tokens::Column::OwnerId.eq(caller.user.id));
        }
        Some(name) => {
            let owner = crate::api::users::find(&app.store.db, &name).await;
            let whose = owner.as_ref().map_or(Whose::Others, |owner| caller.whose(Some(owner.id)));
            caller.may(Action::ListTokens, whose)?;
            query = query.filter(tokens::Column::OwnerId.eq(owner?.id));
        }
    }
    let rows = query
        .filter(tokens::Column::Id.gt(after.unwrap_or_default()))
        .order_by_asc(tokens::Column::Id)
        .limit(limit + 1)
        .all(&app.store.db)
        .await?;
    let owners: Vec<i64> = rows.iter().filter_map(|token| token.owner_id).collect();
    let owners: HashMap<i64, String> = users::Entity::find()
        .filter(users::Column::Id.is_in(owners))
        .all(&app.store.db)
        .await?
        .into_iter()
        .map(|user| (user.id, user.name))
        .collect();
    let used = token_usage::Entity::find()
        .filter(token_usage::Column::TokenId.is_in(rows.iter().map(|token| token.id)))
        .all(&app.store.db)
        .await?;
    let mut used: HashMap<i64, token_usage::Model> = used.into_iter().map(|usage| (usage.token_id, usage)).collect();
    let view = |token: tokens::Model| {
        let owner = token.owner_id.and_then(|owner| owners.get(&owner)).map(String::as_str);
        let usage = used.remove(&token.id);
        TokenView::new(token, owner, usage)
    };
    Page::of(rows, limit, |token| token.id, view).map(Json)
}
