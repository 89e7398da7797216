//! `DELETE …/backend-credential`: forgets one. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::MaybeSegment;
use crate::permission::{Action, Whose};
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// 204, also where none was stored.
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    MaybeSegment(name): MaybeSegment,
) -> Result<StatusCode, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::SetBackendCredential, Whose::Others)?;
    let user = super::user(change.transaction(), name.as_deref()).await?;
    if change.set_credential(&permit, user.as_ref(), None).await? {
        change.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
