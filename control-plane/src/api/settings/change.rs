//! `PATCH /api/v1/settings`: changes the settings that the body names. Sysadmins only.

use super::ForceParams;
use super::schema::{SettingsDocument, SettingsPatch};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Params, Versioned};
use crate::api::openapi::ChangeRefusals;
use crate::permission::{Action, Whose};
use axum::extract::State;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Changes the settings that the body names. For sysadmins.
///
/// All or nothing; `null` is a value where there is none, such as no limit. 200 with all settings as they are now; 400 `invalid_settings` with every error in `errors`, and nothing is changed;
/// 409 `would_lock_you_out` if the caller could not come again under them, with every reason in `errors`, unless `force` is true.
#[utoipa::path(
    patch,
    path = "/api/v1/settings",
    operation_id = "change_settings",
    tag = "settings",
    params(ForceParams, IfMatch),
    request_body = SettingsPatch,
    responses(
        (status = 200, description = "All settings.", body = SettingsDocument, headers(("ETag" = String))),
        ChangeRefusals,
    ),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(ForceParams { force }): Params<ForceParams>,
    if_match: IfMatch,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Versioned<Value>, ApiError> {
    let (change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ChangeSettings, Whose::Others)?;
    // Read now that the change has begun: nobody else changes them meanwhile.
    let present = change.settings();
    if_match.expect(&super::version(&present.0))?;
    let settings = present.0.patched(&patch).map_err(ApiError::InvalidSettings)?;
    super::put(change, &caller, &permit, settings, force, None).await
}
