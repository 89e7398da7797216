//! Clients that nobody here wrote.

use reqwest::Method;
use serde_json::json;
use std::process::{Command, Output};
use tests::World;

fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

fn curl(arguments: &[&str]) -> String {
    text(
        &Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*"])
            .args(arguments)
            .output()
            .expect("curl runs"),
    )
}

#[test]
fn plain_curl_with_user_and_token_gets_its_answer_from_the_backend() {
    let world = World::start();
    let token = world.token_for("alice");
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let user = format!("alice:{}", token.text);
    let issue = format!("{url}/rest/api/2/issue/AAA-1");
    let answer = curl(&[&issue, "--user", &user]);
    assert!(answer.contains(r#""user":"alice""#) && answer.contains(r#""key":"AAA-1""#), "{answer}");
    assert!(!answer.contains(&token.text), "{answer}");
    let bearer = format!("Authorization: Bearer {}", token.text);
    assert!(curl(&["-H", &bearer, &issue]).contains(r#""user":"alice""#));
    let comment = [
        "-u",
        &user,
        "-H",
        "Content-Type: application/json",
        "--data",
        r#"{"body":"Comment text"}"#,
        "-X",
        "POST",
        &format!("{issue}/comment"),
    ];
    assert!(curl(&comment).contains(r#"Comment text"#), "the body arrives");
    // The first thing that people type.
    let answer = curl(&["-v", &url, "--user", &user]);
    assert!(answer.contains("path_not_protected"), "{answer}");
}

#[test]
fn jiras_python_client_works_with_user_and_token_and_with_the_token_alone() {
    let world = World::start();
    let token = world.token_for("alice");
    let script = r"
import sys
from jira import JIRA
url, user, token = sys.argv[1:]
for arguments in ({'basic_auth': (user, token)}, {'token_auth': token}):
    jira = JIRA(url, **arguments)
    assert jira.server_info()['versionNumbers'] == [9, 12, 0], jira.server_info()
    assert jira.myself()['name'] == 'alice', jira.myself()
    issue = jira.issue('JRA-1')
    print(issue.key, issue.fields.summary)
try:
    JIRA(url, basic_auth=('bob', token), max_retries=0)
except Exception as error:
    print('refused', getattr(error, 'status_code', error))
";
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let output = Command::new(&world.site.tools.python).args(["-c", script, &url, "alice", &token.text]).output();
    let printed = text(&output.expect("python runs"));
    assert_eq!(printed, "JRA-1 Issue JRA-1 of the demo backend\nJRA-1 Issue JRA-1 of the demo backend\nrefused 401\n");
    assert_eq!(world.failed_logins(), 0);
}

#[test]
fn curl_lines_of_the_products_guides_do_what_their_captions_say() {
    let world = World::start();
    let token = world.token_for("alice");
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let bob = json!({ "name": "ansible", "email": "ansible@ansible.jira.pl" });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&bob).send().status, 201);
    for (value, owner) in [
        ("phn7gdv6qg24fvhfp6qpgjlkup01g0lg", "admin"),
        ("token0987654321", "ansible"),
        ("qt3sumg4gd8r47n98tcnmuarnfufviog", "alice"),
    ] {
        world.import_token(value, owner);
    }
    let user = format!("alice:{}", token.text);
    let path = |path: &str| format!("{url}{path}");
    let as_user = |arguments: &[&str], name: &str| {
        let answer = curl(arguments);
        assert!(answer.contains(&format!(r#""user":"{name}""#)), "{arguments:?}: {answer}");
        assert!(!answer.contains("authorization"), "{arguments:?}: {answer}");
        answer
    };
    // An unprotected path.
    let answer = curl(&["-v", &url, "--user", &user]);
    assert!(answer.contains("path_not_protected"), "{answer}");
    as_user(&["-s", &path("/rest/api/latest/configuration"), "--user", &user], "alice");
    as_user(&["-s", &path("/rest/api/user/anonymous"), "--user", &user], "alice");
    // Tokens that came from another product: with the e-mail address, in a written header, as Bearer.
    let issue = path("/rest/api/2/issue/AAA-1");
    as_user(&["-s", "-u", "ansible@ansible.jira.pl:token0987654321", &issue], "ansible");
    let header = "Authorization: Basic YWRtaW46cGhuN2dkdjZxZzI0ZnZoZnA2cXBnamxrdXAwMWcwbGc=";
    as_user(&["-H", header, &path("/rest/api/content")], "admin");
    let comment = r#"{"body":"Comment text"}"#;
    let post =
        ["-u", "ansible:token0987654321", "-H", "Content-Type: application/json", "--data", comment, "-X", "POST"];
    let answer = as_user(&[post.as_slice(), &[&path("/rest/api/2/issue/ISSUE-1/comment")]].concat(), "ansible");
    assert!(answer.contains("Comment text") && answer.contains(r#""method":"POST""#), "{answer}");
    let bearer = "Authorization: Bearer qt3sumg4gd8r47n98tcnmuarnfufviog";
    as_user(&["-H", bearer, &path("/rest/api/2/issuetype")], "alice");
    assert_eq!(world.failed_logins(), 0, "no token was tried as a password");
}

#[test]
fn a_curl_line_with_a_context_path() {
    let mut world = World::prepare(1);
    world.edit_config(r#""context_path": """#, r#""context_path": "/jira""#);
    world.start_both();
    world.create_user("alice");
    world.import_token("qt3sumg4gd8r47n98tcnmuarnfufviog", "alice");
    let bearer = "Authorization: Bearer qt3sumg4gd8r47n98tcnmuarnfufviog";
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let answer = curl(&["-H", bearer, &format!("{url}/jira/rest/api/2/issuetype")]);
    assert!(answer.contains(r#""user":"alice""#), "{answer}");
    // Settings name paths below it.
    world.set(&json!({ "passwords": "disabled", "password_exempt_paths": ["/rest/open/"] }));
    world.get("/jira/rest/open/x").basic("alice", "wonderland").send().assert_user(Some("alice"));
    world.get("/jira/rest/x").basic("alice", "wonderland").send().assert_refused(403, "password_disabled");
}
