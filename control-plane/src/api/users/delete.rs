//! `DELETE /api/v1/users/{name}?wait=5s`: deletes a user and all its tokens at once. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Params, Segment};
use crate::api::openapi::ChangeRefusals;
use crate::api::proxies::{Done, WaitParams, after};
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// Deletes a user, with all tokens. For sysadmins.
///
/// 204; with `wait`, 200 once every proxy decides by it, or 202 with those that are not known to; 409 `last_sysadmin`
/// or `last_sysadmin_token` for the last one who could administer.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{name}",
    operation_id = "delete_user",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case."), WaitParams),
    responses(Done, ChangeRefusals),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
    Params(wait): Params<WaitParams>,
) -> Result<Response, ApiError> {
    let patience = wait.patience()?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::DeleteUser, Whose::Others)?;
    let user = super::find(change.transaction(), &name).await?;
    change.delete_user(&permit, user).await?;
    let revision = change.commit().await?;
    Ok(after(&app, &caller, revision, patience).await)
}
