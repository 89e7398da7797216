//! For which requests a restricted token works (L1 to L8).

use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tests::{Reply, Token, World, eventually};

fn restricted(world: &World, lines: &[&str]) -> Token {
    let token = world.new_token(&json!({ "label": "x", "owner": "alice", "restrictions": lines }));
    world.wait_until_told();
    token
}

fn with_alice() -> World {
    let world = World::start();
    world.create_user("alice");
    world
}

fn call(world: &World, token: &Token, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let call = world.request(Method::from_bytes(method.as_bytes()).expect("a method"), path).bearer(token);
    match body {
        Some(body) => call.json(body).send(),
        None => call.send(),
    }
}

/// The lines of the README, and requests that each allows and refuses.
#[test]
fn l1_to_l5_every_example_of_the_readme_does_what_its_caption_says() {
    let filter = json!({ "editable": false, "favourite": false });
    let near = json!({ "editable": true, "favourite": false });
    let issue = json!({ "fields": { "project": { "key": "JRA" } } });
    let other = json!({ "fields": { "project": { "key": "JRAX" } } });
    type Request<'a> = (&'a str, &'a str, Option<&'a Value>);
    let examples: [(&str, &[Request<'_>], &[Request<'_>]); 9] = [
        (
            ".*/rest/api/2/issue/JRA.*",
            &[("GET", "/rest/api/2/issue/JRA-1", None), ("DELETE", "/rest/api/2/issue/JRA-1/comment/2", None)],
            &[
                ("GET", "/rest/api/2/issue/KAN-1", None),
                ("GET", "/rest/api/2/issue/KAN-1?x=/rest/api/2/issue/JRA-1", None),
            ],
        ),
        (
            "[post].*/rest/api/2/issue/KANBAN-100/comment.*",
            &[("POST", "/rest/api/2/issue/KANBAN-100/comment", None)],
            &[
                ("GET", "/rest/api/2/issue/KANBAN-100/comment", None),
                ("POST", "/rest/api/2/issue/KANBAN-1/comment", None),
            ],
        ),
        (
            "[get].*/rest/api/2/project.*",
            &[("GET", "/rest/api/2/project/JRA", None)],
            &[("POST", "/rest/api/2/project/JRA", None), ("HEAD", "/rest/api/2/project", None)],
        ),
        (
            ".*/rest/api/2/issue/SCRUM-[1-2]{1}/comment.*",
            &[("GET", "/rest/api/2/issue/SCRUM-2/comment", None)],
            &[("GET", "/rest/api/2/issue/SCRUM-3/comment", None), ("GET", "/rest/api/2/issue/SCRUM-12/comment", None)],
        ),
        (
            ".*/rest/extender/1.0/filter/user/.*[QueryParam::permissions==true]",
            &[
                ("GET", "/rest/extender/1.0/filter/user/bob?permissions=true", None),
                ("GET", "/rest/extender/1.0/filter/user/bob?a=b&permissions=tru%65", None),
            ],
            &[
                ("GET", "/rest/extender/1.0/filter/user/bob", None),
                ("GET", "/rest/extender/1.0/filter/user/bob?permissions=true&permissions=false", None),
                ("GET", "/rest/extender/1.0/filter/user/bob?permissions=truer", None),
            ],
        ),
        (
            ".*rest/extender/1.0/worklog/user/.*[QueryParam::dateFrom==2018-01-01][QueryParam::dateTo==2018-12-01]",
            &[("GET", "/rest/extender/1.0/worklog/user/bob?dateTo=2018-12-01&dateFrom=2018-01-01", None)],
            &[
                ("GET", "/rest/extender/1.0/worklog/user/bob?dateFrom=2018-02-01&dateTo=2018-12-01", None),
                ("GET", "/rest/extender/1.0/worklog/user/bob?dateFrom=2018-01-01", None),
            ],
        ),
        (
            ".*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]",
            &[("PUT", "/rest/api/2/filter", Some(&filter))],
            &[("PUT", "/rest/api/2/filter", Some(&near)), ("PUT", "/rest/api/2/filters", Some(&filter))],
        ),
        (
            ".*/rest/api/2/issue[JsonData::fields.project.key==JRA]",
            &[("POST", "/rest/api/2/issue", Some(&issue))],
            &[("POST", "/rest/api/2/issue", Some(&other))],
        ),
        ("[A-Z]+.*", &[], &[("GET", "/rest/api/2/issue/JRA-1", None)]),
    ];
    let world = with_alice();
    let readme = include_str!("../../README.md");
    let section = &readme[readme.find("## Restrictions by example").expect("the section")..];
    let section = &section[..section[3..].find("\n## ").expect("the next section")];
    let written = section.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(written, examples.len(), "each example of the README is tried here");
    for (line, allowed, refused) in examples {
        assert!(section.contains(&format!("| `{line}` |")), "{line} is not in the README");
        let token = restricted(&world, &[line]);
        for (method, path, body) in allowed {
            call(&world, &token, method, path, *body).assert_user(Some("alice"));
        }
        for (method, path, body) in refused {
            let reply = call(&world, &token, method, path, *body);
            assert_eq!(reply.status, 403, "{line}: {method} {path}: {}", reply.text);
            if *method != "HEAD" {
                reply.assert_refused(403, "restricted");
            }
        }
    }
    assert_eq!(world.failed_logins(), 0);
}

#[test]
fn l1_lines_are_alternatives_and_l6_come_separated_in_three_ways() {
    let world = with_alice();
    for lines in
        [&["/rest/a", "/rest/b"] as &[&str], &["/rest/a\n/rest/b"], &["/rest/a\\n/rest/b"], &["/rest/a<br>/rest/b"]]
    {
        let token = restricted(&world, lines);
        call(&world, &token, "GET", "/rest/a", None).assert_user(Some("alice"));
        call(&world, &token, "GET", "/rest/b", None).assert_user(Some("alice"));
        call(&world, &token, "GET", "/rest/c", None).assert_refused(403, "restricted");
        let shown = world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send().json;
        assert_eq!(shown["restrictions"], json!(["/rest/a", "/rest/b"]));
        world.get("/api/v1/tokens").bearer(&token).send().assert_refused(403, "cannot_manage");
    }
    let unrestricted = restricted(&world, &["", " \n "]);
    call(&world, &unrestricted, "DELETE", "/rest/c", None).assert_user(Some("alice"));
}

#[test]
fn l4_a_query_that_cannot_be_read_is_refused_where_it_counts() {
    let world = with_alice();
    let token = restricted(&world, &["/rest/a[QueryParam::x==y z]", "/rest/b"]);
    call(&world, &token, "GET", "/rest/a?x=y+z", None).assert_user(Some("alice"));
    call(&world, &token, "GET", "/rest/a?x=y%20z", None).assert_user(Some("alice"));
    for query in ["x=%zz", "x=y+z&q=%f", "x=%ff"] {
        call(&world, &token, "GET", &format!("/rest/a?{query}"), None).assert_refused(400, "bad_query");
    }
    call(&world, &token, "GET", "/rest/b?x=%zz", None).assert_user(Some("alice"));
}

#[test]
fn l7_a_line_that_does_not_parse_is_refused_with_its_place_and_nothing_is_saved() {
    let world = with_alice();
    let lines = ["/rest/ok", "/rest/(?=x)", "[get][post]/x\n/rest/[JsonData::a==(]"];
    let body = json!({ "label": "x", "owner": "alice", "restrictions": lines });
    let reply = world.as_admin(Method::POST, "/api/v1/tokens").json(&body).send();
    reply.assert_refused(400, "invalid_restrictions");
    let errors = reply.json["errors"].as_array().expect("errors");
    let places: Vec<_> = errors.iter().map(|error| error["line"].as_u64()).collect();
    assert_eq!(places, [Some(2), Some(3), Some(4)], "{}", reply.text);
    for error in errors {
        assert!(error["column"].as_u64() > Some(1) && error["detail"].as_str().is_some_and(|text| text.len() > 20));
    }
    let tokens = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send().json;
    assert_eq!(tokens["items"], json!([]));
    let long = "/rest/x".repeat(1000);
    let body = json!({ "label": "x", "restrictions": [long] });
    world.as_admin(Method::POST, "/api/v1/tokens").json(&body).send().assert_refused(400, "invalid_restrictions");
}

const ANY_FILTER: &str = "/rest/filter[JsonData::editable==false]";

fn filter_call(world: &World, token: &Token, content_type: &str, body: &str) -> Reply {
    world.request(Method::PUT, "/rest/filter").bearer(token).body(content_type, body).send()
}

#[test]
fn l5_what_is_not_plain_json_is_refused_and_never_reaches_the_backend() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    for body in [r#"{"editable":false}"#, r#"{"editable":"false"}"#, r#"{"x":[{"editable":true}],"editable":false}"#] {
        filter_call(&world, &token, "application/json", body).assert_user(Some("alice"));
        filter_call(&world, &token, "application/vnd.x+json; charset=UTF-8", body).assert_user(Some("alice"));
    }
    let admitted = world.received("/rest/filter").len();
    assert_eq!(admitted, 6);
    filter_call(&world, &token, "application/json", r#"{"editable":true}"#).assert_refused(403, "restricted");
    for body in [
        "",
        "editable=false",
        r#"{"editable":false"#,
        r#"{"editable":false,}"#,
        r#"{"editable":false}{"#,
        "\u{feff}{\"editable\":false}",
        r#"{"editable":false,"editable":false}"#,
        r#"{"editable":true,"edit\u0061ble":false}"#,
        r#"{"editable":[false]}"#,
        r#"{"editable":{"x":false}}"#,
        r#"{"Editable":false}"#,
        r#"[{"editable":false}]"#,
        r#"{"editable":NaN}"#,
    ] {
        filter_call(&world, &token, "application/json", body).assert_refused(403, "body_unreadable");
    }
    let good = r#"{"editable":false}"#;
    for content_type in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
    ] {
        filter_call(&world, &token, content_type, good).assert_refused(403, "body_unreadable");
    }
    for (name, value) in [("content-encoding", "gzip"), ("content-encoding", "br, identity")] {
        let call = world.request(Method::PUT, "/rest/filter").bearer(&token).header(name, value.as_bytes());
        call.body("application/json", good).send().assert_refused(403, "body_unreadable");
    }
    // A form by its first type, which some backends read alone.
    let form = r#"{"editable":false,"x":"&editable=true&"}"#;
    let twice = world.request(Method::PUT, "/rest/filter").bearer(&token);
    let twice = twice.header("content-type", b"application/x-www-form-urlencoded").body("application/x+json", form);
    twice.send().assert_refused(403, "body_unreadable");
    filter_call(&world, &token, "application/json", r#"{"editable":false,"Editable":true}"#)
        .assert_refused(403, "body_unreadable");
    // No body at all.
    call(&world, &token, "GET", "/rest/filter", None).assert_refused(403, "body_unreadable");
    assert_eq!(world.received("/rest/filter").len(), admitted);
}

#[test]
fn l5_a_large_body_arrives_whole_and_unchanged_and_one_past_the_limit_is_413() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    let body = |size: usize| format!(r#"{{"padding":"{}","editable":false}}"#, "x".repeat(size));
    let large = body(900 * 1024);
    let reply = filter_call(&world, &token, "application/json", &large);
    reply.assert_user(Some("alice"));
    assert!(reply.json["body"] == large.as_str(), "it arrived changed");
    world.set(&json!({ "body_limit": 4096 }));
    filter_call(&world, &token, "application/json", &body(8192)).assert_refused(413, "body_too_large");
    filter_call(&world, &token, "application/json", &body(2048)).assert_user(Some("alice"));
    // Without a length, it is counted as it comes.
    let chunked = format!(
        "PUT /rest/filter HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n{}\r\n0\r\n\r\n",
        token.text,
        "x".repeat(0x2000)
    );
    assert!(world.raw(chunked.as_bytes()).starts_with("HTTP/1.1 413"));
    assert_eq!(world.counted("requests_total.verdict.refused.code.body_too_large"), 2);
    // Whom no restriction concerns is not limited by it.
    let free = restricted(&world, &["/rest/filter"]);
    filter_call(&world, &free, "application/json", &body(8192)).assert_user(Some("alice"));
    assert_eq!(world.received("/rest/filter").len(), 3);
}

/// Writes a request in parts; `between` happens before each but the first.
fn in_parts(world: &World, parts: &[&[u8]], mut between: impl FnMut(usize)) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.site.ports.entrance)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            between(index);
        }
        stream.write_all(part).expect("a part");
    }
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn head(token: &Token, more: &str) -> String {
    format!(
        "PUT /rest/filter HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{more}\r\n",
        token.text
    )
}

#[test]
fn l5_bodies_in_odd_forms_are_judged_rightly_and_none_hangs() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    let good = br#"{"editable":false}"#;
    // A byte at a time.
    let length = format!("Content-Length: {}\r\n", good.len());
    let head_with_length = head(&token, &length);
    let mut parts: Vec<&[u8]> = vec![head_with_length.as_bytes()];
    parts.extend(good.chunks(1));
    let reply = in_parts(&world, &parts, |_| {
        assert_eq!(world.received("/rest/filter").len(), 0, "nothing reaches the backend before the verdict");
    });
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains(r#""user":"alice""#), "{reply}");
    // Chunked, with trailers, and empty.
    let chunked = head(&token, "Transfer-Encoding: chunked\r\n");
    let whole = format!("{:x}\r\n{}\r\n0\r\n", good.len(), String::from_utf8_lossy(good));
    for (body, status) in [
        (format!("{whole}\r\n"), "HTTP/1.1 200"),
        (format!("{whole}X-Trailer: 1\r\n\r\n"), "HTTP/1.1 200"),
        ("0\r\n\r\n".into(), "HTTP/1.1 403"),
        ("10\r\n{\"editable\":true\r\n1\r\n}\r\n0\r\n\r\n".into(), "HTTP/1.1 403"),
    ] {
        let reply = in_parts(&world, &[chunked.as_bytes(), body.as_bytes()], |_| {});
        assert!(reply.starts_with(status), "{body:?}: {reply}");
    }
    // A client that waits to be told to go on.
    let expects = head(&token, &format!("{length}Expect: 100-continue\r\n"));
    let reply = in_parts(&world, &[expects.as_bytes(), good], |_| {});
    assert!(reply.contains("HTTP/1.1 200") && reply.contains(r#""user":"alice""#), "{reply}");
    // A connection that is to change its protocol has no body to wait for.
    let upgrade = head(&token, "Upgrade: websocket\r\n").replace("Connection: close", "Connection: Upgrade");
    let reply = in_parts(&world, &[upgrade.as_bytes()], |_| {});
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    // HTTP/2 with a body.
    let reply = world.put_http2("/rest/filter", &token, r#"{"editable":false}"#);
    reply.assert_user(Some("alice"));
}

#[test]
fn l5_http2_bodies_with_trailers_are_judged_at_their_trailers() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    let script = r#"
import socket, sys, h2.connection, h2.config, h2.events
port, token, body = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
sock = socket.create_connection(("127.0.0.1", port), 10)
connection.initiate_connection()
connection.send_headers(1, [(":method", "PUT"), (":path", "/rest/filter"), (":scheme", "http"), (":authority", "x"),
                            ("authorization", "Bearer " + token), ("content-type", "application/json")])
for byte in body: connection.send_data(1, bytes([byte]))
connection.send_headers(1, [("x-trailer", "1")], end_stream=True)
sock.sendall(connection.data_to_send())
ended = False
while not ended:
    for event in connection.receive_data(sock.recv(65536)):
        if isinstance(event, h2.events.ResponseReceived):
            print(dict((k.decode() if isinstance(k, bytes) else k, v) for k, v in event.headers)[":status"])
        ended = ended or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset))
    sock.sendall(connection.data_to_send())
"#;
    let status = |body: &str| {
        let port = world.site.ports.entrance.to_string();
        let python = std::process::Command::new(&world.site.tools.python);
        let output = { python }.args(["-c", script, &port, &token.text, body]).output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().trim_matches(['b', '\'']).to_owned()
    };
    assert_eq!(status(r#"{"editable":false}"#), "200");
    assert_eq!(status(r#"{"editable":true}"#), "403");
    assert_eq!(status("{}"), "403");
    assert_eq!(world.received("/rest/filter").len(), 1);
}

#[test]
fn attack_a_token_that_is_revoked_while_its_body_stalls_is_refused() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    let head = head(&token, "Content-Length: 18\r\n");
    let reply = in_parts(&world, &[head.as_bytes(), br#"{"editable":"#, b"false}"], |part| {
        if part == 2 {
            world.delete_token(&token);
            world.wait_until_told();
        }
    });
    assert!(reply.starts_with("HTTP/1.1 401") && reply.contains("token_deleted"), "{reply}");
    assert_eq!(world.received("/rest/filter").len(), 0);
}

#[test]
fn attack_a_held_back_request_that_carries_an_identity_of_its_own() {
    let world = with_alice();
    let token = restricted(&world, &[ANY_FILTER]);
    let mut call = world.request(Method::PUT, "/rest/filter").bearer(&token).header("cookie", b"SESSION=root");
    for name in ["x-forwarded-user", "x-tokengate-actor", "x-tokengate-judged", "x-original-url"] {
        call = call.header(name, b"admin");
    }
    let reply = call.body("application/json", r#"{"editable":false}"#).send();
    reply.assert_user(Some("alice"));
    for name in ["x-tokengate-actor", "x-original-url", "cookie", "authorization"] {
        reply.assert_received(name, None);
    }
    assert!(!reply.text.contains(&token.text));
}

#[test]
fn restrictions_survive_restarts_of_both_sides() {
    let mut world = with_alice();
    let token = restricted(&world, &["[get]/rest/a"]);
    assert!(world.stop_control_plane());
    world.start_control_plane();
    world.kill_envoy();
    world.start_envoy();
    world.wait_until_ready();
    call(&world, &token, "GET", "/rest/a", None).assert_user(Some("alice"));
    call(&world, &token, "POST", "/rest/a", None).assert_refused(403, "restricted");
    eventually("the log says so", || world.log("envoy").contains("refused: restricted").then_some(()));
}

#[test]
fn s7_in_secure_mode_tokens_are_not_edited_and_in_standard_mode_edits_are_in_force_at_once() {
    let mut world = World::start();
    world.create_user("alice");
    let token = restricted(&world, &["/rest/a"]);
    let path = format!("/api/v1/tokens/{}", token.id);
    let edit = |world: &World, edit: &Value| world.as_admin(Method::PATCH, &path).json(edit).send();
    edit(&world, &json!({ "restrictions": [] })).assert_refused(403, "secure_mode");
    assert!(world.stop_control_plane());
    world.site.secure_mode = false;
    world.start_control_plane();
    world.wait_until_ready();

    let new = json!({ "label": "new", "restrictions": ["[get]/rest/b", "/rest/c"], "validity": "90d" });
    let reply = edit(&world, &new);
    assert_eq!((reply.status.as_u16(), &reply.json["restrictions"]), (200, &new["restrictions"]), "{}", reply.text);
    assert!(reply.json["expires_at"].is_string() && reply.json["label"] == "new", "{}", reply.text);
    world.wait_until_told();
    call(&world, &token, "GET", "/rest/b", None).assert_user(Some("alice"));
    call(&world, &token, "GET", "/rest/a", None).assert_refused(403, "restricted");
    edit(&world, &json!({ "restrictions": ["("] })).assert_refused(400, "invalid_restrictions");
    edit(&world, &json!({ "scope": "read_only", "ip_ranges": ["127.0.0.1"] }));
    world.wait_until_told();
    call(&world, &token, "POST", "/rest/c", None).assert_refused(403, "read_only");
    edit(&world, &json!({ "restrictions": [], "scope": "full", "ip_ranges": [] }));
    world.wait_until_told();
    call(&world, &token, "POST", "/rest/a", None).assert_user(Some("alice"));
    let audit = world.audit();
    assert_eq!(audit.iter().filter(|record| record.contains("|token.edit|")).count(), 3, "{audit:#?}");

    // Whoever may create one may edit it, and nobody locks everybody out.
    let own = |body: &Value| world.control_call(Method::PATCH, &path).bearer(&token).json(body).send();
    assert_eq!(own(&json!({ "label": "mine" })).status, 200);
    let foreign = world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].clone();
    let foreign = format!("/api/v1/tokens/{}", foreign.as_str().expect("an id"));
    let call = world.control_call(Method::PATCH, &foreign).bearer(&token).json(&json!({ "label": "x" }));
    call.send().assert_refused(404, "not_found");
    let last = world.as_admin(Method::PATCH, &foreign).json(&json!({ "restrictions": ["/rest/x"] })).send();
    last.assert_refused(409, "last_sysadmin_token");
    world.set(&json!({ "only_admins_create": true }));
    own(&json!({ "label": "mine" })).assert_refused(403, "only_admins_create");
}
