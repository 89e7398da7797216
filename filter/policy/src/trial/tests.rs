//! A trial is never wrong, and not lazy.

mod never_wrong;

extern crate std;
use super::possible::sites;
use super::*;
use crate::assertion::AssertionKey;
use crate::usage::{ADMITTED, PASSED};
use crate::{Addresses, Binding, HashKey, HashKeys, Owner, Scope, SealKey, Timestamp, TokenState};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::borrow::ToOwned as _;
use std::string::{String, ToString as _};
use std::{format, vec};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn keys(shared: bool) -> FilterKeys {
    FilterKeys {
        token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
        user_hash: HashKey::new([2; 32]),
        credential: SealKey::new([3; 32]),
        shared_credential: BackendCredential::new(b"Bearer shared").filter(|_| shared),
        backend_assertion: AssertionKey::new([4; 32]),
        control_plane_assertion: AssertionKey::new([5; 32]),
    }
}

fn settings(patches: &[Value]) -> Settings {
    let all = patches.iter().flat_map(|patch| patch.as_object().unwrap().clone()).collect();
    Settings::default().patched(&all).unwrap()
}

/// Everybody who is known. Only carol has a backend credential of her own.
fn users(keys: &FilterKeys) -> Vec<UserRecord> {
    let user = |name: &str, sysadmin, suspended| UserRecord {
        name: name.into(),
        email: Some(format!("{name}@example.org")),
        sysadmin,
        suspended,
        credential: None,
    };
    let credential = BackendCredential::new(b"Bearer carol").unwrap().seal("carol", &keys.credential, [9; 24]);
    vec![
        user("alice", false, false),
        user("root", true, false),
        user("bob", false, false),
        user("zoe", false, true),
        UserRecord { credential, ..user("carol", false, false) },
    ]
}

/// A token as it is at some time, under the restrictions of that time.
#[derive(Clone, Debug)]
struct Had {
    record: TokenRecord,
    lines: &'static [&'static str],
}

impl Had {
    fn held(&self) -> Held {
        let set = Set::parse(self.lines).unwrap().map(Rc::new);
        let restrictions = set.as_ref().map(|set| HashKey::new([7; 32]).hash(set.to_string().as_bytes()));
        Held { record: TokenRecord { restrictions, ..self.record.clone() }, restrictions: set }
    }
}

/// Who is found by a control plane that reads a record: the owner, and the user of whom it speaks.
fn party(call: &Call, held: [Held; 2], unedited: bool, users: Vec<UserRecord>) -> Party {
    let names = |user: &UserRecord| {
        let owner = match &held[0].record.binding {
            Binding::User(owner) => Some(&owner.name),
            Binding::Unbound => None,
        };
        Some(&user.name) == owner || Some(&user.name) == call.user.as_ref()
    };
    let users = users.into_iter().filter(names).collect();
    Party { token: call.token.as_ref().map(|_| held), unedited, users }
}

fn call(path: &str, outcome: &str) -> Call {
    Call {
        at: NOW,
        token: Some("t1".into()),
        user: Some("alice".into()),
        actor: None,
        method: "GET".into(),
        path: path.into(),
        address: Some("192.0.2.7".parse().unwrap()),
        outcome: outcome.into(),
        status: Some(200),
        request_id: String::new(),
    }
}

fn alice(lines: &'static [&'static str]) -> Had {
    let owner = Owner { name: "alice".into(), email: None, sysadmin: false };
    let record = TokenRecord {
        id: "t1".into(),
        binding: Binding::User(owner),
        created_at: Timestamp::from_millis(0),
        valid_from: None,
        expires_at: None,
        state: TokenState::Active,
        scope: Scope::Full,
        addresses: Addresses::Any,
        restrictions: None,
    };
    Had { record, lines }
}

fn tried(call: &Call, patch: Value, [before, after]: [&'static [&'static str]; 2], no_override: bool) -> Tried {
    let keys = keys(false);
    let (present, changed) = (Settings::default(), settings(&[patch]));
    let held = [alice(before).held(), alice(after).held()];
    let party = party(call, held, before == after, users(&keys));
    Trial::new(&present, &changed, &keys, no_override).judge(call, &party, &Site::default())
}

#[test]
fn s9_whatever_looks_at_nothing_unknown_is_decided() {
    let path = "/rest/api/2/issue/JRA-1";
    let nothing: [(Value, Option<DenyReason>); 12] = [
        (json!({ "token_authentication": false }), Some(DenyReason::TokensOff)),
        (json!({ "ip_rules": ["10.0.0.0/8"] }), Some(DenyReason::IpNotAllowed)),
        (json!({ "ip_rules": ["192.0.2.0/24"] }), None),
        (
            json!({ "only_admins_create": true, "users_may_use_tokens_created_for_them": false }),
            Some(DenyReason::TokensForAdminsOnly),
        ),
        (json!({ "identity": "credential" }), Some(DenyReason::NoBackendCredential)),
        (json!({ "passwords": "disabled" }), None),
        (json!({ "backend_authenticates": false }), None),
        (json!({ "foreign_credentials": "refuse" }), None),
        (json!({ "on_behalf_of": "off" }), None),
        (json!({ "encoded_slashes": "keep" }), None),
        (json!({ "max_validity": "90d", "log_calls": false, "help_url": null }), None),
        (json!({ "body_limit": 1024 }), None),
    ];
    for lines in [&[][..], &["[get]/rest/.*"]] {
        for (patch, expected) in &nothing {
            let tried = tried(&call(path, ADMITTED), patch.clone(), [lines, lines], false);
            let (answer, after) = match expected {
                Some(reason) => (Answer::Yes, Would::Refused(Some(*reason))),
                None => (Answer::No, Would::Pass),
            };
            assert_eq!((tried.refuses, tried.before, tried.after), (answer, Would::Pass, after), "{patch} {tried:?}");
            assert_eq!((tried.admits, tried.missing), (Answer::No, vec![]), "{patch}");
        }
    }
}

#[test]
fn s9_what_is_missing_is_named() {
    let admitted = call("/rest/x", ADMITTED);
    let schemes = json!({ "token_schemes": "basic" });
    assert_eq!(tried(&admitted, schemes, [&[], &[]], false).missing, [Missing::Scheme]);
    for (lines, answer, missing) in [
        (&["[get]/rest/x"][..], Answer::No, vec![]),
        (&["[post]/rest/x", "/rest/y[QueryParam::q==1]"], Answer::Yes, vec![]),
        (&["/rest/x[QueryParam::q==1]"], Answer::Undecidable, vec![Missing::Query]),
        (&["/rest/x[JsonData::q==1]"], Answer::Undecidable, vec![Missing::Body]),
        (
            &["/rest/x[QueryParam::q==1]", "/rest/x[JsonData::q==1]"],
            Answer::Undecidable,
            vec![Missing::Query, Missing::Body],
        ),
        (&["/rest/x[QueryParam::q==1]", "/rest/.*"], Answer::No, vec![]),
    ] {
        let tried = tried(&admitted, json!({}), [&[], lines], true);
        assert_eq!((tried.refuses, tried.missing), (answer, missing), "{lines:?}");
    }
    // Unless somebody knows better, it may have had a header that overrides the method, with which it would be refused.
    let tried_ = tried(&admitted, json!({}), [&[], &["[get]/rest/x"]], false);
    assert_eq!((tried_.refuses, tried_.missing), (Answer::Undecidable, vec![Missing::Header]));
    // Both before and after the same set decides, so a change of something else changes nothing.
    let lines: &[&str] = &["/rest/x[QueryParam::q==1]"];
    let tried_ = tried(&admitted, json!({ "help_url": null }), [lines, lines], false);
    assert_eq!((tried_.refuses, tried_.before), (Answer::No, Would::Pass), "they held when it was made");
    let refused = call("/rest/x", "restricted");
    let tried_ = tried(&refused, json!({ "help_url": null }), [lines, lines], false);
    assert_eq!((tried_.refuses, tried_.before), (Answer::No, Would::Undecidable));
    let smaller = tried(&admitted, json!({ "body_limit": 1024 }), [&["/rest/x[JsonData::q==1]"]; 2], false);
    assert_eq!((smaller.refuses, smaller.missing), (Answer::Undecidable, vec![Missing::Body]));
    for (path, missing) in [("/rest/tgt_…", Missing::Path), ("/rest/\u{fffd}", Missing::Path), ("*", Missing::Site)] {
        assert_eq!(tried(&call(path, ADMITTED), json!({}), [&[], &[]], false).missing, [missing], "{path}");
    }
}

#[test]
fn s9_what_was_refused_may_have_been_refused_for_ever() {
    let refused = call("/rest/x", "ip_not_allowed");
    let tried_ = tried(&refused, json!({ "ip_rules": ["10.0.0.0/8"] }), [&[], &[]], false);
    assert_eq!((tried_.refuses, tried_.admits), (Answer::Undecidable, Answer::No));
    assert_eq!(tried_.missing, [Missing::Header]);
    assert_eq!(tried_.after, Would::Refused(Some(DenyReason::IpNotAllowed)));
}

#[test]
fn s9_what_was_refused_may_have_been_on_behalf_of_somebody_whom_the_backend_knows() {
    let keys = keys(false);
    let present = settings(&[json!({ "ip_rules": ["10.0.0.0/8"] })]);
    let listed = json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["alice"] });
    let changed = settings(&[json!({ "identity": "credential" }), listed]);
    let refused = call("/rest/x", "ip_not_allowed");
    let party = party(&refused, [alice(&[]).held(), alice(&[]).held()], true, users(&keys));
    let tried = Trial::new(&present, &changed, &keys, false).judge(&refused, &party, &Site::default());
    assert_eq!(
        (tried.refuses, tried.admits),
        (Answer::No, Answer::Undecidable),
        "alice herself has no credential there"
    );
    assert_eq!(tried.missing, [Missing::Header]);
}

#[test]
fn s9_a_path_that_the_site_does_not_protect_is_judged_below_every_context() {
    let admitted = call("/jira/rest/api/2/issue", ADMITTED);
    let addresses = json!({ "ip_rules": ["10.0.0.0/8"] });
    assert_eq!(tried(&admitted, addresses, [&[], &[]], false).refuses, Answer::Yes);
    let password = Call { token: None, outcome: PASSED.into(), ..admitted };
    let keys = keys(false);
    let exempt = settings(&[json!({ "passwords": "disabled", "password_exempt_paths": ["/rest/api/"] })]);
    let present = Settings::default();
    let trial = Trial::new(&present, &exempt, &keys, false);
    let party = Party { token: None, unedited: false, users: vec![] };
    let tried = trial.judge(&password, &party, &Site::default());
    assert_eq!((tried.refuses, tried.missing), (Answer::Undecidable, vec![Missing::Site]));
    let site = Site { context_path: "/jira".into(), ..Site::default() };
    assert_eq!(trial.judge(&password, &party, &site).refuses, Answer::No);
    let elsewhere = Call { path: "/jira/rest/x".into(), ..password };
    assert_eq!(trial.judge(&elsewhere, &party, &site).refuses, Answer::Yes);
}
