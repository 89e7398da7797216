//! What scripts in a shell do: curl, with a name and a password, a name and a token, or a token alone.

use super::{found, world_with_facades};
use reqwest::Method;
use serde_json::json;
use std::process::Command;
use tests::basic;

/// Personal access tokens (M4), then Extender's (M3): made, used, listed, deleted. `$URL` and, for curl, `$1` … as whom.
const SCRIPT: &str = r#"
set -eu
say() { curl --silent --show-error --write-out '\n%{http_code}\n' "$@"; }
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }

made=$(say "$@" -X POST "$URL/rest/pat/latest/tokens" -H "Content-Type: application/json" -d '{"name":"tokenName","expirationDuration":90}')
echo "$made"
say -s -u "alice:$(echo "$made" | field rawToken)" --retry 20 --retry-all-errors --fail "$URL/rest/api/2/myself" -o /dev/null
say "$@" "$URL/rest/pat/latest/tokens"
say "$@" -X DELETE "$URL/rest/pat/latest/tokens/$(echo "$made" | field id)"

made=$(say "$@" -X POST -H "Content-Type: application/json" "$URL/rest/extender/1.0/tokenTools/set" --data '{"label":"ci","daysUntilExpiry":30,"limitTo":".*/rest/api/2/issue/JRA.*\n[get].*/rest/api/2/myself"}')
echo "$made"
say -H "Authorization: Bearer $(echo "$made" | field token)" --retry 20 --retry-all-errors --fail "$URL/rest/api/2/myself" -o /dev/null
say "$@" "$URL/rest/extender/1.0/tokenTools/get?startAt=1&maxResults=1"
say "$@" -X DELETE -H "Content-Type: application/json" "$URL/rest/extender/1.0/tokenTools/delete" -d "{\"id\":\"$(echo "$made" | field id)\"}"
say "$@" "$URL/rest/extender/1.0/tokenTools/get?startAt=1&maxResults=1"
"#;

const PRINTED: &str = r#"{"id":<number>,"name":"tokenName","createdAt":"<iso>","expiringAt":"<iso>","rawToken":"<token>"}
201

200
[{"id":<number>,"name":"test","createdAt":"<iso>","lastAccessedAt":"<iso>","expiringAt":null},{"id":<number>,"name":"tokenName","createdAt":"<iso>","lastAccessedAt":<any>,"expiringAt":"<iso>"}]
200

204
{"status":"ok","authorKey":"alice","userKey":"alice","userDisplayName":"alice","label":"ci","user":"alice","token":"<token>","id":<number>,"limitTo":".*/rest/api/2/issue/JRA.*<br>[get].*/rest/api/2/myself","ip":"","validUntil":<millis>,"dateCreated":<millis>,"counter":0}
200

200
{"total":2,"pages":2,"maxResults":1,"startAt":1,"status":"ok","tokens":[{"authorKey":"alice","userKey":"alice","userDisplayName":"alice","label":"ci","user":"alice","id":<number>,"limitTo":".*/rest/api/2/issue/JRA.*<br>[get].*/rest/api/2/myself","ip":"","validUntil":<millis>,"dateCreated":<millis>,"counter":<any>}]}
200
{"status":"ok"}
200
{"total":1,"pages":1,"maxResults":1,"startAt":1,"status":"ok","tokens":[]}
200
"#;

#[test]
fn m3_m4_a_script_of_curl_lines_manages_tokens_with_a_password_and_with_a_token_in_both_schemes() {
    let (world, token) = world_with_facades();
    let password = "not-a-token: 4711";
    let path = "/api/v1/users/alice/password";
    assert_eq!(world.as_admin(Method::PUT, path).json(&json!({ "password": password })).send().status, 204);
    world.set(&json!({ "password_check": "local" }));
    let url = format!("http://127.0.0.1:{}", world.site.ports.entrance);
    let header = |value: String| ["-H".to_owned(), format!("Authorization: {value}")];
    for coming in [
        ["--user".to_owned(), format!("alice:{password}")],
        ["-u".to_owned(), format!("alice@example.org:{}", token.text)],
        header(format!("Bearer {}", token.text)),
        header(basic("alice", &token.text)),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "script"]).args(&coming).env("URL", &url).env("NO_PROXY", "*");
        let output = command.output().expect("a shell");
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{printed}\n{said}");
        found(&printed, PRINTED);
    }
    assert_eq!(world.failed_logins(), 0, "no token, and no password of ours, was tried at the backend");
}
