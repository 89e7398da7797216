//! `POST /api/v1/settings/restore`: makes the settings of a version of old the present ones. Sysadmins only.

use super::schema::SettingsDocument;
use super::{ForceParams, How};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, IfMatch, Params, Versioned};
use crate::api::openapi::ChangeRefusals;
use crate::permission::{Action, Whose};
use crate::store::settings;
use axum::extract::State;
use policy::Settings;
use sea_orm::EntityTrait as _;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The version that is not in the history: the defaults.
const DEFAULTS: i64 = 0;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreBody {
    /// The version; 0: the defaults.
    #[schema(minimum = 0)]
    version: i64,
}

/// Makes the settings of a version of old, or the defaults, the present ones. For sysadmins.
///
/// A setting that did not exist then gets its default; one that does not exist any more is left out. They become a new
/// version, unless they are the present ones already. 200 with all settings as they are now; 400 `invalid_settings` if
/// one of them is not possible any more; 409 `would_lock_you_out` if the caller could not come again under them, with
/// every reason in `errors`, unless `force` is true.
#[utoipa::path(
    post,
    path = "/api/v1/settings/restore",
    operation_id = "restore_settings",
    tag = "settings",
    params(ForceParams, IfMatch),
    request_body = RestoreBody,
    responses(
        (status = 200, description = "All settings.", body = SettingsDocument, headers(("ETag" = String))),
        ChangeRefusals,
    ),
)]
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(ForceParams { force }): Params<ForceParams>,
    if_match: IfMatch,
    Body(RestoreBody { version }): Body<RestoreBody>,
) -> Result<Versioned<Value>, ApiError> {
    let (change, caller) = caller.begin(&app.store).await?;
    let permit = caller.may(Action::ChangeSettings, Whose::Others)?;
    if_match.expect(&super::version(&change.settings().0))?;
    let settings = match version {
        DEFAULTS => Settings::default(),
        _ => {
            let row = settings::Entity::find_by_id(version).one(change.transaction()).await?;
            let row = row.ok_or_else(|| {
                ApiError::BadRequest("version must be one of those in the history, or 0 for the defaults.".into())
            })?;
            let (mut stored, gone) = super::version::stored(&row.document)?;
            stored.retain(|name, _| !gone.contains(name));
            Settings::default().patched(&stored).map_err(ApiError::InvalidSettings)?
        }
    };
    super::put(change, &caller, &permit, settings, How { force, latest_end: None, restored: Some(version) }).await
}
