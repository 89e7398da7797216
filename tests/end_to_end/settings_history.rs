//! The history of the settings (S9): every version with who changed what; any of them can be restored; and nobody locks
//! themselves out by accident.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Reply, World, eventually};

fn patch(world: &World, settings: &Value) -> Reply {
    world.as_admin(Method::PATCH, "/api/v1/settings").json(settings).send()
}

fn restore(world: &World, version: i64) -> Reply {
    world.as_admin(Method::POST, "/api/v1/settings/restore").json(&json!({ "version": version })).send()
}

fn read(world: &World, path: &str) -> Value {
    let reply = world.as_admin(Method::GET, path).send();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json
}

#[test]
fn s9_every_version_of_the_settings_is_kept_with_who_changed_what_and_can_be_restored() {
    let world = World::start_without_proxy();
    let defaults = read(&world, "/api/v1/settings");
    assert_eq!(read(&world, "/api/v1/settings/history"), json!({ "items": [], "next": null }));
    let first = patch(&world, &json!({ "passwords": "disabled", "max_tokens_per_user": 3 })).json;
    assert_eq!(patch(&world, &json!({ "max_tokens_per_user": null })).status, 200);

    let history = read(&world, "/api/v1/settings/history");
    let items = history["items"].as_array().expect("a list");
    let versions: Vec<_> = items.iter().map(|item| (&item["version"], &item["actor"], &item["changed"])).collect();
    let changed = [
        json!({ "before": { "max_tokens_per_user": 3 }, "after": { "max_tokens_per_user": null } }),
        json!({
            "before": { "passwords": "allowed", "max_tokens_per_user": null },
            "after": { "passwords": "disabled", "max_tokens_per_user": 3 },
        }),
    ];
    assert_eq!(versions, [(&json!(2), &json!("admin"), &changed[0]), (&json!(1), &json!("admin"), &changed[1])]);
    assert!(items[0]["at"].is_string() && items[0]["revision"].as_u64() > items[1]["revision"].as_u64(), "{history}");
    let page = read(&world, "/api/v1/settings/history?limit=1");
    assert_eq!((&page["items"][0]["version"], &page["next"]), (&json!(2), &json!(2)));
    let page = read(&world, "/api/v1/settings/history?limit=1&after=2");
    assert_eq!((&page["items"][0]["version"], &page["next"]), (&json!(1), &Value::Null));
    let whole = read(&world, "/api/v1/settings/history/1");
    assert_eq!((&whole["settings"], &whole["gone"], &whole["changed"]), (&first, &json!([]), &changed[1]));

    // Restoring makes a new version; if nothing differs, none.
    let restored = restore(&world, 1);
    assert_eq!((restored.status.as_u16(), &restored.json), (200, &first), "{}", restored.text);
    assert_eq!(read(&world, "/api/v1/settings"), first);
    let newest = &read(&world, "/api/v1/settings/history")["items"][0];
    assert_eq!((&newest["version"], &newest["restored"]), (&json!(3), &json!(1)), "{newest}");
    assert_eq!(restore(&world, 1).status, 200);
    assert_eq!(restore(&world, 0).json, defaults, "0 is the defaults");
    let versions = read(&world, "/api/v1/settings/history")["items"].as_array().map(Vec::len);
    assert_eq!(versions, Some(4));
    let records = world.audit().iter().filter(|record| record.contains("|settings.change|")).count();
    assert_eq!(records, 4, "each version has its record");

    // What is not there, not possible, or not for everyone.
    restore(&world, 99).assert_refused(400, "bad_request");
    for path in ["/99", "/0", "/x"] {
        let path = format!("/api/v1/settings/history{path}");
        world.as_admin(Method::GET, &path).send().assert_refused(404, "not_found");
    }
    world.as_admin(Method::GET, "/api/v1/settings/history?limit=101").send().assert_refused(400, "bad_request");
    let old = world.as_admin(Method::POST, "/api/v1/settings/restore").header("if-match", b"\"old\"");
    old.json(&json!({ "version": 1 })).send().assert_refused(412, "precondition_failed");
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    for path in ["/api/v1/settings/history", "/api/v1/settings/history/1"] {
        world.control_get(path).bearer(&token).send().assert_refused(403, "forbidden");
    }
    let attempt = world.control_call(Method::POST, "/api/v1/settings/restore").bearer(&token);
    attempt.json(&json!({ "version": 1 })).send().assert_refused(403, "forbidden");
}

#[test]
fn s9_a_version_of_another_release_is_restored_as_far_as_its_settings_still_exist() {
    let world = World::start_without_proxy();
    assert_eq!(patch(&world, &json!({ "passwords": "disabled" })).status, 200);
    assert_eq!(patch(&world, &json!({ "passwords": "allowed" })).status, 200);
    let document = r#"{"passwords":"disabled","of_old":[1],"help_url":"https://example.org/"}"#;
    world.rows(&format!("update settings set document = '{document}' where version = 1"));
    let whole = read(&world, "/api/v1/settings/history/1");
    assert_eq!((&whole["gone"], &whole["settings"]["of_old"]), (&json!(["of_old"]), &json!([1])));
    let restored = restore(&world, 1);
    assert_eq!(restored.status, 200, "{}", restored.text);
    let seen = (&restored.json["passwords"], &restored.json["help_url"], &restored.json["of_old"]);
    assert_eq!(seen, (&json!("disabled"), &json!("https://example.org/"), &Value::Null));
    assert_eq!(restored.json["audit_retention_days"], 90, "what did not exist then has its default");
    // A value that is none any more is not guessed at.
    world.rows(r#"update settings set document = '{"passwords":"perhaps"}' where version = 1"#);
    let refused = restore(&world, 1);
    refused.assert_refused(400, "invalid_settings");
    assert_eq!(refused.json["errors"][0]["pointer"], "#/passwords");
    assert_eq!(read(&world, "/api/v1/settings/history")["items"][0]["version"], 3);
}

/// The settings for which a refusal gives reasons.
fn reasons(reply: &Reply) -> Vec<&str> {
    reply.assert_refused(409, "would_lock_you_out");
    let errors = reply.json["errors"].as_array().expect("errors");
    assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|text| text.len() > 30)), "{}", reply.text);
    errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
}

#[test]
fn s9_a_change_that_would_lock_out_whoever_makes_it_wants_force_and_says_why() {
    let world = World::start_without_proxy();
    let before = (read(&world, "/api/v1/settings"), world.audit().len());
    let all = json!({ "ip_rules": ["192.0.2.7"], "token_authentication": false, "token_schemes": "bearer" });
    let refused = patch(&world, &all);
    assert_eq!(reasons(&refused), ["#/ip_rules", "#/token_authentication", "#/token_schemes"]);
    assert!(refused.json["errors"][0]["detail"].as_str().is_some_and(|text| text.contains("127.0.0.1")));
    assert_eq!((read(&world, "/api/v1/settings"), world.audit().len()), before, "nothing is changed");
    // What leaves the caller a way is done without a word.
    let harmless = json!({ "ip_rules": ["192.0.2.7", "127.0.0.0/8"], "token_schemes": "basic" });
    assert_eq!(patch(&world, &harmless).status, 200);
    world
        .as_admin(Method::PATCH, "/api/v1/settings?force=perhaps")
        .json(&all)
        .send()
        .assert_refused(400, "bad_request");
    // Restoring is such a change as well.
    assert_eq!(patch(&world, &json!({ "ip_rules": [] })).status, 200);
    let forced = json!({ "ip_rules": ["192.0.2.7"], "token_authentication": false });
    let forced = world.as_admin(Method::PATCH, "/api/v1/settings?force=true").json(&forced).send();
    assert_eq!(forced.status, 200, "{}", forced.text);
    let out = world.as_admin(Method::GET, "/api/v1/settings").send();
    out.assert_refused(403, "ip_not_allowed");
}

#[test]
fn s9_restoring_such_settings_wants_force_as_well() {
    let world = World::start_without_proxy();
    let forced = json!({ "token_authentication": false });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings?force=true").json(&forced).send().status, 200);
    // It was there before: what else is changed is no matter.
    assert_eq!(patch(&world, &json!({ "log_calls": false })).status, 200);
    assert_eq!(patch(&world, &json!({ "token_authentication": true })).status, 200);
    assert_eq!(reasons(&restore(&world, 1)), ["#/token_authentication"]);
    let restored = world.as_admin(Method::POST, "/api/v1/settings/restore?force=true");
    let restored = restored.json(&json!({ "version": 1 })).send();
    assert_eq!((restored.status.as_u16(), &restored.json["token_authentication"]), (200, &json!(false)));
}

#[test]
fn s9_who_comes_through_a_proxy_or_for_another_is_warned_of_what_only_the_proxy_knows() {
    let mut world = World::start();
    world.create_user("bob");
    world.edit_user("bob", &json!({ "sysadmin": true }));
    world.wait_until_told();
    let admin = world.admin_token();
    let through = |world: &World, patch: &Value| {
        world.request(Method::PATCH, "/api/v1/settings").basic("admin", &admin).json(patch).send()
    };
    // The other end is the proxy, of which the control plane does not know that it may name its client.
    let both = json!({ "ip_rules": ["127.0.0.1"], "token_schemes": "basic" });
    assert_eq!(reasons(&through(&world, &both)), ["#/ip_rules", "#/token_schemes"]);
    let off = json!({ "on_behalf_of": "off" });
    let for_bob = |call: tests::Call| call.basic("admin", &admin).header("contextUser", b"bob").json(&off).send();
    assert_eq!(reasons(&for_bob(world.request(Method::PATCH, "/api/v1/settings"))), ["#/on_behalf_of"]);
    assert_eq!(reasons(&for_bob(world.control_call(Method::PATCH, "/api/v1/settings"))), ["#/on_behalf_of"]);
    // Told of the proxy, the control plane knows where the client is.
    assert!(world.stop_control_plane());
    world.site.control_variables = vec![("TOKENGATE_TRUSTED_PROXIES", "127.0.0.1".to_owned())];
    world.start_control_plane();
    let refused = eventually("the proxy's word is taken again", || {
        let reply = through(&world, &json!({ "ip_rules": ["198.51.100.7"] }));
        (reply.status != 503).then_some(reply)
    });
    assert_eq!(reasons(&refused), ["#/ip_rules"]);
    // Which address the proxy names for a client on its own machine depends on the machine.
    let detail = refused.json["errors"][0]["detail"].as_str().expect("a sentence");
    let address = detail.trim_start_matches("Your address, ").split(", ").next().expect("an address");
    let rules = through(&world, &json!({ "ip_rules": ["127.0.0.1", address] }));
    assert_eq!(rules.status, 200, "{}", rules.text);
    world.wait_until_told();
    assert_eq!(through(&world, &off).status, 200, "in one's own name");
}
