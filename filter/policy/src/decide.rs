//! The verdict.
//!
//! The order of checks is the order of the lines in [`decide`]; each line names its requirement. Two rules stand
//! behind the order: nothing is said of a token before it is known whose it is, and whatever is recognisable as a
//! token of ours is refused rather than passed on.

use crate::credential::Credential;
use crate::path::{Ambiguous, Area};
use crate::token::Shape;
use crate::{DenyReason, Request, Settings, Timestamp, TokenRecord, TokenState};
use alloc::string::String;

/// Everything a verdict is made from. Same facts, same verdict.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The request.
    pub request: &'a Request,
    /// What is known in general.
    pub snapshot: Snapshot<'a>,
    /// What is known of the presented secret.
    pub found: &'a Found,
    /// The time, by the clock of whoever decides.
    pub now: Timestamp,
}

/// The snapshot from which is decided.
#[derive(Clone, Copy, Debug)]
pub enum Snapshot<'a> {
    /// None has arrived yet, or its head or settings cannot be read.
    Missing,
    /// One is in force.
    Ready {
        /// Its settings.
        settings: &'a Settings,
        /// How long ago it was last known to be current, in milliseconds.
        age_ms: u64,
    },
}

/// What the look-up of the presented secret gave.
#[derive(Debug)]
pub enum Found {
    /// There was nothing to look up ([`Request::token_hash`] gave nothing).
    NotLookedUp,
    /// No token has this hash.
    Nothing,
    /// This token.
    Token(TokenRecord),
    /// The shard could not be read, so nobody knows.
    Unreadable,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It goes on with the identity of the grant.
    Admit(Grant),
    /// It goes on as it came, without an identity of ours; the backend authenticates.
    Pass,
    /// It is answered with this.
    Deny(DenyReason),
}

/// The proof that a token was admitted. Only [`decide`] makes one, and only a grant sets identity headers.
#[derive(Debug)]
pub struct Grant {
    record: TokenRecord,
    to_control_plane: bool,
}

impl Grant {
    /// The token that was admitted.
    pub fn token(&self) -> &TokenRecord {
        &self.record
    }

    /// The name of the user that the request runs as.
    pub fn user(&self) -> &String {
        &self.record.owner.name
    }

    /// Whether it goes to the control plane, which judges the credential again and so must see it.
    pub(crate) fn to_control_plane(&self) -> bool {
        self.to_control_plane
    }
}

impl Snapshot<'_> {
    /// Whether anything may be decided from it (U14).
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Ready { settings, age_ms } => settings.max_snapshot_age_ms.is_none_or(|max| *age_ms <= max),
        }
    }
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    match judge(facts) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge(facts: &Facts<'_>) -> Result<Verdict, DenyReason> {
    let Facts { request, snapshot, found, now } = facts;

    let to_control_plane = match request.area {
        Err(Ambiguous) => return Err(DenyReason::AmbiguousPath), // principle 5
        Ok(Area::Open | Area::Ready) if request.shows_token() => return Err(DenyReason::PathNotProtected), // U5
        Ok(Area::Open | Area::Ready) => return Ok(Verdict::Pass), // U5
        Ok(Area::Protected) => false,
        Ok(Area::ControlPlane) => true,
    };
    if !snapshot.is_ready() {
        return Err(DenyReason::NotReady); // U14
    }
    let secret = match &request.credential {
        Credential::Unreadable => return Err(DenyReason::BadCredentials), // U15
        Credential::None | Credential::Foreign if request.shows_token() => return Err(DenyReason::SchemeNotAllowed), // U3
        Credential::None | Credential::Foreign => return Ok(Verdict::Pass), // U12
        Credential::Basic { secret, .. } | Credential::Bearer { secret } => secret,
    };
    let record = match (found, Shape::of(secret.expose())) {
        (_, Shape::Mistyped) => return Err(DenyReason::MistypedToken), // D2, U10
        (Found::Unreadable, _) => return Err(DenyReason::SnapshotUnreadable), // principle 3
        (Found::NotLookedUp | Found::Nothing, Shape::Token) => return Err(DenyReason::UnknownToken), // U10
        (Found::NotLookedUp | Found::Nothing, Shape::Foreign) if request.shows_token() => {
            return Err(DenyReason::MistypedToken); // U10: a space before it, quotes around it
        }
        (Found::NotLookedUp | Found::Nothing, Shape::Foreign) => return Ok(Verdict::Pass), // U11, U12
        (Found::Token(record), _) => record,
    };
    if let Credential::Basic { user, .. } = &request.credential
        && !record.owner.answers_to(user)
    {
        return Err(DenyReason::WrongUser); // U1, U4
    }
    match record.state {
        TokenState::Deleted => return Err(DenyReason::TokenDeleted), // U8
        TokenState::OwnerSuspended => return Err(DenyReason::OwnerSuspended), // U8
        TokenState::Active => {}
    }
    if record.is_not_yet_valid(*now) {
        return Err(DenyReason::TokenNotYetValid); // U8
    }
    if record.is_expired(*now) {
        return Err(DenyReason::TokenExpired); // U8
    }
    Ok(Verdict::Admit(Grant { record: record.clone(), to_control_plane }))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Owner, Site, token};
    use base64::Engine as _;
    use std::borrow::ToOwned as _;
    use std::format;
    use std::string::String;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn token() -> String {
        String::from_utf8(token::mint([1; 32]).expose().to_vec()).unwrap()
    }

    fn basic(user: &str, secret: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
    }

    fn record() -> TokenRecord {
        TokenRecord {
            id: "id".to_owned(),
            owner: Owner { name: "alice".to_owned(), email: Some("alice@example.org".to_owned()) },
            created_at: Timestamp::from_millis(0),
            valid_from: None,
            expires_at: None,
            state: TokenState::Active,
        }
    }

    fn verdict_at(path: &str, authorization: &str, found: Found, now: Timestamp) -> Verdict {
        let headers = [(":path", path), ("authorization", authorization)];
        let request = Request::read(&headers, &Site::default());
        let settings = Settings::default();
        decide(&Facts {
            request: &request,
            snapshot: Snapshot::Ready { settings: &settings, age_ms: 0 },
            found: &found,
            now,
        })
    }

    fn verdict(authorization: &str, found: Found) -> Result<String, DenyReason> {
        match verdict_at("/rest/x", authorization, found, NOW) {
            Verdict::Admit(grant) => Ok(grant.user().clone()),
            Verdict::Pass => Ok("(passed)".to_owned()),
            Verdict::Deny(reason) => Err(reason),
        }
    }

    #[test]
    fn u1_u2_name_email_and_bearer_are_admitted() {
        for authorization in [
            basic("alice", &token()),
            basic("ALICE", &token()),
            basic("Alice@Example.org", &token()),
            format!("Bearer {}", token()),
        ] {
            assert_eq!(verdict(&authorization, Found::Token(record())), Ok("alice".to_owned()), "{authorization}");
        }
    }

    #[test]
    fn u4_another_users_name_is_refused() {
        assert_eq!(verdict(&basic("bob", &token()), Found::Token(record())), Err(DenyReason::WrongUser));
        assert_eq!(verdict(&basic("", &token()), Found::Token(record())), Err(DenyReason::WrongUser));
    }

    #[test]
    fn u8_state_and_time() {
        let states =
            [(TokenState::Deleted, DenyReason::TokenDeleted), (TokenState::OwnerSuspended, DenyReason::OwnerSuspended)];
        for (state, reason) in states {
            assert_eq!(
                verdict(&basic("alice", &token()), Found::Token(TokenRecord { state, ..record() })),
                Err(reason)
            );
        }
        let bounded = || TokenRecord {
            valid_from: Some(Timestamp::from_millis(1000)),
            expires_at: Some(Timestamp::from_millis(2000)),
            ..record()
        };
        let at = |millis| match verdict_at(
            "/rest/x",
            &basic("alice", &token()),
            Found::Token(bounded()),
            Timestamp::from_millis(millis),
        ) {
            Verdict::Deny(reason) => Some(reason),
            Verdict::Admit(_) | Verdict::Pass => None,
        };
        assert_eq!(at(999), Some(DenyReason::TokenNotYetValid));
        assert_eq!(at(1000), None);
        assert_eq!(at(1999), None);
        assert_eq!(at(2000), Some(DenyReason::TokenExpired), "at the very instant of expiry a token is expired");
    }

    #[test]
    fn u10_what_looks_like_ours_and_is_not_is_never_passed_on() {
        assert_eq!(verdict(&basic("alice", &token()), Found::Nothing), Err(DenyReason::UnknownToken));
        assert_eq!(verdict(&format!("Bearer {}", token()), Found::Nothing), Err(DenyReason::UnknownToken));
        let cut_off = &token()[..20];
        assert_eq!(verdict(&basic("alice", cut_off), Found::NotLookedUp), Err(DenyReason::MistypedToken));
    }

    #[test]
    fn u11_u12_what_is_not_ours_is_passed_on() {
        assert_eq!(verdict(&basic("alice", "wonderland"), Found::Nothing), Ok("(passed)".to_owned()));
        assert_eq!(verdict("Bearer somebody.elses.jwt", Found::Nothing), Ok("(passed)".to_owned()));
        assert_eq!(verdict("Negotiate YII=", Found::NotLookedUp), Ok("(passed)".to_owned()));
        assert_eq!(verdict("", Found::NotLookedUp), Ok("(passed)".to_owned()));
    }

    #[test]
    fn u5_on_an_open_path_a_token_is_refused_and_all_else_passes() {
        let at = |authorization: &str| verdict_at("/login", authorization, Found::NotLookedUp, NOW);
        assert!(matches!(at(&basic("alice", &token())), Verdict::Deny(DenyReason::PathNotProtected)));
        assert!(matches!(at(&basic("alice", "wonderland")), Verdict::Pass));
        assert!(matches!(at("Basic !!!!"), Verdict::Pass), "unreadable, but not ours to refuse here");
    }

    #[test]
    fn u14_nothing_is_decided_from_no_snapshot_or_an_old_one() {
        let request = Request::read(&[(":path", "/rest/x")], &Site::default());
        let settings = Settings { max_snapshot_age_ms: Some(1000) };
        let decided =
            |snapshot| match decide(&Facts { request: &request, snapshot, found: &Found::NotLookedUp, now: NOW }) {
                Verdict::Deny(reason) => Some(reason),
                Verdict::Admit(_) | Verdict::Pass => None,
            };
        assert_eq!(decided(Snapshot::Missing), Some(DenyReason::NotReady));
        assert_eq!(decided(Snapshot::Ready { settings: &settings, age_ms: 1001 }), Some(DenyReason::NotReady));
        assert_eq!(decided(Snapshot::Ready { settings: &settings, age_ms: 1000 }), None);
    }

    #[test]
    fn principle_3_an_unreadable_shard_refuses() {
        assert_eq!(verdict(&basic("alice", &token()), Found::Unreadable), Err(DenyReason::SnapshotUnreadable));
        assert_eq!(verdict(&basic("alice", "wonderland"), Found::Unreadable), Err(DenyReason::SnapshotUnreadable));
    }
}
