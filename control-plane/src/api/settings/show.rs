//! `GET /api/v1/settings`: the settings in force. Sysadmins only.

use super::schema::SettingsDocument;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Versioned;
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use axum::extract::State;
use serde_json::Value;
use std::sync::Arc;

/// Shows the settings in force. For sysadmins.
///
/// 200 with all settings.
#[utoipa::path(
    get,
    path = "/api/v1/settings",
    operation_id = "show_settings",
    tag = "settings",
    responses(
        (status = 200, description = "All settings.", body = SettingsDocument, headers(("ETag" = String))),
        Refusals,
    ),
)]
pub(crate) async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Versioned<Value>, ApiError> {
    caller.may(Action::ShowSettings, Whose::Others)?;
    Ok(super::versioned(&app.store.settings().0))
}
