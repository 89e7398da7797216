//! `tokengate token`, through the API.

use super::{done, fails, tokengate};
use reqwest::Method;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tests::World;

#[test]
fn m5_a_new_token_alone_goes_to_standard_output_or_into_a_file_of_its_owner() {
    let world = World::start_without_proxy();
    done(&world, &["user", "create", "alice"]);
    let output = tokengate(&world, &["token", "create", "--label", "mine", "--owner", "alice", "--validity", "90d"]);
    let (token, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(token.starts_with("tgt_") && token.trim().len() == 43 && token.lines().count() == 1, "{told}");
    assert!(told.contains("of alice, until 20") && !told.contains("tgt_"), "{told}");
    let own = world.control_call(Method::GET, "/api/v1/tokens").bearer(token.trim()).send();
    assert_eq!(own.json["items"][0]["label"], "mine", "{}", own.text);

    let file = world.site.logs.join("token");
    let path = file.display().to_string();
    let restricted = ["--scope", "read_only", "--ip", "10.0.0.0/8", "--ip", "::1", "--restriction", "[get]/rest/.*"];
    let create = ["token", "create", "--label", "reading", "--output", &path, "--json"];
    let made = done(&world, &[&create[..], &restricted].concat());
    assert!(!made.contains("tgt_"), "{made}");
    assert!(std::fs::read_to_string(&file).expect("the file").starts_with("tgt_"));
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let id = made["id"].as_str().expect("an id");
    let shown = done(&world, &["token", "show", id]);
    for line in ["scope               read_only", "ip_ranges           10.0.0.0/8", "restrictions        [get]/rest/.*"]
    {
        assert!(shown.contains(line), "{line:?} is missing in\n{shown}");
    }
    fails(&world, &["token", "edit", id, "--no-ips"], 1, "403"); // secure mode

    let lines = world.site.logs.join("lines");
    std::fs::write(&lines, "[get]/rest/.*\n/rest/(\n[put]/rest/[\n").expect("a file");
    let from_file = ["token", "create", "--label", "x", "--restrictions-file", &lines.display().to_string()];
    fails(&world, &from_file, 1, "restrictions, line 2, column");
    fails(&world, &from_file, 1, "restrictions, line 3, column");
    std::fs::write(&lines, "\n").expect("a file");
    fails(&world, &from_file, 2, "no restriction in it");
    fails(&world, &["token", "create"], 2, "--label");
    fails(&world, &["token", "delete", "--yes"], 2, "--owner NAME or --all");
}

#[test]
fn a_list_of_several_pages_is_listed_whole_and_as_one_document() {
    let mut world = World::start_without_proxy();
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", 2100);
    world.start_control_plane();
    let text = done(&world, &["token", "list", "--owner", "admin"]);
    assert_eq!(text.lines().count(), 1 + 2101);
    let json = done(&world, &["token", "list", "--all", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["items"].as_array().map(Vec::len), json["next"].is_null()), (Some(2101), true));
    assert_eq!(done(&world, &["token", "list", "--limit", "1500"]).lines().count(), 1501);
    // Whoever has seen enough is no failure.
    let command = format!("'{}' token list --owner admin | head -1", world.site.tools.tokengate.display());
    let mut shell = Command::new("bash");
    shell.args(["-o", "pipefail", "-c", &command]).env("TOKENGATE_TOKEN", world.admin_token());
    let output = shell.env("TOKENGATE_URL", format!("http://127.0.0.1:{}", world.site.ports.control)).output();
    let output = output.expect("a shell");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", super::said(&output));
}
