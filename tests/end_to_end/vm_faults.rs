//! VMs that trap or stall while they apply something: on purpose, by a filter that does so where the data names it.
//!
//! The holder of the lease is the main thread's VM as a rule, which nothing reloads after a trap; then the workers'.

use serde_json::json;
use std::time::{Duration, Instant};
use tests::{Token, World, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// How long the traps of several VMs, one after the other, may keep things from being in order.
const SETTLED: Duration = Duration::from_secs(20);

fn faulty(workers: u32) -> World {
    let mut world = World::prepare(workers);
    let (from, to) =
        (world.site.tools.filter.display().to_string(), world.site.tools.faulty_filter.display().to_string());
    world.edit_config(&from, &to);
    world
}

fn traps(world: &World) -> usize {
    world.log("envoy").lines().filter(|line| line.contains("Function: proxy_on_http_call_response failed")).count()
}

/// Statuses in all workers, once none of them is a VM that has just trapped.
fn statuses(world: &World, token: &Token) -> Vec<u16> {
    world.proxy.statuses(ISSUE, token)
}

#[test]
fn a_change_that_no_vm_survives_costs_what_is_on_its_page_and_nothing_else_and_heals_when_it_is_taken_back() {
    let mut world = faulty(4);
    world.start_control_plane();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    let revoked = world.new_token(&json!({ "label": "to be revoked", "owner": "alice" }));
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("alice", 30_000); // so that the tokens are on other pages than the users
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    assert_eq!((statuses(&world, &token), traps(&world)), (vec![200], 0));
    let memory = world.proxy.memory();

    world.create_user("tokengate-fault-trap");
    let created = Instant::now();
    eventually_within(SETTLED, "the page is left out", || {
        let _ = statuses(&world, &token); // requests make the proxy start workers' VMs anew
        (world.counted("feed_pages_left_out_total") > 0 && statuses(&world, &token) == [200]).then_some(())
    });
    println!("{} VMs trapped; in order again after {:?}", traps(&world), created.elapsed());
    assert!((3..=5).contains(&traps(&world)), "two for the change, two for the page: {}", traps(&world));
    let shown = eventually("the control plane knows", || {
        let proxies = world.as_admin(reqwest::Method::GET, "/api/v1/proxies").send().json;
        (proxies["items"][0]["pages_left_out"] == 1).then_some(proxies)
    });
    assert_eq!(shown["items"][0]["state"], "live");
    assert!(world.log("envoy").contains("is left out: no VM survives it"));

    // All else goes on: a revocation above all.
    world.delete_token(&revoked);
    eventually_within(Duration::from_secs(2), "it is refused", || (statuses(&world, &revoked) == [401]).then_some(()));
    // What is on the page cannot be read, and refuses.
    world
        .get(ISSUE)
        .basic("admin", &world.admin_token())
        .header("contextUser", b"alice")
        .send()
        .assert_refused(503, "snapshot_unreadable");
    assert_eq!(statuses(&world, &token), [200]);

    let reply = world.as_admin(reqwest::Method::DELETE, "/api/v1/users/tokengate-fault-trap").send();
    assert_eq!(reply.status, 204, "{}", reply.text);
    eventually_within(SETTLED, "what was left out is there again", || {
        let call = world.get(ISSUE).basic("admin", &world.admin_token()).header("contextUser", b"alice");
        (call.send().status == 200).then_some(())
    });
    eventually("nothing is left out any more", || {
        let proxies = world.as_admin(reqwest::Method::GET, "/api/v1/proxies").send().json;
        (proxies["items"][0]["pages_left_out"] == 0).then_some(())
    });
    assert_eq!(statuses(&world, &revoked), [401]);
    println!("memory of Envoy: {} MiB before, {} MiB after", memory >> 20, world.proxy.memory() >> 20);
}

#[test]
fn what_no_vm_survives_and_cannot_be_left_out_leaves_in_force_what_is_and_is_tried_again_now_and_then() {
    let mut world = faulty(2);
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    let token = world.token_for("alice");
    let set = |help_url: &str| {
        let call = world.as_admin(reqwest::Method::PATCH, "/api/v1/settings").json(&json!({ "help_url": help_url }));
        assert_eq!(call.send().status, 200);
    };
    // The settings are on the last page, without which there is no whole.
    set("https://example.org/tokengate-fault-trap");
    eventually_within(SETTLED, "two VMs have ended with the change, and two with the page", || {
        let _ = statuses(&world, &token);
        (traps(&world) >= 4).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(statuses(&world, &token), [200], "what is in force stays so");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(traps(&world), 4, "and no other VM ends for a while");
    set("https://example.org/help");
    let mended = Instant::now();
    eventually_within(Duration::from_secs(45), "once it is mended it comes into force", || {
        let url = world.get(ISSUE).basic("bob", &token).send().json["help_url"].clone();
        (url == "https://example.org/help").then_some(())
    });
    println!("in force {:?} after it was mended", mended.elapsed());
    assert_eq!(traps(&world), 4);
    assert!(world.envoy_runs());
}

#[test]
fn attack_a_holder_that_stalls_past_its_lease_and_wakes_with_an_old_page_undoes_no_revocation() {
    let mut world = faulty(4);
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    let token = world.token_for("alice");
    let revoked = world.token_for("alice");
    world.create_user("tokengate-fault-stall"); // whoever applies this sleeps for 3 s first
    std::thread::sleep(Duration::from_millis(50));
    let deleted = Instant::now();
    let path = format!("/api/v1/tokens/{}?wait=2s", revoked.id);
    let reply = world.as_admin(reqwest::Method::DELETE, &path).send();
    assert_eq!(reply.status, 200, "another VM takes over: {}", reply.text);
    println!("in force after {:?} though the holder sleeps", deleted.elapsed());
    // If the sleeper is a worker's VM, a request that comes to it waits, and is judged when it wakes.
    while deleted.elapsed() < Duration::from_secs(6) {
        assert_eq!((statuses(&world, &revoked), statuses(&world, &token)), (vec![401], vec![200]));
    }
    assert_eq!(traps(&world), 0);
    let late = world.token_for("alice");
    world.delete_token(&late);
    eventually_within(Duration::from_secs(2), "all is as before", || (statuses(&world, &late) == [401]).then_some(()));
}

#[test]
fn calls_that_were_told_before_a_vm_trapped_are_counted() {
    let mut world = faulty(2);
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    let token = world.token_for("alice");
    std::thread::sleep(Duration::from_secs(2));
    let uses = |world: &World| {
        let shown = world.as_admin(reqwest::Method::GET, &format!("/api/v1/tokens/{}", token.id)).send().json;
        shown["usage_count"].as_u64().expect("a count")
    };
    let before = uses(&world);
    world.kill_control_plane();
    for _ in 0..40 {
        world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    }
    std::thread::sleep(Duration::from_millis(1200)); // a tick later all of them are in the outbox
    world.start_control_plane();
    world.create_user("tokengate-fault-trap");
    eventually_within(SETTLED, "VMs trap", || {
        let _ = statuses(&world, &token);
        (traps(&world) >= 2).then_some(())
    });
    eventually_within(SETTLED, "they are counted", || (uses(&world) >= before + 40).then_some(()));
}
