//! The Python packages that most scripts for Jira and Confluence stand on. None has methods of its own for tokens: `jira`
//! (3.10.5) only comes with one, and `atlassian-python-api` (5.0.5) manages those of Bamboo and of the cloud, at other paths.
//! What scripts do is to name the path to the latter's general methods, which this tries.

use super::{found, world_with_facades};
use std::process::Command;

/// What comes with URL, user and secret (nobody: `Bearer`), makes a token in each facade's way, works with it, lists and
/// deletes it.
const SCRIPT: &str = r#"
import json, sys
from atlassian import Confluence, Jira

url, user, secret = sys.argv[1:]
coming = {"username": user, "password": secret} if user else {"token": secret}

def show(*things):
    print(*(json.dumps(thing, separators=(",", ":")) for thing in things))

def status(client, path):
    return client.get(path, advanced_mode=True).status_code

for product in (Jira, Confluence):
    client = product(url, **coming)
    tokens = client.resource_url("tokens", api_root="rest/pat", api_version="latest")
    made = client.post(tokens, data={"name": "tokenName", "expirationDuration": 90})
    show(made)
    show([token["name"] for token in client.get(tokens)], [token["name"] for token in client.get(tokens, trailing=True)])
    show(client.delete(f"{tokens}/{made['id']}"), [token["name"] for token in client.get(tokens)])

jira = Jira(url, **coming)
tools = "rest/extender/1.0/tokenTools"
made = jira.post(f"{tools}/set", data={"label": "ci", "daysUntilExpiry": 30, "limitTo": "[get].*/rest/api/2/myself\n.*/none"})
show(made)
for token in {"username": "alice", "password": made["token"]}, {"token": made["token"]}:
    limited = Jira(url, **token)
    # Until the proxy has heard of it.
    any(status(limited, "rest/api/2/myself") != 401 for _ in range(2000))
    show(limited.myself()["name"], status(limited, "rest/api/2/serverInfo"))
show(jira.get(f"{tools}/get", params={"startAt": 1, "maxResults": 1})["tokens"][0]["label"])
show(jira.delete(f"{tools}/delete", data={"id": made["id"]}), jira.get(f"{tools}/get")["total"])
"#;

#[test]
fn m3_m4_atlassian_python_api_manages_tokens_through_its_general_methods_in_both_schemes() {
    let (world, token) = world_with_facades();
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let of_pat = r#"{"id":<number>,"name":"tokenName","createdAt":"<iso>","expiringAt":"<iso>","rawToken":"<token>"}
["test","tokenName"] ["test","tokenName"]
null ["test"]
"#;
    let of_extender = r#"{"status":"ok","authorKey":"alice","userKey":"alice","userDisplayName":"alice","label":"ci","user":"alice","token":"<token>","id":<number>,"limitTo":"[get].*/rest/api/2/myself<br>.*/none","ip":"","validUntil":<millis>,"dateCreated":<millis>,"counter":0}
"alice" 403
"alice" 403
"ci"
{"status":"ok"} 1
"#;
    for user in ["alice", ""] {
        let mut command = Command::new(&world.site.tools.python);
        let output = command.args(["-c", SCRIPT, &url, user, &token.text]).env("NO_PROXY", "*").output();
        let output = output.expect("python runs");
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{printed}\n{said}");
        found(&printed, &[of_pat, of_pat, of_extender].concat());
    }
    assert_eq!(world.failed_logins(), 0);
}
