//! `POST /api/v1/explain`, and the command: an explanation is what Envoy does, and tells nobody of others' tokens (M9).

mod generated;

use super::commands::{done, fails, said, tokengate};
use generated::{Pool, Sample};
use policy::DenyReason;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use tests::{Random, Reply, Token, UNKNOWN_TOKEN, World, eventually, in_seconds};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// An explanation for a user with this token.
fn explain(world: &World, token: &(impl AsRef<str> + ?Sized), question: &Value) -> Reply {
    world.control_call(Method::POST, "/api/v1/explain").bearer(token).json(question).send()
}

/// An explanation for the first sysadmin.
fn explained(world: &World, question: &Value) -> Value {
    let reply = explain(world, &world.admin_token(), question);
    assert_eq!(reply.status, 200, "{question}: {}", reply.text);
    reply.json
}

/// The settings under which requests are tried, each beside the defaults.
fn rules() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "token_schemes": "basic", "unbound_tokens": true, "body_limit": 1024 }),
        json!({ "token_schemes": "bearer", "body_limit": 1024 }),
        json!({ "passwords": "disabled", "password_exempt_users": ["bob"], "password_exempt_paths": ["/rest/api/2/project"] }),
        json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["alice"], "unbound_tokens": true, "encoded_slashes": "keep" }),
        json!({ "only_admins_create": true, "users_may_use_tokens_created_for_them": false }),
        json!({ "ip_rules": ["192.0.2.0/24", "127.0.0.1"], "ip_rules_apply_to": "all", "body_limit": 1024 }),
        json!({ "backend_authenticates": false, "unbound_tokens": true, "body_limit": 1024 }),
        json!({ "identity": "credential", "body_limit": 1024 }),
        json!({ "identity": "assertion", "foreign_credentials": "refuse", "unbound_tokens": true }),
        json!({ "token_authentication": false, "on_behalf_of": "off", "passwords": "disabled" }),
        json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["alice", "bob"], "body_limit": 1024 }),
    ]
}

/// Beside which the rules stand.
fn defaults() -> Value {
    let defaults = policy::Settings::default().to_json();
    let names: Vec<_> =
        rules().iter().flat_map(|rules| rules.as_object().cloned()).flatten().map(|(name, _)| name).collect();
    defaults.as_object().expect("settings").clone().into_iter().filter(|(name, _)| names.contains(name)).collect()
}

#[test]
fn m9_of_two_thousand_requests_each_is_explained_as_envoy_judges_it() {
    const SEED: u64 = 9;
    const REQUESTS: usize = 2_000;
    println!("seed {SEED}");
    let mut world = World::prepare(2);
    world.edit_config("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1");
    let action = "path_with_escaped_slashes_action: ";
    world.edit_config(&format!("{action}REJECT_REQUEST"), &format!("{action}KEEP_UNCHANGED"));
    world.start_both();
    world.set(&json!({ "unbound_tokens": true }));
    let pool = Pool::new(&world);
    let admin = world.admin_token();
    eventually("the control plane takes the proxy's word", || {
        (world.get("/api/v1/tokens").bearer(&admin).send().status == 200).then_some(())
    });
    eventually("a token has expired", || {
        let reply = world.get(ISSUE).bearer(&pool.expired).send();
        (reply.json["code"] == "token_expired").then_some(())
    });
    let mut random = Random(SEED);
    let answers = Mutex::new(BTreeMap::<(u16, String), usize>::new());
    let mut scheme = "both";
    let all_rules = rules();
    for rules in &all_rules {
        let mut settings = defaults();
        settings.as_object_mut().expect("settings").extend(rules.as_object().expect("settings").clone());
        let call = |method, path, bearer: bool| {
            let call = world.control_call(method, path);
            if bearer { call.bearer(&admin) } else { call.basic("admin", &admin) }
        };
        let reply = call(Method::PATCH, "/api/v1/settings?force=true", scheme == "bearer").json(&settings).send();
        assert_eq!(reply.status, 200, "{}", reply.text);
        scheme = rules["token_schemes"].as_str().unwrap_or("both");
        world.wait_until_told();
        let samples: Vec<_> =
            (0..REQUESTS.div_ceil(all_rules.len())).map(|_| Sample::new(&mut random, &pool)).collect();
        let next = Mutex::new(samples.iter());
        let (bearer, next, answers) = (scheme == "bearer", &next, &answers);
        let work = || {
            while let Some(sample) = { next.lock().expect("the samples").next() } {
                let seen = sample.sent(&world);
                let reply = call(Method::POST, "/api/v1/explain", bearer).json(&sample.asked()).send();
                let said = sample.explained(&reply.json);
                assert_eq!(said, seen, "explained, and seen\n{rules}\n{sample:?}\n{}", reply.text);
                let went = if seen.actor.is_some() { "admitted on behalf" } else { &seen.verdict };
                let went = (200, went.to_owned());
                let key = seen.refusal.map_or(went, |(status, code)| (status as u16, code));
                *answers.lock().expect("the answers").entry(key).or_default() += 1;
                let steps = reply.json["steps"].as_array().expect("steps");
                assert_eq!(steps.last().expect("a step")["rule"], reply.json["decided_by"]);
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().for_each(|worker| worker.join().expect("they agree"));
        });
    }
    let answers = answers.into_inner().expect("the answers");
    for ((status, code), count) in &answers {
        println!("{count:>5}  {status} {code}");
    }
    const OF_THE_PROXY_ALONE: [DenyReason; 4] =
        [DenyReason::NotReady, DenyReason::SnapshotUnreadable, DenyReason::TooManyRequests, DenyReason::ProxyFailure];
    for reason in DenyReason::ALL.iter().filter(|reason| !OF_THE_PROXY_ALONE.contains(reason)) {
        assert!(answers.contains_key(&(reason.status(), reason.code().into())), "nothing was refused for {reason:?}");
    }
    for went in ["admitted", "admitted on behalf", "passed"] {
        assert!(answers.contains_key(&(200, went.into())), "nothing was {went}");
    }
}

/// A control plane with alice, bob, and a token of each.
fn alice_and_bob() -> (World, Token, Token) {
    let world = World::start_without_proxy();
    let token = |name: &str| {
        world.create_user(name);
        world.new_token(&json!({ "label": "x", "owner": name }))
    };
    let (alice, bob) = (token("alice"), token("bob"));
    (world, alice, bob)
}

#[test]
fn m9_it_says_line_by_line_what_of_a_restriction_does_not_hold_and_as_whom_a_request_runs() {
    let (world, alice, _) = alice_and_bob();
    let lines = ["[post].*", "/rest/x", ".*[QueryParam::a==1]", ".*[JsonData::n==1.50]", ".*[JsonData::m==1]"];
    let restricted = world.new_token(&json!({ "label": "x", "owner": "alice", "restrictions": lines }));
    let mut question =
        json!({ "id": restricted.id, "method": "PUT", "url": format!("{ISSUE}?a=2"), "body": { "n": 1 } });
    let refused = explained(&world, &question);
    assert_eq!((&refused["status"], &refused["code"]), (&json!(403), &json!("body_unreadable")), "{refused}");
    assert_eq!((&refused["decided_by"], &refused["user"]), (&json!("body_readable"), &Value::Null));
    let said: Vec<_> = refused["lines"].as_array().expect("lines").iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(said, ["fails", "fails", "fails", "fails", "unreadable"], "{refused}");
    assert!(refused["lines"][2]["detail"].as_str().is_some_and(|detail| detail.contains("parameter a ")), "{refused}");
    // As it was written: 1.50 is not 1.5.
    question["body"] = serde_json::from_str(r#"{"n":1.5}"#).expect("JSON");
    assert_eq!(explained(&world, &question)["lines"][3]["outcome"], "fails");
    let text = question.to_string().replace("1.5", "1.50");
    let reply = world.as_admin(Method::POST, "/api/v1/explain").body("application/json", &text).send();
    assert_eq!((&reply.json["verdict"], &reply.json["lines"][3]["outcome"]), (&json!("admitted"), &json!("holds")));
    assert_eq!(reply.json["lines"][4]["outcome"], "unreadable", "{}", reply.text);

    let admitted = explained(
        &world,
        &json!({
            "id": alice.id, "method": "GET", "url": "/jira/rest/x", "site": { "context_path": "/jira" },
            "headers": { "X-Forwarded-User": "root" },
        }),
    );
    assert_eq!((&admitted["verdict"], &admitted["user"]), (&json!("admitted"), &json!("alice")), "{admitted}");
    assert_eq!(admitted["headers_set"], json!(["x-forwarded-user", "x-tokengate-token-id", "x-forwarded-email"]));
    assert_eq!((&admitted["goes_to"], &admitted["token_id"]), (&json!("backend"), &json!(alice.id)));
    let elsewhere = explained(&world, &json!({ "id": alice.id, "method": "GET", "url": "/jira/rest/x" }));
    assert_eq!(elsewhere["code"], "path_not_protected");
    let managing = explained(&world, &json!({ "id": alice.id, "method": "GET", "url": "/api/v1/tokens" }));
    assert_eq!(
        (&managing["goes_to"], &managing["headers_set"]),
        (&json!("control_plane"), &json!(["x-tokengate-assertion"]))
    );
    let later = json!({ "id": alice.id, "method": "GET", "url": "/rest/a/../x", "at": in_seconds(3600) });
    assert_eq!(explained(&world, &later)["notes"].as_array().map(Vec::len), Some(1), "not in normal form");
}

#[test]
fn m9_time_can_be_set_and_what_was_explained_was_not_used() {
    let (world, ..) = alice_and_bob();
    let token = world.new_token(&json!({ "label": "x", "owner": "alice", "expires_at": "2030-01-01T00:00:00Z" }));
    let at = |time: &str| {
        let question = json!({ "id": token.id, "method": "GET", "url": ISSUE, "at": time });
        let answer = explained(&world, &question);
        (answer["code"].clone(), answer["steps"].as_array().and_then(|steps| steps.last()).expect("a step").clone())
    };
    assert_eq!(at("2029-12-31T23:59:59.999Z").0, Value::Null);
    let (code, step) = at("2030-01-01T00:00:00Z");
    assert_eq!((code, step["rule"].as_str()), (json!("token_expired"), Some("token_time")));
    assert_eq!(step["detail"], "It works from the start, until 2030-01-01T00:00:00Z; it is 2030-01-01T00:00:00Z.");
    let (revision, records) = (world.control_get("/readyz").send().json["revision"].clone(), world.audit().len());
    for _ in 0..3 {
        explained(&world, &json!({ "token": token.text, "method": "GET", "url": ISSUE }));
    }
    assert_eq!(
        (world.control_get("/readyz").send().json["revision"].clone(), world.audit().len()),
        (revision, records)
    );
    // What was asked before is written by then: the calls of the one who asked are.
    eventually("the sysadmin's own calls are counted", || {
        let calls = world.as_admin(Method::GET, "/api/v1/audit/calls").send().json;
        calls["items"].as_array().is_some_and(|items| items.len() >= 5).then_some(())
    });
    let shown = world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send().json;
    assert_eq!(shown["usage_count"], 0, "{shown}");
}

#[test]
fn m9_the_address_is_the_callers_own_unless_another_is_given() {
    let (world, alice, _) = alice_and_bob();
    let bound = world.new_token(&json!({ "label": "x", "owner": "alice", "ip_ranges": ["127.0.0.1"] }));
    let mut question = json!({ "id": bound.id, "method": "GET", "url": ISSUE });
    assert_eq!(explain(&world, &alice, &question).json["verdict"], "admitted");
    question["address"] = json!("::ffff:127.0.0.1");
    assert_eq!(explain(&world, &alice, &question).json["verdict"], "admitted");
    question["address"] = json!("192.0.2.7");
    let refused = explain(&world, &alice, &question).json;
    assert_eq!((&refused["code"], &refused["decided_by"]), (&json!("ip_not_allowed"), &json!("token_limits")));
    let step = refused["steps"].as_array().and_then(|steps| steps.last()).expect("a step").clone();
    assert!(step["detail"].as_str().is_some_and(|detail| detail.contains("192.0.2.7")), "{step}");
}

#[test]
fn attack_m9_the_sites_address_rules_are_not_told_to_users() {
    let (world, alice, _) = alice_and_bob();
    let rules = ["127.0.0.1", "203.0.113.77"];
    let changed = world.as_admin(Method::PATCH, "/api/v1/settings").json(&json!({ "ip_rules": rules })).send();
    assert_eq!(changed.status, 200, "{}", changed.text);
    let question = json!({ "id": alice.id, "method": "GET", "url": ISSUE, "address": "192.0.2.7" });
    let reply = explain(&world, &alice, &question);
    assert_eq!((&reply.json["code"], &reply.json["decided_by"]), (&json!("ip_not_allowed"), &json!("site_address")));
    assert!(!reply.text.contains("203.0.113"), "{}", reply.text);
}

#[test]
fn attack_m9_another_users_token_is_as_good_as_none_whether_by_id_by_value_or_as_a_name() {
    let (world, alice, bob) = alice_and_bob();
    let about = |what: Value| {
        let mut question = json!({ "method": "GET", "url": ISSUE });
        question.as_object_mut().expect("fields").extend(what.as_object().expect("fields").clone());
        let reply = explain(&world, &alice, &question);
        (reply.status.as_u16(), reply.json)
    };
    let told = |what: Value| {
        let (status, mut answer) = about(what);
        answer["request_id"] = Value::Null;
        (status, answer)
    };
    let none = told(json!({ "id": "00000000000000000000" }));
    assert_eq!((none.0, &none.1["code"]), (404, &json!("not_found")));
    assert_eq!(told(json!({ "id": bob.id })), none);
    let deleted = world.new_token(&json!({ "label": "x", "owner": "bob" }));
    world.delete_token(&deleted);
    let unknown = told(json!({ "token": UNKNOWN_TOKEN }));
    assert_eq!((unknown.0, &unknown.1["code"]), (200, &json!("unknown_token")));
    for another in [&bob, &deleted] {
        assert_eq!(told(json!({ "id": another.id })), none);
        assert_eq!(told(json!({ "token": another.text })), unknown);
    }
    assert_eq!(told(json!({ "token": alice.text })).1["verdict"], "admitted");
    // A sysadmin is told.
    let question = json!({ "id": deleted.id, "method": "GET", "url": ISSUE });
    assert_eq!(explained(&world, &question)["code"], "token_deleted");
    // Nor by coming in the sysadmin's name backwards: on behalf of alice, a sysadmin sees what alice sees.
    let call = world.control_call(Method::POST, "/api/v1/explain").bearer(&world.admin_token());
    assert_eq!(call.header("contextUser", b"alice").json(&question).send().status, 404);
}

#[test]
fn attack_m9_no_imported_value_of_another_is_found_out_by_guessing() {
    let mut world = World::prepare(1);
    world.start_both();
    world.create_user("bob");
    let alice = world.token_for("alice");
    let (theirs, own) = (world.import_token("guess-me-1", "bob"), world.import_token("guess-me-2", "alice"));
    let ask = |token: &str, user: &str| {
        let question = json!({ "token": token, "user": user, "method": "GET", "url": ISSUE });
        let mut answer = explain(&world, &alice, &question).json;
        answer["request_id"] = Value::Null;
        answer
    };
    assert_eq!(ask("guess-me-1", "alice"), ask("guess-me-0", "alice"), "by value");
    assert_eq!(ask("guess-me-0", "guess-me-1"), ask("guess-me-0", "guess-me-9"), "in the place of the name");
    assert_eq!(ask(&own.text, "alice")["verdict"], "admitted");
    assert_eq!(ask("guess-me-0", &own.text)["code"], "bad_credentials");
    let question = json!({ "token": theirs.text, "user": "bob", "method": "GET", "url": ISSUE });
    assert_eq!(explained(&world, &question)["user"], "bob", "for a sysadmin");
}

#[test]
fn attack_m9_a_restricted_token_explains_nothing() {
    let (world, alice, _) = alice_and_bob();
    for restriction in
        [json!({ "scope": "read_only" }), json!({ "ip_ranges": ["127.0.0.1"] }), json!({ "restrictions": [".*"] })]
    {
        let mut properties = json!({ "label": "x", "owner": "alice" });
        properties.as_object_mut().expect("fields").extend(restriction.as_object().expect("fields").clone());
        let token = world.new_token(&properties);
        let question = json!({ "id": token.id, "method": "GET", "url": ISSUE });
        explain(&world, &token, &question).assert_refused(403, "cannot_manage");
        assert_eq!(explain(&world, &alice, &question).status, 200);
    }
}

#[test]
fn attack_m9_nothing_secret_comes_back_or_into_the_log() {
    let (mut world, alice, _) = alice_and_bob();
    let credential = "what-the-backend-wants";
    let stored =
        world.as_admin(Method::PUT, "/api/v1/backend-credential").json(&json!({ "bearer": credential })).send();
    assert_eq!(stored.status, 204);
    let patched = world.as_admin(Method::PATCH, "/api/v1/settings").json(&json!({ "identity": "credential" })).send();
    assert_eq!(patched.status, 200, "{}", patched.text);
    let (password, hidden) = ("correct-horse-9", "in-the-query-or-the-body");
    let mut seen = String::new();
    for what in [
        json!({ "token": alice.text }),
        json!({ "token": alice.text, "user": "alice" }),
        json!({ "token": alice.text, "user": "bob" }),
        json!({ "token": alice.text, "user": alice.text }),
        json!({ "token": format!("{}x", alice.text) }),
        json!({ "token": format!("\"{}\"", alice.text) }),
        json!({ "token": password, "user": "alice" }),
        json!({ "token": password, "user": alice.text, "context_user": alice.text }),
        json!({ "token": password, "headers": { "proxy-authorization": format!("Bearer {}", alice.text) } }),
        json!({ "token": alice.text, "headers": { "authorization": format!("Bearer {}", alice.text) } }),
        json!({ "token": [alice.text] }),
        json!({ "token": alice.text, "id": alice.text }),
        json!({ "id": alice.text }),
        json!({ "token": format!("{}\n", alice.text) }),
        json!({ "token": alice.text, "method": alice.text }),
        json!({ "token": alice.text, "method": format!("G T {}", alice.text) }),
        json!({ "token": alice.text, "url": format!("/rest/{}", alice.text) }),
        json!({ "token": alice.text, "url": format!("rest/{}", alice.text) }),
        json!({ "token": alice.text, "at": alice.text }),
        json!({ "token": alice.text, "site": { "context_path": alice.text } }),
        json!({ "token": alice.text, "address": alice.text }),
        json!({ alice.text.clone(): alice.text }),
    ] {
        let mut question = json!({
            "method": "PUT", "url": format!("/rest/x?y={hidden}"), "body": { "z": hidden }, "headers": { "cookie": hidden },
        });
        question.as_object_mut().expect("fields").extend(what.as_object().expect("fields").clone());
        let reply = explain(&world, &world.admin_token(), &question);
        assert!(matches!(reply.status.as_u16(), 200 | 400 | 404), "{question}: {}", reply.text);
        seen += &reply.text;
    }
    assert!(seen.contains("backend_credential") && seen.contains("mistyped_token") && seen.contains("wrong_user"));
    world.stop_control_plane();
    seen += &world.log("control-plane");
    for secret in [&alice.text[4..], &alice.text[..20], credential, password, hidden] {
        if let Some(at) = seen.find(secret) {
            panic!("{secret} appears after: {}", &seen[at.saturating_sub(200)..at]);
        }
    }
}

#[test]
fn attack_m9_what_no_client_could_send_or_is_beyond_a_limit_is_refused() {
    let (world, alice, _) = alice_and_bob();
    let good = json!({ "id": alice.id, "method": "GET", "url": ISSUE });
    for (what, said) in [
        (json!({ "id": null }), "Either id or token"),
        (json!({ "token": "x" }), "Either id or token"),
        (json!({ "method": "" }), "method"),
        (json!({ "method": "GET /x HTTP/1.1\r\n" }), "method"),
        (json!({ "method": "X".repeat(33) }), "method"),
        (json!({ "url": "http://host/rest/x" }), "url"),
        (json!({ "url": "/rest/x\r\nx-y: z" }), "url"),
        (json!({ "url": format!("/rest/{}", "x".repeat(61_440)) }), "60 KiB"),
        (json!({ "user": "a:b" }), "colon"),
        (json!({ "user": "x", "scheme": "bearer" }), "Bearer"),
        (json!({ "scheme": "digest" }), "`basic` or `bearer`"),
        (json!({ "context_user": "a\r\nb" }), "context_user"),
        (json!({ "headers": { "content-length": "1" } }), "content-length"),
        (json!({ "headers": { "Authorization": "x" } }), "authorization"),
        (json!({ "headers": { ":path": "/" } }), "headers"),
        (json!({ "headers": { "x": "a\nb" } }), "headers"),
        (
            json!({ "headers": (0..101).map(|n| (format!("x-{n}"), json!(""))).collect::<serde_json::Map<_, _>>() }),
            "100",
        ),
        (json!({ "address": "somewhere" }), "IP address"),
        (json!({ "at": "yesterday" }), "at must be a time"),
        (json!({ "site": { "context_path": "/jira/" } }), "site.context_path"),
        (json!({ "site": { "protected_prefixes": [] } }), "site.protected_prefixes"),
        (json!({ "site": { "protected_prefixes": vec!["/x/"; 21] } }), "20 prefixes"),
        (json!({ "site": { "control_plane_prefixes": [format!("/{}", "x".repeat(255))] } }), "255 bytes"),
        (json!({ "unheard_of": 1 }), "unheard_of"),
    ] {
        let mut question = good.clone();
        question.as_object_mut().expect("fields").extend(what.as_object().expect("fields").clone());
        let reply = explain(&world, &alice, &question);
        reply.assert_refused(400, "bad_request");
        assert!(reply.json["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{said}: {}", reply.text);
    }
    assert_eq!(explain(&world, &alice, &json!({ "x": "y".repeat(140_000) })).status, 413);
    assert_eq!(explain(&world, &alice, &good).status, 200);
}

#[test]
fn m9_the_command_marks_what_decided_and_takes_a_value_from_a_file_alone() {
    let (world, alice, _) = alice_and_bob();
    let lines = ["[post].*", "/jira/rest/y"];
    let restricted = world.new_token(&json!({ "label": "x", "owner": "alice", "restrictions": lines }));
    let context = ["--context-path", "/jira"];
    let explain = ["explain", "--token-id", &restricted.id];
    let text = done(&world, &[&explain[..], &context, &["GET", "/jira/rest/x"]].concat());
    assert!(text.starts_with("refused: 403 restricted. This API token is not meant"), "{text}");
    let marked: Vec<_> = text.lines().filter(|line| line.starts_with("=>")).collect();
    assert_eq!(marked.len(), 1, "{text}");
    assert!(marked[0].contains("restrictions") && marked[0].contains("None of 2 lines holds."), "{text}");
    assert!(text.contains("1     fails    [post].*") && text.contains("The method is another one."), "{text}");
    let text =
        done(&world, &[&explain[..], &context, &["--basic", "alice", "--data", "{}", "POST", "/jira/rest/x"]].concat());
    assert!(text.contains("as alice, in x-forwarded-user") && text.contains("=>  1     holds"), "{text}");

    let file = world.site.logs.join("value");
    std::fs::write(&file, format!("{}\n", alice.text)).expect("a file");
    let by_value = ["explain", "--value-file", &file.display().to_string(), "--json"];
    let on_behalf = ["--as", "bob", "-H", "X-HTTP-Method-Override: PUT", "--address", "192.0.2.7", "GET", "/rest/"];
    let json = done(&world, &[&by_value[..], &on_behalf].concat());
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["code"], &json["decided_by"]), (&json!("on_behalf_of_refused"), &json!("on_behalf")));

    let mut command = Command::new(&world.site.tools.tokengate);
    command.args(["explain", "--value-file", "-", "GET", "/rest/"]).env_remove("TOKENGATE_TOKEN");
    command.env("TOKENGATE_URL", format!("http://127.0.0.1:{}", world.site.ports.control));
    command.env("TOKENGATE_TOKEN_FILE", world.site.data.join("admin-token"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command runs");
    child.stdin.take().expect("its input").write_all(format!("{UNKNOWN_TOKEN}\n").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("the command ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("refused: 401 unknown_token") && !text.contains("tgt_1"), "{text}");

    fails(&world, &["explain", "GET", "/rest/"], 2, "--token-id");
    fails(&world, &["explain", "--token-id", "none", "GET", "/rest/"], 1, "404");
    fails(&world, &["explain", "--token-id", &alice.id, "GET", "rest"], 1, "url must be");
    fails(
        &world,
        &["explain", "--token-id", &alice.id, "--bearer", "--basic", "x", "GET", "/"],
        2,
        "cannot be used with",
    );
    let backend = format!("http://127.0.0.1:{}", world.site.ports.backend); // which answers anything with 200
    let output = tokengate(&world, &["explain", "--token-id", &alice.id, "GET", "/", "--url", &backend]);
    assert!(said(&output).contains("no answer of Tokengate's"), "{}", said(&output));
}
