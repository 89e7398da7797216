//! The one clock of the control plane. Everything else is given the time.

use policy::Timestamp;

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "this is the one place that fetches it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default())
}

/// So many milliseconds ago.
pub(crate) fn ago(ms: u64) -> Timestamp {
    Timestamp::from_millis(now().as_millis().saturating_sub(ms))
}
