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

#[test]
fn m8_users_are_imported_from_csv_all_or_none_and_every_error_has_its_place() {
    let world = World::start_without_proxy();
    let file = world.site.logs.join("people.csv");
    let path = file.display().to_string();
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    let names = || done(&world, &["user", "list"]).lines().count() - 1;
    write("name,email,sysadmin\nalice,alice@example.org,\nbob,,true\n");
    assert!(done(&world, &["user", "import", &path, "--dry-run"]).contains("2 users could be created"));
    assert_eq!(names(), 1, "nobody but admin");
    assert!(done(&world, &["user", "import", &path]).contains("2 users were created"));
    assert!(done(&world, &["user", "show", "bob"]).contains("sysadmin      yes"));
    assert_eq!(world.rows("select count(*) from audit where action = 'user.create' and actor = 'admin'"), ["2"]);

    // One that is there, one that comes twice, one that is another's address; and all are told.
    write("name,email\ncarol,\nALICE,\nCarol,\ndave,alice@example.org\n");
    let output = super::tokengate(&world, &["user", "import", &path]);
    let text = super::said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for place in ["users/1/name", "users/2/name", "users/3/name"] {
        assert!(text.contains(place), "{place}: {text}");
    }
    assert!(!text.contains("users/0/"), "{text}");
    write("name\neve\na:b\n");
    fails(&world, &["user", "import", &path], 1, "users/1/name");
    write("name,mail\neve,x\n");
    fails(&world, &["user", "import", &path], 2, "unknown field `mail`");
    assert_eq!(names(), 3, "none of them");

    let many: Vec<_> = (0..2001).map(|number| serde_json::json!({ "name": format!("user-{number}") })).collect();
    let import = |users: &[serde_json::Value]| {
        let body = serde_json::json!({ "users": users });
        world.as_admin(reqwest::Method::POST, "/api/v1/import/users").json(&body).send()
    };
    import(&many).assert_refused(400, "bad_request");
    assert_eq!(import(&many[..2000]).json["created"], 2000);
    import(&[]).assert_refused(400, "bad_request");
    let long = vec![serde_json::json!({ "name": "x".repeat(255) }); 2000];
    import(&long).assert_refused(413, "body_too_large");
}
