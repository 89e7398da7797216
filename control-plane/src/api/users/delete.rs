//! `DELETE /api/v1/users/{name}`: deletes a user and all its tokens at once. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// 204; 409 `last_sysadmin` or `last_sysadmin_token` for the last one who could administer.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::DeleteUser, Whose::Others)?;
    let user = super::find(change.transaction(), &name).await?;
    change.delete_user(&permit, user).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
