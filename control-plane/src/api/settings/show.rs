//! `GET /api/v1/settings`: the settings in force. Sysadmins only.

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::permission::{Action, Whose};
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use std::sync::Arc;

/// 200 with all settings.
pub(crate) async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, ApiError> {
    caller.may(Action::ShowSettings, Whose::Others)?;
    Ok(Json(app.store.settings().0.to_json()))
}
