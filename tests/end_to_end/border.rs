//! What nobody sends by accident, at the border of the API: each gets a clear refusal, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tests::{Reply, World, basic};

/// A control plane alone, with the user alice.
fn control_plane() -> World {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_control_plane();
    world.create_user("alice");
    world
}

/// The revision: it is the same as long as nothing is changed.
fn revision(world: &World) -> Value {
    world.control_get("/readyz").send().json["revision"].clone()
}

/// Asserts a refusal in a sentence.
fn assert_clear(what: &str, reply: &Reply, status: u16, code: &str) {
    let told = (reply.status.as_u16(), reply.json["code"].as_str());
    assert_eq!(told, (status, Some(code)), "{what}: {}", reply.text);
    assert_eq!(reply.headers["content-type"], "application/problem+json", "{what}");
    assert!(reply.json["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{what}: {}", reply.text);
}

fn send(world: &World, method: Method, path: &str, body: &str) -> Reply {
    world.as_admin(method, path).body("application/json", body).send()
}

#[test]
fn attack_bodies_that_two_readers_would_read_differently_are_refused() {
    let world = control_plane();
    let before = revision(&world);
    let deep = |open: &str, close: &str| format!(r#"{{"name":{}{}}}"#, open.repeat(20_000), close.repeat(20_000));
    let users = "/api/v1/users";
    let alice = "/api/v1/users/alice";
    let shared = "/api/v1/backend-credential";
    let settings = "/api/v1/settings";
    for (method, path, body) in [
        (Method::POST, users, r#"{"name":"bob","name":"eve"}"#),
        (Method::POST, users, r#"{"name":"bob","sysadmin":false,"s\u0079sadmin":true}"#),
        (Method::POST, "/api/v1/tokens", r#"{"label":"x","owner":"alice","owner":"admin"}"#),
        (Method::PATCH, alice, r#"{"sysadmin":false,"sysadmin":true}"#),
        (Method::PATCH, settings, r#"{"passwords":"disabled","passwords":"allowed","log_calls":false}"#),
        (Method::PUT, shared, r#"{"bearer":"a","bearer":"b"}"#),
        (Method::PUT, shared, r#"{"basic":{"user":"a","user":"b","password":"c"}}"#),
        // Deep enough for the stack of whoever reads by recursion.
        (Method::POST, users, &deep("[", "]")),
        (Method::PATCH, settings, &deep(r#"{"a":"#, "")),
        // Numbers beyond all types, and what is no JSON though many readers take it.
        (Method::POST, users, r#"{"name":1e999999}"#),
        (Method::PATCH, settings, r#"{"max_tokens_per_user":1e999999}"#),
        (Method::PATCH, settings, r#"{"max_tokens_per_user":NaN}"#),
        (Method::POST, users, r#"{"name":"bob"}{"name":"eve"}"#),
        (Method::POST, users, r#"{"name":"bob",}"#),
        (Method::POST, users, "\u{feff}{\"name\":\"bob\"}"),
        (Method::POST, users, r#"["bob",null,true]"#),
        (Method::POST, users, r#"{"name":"\ud800"}"#),
        // NUL: the end of a text for some, and refused by some databases.
        (Method::POST, users, r#"{"name":"bob\u0000eve"}"#),
        (Method::POST, "/api/v1/tokens", r#"{"label":"x","owner":"alice\u0000"}"#),
        (Method::PATCH, alice, r#"{"email":"a\u0000@example.org"}"#),
    ] {
        assert_clear(&body[..body.len().min(80)], &send(&world, method, path, body), 400, "bad_request");
    }
    let too_many = r#"{"max_tokens_per_user":99999999999999999999999999}"#;
    assert_clear(too_many, &send(&world, Method::PATCH, settings, too_many), 400, "invalid_settings");
    assert_eq!(revision(&world), before, "nothing was changed");
    // A secret in the wrong place does not come back.
    let reply = send(&world, Method::PUT, shared, r#"{"hunter2":1,"hunter2":2}"#);
    assert!(reply.status == 400 && !reply.text.contains("hunter2"), "{}", reply.text);
}

#[test]
fn attack_bodies_whose_type_can_be_taken_for_another_are_refused() {
    let world = control_plane();
    let before = revision(&world);
    let create = || world.as_admin(Method::POST, "/api/v1/users");
    let body = r#"{"name":"bob"}"#;
    for content_type in [
        // What a form on another site can send without asking.
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonx",
        "application/problem+json",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "",
    ] {
        let reply = create().body(content_type, body).send();
        assert_clear(content_type, &reply, 415, "unsupported_media_type");
    }
    for (what, call) in [
        ("no type", create()),
        ("two types", create().header("content-type", b"text/plain").body("application/json", body)),
        ("gzip", create().header("content-encoding", b"gzip").body("application/json", body)),
        ("br", create().header("content-encoding", b"br").body("application/json", body)),
    ] {
        assert_clear(what, &call.send(), 415, "unsupported_media_type");
    }
    assert_eq!(revision(&world), before, "nothing was changed");
    let usual = create().body("Application/JSON; charset=\"UTF-8\"", body).send();
    assert_eq!(usual.status, 201, "{}", usual.text);
}

#[test]
fn attack_queries_and_methods_that_say_two_things_are_refused() {
    let world = control_plane();
    let before = revision(&world);
    for query in [
        "limit=1&limit=1000",
        "all=true&all=false",
        "owner=alice&owner=admin",
        "owner=alice%00",
        "limit=99999999999999999999999999",
        "limit=-1",
        "limit=1e3",
        "limit=0",
        "after=-99999999999999999999999999",
        "limit[]=1",
        "all=TRUE",
        "_method=DELETE",
    ] {
        let reply = world.as_admin(Method::GET, &format!("/api/v1/tokens?{query}")).send();
        assert_clear(query, &reply, 400, "bad_request");
    }
    for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let overridden = |method| world.as_admin(method, "/api/v1/users/alice").header(header, b"DELETE");
        assert_clear(header, &overridden(Method::POST).send(), 405, "method_not_allowed");
        assert_eq!(overridden(Method::GET).send().json["name"], "alice", "it is a GET all the same");
    }
    for method in ["TRACE", "PROPFIND", "get", "Delete", "DELETE-"] {
        let reply = raw(&world, method, "/api/v1/users/alice");
        assert!(reply.starts_with("HTTP/1.1 405 "), "{method}: {reply}");
    }
    assert_eq!(revision(&world), before, "nothing was changed");
}

#[test]
fn attack_segments_of_paths_that_hide_something_name_nothing() {
    let world = control_plane();
    let before = revision(&world);
    let (long, longer) = ("a".repeat(5_000), "a".repeat(60_000));
    for (segment, status) in [
        ("alice%00", 400),
        ("%0a", 400),
        ("alice%0d%0aX-Injected:%20yes", 400),
        ("%ff%fe", 400),
        ("%c0%ae%c0%ae", 400),
        (&*long, 400),
        (&*longer, 400),
        // Which the rules of the proxies refuse already.
        ("..%2fusers%2falice", 400),
        ("%2e%2e%2fsettings", 400),
        ("alice%2f", 400),
        ("alice%5c..", 400),
        ("alice/../alice", 404),
        ("alice/.", 404),
        (".", 404),
        ("..", 400),
        ("alice%252f", 400),
        ("alice;jsessionid=1", 400),
        ("", 404),
        ("alice/", 404),
    ] {
        for resource in ["users", "tokens"] {
            for method in ["GET", "DELETE"] {
                let reply = raw(&world, method, &format!("/api/v1/{resource}/{segment}"));
                let what = format!("{method} {resource}/{segment:.40}");
                assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {reply}");
                assert!(reply.contains("application/problem+json"), "{what}: {reply}");
                assert!(!reply.to_lowercase().contains("\r\nx-injected"), "{what}: {reply}");
            }
        }
    }
    assert_eq!(revision(&world), before, "nothing was changed");
    let spaced = json!({ "name": "a b" });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&spaced).send().status, 201);
    assert_eq!(world.as_admin(Method::GET, "/api/v1/users/a%20b").send().json["name"], "a b");
}

/// A request of the first sysadmin whose target is sent as it is written here.
fn raw(world: &World, method: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let authorization = basic("admin", &world.admin_token());
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request is written");
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}
