//! The commands, as whoever types them meets them.

mod administration;
mod configuration;
mod doctor;
mod other_answers;
mod recover;
mod settings;
mod tokens;
mod users;

use serde_json::json;
use std::process::{Command, Output, Stdio};
use tests::{World, eventually};

pub(crate) fn tokengate(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(&world.site.tools.tokengate);
    let url = format!("http://127.0.0.1:{}", world.site.ports.control);
    command.args(arguments).env("TOKENGATE_URL", url).env("TOKENGATE_TOKEN_FILE", world.site.data.join("admin-token"));
    command.env_remove("TOKENGATE_TOKEN").stdin(Stdio::null()).output().expect("the command runs")
}

/// Runs a command that must do what it is told; gives its standard output.
pub(crate) fn done(world: &World, arguments: &[&str]) -> String {
    let output = tokengate(world, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a command that must fail with this exit code, and say this on standard error alone.
pub(crate) fn fails(world: &World, arguments: &[&str], code: i32, expected: &str) {
    let output = tokengate(world, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(error.contains(expected), "{arguments:?} must say {expected:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", said(&output));
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn token_revoke_names_the_proxies_that_have_not_confirmed() {
    let mut world = World::start();
    world.set(&json!({ "max_snapshot_age": "1h" }));
    let tokens: Vec<_> = (0..4).map(|_| world.token_for("alice")).collect();
    let output = tokengate(&world, &["token", "revoke", &tokens[0].id, "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("confirmed by 1 of 1 proxies"), "{}", said(&output));
    world.get("/rest/x").bearer(&tokens[0]).send().assert_refused(401, "token_deleted");
    let output = tokengate(&world, &["token", "revoke", &tokens[1].id]);
    assert_eq!((output.status.code(), said(&output).contains("revoked")), (Some(0), true), "{}", said(&output));

    let listed = tokengate(&world, &["proxy", "list"]);
    let text = said(&listed);
    assert!(text.contains("NAME") && text.contains("envoy") && text.contains("live"), "{text}");
    let json = tokengate(&world, &["proxy", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["items"][0]["name"], "envoy");

    world.kill_envoy();
    let output = tokengate(&world, &["token", "revoke", &tokens[2].id, "--wait", "300ms"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("confirmed by 0 of 1 proxies") && text.contains("envoy"), "{text}");

    let backend = format!("http://127.0.0.1:{}", world.site.ports.backend); // which answers anything with 200
    for (arguments, expected) in [
        (vec!["token", "revoke", &tokens[2].id], "404"),
        (vec!["token", "revoke", &tokens[3].id, "--wait", "1h"], "wait must be a time"),
        (vec!["token", "revoke", "../users/alice"], "400"),
        (vec!["token", "revoke", &tokens[3].id, "--token-file", "/nowhere"], "--token-file"),
        (vec!["token", "revoke", &tokens[3].id, "--url", "http://127.0.0.1:1"], "does not answer"),
        (vec!["token", "revoke", &tokens[3].id, "--url", &backend], "no answer of Tokengate's"),
        (vec!["token", "revoke", &tokens[3].id, "--wait", "1s", "--url", &backend], "no answer of Tokengate's"),
    ] {
        let output = tokengate(&world, &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).contains("tgt_"), "{}", said(&output));
    }
    assert_eq!(world.as_admin(reqwest::Method::GET, "/api/v1/users/alice").send().status, 200);
    world.start_envoy();
    let of_state = |state: &str| {
        let listed: serde_json::Value =
            serde_json::from_str(&done(&world, &["proxy", "list", "--json"])).expect("JSON");
        let items = listed["items"].as_array().expect("a list").clone();
        let instances = items.iter().filter(|proxy| proxy["state"] == state).filter_map(|p| p["instance"].as_str());
        instances.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("both are listed, the one that is gone as lost", || {
        (of_state("lost").len() == 1 && of_state("live").len() == 1).then_some(())
    });
    fails(&world, &["proxy", "forget", &of_state("live")[0]], 1, "409");
    done(&world, &["proxy", "forget", &of_state("lost")[0]]);
    assert!(of_state("lost").is_empty());
}
