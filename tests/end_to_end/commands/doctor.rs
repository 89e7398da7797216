//! `tokengate doctor`: what it finds, and that it changes nothing.

use super::{said, tokengate};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tests::{World, eventually};

/// What it finds: its exit code, and each check with its outcome.
fn examined(world: &World, data: &Path) -> (Option<i32>, Vec<(String, String)>) {
    let output = tokengate(world, &["doctor", "--json", "--data", &data.display().to_string()]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert!(!said(&output).contains("tgt_"), "{}", said(&output));
    let text = |check: &Value, field: &str| check[field].as_str().expect("a text").to_owned();
    let checks = answer["checks"].as_array().expect("checks");
    for check in checks {
        assert_eq!(check["advice"].is_null(), check["outcome"] == "ok", "what is not well comes with advice: {check}");
    }
    let checks = checks.iter().map(|check| (text(check, "check"), text(check, "outcome"))).collect();
    (output.status.code(), checks)
}

fn those(checks: &[(String, String)], wanted: &str) -> Vec<String> {
    checks.iter().filter(|(_, outcome)| outcome == wanted).map(|(check, _)| check.clone()).collect()
}

fn files(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).expect("a directory");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").file_name().display().to_string()).collect();
    files.sort();
    files
}

#[test]
fn the_doctor_finds_a_healthy_tokengate_healthy_and_goes_on_without_a_control_plane() {
    let mut world = World::start();
    let data = world.site.data.clone();
    eventually("everything is well", || {
        let (code, checks) = examined(&world, &data);
        (code == Some(0) && those(&checks, "ok").len() == checks.len() && checks.len() >= 16).then_some(())
    });
    let text = super::done(&world, &["doctor", "--data", &data.display().to_string()]);
    assert!(text.contains("ok    proxies: 1, all of them live"), "{text}");

    world.token_for("alice");
    let someone = world.new_token(&serde_json::json!({ "label": "x", "owner": "alice" }));
    let file = world.site.logs.join("someone");
    fs::write(&file, &someone.text).expect("a file");
    let as_someone = ["doctor", "--token-file", &file.display().to_string(), "--data", &data.display().to_string()];
    let output = tokengate(&world, &as_someone);
    assert!(output.status.code() == Some(1) && said(&output).contains("FAIL  token: 403"), "{}", said(&output));

    assert!(world.stop_control_plane());
    let before = files(&data);
    let (code, checks) = examined(&world, &data);
    assert_eq!((code, those(&checks, "fail")), (Some(1), vec!["API".to_owned()]));
    assert_eq!(those(&checks, "warn"), ["serve"]);
    assert_eq!(files(&data), before, "it leaves nothing behind");
}

#[test]
fn the_doctor_names_what_is_wrong_with_the_data_and_changes_nothing() {
    let mut world = World::start_without_proxy();
    assert!(world.stop_control_plane());
    let data = world.site.data.clone();
    let (key, database) = (data.join("master.key"), data.join("tokengate.db"));
    let (good_key, good_database) = (fs::read(&key).expect("a key"), fs::read(&database).expect("a database"));
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("it can be set");
    let before = files(&data);
    assert!(!before.contains(&"tokengate.db-wal".to_owned()), "whoever stops it finds all in one file: {before:?}");
    let finds = |world: &World, what: &str, make: &dyn Fn(), expected: &[&str], unmake: &dyn Fn()| {
        make();
        let present = files(&data);
        let (code, checks) = examined(world, &data);
        assert_eq!(
            (code, those(&checks, "fail")),
            (Some(1), [expected, &["API"]].concat().iter().map(|e| (*e).to_owned()).collect()),
            "{what}"
        );
        assert_eq!(files(&data), present, "{what}: it leaves nothing behind");
        unmake();
    };
    finds(&world, "others can read the key", &|| mode(0o644), &["master key"], &|| mode(0o600));
    let put = |key_or_database: &Path, content: &[u8]| fs::write(key_or_database, content).expect("it is written");
    finds(&world, "no key", &|| fs::remove_file(&key).expect("it goes"), &["master key"], &|| put(&key, &good_key));
    mode(0o600);
    finds(&world, "another key", &|| put(&key, "ab".repeat(32).as_bytes()), &["hash key"], &|| put(&key, &good_key));
    finds(&world, "no key in it", &|| put(&key, b"x"), &["master key"], &|| put(&key, &good_key));
    finds(&world, "no database in it", &|| put(&database, b"x"), &["database"], &|| put(&database, &good_database));
    let broken = || {
        let mut broken = good_database.clone();
        let from = broken.len() / 4096 / 2 * 4096;
        broken[from..from + 4096].fill(0xff);
        put(&database, &broken);
    };
    finds(&world, "a page is broken", &broken, &["database"], &|| put(&database, &good_database));
    let newer = || drop(world.rows("insert into seaql_migrations values ('m9999_future', 0)"));
    finds(&world, "a newer schema", &newer, &["schema"], &|| put(&database, &good_database));
    let open = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).expect("it can be set");
    finds(&world, "others can write", &|| open(0o777), &["data directory"], &|| open(0o700));
    assert_eq!(files(&data), before);

    // What a program that was killed has left is looked at, and left, too.
    world.start_control_plane();
    world.kill_control_plane();
    let left = files(&data);
    assert!(left.contains(&"tokengate.db-wal".to_owned()), "{left:?}");
    assert_eq!(those(&examined(&world, &data).1, "fail"), ["API"]);
    finds(&world, "no database beside a log", &|| put(&database, b""), &["database"], &|| {
        put(&database, &good_database)
    });
    assert_eq!(files(&data), left);

    let empty = world.site.logs.join("empty");
    fs::create_dir(&empty).expect("a directory");
    assert_eq!(those(&examined(&world, &empty).1, "fail"), ["API"]);
    assert!(files(&empty).is_empty(), "neither a key nor a database is made");
    let nowhere = world.site.logs.join("nowhere");
    assert_eq!(those(&examined(&world, &nowhere).1, "fail"), ["data directory", "API"]);
    assert!(!nowhere.exists());
}
