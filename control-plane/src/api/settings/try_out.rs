//! `POST /api/v1/settings/try`: which of the last calls changed settings, or changed restrictions of a token, would refuse.
//! Sysadmins only.

use super::schema::SettingsPatch;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::Body;
use crate::api::openapi::ChangeRefusals;
use crate::api::site::SiteBody;
use crate::api::tokens;
use crate::api::trial::{self, TrialView};
use crate::permission::{Action, Whose};
use crate::trial::{Plan, calls_of};
use axum::Json;
use axum::extract::State;
use policy::restrictions::Set;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// Settings, or restrictions of a token, or both at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsTrialBody {
    /// The settings that are to be changed, as in `PATCH /api/v1/settings`.
    #[schema(value_type = Option<SettingsPatch>, nullable = false)]
    settings: Option<Map<String, Value>>,
    /// Only calls with this token: its id.
    #[schema(nullable = false)]
    token: Option<String>,
    /// For which requests this token is to be good; none: for all.
    #[schema(nullable = false)]
    restrictions: Option<Vec<String>>,
    /// On how many records of the audit of calls; 1,000 if not given.
    #[schema(nullable = false, minimum = 1, maximum = 10_000)]
    last: Option<u64>,
    #[serde(default)]
    #[schema(required = false)]
    site: SiteBody,
    /// Whether you know that no call came with a header or a parameter that overrides its method. A restricted token is
    /// refused then.
    #[serde(default)]
    assume_no_override: bool,
}

/// Tries settings, or restrictions of a token, on the last calls. For sysadmins.
///
/// Nothing is changed. A call is judged at its own time, from the token and the users as they are now, under the settings in
/// force and under those that are tried. A yes or a no is never wrong of the request that was made: where query, body,
/// scheme or headers decide, which are not on record, the answer is undecidable. 200 with the answers; 400
/// `invalid_settings`, `invalid_restrictions`, `restrictions_too_costly` with every error in `errors`; 503 `busy` while
/// another trial is under way.
#[utoipa::path(
    post,
    path = "/api/v1/settings/try",
    operation_id = "try_settings",
    tag = "settings",
    request_body = SettingsTrialBody,
    responses((status = 200, description = "What would become of the calls.", body = TrialView), ChangeRefusals),
)]
pub(crate) async fn try_out(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<SettingsTrialBody>,
) -> Result<Json<TrialView>, ApiError> {
    caller.may(Action::TrySettings, Whose::Others)?;
    let SettingsTrialBody { settings, token, restrictions, last, site, assume_no_override } = body;
    if settings.is_none() && restrictions.is_none() {
        return Err(ApiError::BadRequest("settings is missing, or token and restrictions.".into()));
    }
    if restrictions.is_some() && token.is_none() {
        return Err(ApiError::BadRequest("restrictions needs token: whose they are to be.".into()));
    }
    let patched = settings.map(|patch| app.store.settings().0.patched(&patch)).transpose();
    let settings = patched.map_err(ApiError::InvalidSettings)?;
    let restrictions = restrictions.map(|lines| Set::parse(&lines)).transpose();
    let restrictions = restrictions.map_err(ApiError::InvalidRestrictions)?;
    if let Some(id) = &token {
        tokens::find(&app.store.db, &caller, Action::TryToken, id).await?;
    }
    let plan = Plan {
        settings,
        restrictions: token.clone().zip(restrictions),
        search: calls_of(token, None),
        last: trial::last(last)?,
        site: site.read()?,
        no_override: assume_no_override,
    };
    trial::run(app, plan, true).await
}
