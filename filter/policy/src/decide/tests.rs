//! Single rows, as sentences. The whole table is held against a second implementation in
//! `tests/agrees_with_the_requirements/`.

extern crate std;
use super::*;
use crate::facts::{Known, Snapshot};
use crate::restrictions::Body;
use crate::restrictions::Set;
use crate::settings::{Passwords, UserName};
use crate::{Addresses, KeyedHash, Request, Site, token};
use alloc::rc::Rc;
use base64::Engine as _;
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
        id: "id".into(),
        binding: Binding::User(Owner {
            name: "alice".into(),
            email: Some("alice@example.org".into()),
            sysadmin: false,
        }),
        created_at: Timestamp::from_millis(0),
        valid_from: None,
        expires_at: None,
        state: TokenState::Active,
        scope: Scope::Full,
        addresses: Addresses::Any,
        restrictions: None,
    }
}

fn user(name: &str) -> UserRecord {
    UserRecord { name: name.into(), email: None, sysadmin: false, suspended: false, credential: None }
}

struct Given<'a> {
    path: &'a str,
    authorization: &'a str,
    settings: Settings,
    known: Known,
    now: Timestamp,
    headers: &'a [(&'a str, &'a str)],
}

impl Default for Given<'_> {
    fn default() -> Self {
        let known = Known { token: Found::Nothing, ..Known::default() };
        let settings = Settings::default();
        Self { path: "/rest/x", authorization: "", settings, known, now: NOW, headers: &[] }
    }
}

impl Given<'_> {
    /// The name of the user as whom it runs, or why it does not.
    fn verdict(self) -> Result<String, DenyReason> {
        let mut headers = std::vec![(":path", self.path), (":method", "GET"), ("authorization", self.authorization)];
        headers.extend(self.headers);
        let request = Request::read(&headers, &Site::default());
        let snapshot = Snapshot::Ready { settings: &self.settings, age_ms: 0 };
        match decide(&Facts { request: &request, snapshot, known: &self.known, body: Body::NotYet, now: self.now }) {
            Verdict::Admit(grant) => Ok(grant.user().name.clone()),
            Verdict::Pass(_) => Ok("(passed)".into()),
            Verdict::NeedBody => Ok("(awaits its body)".into()),
            Verdict::Deny(reason) => Err(reason),
        }
    }
}

fn found(record: TokenRecord) -> Known {
    Known { token: Found::Record(record), ..Known::default() }
}

fn with(authorization: &str, known: Known) -> Result<String, DenyReason> {
    Given { authorization, known, ..Given::default() }.verdict()
}

#[test]
fn u1_u2_name_email_and_bearer_are_admitted() {
    for authorization in [
        basic("alice", &token()),
        basic("ALICE", &token()),
        basic("Alice@Example.org", &token()),
        format!("Bearer {}", token()),
    ] {
        assert_eq!(with(&authorization, found(record())), Ok("alice".into()), "{authorization}");
    }
    assert_eq!(with(&basic("bob", &token()), found(record())), Err(DenyReason::WrongUser));
    assert_eq!(with(&basic("", &token()), found(record())), Err(DenyReason::WrongUser));
}

#[test]
fn u8_at_the_very_instant_of_expiry_a_token_is_expired() {
    let bounded = TokenRecord {
        valid_from: Some(Timestamp::from_millis(1000)),
        expires_at: Some(Timestamp::from_millis(2000)),
        ..record()
    };
    let at = |millis| {
        let (known, now) = (found(bounded.clone()), Timestamp::from_millis(millis));
        Given { authorization: &basic("alice", &token()), known, now, ..Given::default() }.verdict()
    };
    assert_eq!(at(999), Err(DenyReason::TokenNotYetValid));
    assert_eq!(at(1000), Ok("alice".into()));
    assert_eq!(at(1999), Ok("alice".into()));
    assert_eq!(at(2000), Err(DenyReason::TokenExpired));
}

#[test]
fn attack_u10_what_looks_like_ours_and_is_not_is_never_passed_on() {
    let nothing = || Known { token: Found::Nothing, ..Known::default() };
    assert_eq!(with(&basic("alice", &token()), nothing()), Err(DenyReason::UnknownToken));
    assert_eq!(with(&format!("Bearer {}", token()), nothing()), Err(DenyReason::UnknownToken));
    assert_eq!(with(&basic("alice", &token()[..20]), Known::default()), Err(DenyReason::MistypedToken));
    assert_eq!(with(&format!("Token {}", token()), Known::default()), Err(DenyReason::SchemeNotAllowed));
}

#[test]
fn attack_an_unbound_token_reaches_the_control_plane_under_a_sysadmins_name() {
    let caller = Found::Record(UserRecord { sysadmin: true, ..user("admin") });
    let token_record = TokenRecord { binding: Binding::Unbound, ..record() };
    let verdict = |path| {
        let known = Known { token: Found::Record(token_record.clone()), caller: caller.clone(), ..Known::default() };
        let settings = Settings { unbound_tokens: true, ..Settings::default() };
        Given { path, authorization: &basic("admin", &token()), known, settings, ..Given::default() }.verdict()
    };
    assert_eq!(verdict("/rest/x"), Ok("admin".into()));
    assert_eq!(verdict("/api/v1/users"), Err(DenyReason::CannotManage));
}

#[test]
fn attack_u7_a_listed_caller_becomes_a_sysadmin() {
    let settings = || Settings {
        on_behalf_of: OnBehalfOf::Listed,
        on_behalf_of_callers: UserName::try_from("alice").into_iter().collect(),
        ..Settings::default()
    };
    let as_user = |context_user: UserRecord| {
        let known = Known { context_user: Found::Record(context_user), ..found(record()) };
        let (authorization, headers) = (&basic("alice", &token()), [("contextuser", "whoever")]);
        Given { authorization, known, settings: settings(), headers: &headers, ..Given::default() }.verdict()
    };
    assert_eq!(as_user(user("bob")), Ok("bob".into()));
    assert_eq!(as_user(UserRecord { sysadmin: true, ..user("admin") }), Err(DenyReason::ContextUserIsSysadmin));
    assert_eq!(as_user(UserRecord { suspended: true, ..user("bob") }), Err(DenyReason::ContextUserSuspended));
}

#[test]
fn attack_s3_an_exempt_path_exempts_nothing_that_only_begins_like_it() {
    let at = |path| {
        let settings = Settings {
            passwords: Passwords::Disabled,
            password_exempt_paths: ["/rest/open/", "/rest/one"]
                .into_iter()
                .filter_map(|path| path.try_into().ok())
                .collect(),
            ..Settings::default()
        };
        Given { path, authorization: &basic("alice", "wonderland"), settings, ..Given::default() }.verdict()
    };
    for exempt in ["/rest/open/x", "/rest/one", "/rest/one/two", "/rest/one?x=/rest/y"] {
        assert_eq!(at(exempt), Ok("(passed)".into()), "{exempt}");
    }
    for other in ["/rest/open", "/rest/opened", "/rest/OPEN/x", "/rest/onetwo", "/rest/x?/rest/one"] {
        assert_eq!(at(other), Err(DenyReason::PasswordDisabled), "{other}");
    }
}

#[test]
fn principle_3_what_cannot_be_read_refuses() {
    let unreadable = || Known { token: Found::Unreadable, ..Known::default() };
    assert_eq!(with(&basic("alice", &token()), unreadable()), Err(DenyReason::SnapshotUnreadable));
    assert_eq!(with(&basic("alice", "wonderland"), unreadable()), Err(DenyReason::SnapshotUnreadable));
    // Nobody has looked: the same, or an imported token would go on as a password.
    assert_eq!(with(&basic("alice", "wonderland"), Known::default()), Err(DenyReason::SnapshotUnreadable));
}

fn restricted(restrictions: Found<Rc<Set>>) -> Known {
    let record = TokenRecord { restrictions: Some(KeyedHash::from_bytes([1; 32])), ..record() };
    Known { restrictions, ..found(record) }
}

fn set(line: &str) -> Found<Rc<Set>> {
    Found::Record(Rc::new(Set::parse(&[line]).unwrap().unwrap()))
}

#[test]
fn principle_3_a_missing_set_of_restrictions_refuses() {
    let bearer = format!("Bearer {}", token());
    for missing in [Found::NotLookedUp, Found::Nothing, Found::Unreadable] {
        assert_eq!(with(&bearer, restricted(missing)), Err(DenyReason::SnapshotUnreadable));
    }
    assert_eq!(with(&bearer, restricted(set("/rest/x"))), Ok("alice".into()));
    assert_eq!(with(&bearer, restricted(set("/rest/y"))), Err(DenyReason::Restricted));
}

#[test]
fn l5_the_body_is_awaited_only_if_it_can_be_read_and_is_small_enough() {
    let bearer = format!("Bearer {}", token());
    let with_headers = |headers: &[(&str, &str)]| {
        let known = restricted(set("/rest/x[JsonData::a==b]"));
        Given { authorization: &bearer, known, headers, ..Given::default() }.verdict()
    };
    let awaits = || Ok("(awaits its body)".into());
    assert_eq!(with_headers(&[("content-type", "application/json"), ("content-length", "1048576")]), awaits());
    let too_large = [("content-type", "application/json"), ("content-length", "1048577")];
    assert_eq!(with_headers(&too_large), Err(DenyReason::BodyTooLarge));
    assert_eq!(with_headers(&[]), Err(DenyReason::BodyUnreadable));
    for content_type in [
        "application/x-www-form-urlencoded,application/x+json",
        "application/x-www-form-urlencoded +json",
        "application/json;p=q,application/x-www-form-urlencoded",
        "application/json;p=1,charset=utf-16",
        "application/+json",
        "application/x-www-form-urlencoded+json",
        "application/json application/x-www-form-urlencoded",
    ] {
        let header = [("content-type", content_type)];
        assert_eq!(with_headers(&header), Err(DenyReason::BodyUnreadable), "{content_type}");
    }
    let typed = |header| with_headers(&[("content-type", "application/json"), header]);
    assert_eq!(typed(("content-encoding", "gzip")), Err(DenyReason::BodyUnreadable));
    assert_eq!(typed(("content-encoding", "identity")), awaits());
    assert_eq!(typed(("upgrade", "websocket")), Err(DenyReason::BodyUnreadable));
    for header in [
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "application/json, text/plain"),
    ] {
        assert_eq!(with_headers(&[header]), Err(DenyReason::BodyUnreadable), "{header:?}");
    }
    let twice = [("content-type", "application/json"), ("content-type", "text/plain")];
    assert_eq!(with_headers(&twice), Err(DenyReason::BodyUnreadable));
}
