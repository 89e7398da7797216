//! Clients that nobody here wrote.

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
