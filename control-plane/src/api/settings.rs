//! `/api/v1/settings`.

pub(crate) mod change;
pub(crate) mod history;
mod lock_out;
pub(crate) mod restore;
mod schema;
pub(crate) mod show;
pub(crate) mod version;

pub(crate) use lock_out::LockOut;

use super::caller::Caller;
use super::error::ApiError;
use super::input::{Version, Versioned};
use crate::change::Change;
use crate::permission::Permit;
use policy::Settings;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

/// The version of the settings that a change can be made from.
fn version(settings: &Settings) -> Version {
    Version::of(&settings.to_json())
}

fn versioned(settings: &Settings) -> Versioned<Value> {
    Versioned(version(settings), settings.to_json())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ForceParams {
    /// Change them even if the caller could not come again under them.
    #[serde(default)]
    force: bool,
}

/// Makes these the settings in force: those of a version of old, if one is named. Unless by force, none under which the
/// caller could not undo it.
async fn put(
    mut change: Change<'_>,
    caller: &Caller,
    permit: &Permit,
    settings: Settings,
    force: bool,
    restored: Option<i64>,
) -> Result<Versioned<Value>, ApiError> {
    let present = change.settings();
    let reasons = lock_out::reasons(&present.0, &settings, &lock_out::Came::of(caller));
    if !reasons.is_empty() && !force {
        return Err(ApiError::WouldLockYouOut(reasons));
    }
    let shown = versioned(&settings);
    if settings != present.0 {
        change.set_settings(permit, settings, restored).await?;
        change.commit().await?;
    }
    Ok(shown)
}
