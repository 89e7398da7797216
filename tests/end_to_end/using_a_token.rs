//! Using a token: requirements U1 to U15 as far as they are built.

use reqwest::Method;
use serde_json::json;
use tests::{UNKNOWN_TOKEN as UNKNOWN, World, eventually};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

#[test]
fn u1_u2_basic_and_bearer_are_admitted_and_the_backend_gets_the_identity_in_place_of_the_token() {
    let world = World::start();
    let token = world.token_for("alice");
    for call in [
        world.get(ISSUE).basic("alice", &token),
        world.get(ISSUE).basic("ALICE", &token),
        world.get(ISSUE).basic("alice@example.org", &token),
        world.get(ISSUE).basic("Alice@Example.ORG", &token),
        world.get(ISSUE).bearer(&token),
        world.get(ISSUE).header("authorization", format!("bEaReR   {}", token.text).as_bytes()),
        world.get_http2(ISSUE).bearer(&token),
        world.get("/REST/api/2/issue/JRA-1").bearer(&token),
    ] {
        let reply = call.send();
        reply.assert_user(Some("alice"));
        reply.assert_received("x-forwarded-user", Some("alice"));
        reply.assert_received("x-forwarded-email", Some("alice@example.org"));
        reply.assert_received("x-tokengate-token-id", Some(&token.id));
        reply.assert_received("authorization", None);
        assert!(!reply.text.contains(&token.text), "the token reached the backend: {}", reply.text);
    }
}

#[test]
fn u4_another_users_name_with_the_token_is_refused() {
    let world = World::start();
    let token = world.token_for("alice");
    world.token_for("bob");
    for name in ["bob", "bob@example.org", "nobody", "", "admin"] {
        world.get(ISSUE).basic(name, &token).send().assert_refused(401, "wrong_user");
    }
    assert_eq!(world.received(ISSUE).len(), 0);
}

#[test]
fn u10_an_unknown_or_mistyped_token_never_counts_as_a_failed_login_at_the_backend() {
    let world = World::start();
    let token = world.token_for("alice");
    let mistyped = token.text.replace(&token.text[10..12], "!x");
    let with_newline = format!("{}\n", token.text);
    for (secret, code) in [
        (UNKNOWN, "unknown_token"),
        (mistyped.as_str(), "mistyped_token"),
        (&token.text[..30], "mistyped_token"),
        (with_newline.as_str(), "mistyped_token"),
        ("tgt_", "mistyped_token"),
    ] {
        world.get(ISSUE).basic("alice", secret).send().assert_refused(401, code);
        if !secret.contains('\n') {
            world.get(ISSUE).bearer(secret).send().assert_refused(401, code);
        }
    }
    assert_eq!(world.failed_logins(), 0);
    assert_eq!(world.received(ISSUE).len(), 0);
}

#[test]
fn u11_u12_a_password_a_foreign_bearer_and_no_credential_reach_the_backend_untouched() {
    let world = World::start();
    let reply = world.get(ISSUE).basic("alice", "wonderland").send();
    reply.assert_user(Some("alice"));
    reply.assert_received("authorization", Some("Basic YWxpY2U6d29uZGVybGFuZA=="));
    reply.assert_received("x-forwarded-user", None);

    let reply = world.get(ISSUE).basic("alice", "wrong").send();
    assert_eq!((reply.status.as_u16(), world.failed_logins()), (401, 1));
    assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"demo backend\"", "the backend's own 401");

    let reply = world.get(ISSUE).bearer("eyJhbGciOiJIUzI1NiJ9.e30.c2ln").send();
    reply.assert_user(None);
    reply.assert_received("authorization", Some("Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
    world.get(ISSUE).header("authorization", b"Negotiate YIIJvwYG").send().assert_user(None);
    world.get(ISSUE).header("cookie", b"JSESSIONID=1").send().assert_user(None);
}

#[test]
fn u15_two_authorization_headers_are_refused_however_they_come() {
    let world = World::start();
    let token = world.token_for("alice");
    let value = format!("Bearer {}", token.text);
    let basic = b"Basic YWxpY2U6d29uZGVybGFuZA==";
    for call in [world.get(ISSUE), world.get_http2(ISSUE)] {
        let call = call.header("authorization", value.as_bytes()).header("authorization", basic);
        call.send().assert_refused(400, "bad_credentials");
    }
    for joined in
        [format!("{value},{value}"), format!("{value}, Basic YWxpY2U6d29uZGVybGFuZA=="), format!("Basic YTpi,{value}")]
    {
        world.get(ISSUE).header("authorization", joined.as_bytes()).send().assert_refused(400, "bad_credentials");
    }
    for broken in ["Basic !!!", "Basic YWxpY2U=", "Bearer", "Bearer two words"] {
        world.get(ISSUE).header("authorization", broken.as_bytes()).send().assert_refused(400, "bad_credentials");
    }
    assert_eq!(world.received(ISSUE).len(), 0);
}

#[test]
fn attack_header_values_that_are_not_utf8_do_no_harm() {
    let world = World::start();
    let token = world.token_for("alice");
    let odd: &[u8] = b"\xff\xfe caf\xe9 \x80";
    world.get(ISSUE).basic("alice", &token).header("x-note", odd).send().assert_user(Some("alice"));
    world.get(ISSUE).bearer(&token).header("x-forwarded-user", odd).send().assert_user(Some("alice"));
    for unreadable in [odd, b"Bearer \xff\xfe", b"Basic \xff\xfe"] {
        world.get(ISSUE).header("authorization", unreadable).send().assert_refused(400, "bad_credentials");
    }
    world.get(ISSUE).bearer(&token).header("x-request-id", odd).send().assert_user(Some("alice"));
    // A Latin-1 password is the backend's to judge.
    assert_eq!(world.get(ISSUE).header("authorization", b"Basic YWxpY2U66Q==").send().status, 401);
    world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
    let crashes = world.envoy_admin("/stats?filter=wasm.*crash");
    assert!(crashes.lines().all(|line| line.ends_with(": 0")), "{crashes}");
}

/// What a client sends to be taken for somebody else.
const FORGED: [(&str, &[u8]); 8] = [
    ("x-forwarded-user", b"admin"),
    ("X-Forwarded-User", b"root"),
    ("x-forwarded-email", b"admin@example.org"),
    ("x-tokengate-token-id", b"1"),
    ("x-tokengate-actor", b"admin"),
    ("x-tokengate-assertion", b"e30"),
    ("x-tokengate-judged", b"backend"),
    ("x-tokengate-anything", b"1"),
];

pub(crate) fn assert_forgeries_never_arrive(world: &World) {
    let token = world.token_for("alice");
    let forging = |mut call: tests::Call| {
        for (name, value) in FORGED {
            call = call.header(name, value);
        }
        call.send()
    };
    for (call, user) in [
        (world.get(ISSUE).bearer(&token), Some("alice")),
        (world.get_http2(ISSUE).bearer(&token), Some("alice")),
        (world.get(ISSUE).basic("alice", "wonderland"), Some("alice")),
        (world.get(ISSUE), None),
        (world.get("/login"), None),
        (world.get("/"), None),
        (world.get("/rest"), None),
    ] {
        let reply = forging(call);
        reply.assert_user(user);
        for (name, value) in FORGED {
            let received = &reply.json["headers"][name.to_ascii_lowercase()];
            let forged = String::from_utf8_lossy(value);
            assert!(received.is_null() || received.is_string(), "{name} arrived more than once: {received}");
            assert_ne!(received.as_str(), Some(&*forged), "{name} of the client arrived");
        }
        reply.assert_received("x-tokengate-anything", None);
        reply.assert_received("x-tokengate-actor", None);
    }
}

#[test]
fn u6_attack_a_clients_own_identity_headers_never_arrive_on_any_path() {
    assert_forgeries_never_arrive(&World::start());
}

#[test]
fn u6_attack_identity_headers_do_not_arrive_even_without_the_first_guard() {
    let mut world = World::prepare(2);
    for name in [
        "x-tokengate-judged",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-tokengate-token-id",
        "x-tokengate-actor",
        "x-tokengate-assertion",
    ] {
        world.edit_config(&format!("- remove: {name}\n"), "- remove: x-nothing\n");
    }
    world.start_both();
    assert_forgeries_never_arrive(&world);
}

#[test]
fn u6_attack_names_with_underscores_and_the_connection_header() {
    let world = World::start();
    let token = world.token_for("alice");
    // Many servers take x_forwarded_user for x-forwarded-user.
    let reply = world.get(ISSUE).bearer(&token).header("x_forwarded_user", b"admin").send();
    assert_eq!(reply.status, 400, "{}", reply.text);
    let reply = world.get(ISSUE).bearer(&token).header("x-forwarded.user", b"admin").send();
    reply.assert_user(Some("alice"));
    reply.assert_received("x-forwarded.user", None);
    // A proxy that took the identity for hop-by-hop would strip it.
    let request = format!(
        "GET {ISSUE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close, x-forwarded-user, x-tokengate-judged\r\n\r\n",
        token.text
    );
    let reply = world.raw(request.as_bytes());
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"user\":\"alice\""), "{reply}");
}

#[test]
fn u5_on_an_unprotected_path_a_token_is_refused_and_never_forwarded() {
    let world = World::start();
    let token = world.token_for("alice");
    for path in ["/", "/login", "/secure/attachment/1", "/restful"] {
        world.get(path).basic("alice", &token).send().assert_refused(401, "path_not_protected");
        world.get(path).bearer(&token).send().assert_refused(401, "path_not_protected");
        world.get(path).bearer(UNKNOWN).send().assert_refused(401, "path_not_protected");
        assert_eq!(world.received(path).len(), 0);
        let reply = world.get(path).basic("alice", "wonderland").send();
        reply.assert_user(Some("alice"));
        reply.assert_received("authorization", Some("Basic YWxpY2U6d29uZGVybGFuZA=="));
    }
}

#[test]
fn u5_u10_u15_attack_a_token_in_any_broken_form_is_never_forwarded() {
    let world = World::start();
    let token = world.token_for("alice").text;
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let url_safe = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, text);
    let encoded = base64(&format!("alice:{token}"));
    let values = [
        format!("Token {token}"),
        token.clone(),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        format!("Bearer {encoded}"),
        encoded.clone(),
        format!(",Basic {encoded}"),
        format!("Digest,Basic {encoded}"),
        format!("Negotiate {encoded}"),
        format!("Basic:{encoded}"),
        format!("Basic \"{encoded}\""),
        format!("Basic {encoded}=="),
        format!("Basic {} {}", &encoded[..21], &encoded[21..]),
        format!("Basic {}", url_safe(&format!("?~?:{token}"))),
        format!("Basic {}", base64(&format!("alice: {token}"))),
        format!("Basic {}", base64(&format!("alice:\"{token}\""))),
        format!("Basic {}", base64(&format!("alice:alice:{token}"))),
        format!("Basic {}", base64(&format!("{token}:"))),
        format!("Basic {}", base64(&format!("{token}:x-oauth-basic"))),
        format!("Basic {}", base64(&token)),
        format!("Bearer {} {}", &token[..14], &token[14..]),
        format!("Token {} {}", &token[..14], &token[14..]),
    ];
    for value in &values {
        for path in [ISSUE, "/login", "/api/v1/tokens"] {
            let reply = world.get(path).header("authorization", value.as_bytes()).send();
            assert!(matches!(reply.status.as_u16(), 400 | 401), "{path} {value}: {} {}", reply.status, reply.text);
            assert_eq!(reply.headers["content-type"], "application/problem+json", "{path} {value}: {}", reply.text);
        }
    }
    // A first header without a space must not hide a second one.
    for call in [world.get(ISSUE), world.get_http2(ISSUE)] {
        let basic = format!("Basic {encoded}");
        let call = call.header("authorization", b"Digest").header("authorization", basic.as_bytes());
        call.send().assert_refused(400, "bad_credentials");
    }
    for value in [format!("Bearer {token}"), format!("Basic {encoded}")] {
        let with = |path: &str| world.get(path).header("proxy-authorization", value.as_bytes());
        with(ISSUE).send().assert_refused(400, "bad_credentials");
        with(ISSUE).bearer(&token).send().assert_refused(400, "bad_credentials");
        with("/login").send().assert_refused(401, "path_not_protected");
    }
    assert_eq!(world.received(ISSUE).len() + world.received("/login").len(), 0);
    assert_eq!(world.failed_logins(), 0);
}

#[test]
fn attack_u6_trace_by_which_a_backend_shows_its_credential() {
    let world = World::start();
    let token = world.token_for("alice");
    for call in [
        world.request(Method::TRACE, ISSUE).bearer(&token),
        world.request(Method::TRACE, ISSUE).basic("alice", "wonderland"),
        world.request(Method::TRACE, "/api/v1/users").bearer(&token),
    ] {
        call.send().assert_refused(403, "trace_refused");
    }
    // Microsoft's name for it; Envoy knows no such method in HTTP/1.1.
    let track = Method::from_bytes(b"TRACK").expect("a method");
    assert_eq!(world.request(track, ISSUE).bearer(&token).send().status, 400);
    assert_eq!(world.received(ISSUE).len(), 0);
}

#[test]
fn attack_s3_a_password_under_a_scheme_that_only_begins_like_basic() {
    let world = World::start();
    world.import_token("s3cr3t-imported-token-0001", "admin");
    world.set(&json!({ "passwords": "disabled" }));
    for value in [
        "Basic:YWxpY2U6d29uZGVybGFuZA==",
        "BasicXYWxpY2U6d29uZGVybGFuZA==",
        "Basic,YWxpY2U6d29uZGVybGFuZA==",
        "basic=YWxpY2U6d29uZGVybGFuZA==",
        "Basic\u{a0}YWxpY2U6d29uZGVybGFuZA==",
        "Bearer:s3cr3t-imported-token-0001",
    ] {
        world.get(ISSUE).header("authorization", value.as_bytes()).send().assert_refused(400, "bad_credentials");
    }
    assert_eq!(world.received(ISSUE).len(), 0);
}

#[test]
fn attack_a3_an_imported_token_in_the_place_of_the_name_is_neither_logged_nor_sent_on() {
    let world = World::start();
    let token = world.import_token("s3cr3t-imported-token-0001", "admin");
    for password in ["", "x-oauth-basic", "x"] {
        world.get(ISSUE).basic(&token.text, password).send().assert_refused(400, "bad_credentials");
    }
    assert_eq!((world.received(ISSUE).len(), world.failed_logins()), (0, 0));
    let log = world.log("envoy");
    assert!(log.contains("User (unnamed) tried") && !log.contains("s3cr3t"), "{log}");
}

#[test]
fn attack_a_token_that_is_turned_into_a_session_of_the_backend() {
    let world = World::start();
    let token = world.token_for("alice");
    for call in [world.get(ISSUE).bearer(&token), world.get_http2(ISSUE).basic("alice", &token)] {
        let reply = call.header("cookie", b"SESSION=somebody-elses").send();
        reply.assert_user(Some("alice"));
        reply.assert_received("cookie", None);
        assert!(!reply.headers.contains_key("set-cookie"), "{:?}", reply.headers);
    }
    // Who signs in with a password at the backend keeps the session.
    let reply = world.get(ISSUE).basic("alice", "wonderland").send();
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2, "{:?}", reply.headers);
    let reply = world.get(ISSUE).header("cookie", b"SESSION=alice").send();
    reply.assert_received("cookie", Some("SESSION=alice"));
}

#[test]
fn u2_a_token_in_the_query_is_ignored() {
    let world = World::start();
    let token = world.token_for("alice");
    let reply = world.get(&format!("{ISSUE}?access_token={}", token.text)).send();
    reply.assert_user(None);
    assert!(!world.log("envoy").contains(&token.text), "queries are not logged");
}

#[test]
fn u8_an_expired_an_early_and_a_deleted_token_are_told_apart() {
    let world = World::start();
    world.create_user("alice");
    let early = world.new_token(&json!({ "label": "early", "owner": "alice", "valid_from": "2100-01-01T00:00:00Z" }));
    eventually("the early token is known", || {
        (world.get(ISSUE).bearer(&early).send().json["code"] == "token_not_yet_valid").then_some(())
    });
    world.get(ISSUE).basic("alice", &early).send().assert_refused(401, "token_not_yet_valid");

    let soon = tests::in_seconds(5);
    let short = world.new_token(&json!({ "label": "short", "owner": "alice", "expires_at": soon }));
    eventually("the short token works", || (world.get(ISSUE).bearer(&short).send().status == 200).then_some(()));
    eventually("the short token expires", || {
        (world.get(ISSUE).bearer(&short).send().json["code"] == "token_expired").then_some(())
    });

    let deleted = world.token_for("alice");
    world.delete_token(&deleted);
    eventually("the deleted token is refused", || {
        (world.get(ISSUE).bearer(&deleted).send().json["code"] == "token_deleted").then_some(())
    });
    world.get(ISSUE).bearer(&deleted).send().assert_refused(401, "token_deleted");
}

#[test]
fn principle_5_what_was_judged_is_what_is_forwarded() {
    let world = World::start();
    let token = world.token_for("alice");
    let (tracked, authorization) = ("/rest/tracked", format!("Authorization: Bearer {}\r\n", token.text));
    let sent = |path: &str, authorization: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n");
        world.raw(request.as_bytes())
    };
    for path in [
        "/rest;a=b/tracked",
        "/%2572est/tracked",
        "/rest/tracked;a=b",
        "/rest/%252e%252e/tracked",
        "/rest/a%00/tracked",
        "/API/v1/tokens",
        "/rest/%c0%ae/x",
        "/x%2f..%2frest/tracked",
        "/x%5c..%5crest/tracked",
    ] {
        for authorization in ["", &authorization] {
            let reply = sent(path, authorization);
            assert!(reply.starts_with("HTTP/1.1 400"), "{path}: {reply}");
        }
    }
    assert_eq!(world.received(tracked).len(), 0);
    // What Envoy itself resolves is judged as resolved, and forwarded as judged.
    for path in [
        "/login/../rest/./tracked",
        "//rest//tracked",
        "/x/..;/rest/tracked",
        "/%72est/tracked",
        "/rest/%74racked",
        "/x\\..\\rest\\tracked",
        "/rest/%2e/tracked",
    ] {
        let reply = sent(path, &authorization);
        let judged = reply.contains("\"user\":\"alice\"") && reply.contains("\"path\":\"/rest/tracked\"");
        assert!(judged && !reply.contains(&token.text), "{path}: {reply}");
        let reply = sent(path, "Authorization: Bearer tgt_x\r\n");
        assert!(reply.starts_with("HTTP/1.1 401"), "{path}: {reply}");
    }
    assert_eq!(world.received(tracked).len(), 7);
    // What some clients encode without need is decoded on the way, and no disguise.
    assert!(sent("/rest/%7Ealice/a%2Db%5Fc", "").contains(r#""path":"/rest/~alice/a-b_c""#));
}

#[test]
fn u13_a_refusal_is_a_problem_with_the_request_id_of_the_proxy() {
    let world = World::start();
    let reply = world.get(ISSUE).bearer(UNKNOWN).send();
    reply.assert_refused(401, "unknown_token");
    let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges[0].to_str().unwrap().starts_with("Basic realm="), "{challenges:?}");
    assert!(challenges[1].to_str().unwrap().starts_with("Bearer realm="), "{challenges:?}");
    assert_eq!(reply.json["request_id"].as_str().map(str::len), Some(36), "{}", reply.text);
    assert_eq!(reply.json["type"], "urn:tokengate:problem:unknown_token");
}

#[test]
fn a3_the_log_has_a_line_for_each_call_with_a_credential_and_for_no_other() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get("/rest/anonymous").send().assert_user(None);
    world.get("/rest/anonymous;x").send().assert_refused(400, "ambiguous_path");
    world.get("/rest/admitted?secret=1").basic("alice", &token).send().assert_user(Some("alice"));
    world.get("/rest/passed").basic("bob\u{1b}[2J", "password").send();
    world.get("/rest/refused").basic("eve", &token).send().assert_refused(401, "wrong_user");
    let log = world.log("envoy");
    let admitted = format!("alice has been authenticated via API Token ({}) created on ", token.id);
    let line = log.lines().find(|line| line.contains("/rest/admitted")).expect("a line");
    assert!(line.contains(&admitted) && line.ends_with(". REST endpoint: /rest/admitted"), "{line}");
    for line in [
        "User bob\\u{1b}[2J tried to authenticate with an invalid token or a regular password. Passing the request \
         further to the default authenticator. REST endpoint: /rest/passed",
        "User eve tried to authenticate with an invalid token or a regular password. The request is refused: \
         wrong_user. REST endpoint: /rest/refused",
    ] {
        assert!(log.lines().any(|logged| logged.ends_with(line)), "{line} is missing in\n{log}");
    }
    assert!(!log.contains("/rest/anonymous"), "{log}");
    let flood = format!("/rest/{}", "tgt_".repeat(5000));
    world.get(&flood).basic("eve", "x").send();
    let longest = world.log("envoy").lines().map(str::len).max();
    assert!(longest.is_some_and(|length| length < 2500), "a client wrote a line of {longest:?} bytes");
}

#[test]
fn u13_a_grpc_request_is_refused_with_a_grpc_status() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "ip_rules": ["192.0.2.200", "127.0.0.1"] }));
    let call = |path: &str, authorization: String| {
        let call = world.get_http2(path).header("content-type", b"application/grpc+proto").header("te", b"trailers");
        call.header("authorization", authorization.as_bytes()).send()
    };
    let bearer = |secret: &str| format!("Bearer {secret}");
    for (reply, status, code) in [
        (call("/rest/Greeter/Hello;x", bearer(&token.text)), "3", "ambiguous_path"),
        (call("/login", bearer(&token.text)), "16", "path_not_protected"),
    ] {
        assert_eq!(reply.status, 200, "gRPC tells its status in a header: {}", reply.text);
        assert_eq!(reply.headers["content-type"], "application/grpc");
        assert_eq!(reply.headers["grpc-status"], status);
        let message = reply.headers["grpc-message"].to_str().expect("a message");
        assert!(message.starts_with(&format!("{code}: ")), "{message}");
    }
    world.set(&json!({ "ip_rules": [] }));
    assert_eq!(call("/rest/Greeter/Hello", bearer(UNKNOWN)).headers["grpc-status"], "16");
    world.set(&json!({ "passwords": "disabled" }));
    let password = tests::basic("alice", "wonderland");
    assert_eq!(call("/rest/Greeter/Hello", password).headers["grpc-status"], "7");
    assert_eq!(world.received("/rest/Greeter/Hello").len(), 0);
    // What only begins like gRPC is told in HTTP.
    let other = world.get(ISSUE).bearer(UNKNOWN).header("content-type", b"application/grpcx").send();
    other.assert_refused(401, "unknown_token");
}

#[test]
fn calls_are_counted_with_labels_for_prometheus() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get(ISSUE).bearer(UNKNOWN).send().assert_refused(401, "unknown_token");
    world.get(ISSUE).send().assert_user(None);
    world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    let page = || world.envoy_admin("/stats/prometheus?filter=wasmcustom.tokengate");
    for line in [
        r#"tokengate_requests_total{tokengate_verdict="admitted"} "#,
        r#"tokengate_requests_total{tokengate_verdict="passed"} "#,
        r#"tokengate_requests_total{tokengate_verdict="refused",tokengate_code="unknown_token"} "#,
        "# TYPE tokengate_requests_total counter",
        "# TYPE tokengate_snapshot_revision gauge",
        "tokengate_snapshot_age_seconds{} ",
        "tokengate_feed_updates_total{} ",
    ] {
        eventually(line, || page().contains(line).then_some(()));
    }
}

#[test]
fn calls_are_counted_by_verdict() {
    let world = World::start();
    let token = world.token_for("alice");
    let count = |name: &str| world.counted(name);
    let (admitted, refused) =
        (count("requests_total.verdict.admitted"), count("requests_total.verdict.refused.code.unknown_token"));
    for _ in 0..5 {
        world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
        world.get(ISSUE).bearer(UNKNOWN).send().assert_refused(401, "unknown_token");
    }
    assert_eq!(count("requests_total.verdict.admitted"), admitted + 5);
    assert_eq!(count("requests_total.verdict.refused.code.unknown_token"), refused + 5);
    assert!(count("snapshot_revision") >= 3);
}
