//! Trying a change before making it (S9): real calls, what is said of them, and what then becomes of the same calls.

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Reply, Token, World, eventually};

/// A call that can be made again.
struct Made<'a> {
    /// No other's, and as the audit writes it.
    path: &'static str,
    send: Box<dyn Fn() -> Reply + 'a>,
    /// What became of it before the change.
    first: Reply,
}

impl<'a> Made<'a> {
    fn make(path: &'static str, send: impl Fn() -> Reply + 'a) -> Self {
        let first = send();
        Self { path, send: Box::new(send), first }
    }
}

fn try_out(world: &World, path: &str, body: &Value) -> Value {
    let reply = world.as_admin(Method::POST, path).json(body).send();
    assert_eq!(reply.status, 200, "{body}: {}", reply.text);
    let answer = reply.json;
    for question in ["refuses", "admits"] {
        let counts = ["yes", "no", "undecidable"].map(|name| answer[question][name].as_u64().expect("a count"));
        assert_eq!(counts.iter().sum::<u64>(), answer["tried"].as_u64().expect("a count"), "{answer}");
    }
    assert_eq!(answer["out_of_time"], false, "{answer}");
    answer
}

/// Waits until all of these are in the audit of calls; those before are taken out of it, so that these are all.
fn recorded(world: &World, made: &[Made<'_>]) {
    let paths: Vec<String> = made.iter().map(|made| format!("'{}'", made.path.replace('\'', "''"))).collect();
    let these = format!("path in ({})", paths.join(", "));
    eventually("the calls are in the audit", || {
        let rows = world.rows(&format!("select count(*) from calls where {these}"));
        (rows == [made.len().to_string()]).then_some(())
    });
    world.rows(&format!("delete from calls where path is null or not {these}"));
}

/// What is said of a call: it is not shown if nothing changes.
fn said<'v>(answer: &'v Value, path: &str) -> Option<&'v Value> {
    answer["calls"].as_array().expect("a list").iter().find(|call| call["path"] == path)
}

/// Holds what was said of calls against what becomes of them now that the change is made; gives how often each answer was
/// given.
fn assert_came_true(answer: &Value, made: &[Made<'_>], change: &str) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for Made { path, send, first } in made {
        let (now, was_let) = (send(), first.status == 200);
        let told = said(answer, path);
        let text = format!("{change}: {path}: {told:?} {}", now.text);
        let word = |name: &str| told.map_or("no", |told| told[name].as_str().expect("a word"));
        match word("refuses") {
            "yes" => {
                assert!(was_let, "{text}");
                let code = &told.expect("it is shown")["code"]; // null: it may be for one of several reasons
                assert!(now.status.is_client_error() && (code.is_null() || now.json["code"] == *code), "{text}");
            }
            "no" => assert!(!was_let || now.status == 200, "{text}"),
            _ => assert!(!told.expect("it is shown")["missing"].as_array().expect("a list").is_empty(), "{text}"),
        }
        match word("admits") {
            "yes" => assert!(!was_let && now.status == 200, "{text}"),
            "no" => assert!(was_let || now.status != 200, "{text}"),
            _ => {}
        }
        *answers.entry(word("refuses").to_owned()).or_default() += 1;
    }
    answers
}

/// A world behind one more proxy, which says whose address it is, with the means to keep encoded slashes.
fn world() -> World {
    let mut world = World::prepare(2);
    world.site.secure_mode = false;
    world.edit_config("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1");
    let action = "path_with_escaped_slashes_action: ";
    world.edit_config(&format!("{action}REJECT_REQUEST"), &format!("{action}KEEP_UNCHANGED"));
    world.start_both();
    world
}

#[test]
fn s9_given_real_calls_when_settings_are_tried_then_made_the_same_calls_get_what_was_said() {
    let world = world();
    let alice = world.token_for("alice");
    world.create_user("bob");
    let admin = world.admin_token();
    let of_alice = |properties: Value| {
        let mut all = json!({ "label": "x", "owner": "alice" });
        all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        world.new_token(&all)
    };
    let before = json!({
        "audit_calls": "tokens_and_passwords", "unbound_tokens": true, "encoded_slashes": "keep",
    });
    world.set(&before);
    let unbound = world.new_token(&json!({ "label": "x", "unbound": true }));
    let lines = of_alice(json!({ "restrictions": ["[get]/rest/lines.*", "/rest/query[QueryParam::q==1]"] }));
    let reading = of_alice(json!({ "scope": "read_only" }));
    world.wait_until_told();
    let get = |path, address: &'static str| world.get(path).header("x-forwarded-for", address.as_bytes());
    let inside = "10.1.2.3";
    let made = [
        Made::make("/rest/inside", || get("/rest/inside?x=1", inside).basic("alice", &alice).send()),
        Made::make("/rest/outside", || get("/rest/outside", "192.0.2.7").bearer(&alice).send()),
        Made::make("/rest/v6", || get("/rest/v6", "2001:db8::1").bearer(&alice).send()),
        Made::make("/rest/boss", || get("/rest/boss", inside).basic("admin", &admin).send()),
        Made::make("/rest/for/bob", || {
            get("/rest/for/bob", inside).basic("admin", &admin).header("contextUser", b"bob").send()
        }),
        Made::make("/rest/a%2fb", || get("/rest/a%2fb", inside).bearer(&alice).send()),
        Made::make("/rest/it\\'s", || get("/rest/it's", inside).bearer(&alice).send()),
        Made::make("/rest/lines", || get("/rest/lines", inside).basic("alice", &lines).send()),
        Made::make("/rest/query", || get("/rest/query?q=1", inside).bearer(&lines).send()),
        Made::make("/rest/nothing", || get("/rest/nothing", inside).bearer(&lines).send()),
        Made::make("/rest/reading", || get("/rest/reading", inside).bearer(&reading).send()),
        Made::make("/rest/unbound", || get("/rest/unbound", inside).basic("bob", &unbound).send()),
        Made::make("/rest/password", || get("/rest/password", inside).basic("alice", "wonderland").send()),
        Made::make("/rest/wrong", || get("/rest/wrong", inside).basic("bob", &alice).send()),
        Made::make("/api/v1/audit/calls", || get("/api/v1/audit/calls", inside).basic("alice", &alice).send()),
    ];
    let let_through = made.iter().filter(|made| made.first.status == 200).count();
    assert_eq!(let_through, made.len() - 2, "all but the restricted and the wrong one");
    recorded(&world, &made);

    let changes = [
        (json!({ "token_authentication": false }), 11),
        (json!({ "ip_rules": ["10.0.0.0/8", "127.0.0.1"] }), 2),
        (json!({ "ip_rules": ["192.0.2.0/24", "127.0.0.1"], "ip_rules_apply_to": "all" }), 12),
        (json!({ "only_admins_create": true, "users_may_use_tokens_created_for_them": false }), 10),
        (json!({ "passwords": "disabled" }), 1),
        (json!({ "passwords": "disabled", "password_exempt_users": ["alice"] }), 0),
        (json!({ "backend_authenticates": false }), 1),
        (json!({ "encoded_slashes": "refuse" }), 1),
        (json!({ "on_behalf_of": "off" }), 1),
        (json!({ "unbound_tokens": false }), 1),
        (json!({ "identity": "credential" }), 11),
        (json!({ "token_schemes": "bearer" }), 1),
        (json!({ "token_schemes": "basic" }), 0),
        (json!({ "max_validity": "90d", "help_url": "https://help.example.org/" }), 0),
    ];
    let (revision, audit) = (world.control_get("/readyz").send().json["revision"].clone(), world.audit().len());
    let tried: Vec<Value> = changes
        .iter()
        .map(|(patch, _)| try_out(&world, "/api/v1/settings/try", &json!({ "settings": patch })))
        .collect();
    assert_eq!(world.control_get("/readyz").send().json["revision"], revision, "nothing was changed");
    assert_eq!(world.audit().len(), audit, "and nothing is in the audit as a change");
    let defaults = world.as_admin(Method::GET, "/api/v1/settings").send().json;
    for ((patch, refused), answer) in changes.iter().zip(&tried) {
        assert!(answer["tried"].as_u64() >= Some(made.len() as u64), "{patch}: {answer}"); // and what the test itself asks
        world.set(patch);
        let answers = assert_came_true(answer, &made, &patch.to_string());
        assert_eq!(answers.get("yes").copied().unwrap_or_default(), *refused, "{patch}: {answer:#}");
        let schemes = patch.get("token_schemes").is_some();
        // That was refused is undecidable where its successor might not be: what stood beside the token is not on record.
        let undecidable = answers.get("undecidable").copied().unwrap_or_default();
        assert!(if schemes { undecidable >= 8 } else { undecidable <= 1 }, "{patch}: {answer:#}");
        // Under whichever scheme is accepted now.
        let back = || world.control_call(Method::PATCH, "/api/v1/settings?force=true");
        let replies = [back().bearer(&admin), back().basic("admin", &admin)].map(|call| call.json(&defaults).send());
        assert!(replies.iter().any(|reply| reply.status == 200), "{patch}: {replies:?}");
        world.wait_until_told();
    }
    let schemes = &tried[12];
    assert_eq!(said(schemes, "/rest/inside").unwrap()["missing"], json!(["scheme"]), "{schemes:#}");
    assert_eq!(said(schemes, "/rest/password"), None, "a password always comes by Basic");
}

#[test]
fn s9_given_tightened_settings_when_loosening_is_tried_then_what_would_be_let_through_is_told() {
    let world = world();
    let alice = world.token_for("alice");
    let made = [Made::make("/rest/one", || {
        world.get("/rest/one").header("x-forwarded-for", b"192.0.2.7").bearer(&alice).send()
    })];
    recorded(&world, &made);
    world.set(&json!({ "ip_rules": ["10.0.0.0/8", "127.0.0.1"] }));
    let same = try_out(&world, "/api/v1/settings/try", &json!({ "settings": { "log_calls": false } }));
    assert_eq!((&same["refused_already"], &same["calls"]), (&json!(1), &json!([])), "{same}");
    let looser = json!({ "ip_rules": ["10.0.0.0/8", "127.0.0.1", "192.0.2.7"] });
    let answer = try_out(&world, "/api/v1/settings/try", &json!({ "settings": looser }));
    assert_eq!((&answer["admits"]["yes"], &answer["refuses"]["yes"]), (&json!(1), &json!(0)), "{answer}");
    let call = said(&answer, "/rest/one").expect("it is shown");
    assert_eq!(
        (&call["before"], &call["after"], &call["outcome"]),
        (&json!("refused"), &json!("passed"), &json!("admitted"))
    );
    (made[0].send)().assert_refused(403, "ip_not_allowed");
    world.set(&looser);
    (made[0].send)().assert_user(Some("alice"));
}

#[test]
fn s9_given_real_calls_when_restrictions_are_tried_then_made_the_same_calls_get_what_was_said() {
    let world = world();
    let alice = world.token_for("alice");
    let json = |path: &'static str, method: Method, body: Value| {
        let alice = &alice;
        let world = &world;
        Made::make(path, move || world.request(method.clone(), path).bearer(alice).json(&body).send())
    };
    let made = [
        Made::make("/rest/api/2/issue/JRA-1", || world.get("/rest/api/2/issue/JRA-1?fields=all").bearer(&alice).send()),
        Made::make("/rest/api/2/issue/KAN-1", || world.get("/rest/api/2/issue/KAN-1").bearer(&alice).send()),
        json("/rest/api/2/filter", Method::PUT, json!({ "editable": false })),
        json("/rest/api/2/issue/JRA-2/comment", Method::POST, json!({ "body": "x" })),
    ];
    recorded(&world, &made);
    let path = format!("/api/v1/tokens/{}/try", alice.id);
    type Expected<'a> = &'a [(usize, &'a str)]; // by the number of the call: refused, or what is missing
    let cases: [(&[&str], Expected<'_>); 6] = [
        (&[".*/rest/api/2/issue/JRA.*"], &[(1, "yes"), (2, "yes")]),
        (&["[get].*"], &[(2, "yes"), (3, "yes")]),
        (&[".*/issue/.*[QueryParam::fields==all]"], &[(0, "query"), (1, "query"), (2, "yes"), (3, "query")]),
        (&[".*/filter[JsonData::editable==false]"], &[(0, "yes"), (1, "yes"), (2, "body"), (3, "yes")]),
        (&[".*/filter[JsonData::editable==true]", "/rest/.*"], &[]),
        (&[], &[]),
    ];
    let (mut tried, mut cautious) = (Vec::new(), Vec::new());
    for (lines, expected) in &cases {
        let known = json!({ "restrictions": lines, "assume_no_override": true });
        let answer = try_out(&world, &path, &known);
        for (number, Made { path, .. }) in made.iter().enumerate() {
            let expected = expected.iter().find(|(at, _)| *at == number).map(|(_, what)| *what);
            let call = said(&answer, path);
            match (expected, call) {
                (None, None) => {}
                (Some("yes"), Some(call)) => {
                    assert_eq!((&call["refuses"], &call["code"]), (&json!("yes"), &json!("restricted")), "{call}");
                }
                (Some(missing), Some(call)) => {
                    assert_eq!(
                        (&call["refuses"], &call["missing"]),
                        (&json!("undecidable"), &json!([missing])),
                        "{call}"
                    );
                }
                _ => panic!("{lines:?} {path}: {call:?}"),
            }
        }
        // By the trial of settings it is the same.
        let mut all = known.clone();
        all["token"] = json!(alice.id);
        assert_eq!(try_out(&world, "/api/v1/settings/try", &all)["calls"], answer["calls"]);
        tried.push(answer);
        // Any of them may have overridden its method: then the change would refuse it.
        cautious.push(try_out(&world, &path, &json!({ "restrictions": lines })));
    }
    for (index, (lines, _)) in cases.iter().enumerate() {
        let edit = json!({ "restrictions": lines });
        let reply = world.as_admin(Method::PATCH, &format!("/api/v1/tokens/{}", alice.id)).json(&edit).send();
        assert_eq!(reply.status, 200, "{}", reply.text);
        world.wait_until_told();
        for answer in [&tried[index], &cautious[index]] {
            assert_came_true(answer, &made, &format!("{lines:?}"));
        }
    }
    for path in ["/rest/api/2/issue/JRA-1", "/rest/api/2/issue/KAN-1"] {
        let call = said(&cautious[1], path).expect("it is shown");
        assert_eq!((&call["refuses"], &call["missing"]), (&json!("undecidable"), &json!(["header"])), "{call}");
    }
    assert_eq!(cautious[5]["refuses"]["undecidable"], 0, "an unrestricted token may override methods");
}

#[test]
fn s9_of_what_is_gone_since_nothing_is_said_but_that() {
    let world = world();
    let (alice, carol) = (world.token_for("alice"), world.token_for("carol"));
    world.create_user("bob");
    world.wait_until_told();
    let admin = world.admin_token();
    let on_behalf = || world.get("/rest/behalf").basic("admin", &admin).header("contextUser", b"bob").send();
    let made = [
        Made::make("/rest/token", || world.get("/rest/token").bearer(&alice).send()),
        Made::make("/rest/owner", || world.get("/rest/owner").bearer(&carol).send()),
        Made::make("/rest/behalf", on_behalf),
        Made::make("/rest/boss", || world.get("/rest/boss").basic("admin", &admin).send()),
    ];
    recorded(&world, &made);
    world.rows(
        "insert into calls (at, calls, outcome, proxy) values ((unixepoch() - 9) * 1000, 7, 'admitted', 'envoy')",
    );
    world.delete_token(&alice);
    for name in ["carol", "bob"] {
        assert_eq!(world.as_admin(Method::DELETE, &format!("/api/v1/users/{name}")).send().status, 204);
    }
    world.create_user("bob"); // somebody else
    let off = json!({ "settings": { "token_authentication": false } });
    let answer = try_out(&world, "/api/v1/settings/try", &off);
    assert_eq!(answer["not_tried"], json!({ "token_gone": 2, "user_gone": 1, "only_counted": 7 }), "{answer}");
    assert_eq!((&answer["refuses"]["yes"], &answer["refuses"]["undecidable"]), (&json!(1), &json!(0)), "{answer}");
    assert_eq!(answer["codes"], json!({ "token_authentication_off": 1 }));
    let last = try_out(&world, "/api/v1/settings/try", &json!({ "settings": {}, "last": 1 }));
    let looked_at = [&last["tried"], &last["not_tried"]["token_gone"], &last["not_tried"]["user_gone"]];
    assert_eq!(looked_at.iter().filter_map(|count| count.as_u64()).sum::<u64>(), 1, "{last}");
}

#[test]
fn s9_errors_are_those_of_the_change_itself() {
    let world = World::start_without_proxy();
    let patch = json!({ "ip_rules": ["10.0.0.0/8", "10.0.0.7/8"], "pasword": 1, "body_limit": 1 });
    let changed = world.as_admin(Method::PATCH, "/api/v1/settings").json(&patch).send();
    changed.assert_refused(400, "invalid_settings");
    let tried = world.as_admin(Method::POST, "/api/v1/settings/try").json(&json!({ "settings": patch })).send();
    tried.assert_refused(400, "invalid_settings");
    assert_eq!(tried.json["errors"], changed.json["errors"]);
    assert_eq!(tried.json["errors"].as_array().unwrap().len(), 3);
    let id = world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].clone();
    for (path, body, code) in [
        ("/api/v1/settings/try", json!({ "token": id, "restrictions": ["(?=x)"] }), "invalid_restrictions"),
        ("/api/v1/settings/try", json!({}), "bad_request"),
        ("/api/v1/settings/try", json!({ "token": id }), "bad_request"),
        ("/api/v1/settings/try", json!({ "restrictions": [] }), "bad_request"),
        ("/api/v1/settings/try", json!({ "settings": [] }), "bad_request"),
        ("/api/v1/settings/try", json!({ "settings": {}, "site": { "context_path": "jira/" } }), "bad_request"),
        ("/api/v1/settings/try", json!({ "settings": {}, "site": { "protected_prefixes": [] } }), "bad_request"),
        ("/api/v1/settings/try", json!({ "settings": {}, "sight": {} }), "bad_request"),
    ] {
        let reply = world.as_admin(Method::POST, path).json(&body).send();
        reply.assert_refused(400, code);
    }
    let unknown = json!({ "settings": {}, "token": "nobodys" });
    world.as_admin(Method::POST, "/api/v1/settings/try").json(&unknown).send().assert_refused(404, "not_found");
}

#[test]
fn attack_s9_nobody_tries_anything_on_calls_of_others() {
    let world = World::start();
    let (alice, bob) = (world.token_for("alice"), world.token_for("bob"));
    world.edit_user("bob", &json!({ "sysadmin": false }));
    let as_bob = |path: &str, token: &Token, body: Value| {
        world.control_call(Method::POST, path).bearer(token).json(&body).send()
    };
    let lines = || json!({ "restrictions": ["/nowhere"] });
    as_bob(&format!("/api/v1/tokens/{}/try", alice.id), &bob, lines()).assert_refused(404, "not_found");
    as_bob("/api/v1/settings/try", &bob, json!({ "settings": {} })).assert_refused(403, "forbidden");
    let with_token = json!({ "token": bob.id, "restrictions": [] });
    as_bob("/api/v1/settings/try", &bob, with_token).assert_refused(403, "forbidden");
    let unbound = {
        world.set(&json!({ "unbound_tokens": true }));
        world.new_token(&json!({ "label": "x", "unbound": true }))
    };
    as_bob(&format!("/api/v1/tokens/{}/try", unbound.id), &bob, lines()).assert_refused(404, "not_found");
    let restricted = world.new_token(&json!({ "label": "x", "owner": "admin", "restrictions": [".*"] }));
    world.wait_until_told();
    as_bob("/api/v1/settings/try", &restricted, json!({ "settings": {} })).assert_refused(403, "cannot_manage");
    as_bob(&format!("/api/v1/tokens/{}/try", restricted.id), &restricted, lines()).assert_refused(403, "cannot_manage");
    world
        .control_call(Method::POST, "/api/v1/settings/try")
        .json(&json!({ "settings": {} }))
        .send()
        .assert_refused(401, "credentials_required");

    // Of one's own token those calls alone that one sees in the audit: not what it did in somebody else's name.
    world.set(&json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["bob"] }));
    world.get("/rest/own").bearer(&bob).send().assert_user(Some("bob"));
    world.get("/rest/others").bearer(&bob).header("contextUser", b"alice").send().assert_user(Some("alice"));
    world.get("/rest/alices").bearer(&alice).send().assert_user(Some("alice"));
    eventually("they are in the audit", || {
        let paths = "('/rest/own', '/rest/others', '/rest/alices')";
        (world.rows(&format!("select 1 from calls where path in {paths}")).len() == 3).then_some(())
    });
    let path = format!("/api/v1/tokens/{}/try", bob.id);
    let answer = as_bob(&path, &bob, lines());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("/rest/own"), "{}", answer.text);
    assert!(!answer.text.contains("/rest/others") && !answer.text.contains("alice"), "{}", answer.text);
    let all = world.as_admin(Method::POST, &path).json(&lines()).send();
    assert!(all.text.contains("/rest/own") && all.text.contains("/rest/others"), "{}", all.text);
    assert!(!all.text.contains("/rest/alices") && !all.text.contains("tgt_"), "{}", all.text);
}

#[test]
fn attack_s9_a_huge_number_of_calls_is_refused() {
    let world = World::start_without_proxy();
    let id = world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].clone();
    let token = format!("/api/v1/tokens/{}/try", id.as_str().unwrap());
    for last in [json!(0), json!(10_001), json!(u64::MAX), json!(-1), json!("all"), json!(1.5)] {
        for (path, mut body) in
            [("/api/v1/settings/try", json!({ "settings": {} })), (token.as_str(), json!({ "restrictions": [] }))]
        {
            body["last"] = last.clone();
            world.as_admin(Method::POST, path).json(&body).send().assert_refused(400, "bad_request");
        }
    }
    let prefixes: Vec<String> = (0..21).map(|number| format!("/p{number}/")).collect();
    let long = format!("/{}", "x".repeat(255));
    for site in [json!({ "protected_prefixes": prefixes }), json!({ "context_path": long })] {
        let body = json!({ "settings": {}, "site": site });
        world.as_admin(Method::POST, "/api/v1/settings/try").json(&body).send().assert_refused(400, "bad_request");
    }
}

/// That its statements go along an index is asserted where they are made, in the control plane.
#[test]
fn attack_s9_a_trial_among_a_million_calls_keeps_no_change_from_being_made() {
    let mut world = World::start_without_proxy();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "x", "owner": "alice" }));
    assert!(world.stop_control_plane());
    world.run_sql(&format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
         insert into calls (at, calls, outcome, token, user, method, path, address, proxy)
         select unixepoch() * 1000 - i, 1, 'admitted', '{}', 'alice', 'GET', '/rest/' || i, '192.0.2.7', 'envoy' from n;",
        token.id
    ));
    world.start_control_plane();
    let done = AtomicBool::new(false);
    let rules = json!({ "settings": { "ip_rules": ["10.0.0.0/8"] }, "last": 10_000 });
    let changes = std::thread::scope(|scope| {
        let trial = scope.spawn(|| {
            let answer = world.as_admin(Method::POST, "/api/v1/settings/try").json(&rules).send();
            done.store(true, Ordering::SeqCst);
            answer
        });
        let (mut changes, mut suspended) = (0, false);
        while !done.load(Ordering::SeqCst) {
            suspended = !suspended;
            world.edit_user("alice", &json!({ "suspended": suspended }));
            // One that had to wait for the trial does not count.
            changes += u32::from(!done.load(Ordering::SeqCst));
        }
        let answer = trial.join().expect("it ends");
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json;
        let tried = answer["tried"].as_u64().expect("a count");
        assert!(tried == 10_000 || answer["out_of_time"] == true, "{}", answer["tried"]);
        assert_eq!(answer["calls"].as_array().expect("a list").len(), 100, "and no more are shown");
        changes
    });
    println!("{changes} changes meanwhile");
    assert!(changes > 0);
}
