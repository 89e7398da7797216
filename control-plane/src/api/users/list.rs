//! `GET /api/v1/users?after=&limit=`: lists users in the order of their creation. Sysadmins only.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, limit};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::users;
use axum::Json;
use axum::extract::State;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// `next` of the page before.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// Lists users, in the order of their creation. For sysadmins.
///
/// 200 with a page.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    operation_id = "list_users",
    tag = "users",
    params(ListParams),
    responses((status = 200, description = "A page of users.", body = Page<UserView>), Refusals),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<UserView>>, ApiError> {
    caller.may(Action::ListUsers, Whose::Others)?;
    let limit = limit(params.limit)?;
    let rows = users::Entity::find()
        .filter(users::Column::NameFolded.is_not_null())
        .filter(users::Column::Id.gt(params.after.unwrap_or_default()))
        .order_by_asc(users::Column::Id)
        .limit(limit + 1)
        .all(&app.store.db)
        .await?;
    Page::of(rows, limit, |user| user.id, |user| Ok(UserView::from(user))).map(Json)
}
