//! A control plane that is killed at random moments, and a disk that fails: what was answered is so, with its record (A5).

use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::load::{Connection, request, with_json};
use tests::{StopWhenDropped, World, basic};

const KILLS: u32 = 200;

/// How many create and delete all the time.
const CLIENTS: usize = 4;

/// What was answered to one client: by the public ids of the tokens.
#[derive(Default)]
struct Answered {
    created: Vec<String>,
    deleted: Vec<String>,
}

/// Creates tokens and deletes most of them, until it is told to stop.
fn create_and_delete(port: u16, authorization: &str, stop: &AtomicBool) -> Answered {
    let (mut connection, mut answered) = (Connection::to(port), Answered::default());
    let create = with_json("POST", "/api/v1/tokens", authorization, &json!({ "label": "crash", "owner": "alice" }));
    while !stop.load(Ordering::Relaxed) {
        let Ok(status) = connection.ask(&create) else {
            thread::sleep(Duration::from_millis(1)); // nobody is there
            continue;
        };
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(connection.body()));
        let body: Value = serde_json::from_slice(connection.body()).expect("JSON");
        let id = body["id"].as_str().expect("an id").to_owned();
        answered.created.push(id.clone());
        if answered.created.len() % 4 == 0 {
            continue;
        }
        match connection.ask(&request("DELETE", &format!("/api/v1/tokens/{id}"), authorization)) {
            Ok(status) => {
                assert_eq!(status, 204, "{}", String::from_utf8_lossy(connection.body()));
                answered.deleted.push(id);
            }
            Err(_) => thread::sleep(Duration::from_millis(1)), // deleted or not: nobody said
        }
    }
    answered
}

/// Numbers that look random, from a seed.
fn random_below(seed: &mut u64, limit: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % limit
}

#[test]
fn a5_kill_9_at_random_moments_200_times_loses_no_answered_change_and_keeps_none_without_its_record() {
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.start_control_plane();
    world.create_user("alice");
    let mut seed = RandomState::new().hash_one(0);
    println!("seed of the moments: {seed}");
    let (stop, port, authorization) =
        (AtomicBool::new(false), world.site.ports.control, basic("admin", &world.admin_token()));
    let answered: Vec<Answered> = thread::scope(|scope| {
        let end = StopWhenDropped(&stop);
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| create_and_delete(port, &authorization, &stop))).collect();
        for _ in 0..KILLS {
            thread::sleep(Duration::from_micros(random_below(&mut seed, 120_000)));
            world.kill_control_plane();
            world.start_control_plane();
        }
        drop(end);
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    assert!(world.stop_control_plane());

    let created: Vec<&String> = answered.iter().flat_map(|answered| &answered.created).collect();
    let deleted: Vec<&String> = answered.iter().flat_map(|answered| &answered.deleted).collect();
    println!("{} creations and {} deletions were answered", created.len(), deleted.len());
    assert!(created.len() > 200 && deleted.len() > 100, "there was something to lose at every kill");

    // By id: whether the token is deleted.
    let rows: HashMap<String, bool> = world
        .rows("select public_id, deleted_at is not null from tokens where label = 'crash'")
        .iter()
        .map(|row| row.split_once('|').expect("two columns"))
        .map(|(id, deleted)| (id.to_owned(), deleted == "1"))
        .collect();
    let recorded = |action: &str| {
        let mut counts: HashMap<String, u32> = HashMap::new();
        let query = format!("select subject from audit where action = '{action}' and revision > 1");
        world.rows(&query).into_iter().for_each(|id| *counts.entry(id).or_default() += 1);
        counts
    };
    let (creations, deletions) = (recorded("token.create"), recorded("token.delete"));
    for id in created {
        assert!(rows.contains_key(id), "the creation of {id} was answered");
    }
    for id in deleted {
        assert_eq!(rows.get(id), Some(&true), "the deletion of {id} was answered");
    }
    for (id, is_deleted) in &rows {
        assert_eq!(creations.get(id), Some(&1), "token {id} has its record, once");
        assert_eq!(deletions.get(id), is_deleted.then_some(&1), "so has its deletion, and only that: {id}");
    }
    assert_eq!(creations.len(), rows.len(), "no record without its token");

    // Every revision is one change with its record, in the order of their commits.
    let revisions = world.rows("select revision from audit order by id");
    let revisions: Vec<u64> = revisions.iter().map(|revision| revision.parse().expect("a number")).collect();
    let of_first_start = revisions.iter().filter(|revision| **revision == 1).count();
    assert!(
        revisions
            .iter()
            .skip(of_first_start)
            .eq(&(2..2 + (revisions.len() - of_first_start) as u64).collect::<Vec<_>>())
    );
    assert_eq!(world.rows("select revision from feed_head"), [revisions.last().expect("a change").to_string()]);

    // And what the next start serves is what is there.
    world.start_control_plane();
    let mut listed = BTreeSet::new();
    let mut path = "/api/v1/tokens?owner=alice&limit=1000".to_owned();
    loop {
        let page = world.as_admin(Method::GET, &path).send().json;
        let items = page["items"].as_array().expect("items");
        listed.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/tokens?owner=alice&limit=1000&after={next}");
    }
    let live: BTreeSet<String> = rows.into_iter().filter(|(_, deleted)| !deleted).map(|(id, _)| id).collect();
    assert_eq!(listed, live);
}

#[test]
fn a5_a_change_that_the_disk_does_not_confirm_is_not_answered_as_done_and_the_control_plane_ends() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "crash", "owner": "alice" }));
    assert!(world.stop_control_plane());
    world.site.control_variables = vec![("TOKENGATE_FAULT", "sync-fails-after-the-first".to_owned())];
    world.start_control_plane();
    let reply = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}", token.id)).send();
    reply.assert_refused(503, "busy");
    assert!(world.control_plane_ends());
    assert!(world.log("control-plane").contains("the database's log could not be written to the disk"));
    world.site.control_variables.clear();
    world.start_control_plane();
    // This time the power was not cut: what was committed is there, and by now on the disk.
    let query = format!("select count(*) from audit where action = 'token.delete' and subject = '{}'", token.id);
    assert_eq!(world.rows(&query), ["1"]);
    let reply = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}", token.id)).send();
    reply.assert_refused(404, "not_found");
}
