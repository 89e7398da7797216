//! Which proxies there are, and revocations that are proven: `GET /api/v1/proxies`, `DELETE …?wait=`.

use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::{Reply, Token, World, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const PROMISED: Duration = Duration::from_secs(1);

fn proxies(world: &World) -> Vec<Value> {
    let reply = world.as_admin(Method::GET, "/api/v1/proxies").send();
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json["items"].as_array().expect("a list").clone()
}

fn revoke(world: &World, token: &Token, wait: &str) -> Reply {
    world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}?wait={wait}", token.id)).send()
}

fn names(of: &Value) -> Vec<&str> {
    of.as_array().expect("a list").iter().map(|proxy| proxy["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_proxy_is_listed_with_what_it_has_in_force() {
    let world = World::start_with_workers(3);
    world.token_for("alice");
    let revision = world.control_get("/readyz").send().json["revision"].clone();
    let proxy = eventually_within(2 * PROMISED, "it has the last change, and says so", || {
        let proxy = proxies(&world).pop()?;
        (proxy["revision"] == revision && proxy["workers"] == 3).then_some(proxy)
    });
    assert_eq!(proxies(&world).len(), 1);
    assert_eq!((&proxy["name"], &proxy["state"]), (&json!("envoy"), &json!("live")));
    assert_eq!((&proxy["address"], &proxy["pages_left_out"]), (&json!("127.0.0.1"), &json!(0)));
    assert_eq!(proxy["filter_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(proxy["instance"].as_str().map(str::len), Some(32));
    assert!(proxy["age_ms"].as_u64().is_some_and(|age| age < 25_000), "{proxy}");
    assert!(proxy["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 1000), "{proxy}");
    assert!(proxy["last_seen_at"].is_string() && proxy["first_seen_at"].is_string(), "{proxy}");
    let alice = world.new_token(&json!({ "label": "alice's", "owner": "alice" }));
    let reply = world.control_call(Method::GET, "/api/v1/proxies").basic("alice", &alice).send();
    reply.assert_refused(403, "forbidden");
}

#[test]
fn a_revocation_that_every_proxy_has_confirmed_is_in_force_in_every_worker() {
    let world = World::start_with_workers(4);
    for _ in 0..5 {
        let token = world.token_for("alice");
        let asked = Instant::now();
        let reply = revoke(&world, &token, "5s");
        let took = asked.elapsed();
        // Proven means proven: nobody needs to wait any more.
        for _ in 0..32 {
            world.get(ISSUE).basic("alice", &token).send().assert_refused(401, "token_deleted");
        }
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!((names(&reply.json["confirmed"]), names(&reply.json["unconfirmed"])), (vec!["envoy"], vec![]));
        println!("confirmed after {took:?}");
        assert!(took < PROMISED, "{took:?}");
    }
}

#[test]
fn a_revocation_waits_for_nobody_if_nobody_asks_it_to_and_for_a_sensible_time_otherwise() {
    let world = World::start();
    let token = world.token_for("alice");
    for wrong in ["", "5", "s", "-1s", "61s", "5m", "99999999999999999999s", "5s&wait=1s"] {
        revoke(&world, &token, wrong).assert_refused(400, "bad_request");
    }
    assert_eq!(world.get(ISSUE).basic("alice", &token).send().status, 200, "nothing was done");
    let reply = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}", token.id)).send();
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (204, ""));
    let own = world.new_token(&json!({ "label": "own", "owner": "alice" }));
    let path = format!("/api/v1/tokens/{}?wait=5s", own.id);
    let reply = world.control_call(Method::DELETE, &path).basic("alice", &own).send();
    assert_eq!((reply.status.as_u16(), &reply.json["confirmed_count"]), (200, &json!(1)), "{}", reply.text);
    assert!(reply.json["confirmed"].is_null(), "which proxies there are is for sysadmins: {}", reply.text);
    let reply = world.as_admin(Method::DELETE, "/api/v1/users/alice?wait=5s").send();
    assert_eq!((reply.status.as_u16(), names(&reply.json["confirmed"])), (200, vec!["envoy"]));
}

#[test]
fn a_proxy_that_is_gone_is_named_until_it_can_decide_nothing_any_more_or_somebody_says_so() {
    let mut world = World::start();
    world.set(&json!({ "max_snapshot_age": "1h" }));
    let token = world.token_for("alice");
    let gone = eventually("it is known", || proxies(&world).pop());
    world.kill_envoy();
    let instance = gone["instance"].as_str().expect("an instance");
    let asked = Instant::now();
    let reply = revoke(&world, &token, "300ms");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(reply.status, 202, "{}", reply.text);
    assert_eq!((names(&reply.json["confirmed"]), names(&reply.json["unconfirmed"])), (vec![], vec!["envoy"]));
    assert_eq!(reply.json["unconfirmed"][0]["instance"], instance);

    // A control plane that has just started knows of it all the same.
    world.kill_control_plane();
    world.start_control_plane();
    world.create_user("bob");
    let another = world.new_token(&json!({ "label": "another", "owner": "bob" }));
    let reply = revoke(&world, &another, "300ms");
    assert_eq!((reply.status.as_u16(), names(&reply.json["unconfirmed"])), (202, vec!["envoy"]), "{}", reply.text);

    let forget = || world.as_admin(Method::DELETE, &format!("/api/v1/proxies/{instance}")).send();
    let reply = eventually("it is lost, not only silent", || {
        let reply = forget();
        if reply.status == 409 {
            reply.assert_refused(409, "proxy_is_live");
            std::thread::sleep(Duration::from_millis(500));
            return None;
        }
        Some(reply)
    });
    assert_eq!(reply.status, 204, "{}", reply.text);
    forget().assert_refused(404, "not_found");
    assert_eq!(proxies(&world).len(), 0);
    assert!(world.audit().iter().any(|line| line.contains("proxy.forget") && line.contains(instance)));
    let token = world.new_token(&json!({ "label": "one more", "owner": "bob" }));
    assert_eq!(revoke(&world, &token, "300ms").status, 200, "nobody is left to wait for");
}

#[test]
fn a_proxy_that_can_decide_nothing_any_more_is_waited_for_by_nobody() {
    let mut world = World::start();
    world.set(&json!({ "max_snapshot_age": "5s" }));
    let token = world.token_for("alice");
    // It must have heard that it may trust its snapshot for 5 s only, and have asked again since.
    eventually("it asks with the new limit in force", || {
        let age = proxies(&world).pop()?["age_ms"].as_u64()?;
        (age < 2500).then_some(())
    });
    world.kill_envoy();
    assert_eq!(revoke(&world, &token, "1s").status, 202);
    eventually_within(Duration::from_secs(30), "it is gone", || proxies(&world).is_empty().then_some(()));
    let token = world.new_token(&json!({ "label": "another", "owner": "alice" }));
    assert_eq!(revoke(&world, &token, "1s").status, 200);
}
