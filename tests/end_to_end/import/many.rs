//! Very many tokens at once.

use super::{IMPORT, ISSUE, done, import_csv, state};
use reqwest::Method;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{StopWhenDropped, World, eventually_within};

/// As many as M6 speaks of.
const MANY: u32 = 100_000;

/// A table of so many tokens, of alice's and bob's in turn, each with a label of this length.
fn table(tokens: u32, label_len: usize) -> String {
    let mut table = String::from("token,label,owner,restrictions\n");
    for number in 0..tokens {
        let owner = ["alice", "bob"][number as usize % 2];
        let lines = if number % 10 == 0 { ".*/issue/JRA.*" } else { "" };
        writeln!(table, "from-elsewhere-{number:06},{:x<label_len$},{owner},{lines}", number).expect("a text");
    }
    table
}

#[test]
fn m6_given_100_000_tokens_when_they_are_imported_then_memory_is_bounded_others_have_their_turn_and_envoy_knows_all() {
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.start_both();
    world.create_user("alice");
    world.create_user("bob");
    let file = world.site.logs.join("tokens.csv");
    let path = file.display().to_string();
    let table = table(MANY, 180);
    std::fs::write(&file, &table).expect("a file");
    let memory = |figure: &str| world.control_plane().memory(figure);

    // Looked at: in as much memory as some lines, and the hashes of all.
    let before = memory("VmHWM");
    assert!(done(&world, &["token", "import", &path, "--dry-run"]).starts_with("100000 tokens to take over"));
    let more = memory("VmHWM") - before;
    println!("{} MiB looked at: {} MiB more", table.len() >> 20, more >> 20);
    assert!(table.len() > 20 << 20 && more < 12 << 20, "{} MiB more", more >> 20);

    // Taken over, batch by batch, while others make changes.
    let (over, before) = (AtomicBool::new(false), memory("VmHWM"));
    let changes = std::thread::scope(|scope| {
        let end = StopWhenDropped(&over);
        let others = scope.spawn(|| {
            let mut changes = 0;
            while !over.load(Ordering::Relaxed) {
                world.new_token(&json!({ "label": "meanwhile", "owner": "alice" }));
                changes += 1;
            }
            changes
        });
        let output = done(&world, &["token", "import", &path, "--keep-going"]);
        assert_eq!(output, "100000 tokens taken over\n");
        drop(end);
        others.join().expect("no panic")
    });
    let more = memory("VmHWM") - before;
    println!("{changes} changes of others meanwhile; {} MiB more", more >> 20);
    // Of each token the proxies are to know some 700 bytes (`make bench`), twice while these are spread anew.
    assert!(more < 140 << 20, "{} MiB more", more >> 20);
    // In between two batches others have their turn: some of them, however slowly they come.
    assert!(changes >= MANY / 500 / 10, "{changes} changes of others in between {} batches", MANY / 500);
    assert_eq!(world.rows("select count(*) from audit where action = 'token.import'"), [MANY.to_string()]);

    eventually_within(std::time::Duration::from_secs(60), "the proxy has it in force", || {
        let wanted = world.control_get("/readyz").send().json["revision"].as_u64()?;
        let revision = world.get("/.well-known/tokengate/ready").send().json["revision"].as_u64()?;
        (revision >= wanted).then_some(())
    });
    world.wait_until_told();
    for number in (0..MANY).step_by(997) {
        let (owner, token) = (["alice", "bob"][number as usize % 2], format!("from-elsewhere-{number:06}"));
        world.get(ISSUE).basic(owner, &token).send().assert_user(Some(owner));
        world.get(ISSUE).bearer(&token).send().assert_user(Some(owner));
    }
    world.get("/rest/other").bearer("from-elsewhere-000000").send().assert_refused(403, "restricted");
    assert_eq!(world.failed_logins(), 0);
    world.assert_unharmed();
}

#[test]
fn m6_given_more_lines_than_a_file_may_have_when_it_is_imported_then_nothing_is() {
    let world = super::with_users();
    let before = state(&world);
    let reply = import_csv(&world, "?keep_going=true", &(String::from("token,label\n") + &"x,y\n".repeat(200_001)));
    reply.assert_refused(400, "bad_request");
    assert!(reply.text.contains("more than 200000 lines"), "{}", reply.text);
    // As many as are allowed, all wrong: the first thousand are told, the others counted.
    let reply = import_csv(&world, "?keep_going=true", &(String::from("token,label\n") + &"x,y\n".repeat(20_000)));
    assert_eq!((&reply.json["created"], &reply.json["refused"]), (&json!(0), &json!(20_000)));
    assert_eq!(reply.json["errors"].as_array().map(Vec::len), Some(1000));
    assert_eq!(state(&world), before);
}

#[test]
fn m6_given_a_control_plane_that_is_killed_in_the_middle_when_it_starts_again_then_all_are_there_or_none() {
    for (step, expected) in [("begun", 0), ("before-commit", 0), ("after-commit", 2000), ("published", 2000)] {
        let mut world = World::prepare(1);
        world.start_control_plane();
        world.create_user("alice");
        world.create_user("bob");
        assert!(world.stop_control_plane());
        world.site.control_variables = vec![("TOKENGATE_FAULT", step.to_owned())];
        world.start_control_plane();
        let reply = import_csv(&world, "", &table(2000, 10));
        assert_eq!(reply.status, 599, "no answer: {}", reply.text);
        assert!(world.control_plane_ends(), "it ends at {step}");
        world.site.control_variables.clear();
        world.start_control_plane();
        let query = "select (select count(*) from tokens where imported), (select count(*) from audit where action = 'token.import')";
        assert_eq!(world.rows(query), [format!("{expected}|{expected}")], "tokens and records, at {step}");
        let left = std::fs::read_dir(&world.site.data).expect("the data directory").count();
        assert!(left < 10, "no file that waits for anything: {left}");
        // The next attempt says what is so.
        let reply = world.as_admin(Method::POST, &format!("{IMPORT}?keep_going=true"));
        let reply = reply.body("text/csv", &table(2000, 10)).send();
        assert_eq!(reply.json["created"], 2000 - expected, "{}", reply.status);
    }
}
