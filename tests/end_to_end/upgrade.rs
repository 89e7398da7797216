//! One release apart: the last release's filter at today's control plane, and today's filter in the last release's
//! `envoy.yaml`. Nothing is missed, nothing comes anew again and again.
//!
//! Today's filter at the last release's control plane is shown by what that wrote, in unit tests (`0.1.0.txt` and
//! `settings-v3.bin` in `filter/policy/tests/golden/`).

use crate::guards::{FAILS_IN_WORKERS, assert_nothing_passes, put_in_place_of_the_filter};
use crate::using_a_token::assert_forgeries_never_arrive;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use tests::{Proxy, Reply, Token, UNKNOWN_TOKEN, World, eventually};

/// The last release.
const RELEASE: &str = "0.1.0";
const ITS_TEMPLATE: &str = include_str!("../releases/0.1.0/envoy.yaml");
const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// Gives a proxy the last release's filter and `envoy.yaml`.
fn make_old(proxy: &mut Proxy) {
    proxy.site.tools.filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("releases").join(RELEASE).join("filter.wasm");
    proxy.take_template(ITS_TEMPLATE);
}

fn with_the_last_releases_proxy() -> World {
    let mut world = World::prepare(2);
    make_old(&mut world.proxy);
    world.start_both();
    world
}

fn revoke(world: &World, token: &Token) -> Reply {
    world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}?wait=10s", token.id)).send()
}

fn versions(world: &World) -> Vec<Value> {
    let list = world.as_admin(Method::GET, "/api/v1/proxies").send().json;
    list["items"].as_array().expect("a list").iter().map(|proxy| proxy["filter_version"].clone()).collect()
}

/// How often a proxy took everything, and how often it discarded an answer.
fn syncs_and_discards(proxy: &Proxy) -> (u64, u64) {
    let count = |name| proxy.stat(&format!("wasmcustom.tokengate.{name}"));
    (count("feed_full_syncs_total"), count("feed_discarded_total"))
}

#[test]
fn the_last_releases_proxy_misses_no_change_of_todays_control_plane() {
    let mut world = with_the_last_releases_proxy();
    assert_eq!(versions(&world), [RELEASE], "it is the last release's filter that runs");
    let token = world.token_for("alice");
    world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));

    // Every change, dozens of them, is in force when the API says so, each as a change and not as a full sync.
    for round in 0..25 {
        let changing = world.new_token(&json!({ "label": format!("token {round}"), "owner": "alice" }));
        world.set(&json!({ "passwords": if round % 2 == 0 { "disabled" } else { "allowed" } }));
        world.get(ISSUE).basic("alice", &changing).send().assert_user(Some("alice"));
        let password = world.get(ISSUE).basic("alice", "wonderland").send();
        if round % 2 == 0 {
            password.assert_refused(403, "password_disabled");
        } else {
            password.assert_user(Some("alice"));
        }
        let reply = revoke(&world, &changing);
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.json["confirmed"][0]["filter_version"], RELEASE, "{}", reply.text);
        for _ in 0..8 {
            world.get(ISSUE).basic("alice", &changing).send().assert_refused(401, "token_deleted");
        }
    }
    assert_eq!(syncs_and_discards(&world.proxy), (1, 0));

    // Another process of the control plane goes on where this one was.
    world.kill_control_plane();
    world.start_control_plane();
    let after = world.new_token(&json!({ "label": "after the restart", "owner": "alice" }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&after).send().assert_user(Some("alice"));
    assert_eq!(revoke(&world, &after).status, 200);
    world.get(ISSUE).bearer(&after).send().assert_refused(401, "token_deleted");
    assert_eq!(syncs_and_discards(&world.proxy), (1, 0));
    world.assert_unharmed();
}

#[test]
fn the_last_releases_proxy_keeps_to_restrictions_and_every_setting_and_reports_usage() {
    let world = with_the_last_releases_proxy();
    world.create_user("alice");
    let new = |properties: Value| {
        let mut all = json!({ "label": "test", "owner": "alice" });
        all.as_object_mut().expect("an object").extend(properties.as_object().expect("an object").clone());
        world.new_token(&all)
    };
    let restricted = new(json!({ "restrictions": ["[get].*/rest/api/2/issue/JRA.*"] }));
    let reading = new(json!({ "scope": "read_only" }));
    let elsewhere = new(json!({ "ip_ranges": ["192.0.2.0/24"] }));
    let expired = new(json!({ "expires_at": tests::in_seconds(3) }));
    world.wait_until_told();
    world.get(ISSUE).bearer(&restricted).send().assert_user(Some("alice"));
    world.get("/rest/api/2/issue/OPS-1").bearer(&restricted).send().assert_refused(403, "restricted");
    world.get(ISSUE).bearer(&reading).send().assert_user(Some("alice"));
    world.request(Method::PUT, ISSUE).bearer(&reading).send().assert_refused(403, "read_only");
    world.get(ISSUE).bearer(&elsewhere).send().assert_refused(403, "ip_not_allowed");
    eventually("it ends", || (world.get(ISSUE).bearer(&expired).send().status == 401).then_some(()));
    world.get(ISSUE).bearer(UNKNOWN_TOKEN).send().assert_refused(401, "unknown_token");

    eventually("its reports are taken in", || {
        let rows = world.rows(&format!(
            "select outcome, method, path from calls where token = '{}' order by outcome",
            restricted.id
        ));
        let expected = [format!("admitted|GET|{ISSUE}"), "restricted|GET|/rest/api/2/issue/OPS-1".into()];
        (rows == expected).then_some(())
    });
    eventually("its use is known", || {
        let view = world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", restricted.id)).send().json;
        (view["usage_count"] == 1).then_some(())
    });

    // Every setting, in another value than its default, reaches it.
    world.set(&json!({ "token_schemes": "basic" }));
    world.get(ISSUE).bearer(&reading).send().assert_refused(401, "scheme_not_allowed");
    world.set(&json!({ "token_schemes": "both", "token_authentication": false }));
    world.get(ISSUE).bearer(&reading).send().assert_refused(403, "token_authentication_off");
    let names: Vec<String> = (0..500).map(|number| format!("somebody-{number:0>220}")).collect();
    world.set(&json!({
        "token_authentication": true, "unbound_tokens": true, "passwords": "disabled", "password_exempt_users": names,
        "password_exempt_paths": ["/rest/open/"], "foreign_credentials": "refuse", "ip_rules_apply_to": "all",
        "ip_rules": ["127.0.0.0/8", "::1"], "on_behalf_of": "listed", "on_behalf_of_callers": ["alice"],
        "max_validity": "90d", "max_tokens_per_user": 100, "expiry_warning_days": [9], "max_snapshot_age": "1h",
        "encoded_slashes": "keep", "body_limit": 2048, "identity": "assertion", "assertion_paths": ["/rest/"],
        "assertion_audience": "jira", "prune_expired_days": null, "audit_calls": "tokens_and_passwords",
        "audit_retention_days": 9, "log_calls": false, "help_url": "https://example.org/help",
        "public_base_url": "https://example.org/", "facades": ["pat"],
    }));
    world.get(ISSUE).bearer(&reading).send().assert_received("x-forwarded-user", Some("alice"));
    world.get(ISSUE).basic("bob", "wonderland").send().assert_refused(403, "password_disabled");
    let refused = world.get(ISSUE).header("authorization", b"Digest x").send();
    refused.assert_refused(401, "foreign_credentials_refused");
    assert!(refused.text.contains("https://example.org/help"), "{}", refused.text);
    world.set(&json!({ "ip_rules": ["192.0.2.1"] }));
    world.get(ISSUE).bearer(&reading).send().assert_refused(403, "ip_not_allowed");
    assert_eq!(syncs_and_discards(&world.proxy), (1, 0));
}

#[test]
fn the_last_releases_configuration_is_safe_with_todays_filter() {
    let mut world = World::prepare(2);
    world.proxy.take_template(ITS_TEMPLATE);
    world.start_both();
    assert_eq!(versions(&world), [env!("CARGO_PKG_VERSION")]);
    assert_forgeries_never_arrive(&world);
    let token = world.token_for("carol");
    world.get(ISSUE).basic("carol", &token).send().assert_user(Some("carol"));
    world.get(ISSUE).basic("bob", &token).send().assert_refused(401, "wrong_user");
    world.get("/login").bearer(&token).send().assert_refused(401, "path_not_protected");
    world.get(ISSUE).bearer(UNKNOWN_TOKEN).send().assert_refused(401, "unknown_token");
    world.get(ISSUE).basic("carol", "wonderland").send().assert_received("x-tokengate-judged", None);
    assert_eq!(world.get("/api/v1/tokens").basic("carol", &token).send().status, 200, "the control plane is reached");
    assert_eq!(revoke(&world, &token).status, 200);
    world.get(ISSUE).basic("carol", &token).send().assert_refused(401, "token_deleted");
    assert_eq!(syncs_and_discards(&world.proxy), (1, 0));
    world.assert_unharmed();
}

#[test]
fn principle_4_the_last_releases_configuration_lets_nothing_through_a_filter_that_fails() {
    let mut world = World::prepare(2);
    world.proxy.take_template(ITS_TEMPLATE);
    put_in_place_of_the_filter(&mut world, FAILS_IN_WORKERS);
    world.start_control_plane();
    world.start_envoy();
    assert_nothing_passes(&world);
}

#[test]
fn a_revocation_is_proven_for_filters_of_both_releases() {
    let world = World::start();
    let mut old = world.another_proxy();
    make_old(&mut old);
    old.variables.push(("TOKENGATE_PROXY_NAME", "old".into()));
    old.start();
    old.wait_until_ready();
    let token = world.token_for("alice");
    eventually("both admit it", || (old.statuses(ISSUE, &token) == [200]).then_some(()));
    let reply = revoke(&world, &token);
    assert_eq!(reply.status, 200, "{}", reply.text);
    let confirmed = reply.json["confirmed"].as_array().expect("a list").iter();
    let mut confirmed: Vec<_> = confirmed.map(|proxy| (&proxy["name"], &proxy["filter_version"])).collect();
    confirmed.sort_by_key(|(name, _)| name.as_str());
    let expected = [(&json!("envoy"), &json!(env!("CARGO_PKG_VERSION"))), (&json!("old"), &json!(RELEASE))];
    assert_eq!(confirmed, expected);
    assert_eq!((world.proxy.statuses(ISSUE, &token), old.statuses(ISSUE, &token)), (vec![401], vec![401]));
    assert_eq!((syncs_and_discards(&world.proxy), syncs_and_discards(&old)), ((1, 0), (1, 0)));
}

#[test]
fn a_control_plane_does_not_serve_a_database_whose_settings_or_schema_it_does_not_know() {
    // What the manual says of a downgrade: settings that are not enforced, or tables that are not kept, are no surprise.
    let mut world = World::start_without_proxy();
    let reply = world.as_admin(Method::PATCH, "/api/v1/settings").json(&json!({ "passwords": "disabled" })).send();
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(world.stop_control_plane());
    for (statement, back, says) in [
        (
            "update settings set document = json_set(document, '$.of_the_future', 1)",
            "update settings set document = json_remove(document, '$.of_the_future')",
            "/of_the_future there is no such setting",
        ),
        (
            "insert into seaql_migrations (version, applied_at) values ('m9999_of_the_future', 0)",
            "delete from seaql_migrations where version = 'm9999_of_the_future'",
            "m9999_of_the_future' is missing",
        ),
    ] {
        world.run_sql(statement);
        let mut process = world.site.start_control_plane().expect("it is started");
        eventually("it gives up", || process.ended());
        assert!(world.log("control-plane").contains(says), "{says}: {}", world.log("control-plane"));
        world.run_sql(back);
    }
    world.start_control_plane();
}
