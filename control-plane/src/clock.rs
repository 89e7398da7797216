//! The one clock of the control plane. Everything else is given the time.

use policy::Timestamp;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this is the one place that fetches it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default())
}
