//! A change is in force in every worker within a second, and outages of either side cost nothing that they need not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tests::{CONNECTIONS, StopWhenDropped, Token, World, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const PROMISED: Duration = Duration::from_secs(1);

/// What came of it in every worker.
pub(crate) fn statuses(world: &World, token: &Token) -> Vec<u16> {
    world.proxy.statuses(ISSUE, token)
}

fn in_force_within_a_second(workers: u32) {
    let world = World::start_with_workers(workers);
    world.create_user("alice");
    for _ in 0..3 {
        let token = world.new_token(&serde_json::json!({ "label": "test", "owner": "alice" }));
        let created = Instant::now();
        eventually_within(PROMISED, "the new token works in every worker", || {
            (statuses(&world, &token) == [200]).then_some(())
        });
        println!("{workers} workers: created, in force everywhere after {:?}", created.elapsed());
        world.delete_token(&token);
        let deleted = Instant::now();
        eventually_within(PROMISED, "the deleted token is refused in every worker", || {
            (statuses(&world, &token) == [401]).then_some(())
        });
        println!("{workers} workers: deleted, in force everywhere after {:?}", deleted.elapsed());
    }
}

#[test]
fn a_token_works_within_1_s_of_its_creation_and_not_1_s_after_its_deletion_with_1_worker() {
    in_force_within_a_second(1);
}

#[test]
fn a_token_works_within_1_s_of_its_creation_and_not_1_s_after_its_deletion_with_4_workers() {
    in_force_within_a_second(4);
}

#[test]
fn a_deletion_under_load_is_in_force_within_1_s_and_stays() {
    let world = World::start_with_workers(4);
    let (token, stop) = (world.token_for("alice"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let ends = StopWhenDropped(&stop);
        let load = || {
            let mut refused = false;
            while !stop.load(Ordering::Relaxed) {
                let status = world.get(ISSUE).basic("alice", &token).send().status.as_u16();
                assert!(status == 200 || status == 401, "{status}");
                refused |= status == 401;
            }
            refused
        };
        let threads = [scope.spawn(load), scope.spawn(load)];
        world.delete_token(&token);
        let deleted = Instant::now();
        eventually_within(PROMISED, "refused everywhere", || (statuses(&world, &token) == [401]).then_some(()));
        // From then on, never admitted again.
        while deleted.elapsed() < 2 * PROMISED {
            assert_eq!(statuses(&world, &token), [401]);
        }
        drop(ends);
        for thread in threads {
            assert!(thread.join().expect("the load goes on"));
        }
    });
}

#[test]
fn kill_9_of_the_control_plane_leaves_tokens_working_and_after_its_restart_new_ones_work() {
    let mut world = World::start();
    let token = world.token_for("alice");
    world.kill_control_plane();
    for _ in 0..CONNECTIONS {
        world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
    }
    world.start_control_plane();
    let new = world.new_token(&serde_json::json!({ "label": "after the restart", "owner": "alice" }));
    eventually_within(2 * PROMISED, "the new token works", || (statuses(&world, &new) == [200]).then_some(()));
    assert_eq!(statuses(&world, &token), [200]);
    world.delete_token(&token);
    eventually_within(PROMISED, "the old one is refused", || (statuses(&world, &token) == [401]).then_some(()));
}

#[test]
fn what_was_revoked_while_a_proxy_could_not_be_told_is_refused_once_it_can() {
    let mut world = World::start();
    let token = world.token_for("alice");
    // Another control plane process on the same data, where this proxy does not ask: the proxy is cut off.
    world.kill_control_plane();
    let elsewhere = tests::stack::Site {
        ports: tests::stack::Ports { control: tests::free_port(), ..world.site.ports },
        ..world.site.clone()
    };
    let process = elsewhere.start_control_plane().expect("a control plane elsewhere");
    let id = &token.id;
    let url = format!("http://127.0.0.1:{}/api/v1/tokens/{id}", elsewhere.ports.control);
    eventually("it deletes the token", || {
        let call =
            tests::client().build().expect("a client").delete(&url).basic_auth("admin", Some(world.admin_token()));
        call.send().is_ok_and(|reply| reply.status() == 204).then_some(())
    });
    assert_eq!(statuses(&world, &token), [200], "the proxy goes on with what it knows");
    assert!(process.stop(Duration::from_secs(10)), "it stops by itself");
    world.start_control_plane();
    eventually_within(2 * PROMISED, "the token is refused", || (statuses(&world, &token) == [401]).then_some(()));
}

#[test]
fn kill_9_of_envoy_and_after_its_restart_the_tokens_work_again() {
    let mut world = World::start_with_workers(4);
    let token = world.token_for("alice");
    world.kill_envoy();
    assert_eq!(world.get(ISSUE).basic("alice", &token).send().status, 599, "nobody listens");
    world.start_envoy();
    eventually("the token works in every worker again", || (statuses(&world, &token) == [200]).then_some(()));
}

#[test]
fn u14_a_control_plane_that_starts_after_envoy_is_503_with_retry_after_and_then_200() {
    let mut world = World::prepare(2);
    world.start_envoy();
    for call in [
        world.get(ISSUE),
        world.get(ISSUE).basic("alice", "wonderland"),
        world.get(ISSUE).basic("alice", "tgt_1FPc9b5c5QdpH4zZv03tchG8AluSK9wTi3GMj7K"),
        world.get("/api/v1/users"),
    ] {
        let reply = call.send();
        reply.assert_refused(503, "not_ready");
        assert_eq!(reply.headers["retry-after"], "2");
    }
    let ready = world.get("/.well-known/tokengate/ready").send();
    assert_eq!((ready.status.as_u16(), ready.json["ready"].as_bool()), (503, Some(false)));
    assert_eq!(world.received(ISSUE).len(), 0, "nothing was let through");
    world.get("/login").send().assert_user(None);

    world.start_control_plane();
    world.wait_until_ready();
    let ready = world.get("/.well-known/tokengate/ready").send();
    assert!(ready.json["revision"].is_u64() && ready.json["age_ms"].is_u64(), "{}", ready.text);
    let token = world.token_for("alice");
    world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
    world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
}

#[test]
fn attack_a_control_plane_with_another_sync_key_is_not_believed() {
    let mut world = World::start();
    let token = world.token_for("alice");
    world.kill_control_plane();
    // Somebody else's control plane takes its place: same port, its own keys, no tokens.
    let impostor = tests::stack::Site { data: world.site.logs.join("impostor"), ..world.site.clone() };
    let _process = impostor.start_control_plane().expect("the impostor starts");
    eventually("the impostor is asked", || {
        world.log("control-plane").contains("is sealed with another sync key").then_some(())
    });
    assert_eq!(statuses(&world, &token), [200]);
    assert_eq!(world.get("/.well-known/tokengate/ready").send().status, 200);
}

#[test]
fn a_control_plane_whose_name_does_not_resolve_is_an_outage_and_no_crash() {
    let mut world = World::prepare(2);
    world.edit_config(
        "address: \"127.0.0.1\" # TOKENGATE_CONTROL_ADDRESS",
        "address: no-such-host.invalid # TOKENGATE_CONTROL_ADDRESS",
    );
    world.start_envoy();
    eventually("the filter says so", || world.log("envoy").contains("the control plane does not answer").then_some(()));
    world.get(ISSUE).send().assert_refused(503, "not_ready");
    world.get("/login").send().assert_user(None);
    world.assert_unharmed();
}

#[test]
fn without_a_sync_key_nothing_is_admitted_and_the_log_says_why() {
    let mut world = World::prepare(1);
    world.edit_config(
        "host_env_keys: [TOKENGATE_SYNC_KEY, TOKENGATE_PROXY_NAME]",
        "host_env_keys: [TOKENGATE_PROXY_NAME]",
    );
    world.start_control_plane();
    world.start_envoy();
    world.get(ISSUE).basic("admin", &world.admin_token()).send().assert_refused(503, "not_ready");
    assert!(world.log("envoy").contains("TOKENGATE_SYNC_KEY is not set"));
}

#[test]
fn many_tokens_change_the_number_of_shards_and_all_go_on_working() {
    let world = World::start();
    world.create_user("alice");
    let tokens: Vec<Token> = (0..600)
        .map(|number| world.new_token(&serde_json::json!({ "label": format!("token {number}"), "owner": "alice" })))
        .collect();
    let last = tokens.last().expect("a token");
    eventually("the last token works", || (world.get(ISSUE).bearer(last).send().status == 200).then_some(()));
    for token in tokens.iter().step_by(7) {
        world.get(ISSUE).basic("alice", token).send().assert_user(Some("alice"));
    }
}

#[test]
fn a_full_sync_of_many_pages_comes_into_force_whole_even_if_it_is_cut_off_and_changes_go_on() {
    let mut world = World::prepare(2);
    world.start_control_plane();
    world.create_user("alice");
    let token = world.new_token(&serde_json::json!({ "label": "test", "owner": "alice" }));
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", 60_000); // about 8 MB, 16 pages
    world.start_envoy();
    let mut cut_off = 0;
    for _ in 0..3 {
        let begun = world.counted("feed_full_syncs_total");
        world.start_control_plane();
        eventually("a full sync has begun, unless one is through", || {
            let through = world.get("/.well-known/tokengate/ready").send().status == 200;
            (through || world.counted("feed_full_syncs_total") > begun).then_some(())
        });
        world.kill_control_plane();
        let status = world.get(ISSUE).bearer(&token).send().status.as_u16();
        assert!(status == 503 || status == 200, "nothing in between: {status}");
        cut_off += usize::from(status == 503);
    }
    assert!(cut_off > 0, "the full sync was never cut off");
    world.start_control_plane();
    let revoked = world.new_token(&serde_json::json!({ "label": "made meanwhile", "owner": "alice" }));
    world.delete_token(&revoked);
    let late = world.new_token(&serde_json::json!({ "label": "made meanwhile", "owner": "alice" }));
    world.wait_until_ready();
    eventually("the late token works", || (statuses(&world, &late) == [200]).then_some(()));
    assert_eq!(statuses(&world, &token), [200]);
    assert_eq!(statuses(&world, &revoked), [401]);
    assert_eq!(world.control_get("/readyz").send().json["tokens"], 60_004);
}

#[test]
fn attack_clients_that_hold_all_connections_to_the_api_do_not_hold_up_a_revocation() {
    use std::io::Write as _;
    let world = World::start();
    let token = world.token_for("alice");
    let credential = tests::basic("alice", &token.text);
    let request = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\nContent-Type: application/json\r\n\
         Content-Length: 500\r\n\r\n{{"
    );
    let held: Vec<_> = (0..1500)
        .map_while(|_| {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", world.site.ports.entrance)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    assert!(held.len() > 1100, "more than a cluster's 1,024: {}", held.len());
    world.delete_token(&token);
    eventually_within(2 * PROMISED, "the token is refused", || {
        (world.get(ISSUE).bearer(&token).send().status == 401).then_some(())
    });
    drop(held);
    eventually("the API answers through the proxy again", || {
        (world.get("/api/v1/tokens").basic("admin", &world.admin_token()).send().status == 200).then_some(())
    });
}

#[test]
fn an_outage_does_not_flood_the_log() {
    let mut world = World::start();
    world.kill_control_plane();
    let before = world.log("envoy").lines().count();
    eventually("the filter notices", || world.log("envoy").contains("the control plane does not answer").then_some(()));
    std::thread::sleep(Duration::from_secs(4)); // in which it asks about ten times
    let lines = world.log("envoy").lines().count() - before;
    assert!(lines <= 3, "{lines} lines");
}
