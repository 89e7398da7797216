//! Every setting, by what it does to requests: in force in every worker, without a restart.

use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tests::{StopWhenDropped, Token, UNKNOWN_TOKEN as UNKNOWN, World, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

const FOREIGN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";

#[test]
fn u9_token_authentication_off_means_that_tokens_manage_but_open_nothing() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "token_authentication": false }));
    world.get(ISSUE).bearer(&token).send().assert_refused(403, "token_authentication_off");
    world.get(ISSUE).basic("alice", &token).send().assert_refused(403, "token_authentication_off");
    world.get(ISSUE).basic("alice", UNKNOWN).send().assert_refused(401, "unknown_token");
    world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
    // Through the proxy itself it can be switched on again.
    let switch = world.request(Method::PATCH, "/api/v1/settings").basic("admin", &world.admin_token());
    let reply = switch.json(&json!({ "token_authentication": true })).send();
    assert_eq!((reply.status.as_u16(), &reply.json["token_authentication"]), (200, &json!(true)), "{}", reply.text);
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
}

#[test]
fn u3_token_schemes_say_under_which_scheme_a_token_is_accepted() {
    let world = World::start();
    let token = world.token_for("alice");
    let imported = world.import_token("token0987654321", "alice");
    for (schemes, basic, bearer) in [("basic", 200, 401), ("bearer", 401, 200), ("both", 200, 200)] {
        // Only under the scheme that is accepted now can it be changed again.
        let change = world.control_call(Method::PATCH, "/api/v1/settings?force=true");
        let admin = world.admin_token();
        let change = if schemes == "both" { change.bearer(&admin) } else { change.basic("admin", &admin) };
        assert_eq!(change.json(&json!({ "token_schemes": schemes })).send().status, 200);
        world.wait_until_told();
        for token in [&token, &imported] {
            for (call, status) in
                [(world.get(ISSUE).basic("alice", token), basic), (world.get(ISSUE).bearer(token), bearer)]
            {
                let reply = call.send();
                match status {
                    200 => reply.assert_user(Some("alice")),
                    _ => reply.assert_refused(401, "scheme_not_allowed"),
                }
            }
        }
        world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
        world.get(ISSUE).bearer(FOREIGN).send().assert_user(None);
    }
    assert_eq!(world.failed_logins(), 0, "no token was tried as a password");
}

#[test]
fn u4_an_unbound_token_works_for_any_active_known_user_named_in_basic_and_with_nothing_else() {
    let world = World::start();
    world.create_user("alice");
    world.create_user("bob");
    let unbound = json!({ "label": "for all", "unbound": true });
    world.as_admin(Method::POST, "/api/v1/tokens").json(&unbound).send().assert_refused(403, "unbound_tokens_off");
    world.set(&json!({ "unbound_tokens": true }));
    let token = world.new_token(&unbound);
    world.wait_until_told();
    for (name, user) in [("alice", "alice"), ("BOB@example.org", "bob"), ("admin", "admin")] {
        let reply = world.get(ISSUE).basic(name, &token).send();
        reply.assert_user(Some(user));
        reply.assert_received("x-tokengate-token-id", Some(&token.id));
        reply.assert_received("authorization", None);
    }
    world.get(ISSUE).basic("nobody", &token).send().assert_refused(401, "unknown_user");
    world.get(ISSUE).basic("", &token).send().assert_refused(401, "unknown_user");
    world.get(ISSUE).bearer(&token).send().assert_refused(401, "scheme_not_allowed");
    // Under a sysadmin's name it would be the key to everything.
    world.get("/api/v1/users").basic("admin", &token).send().assert_refused(403, "cannot_manage");
    world.control_get("/api/v1/users").basic("admin", &token).send().assert_refused(403, "cannot_manage");

    world.edit_user("bob", &json!({ "suspended": true }));
    world.wait_until_told();
    world.get(ISSUE).basic("bob", &token).send().assert_refused(401, "user_suspended");
    let reply = world.as_admin(Method::DELETE, "/api/v1/users/alice").send();
    assert_eq!(reply.status, 204, "{}", reply.text);
    world.wait_until_told();
    world.get(ISSUE).basic("alice", &token).send().assert_refused(401, "unknown_user");
    world.get(ISSUE).basic("alice@example.org", &token).send().assert_refused(401, "unknown_user");
    world.set(&json!({ "unbound_tokens": false }));
    world.get(ISSUE).basic("admin", &token).send().assert_refused(403, "unbound_tokens_off");
}

#[test]
fn attack_u4_only_sysadmins_make_unbound_tokens_and_see_them() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "unbound_tokens": true }));
    let unbound = json!({ "label": "x", "unbound": true });
    let call = |method, path: &str| world.control_call(method, path).bearer(&token);
    call(Method::POST, "/api/v1/tokens").json(&unbound).send().assert_refused(403, "forbidden");
    let made = world.new_token(&unbound);
    let path = format!("/api/v1/tokens/{}", made.id);
    call(Method::GET, &path).send().assert_refused(404, "not_found");
    call(Method::DELETE, &path).send().assert_refused(404, "not_found");
    let shown = world.as_admin(Method::GET, &path).send().json;
    assert_eq!((&shown["unbound"], &shown["owner"]), (&json!(true), &Value::Null));
    world.delete_token(&made);
}

#[test]
fn u12_a_backend_without_authentication_gets_nothing_without_an_admitted_token() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "backend_authenticates": false }));
    for call in [
        world.get(ISSUE),
        world.get(ISSUE).header("cookie", b"JSESSIONID=1"),
        world.get(ISSUE).basic("alice", "wonderland"),
        world.get(ISSUE).bearer(FOREIGN),
        world.get(ISSUE).header("authorization", b"Negotiate YII="),
    ] {
        call.send().assert_refused(401, "token_required");
    }
    assert_eq!(world.received(ISSUE).len(), 0);
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    world.get("/login").send().assert_user(None);
}

#[test]
fn u12_foreign_credentials_can_be_refused_by_themselves() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "foreign_credentials": "refuse" }));
    world.get(ISSUE).bearer(FOREIGN).send().assert_refused(401, "foreign_credentials_refused");
    let negotiate = world.get(ISSUE).header("authorization", b"Negotiate YII=");
    negotiate.send().assert_refused(401, "foreign_credentials_refused");
    assert_eq!(world.received(ISSUE).len(), 0);
    world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
    world.get(ISSUE).header("cookie", b"JSESSIONID=1").send().assert_user(None);
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
}

#[test]
fn s3_u10_u11_disabled_passwords_never_reach_the_backend_but_for_exempt_users_and_paths() {
    let world = World::start();
    let token = world.token_for("alice");
    let imported = world.import_token("qt3sumg4gd8r47n98tcnmuarnfufviog", "alice");
    world.set(&json!({
        "passwords": "disabled", "password_exempt_users": ["Robot"], "password_exempt_paths": ["/rest/open/"],
    }));
    world.get(ISSUE).basic("alice", "wonderland").send().assert_refused(403, "password_disabled");
    world.get(ISSUE).basic("alice", UNKNOWN).send().assert_refused(403, "unknown_token");
    world.get(ISSUE).bearer(UNKNOWN).send().assert_refused(401, "unknown_token");
    assert_eq!((world.received(ISSUE).len(), world.failed_logins()), (0, 0));
    world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
    world.get(ISSUE).basic("alice", &imported).send().assert_user(Some("alice"));
    // Exempt: by user, in any case; by path.
    assert_eq!(world.get(ISSUE).basic("rOBOT", "x").send().status, 401, "the backend's own answer");
    assert_eq!(world.failed_logins(), 1);
    world.get("/rest/open/x").basic("alice", "wonderland").send().assert_user(Some("alice"));
    world.get("/rest/open/x").basic("alice", UNKNOWN).send().assert_refused(401, "unknown_token");
    for path in ["/rest/opened", "/rest/OPEN/x", "/rest/x?/rest/open/"] {
        world.get(path).basic("alice", "wonderland").send().assert_refused(403, "password_disabled");
    }
    // Where tokens are not looked at, passwords are not either.
    world.get("/login").basic("alice", "wonderland").send().assert_user(Some("alice"));
}

#[test]
fn s4_s5_only_admins_create_and_only_admins_use() {
    let world = World::start();
    let token = world.token_for("alice");
    let own = |label: &str| {
        let call = world.control_call(Method::POST, "/api/v1/tokens").bearer(&token);
        call.json(&json!({ "label": label })).send()
    };
    assert_eq!(own("before").status, 201);
    world.set(&json!({ "only_admins_create": true }));
    own("after").assert_refused(403, "only_admins_create");
    let for_alice = world.new_token(&json!({ "label": "by an admin", "owner": "alice" }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&for_alice).send().assert_user(Some("alice"));

    world.set(&json!({ "users_may_use_tokens_created_for_them": false }));
    for token in [&token, &for_alice] {
        world.get(ISSUE).bearer(token).send().assert_refused(403, "tokens_for_admins_only");
        world.get(ISSUE).basic("alice", token).send().assert_refused(403, "tokens_for_admins_only");
        world.get("/api/v1/tokens").bearer(token).send().assert_refused(403, "tokens_for_admins_only");
    }
    assert_eq!(world.received(ISSUE).len(), 1);
    world.get(ISSUE).basic("admin", &world.admin_token()).send().assert_user(Some("admin"));
    // Who becomes a sysadmin may use tokens made before, who ceases to be one may not.
    world.edit_user("alice", &json!({ "sysadmin": true }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    world.edit_user("alice", &json!({ "sysadmin": false }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_refused(403, "tokens_for_admins_only");
    world.set(&json!({ "only_admins_create": false }));
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
}

#[test]
fn s1_max_validity_bounds_new_tokens_in_calendar_months() {
    let world = World::start();
    world.create_user("alice");
    let create = |properties: Value| {
        let mut body = json!({ "label": "x", "owner": "alice" });
        body.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        world.as_admin(Method::POST, "/api/v1/tokens").json(&body).send()
    };
    let end = |reply: tests::Reply| -> jiff::Timestamp {
        assert_eq!(reply.status, 201, "{}", reply.text);
        reply.json["expires_at"].as_str().expect("an end").parse().expect("a time")
    };
    assert_eq!(create(json!({})).json["expires_at"], Value::Null, "never is the default");
    world.set(&json!({ "max_validity": "1y" }));
    let longest = end(create(json!({})));
    let (a_year, half_a_year) = (end(create(json!({ "validity": "1y" }))), end(create(json!({ "validity": "6m" }))));
    assert!(a_year.duration_since(longest).as_secs() <= 60);
    let days = a_year.duration_since(half_a_year).as_hours() / 24;
    assert!((180..=186).contains(&days), "half a year later, {days} days");
    for longer in
        [json!({ "validity": "2y" }), json!({ "validity": "never" }), json!({ "expires_at": "2100-01-01T00:00:00Z" })]
    {
        let reply = create(longer);
        reply.assert_refused(400, "validity_too_long");
        let latest = &longest.to_string()[..10];
        assert!(reply.json["detail"].as_str().unwrap().contains(latest), "it says the latest date: {}", reply.text);
    }
    assert_eq!(create(json!({ "expires_at": tests::in_seconds(60) })).status, 201, "any shorter time");
    world.set(&json!({ "max_validity": "90d" }));
    assert!(end(create(json!({}))) < longest);
    create(json!({ "validity": "6m" })).assert_refused(400, "validity_too_long");
    // What was made before stays as it was.
    let kept = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send().json;
    let ends = kept["items"].as_array().expect("a list").iter().map(|token| token["expires_at"].clone());
    assert!(ends.collect::<Vec<_>>().contains(&Value::Null), "{kept}");
}

#[test]
fn s8_max_tokens_per_user_counts_what_works() {
    let world = World::start();
    world.create_user("alice");
    world.set(&json!({ "max_tokens_per_user": 2 }));
    // One that has expired does not count.
    let soon = tests::in_seconds(1);
    world.new_token(&json!({ "label": "0", "owner": "alice", "expires_at": soon }));
    eventually("it has expired", || (tests::in_seconds(0) > soon).then_some(()));
    let first = world.new_token(&json!({ "label": "1", "owner": "alice" }));
    world.new_token(&json!({ "label": "2", "owner": "alice" }));
    let third =
        || world.as_admin(Method::POST, "/api/v1/tokens").json(&json!({ "label": "3", "owner": "alice" })).send();
    third().assert_refused(409, "too_many_tokens");
    world.delete_token(&first);
    assert_eq!(third().status, 201);
}

#[test]
fn u14_max_snapshot_age_a_proxy_that_hears_nothing_refuses_and_comes_back() {
    let mut world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "max_snapshot_age": "5s" }));
    // While the control plane answers, the age stays below the limit.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(7) {
        world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
        std::thread::sleep(Duration::from_millis(100));
    }
    world.kill_control_plane();
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    eventually("the snapshot is too old", || (world.get(ISSUE).bearer(&token).send().status == 503).then_some(()));
    for call in [world.get(ISSUE).bearer(&token), world.get(ISSUE).basic("alice", "wonderland"), world.get(ISSUE)] {
        call.send().assert_refused(503, "not_ready");
    }
    world.get("/login").send().assert_user(None);
    let ready = world.get("/.well-known/tokengate/ready").send();
    assert_eq!((ready.status.as_u16(), &ready.json["ready"]), (503, &json!(false)));
    assert!(ready.json["age_ms"].as_u64() > Some(5000), "{}", ready.text);
    world.start_control_plane();
    world.wait_until_ready();
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
}

#[test]
fn principle_5_encoded_slashes_are_refused_or_kept_as_the_setting_says() {
    let mut world = World::prepare(2);
    let action = "path_with_escaped_slashes_action: ";
    world.edit_config(&format!("{action}REJECT_REQUEST"), &format!("{action}KEEP_UNCHANGED"));
    world.start_both();
    let token = world.token_for("alice");
    let branch = "/rest/branches/feature%2Fone";
    world.get(branch).bearer(&token).send().assert_refused(400, "ambiguous_path");
    world.get(branch).send().assert_refused(400, "ambiguous_path");
    world.set(&json!({ "encoded_slashes": "keep" }));
    world.get(branch).bearer(&token).send().assert_user(Some("alice"));
    assert_eq!(world.received(branch).len(), 1, "as it was sent");
    for attack in
        ["/rest/a%2f..%2f..%2flogin", "/login%2f..%2frest%2fx", "/rest/a%252fb", "/rest/a%5cb", "/api/v1/users/a%2fb"]
    {
        world.get(attack).bearer(&token).send().assert_refused(400, "ambiguous_path");
    }
}

#[test]
fn a3_log_calls_off_leaves_no_line_of_a_call() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get("/rest/logged").bearer(&token).send().assert_user(Some("alice"));
    world.set(&json!({ "log_calls": false }));
    world.get("/rest/unlogged").bearer(&token).send().assert_user(Some("alice"));
    world.get("/rest/unlogged").bearer(UNKNOWN).send().assert_refused(401, "unknown_token");
    world.set(&json!({ "log_calls": true }));
    world.get("/rest/again").bearer(&token).send().assert_user(Some("alice"));
    let log = world.log("envoy");
    assert!(log.contains("/rest/logged") && log.contains("/rest/again") && !log.contains("/rest/unlogged"), "{log}");
}

#[test]
fn u13_help_url_stands_in_every_refusal_of_proxy_and_control_plane() {
    let world = World::start();
    let url = "https://wiki.example.org/tokens?x=1";
    world.set(&json!({ "help_url": url }));
    let token = world.token_for("alice");
    for reply in [
        world.get(ISSUE).bearer(UNKNOWN).send(),
        world.get("/login").bearer(&token).send(),
        world.get("/rest/a;b").send(),
        world.get("/api/v1/nothing").bearer(&token).send(),
        world.control_get("/api/v1/users").send(),
    ] {
        assert_eq!(reply.json["help_url"], url, "{}", reply.text);
    }
    world.set(&json!({ "help_url": null }));
    assert!(world.get(ISSUE).bearer(UNKNOWN).send().json.get("help_url").is_none());
}

#[test]
fn u8_a_suspended_owners_tokens_stop_at_once_and_work_again() {
    let world = World::start();
    let token = world.token_for("alice");
    world.edit_user("alice", &json!({ "suspended": true }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_refused(401, "owner_suspended");
    world.get("/api/v1/tokens").bearer(&token).send().assert_refused(401, "owner_suspended");
    world.control_get("/api/v1/tokens").bearer(&token).send().assert_refused(401, "owner_suspended");
    assert_eq!(world.received(ISSUE).len(), 0);
    world.edit_user("alice", &json!({ "suspended": false }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
}

#[test]
fn u1_an_edited_e_mail_address_serves_in_place_of_the_old_one() {
    let world = World::start();
    let token = world.token_for("alice");
    world.edit_user("alice", &json!({ "email": "new@example.org" }));
    world.wait_until_told();
    let reply = world.get(ISSUE).basic("NEW@example.org", &token).send();
    reply.assert_user(Some("alice"));
    reply.assert_received("x-forwarded-email", Some("new@example.org"));
    world.get(ISSUE).basic("alice@example.org", &token).send().assert_refused(401, "wrong_user");
    world.edit_user("alice", &json!({ "email": null }));
    world.wait_until_told();
    let reply = world.get(ISSUE).basic("alice", &token).header("x-forwarded-email", b"root@example.org").send();
    reply.assert_received("x-forwarded-email", None);
}

#[test]
fn l9_a_read_only_token_only_reads_and_manages_nothing() {
    let world = World::start();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "x", "owner": "alice", "scope": "read_only" }));
    world.wait_until_told();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert_eq!(world.request(method, ISSUE).bearer(&token).send().status, 200);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let reply = world.request(method.clone(), ISSUE).bearer(&token).send();
        reply.assert_refused(403, "read_only");
    }
    let reading = |request: &Value| ["GET", "HEAD", "OPTIONS"].contains(&request["method"].as_str().unwrap());
    assert!(world.received(ISSUE).iter().all(reading));
    world.get("/api/v1/tokens").bearer(&token).send().assert_refused(403, "cannot_manage");
    world.control_get("/api/v1/tokens").bearer(&token).send().assert_refused(403, "cannot_manage");
}

#[test]
fn attack_u15_a_restricted_token_with_a_header_that_overrides_the_method() {
    let world = World::start();
    world.create_user("alice");
    let restricted = world.new_token(&json!({ "label": "x", "owner": "alice", "scope": "read_only" }));
    let full = world.new_token(&json!({ "label": "y", "owner": "alice" }));
    world.wait_until_told();
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x-http.method-override"] {
        let call = |token: &Token| world.get(ISSUE).bearer(token).header(name, b"DELETE").send();
        call(&restricted).assert_refused(400, "method_override");
        call(&full).assert_user(Some("alice"));
    }
}

#[test]
fn settings_are_changed_whole_or_not_at_all_and_every_error_has_its_place() {
    let world = World::start();
    let before = world.as_admin(Method::GET, "/api/v1/settings").send().json;
    let patch = json!({
        "log_calls": false, "passwords": "maybe", "ip_rules": ["10.0.0.0/8", "10.0.0.7/8", "fe80::1%eth0"],
        "body_limit": 1, "pasword_exempt_users": [],
    });
    let reply = world.as_admin(Method::PATCH, "/api/v1/settings").json(&patch).send();
    reply.assert_refused(400, "invalid_settings");
    let errors = reply.json["errors"].as_array().expect("errors");
    let mut pointers: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["#/body_limit", "#/ip_rules/1", "#/ip_rules/2", "#/passwords", "#/pasword_exempt_users"]);
    assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|text| text.len() > 20)), "{errors:?}");
    assert_eq!(world.as_admin(Method::GET, "/api/v1/settings").send().json, before, "nothing is changed");
    for body in ["[]", "1", "{", r#"{"log_calls": true, "log_calls": 1}"#] {
        let reply = world.as_admin(Method::PATCH, "/api/v1/settings").body("application/json", body).send();
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
    }
}

#[test]
fn settings_survive_a_restart_and_are_audited_before_and_after() {
    let mut world = World::start();
    world.set(&json!({ "passwords": "disabled", "help_url": "https://example.org/", "audit_retention_days": 7 }));
    world.set(&json!({ "passwords": "disabled" })); // no change, no record
    let changed = world.as_admin(Method::GET, "/api/v1/settings").send().json;
    assert!(world.stop_control_plane());
    world.start_control_plane();
    assert_eq!(world.as_admin(Method::GET, "/api/v1/settings").send().json, changed);
    world.wait_until_ready();
    world.get(ISSUE).basic("alice", "wonderland").send().assert_refused(403, "password_disabled");
    let audit = world.audit();
    let records: Vec<&String> = audit.iter().filter(|record| record.contains("|settings.change|")).collect();
    let expected = concat!(
        r#"{"after":{"audit_retention_days":7,"help_url":"https://example.org/","passwords":"disabled"},"#,
        r#""before":{"audit_retention_days":90,"help_url":null,"passwords":"allowed"}}"#
    );
    assert_eq!(records.len(), 1, "{audit:#?}");
    assert!(records[0].contains("|admin|") && records[0].contains(expected), "{records:?}");
}

#[test]
fn attack_s6_only_sysadmins_see_and_change_settings_users_and_backend_credentials() {
    let world = World::start();
    let token = world.token_for("alice");
    let credential = json!({ "bearer": "x" });
    for (method, path, body) in [
        (Method::GET, "/api/v1/settings", Value::Null),
        (Method::PATCH, "/api/v1/settings", json!({ "passwords": "allowed" })),
        (Method::PATCH, "/api/v1/users/alice", json!({ "sysadmin": true })),
        (Method::GET, "/api/v1/backend-credential", Value::Null),
        (Method::PUT, "/api/v1/backend-credential", credential.clone()),
        (Method::DELETE, "/api/v1/backend-credential", Value::Null),
        (Method::GET, "/api/v1/users/alice/backend-credential", Value::Null),
        (Method::PUT, "/api/v1/users/alice/backend-credential", credential),
        (Method::DELETE, "/api/v1/users/alice/backend-credential", Value::Null),
    ] {
        for call in [world.control_call(method.clone(), path), world.request(method.clone(), path)] {
            let call = if body.is_null() { call } else { call.json(&body) };
            call.bearer(&token).send().assert_refused(403, "forbidden");
        }
        let call = world.control_call(method, path);
        let call = if body.is_null() { call } else { call.json(&body) };
        call.send().assert_refused(401, "credentials_required");
    }
}

#[test]
fn the_last_sysadmin_cannot_be_suspended_or_made_a_plain_user() {
    let world = World::start();
    for edit in [json!({ "suspended": true }), json!({ "sysadmin": false })] {
        let call = || world.as_admin(Method::PATCH, "/api/v1/users/admin").json(&edit).send();
        call().assert_refused(409, "last_sysadmin");
    }
}

/// What becomes of one request under the old rule and under the new one.
struct Rules<'a> {
    call: &'a (dyn Fn() -> u16 + Sync),
    allowed: &'a [u16],
}

#[test]
fn a_change_of_a_setting_is_in_force_on_4_workers_within_1_s_under_load_without_one_wrong_verdict() {
    let world = World::start_with_workers(4);
    let token = world.token_for("alice");
    let password = || world.get(ISSUE).basic("alice", "wonderland").send().status.as_u16();
    let bearer = || world.get(ISSUE).bearer(&token).send().status.as_u16();
    let basic = || world.get(ISSUE).basic("alice", &token).send().status.as_u16();
    let rules = [
        Rules { call: &password, allowed: &[200, 403] },
        Rules { call: &bearer, allowed: &[200, 401] },
        // What no change concerns is never refused.
        Rules { call: &basic, allowed: &[200] },
    ];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = StopWhenDropped(&stop);
        let load = |rules: &Rules<'_>| {
            let mut judged = 0;
            while !stop.load(Ordering::Relaxed) {
                let status = (rules.call)();
                assert!(rules.allowed.contains(&status), "{status}: neither the old rule nor the new one");
                judged += 1;
            }
            judged
        };
        let threads: Vec<_> = rules.iter().map(|rules| scope.spawn(move || load(rules))).collect();
        let all = |call: &dyn Fn() -> u16, status: u16| (0..32).all(|_| call() == status).then_some(());
        for round in 0..3 {
            for (passwords, schemes, statuses) in [("disabled", "basic", (403, 401)), ("allowed", "both", (200, 200))] {
                let patch = json!({ "passwords": passwords, "token_schemes": schemes });
                let reply = world.as_admin(Method::PATCH, "/api/v1/settings").json(&patch).send();
                assert_eq!(reply.status, 200, "{}", reply.text);
                let changed = Instant::now();
                eventually_within(Duration::from_secs(1), "the change is in force in every worker", || {
                    all(&password, statuses.0)?;
                    all(&bearer, statuses.1)
                });
                println!("round {round}: in force everywhere after {:?}", changed.elapsed());
                // From then on, never the old rule again.
                for _ in 0..3 {
                    assert_eq!(all(&password, statuses.0), Some(()));
                    assert_eq!(all(&bearer, statuses.1), Some(()));
                }
            }
        }
        drop(ends);
        for thread in threads {
            let judged = thread.join().expect("no wrong verdict");
            assert!(judged > 20, "only {judged} requests: no load");
        }
    });
}
