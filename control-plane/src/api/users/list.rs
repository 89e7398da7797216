//! `GET /api/v1/users?after=&limit=`: lists users in the order of their creation. Sysadmins only.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, limit};
use crate::permission::{Action, Whose};
use crate::store::users;
use axum::Json;
use axum::extract::State;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    after: Option<i64>,
    limit: Option<u64>,
}

/// 200 with a page.
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
