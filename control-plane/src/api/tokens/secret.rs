//! `GET /api/v1/tokens/{id}/secret`: shows a token itself again, to its owner alone, in standard mode (S7).

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Segment;
use crate::api::openapi::Refusals;
use crate::permission::Action;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// A token, shown again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Revealed {
    /// The token itself.
    #[schema(value_type = String)]
    token: Zeroizing<String>,
}

/// Shows a token again: one's own, and nobody else's.
///
/// 200 with the token, and a record in the audit; 403 `secure_mode` in secure mode, which is the default; 404
/// `not_recoverable` for one of which there is no copy: it was made in secure mode, or elsewhere.
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{id}/secret",
    operation_id = "reveal_token",
    tag = "tokens",
    params(("id" = String, Path, description = "The public id of the token.")),
    responses((status = 200, description = "The token.", body = Revealed), Refusals),
)]
pub(crate) async fn secret(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<Revealed>, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    // Whoever came in the owner's name is somebody else all the same (S6).
    if caller.is_on_behalf() {
        return Err(ApiError::NotFound);
    }
    let (permit, token, _owner) = super::find(change.transaction(), &caller, Action::RevealToken, &id).await?;
    if app.secure_mode {
        return Err(ApiError::SecureMode);
    }
    let opened = change.reveal_token(&permit, &token).await?.ok_or(ApiError::NotRecoverable)?;
    change.commit().await?;
    // The second place where a token leaves the program: to its owner, who had it from the first.
    Ok(Json(Revealed { token: Zeroizing::new(String::from_utf8_lossy(&opened).into_owned()) }))
}
