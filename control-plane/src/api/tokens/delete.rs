//! `DELETE /api/v1/tokens/{id}`: revokes a token, one's own or, for sysadmins, anyone's.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::permission::Action;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// 204; 409 `last_sysadmin_token` for the last one by which anybody could administer; 404 also for one that is deleted
/// already, or that the caller may not see.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let (permit, token, owner) = super::find(change.transaction(), &caller, Action::DeleteToken, &id).await?;
    change.delete_token(&permit, token, owner.as_ref()).await?;
    change.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
