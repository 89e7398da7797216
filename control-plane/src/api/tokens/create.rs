//! `POST /api/v1/tokens`: creates a token, one's own or, for sysadmins, another user's or nobody's (`unbound`). The
//! answer is the only place where it is ever shown.
//!
//! With `sha256`, which is for sysadmins, it takes over a token that exists already (M6): the hexadecimal SHA-256 of
//! its value, which the answer then does not have.

use super::TokenView;
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, rfc3339, time};
use crate::change::{Change, ChangeError, NewToken};
use crate::keys;
use crate::permission::{Action, Permit, Whose};
use crate::store::tokens::stored;
use crate::store::users;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use policy::credential::Secret;
use policy::record::limits::{LABEL_CHARS_MAX, TOKEN_ADDRESSES_MAX};
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{DenyReason, HashKeys, IpRule, KeyedHash, Scope, Settings, Timestamp, token};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    label: String,
    owner: Option<String>,
    #[serde(default)]
    unbound: bool,
    valid_from: Option<String>,
    expires_at: Option<String>,
    /// In place of `expires_at`: `6m`, `1y`, `2y`, a number of days such as `90d`, or `never`.
    validity: Option<Validity>,
    scope: Option<Scope>,
    #[serde(default)]
    ip_ranges: Vec<IpRule>,
    sha256: Option<String>,
    /// Lines, each of which may hold several.
    #[serde(default)]
    restrictions: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Created {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(flatten)]
    view: TokenView,
}

/// 201 with the token; 403 for another user's unless the caller is a sysadmin, and `only_admins_create` while that
/// setting is on; 409 `too_many_tokens`, `token_exists`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<NewTokenBody>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let NewTokenBody {
        label,
        owner,
        unbound,
        valid_from,
        expires_at,
        validity,
        scope,
        ip_ranges,
        sha256,
        restrictions,
    } = body;
    let label = label.trim();
    check_label(label)?;
    if ip_ranges.len() > TOKEN_ADDRESSES_MAX {
        return Err(ApiError::BadRequest(format!("ip_ranges must have at most {TOKEN_ADDRESSES_MAX} entries.")));
    }
    let restrictions = Set::parse(&restrictions).map_err(ApiError::InvalidRestrictions)?;
    if unbound && owner.is_some() {
        return Err(ApiError::BadRequest("owner and unbound exclude each other.".into()));
    }
    let valid_from = valid_from.map(|text| time("valid_from", &text)).transpose()?;
    let wanted = match (expires_at, validity) {
        (Some(_), Some(_)) => return Err(ApiError::BadRequest("expires_at and validity exclude each other.".into())),
        (Some(text), None) => Wanted::Until(time("expires_at", &text)?),
        (None, Some(validity)) => Wanted::For(validity),
        (None, None) => Wanted::TheLongest,
    };
    let hash_keys = app.store.master.hash_keys();
    let (secret, hash) = match sha256 {
        Some(hex) => (None, hash_keys.chain(sha256_of(&hex)?)),
        None => {
            let (secret, hash) = mint(&hash_keys)?;
            (Some(secret), hash)
        }
    };

    let (mut change, caller) = caller.begin(&app.store).await?;
    let (settings, now) = (&change.settings().0, change.now());
    let (permit, owner) = whom_for(&change, &caller, owner.as_deref(), unbound).await?;
    if secret.is_none() {
        caller.may(Action::CreateToken, Whose::Others)?;
    }
    if settings.only_admins_create && !caller.user.sysadmin {
        return Err(ApiError::OnlyAdminsCreate);
    }
    if unbound && !settings.unbound_tokens {
        return Err(ApiError::Denied(DenyReason::UnboundTokensOff));
    }
    let expires_at = within_limits(&wanted, settings, now)?;
    if expires_at.is_some_and(|end| end <= now.max(valid_from.unwrap_or(now))) {
        return Err(ApiError::BadRequest("expires_at must be in the future, and after valid_from.".into()));
    }
    let new = NewToken {
        public_id: public_id()?,
        hash,
        label,
        owner_id: owner.as_ref().map(|owner| owner.id),
        valid_from,
        expires_at,
        read_only: scope == Some(Scope::ReadOnly),
        imported: secret.is_none(),
        ip_ranges,
        restrictions,
    };
    let token = change.create_token(&permit, new).await?;
    change.commit().await?;
    // The one place where a token leaves the program: to the one who asked for it.
    let plain = secret.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
    let view = TokenView::new(token, owner.as_ref().map(|owner| owner.name.as_str()))?;
    Ok((StatusCode::CREATED, Json(Created { token: plain, view })))
}

fn check_label(label: &str) -> Result<(), ApiError> {
    if label.is_empty() || label.chars().count() > LABEL_CHARS_MAX || label.contains(char::is_control) {
        return Err(ApiError::BadRequest(format!("label must have 1 to {LABEL_CHARS_MAX} printable characters.")));
    }
    if token::shows_in(label.as_bytes(), 0) {
        return Err(ApiError::BadRequest("label must not hold a token: labels are shown.".into()));
    }
    Ok(())
}

/// For whom the token is to be, and the proof that the caller may make it.
async fn whom_for(
    change: &Change<'_>,
    caller: &Caller,
    owner: Option<&str>,
    unbound: bool,
) -> Result<(Permit, Option<users::Model>), ApiError> {
    let owner = match owner {
        None if unbound => None,
        None => Some(caller.user.clone()),
        // Whether another user exists is for those to know who may do something about it.
        Some(name) => match crate::api::users::find(change.transaction(), name).await {
            Err(ApiError::NotFound) => {
                caller.may(Action::CreateToken, Whose::Others)?;
                return Err(ChangeError::OwnerGone.into());
            }
            other => Some(other?),
        },
    };
    let permit = caller.may(Action::CreateToken, caller.whose(owner.as_ref().map(|owner| owner.id)))?;
    Ok((permit, owner))
}

/// When a token is to end, as the caller wants it.
enum Wanted {
    Until(Timestamp),
    For(Validity),
    /// Nothing was said.
    TheLongest,
}

/// When the token is to end (S1): when it is wanted, or, if nobody says, as late as allowed.
fn within_limits(wanted: &Wanted, settings: &Settings, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let latest = end_of(settings.max_validity, now)?;
    let wanted = match wanted {
        Wanted::Until(end) => Some(*end),
        Wanted::For(validity) => end_of(*validity, now)?,
        Wanted::TheLongest => return Ok(latest),
    };
    match latest {
        Some(latest) if wanted.is_none_or(|wanted| wanted > latest) => {
            Err(ApiError::ValidityTooLong(rfc3339(stored(latest))))
        }
        _ => Ok(wanted),
    }
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

fn sha256_of(hex: &str) -> Result<[u8; 32], ApiError> {
    let digits = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        let parsed = hex.get(index * 2..index * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = parsed
            .filter(|_| digits)
            .ok_or_else(|| ApiError::BadRequest("sha256 must be the 64 hexadecimal digits of a SHA-256.".into()))?;
    }
    if hash == <[u8; 32]>::from(Sha256::digest(b"")) {
        return Err(ApiError::BadRequest("sha256 is that of nothing at all.".into()));
    }
    Ok(hash)
}

/// A new token and its hash.
pub(crate) fn mint(keys: &HashKeys) -> Result<(Secret, KeyedHash), getrandom::Error> {
    let secret = token::mint(*keys::random()?);
    let hash = keys.hash(&secret);
    Ok((secret, hash))
}

/// A new public id.
pub(crate) fn public_id() -> Result<String, getrandom::Error> {
    Ok(keys::hex(&*keys::random::<10>()?).to_string())
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
}
