//! Whatever was made under whichever settings: a yes and a no are true of it.

use super::*;
use crate::credential::Secret;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const IMPORTED: &str = "5f2b8c91-of-another-product";

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

/// All that the real judge is told.
struct Knows<'a> {
    keys: &'a FilterKeys,
    held: Held,
    users: &'a [UserRecord],
    address: Option<IpAddr>,
}

impl Sources for Knows<'_> {
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
    let facts = Knows { keys, held: had.held(), users: &users, address: made.address };
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
