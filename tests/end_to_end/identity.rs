//! Who the backend is told is calling: headers, a signed assertion, or a credential of its own (U6); and requests on
//! behalf of another user (U7).

use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use tests::recorder::Recorder;
use tests::{Reply, World};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

const ASSERTION: &str = "x-tokengate-assertion";

/// What PyJWT, a library that nobody here wrote, says of an assertion: its claims, or the name of its objection.
fn verified(world: &World, assertion: &str, audience: &str) -> Result<Value, String> {
    let script = "
import json, sys, jwt
secret, audience, assertion = sys.argv[1:]
try:
    print(json.dumps(jwt.decode(assertion, secret, algorithms=['HS256'], audience=audience, issuer='tokengate',
                                options={'require': ['iss', 'aud', 'sub', 'iat', 'exp', 'jti']})))
except jwt.InvalidTokenError as error:
    print(json.dumps(type(error).__name__))
";
    let secret = secret(world, audience);
    let output = Command::new(&world.site.tools.python).args(["-c", script, &secret, audience, assertion]).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    match serde_json::from_slice(&output.stdout).expect("JSON") {
        Value::String(objection) => Err(objection),
        claims => Ok(claims),
    }
}

/// What an administrator would give to the backend.
fn secret(world: &World, audience: &str) -> String {
    let data = format!("--data={}", world.site.data.display());
    let output =
        Command::new(&world.site.tools.tokengate).args(["assertion-key", &data, "--audience", audience]).output();
    let output = output.expect("tokengate runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn assertion(reply: &Reply) -> String {
    reply.json["headers"][ASSERTION].as_str().unwrap_or_else(|| panic!("no assertion: {}", reply.text)).to_owned()
}

#[test]
fn u6_an_assertion_says_who_is_calling_and_a_standard_library_verifies_it() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get(ISSUE).bearer(&token).send().assert_received(ASSERTION, None);
    world.set(&json!({ "identity": "assertion", "assertion_audience": "jira" }));
    let reply = world.get(ISSUE).basic("alice", &token).header(ASSERTION, b"forged").send();
    reply.assert_user(Some("alice"));
    reply.assert_received("authorization", None);
    let signed = assertion(&reply);
    let claims = verified(&world, &signed, "jira").expect("it is good");
    assert_eq!((&claims["sub"], &claims["email"]), (&json!("alice"), &json!("alice@example.org")));
    assert_eq!((&claims["token_id"], claims.get("act")), (&json!(token.id), None));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    let jti = claims["jti"].as_str().expect("a jti");
    let millis = u64::from_str_radix(&jti[..12], 16).expect("its milliseconds");
    assert_eq!((jti.len(), millis / 1000), (32, claims["iat"].as_u64().unwrap()));
    let other = assertion(&world.get(ISSUE).bearer(&token).send());
    assert_ne!(verified(&world, &other, "jira").expect("it is good")["jti"], claims["jti"]);

    // A key for each audience.
    assert_eq!(verified(&world, &signed, "confluence"), Err("InvalidSignatureError".into()));
    assert_ne!(secret(&world, "jira"), secret(&world, "confluence"));
    let data = format!("--data={}", world.site.data.display());
    let refused =
        Command::new(&world.site.tools.tokengate).args(["assertion-key", &data, "--audience", "tokengate"]).output();
    assert!(!refused.expect("it runs").status.success(), "the control plane's own key is nobody's");

    // Only where it is wanted, and only with a token.
    world.set(&json!({ "assertion_paths": ["/rest/a/"] }));
    world.get(ISSUE).bearer(&token).send().assert_received(ASSERTION, None);
    assertion(&world.get("/rest/a/x").bearer(&token).send());
    for call in [world.get("/rest/a/x"), world.get("/rest/a/x").basic("alice", "wonderland"), world.get("/login")] {
        call.header(ASSERTION, b"forged").send().assert_received(ASSERTION, None);
    }
}

#[test]
fn u6_an_assertion_can_go_as_authorization_bearer() {
    let mut world = World::prepare(1);
    world.edit_config(r#""assertion": "x-tokengate-assertion""#, r#""assertion": "authorization""#);
    world.start_both();
    let token = world.token_for("alice");
    world.set(&json!({ "identity": "assertion" }));
    let reply = world.get(ISSUE).bearer(&token).send();
    let authorization = reply.json["headers"]["authorization"].as_str().expect("one Authorization").to_owned();
    let claims = verified(&world, authorization.strip_prefix("Bearer ").expect("Bearer"), "backend");
    assert_eq!(claims.expect("it is good")["sub"], "alice");
    // What is the client's own goes on as it was.
    world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
    world.get(ISSUE).bearer("a.b.c").send().assert_received("authorization", Some("Bearer a.b.c"));
}

fn put(world: &World, path: &str, credential: &Value) {
    let reply = world.as_admin(Method::PUT, path).json(credential).send();
    assert_eq!(reply.status, 204, "{}", reply.text);
    world.wait_until_told();
}

#[test]
fn u6_a_backend_that_trusts_no_header_gets_a_credential_of_its_own() {
    let world = World::start();
    let token = world.token_for("alice");
    let bobs = world.token_for("bob");
    world.set(&json!({ "identity": "credential" }));
    world.get(ISSUE).bearer(&token).send().assert_refused(403, "no_backend_credential");
    assert_eq!(world.received(ISSUE).len(), 0);

    let wonderland = json!({ "basic": { "user": "alice", "password": "wonderland" } });
    put(&world, "/api/v1/users/alice/backend-credential", &wonderland);
    let reply = world.get(ISSUE).basic("alice", &token).send();
    reply.assert_user(Some("alice"));
    reply.assert_received("authorization", Some("Basic YWxpY2U6d29uZGVybGFuZA=="));
    reply.assert_received("x-forwarded-user", Some("alice"));
    world.get(ISSUE).bearer(&bobs).send().assert_refused(403, "no_backend_credential");

    // One for everyone who has none.
    put(&world, "/api/v1/backend-credential", &json!({ "bearer": "service.account.token" }));
    let reply = world.get(ISSUE).bearer(&bobs).send();
    reply.assert_received("authorization", Some("Bearer service.account.token"));
    reply.assert_received("x-forwarded-user", Some("bob"));
    world.get(ISSUE).bearer(&token).send().assert_received("authorization", Some("Basic YWxpY2U6d29uZGVybGFuZA=="));

    // Never without a token, and never where it does not belong.
    world.get(ISSUE).send().assert_received("authorization", None);
    world.get("/login").send().assert_received("authorization", None);
    let reply = world.get("/api/v1/tokens").bearer(&token).send();
    assert_eq!(reply.status, 200, "the control plane needs none: {}", reply.text);

    // Never shown again, nowhere.
    let shown = world.as_admin(Method::GET, "/api/v1/users/alice/backend-credential").send();
    assert_eq!(shown.json["kind"], "basic");
    assert!(shown.json["updated_at"].is_string() && !shown.text.contains("wonderland"), "{}", shown.text);
    for text in
        [world.log("envoy"), world.log("control-plane"), world.envoy_admin("/config_dump"), world.audit().join("\n")]
    {
        for secret in ["wonderland", "YWxpY2U6d29uZGVybGFuZA", "service.account.token"] {
            assert!(!text.contains(secret), "{secret} is shown in {text}");
        }
    }
    for file in ["tokengate.db", "tokengate.db-wal"] {
        let bytes = std::fs::read(world.site.data.join(file)).expect("a file of the database");
        for secret in ["wonderland", "YWxpY2U6d29uZGVybGFuZA", "service.account.token"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} lies in {file}");
        }
    }

    for path in ["/api/v1/users/alice/backend-credential", "/api/v1/backend-credential"] {
        assert_eq!(world.as_admin(Method::DELETE, path).send().status, 204);
        world.as_admin(Method::GET, path).send().assert_refused(404, "not_found");
    }
    world.wait_until_told();
    world.get(ISSUE).bearer(&token).send().assert_refused(403, "no_backend_credential");
}

#[test]
fn attack_a_backend_credential_that_would_not_stay_in_its_header() {
    let world = World::start();
    for credential in [
        json!({ "bearer": "x\r\nX-Forwarded-User: root" }),
        json!({ "bearer": "" }),
        json!({ "basic": { "user": "a:b", "password": "c" } }),
        json!({ "basic": { "user": "a", "password": "b\nc" } }),
        json!({ "basic": { "user": "a" } }),
        json!({ "digest": "x" }),
        json!({ "bearer": "x", "basic": { "user": "a", "password": "b" } }),
        json!({}),
    ] {
        let reply = world.as_admin(Method::PUT, "/api/v1/backend-credential").json(&credential).send();
        reply.assert_refused(400, "bad_request");
    }
    world.as_admin(Method::GET, "/api/v1/backend-credential").send().assert_refused(404, "not_found");
    let nobody = "/api/v1/users/nobody/backend-credential";
    world.as_admin(Method::PUT, nobody).json(&json!({ "bearer": "x" })).send().assert_refused(404, "not_found");
}

#[test]
fn u7_a_sysadmin_runs_a_request_on_behalf_of_another_user() {
    let world = World::start();
    let bobs = world.token_for("bob");
    let admin = world.admin_token();
    world.create_user("alice");
    world.wait_until_told();
    for name in ["alice", "ALICE", "alice@example.org"] {
        for call in [world.get(ISSUE), world.get_http2(ISSUE)] {
            let reply = call.basic("admin", &admin).header("contextUser", name.as_bytes()).send();
            reply.assert_user(Some("alice"));
            reply.assert_received("x-forwarded-email", Some("alice@example.org"));
            reply.assert_received("x-tokengate-actor", Some("admin"));
            reply.assert_received("contextuser", None);
            reply.assert_received("authorization", None);
        }
    }
    let log = world.log("envoy");
    assert!(log.contains("admin has been authenticated via API Token"), "{log}");
    assert!(log.lines().any(|line| line.ends_with(". REST endpoint: /rest/api/2/issue/JRA-1 (on behalf of alice)")));

    let as_whom = |name: &str, code: &str| {
        let reply = world.get(ISSUE).bearer(&admin).header("contextUser", name.as_bytes()).send();
        reply.assert_refused(403, code);
    };
    as_whom("nobody", "context_user_unknown");
    world.edit_user("alice", &json!({ "suspended": true }));
    world.wait_until_told();
    as_whom("alice", "context_user_suspended");
    // A user who may not; and everyone who comes without a token: refused, not ignored.
    for call in [
        world.get(ISSUE).bearer(&bobs),
        world.get(ISSUE).basic("alice", "wonderland"),
        world.get(ISSUE).bearer("a.b.c"),
        world.get(ISSUE),
    ] {
        call.header("contextUser", b"bob").send().assert_refused(403, "on_behalf_of_refused");
    }
    for value in [b"".as_slice(), b" ", b"\xff", &[b'x'; 300]] {
        world.get(ISSUE).bearer(&admin).header("contextUser", value).send().assert_refused(400, "bad_context_user");
    }
    let twice = world.get(ISSUE).bearer(&admin).header("contextUser", b"bob").header("contextUser", b"alice");
    twice.send().assert_refused(400, "bad_context_user");
    world.set(&json!({ "on_behalf_of": "off" }));
    as_whom("bob", "on_behalf_of_refused");
}

#[test]
fn u7_listed_callers_act_for_others_but_never_for_a_sysadmin() {
    let world = World::start();
    let token = world.token_for("alice");
    world.create_user("bob");
    world.set(&json!({ "on_behalf_of": "listed", "on_behalf_of_callers": ["Alice"], "unbound_tokens": true }));
    let as_whom = |name: &str| world.get(ISSUE).bearer(&token).header("contextUser", name.as_bytes()).send();
    as_whom("bob").assert_user(Some("bob"));
    // A token made in bob's name would outlast the permission.
    for call in [world.request(Method::POST, "/api/v1/tokens"), world.control_call(Method::POST, "/api/v1/tokens")] {
        let call = call.bearer(&token).header("contextUser", b"bob").json(&json!({ "label": "bobs" }));
        call.send().assert_refused(403, "on_behalf_of_refused");
    }
    as_whom("admin").assert_refused(403, "context_user_is_sysadmin");
    let admin = world.get(ISSUE).bearer(&world.admin_token()).header("contextUser", b"bob");
    admin.send().assert_refused(403, "on_behalf_of_refused");
    let unbound = world.new_token(&json!({ "label": "x", "unbound": true }));
    world.wait_until_told();
    let unbound = world.get(ISSUE).basic("alice", &unbound).header("contextUser", b"bob");
    unbound.send().assert_refused(403, "on_behalf_of_refused");
}

#[test]
fn u6_u7_assertion_and_credential_are_those_of_the_user_on_whose_behalf() {
    let world = World::start();
    world.create_user("alice");
    world.set(&json!({ "identity": "assertion" }));
    let call = || world.get(ISSUE).bearer(&world.admin_token()).header("contextUser", b"alice").send();
    let claims = verified(&world, &assertion(&call()), "backend").expect("it is good");
    assert_eq!((&claims["sub"], &claims["act"]), (&json!("alice"), &json!({ "sub": "admin" })));
    world.set(&json!({ "identity": "credential" }));
    call().assert_refused(403, "no_backend_credential");
    put(&world, "/api/v1/users/alice/backend-credential", &json!({ "bearer": "alices" }));
    call().assert_received("authorization", Some("Bearer alices"));
}

#[test]
fn u7_what_is_managed_on_behalf_of_another_is_audited_with_both() {
    let world = World::start();
    let alices = world.token_for("alice");
    let body = json!({ "label": "made by admin as alice" });
    for call in [world.request(Method::POST, "/api/v1/tokens"), world.control_call(Method::POST, "/api/v1/tokens")] {
        let reply = call.basic("admin", &world.admin_token()).header("contextUser", b"alice").json(&body).send();
        assert_eq!((reply.status.as_u16(), &reply.json["owner"]), (201, &json!("alice")), "{}", reply.text);
    }
    let audit = world.audit();
    let both =
        audit.iter().filter(|record| record.contains("|admin|token.create|") && record.ends_with("|alice")).count();
    assert_eq!(both, 2, "{audit:#?}");
    // As alice, not even an admin may do more than she.
    let users = world.get("/api/v1/users").basic("admin", &world.admin_token()).header("contextUser", b"alice").send();
    users.assert_refused(403, "forbidden");
    let call = world.get("/api/v1/tokens").bearer(&alices).header("contextUser", b"admin").send();
    call.assert_refused(403, "on_behalf_of_refused");
}

#[test]
fn attack_the_control_plane_believes_no_identity_but_a_proxys_and_that_once() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "identity": "assertion" }));
    let for_backend = assertion(&world.get(ISSUE).bearer(&world.admin_token()).send());
    let direct = |assertion: &str| world.control_get("/api/v1/users").header(ASSERTION, assertion.as_bytes()).send();
    direct(&for_backend).assert_refused(401, "assertion_not_authentic");
    direct("e30.e30.e30").assert_refused(401, "assertion_not_authentic");
    direct("").assert_refused(401, "assertion_not_authentic");
    // Through the proxy a client's own is discarded.
    let call = world.get("/api/v1/users").header(ASSERTION, for_backend.as_bytes());
    call.send().assert_refused(401, "credentials_required");
    let call = world.get("/api/v1/users").bearer(&token).header(ASSERTION, for_backend.as_bytes());
    call.send().assert_refused(403, "forbidden");
    let headers = [("x-forwarded-user", "admin"), ("x-tokengate-actor", "admin"), ("x-tokengate-token-id", "1")];
    for (name, value) in headers {
        let call = world.control_get("/api/v1/users").header(name, value.as_bytes());
        call.send().assert_refused(401, "credentials_required");
    }
}

/// A Tokengate that sends requests for the control plane to a recorder, and nothing there.
fn with_a_recorder_in_the_control_planes_place() -> (World, Recorder) {
    let recorder = Recorder::start();
    let mut world = World::prepare(1);
    let control = format!("port_value: {} # TOKENGATE_CONTROL_PORT", world.site.ports.control);
    let config = world.config();
    let at = config.find("cluster_name: tokengate\n").expect("the API's cluster");
    let end = at + config[at..].find(&control).expect("its port") + control.len();
    let cluster = config[at..end].to_owned();
    let elsewhere = cluster.replace(&control, &format!("port_value: {}", recorder.port()));
    world.edit_config(&cluster, &elsewhere);
    world.start_both();
    (world, recorder)
}

/// The assertion in what the recorder got; and nothing in it but that tells who is calling.
fn recorded(recorder: &Recorder, token: &str) -> Vec<u8> {
    let heads = recorder.take();
    assert!(heads.iter().all(|head| head.values("authorization").is_empty()), "the token stays at the proxy");
    assert!(heads.iter().all(|head| !head.contains(token.as_bytes())));
    let assertion = heads.iter().find_map(|head| head.values(ASSERTION).first().map(|value| value.to_vec()));
    assertion.expect("an assertion")
}

#[test]
fn attack_an_assertion_for_the_control_plane_that_somebody_recorded() {
    let (mut world, recorder) = with_a_recorder_in_the_control_planes_place();
    world.get("/api/v1/users").basic("admin", &world.admin_token()).send();
    let recorded = recorded(&recorder, &world.admin_token());

    let played = || world.control_get("/api/v1/users").header(ASSERTION, &recorded).send();
    assert_eq!(played().status, 200, "it is good, once");
    played().assert_refused(401, "assertion_used");
    let with_a_token = world.control_get("/api/v1/users").header(ASSERTION, &recorded);
    with_a_token.basic("admin", &world.admin_token()).send().assert_refused(401, "assertion_used");
    // A control plane that has forgotten which were used takes none from before its start.
    world.kill_control_plane();
    world.start_control_plane();
    let played = || world.control_get("/api/v1/users").header(ASSERTION, &recorded).send();
    played().assert_refused(503, "assertion_of_other_time");
}

#[test]
fn attack_u7_a_proxys_word_by_rules_that_do_not_hold_any_more() {
    let (world, recorder) = with_a_recorder_in_the_control_planes_place();
    world.create_user("bob");
    let token = world.token_for("alice");
    world.edit_user("alice", &json!({ "sysadmin": true }));
    world.wait_until_told();
    let word = || {
        world.get("/api/v1/tokens").bearer(&token).header("contextUser", b"bob").send();
        recorded(&recorder, &token.text)
    };
    let played = |word: &[u8]| world.control_get("/api/v1/tokens").header(ASSERTION, word).send();
    assert_eq!(played(&word()).status, 200, "by the rules that hold");
    let old = [word(), word(), word()];
    world.set(&json!({ "on_behalf_of": "off" }));
    played(&old[0]).assert_refused(403, "on_behalf_of_refused");
    world.set(&json!({ "on_behalf_of": "sysadmins" }));
    world.edit_user("alice", &json!({ "sysadmin": false }));
    played(&old[1]).assert_refused(403, "on_behalf_of_refused");
    world.edit_user("alice", &json!({ "suspended": true }));
    played(&old[2]).assert_refused(401, "owner_suspended");
}

#[test]
fn attack_u7_a_request_held_open_until_its_caller_may_less() {
    let world = World::start();
    let token = world.token_for("alice");
    world.create_user("bob");
    world.edit_user("bob", &json!({ "sysadmin": true }));
    world.edit_user("alice", &json!({ "sysadmin": true }));
    let body = r#"{"name":"mallory","sysadmin":true}"#;
    let head = format!(
        "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\ncontextUser: bob\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        token.text,
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
    stream.write_all(head.as_bytes()).expect("the head");
    // Alice, a sysadmin still, may as bob; the body comes once she is one no more.
    world.edit_user("alice", &json!({ "sysadmin": false }));
    stream.write_all(body.as_bytes()).expect("the body");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 403") && reply.contains("on_behalf_of_refused"), "{reply}");
    assert_eq!(world.as_admin(Method::GET, "/api/v1/users/mallory").send().status, 404);
}
