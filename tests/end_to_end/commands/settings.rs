//! `tokengate settings`, through the API.

use super::{done, fails};
use serde_json::{Value, json};
use tests::{World, eventually};

#[test]
fn s9_settings_are_shown_and_set_by_command_and_every_error_is_told_with_its_place() {
    let world = World::start_without_proxy();
    assert!(done(&world, &["settings", "show"]).contains("token_schemes=both\n"));
    let set = ["settings", "set", "passwords=disabled", "ip_rules=127.0.0.1", "ip_rules=10.0.0.0/8", "body_limit=2048"];
    let told = done(&world, &set);
    assert!(told.contains("passwords=disabled") && told.contains(r#"ip_rules=["127.0.0.1","10.0.0.0/8"]"#), "{told}");
    let shown = done(&world, &["settings", "show", "body_limit", "max_tokens_per_user"]);
    assert_eq!(shown, "body_limit=2048\nmax_tokens_per_user=null\n");
    let json = done(&world, &["settings", "show", "ip_rules", "--json"]);
    assert_eq!(json, "{\"ip_rules\":[\"127.0.0.1\",\"10.0.0.0/8\"]}\n");
    for expected in ["ip_rules/0", "pasword", "body_limit"] {
        fails(&world, &["settings", "set", "ip_rules=10.0.0.7/8", "pasword=x", "body_limit=1"], 1, expected);
    }
    fails(&world, &["settings", "set", "passwords"], 2, "NAME=VALUE");
    fails(&world, &["settings", "show", "pasword"], 2, "no setting pasword");
    assert_eq!(done(&world, &["settings", "show", "body_limit"]), "body_limit=2048\n");

    done(&world, &["settings", "set", "body_limit=4096"]);
    let history = done(&world, &["settings", "history"]);
    let lines: Vec<Vec<&str>> = history.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert_eq!((lines[1][0], &lines[1][2..]), ("2", &["admin", "body_limit"][..]), "{history}");
    let changed = &lines[2][3..];
    assert!(["body_limit", "ip_rules", "passwords"].iter().all(|name| changed.concat().contains(name)), "{history}");
    assert!(done(&world, &["settings", "history", "1"]).contains("\nbody_limit=2048\n"));
    let told = done(&world, &["settings", "restore", "1"]);
    assert!(told.starts_with("the settings are those of version 1 again\n"), "{told}");
    assert_eq!(done(&world, &["settings", "show", "body_limit"]), "body_limit=2048\n");
    fails(&world, &["settings", "restore", "99"], 1, "version must be one of those in the history");
}

#[test]
fn s9_settings_and_restrictions_are_tried_by_command_and_the_exit_code_says_that_they_were() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get("/rest/once").bearer(&token).send().assert_user(Some("alice"));
    eventually("it is in the audit", || {
        (!world.rows("select 1 from calls where path = '/rest/once'").is_empty()).then_some(())
    });
    let told = done(&world, &["settings", "try", "ip_rules=10.0.0.0/8", "--token", &token.id, "--last", "10"]);
    let of_call = told.lines().find(|line| line.contains("/rest/once")).expect(&told);
    let cells: Vec<&str> = of_call.split_whitespace().collect();
    assert_eq!(cells[..2], ["yes", "no"], "{told}");
    assert_eq!(cells[3..], ["alice", &token.id, "GET", "/rest/once", "passed", "refused", "ip_not_allowed"], "{told}");
    assert!(told.starts_with("tried on ") && told.contains("refused for: ip_not_allowed "), "{told}");
    assert!(!done(&world, &["settings", "try", "log_calls=false"]).contains("/rest/once"));
    assert!(done(&world, &["settings", "show", "ip_rules"]).contains("ip_rules=[]"), "nothing was changed");

    let line = "--restriction=/rest/once[QueryParam::q==1]";
    let json = done(&world, &["token", "try", &token.id, line, "--assume-no-override", "--json"]);
    let answer: Value = serde_json::from_str(&json).expect("JSON");
    let calls = answer["calls"].as_array().expect("a list");
    let call = calls.iter().find(|call| call["path"] == "/rest/once").expect("it is shown");
    assert_eq!((&call["refuses"], &call["missing"]), (&json!("undecidable"), &json!(["query"])));
    let file = world.site.logs.join("lines.txt");
    std::fs::write(&file, "/rest/once\n/rest/\n").expect("a file");
    let file = file.display().to_string();
    let told = done(&world, &["token", "try", &token.id, "--restrictions-file", &file, "--assume-no-override"]);
    assert!(!told.contains("/rest/once"), "{told}");

    fails(&world, &["settings", "try", "ip_rules=10.0.0.7/8"], 1, "ip_rules/0");
    fails(&world, &["settings", "try", "log_calls=false", "--last", "10001"], 1, "last must be 1 to 10000");
    fails(&world, &["settings", "try", "log_calls=false", "--context-path", "jira"], 1, "context_path");
    fails(&world, &["settings", "try"], 2, "NAME=VALUE");
    fails(&world, &["token", "try", &token.id], 2, "--restriction");
    fails(&world, &["token", "try", &token.id, "--restriction", "(?=x)"], 1, "line 1");
}
