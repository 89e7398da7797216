//! The facades: scripts that were written for other products work unchanged, through Envoy (M1 to M4). Each exchange is held
//! against the other product's documents byte for byte, but for ids, times and tokens ([`like`]).

mod api_tokens;
mod curl;
mod extender;
mod pat;
mod python_clients;
mod resolution;

use regex_lite::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::{Reply, Token, World, basic};

/// A running Tokengate with all facades on, and a token of alice's to come with.
fn world_with_facades() -> (World, Token) {
    let world = World::start();
    world.set(&json!({ "facades": ["api_tokens", "resolution", "extender", "pat"] }));
    let token = world.token_for("alice");
    (world, token)
}

/// Asserts that a reply has this status and, byte for byte, this body, in which `<id>`, `<number>`, `<token>`, `<iso>` …
/// stand for what differs each time. Gives what stood there, in order of appearance.
fn assert_like(reply: &Reply, status: u16, expected: &str) -> Vec<String> {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
    found(&reply.text, expected)
}

/// The same of any text.
fn found(text: &str, expected: &str) -> Vec<String> {
    let mut pattern = regex_lite::escape(expected);
    for (name, kind) in KINDS {
        pattern = pattern.replace(&regex_lite::escape(&format!("<{name}>")), kind);
    }
    let found = Regex::new(&format!("(?s)^{pattern}$")).expect("a pattern").captures(text);
    let found = found.unwrap_or_else(|| panic!("expected: {expected}\nreceived: {text}"));
    found.iter().skip(1).flatten().map(|part| part.as_str().to_owned()).collect()
}

/// What the control plane gives the first sysadmin, however long it takes: it is very much.
fn large(world: &World, path: &str) -> String {
    let client = tests::client().timeout(Duration::from_secs(120)).build().expect("a patient client");
    let get = client.get(format!("http://127.0.0.1:{}{path}", world.site.ports.control));
    let reply = get.header("authorization", basic("admin", &world.admin_token())).send().expect("a reply");
    reply.text().expect("all of it")
}

/// What differs each time.
const KINDS: [(&str, &str); 7] = [
    ("id", "([0-9a-f]{20})"),
    ("number", "([1-9][0-9]{0,17})"),
    ("token", "(tgt_[0-9A-Za-z]{39})"),
    ("iso", "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z)"),
    ("zoneless", "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3})"),
    ("millis", "([1-9][0-9]{12})"),
    ("any", "([^,}]+)"),
];

/// One path of each facade.
fn paths() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("api_tokens", "/rest/api-tokens/latest/"),
        ("resolution", "/rest/de.resolution.apitokenauth/latest/user/token/"),
        ("extender", "/rest/extender/1.0/tokenTools/get"),
        ("pat", "/rest/pat/latest/tokens"),
    ])
}

#[test]
fn a_facade_that_is_switched_off_leaves_its_paths_to_the_backend_and_back_without_a_restart() {
    let world = World::start();
    let token = world.token_for("alice");
    for (facade, path) in paths() {
        world.set(&json!({ "facades": [facade] }));
        let reply = world.get(path).bearer(&token).send();
        assert_eq!((reply.status.as_u16(), &reply.json["path"]), (200, &Value::Null), "{facade}: {}", reply.text);
        assert_eq!(world.received(path).len(), 0, "{facade}");
        world.set(&json!({ "facades": [] }));
        world.get(path).bearer(&token).send().assert_user(Some("alice"));
        assert_eq!(world.received(path).len(), 1, "{facade}: the backend answers");
        world.control_get(path).bearer(&token).send().assert_refused(404, "not_found");
    }
}

#[test]
fn attack_a_restricted_token_manages_nothing_through_a_facade_whether_it_is_on_or_off() {
    let world = World::start();
    let restricted = world.new_token(&json!({ "label": "reads", "owner": "admin", "scope": "read_only" }));
    for (facade, path) in paths() {
        world.set(&json!({ "facades": [facade] }));
        for call in [world.get(path), world.control_get(path)] {
            call.bearer(&restricted).send().assert_refused(403, "cannot_manage");
        }
        world.set(&json!({ "facades": [] }));
        // At the backend's own path it is good for what it is restricted to; here there is nothing.
        world.get(path).bearer(&restricted).send().assert_user(Some("admin"));
        world.control_get(path).bearer(&restricted).send().assert_refused(404, "not_found");
    }
}

#[test]
fn attack_the_mark_by_which_requests_are_routed_is_nobodys_to_set() {
    let (world, token) = world_with_facades();
    let with_token = |path| world.get(path).bearer(&token).header("x-tokengate-judged", b"control-plane").send();
    with_token("/browse/JRA-1").assert_refused(401, "path_not_protected");
    with_token("/rest/api/2/issue/JRA-1").assert_user(Some("alice"));
    for path in ["/browse/JRA-1", "/rest/api/2/issue/JRA-1"] {
        let reply = world.get(path).header("x-tokengate-judged", b"control-plane").send();
        assert_eq!((reply.status.as_u16(), &reply.json["path"]), (200, &json!(path)), "{}", reply.text);
    }
    // What is the control plane's does not reach the backend, whatever the client says.
    let own = world.get("/api/v1/tokens").bearer(&token).header("x-tokengate-judged", b"backend").send();
    assert_eq!((own.status.as_u16(), world.received("/api/v1/tokens").len()), (200, 0), "{}", own.text);
}

#[test]
fn facades_are_below_the_context_path_as_the_backend_is() {
    let mut world = World::prepare(1);
    world.edit_config(r#""context_path": """#, r#""context_path": "/jira""#);
    let all = "- match: { prefix: /, headers: [{ name: x-tokengate-judged, string_match: { exact: control-plane } }] }
                route: { cluster: tokengate,";
    let below = all.replace("prefix: /,", "prefix: /jira/,") + " prefix_rewrite: /,";
    world.edit_config(all, &format!("{below} timeout: 60s }}\n              {all}"));
    world.start_both();
    world.set(&json!({ "facades": ["pat"] }));
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    world.wait_until_told();
    let reply = world.get("/jira/rest/pat/latest/tokens").bearer(&token).send();
    assert_eq!((reply.status.as_u16(), &reply.json[0]["name"]), (200, &json!("test")), "{}", reply.text);
    let reply = world.get("/api/v1/tokens").bearer(&token).send();
    assert_eq!(reply.status, 200, "the native API is at the root: {}", reply.text);
}
