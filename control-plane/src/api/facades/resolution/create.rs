//! `POST …/token`: makes a token, one's own or, for sysadmins, anyone's.

use super::{READ_AND_WRITE, READ_ONLY};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::facades::moment::Moment;
use crate::api::facades::{iso, make_one};
use crate::api::input::Body;
use crate::api::tokens::make::{ForWhom, Made, Wish, shown_once};
use crate::api::tokens::validity::Wanted;
use axum::Json;
use axum::extract::State;
use policy::Scope;
use policy::settings::Validity;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Calendar months for which a token can be made: ten years, like the days of the native API.
const MONTHS_MAX: i64 = 120;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewToken {
    token_description: String,
    token_validity_time_in_months: Option<i64>,
    token_expiration_date_time: Option<Moment>,
    token_for_user_key: Option<String>,
    /// In none of the documents about creation; but whoever says that a token is to read alone must not get one that writes.
    token_scope: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedToken {
    id: i64,
    /// The token: shown this once.
    plain_text_token: Option<Zeroizing<String>>,
    token_description: String,
    token_expiration_date_time: Option<String>,
    token_expiration_date_time_millis: i64,
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewToken>,
) -> Result<Json<CreatedToken>, ApiError> {
    let NewToken {
        token_description,
        token_validity_time_in_months,
        token_expiration_date_time,
        token_for_user_key,
        token_scope,
    } = body;
    let wish = Wish {
        label: Some(token_description),
        owner: token_for_user_key.map_or(ForWhom::Unsaid, ForWhom::Named),
        wanted: wanted(token_validity_time_in_months, token_expiration_date_time)?,
        scope: token_scope.map(scope).transpose()?,
        ..Wish::default()
    };
    let Made { token, secret, .. } = make_one(&app, caller, wish).await.map_err(|error| match error {
        ApiError::ValidityTooLong(_) => too_long(app.store.settings().0.max_validity),
        other => other,
    })?;
    Ok(Json(CreatedToken {
        id: token.id,
        plain_text_token: secret.as_ref().map(shown_once),
        token_description: token.label,
        token_expiration_date_time: token.expires_at.map(instant),
        token_expiration_date_time_millis: token.expires_at.unwrap_or_default(),
    }))
}

fn wanted(months: Option<i64>, end: Option<Moment>) -> Result<Wanted, ApiError> {
    match (months, end) {
        (Some(_), Some(_)) => Err(ApiError::BadRequest(
            "tokenValidityTimeInMonths and tokenExpirationDateTime exclude each other.".into(),
        )),
        (None, Some(end)) => Ok(Wanted::Until(end.read("tokenExpirationDateTime")?)),
        (None, None) => Ok(Wanted::TheLongest),
        (Some(0 | -1), None) => Ok(Wanted::For(Validity::Never)),
        (Some(months), None) => {
            let months = u16::try_from(months).ok().filter(|months| (1..=MONTHS_MAX).contains(&i64::from(*months)));
            months.map(|months| Wanted::For(Validity::Months(months))).ok_or_else(|| {
                ApiError::BadRequest(format!(
                    "tokenValidityTimeInMonths must be 1 to {MONTHS_MAX}, or 0 for a token without end."
                ))
            })
        }
    }
}

fn scope(number: i64) -> Result<Scope, ApiError> {
    match number {
        READ_ONLY => Ok(Scope::ReadOnly),
        READ_AND_WRITE => Ok(Scope::Full),
        _ => Err(ApiError::BadRequest("tokenScope must be 1 (read-only) or 2 (read and write).".into())),
    }
}

/// Says it as the product does: a script may look for these words.
fn too_long(max_validity: Validity) -> ApiError {
    let within = match max_validity {
        Validity::Months(months) => format!(" You need to provide a date within the next {months} months."),
        Validity::Days(1) => " You need to provide a date within the next day.".into(),
        Validity::Days(days) => format!(" You need to provide a date within the next {days} days."),
        Validity::Never => String::new(), // it has been lifted meanwhile
    };
    ApiError::BadRequest(format!(
        "The custom expiration you've provided is greater than the maximum defined by your administrator.{within}"
    ))
}

/// A stored time as Java writes an `Instant`: with milliseconds if there are any.
fn instant(stored: i64) -> String {
    iso(stored).replace(".000Z", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m2_months_are_six_twelve_twenty_four_or_what_else_somebody_wants_and_none_is_never() {
        for (months, validity) in
            [(6, Validity::Months(6)), (24, Validity::Months(24)), (1, Validity::Months(1)), (0, Validity::Never)]
        {
            assert!(matches!(wanted(Some(months), None), Ok(Wanted::For(wanted)) if wanted == validity), "{months}");
        }
        assert!(matches!(wanted(None, None), Ok(Wanted::TheLongest)));
    }

    #[test]
    fn attack_months_that_no_calendar_has_are_refused() {
        for months in [-2, 121, 65_536 + 6, i64::MAX, i64::MIN] {
            assert!(wanted(Some(months), None).is_err(), "{months}");
        }
        assert!(wanted(Some(6), Some(Moment::Milliseconds(1))).is_err());
    }

    #[test]
    fn the_refusal_names_the_maximum() {
        for (max, ends) in [
            (Validity::Months(24), "administrator. You need to provide a date within the next 24 months."),
            (Validity::Days(90), "administrator. You need to provide a date within the next 90 days."),
            (Validity::Days(1), "administrator. You need to provide a date within the next day."),
            (Validity::Never, "administrator."),
        ] {
            let ApiError::BadRequest(sentence) = too_long(max) else { panic!("another refusal") };
            assert!(sentence.ends_with(ends), "{sentence}");
        }
    }

    #[test]
    fn times_are_written_as_java_writes_them() {
        assert_eq!(instant(1_798_761_600_000), "2027-01-01T00:00:00Z");
        assert_eq!(instant(1_798_761_600_120), "2027-01-01T00:00:00.120Z");
    }
}
