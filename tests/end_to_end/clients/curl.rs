//! curl, as people type it and as the guides of the products show it.

use super::{entrance, text};
use reqwest::Method;
use serde_json::json;
use std::process::Command;
use tests::World;

fn curl(arguments: &[&str]) -> String {
    text(
        &Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*"])
            .args(arguments)
            .output()
            .expect("curl runs"),
    )
}

/// Asserts that the backend answered this command, saw the caller as this user, and saw no credential.
fn assert_answered(arguments: &[&str], name: &str) -> String {
    let answer = curl(arguments);
    assert!(answer.contains(&format!(r#""user":"{name}""#)), "{arguments:?}: {answer}");
    assert!(answer.contains(&format!(r#""x-forwarded-user":"{name}""#)), "{arguments:?}: {answer}");
    assert!(!answer.contains(r#""authorization""#), "{arguments:?}: {answer}");
    answer
}

#[test]
fn u1_u2_plain_curl_with_user_and_token_gets_its_answer_from_the_backend() {
    let world = World::start();
    let token = world.token_for("alice");
    let user = format!("alice:{}", token.text);
    let issue = format!("{}/rest/api/2/issue/AAA-1", entrance(&world));
    let answer = assert_answered(&[&issue, "--user", &user], "alice");
    assert!(answer.contains(r#""key":"AAA-1""#) && !answer.contains(&token.text), "{answer}");
    let bearer = format!("Authorization: Bearer {}", token.text);
    assert_answered(&["-H", &bearer, &issue], "alice");
}

#[test]
fn u1_u5_curl_lines_of_the_products_guides_do_what_their_captions_say() {
    let world = World::start();
    let token = world.token_for("alice");
    let ansible = json!({ "name": "ansible", "email": "ansible@ansible.jira.pl" });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&ansible).send().status, 201);
    world.import_token("token0987654321", "ansible");
    world.import_token("phn7gd4v6qg24fvhfp6qpgjlkup01g0lg", "admin");
    let (url, user) = (entrance(&world), format!("alice:{}", token.text));
    // An unprotected path: the first thing that people type.
    let answer = curl(&["-v", &url, "--user", &user]);
    assert!(answer.contains("path_not_protected"), "{answer}");
    assert_answered(&["-s", &format!("{url}/rest/api/latest/configuration"), "--user", &user], "alice");
    assert_answered(&["-s", &format!("{url}/rest/api/user/anonymous"), "--user", &user], "alice");
    // Tokens that came from another product: with the e-mail address, and in a header written by hand.
    let issue = format!("{url}/rest/api/2/issue/AAA-1");
    let answer = assert_answered(&["-s", "-u", "ansible@ansible.jira.pl:token0987654321", &issue], "ansible");
    assert!(answer.contains(r#""x-forwarded-email":"ansible@ansible.jira.pl""#), "{answer}");
    let header = "Authorization: Basic YWRtaW46cGhuN2dkNHY2cWcyNGZ2aGZwNnFwZ2psa3VwMDFnMGxn";
    assert_answered(&["-H", header, &format!("{url}/rest/api/content")], "admin");
    assert_eq!(world.failed_logins(), 0, "no token was tried as a password");
}

#[test]
fn u1_the_curl_line_of_the_guide_that_comments_on_an_issue() {
    let world = World::start();
    world.import_token("token0987654321", "admin");
    let comment = format!("{}/rest/api/2/issue/ISSUE-1/comment", entrance(&world));
    let (json, body) = ("Content-Type: application/json", r#"{"body":"Comment text"}"#);
    let line = ["-u", "admin:token0987654321", "-H", json, "--data", body, "-X", "POST", &comment];
    let answer = assert_answered(&line, "admin");
    assert!(answer.contains(r#""method":"POST""#), "{answer}");
    let received = world.received("/rest/api/2/issue/ISSUE-1/comment");
    assert_eq!((received.len(), &received[0]["body"]), (1, &json!(body)));
    assert_eq!(world.failed_logins(), 0, "the token was not tried as a password");
}

#[test]
fn u2_u5_the_curl_line_of_the_guide_with_a_context_path() {
    let mut world = World::prepare(1);
    world.edit_config(r#""context_path": """#, r#""context_path": "/jira""#);
    world.start_both();
    world.create_user("alice");
    world.import_token("qt3sumg4gd8r47n98tcnmuarnfufviog", "alice");
    let bearer = "Authorization: Bearer qt3sumg4gd8r47n98tcnmuarnfufviog";
    let answer = assert_answered(&["-H", bearer, &format!("{}/jira/rest/api/2/issuetype", entrance(&world))], "alice");
    assert!(answer.contains(r#""path":"/jira/rest/api/2/issuetype""#), "{answer}");
    // Settings name paths below it.
    world.set(&json!({ "passwords": "disabled", "password_exempt_paths": ["/rest/open/"] }));
    world.get("/jira/rest/open/x").basic("alice", "wonderland").send().assert_user(Some("alice"));
    world.get("/jira/rest/x").basic("alice", "wonderland").send().assert_refused(403, "password_disabled");
}

#[test]
fn u1_a_post_that_is_redirected_becomes_a_get_unless_curl_is_told_to_keep_it() {
    let world = World::start();
    let token = world.token_for("alice");
    let user = format!("alice:{}", token.text);
    let body = r#"{"body":"Comment text"}"#;
    // What the backend received in the end: method and body.
    let post = |status: u16, more: &[&str]| {
        let url = format!("{}/rest/moved/{status}", entrance(&world));
        let line = ["-u", &user, "-H", "Content-Type: application/json", "--data", body, "--location", &url];
        assert_answered(&[&line, more].concat(), "alice");
        let first = world.received(&format!("/rest/moved/{status}")).pop().expect("the request arrived");
        assert_eq!((&first["method"], &first["body"]), (&json!("POST"), &json!(body)));
        let received = world.received("/rest/arrived").pop().expect("it was followed");
        (received["method"].as_str().unwrap_or_default().to_owned(), received["body"].clone())
    };
    let (kept, lost) = (("POST".to_owned(), json!(body)), ("GET".to_owned(), json!("")));
    for (status, keep) in [(301, "--post301"), (302, "--post302"), (303, "--post303")] {
        assert_eq!(post(status, &[]), lost, "{status}");
        assert_eq!(post(status, &[keep]), kept, "{status} {keep}");
    }
    for status in [307, 308] {
        assert_eq!(post(status, &[]), kept, "{status}");
    }
}
