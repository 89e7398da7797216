//! `tokengate user`, through the API.

use super::{done, fails};
use tests::World;

#[test]
fn m8_users_are_created_shown_edited_and_deleted_by_command() {
    let world = World::start_without_proxy();
    done(&world, &["user", "create", "alice", "--email", "alice@example.org"]);
    done(&world, &["user", "create", "bob.b@x", "--sysadmin"]);
    let list = done(&world, &["user", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("NAME") && lines.len() == 4, "{list}");
    assert!(lines.iter().any(|line| line.starts_with("alice") && line.contains("alice@example.org")), "{list}");
    let json = done(&world, &["user", "list", "--json", "--limit", "2"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["items"].as_array().map(Vec::len), json["next"].is_null()), (Some(2), false), "{json}");

    let edited = done(&world, &["user", "edit", "alice", "--suspend", "--no-email"]);
    assert!(edited.contains("suspended     yes") && edited.contains("email         -"), "{edited}");
    let shown = done(&world, &["user", "show", "ALICE", "--json"]);
    assert!(shown.contains(r#""suspended":true"#), "{shown}");
    done(&world, &["user", "edit", "alice", "--resume"]);
    assert!(done(&world, &["user", "show", "bob.b@x"]).contains("sysadmin      yes"));

    fails(&world, &["user", "create", "Alice"], 1, "409");
    fails(&world, &["user", "edit", "alice"], 2, "nothing to edit");
    fails(&world, &["user", "edit", "alice", "--suspend", "--resume"], 2, "cannot be used with");
    fails(&world, &["user", "delete", "alice"], 2, "--yes");
    fails(&world, &["user", "show", ".."], 2, "names nothing");
    fails(&world, &["user", "edit", "admin", "--no-sysadmin"], 1, "409");
    done(&world, &["user", "delete", "alice", "--yes"]);
    fails(&world, &["user", "show", "alice"], 1, "404");
}
