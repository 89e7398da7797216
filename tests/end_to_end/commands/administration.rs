//! The commands and the real API, one after the other, as an administrator goes through a day: in standard mode.

use super::{done, fails};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tests::World;

/// A control plane in standard mode, without a proxy.
fn control_plane() -> World {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_control_plane();
    world
}

/// Sets a user's password, which comes from standard input.
fn set_password(world: &World, user: &str, password: &str) {
    let mut command = Command::new(&world.site.tools.tokengate);
    let url = format!("http://127.0.0.1:{}", world.site.ports.control);
    command.args(["user", "password", user]).env("TOKENGATE_URL", url);
    command.env("TOKENGATE_TOKEN_FILE", world.site.data.join("admin-token")).env_remove("TOKENGATE_TOKEN");
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the command runs");
    let input = child.stdin.take().expect("its input");
    { input }.write_all(format!("{password}\n").as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
}

/// The only token of a user, by its label.
fn id_of(world: &World, label: &str) -> String {
    let list = done(world, &["token", "list", "--all", "--label-prefix", label, "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let items = list["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{list}");
    items[0]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn m5_m8_s9_a4_a_day_of_administration_by_command() {
    let world = control_plane();
    done(&world, &["user", "create", "alice"]);
    set_password(&world, "alice", "correct horse");
    let list = || world.control_get("/api/v1/tokens");
    assert_eq!(list().basic("alice", "correct horse").send().status, 200);
    list().basic("alice", "wrong horse").send().assert_refused(401, "wrong_password");

    // Tokens: copied, rotated, shown again to nobody but their owner, deleted by a filter.
    let token = done(&world, &["token", "create", "--label", "mine", "--validity", "90d"]);
    let id = id_of(&world, "mine");
    assert_eq!(done(&world, &["token", "secret", &id]), token);
    done(&world, &["token", "create", "--owner", "alice", "--label", "hers", "--copy-of", &id]);
    let hers = id_of(&world, "hers");
    fails(&world, &["token", "secret", &hers], 1, "404");
    let rotated = done(&world, &["token", "rotate", &hers, "--overlap", "1h"]);
    assert!(rotated.starts_with("tgt_"), "{rotated}");
    assert_eq!(list().bearer(rotated.trim()).send().status, 200);
    assert_eq!(done(&world, &["token", "list", "--owner", "alice"]).lines().count(), 3, "a head, the old and the new");
    assert!(done(&world, &["token", "delete", "--owner", "alice", "--yes"]).contains("deleted 2"));
    list().bearer(rotated.trim()).send().assert_refused(401, "token_deleted");

    // Settings: a way that would lock one out, history, and back.
    fails(&world, &["settings", "set", "ip_rules=203.0.113.0/24"], 1, "ip_rules");
    done(&world, &["settings", "set", "max_validity=1y", "passwords=disabled"]);
    let history = done(&world, &["settings", "history"]);
    assert!(history.lines().nth(1).is_some_and(|line| line.contains("max_validity, passwords")), "{history}");
    assert!(done(&world, &["settings", "history", "1"]).contains("max_validity=1y"));
    done(&world, &["settings", "restore", "0"]);
    assert!(done(&world, &["settings", "show"]).contains("max_validity=never"));

    // Records.
    let found = done(&world, &["audit", "list", "--action", "token.rotate"]);
    assert!(found.lines().count() == 2 && found.contains(&hers), "{found}");
    let csv = done(&world, &["audit", "export", "--format", "csv"]);
    let settings = csv.lines().filter(|line| line.contains(",settings.change,")).count();
    assert_eq!(settings, 2, "{csv}");
    assert!(!csv.contains("tgt_") && !csv.contains("horse"), "no secret: {csv}");

    done(&world, &["user", "delete", "alice", "--yes"]);
    assert_eq!(done(&world, &["user", "list"]).lines().count(), 2, "a head, and admin");
}
