//! What a client writes so that the backend reads something else than the filter judged: twins of a restricted name (L10),
//! other methods (U15), credentials behind bytes that some frameworks strip (U15, U11), tokens beside which no password is
//! accepted (U10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Reply, Token, UNKNOWN_TOKEN, World};

fn token(world: &World, properties: Value) -> Token {
    let mut all = json!({ "label": "x", "owner": "alice" });
    let fields = properties.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(fields);
    let token = world.new_token(&all);
    world.wait_until_told();
    token
}

fn with_alice() -> World {
    let world = World::start_with_workers(1);
    world.create_user("alice");
    world
}

/// A GET with this value of `Authorization`, whatever its bytes.
fn get_with(world: &World, authorization: &[u8]) -> Reply {
    world.get("/rest/x").header("authorization", authorization).send()
}

#[test]
fn attack_l10_twins_of_a_restricted_parameter_that_some_backend_reads_as_it() {
    let world = with_alice();
    let token = token(&world, json!({ "restrictions": ["/rest/filter[QueryParam::permissions==true]"] }));
    let filter = |query: &str| world.get(&format!("/rest/filter?{query}")).bearer(&token).send();
    filter("permissions=true&x=1").assert_user(Some("alice"));
    filter("permissions=true&Permissions=true&permissions[]=true").assert_user(Some("alice"));
    let arrived = world.received("/rest/filter").len();
    for twin in [
        "permissions=true&%20permissions=false",
        "permissions=true&permissions[]=false",
        "permissions=true&permissions%5b0%5d=false",
        "permissions=true&Permissions=false",
        "permissions=true&%5Bpermissions%5D=false",
        "permissions=true&%ef%bd%90ermissions=false",
    ] {
        filter(twin).assert_refused(403, "restricted");
    }
    for unreadable in [
        "x=1;permissions=false&permissions=true",
        "permissions=true&permissions%00x=false",
        "permissions=true&permissions%09=false",
    ] {
        filter(unreadable).assert_refused(400, "bad_query");
    }
    assert_eq!(world.received("/rest/filter").len(), arrived, "none of them reaches the backend");
}

#[test]
fn attack_l10_twins_of_a_restricted_field_that_some_backend_reads_as_it() {
    let world = with_alice();
    let token = token(&world, json!({ "restrictions": ["/rest/filter[JsonData::kind.of==safe]"] }));
    let put =
        |body: &str| world.request(Method::PUT, "/rest/filter").bearer(&token).body("application/json", body).send();
    put(r#"{"kind":{"of":"safe","off":"x"},"kinds":{"of":"other"}}"#).assert_user(Some("alice"));
    for body in [
        r#"{"kind":{"of":"safe","of\u0000":"other"}}"#,
        r#"{"kind":{"of":"safe","OF":"other"}}"#,
        r#"{"kind":{"of":"safe","\uff4ff":"other"}}"#,
        r#"{"kind":{"of":"safe"," of":"other"}}"#,
        r#"{"k\u0131nd":{"of":"other"},"kind":{"of":"safe"}}"#,
        r#"{"kind":{"of":"safe"},"\u212aind":{"of":"other"}}"#,
    ] {
        put(body).assert_refused(403, "body_unreadable");
    }
    assert_eq!(world.received("/rest/filter").len(), 1);
}

#[test]
fn attack_u15_another_method_by_a_header_or_a_parameter_beside_any_restricted_token() {
    let world = with_alice();
    let restricted = [
        token(&world, json!({ "restrictions": ["[get].*"] })),
        token(&world, json!({ "scope": "read_only" })),
        token(&world, json!({ "ip_ranges": ["127.0.0.1"] })),
    ];
    let free = token(&world, json!({}));
    let headers = ["x-http-method-override", "x-http-verb-override", "x-method", "x-http-method", "x-method-override"];
    for token in &restricted {
        world.get("/rest/x?method=list&a=_method").bearer(token).send().assert_user(Some("alice"));
        for header in headers {
            let call = world.get("/rest/x").bearer(token).header(header, b"DELETE");
            call.send().assert_refused(400, "method_override");
        }
        for parameter in ["_method=DELETE", "a=b&_METHOD=DELETE", "%5fmethod=PUT", "_method[]=PUT", "x;_method=PUT"] {
            let call = world.get(&format!("/rest/x?{parameter}")).bearer(token);
            call.send().assert_refused(400, "method_override");
        }
    }
    assert_eq!(world.received("/rest/x").len(), restricted.len());
    world.get("/rest/x?_method=DELETE").bearer(&free).send().assert_user(Some("alice"));
}

#[test]
fn attack_u15_a_credential_behind_bytes_that_frameworks_strip_is_no_foreign_scheme() {
    let world = with_alice();
    let imported = "an-imported-token-of-some-length-0123";
    world.import_token(imported, "alice");
    world.set(&json!({ "passwords": "disabled" }));
    let secrets = [format!("alice:{imported}"), "alice:wonderland".to_owned()].map(|secret| BASE64.encode(secret));
    for secret in &secrets {
        for before in [&b"\xa0"[..], b"\x85", b"\xc2\xa0", b"\"", b"'", b"-", b"1", b"("] {
            let value = [before, b"Basic ", secret.as_bytes()].concat();
            get_with(&world, &value).assert_refused(400, "bad_credentials");
        }
        for value in [
            format!("Foo x,Basic {secret}"),
            format!("Foo x, \u{a0}Basic {secret}"),
            format!("Foo \", Basic {secret}\""),
            format!("Foo a=\"b, Basic {secret}"),
        ] {
            get_with(&world, value.as_bytes()).assert_refused(400, "bad_credentials");
        }
    }
    for value in [
        format!("Bearer {imported}\u{a0}"),
        format!("Bearer \"{imported}\""),
        format!("\u{a0}Bearer {imported}"),
        format!("Basic {}", BASE64.encode(format!("alice:{imported}\0x"))),
        "Dig\u{a0}est x".into(),
    ] {
        get_with(&world, value.as_bytes()).assert_refused(400, "bad_credentials");
    }
    assert_eq!(world.received("/rest/x").len(), 0);
    // Foreign schemes as they are pass.
    for value in [
        &b"Digest username=\"bob\", realm=\"Intranet, basic area\", uri=\"/rest/x\", qop=auth"[..],
        b"Negotiate YIIBasicbEaReR+Basic/bearer/basic==",
        b"AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host;date, Signature=f00",
    ] {
        let reply = get_with(&world, value);
        assert!(
            world
                .received("/rest/x")
                .iter()
                .any(|seen| seen["headers"]["authorization"].as_str().map(str::as_bytes) == Some(value)),
            "{}",
            reply.text
        );
    }
}

#[test]
fn u10_where_passwords_are_disabled_a_token_that_nobody_has_is_403_in_basic_whole_or_not() {
    let world = with_alice();
    let alices = token(&world, json!({}));
    let mistyped = format!("{}{}", &alices.text[..42], if alices.text.ends_with('x') { 'y' } else { 'x' });
    let disguised = format!(" {}", alices.text);
    let nobodys = [
        (UNKNOWN_TOKEN, "unknown_token"),
        (&mistyped, "mistyped_token"),
        (&alices.text[..30], "mistyped_token"),
        (&disguised, "mistyped_token"),
    ];
    for (passwords, status) in [("allowed", 401), ("disabled", 403)] {
        world.set(&json!({ "passwords": passwords, "password_exempt_users": ["exempt"] }));
        for (secret, code) in nobodys {
            world.get("/rest/x").basic("alice", secret).send().assert_refused(status, code);
            // It is what is disabled for the request that counts.
            world.get("/rest/x").basic("exempt", secret).send().assert_refused(401, code);
            if !secret.starts_with(' ') {
                world.get("/rest/x").bearer(secret).send().assert_refused(401, code);
            }
        }
        // A known token keeps its own code, and what cannot be read stays 400.
        get_with(&world, b"Basic !!!").assert_refused(400, "bad_credentials");
        world.get("/rest/x").basic("bob", &alices).send().assert_refused(401, "wrong_user");
        world.get("/rest/x").basic("alice", &alices).send().assert_user(Some("alice"));
    }
    // Also where tokens are not accepted in Basic at all.
    world.set(&json!({ "token_schemes": "bearer" }));
    for (secret, code) in nobodys {
        world.get("/rest/x").basic("alice", secret).send().assert_refused(403, code);
    }
    world.get("/rest/x").basic("alice", &alices).send().assert_refused(401, "scheme_not_allowed");
    assert_eq!(world.failed_logins(), 0);
}
