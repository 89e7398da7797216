//! The guide for those who move from another product (`control-plane/moving.md`): its blocks are run as they stand there, and
//! scripts that came with old tokens go on all the while.

use serde_json::json;
use std::path::Path;
use std::process::Command;
use tests::{World, eventually, in_seconds};

const GUIDE: &str = include_str!("../../control-plane/moving.md");

/// The block of the guide that holds this, without its fences.
fn block(holds: &str) -> String {
    let mut blocks = GUIDE.split("\n```\n").skip(1).step_by(2);
    blocks.find(|block| block.contains(holds)).unwrap_or_else(|| panic!("no block of the guide holds {holds:?}")).into()
}

/// Runs a block as its reader does, in a shell on a machine that has the control plane's address and a sysadmin's token.
fn run(world: &World, directory: &Path, script: &str) -> String {
    let programs = world.site.tools.tokengate.parent().expect("a directory").display().to_string();
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(directory)
        .env("PATH", programs + ":" + &std::env::var("PATH").unwrap_or_default())
        .env("TOKENGATE_URL", format!("http://127.0.0.1:{}", world.site.ports.control))
        .env("TOKENGATE_TOKEN_FILE", world.site.data.join("admin-token"))
        .env("OLD_TOKEN", OLD_TOKEN)
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What the backend takes for alice's password is, to her script, the token of the product that stands there.
const OLD_TOKEN: &str = "wonderland";

#[test]
fn the_steps_of_the_guide_do_what_they_say_and_no_script_breaks() {
    let world = World::start();
    let directory = tempfile::tempdir().expect("a directory");
    let run = |script: &str| run(&world, directory.path(), script);
    let issue = || world.get("/rest/api/2/issue/JRA-1").basic("alice", OLD_TOKEN).send();

    // 1: in front, and nothing has changed: the backend authenticates, as before.
    let before = issue();
    assert_eq!((before.status.as_u16(), before.json["headers"]["authorization"].is_string()), (200, true));

    // 3: the users.
    std::fs::write(directory.path().join("people.csv"), "name,email\nalice,\nbob,bob@example.org\n").expect("a file");
    run(&block("user import people.csv"));
    world.wait_until_told();
    assert_eq!(issue().status, 200, "a user without a token of ours");

    // 6, early: who is left.
    run(&block("audit_calls=tokens_and_passwords"));
    world.wait_until_told();
    assert_eq!(issue().status, 200);
    eventually("the call is in the audit", || {
        run(&block("--outcome passed"))
            .lines()
            .any(|line| line.contains("alice") && line.contains("JRA-1"))
            .then_some(())
    });

    // 4: the tokens; alice's by the hash that she sends.
    let import = block("cat >tokens.csv").replace("2027-06-30T00:00:00Z", &in_seconds(90 * 24 * 60 * 60));
    let hash = run(import.lines().next().expect("a line"));
    let hash = hash.split_whitespace().next().expect("a hash").to_owned();
    let example = import.lines().find_map(|line| line.strip_prefix("alice,Jenkins,")).expect("alice's line");
    let example = example.split(',').next().expect("a hash").to_owned();
    run(&import.replace(&example, &hash));
    world.wait_until_told();
    issue().assert_user(Some("alice"));
    assert!(!issue().text.contains(OLD_TOKEN), "it is Tokengate's now");
    world.get("/rest/api/2/issue/JRA-1").bearer(OLD_TOKEN).send().assert_user(Some("alice"));

    // 5: why.
    let tokens = world.as_admin(reqwest::Method::GET, "/api/v1/tokens?owner=alice").send();
    let id = tokens.json["items"][0]["id"].as_str().expect("a token").to_owned();
    let explained = run(&block("tokengate explain").replace("--token-id ID", &format!("--token-id {id}")));
    assert!(explained.contains("admitted"), "{explained}");

    // 7: the door; tried first.
    let tried = run(block("settings try passwords=disabled").lines().next().expect("a line"));
    assert!(tried.contains("JRA-1"), "alice's first calls would have been refused: {tried}");
    run(block("settings try passwords=disabled").lines().nth(1).expect("a line"));
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").basic("alice", "another").send().assert_refused(403, "password_disabled");
    issue().assert_user(Some("alice"));
}

#[test]
fn what_the_guide_makes_of_extenders_answer_is_a_file_that_can_be_imported() {
    let world = World::start();
    world.set(&json!({ "unbound_tokens": true }));
    world.create_user("bob");
    let directory = tempfile::tempdir().expect("a directory");
    // The answer of the product, as its documents show it.
    let answer = json!({ "total": 2, "pages": 1, "maxResults": 50, "startAt": 0, "status": "ok", "tokens": [
        { "authorKey": "admin", "userKey": "bob", "userDisplayName": "Bob", "label": "ci", "user": "bob",
          "token": "ip9ul19f8jenb92tji8lo34qt7tb1meo", "id": 7, "limitTo": ".*/rest/api/2/issue/JRA.*<br>[get].*/rest/api/2/project.*",
          "ip": "127.0.0.1", "validUntil": millis_in_a_year(), "dateCreated": 1_622_700_718_964_u64, "counter": 3 },
        { "authorKey": "admin", "userKey": "", "userDisplayName": "", "label": "anybody", "user": "",
          "token": "okf8a73basc74nasc9n32", "id": 8, "limitTo": "", "ip": "", "validUntil": null,
          "dateCreated": 1_622_700_718_964_u64, "counter": 0 },
    ] });
    std::fs::write(directory.path().join("answer.json"), answer.to_string()).expect("a file");
    let script = block("tokenTools/get?maxResults=1000");
    let (fetch, make) = script.split_once("|\n").expect("a pipe");
    assert!(fetch.trim_start().starts_with("curl -s -u"), "{fetch}");
    run(&world, directory.path(), &format!("cat answer.json |\n{make}\ntokengate token import tokens.jsonl"));
    world.wait_until_told();
    let call = |path: &str, user: &str, token: &str| world.get(path).basic(user, token).send();
    call("/rest/api/2/issue/JRA-1", "bob", "ip9ul19f8jenb92tji8lo34qt7tb1meo").assert_user(Some("bob"));
    call("/rest/api/2/issue/X-1", "bob", "ip9ul19f8jenb92tji8lo34qt7tb1meo").assert_refused(403, "restricted");
    call("/rest/api/2/issue/X-1", "bob", "okf8a73basc74nasc9n32").assert_user(Some("bob"));
}

fn millis_in_a_year() -> i64 {
    in_seconds(365 * 24 * 60 * 60).parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}
