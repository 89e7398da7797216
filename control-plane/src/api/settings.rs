//! `/api/v1/settings`.

pub(crate) mod change;
pub(crate) mod history;
mod lock_out;
pub(crate) mod restore;
mod schema;
pub(crate) mod show;
pub(crate) mod try_out;
pub(crate) mod version;

pub(crate) use lock_out::LockOut;

use super::caller::Caller;
use super::error::ApiError;
use super::input::{Version, Versioned};
use crate::change::Change;
use crate::permission::Permit;
use policy::{Settings, Timestamp};
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

/// How settings are to be put in force.
struct How {
    /// Even if the caller could not undo it under them.
    force: bool,
    /// No token is to end later than then.
    latest_end: Option<Timestamp>,
    /// They are those of this version of old.
    restored: Option<i64>,
}

/// Makes these the settings in force.
async fn put(
    mut change: Change<'_>,
    caller: &Caller,
    permit: &Permit,
    settings: Settings,
    how: How,
) -> Result<Versioned<Value>, ApiError> {
    let present = change.settings();
    let reasons = lock_out::reasons(&present.0, &settings, &lock_out::Came::of(caller));
    if !reasons.is_empty() && !how.force {
        return Err(ApiError::WouldLockYouOut(reasons));
    }
    let shown = versioned(&settings);
    let mut changed = settings != present.0;
    if changed {
        change.set_settings(permit, settings, how.restored).await?;
    }
    if let Some(latest_end) = how.latest_end {
        changed |= change.shorten_tokens(permit, latest_end).await? > 0;
    }
    if changed {
        change.commit().await?;
    }
    Ok(shown)
}
