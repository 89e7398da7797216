//! When a token is to end (S1).

use crate::api::error::ApiError;
use crate::api::input::{rfc3339, time};
use crate::store::tokens::{self, stored};
use policy::settings::Validity;
use policy::{Settings, Timestamp};
use serde::{Deserialize, Serialize};

/// When a token is to end, as the caller wants it.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) enum Wanted {
    Until(Timestamp),
    For(Validity),
    /// Nothing was said.
    #[default]
    TheLongest,
    /// Like another token: for so many milliseconds, or without end; as far as that is allowed.
    AsLongAs(Option<u64>),
}

impl Wanted {
    /// From `expires_at` and `validity`, of which one may be there.
    pub(super) fn read(expires_at: Option<&str>, validity: Option<Validity>) -> Result<Self, ApiError> {
        match (expires_at, validity) {
            (Some(_), Some(_)) => Err(ApiError::BadRequest("expires_at and validity exclude each other.".into())),
            (Some(text), None) => Ok(Self::Until(time("expires_at", text)?)),
            (None, Some(validity)) => Ok(Self::For(validity)),
            (None, None) => Ok(Self::TheLongest),
        }
    }

    /// The same, or, if nothing was said, as long as another token was made for.
    pub(super) fn or_as_long_as(self, span: Option<u64>) -> Self {
        match self {
            Self::TheLongest => Self::AsLongAs(span),
            said => said,
        }
    }

    /// The end: when it is wanted, or, if nobody says, as late as allowed; `None`: never.
    pub(super) fn end(
        &self,
        settings: &Settings,
        valid_from: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, ApiError> {
        let latest = latest_end(settings, now)?;
        let end = match self {
            Self::Until(end) => Some(*end),
            Self::For(validity) => end_of(*validity, now)?,
            Self::TheLongest | Self::AsLongAs(None) => latest,
            Self::AsLongAs(Some(span)) => {
                let end = Timestamp::from_millis(now.as_millis().saturating_add(*span));
                Some(latest.map_or(end, |latest| latest.min(end)))
            }
        };
        if let Some(latest) = latest.filter(|latest| end.is_none_or(|end| end > *latest)) {
            return Err(ApiError::ValidityTooLong(rfc3339(stored(latest))));
        }
        if end.is_some_and(|end| end <= now.max(valid_from.unwrap_or(now))) {
            return Err(ApiError::BadRequest("expires_at must be in the future, and after valid_from.".into()));
        }
        Ok(end)
    }
}

/// When a token that is made now ends at the latest; `None`: never.
pub(crate) fn latest_end(settings: &Settings, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    end_of(settings.max_validity, now)
}

/// For how long a token was made, in milliseconds; `None`: without end.
pub(super) fn span_of(token: &tokens::Model) -> Option<u64> {
    token.expires_at.map(|end| u64::try_from(end.saturating_sub(token.created_at)).unwrap_or_default())
}

/// The end of a validity that begins now. Months are calendar months, in UTC; `None`: there is no end.
fn end_of(validity: Validity, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let span = match validity {
        Validity::Never => return Ok(None),
        Validity::Months(months) => jiff::Span::new().months(months),
        Validity::Days(days) => jiff::Span::new().days(days),
    };
    let end = jiff::Timestamp::from_millisecond(stored(now))
        .and_then(|now| now.to_zoned(jiff::tz::TimeZone::UTC).checked_add(span))
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(u64::try_from(end.timestamp().as_millisecond()).ok().map(Timestamp::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        time("now", text).unwrap()
    }

    #[test]
    fn s1_months_are_calendar_months_in_utc() {
        for (now, validity, end) in [
            ("2026-08-31T12:00:00Z", Validity::Months(6), "2027-02-28T12:00:00Z"),
            ("2028-02-29T00:00:00Z", Validity::Months(12), "2029-02-28T00:00:00Z"),
            ("2026-01-01T00:00:00Z", Validity::Months(24), "2028-01-01T00:00:00Z"),
            ("2026-12-31T23:59:59Z", Validity::Days(90), "2027-03-31T23:59:59Z"),
        ] {
            assert_eq!(end_of(validity, at(now)).unwrap(), Some(at(end)), "{now} {validity}");
        }
        assert_eq!(end_of(Validity::Never, at("2026-01-01T00:00:00Z")).unwrap(), None);
    }

    #[test]
    fn attack_a_token_made_as_long_as_one_until_the_end_of_time_has_an_end_that_can_be_read() {
        let (last, now) = (at("9999-12-30T22:00:00.999Z"), at("2026-01-01T00:00:00Z"));
        let span = last.as_millis() - at("2025-01-01T00:00:00Z").as_millis();
        let end = Wanted::AsLongAs(Some(span)).end(&Settings::default(), None, now).unwrap().unwrap();
        for end in [last, end] {
            assert_eq!(at(&rfc3339(stored(end))), last);
        }
    }
}
