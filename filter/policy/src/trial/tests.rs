//! A trial is never wrong, and not lazy.

extern crate std;
use super::*;
use crate::assertion::AssertionKey;
use crate::credential::Secret;
use crate::{Addresses, HashKey, HashKeys, Owner, Scope, SealKey, Timestamp, TokenState};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use std::borrow::ToOwned as _;
use std::string::ToString as _;
use std::{format, vec};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const IMPORTED: &str = "5f2b8c91-of-another-product";

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

/// The request as it was made, with all that nobody records.
#[derive(Clone, Debug)]
struct Made {
    authorization: Vec<String>,
    headers: Vec<(&'static str, &'static str)>,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Option<&'static str>,
    address: Option<IpAddr>,
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

/// All that the real judge is told.
struct Facts_<'a> {
    keys: &'a FilterKeys,
    held: Held,
    users: &'a [UserRecord],
    address: Option<IpAddr>,
}

impl Sources for Facts_<'_> {
    fn token(&self, hash: &KeyedHash) -> Found<TokenRecord> {
        let secrets = [token::mint([5; 32]), Secret::new(IMPORTED.into())];
        let is = secrets.iter().any(|secret| self.keys.token_hash.hash(secret) == *hash);
        if is { Found::Record(self.held.record.clone()) } else { Found::Nothing }
    }

    fn user(&self, hash: &KeyedHash) -> Found<UserRecord> {
        let called = |user: &&UserRecord| {
            [Some(&user.name), user.email.as_ref()].into_iter().flatten().any(|name| self.keys.user_hash(name) == *hash)
        };
        self.users.iter().find(called).cloned().map_or(Found::Nothing, Found::Record)
    }

    fn restrictions(&self, _hash: &KeyedHash) -> Found<Rc<Set>> {
        self.held.restrictions.clone().map_or(Found::Unreadable, Found::Record)
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

/// What really becomes of it, as in a proxy: with its body, if the verdict waits for one. And what is recorded of it.
fn really(
    made: &Made,
    settings: &Settings,
    had: &Had,
    keys: &FilterKeys,
    site: &Site,
) -> (Result<(), DenyReason>, Option<Call>) {
    let target = if made.query.is_empty() { made.path.into() } else { format!("{}?{}", made.path, made.query) };
    let mut headers = vec![(":path", target.as_str()), (":method", made.method)];
    headers.extend(made.authorization.iter().map(|value| ("authorization", value.as_str())));
    headers.extend(made.headers.iter().copied());
    let request = Request::read(&headers, site);
    let users = users(keys);
    let facts = Facts_ { keys, held: had.held(), users: &users, address: made.address };
    let known = Known::gather(&request, settings, keys, &facts);
    let judge = |body| {
        let snapshot = Snapshot::Ready { settings, age_ms: 0 };
        decide(&Facts { request: &request, snapshot, known: &known, body, now: NOW })
    };
    let verdict = match (judge(made.body.map_or(Body::None, |_| Body::NotYet)), made.body) {
        (Verdict::NeedBody, Some(body)) if body.len() > usize::try_from(settings.body_limit.get()).unwrap() => {
            match judge(Body::Unreadable) {
                Verdict::Deny(DenyReason::BodyUnreadable) => Verdict::Deny(DenyReason::BodyTooLarge),
                other => other,
            }
        }
        (Verdict::NeedBody, Some(body)) => judge(Body::Bytes(body.as_bytes())),
        (verdict, _) => verdict,
    };
    let audited = settings.audit_calls;
    let call = Call::of(&verdict, &request, &known, audited, NOW, || made.address);
    let outcome = match verdict {
        Verdict::Admit(_) | Verdict::Pass(_) => Ok(()),
        Verdict::NeedBody => Err(DenyReason::BodyUnreadable),
        Verdict::Deny(reason) => Err(reason),
    };
    (outcome, call)
}

const LINES: [&[&str]; 10] = [
    &[],
    &[],
    &[],
    &["/rest/.*", "/jira/.*"],
    &["[get].*/rest/api/2/.*"],
    &["[put].*/rest/.*[JsonData::ok==yes]", "[get].*/rest/api/.*"],
    &[".*[QueryParam::q==1]"],
    &[".*[QueryParam::q==1][JsonData::ok==yes]", "[post]/rest/x"],
    &["/nowhere"],
    &[".*%2f.*", "/jira/rest/.*"],
];

fn patches() -> impl Strategy<Value = Vec<Value>> {
    let all = vec![
        json!({ "token_authentication": false }),
        json!({ "token_schemes": "basic" }),
        json!({ "token_schemes": "bearer" }),
        json!({ "unbound_tokens": true }),
        json!({ "backend_authenticates": false }),
        json!({ "passwords": "disabled" }),
        json!({ "passwords": "disabled", "password_exempt_users": ["bob"] }),
        json!({ "passwords": "disabled", "password_exempt_paths": ["/rest/api/"] }),
        json!({ "ip_rules": ["10.0.0.0/8"] }),
        json!({ "ip_rules": ["10.0.0.0/8", "192.0.2.7"], "ip_rules_apply_to": "all" }),
        json!({ "on_behalf_of": "off" }),
        json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["alice"] }),
        json!({ "only_admins_create": true, "users_may_use_tokens_created_for_them": false }),
        json!({ "encoded_slashes": "keep" }),
        json!({ "identity": "credential" }),
        json!({ "identity": "assertion", "assertion_paths": ["/rest/api/"] }),
        json!({ "body_limit": 1024 }),
        json!({ "facades": ["pat"] }),
        json!({ "foreign_credentials": "refuse" }),
    ];
    subsequence(all, 0..3)
}

fn made() -> impl Strategy<Value = Made> {
    let token = token::mint([5; 32]);
    let token = std::str::from_utf8(token.expose()).unwrap().to_owned();
    let pair = |user: &str, secret: &str| format!("Basic {}", BASE64.encode(format!("{user}:{secret}")));
    // Good ones often: what is refused anyway shows little.
    let authorizations = vec![
        vec![format!("Bearer {token}")],
        vec![format!("Bearer {token}")],
        vec![format!("Bearer {token}")],
        vec![format!("Bearer {IMPORTED}")],
        vec![pair("alice", &token)],
        vec![pair("alice", &token)],
        vec![pair("alice", &token)],
        vec![pair("ALICE@example.org", &token)],
        vec![pair("root", &token)],
        vec![pair("bob", &token)],
        vec![pair("nobody", &token)],
        vec![pair("alice", IMPORTED)],
        vec![format!("Bearer {IMPORTED}")],
        vec![pair(IMPORTED, "")],
        vec![pair("alice", &token), format!("Bearer {token}")],
        vec![pair("bob", "wonderland")],
        vec![pair("nobody", "wonderland")],
        vec![pair("quote'd", "wonderland")],
        vec![],
    ];
    let context_users = vec![
        vec![],
        vec![],
        vec![],
        vec![("contextuser", "bob")],
        vec![("contextuser", "carol@example.org")],
        vec![("contextuser", "root")],
        vec![("contextuser", "zoe")],
        vec![("contextuser", "nobody")],
        vec![("contextuser", "bob"), ("contextuser", "carol")],
    ];
    let others = vec![
        vec![],
        vec![],
        vec![("x-http-method-override", "DELETE")],
        vec![("x-http-method-override", "DELETE")],
        vec![("content-type", "application/json")],
        vec![("content-type", "application/json"), ("content-length", "4000")],
        vec![("content-type", "text/plain")],
    ];
    let paths = [
        "/rest/api/2/issue/JRA-1",
        "/rest/x",
        "/rest/a%2fb",
        "/REST/it's",
        "/rest/tgt_abc",
        "/jira/rest/api/2/issue",
        "/jira/rest/pat/latest/tokens",
        "/rest/api-tokens/latest/",
        "/rest/pat/latest/tokens",
        "/api/v1/tokens",
        "/browse",
    ];
    // Too large for the smaller limit.
    let long: &'static str =
        std::boxed::Box::leak(format!("{{\"ok\":\"yes\",\"x\":\"{}\"}}", "x".repeat(2000)).into_boxed_str());
    let bodies = [None, Some(r#"{"ok":"yes"}"#), Some(r#"{"ok":"no"}"#), Some("{"), Some(long)];
    let methods = ["GET", "GET", "POST", "PUT", "DELETE", "TRACE"];
    let addresses = [None, Some("10.1.2.3"), Some("192.0.2.7"), Some("2001:db8::1")];
    (
        select(authorizations),
        select(context_users),
        select(others),
        select(methods.to_vec()),
        select(paths.to_vec()),
        select(vec!["", "q=1", "q=2", "q=%zz", "q=1&q=1"]),
        select(bodies.to_vec()),
        select(addresses.to_vec()),
    )
        .prop_map(|(authorization, context, others, method, path, query, body, address)| Made {
            authorization,
            headers: [context, others].concat(),
            method,
            path,
            query,
            body,
            address: address.map(|address| address.parse().unwrap()),
        })
}

fn had() -> impl Strategy<Value = Had> {
    let owner = |name: &str, sysadmin| {
        Binding::User(Owner { name: name.into(), email: Some(format!("{name}@example.org")), sysadmin })
    };
    let bindings = vec![owner("alice", false), owner("alice", false), owner("root", true), Binding::Unbound];
    let states = [vec![TokenState::Active; 5], vec![TokenState::OwnerSuspended]].concat();
    let addresses = vec![Addresses::Any, Addresses::Any, Addresses::Only(vec!["10.0.0.0/8".parse().unwrap()])];
    let ends = vec![None, None, None, Some(NOW), Some(Timestamp::from_millis(NOW.as_millis() + 1))];
    (
        select(bindings),
        select(states),
        select(addresses),
        select(ends),
        select(vec![Scope::Full, Scope::Full, Scope::Full, Scope::ReadOnly]),
        select(LINES.to_vec()),
    )
        .prop_map(|(binding, state, addresses, expires_at, scope, lines)| {
            let record = TokenRecord {
                id: "t1".into(),
                binding,
                created_at: Timestamp::from_millis(0),
                valid_from: None,
                expires_at,
                state,
                scope,
                addresses,
                restrictions: None,
            };
            Had { record, lines }
        })
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

/// Asserts that what was answered is so of the request that was made.
fn assert_true_of(
    tried: &Tried,
    before: Result<(), DenyReason>,
    after: Result<(), DenyReason>,
) -> Result<(), TestCaseError> {
    let is = |answer: Answer, so: bool| answer == Answer::Undecidable || (answer == Answer::Yes) == so;
    prop_assert!(is(tried.refuses, before.is_ok() && after.is_err()), "{tried:?} {before:?} {after:?}");
    prop_assert!(is(tried.admits, before.is_err() && after.is_ok()), "{tried:?} {before:?} {after:?}");
    for (would, really) in [(tried.before, before), (tried.after, after)] {
        match would {
            Would::Pass => prop_assert_eq!(really, Ok(()), "{:?}", tried),
            Would::Refused(None) => prop_assert!(really.is_err(), "{tried:?}"),
            Would::Refused(Some(reason)) => prop_assert_eq!(really, Err(reason), "{:?}", tried),
            Would::Undecidable => {}
        }
    }
    let undecidable = [tried.refuses, tried.admits].contains(&Answer::Undecidable);
    prop_assert_eq!(undecidable, !tried.missing.is_empty(), "what is missing is named: {:?}", tried);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1 << 20, ..ProptestConfig::with_cases(4000) })]

    /// Whatever was made under whichever settings, and whatever is changed since: the answer is true of it.
    #[test]
    fn s9_a_yes_and_a_no_are_never_wrong(
        made in made(),
        then in patches(),
        present in patches(),
        patch in patches(),
        was in had(),
        edited in proptest::option::of((select(LINES.to_vec()), select(vec![Scope::Full, Scope::ReadOnly]))),
        tried_lines in proptest::option::of(select(LINES.to_vec())),
        shared: bool,
        context in select(vec!["", "/jira"]),
        given in select(vec!["", "/jira"]),
    ) {
        let keys = keys(shared);
        let site = Site { context_path: context.into(), ..Site::default() };
        // The site that is given may be another one, as long as it does not contradict itself: a facade's path belongs to
        // the control plane in the one, and to the backend in the other.
        let given = Site { context_path: given.into(), ..Site::default() };
        prop_assume!(given == site || sites(made.path.as_bytes(), &given).len() > 1);
        let then = settings(&[then, vec![json!({ "audit_calls": "tokens_and_passwords" })]].concat());
        let (_, call) = really(&made, &then, &was, &keys, &site);
        let Some(call) = call else {
            return Err(TestCaseError::reject("not recorded"));
        };
        let before = match edited {
            None => was.clone(),
            Some((lines, scope)) => Had { lines, record: TokenRecord { scope, ..was.record.clone() } },
        };
        let after = Had { lines: tried_lines.unwrap_or(before.lines), ..before.clone() };
        let unedited = edited.is_none();
        let (present, changed) = (settings(&present), settings(&[present, patch].concat()));
        let trial = Trial::new(&present, &changed, &keys, false);
        let held = [before.held(), after.held()];
        let tried = trial.judge(&call, &party(&call, held, unedited, users(&keys)), &given);
        let (really_before, _) = really(&made, &present, &before, &keys, &site);
        let (really_after, _) = really(&made, &changed, &after, &keys, &site);
        assert_true_of(&tried, really_before, really_after)?;
        // Told that no method was overridden, it is right as well where none was.
        if !made.headers.iter().any(|(name, _)| name.contains("override")) {
            let trial = Trial::new(&present, &changed, &keys, true);
            let held = [before.held(), after.held()];
            let tried = trial.judge(&call, &party(&call, held, unedited, users(&keys)), &given);
            assert_true_of(&tried, really_before, really_after)?;
        }
    }

    /// What is foreseen of a set is what it says, whatever query and body are.
    #[test]
    fn s9_what_is_foreseen_of_restrictions_comes_true(
        lines in select(LINES.to_vec()),
        method in select(vec!["GET", "PUT", "POST"]),
        path in select(vec!["/rest/api/2/x", "/rest/x", "/nowhere", "/jira/rest/", "/rest/a%2fb"]),
        query in "(q=[12%]&?){0,2}",
        body in select(vec![Body::None, Body::NotYet, Body::Unreadable, Body::Bytes(b"{\"ok\":\"yes\"}"), Body::Bytes(b"{}")]),
    ) {
        use crate::restrictions::Outcome;
        let Some(set) = Set::parse(lines).unwrap() else {
            return Ok(());
        };
        let outcome = set.judge(method.as_bytes(), path.as_bytes(), query.as_bytes(), body);
        match set.foresee(method.as_bytes(), path.as_bytes()) {
            Foreseen::Holds => prop_assert_eq!(outcome, Outcome::Holds),
            Foreseen::NothingHolds => prop_assert_eq!(outcome, Outcome::NothingHolds),
            Foreseen::DependsOn { query, body } => {
                prop_assert!(query || body);
                prop_assert!(query || outcome != Outcome::BadQuery);
                prop_assert!(body || !matches!(outcome, Outcome::NeedBody | Outcome::BodyUnreadable));
            }
        }
    }
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
