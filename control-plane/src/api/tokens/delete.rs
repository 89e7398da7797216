//! `DELETE /api/v1/tokens/{id}?wait=5s`: revokes a token, one's own or, for sysadmins, anyone's.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Params, Segment};
use crate::api::openapi::ChangeRefusals;
use crate::api::proxies::{Done, WaitParams, after};
use crate::permission::Action;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// Revokes a token: one's own; sysadmins: anyone's.
///
/// 204; with `wait`, 200 once every proxy decides by it, or 202 with those that are not known to; 409
/// `last_sysadmin_token` for the last one by which anybody could administer; 404 also for one that is deleted already,
/// or that the caller may not see.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    operation_id = "delete_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token."), WaitParams),
    responses(Done, ChangeRefusals),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
    Params(wait): Params<WaitParams>,
) -> Result<Response, ApiError> {
    let patience = wait.patience()?;
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = super::find(change.transaction(), &caller, Action::DeleteToken, &id).await?;
    change.delete_token(&permit, token, owner.as_ref()).await?;
    let revision = change.commit().await?;
    Ok(after(&app, &caller, revision, patience).await)
}
