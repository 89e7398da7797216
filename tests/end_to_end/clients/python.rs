//! The two Python packages that most scripts for Jira and Confluence stand on.

use super::{arrived, entrance, minted_and_imported, text};
use serde_json::{Value, json};
use std::process::Command;
use tests::{Token, World};

const JIRA: &str = include_str!("jira_client.py");
const ATLASSIAN: &str = include_str!("atlassian_client.py");

/// What a script prints that comes with this token in this scheme, and in Basic with this name.
fn run(world: &World, script: &str, scheme: &str, name: &str, token: &Token) -> String {
    let mut command = Command::new(&world.site.tools.python);
    command.args(["-c", script, &entrance(world), scheme, name, &token.text]).env("NO_PROXY", "*");
    text(&command.output().expect("python runs"))
}

/// Refusals: the code, and what people are told.
const WRONG_USER: [&str; 2] = ["wrong_user", "This API token belongs to another user."];
const DELETED: [&str; 2] = ["token_deleted", "This API token has been deleted."];

/// Lets alice run a script with every kind of token in either scheme: each time it prints this, and these requests are
/// among those that arrive at the backend. With another's name, and when the token has been revoked, it prints that it
/// was refused, and nothing arrives.
fn assert_works_for_alice(script: &str, printed: &str, expected: &[&str], refused: impl Fn([&str; 2]) -> String) {
    let world = World::start();
    world.create_user("alice");
    world.create_user("bob");
    for scheme in ["basic", "bearer"] {
        let tokens = minted_and_imported(&world, &format!("taken-over-for-{scheme}"));
        for (token, name) in tokens.iter().zip(["alice", "Alice@example.org"]) {
            assert_eq!(run(&world, script, scheme, name, token), printed, "{scheme}");
            let lines = arrived(&world, token);
            for line in expected {
                assert!(lines.iter().any(|arrived| arrived == line), "{scheme}: {line} is not in {lines:#?}");
            }
            if scheme == "basic" {
                assert_eq!(run(&world, script, scheme, "bob", token), refused(WRONG_USER));
            }
            world.delete_token(token);
            world.wait_until_told();
            assert_eq!(run(&world, script, scheme, name, token), refused(DELETED), "{scheme}");
            assert_eq!(arrived(&world, token).len(), lines.len(), "nothing more arrives");
        }
    }
    assert_eq!(world.failed_logins(), 0);
}

#[test]
fn u1_u2_m6_jiras_python_client_works_with_user_and_token_and_with_the_token_alone() {
    let printed = "version 9 12 0
myself alice
issue JRA-1 Issue JRA-1 of the demo backend
found JRA-1
comment POST {\"body\": \"Comment text \\u00e4\\u00f6\\u00fc\"}
";
    let expected = [
        "GET /rest/api/2/serverInfo",
        "GET /rest/api/2/myself",
        "GET /rest/api/2/issue/JRA-1",
        "GET /rest/api/2/search",
        r#"POST /rest/api/2/issue/JRA-1/comment {"body":"Comment text äöü"}"#,
        r#"PUT /rest/api/2/issue/JRA-1 {"fields":{"summary":"Another summary"},"update":{}}"#,
        "DELETE /rest/api/2/issue/JRA-1",
    ];
    assert_works_for_alice(JIRA, printed, &expected, |[code, _]| format!("refused 401 {code}\n"));
}

#[test]
fn u1_u2_m6_atlassian_python_api_works_for_jira_and_confluence_in_both_schemes() {
    let printed = "myself alice
issue Issue JRA-1 of the demo backend
found JRA-1 by project+%3D+JRA+ORDER+BY+key
page expand=body.storage
cql start=0&limit=5&cql=space+%3D+DOC
";
    let content = |content: &Value| format!("POST /rest/api/content {content}");
    let body = |html: &str| json!({ "storage": { "value": html, "representation": "storage" } });
    let expected = [
        "GET /rest/api/2/myself",
        "GET /rest/api/2/issue/JRA-1",
        "GET /rest/api/2/search",
        r#"POST /rest/api/2/issue/JRA-1/comment {"body":"Comment text äöü"}"#,
        r#"PUT /rest/api/2/issue/JRA-1 {"fields":{"summary":"Another summary"}}"#,
        r#"POST /rest/api/2/issue {"fields":{"issuetype":{"name":"Task"},"project":{"key":"JRA"},"summary":"New"}}"#,
        "DELETE /rest/api/2/issue/JRA-1",
        "GET /rest/api/content/1234",
        "GET /rest/api/search",
        "GET /rest/api/space",
        &content(&json!({
            "type": "page", "title": "Title", "status": "current", "space": { "key": "DOC" }, "body": body("<p>Text</p>"),
            "metadata": { "properties": {
                "content-appearance-draft": { "value": "fixed-width" },
                "content-appearance-published": { "value": "fixed-width" },
            } },
        })),
        &content(&json!({
            "type": "comment", "container": { "id": "1234", "type": "page", "status": "current" },
            "body": body("<p>Comment</p>"),
        })),
    ];
    // In Confluence's case it tells what the answer says in plain words, in Jira's not.
    let refused = |[code, detail]: [&str; 2]| {
        format!("refused 401 {code} as Unauthorized (401)\nrefused 401 {code} as {detail}\n")
    };
    assert_works_for_alice(ATLASSIAN, printed, &expected, refused);
}

#[test]
fn m4_atlassian_python_api_makes_lists_and_deletes_personal_access_tokens() {
    let world = World::start();
    world.set(&json!({ "facades": ["pat"] }));
    let token = world.token_for("alice");
    let run = |more: &[&str]| {
        let mut command = Command::new(&world.site.tools.python);
        command.args(["-c", include_str!("pat_client.py"), &entrance(&world), "alice", &token.text]).args(more);
        text(&command.env("NO_PROXY", "*").output().expect("python runs"))
    };
    let made = run(&[]);
    world.wait_until_told();
    let printed = "myself alice
listed test made by a script
deleted None
listed test
refused 400
";
    let made: Vec<&str> = made.split_whitespace().collect();
    assert_eq!(run(&made), printed);
    world.wait_until_told();
    world.get("/rest/").bearer(made[1]).send().assert_refused(401, "token_deleted");
    assert_eq!(world.received("/rest/pat/latest/tokens").len(), 0, "the backend has no part in it");
}
