//! From where requests may come (S2, L9). Whose address counts is the proxy's configuration.

use serde_json::{Value, json};
use tests::{Reply, Token, World};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// A Tokengate behind one more proxy of ours, which says in `X-Forwarded-For` who connects to it; and a token of
/// alice's.
fn behind_a_proxy() -> (World, Token) {
    let mut world = World::prepare(2);
    world.edit_config("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1");
    world.start_both();
    let token = world.token_for("alice");
    (world, token)
}

/// Sets the rules; those who administer on this machine itself stay allowed.
fn allow(world: &World, rules: &[&str]) {
    let rules = [rules, &["127.0.0.1"]].concat();
    world.set(&json!({ "ip_rules": rules }));
}

fn from(world: &World, token: &Token, forwarded_for: &str) -> Reply {
    world.get(ISSUE).bearer(token).header("x-forwarded-for", forwarded_for.as_bytes()).send()
}

#[test]
fn s2_addresses_networks_and_ranges_of_both_families() {
    let (world, token) = behind_a_proxy();
    for (rules, inside, outside) in [
        (vec!["192.0.2.7"], vec!["192.0.2.7", "::ffff:192.0.2.7"], vec!["192.0.2.8", "2001:db8::1"]),
        (vec!["10.0.0.0/8"], vec!["10.0.0.0", "10.255.255.255"], vec!["11.0.0.0", "9.255.255.255", "::a00:1"]),
        (vec!["192.0.2.1-192.0.2.9"], vec!["192.0.2.1", "192.0.2.9"], vec!["192.0.2.0", "192.0.2.10"]),
        (vec!["2001:db8::/32"], vec!["2001:db8::1", "2001:db8:ffff::"], vec!["2001:db9::", "192.0.2.7"]),
        (vec!["2001:db8::a-2001:db8::f"], vec!["2001:db8::c"], vec!["2001:db8::10"]),
        (vec!["::ffff:192.0.2.0/120"], vec!["192.0.2.200"], vec!["192.0.3.1"]),
        (vec!["192.0.2.7", "2001:db8::/32"], vec!["192.0.2.7", "2001:db8::1"], vec!["192.0.2.6"]),
    ] {
        allow(&world, &rules);
        for address in inside {
            from(&world, &token, address).assert_user(Some("alice"));
        }
        for address in outside {
            from(&world, &token, address).assert_refused(403, "ip_not_allowed");
        }
    }
    world.set(&json!({ "ip_rules": [] }));
    from(&world, &token, "198.51.100.1").assert_user(Some("alice"));
}

#[test]
fn s2_rules_hold_for_tokens_and_passwords_and_for_the_rest_if_the_setting_says_so() {
    let (world, token) = behind_a_proxy();
    allow(&world, &["192.0.2.7"]);
    let elsewhere = |call: tests::Call| call.header("x-forwarded-for", b"192.0.2.8").send();
    for call in [
        world.get(ISSUE).bearer(&token),
        world.get(ISSUE).basic("alice", &token),
        world.get(ISSUE).basic("alice", "wonderland"),
        world.get(ISSUE).bearer("a.b.c"),
        world.get(ISSUE).header("authorization", b"Basic !!!"),
        world.get("/api/v1/tokens").bearer(&token),
    ] {
        elsewhere(call).assert_refused(403, "ip_not_allowed");
    }
    elsewhere(world.get(ISSUE)).assert_user(None);
    elsewhere(world.get("/login").basic("alice", "wonderland")).assert_user(Some("alice"));
    world.set(&json!({ "ip_rules_apply_to": "all" }));
    elsewhere(world.get(ISSUE)).assert_refused(403, "ip_not_allowed");
    elsewhere(world.get("/login")).assert_user(None);
    world.get(ISSUE).header("x-forwarded-for", b"192.0.2.7").send().assert_user(None);
}

#[test]
fn attack_s2_a_client_writes_an_allowed_address_into_x_forwarded_for() {
    // Behind one proxy of ours the last address counts: what stands before it the client wrote.
    let (world, token) = behind_a_proxy();
    allow(&world, &["192.0.2.7"]);
    from(&world, &token, "192.0.2.7, 198.51.100.1").assert_refused(403, "ip_not_allowed");
    from(&world, &token, "198.51.100.1, 192.0.2.7").assert_user(Some("alice"));
    // Of what is no address Envoy makes the one that connects to it: ours, which no rule should name.
    world.set(&json!({ "ip_rules": ["192.0.2.7"] }));
    for odd in ["192.0.2.7%eth0", "192.0.2.7/32", "unknown", "", "192.0.2.7:80.", "fe80::1%1"] {
        from(&world, &token, odd).assert_refused(403, "ip_not_allowed");
    }
    // Where nobody stands before the proxy, none of it counts.
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "ip_rules": ["192.0.2.7"] }));
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.7"),
        ("x-real-ip", "192.0.2.7"),
        ("x-envoy-external-address", "192.0.2.7"),
        ("forwarded", "for=192.0.2.7"),
        ("true-client-ip", "192.0.2.7"),
    ] {
        let reply = world.get(ISSUE).bearer(&token).header(name, value.as_bytes()).send();
        reply.assert_refused(403, "ip_not_allowed");
    }
    world.get(ISSUE).send().assert_user(None);
}

#[test]
fn l9_a_token_works_from_its_own_addresses_only() {
    let (world, _) = behind_a_proxy();
    let ranges = json!(["192.0.2.7", "10.0.0.0/8"]);
    let token = world.new_token(&json!({ "label": "x", "owner": "alice", "ip_ranges": ranges }));
    world.wait_until_told();
    from(&world, &token, "10.1.2.3").assert_user(Some("alice"));
    from(&world, &token, "192.0.2.8").assert_refused(403, "ip_not_allowed");
    // Both must hold: the site's rules and the token's own.
    allow(&world, &["192.0.2.0/24"]);
    from(&world, &token, "10.1.2.3").assert_refused(403, "ip_not_allowed");
    from(&world, &token, "192.0.2.7").assert_user(Some("alice"));
    let shown = world.as_admin(reqwest::Method::GET, &format!("/api/v1/tokens/{}", token.id)).send();
    assert_eq!(shown.json["ip_ranges"], ranges);
    // At the control plane itself the address is the other end of the connection.
    world.set(&json!({ "ip_rules": ["127.0.0.1"] }));
    let direct = world.control_get("/api/v1/tokens").bearer(&token).header("x-forwarded-for", b"192.0.2.7");
    direct.send().assert_refused(403, "cannot_manage");
}

#[test]
fn l9_address_rules_of_a_token_that_cannot_be_are_refused_when_it_is_made() {
    let world = World::start();
    for ranges in [
        json!(["10.0.0.7/8"]),
        json!(["fe80::1%eth0"]),
        json!("10.0.0.1"),
        json!([1]),
        Value::from(vec!["10.0.0.1"; 51]),
    ] {
        let body = json!({ "label": "x", "ip_ranges": ranges });
        world.as_admin(reqwest::Method::POST, "/api/v1/tokens").json(&body).send().assert_refused(400, "bad_request");
    }
}
