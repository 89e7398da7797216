//! `PATCH /api/v1/settings`: changes the settings that the body names. Sysadmins only.

use super::How;
use super::schema::{SettingsDocument, SettingsPatch};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Params, Versioned};
use crate::api::openapi::ChangeRefusals;
use crate::api::tokens::validity::latest_end;
use crate::permission::{Action, Whose};
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeParams {
    /// Whether tokens that end later than `max_validity` allows from now on are to end then (S1).
    #[serde(default)]
    apply_to_existing: bool,
    /// Change them even if the caller could not come again under them.
    #[serde(default)]
    force: bool,
}

/// Changes the settings that the body names. For sysadmins.
///
/// All or nothing; `null` is a value where there is none, such as no limit. 200 with all settings as they are now; 400
/// `invalid_settings` with every error in `errors`, and nothing is changed; 409 `would_lock_you_out` if the caller
/// could not come again under them, with every reason in `errors`, unless `force` is true.
#[utoipa::path(
    patch,
    path = "/api/v1/settings",
    operation_id = "change_settings",
    tag = "settings",
    params(ChangeParams, IfMatch),
    request_body = SettingsPatch,
    responses(
        (status = 200, description = "All settings.", body = SettingsDocument, headers(("ETag" = String))),
        ChangeRefusals,
    ),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Versioned<Value>, ApiError> {
    let (change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ChangeSettings, Whose::Others)?;
    // Read now that the change has begun: nobody else changes them meanwhile.
    let present = change.settings();
    if_match.expect(&super::version(&present.0))?;
    let settings = present.0.patched(&patch).map_err(ApiError::InvalidSettings)?;
    let latest_end = match params.apply_to_existing {
        true => latest_end(&settings, change.now())?,
        false => None,
    };
    super::put(change, &caller, &permit, settings, How { force: params.force, latest_end, restored: None }).await
}
