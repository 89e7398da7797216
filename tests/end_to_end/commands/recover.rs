//! `tokengate user recover`: the way back in, on the machine.

use super::fails;
use reqwest::Method;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use tests::{World, eventually};

#[test]
fn m8_a_lost_sysadmin_comes_back_on_the_machine_and_proxies_hear_of_it() {
    let mut world = World::start();
    let locked = json!({ "ip_rules": ["203.0.113.0/24"], "token_schemes": "basic", "passwords": "disabled" });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings?force=true").json(&locked).send().status, 200);
    let data = world.site.data.display().to_string();
    let file = world.site.logs.join("recovered");
    let path = file.display().to_string();
    let recover = ["user", "recover", "Admin", "--data", &data, "--output", &path];
    fails(&world, &recover, 1, "stop it");
    assert!(!file.exists());
    assert!(world.stop_control_plane());
    let before = world.audit().len();
    world.rows("update users set sysadmin = 0, suspended = 1");
    world.rows("update tokens set deleted_at = 1");

    let output = super::tokengate(&world, &[&recover[..], &["--reset-lockout"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", super::said(&output));
    assert!(!super::said(&output).contains("tgt_"), "{}", super::said(&output));
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let audit = world.audit().split_off(before);
    let [settings, edit, token] = audit.as_slice() else { panic!("{audit:#?}") };
    assert!(settings.contains("settings.change") && edit.contains("user.edit|admin"), "{audit:#?}");
    assert!(token.contains("token.create") && token.contains("recovered"), "{audit:#?}");
    let actors: Vec<_> = audit.iter().map(|record| record.split('|').nth(1)).collect();
    assert!(actors.iter().all(|actor| *actor == actors[0] && *actor != Some("admin")), "{audit:#?}");

    world.start_control_plane();
    let token = std::fs::read_to_string(&file).expect("the token");
    let settings = world.control_call(Method::GET, "/api/v1/settings").bearer(token.trim()).send();
    assert_eq!(settings.status, 200, "{}", settings.text);
    assert_eq!((&settings.json["ip_rules"], &settings.json["token_schemes"]), (&json!([]), &json!("both")));
    assert_eq!(settings.json["passwords"], "disabled", "what locks nobody out stays");
    eventually("the proxy admits it", || {
        (world.get("/rest/x").bearer(token.trim()).send().status == 200).then_some(())
    });
}

#[test]
fn attack_recover_makes_no_database_no_key_and_no_user_that_the_api_would_refuse() {
    let mut world = World::start_without_proxy();
    let nowhere = world.site.logs.join("nowhere");
    let nowhere = nowhere.display().to_string();
    fails(&world, &["user", "recover", "admin", "--data", &nowhere], 1, "no database");
    assert!(!std::path::Path::new(&nowhere).exists());
    assert!(world.stop_control_plane());
    let data = world.site.data.display().to_string();
    fails(&world, &["user", "recover", "a:b", "--data", &data], 1, "must");
    let key = world.site.data.join("master.key");
    let away = world.site.logs.join("away");
    std::fs::rename(&key, &away).expect("it moves");
    fails(&world, &["user", "recover", "admin", "--data", &data], 1, "master key");
    assert!(!key.exists());
    std::fs::rename(&away, &key).expect("it moves");
    fails(&world, &["user", "recover", "new", "--data", &data, "--output", "/nowhere/token"], 1, "nothing was changed");
    let token = super::done(&world, &["user", "recover", "new", "--data", &data]);
    assert!(token.starts_with("tgt_"), "{token}");
    assert_eq!(world.rows("select name, sysadmin from users order by id"), ["admin|1", "new|1"]);
}
