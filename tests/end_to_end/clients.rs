//! Clients that nobody here wrote: curl as the guides of the products have it, two Python packages, and Postman's runner.

mod curl;
mod newman;
mod python;

use serde_json::{Value, json};
use std::process::Output;
use tests::{Token, World};

fn entrance(world: &World) -> String {
    format!("http://127.0.0.1:{}", world.site.ports.entrance)
}

/// What a program that must have succeeded has printed.
fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// A token of alice's of our making, and one that was taken over from elsewhere.
fn minted_and_imported(world: &World, value: &str) -> [Token; 2] {
    let minted = world.new_token(&json!({ "label": "minted", "owner": "alice" }));
    [minted, world.import_token(value, "alice")] // which waits until both are known
}

/// What reached the backend on the strength of alice's token, as lines of method, path and body; asserts that each time it
/// came with her identity and without the token.
fn arrived(world: &World, token: &Token) -> Vec<String> {
    let requests = world.received_by(token);
    requests.iter().for_each(|request| assert_is_alices(request, token));
    requests.iter().map(line).collect()
}

fn assert_is_alices(request: &Value, token: &Token) {
    assert_eq!(request["user"], "alice", "{request}");
    let headers = &request["headers"];
    assert_eq!((&headers["x-forwarded-user"], &headers["authorization"]), (&json!("alice"), &Value::Null), "{request}");
    assert_eq!(headers["x-forwarded-email"], "alice@example.org", "{request}");
    assert!(!request.to_string().contains(&token.text), "the token arrived: {request}");
}

fn line(request: &Value) -> String {
    let text = |name: &str| request[name].as_str().expect("text").to_owned();
    let body = match serde_json::from_str::<Value>(&text("body")) {
        Ok(json) => json.to_string(),
        Err(_) => text("body"),
    };
    format!("{} {} {body}", text("method"), text("path")).trim_end().to_owned()
}
