//! `DELETE …/backend-credential`: forgets one. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::api::openapi::ChangeRefusals;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// Forgets a user's backend credential. For sysadmins.
///
/// 204, also where none was stored.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{name}/backend-credential",
    operation_id = "delete_backend_credential",
    tag = "users",
    params(("name" = String, Path, description = "The user's name, in any case.")),
    responses((status = 204, description = "There is none any more."), ChangeRefusals),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<StatusCode, ApiError> {
    deleted(&app, caller, Some(&name)).await
}

/// Forgets the backend credential of everyone who has none. For sysadmins.
///
/// 204, also where none was stored.
#[utoipa::path(
    delete,
    path = "/api/v1/backend-credential",
    operation_id = "delete_shared_backend_credential",
    tag = "users",
    responses((status = 204, description = "There is none any more."), ChangeRefusals),
)]
pub(crate) async fn delete_shared(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode, ApiError> {
    deleted(&app, caller, None).await
}

async fn deleted(app: &App, caller: Caller, name: Option<&str>) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::SetBackendCredential, Whose::Others)?;
    let user = super::user(change.transaction(), name).await?;
    if change.set_credential(&permit, user.as_ref(), None).await? {
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
