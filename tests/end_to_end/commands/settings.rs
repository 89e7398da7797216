//! `tokengate settings`, through the API.

use super::{done, fails};
use tests::World;

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
