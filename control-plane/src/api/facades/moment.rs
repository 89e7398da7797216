//! Points in time as scripts write them.

use crate::api::error::ApiError;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use policy::Timestamp;
use serde::Deserialize;

/// A point in time: milliseconds since 1970, or a text in ISO 8601. Where the text has no zone it is in UTC, and a date
/// alone is the first instant of that day: whatever a script meant, the token does not last longer.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a time must be a text such as 2027-01-01T00:00:00Z, or milliseconds since 1970")]
pub(super) enum Moment {
    Milliseconds(i64),
    Text(String),
}

impl Moment {
    /// The time that stands in this field.
    pub(super) fn read(&self, field: &str) -> Result<Timestamp, ApiError> {
        let time = match self {
            Self::Milliseconds(milliseconds) => jiff::Timestamp::from_millisecond(*milliseconds).ok(),
            Self::Text(text) => read_text(text),
        };
        let milliseconds = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
        milliseconds.map(Timestamp::from_millis).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "{field} must be a time from 1970 to 9999, such as 2027-01-01T00:00:00Z, or milliseconds since 1970."
            ))
        })
    }
}

fn read_text(text: &str) -> Option<jiff::Timestamp> {
    // The name of a zone would be skipped where there is no offset, and the time taken to be in UTC.
    if text.contains('[') {
        return None;
    }
    let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| in_utc().map(|time| time.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<u64> {
        let moment: Moment = serde_json::from_str(json).ok()?;
        moment.read("end").ok().map(|time| time.as_millis())
    }

    #[test]
    fn times_are_read_in_every_form_that_says_one() {
        for json in [
            "1798761600000",
            "\"2027-01-01T00:00:00Z\"",
            "\"2027-01-01T00:00:00.000+0000\"",
            "\"2027-01-01T01:00:00+01:00\"",
            "\"2027-01-01T00:00:00\"",
            "\"2027-01-01T00:00\"",
            "\"2027-01-01 00:00:00\"",
            "\"2027-01-01\"",
        ] {
            assert_eq!(read(json), Some(1_798_761_600_000), "{json}");
        }
    }

    #[test]
    fn attack_what_is_no_time_or_could_be_another_is_none() {
        for json in [
            "\"1798761600000\"",
            "1798761600000.5",
            "1e300",
            "99999999999999999999",
            "9223372036854775807",
            "-1",
            "\"1969-12-31T23:59:59Z\"",
            "\"2027-01-01T00:00:00[Europe/Paris]\"",
            "\"2027-13-01\"",
            "\"tomorrow\"",
            "\"\"",
            "true",
            "[1798761600000]",
            "{}",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
