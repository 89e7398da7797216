//! `/api/v1/settings`.

pub(crate) mod change;
pub(crate) mod show;

use super::input::{Version, Versioned};
use policy::Settings;
use serde_json::Value;

/// The version of the settings that a change can be made from.
fn version(settings: &Settings) -> Version {
    Version::of(&settings.to_json())
}

fn versioned(settings: &Settings) -> Versioned<Value> {
    Versioned(version(settings), settings.to_json())
}
