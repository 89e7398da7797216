//! `GET /api/v1/users?name_prefix=&suspended=&sysadmin=&after=&limit=`: lists users in the order of their creation.
//! Sysadmins only.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, cut, limit};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::{successor, users};
use axum::Json;
use axum::extract::State;
use policy::record::folded;
use policy::record::limits::USER_NAME_LEN_MAX;
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
    /// Those whose name begins so, in any case.
    #[param(max_length = 255)]
    name_prefix: Option<String>,
    /// Those who are suspended, or those who are not.
    suspended: Option<bool>,
    /// Sysadmins, or all others.
    sysadmin: Option<bool>,
}

/// Lists users, in the order of their creation: all, or those for whom every parameter holds. For sysadmins.
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
    let ListParams { after, limit: wanted, name_prefix, suspended, sysadmin } = params;
    let limit = limit(wanted)?;
    let name_prefix = name_prefix.filter(|prefix| !prefix.is_empty());
    if name_prefix.as_ref().is_some_and(|prefix| prefix.len() > USER_NAME_LEN_MAX) {
        return Err(ApiError::BadRequest(format!("name_prefix must have at most {USER_NAME_LEN_MAX} bytes.")));
    }
    let mut users = users::Entity::find().filter(users::Column::NameFolded.is_not_null());
    if let Some(prefix) = name_prefix {
        let first = folded(&prefix);
        if let Some(end) = successor(&first) {
            users = users.filter(users::Column::NameFolded.lt(end));
        }
        users = users.filter(users::Column::NameFolded.gte(first));
    }
    let flags = [(users::Column::Suspended, suspended), (users::Column::Sysadmin, sysadmin)];
    let flags = flags.into_iter().filter_map(|(column, wanted)| Some(column.eq(wanted?)));
    let users = flags.fold(users, |users, flag| users.filter(flag));
    let users =
        users.filter(users::Column::Id.gt(after.unwrap_or_default())).order_by_asc(users::Column::Id).limit(limit + 1);
    let mut rows = users.all(&app.store.db).await?;
    let next = cut(&mut rows, limit, |user| user.id);
    Ok(Json(Page::new(rows.into_iter().map(UserView::from).collect(), next)))
}
