//! Assertions (U6): who is calling, signed by the proxy for one audience, good for a minute.
//!
//! A JSON Web Token (RFC 7519) under HMAC-SHA-256 (`HS256`), for any standard library to verify:
//!
//! | claim | what |
//! |---|---|
//! | `iss` | `tokengate` |
//! | `aud` | for whom it is: the setting `assertion_audience`, or `tokengate` for the control plane |
//! | `sub` | name of the user as whom the request runs |
//! | `email` | that user's e-mail address, if known |
//! | `token_id` | public id of the token |
//! | `act` | `{"sub": name}` of the caller, if the request runs on behalf of somebody else (RFC 8693, section 4.1) |
//! | `iat`, `exp` | seconds since 1970: when it was made, and [`LIFETIME_SECONDS`] later |
//! | `jti` | never used twice: 48 bits of milliseconds, as in a UUID of version 7, and 80 random ones |
//!
//! Each audience has a key of its own, so that what was signed for the one is worth nothing at the other. The header is
//! the same for all, and an assertion with any other is refused unread: there is nothing to choose for an attacker.

use crate::Timestamp;
use crate::decide::Grant;
use crate::hash::{hmac_sha256, hmac_sha256_matches};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use core::fmt;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How long an assertion is good for.
pub const LIFETIME_SECONDS: u64 = 60;

/// How far the clocks of proxy and control plane may differ before an assertion is refused for its time.
pub const LEEWAY_SECONDS: u64 = 60;

/// Bytes an assertion may have: the longest names, escaped, and room.
pub const LEN_MAX: usize = 8 * 1024;

const ISSUER: &str = "tokengate";

/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &[u8] = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// For whom an assertion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The backend.
    Backend,
    /// The control plane.
    ControlPlane,
}

/// The key of one audience: 32 bytes, wiped when dropped, silent in `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct AssertionKey([u8; 32]);

/// What an assertion says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user as whom the request runs.
    pub sub: String,
    /// That user's e-mail address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// The token's public id.
    pub token_id: String,
    /// The caller, if that is somebody else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub act: Option<Act>,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// The first second in which it is no longer good.
    pub exp: u64,
    /// Never used twice.
    pub jti: String,
}

/// The random bits of a `jti`; the milliseconds stand before them.
const JTI_RANDOM: u128 = (1 << 80) - 1;

impl Claims {
    /// The millisecond in which the assertion was made, which its seconds do not tell.
    pub fn made_at(&self) -> Option<Timestamp> {
        let jti = u128::from_str_radix(&self.jti, 16).ok()?;
        u64::try_from(jti >> JTI_RANDOM.count_ones()).ok().map(Timestamp::from_millis)
    }
}

/// Who acts for the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The caller's name.
    pub sub: String,
}

/// Why an assertion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionError {
    /// It was not signed with this key for this audience.
    NotAuthentic,
    /// It is of another time.
    OtherTime,
}

impl AssertionKey {
    /// Takes 32 secret bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// An assertion of what was granted. `jti` is random, never used twice.
    pub fn sign(&self, grant: &Grant, audience: &str, now: Timestamp, jti: [u8; 16]) -> Option<String> {
        let (millis, now) = (now.as_millis(), now.as_millis() / 1000);
        let random = u128::from_be_bytes(jti) & JTI_RANDOM;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: audience.into(),
            sub: grant.user().name.clone(),
            email: grant.user().email.clone(),
            token_id: grant.token().id.clone(),
            act: grant.actor().map(|caller| Act { sub: caller.into() }),
            iat: now,
            exp: now.saturating_add(LIFETIME_SECONDS),
            jti: format!("{:032x}", (u128::from(millis) << JTI_RANDOM.count_ones()) | random),
        };
        self.sign_claims(&claims)
    }

    fn sign_claims(&self, claims: &Claims) -> Option<String> {
        let claims = BASE64URL.encode(serde_json::to_vec(claims).ok()?);
        let signature = BASE64URL.encode(hmac_sha256(&self.0, &[HEADER, b".", claims.as_bytes()]));
        Some(format!("{}.{claims}.{signature}", core::str::from_utf8(HEADER).ok()?))
    }

    /// Reads an assertion for this audience. Nothing in it is looked at before its signature is right.
    pub fn verify(&self, assertion: &[u8], audience: &str, now: Timestamp) -> Result<Claims, AssertionError> {
        let claims = self.open(assertion).ok_or(AssertionError::NotAuthentic)?;
        if claims.iss != ISSUER || claims.aud != audience {
            return Err(AssertionError::NotAuthentic);
        }
        let now = now.as_millis() / 1000;
        let begins = claims.iat.saturating_sub(LEEWAY_SECONDS);
        let ends = claims.exp.min(claims.iat.saturating_add(LIFETIME_SECONDS)).saturating_add(LEEWAY_SECONDS);
        if (begins..ends).contains(&now) { Ok(claims) } else { Err(AssertionError::OtherTime) }
    }

    fn open(&self, assertion: &[u8]) -> Option<Claims> {
        if assertion.len() > LEN_MAX {
            return None;
        }
        let parts: Vec<&[u8]> = assertion.splitn(4, |byte| *byte == b'.').collect();
        let [HEADER, claims, signature] = parts.as_slice() else {
            return None;
        };
        let signature = BASE64URL.decode(signature).ok()?;
        if !hmac_sha256_matches(&self.0, &[HEADER, b".", claims], &signature) {
            return None;
        }
        serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AssertionKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_500);

    fn key() -> AssertionKey {
        AssertionKey::new([7; 32])
    }

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.into(),
            aud: "jira".into(),
            sub: "Émile \"x\"".into(),
            email: None,
            token_id: "id".into(),
            act: Some(Act { sub: "admin".into() }),
            iat: 1_800_000_000,
            exp: 1_800_000_060,
            jti: "0".repeat(32),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds.saturating_mul(1000))
    }

    #[test]
    fn an_assertion_is_good_for_its_audience_and_its_minute() {
        let signed = key().sign_claims(&claims()).unwrap();
        let verify = |audience, now| key().verify(signed.as_bytes(), audience, now);
        assert_eq!(verify("jira", NOW), Ok(claims()));
        assert_eq!(verify("confluence", NOW), Err(AssertionError::NotAuthentic));
        assert_eq!(verify("jira", at(1_800_000_060 + LEEWAY_SECONDS)), Err(AssertionError::OtherTime));
        assert_eq!(verify("jira", at(1_800_000_059 + LEEWAY_SECONDS)), Ok(claims()));
        assert_eq!(verify("jira", at(1_800_000_000 - LEEWAY_SECONDS - 1)), Err(AssertionError::OtherTime));
        assert_eq!(
            AssertionKey::new([8; 32]).verify(signed.as_bytes(), "jira", NOW),
            Err(AssertionError::NotAuthentic)
        );
    }

    #[test]
    fn attack_an_assertion_that_claims_to_live_for_ever_lives_for_a_minute() {
        let signed = key().sign_claims(&Claims { exp: u64::MAX, ..claims() }).unwrap();
        let later = at(1_800_000_060 + LEEWAY_SECONDS);
        assert_eq!(key().verify(signed.as_bytes(), "jira", later), Err(AssertionError::OtherTime));
    }

    #[test]
    fn attack_another_algorithm_another_part_or_any_changed_byte() {
        let signed = key().sign_claims(&claims()).unwrap();
        let refused = |text: &str| key().verify(text.as_bytes(), "jira", NOW) == Err(AssertionError::NotAuthentic);
        let (_, rest) = signed.split_once('.').unwrap();
        let none = BASE64URL.encode(r#"{"alg":"none"}"#);
        assert!(refused(&format!("{none}.{rest}")));
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        for other in
            [format!("{unsigned}."), unsigned.into(), format!("{signed}."), format!("{signed}.x"), String::new()]
        {
            assert!(refused(&other), "{other}");
        }
        for index in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[index] ^= 1;
            assert_eq!(key().verify(&changed, "jira", NOW), Err(AssertionError::NotAuthentic), "byte {index}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = key().verify(&bytes, "jira", NOW);
        }
    }
}
