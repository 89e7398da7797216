//! No secret in a log, a configuration dump or an error.

use hkdf::Hkdf;
use reqwest::Method;
use serde_json::json;
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs;
use tests::World;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

#[test]
fn tokens_keys_and_backend_credentials_appear_in_no_log_no_dump_and_no_error() {
    let mut world = World::start();
    let token = world.token_for("alice");
    let revoked = world.token_for("bob");
    world.delete_token(&revoked);
    let mistyped = format!("{}x", token.text);

    // Whatever has a chance to be logged or answered with a secret in it.
    let mut seen = String::new();
    let credential = "backends-own-credential";
    for body in [
        json!({ "bearer": credential }),
        json!({ "bearer": format!("{credential} two words") }),
        json!({ "basic": { "user": "alice", "password": credential, "more": credential } }),
        json!({ "bearers": credential }),
        json!({ credential: credential }),
        json!({ "basic": credential }),
        json!({ "bearer": [credential] }),
    ] {
        seen += &world.as_admin(Method::PUT, "/api/v1/backend-credential").json(&body).send().text;
    }
    world.set(&json!({ "identity": "credential" }));
    for path in ["/rest/x", "/", "/api/v1/tokens", "/rest/%2e;x", "/tokengate/x", "/api/v1/users/none"] {
        for secret in [&token.text, &revoked.text, &mistyped] {
            for port_of_control in [false, true] {
                let get = |path: &str| if port_of_control { world.control_get(path) } else { world.get(path) };
                for call in [
                    get(path).basic("alice", secret),
                    get(path).basic("eve", secret),
                    get(path).basic(secret, "x"),
                    get(path).bearer(secret),
                    get(path).header("authorization", format!("Token {secret}").as_bytes()),
                    get(&format!("{path}?token={secret}")),
                    get(&format!("{path}/{secret}")).basic("alice", "x"),
                ] {
                    let reply = call.send();
                    // What the demo backend echoes of a query or path is no error of ours.
                    if reply.json["headers"].is_null() {
                        seen += &reply.text;
                    }
                }
            }
        }
    }
    let wrong_body = format!(r#"{{"label": "x", "token": "{}"}}"#, token.text);
    seen += &world.as_admin(Method::POST, "/api/v1/tokens").body("application/json", &wrong_body).send().text;
    seen += &world.envoy_admin("/config_dump?include_eds");
    seen += &world.envoy_admin("/stats");
    seen += &world.envoy_admin("/clusters");
    seen += &world.envoy_admin("/server_info");
    world.stop_control_plane();
    for part in ["envoy", "control-plane", "backend"] {
        seen += &world.log(part);
    }

    let master = fs::read_to_string(world.site.data.join("master.key")).expect("the master key");
    let master = master.trim();
    let master_bytes: Vec<u8> =
        (0..32).map(|index| u8::from_str_radix(&master[2 * index..2 * index + 2], 16).expect("hex")).collect();
    let derived = |purpose: &str| {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &master_bytes).expand(purpose.as_bytes(), &mut key).expect("32 bytes");
        key
    };
    let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    let basic = |user: &str, secret: &str| base64(format!("{user}:{secret}").as_bytes());
    for (name, secret) in [
        ("the token", token.text.clone()),
        ("most of the token", token.text[..20].to_owned()),
        ("the token's credential", basic("alice", &token.text)[..40].to_owned()),
        ("a revoked token", revoked.text[..20].to_owned()),
        ("the admin's token", world.admin_token()[..20].to_owned()),
        ("the sync key", world.site.sync_key().expect("the sync key")),
        ("the master key", master.to_owned()),
        ("the backend credential", credential.to_owned()),
        (
            "the control plane's assertion key",
            base64(&derived("tokengate v1: assertions for tokengate"))[..32].to_owned(),
        ),
        ("the backend's assertion key", base64(&derived("tokengate v1: assertions for backend"))[..32].to_owned()),
    ]
    .into_iter()
    .chain(
        ["token hash, key 1", "user hash", "backend credentials", "recoverable tokens", "repeated requests"]
            .into_iter()
            .flat_map(|purpose| {
                let key = derived(&format!("tokengate v1: {purpose}"));
                [("a key", hex(&key)), ("a key in base64", base64(&key)[..40].to_owned())]
            }),
    ) {
        if let Some(at) = seen.find(&secret) {
            let from = seen[..at].char_indices().rev().nth(200).map_or(0, |(index, _)| index);
            panic!("{name} appears after: {}", &seen[from..at]);
        }
    }
    assert!(seen.contains("unknown_token") || seen.contains("token_deleted"), "the errors were looked at");
    assert!(seen.contains("envoy.wasm.runtime.v8"), "the dump was looked at");
}

#[test]
fn d1_nothing_in_the_database_alone_is_a_token() {
    let mut world = World::start();
    let token = world.token_for("alice");
    world.stop_control_plane();
    for file in fs::read_dir(&world.site.data).expect("the data directory") {
        let path = file.expect("a file").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tokengate.db")) {
            let bytes = fs::read(&path).expect("the database");
            let plain_sha256 = <Sha256 as sha2::Digest>::digest(token.text.as_bytes());
            for secret in [token.text.as_bytes(), &token.text.as_bytes()[..20], &plain_sha256] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", path.display());
            }
        }
    }
}
