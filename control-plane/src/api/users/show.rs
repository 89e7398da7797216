//! `GET /api/v1/users/{name}`: shows a user; oneself, or anyone to sysadmins.

use super::UserView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Segment, Versioned};
use crate::api::openapi::Refusals;
use crate::permission::Action;
use axum::extract::State;
use std::sync::Arc;

/// Shows a user: oneself; to sysadmins, anyone.
///
/// 200 with the user; 404 also for one that the caller may not see, so that names cannot be tried.
#[utoipa::path(
    get,
    path = "/api/v1/users/{name}",
    operation_id = "show_user",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case.")),
    responses((status = 200, description = "The user.", body = UserView, headers(("ETag" = String))), Refusals),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<Versioned<UserView>, ApiError> {
    let user = super::find(&app.store.db, &name).await?;
    caller.may(Action::ShowUser, caller.whose(Some(user.id))).map_err(|_| ApiError::NotFound)?;
    Ok(super::versioned(user))
}
