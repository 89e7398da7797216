//! `PATCH /api/v1/settings`: changes the settings that the body names. Sysadmins only.

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
}

/// Changes the settings that the body names. For sysadmins.
///
/// All or nothing; `null` is a value where there is none, such as no limit. 200 with all settings as they are now; 400 `invalid_settings` with every error in `errors`, and nothing is changed.
#[utoipa::path(
    patch,
    path = "/api/v1/settings",
    operation_id = "change_settings",
    tag = "settings",
    params(ChangeParams, IfMatch),
    request_body = Object,
    responses((status = 200, description = "All settings.", body = Object, headers(("ETag" = String))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ChangeParams>,
    if_match: IfMatch,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Versioned<Value>, ApiError> {
    let (mut change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ChangeSettings, Whose::Others)?;
    // Read now that the change has begun: nobody else changes them meanwhile.
    let present = app.store.settings();
    if_match.expect(&super::version(&present.0))?;
    let settings = present.0.patched(&patch).map_err(ApiError::InvalidSettings)?;
    let shown = super::versioned(&settings);
    let latest_end = match params.apply_to_existing {
        true => latest_end(&settings, change.now())?,
        false => None,
    };
    let mut changed = settings != present.0;
    if changed {
        change.set_settings(&permit, settings).await?;
    }
    if let Some(latest_end) = latest_end {
        changed |= change.shorten_tokens(&permit, latest_end).await? > 0;
    }
    if changed {
        change.commit().await?;
    }
    Ok(shown)
}
