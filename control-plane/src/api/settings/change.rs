//! `PATCH /api/v1/settings`: changes the settings that the body names. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Body;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use std::sync::Arc;

/// 200 with all settings as they are now; 400 `invalid_settings` with every error in `errors`, and nothing is changed.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ChangeSettings, Whose::Others)?;
    // Read now that the change has begun: nobody else changes them meanwhile.
    let present = app.store.settings();
    let settings = present.0.patched(&patch).map_err(ApiError::InvalidSettings)?;
    let shown = settings.to_json();
    if settings != present.0 {
        change.set_settings(&permit, settings).await?;
        change.commit().await?;
    }
    Ok(Json(shown))
}
