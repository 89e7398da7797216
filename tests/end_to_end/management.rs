//! Users and tokens by REST: through the real binary, on real SQLite.

use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;
use tests::{Token, World, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// A call of the API through Envoy, as this user.
fn as_user(world: &World, user: &str, token: &Token, method: Method, path: &str) -> tests::Call {
    world.request(method, path).basic(user, token)
}

#[test]
fn the_api_answers_through_the_proxy_and_directly_and_judges_tokens_by_the_same_rules() {
    let world = World::start();
    let token = world.token_for("alice");
    for (through_proxy, name) in [(true, "the proxy"), (false, "the control plane")] {
        let get = |path: &str| if through_proxy { world.get(path) } else { world.control_get(path) };
        let list = get("/api/v1/tokens").basic("alice", &token).send();
        assert_eq!(
            (list.status.as_u16(), list.json["items"][0]["id"].as_str()),
            (200, Some(token.id.as_str())),
            "{name}"
        );
        get("/api/v1/tokens").basic("bob", &token).send().assert_refused(401, "wrong_user");
        get("/api/v1/tokens").bearer("tgt_oops").send().assert_refused(401, "mistyped_token");
        get("/api/v1/tokens").header("authorization", b"Basic !").send().assert_refused(400, "bad_credentials");
        get("/api/v1/tokens").basic("alice", "wonderland").send().assert_refused(401, "wrong_password");
        get("/api/v1/tokens").send().assert_refused(401, "credentials_required");
        get("/api/v1/users").basic("alice", &token).send().assert_refused(403, "forbidden");
        // An identity header is nobody's word, from whatever side it comes.
        let claimed = get("/api/v1/users").header("x-forwarded-user", b"admin").send();
        claimed.assert_refused(401, "credentials_required");
        let claimed = get("/api/v1/users").basic("alice", &token).header("x-forwarded-user", b"admin").send();
        claimed.assert_refused(403, "forbidden");
    }
}

#[test]
fn m5_a_user_manages_own_tokens_and_no_others() {
    let world = World::start();
    let (alice, bob) = (world.token_for("alice"), world.token_for("bob"));
    let body = json!({ "label": "  my script  ", "expires_at": "2099-01-01T00:00:00Z" });
    let created = as_user(&world, "alice", &alice, Method::POST, "/api/v1/tokens").json(&body).send();
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!((&created.json["label"], &created.json["owner"]), (&json!("my script"), &json!("alice")));
    assert_eq!(created.json["expires_at"], "2099-01-01T00:00:00Z");
    let path = format!("/api/v1/tokens/{}", created.json["id"].as_str().unwrap());
    let shown = as_user(&world, "alice", &alice, Method::GET, &path).send();
    assert_eq!((shown.status.as_u16(), shown.json["token"].clone()), (200, Value::Null), "it is shown once");

    as_user(&world, "bob", &bob, Method::GET, &path).send().assert_refused(404, "not_found");
    as_user(&world, "bob", &bob, Method::DELETE, &path).send().assert_refused(404, "not_found");
    let for_alice = json!({ "label": "x", "owner": "alice" });
    as_user(&world, "bob", &bob, Method::POST, "/api/v1/tokens")
        .json(&for_alice)
        .send()
        .assert_refused(403, "forbidden");
    let for_nobody = json!({ "label": "x", "owner": "nobody" });
    as_user(&world, "bob", &bob, Method::POST, "/api/v1/tokens")
        .json(&for_nobody)
        .send()
        .assert_refused(403, "forbidden");
    as_user(&world, "bob", &bob, Method::GET, "/api/v1/tokens?owner=alice").send().assert_refused(403, "forbidden");
    as_user(&world, "bob", &bob, Method::GET, "/api/v1/tokens?all=true").send().assert_refused(403, "forbidden");
    as_user(&world, "bob", &bob, Method::GET, "/api/v1/users/alice").send().assert_refused(404, "not_found");
    assert_eq!(as_user(&world, "bob", &bob, Method::GET, "/api/v1/users/BOB").send().status, 200);

    assert_eq!(as_user(&world, "alice", &alice, Method::DELETE, &path).send().status, 204);
    as_user(&world, "alice", &alice, Method::DELETE, &path).send().assert_refused(404, "not_found");
    as_user(&world, "alice", &alice, Method::GET, &path).send().assert_refused(404, "not_found");
}

#[test]
fn s6_sysadmins_create_list_and_delete_for_others_and_never_see_the_token_again() {
    let world = World::start();
    let token = world.token_for("alice");
    let list = world.as_admin(Method::GET, "/api/v1/tokens?owner=ALICE").send();
    assert_eq!(list.json["items"][0]["id"], token.id);
    let all = world.as_admin(Method::GET, "/api/v1/tokens?all=true").send();
    assert_eq!(all.json["items"].as_array().map(Vec::len), Some(2), "{}", all.text);
    for text in [list.text, all.text, world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send().text]
    {
        assert!(!text.contains("tgt_"), "{text}");
    }
    let page = world.as_admin(Method::GET, "/api/v1/tokens?all=true&limit=1").send();
    let next = page.json["next"].as_str().expect("there is more");
    let rest = world.as_admin(Method::GET, &format!("/api/v1/tokens?all=true&limit=1&after={next}")).send();
    assert_eq!(
        (rest.json["items"][0]["id"].as_str(), rest.json["next"].clone()),
        (Some(token.id.as_str()), Value::Null)
    );
}

#[test]
fn m8_deleting_a_user_stops_its_tokens_everywhere_and_frees_the_name() {
    let world = World::start();
    let token = world.token_for("alice");
    assert_eq!(world.as_admin(Method::DELETE, "/api/v1/users/Alice").send().status, 204);
    eventually_within(Duration::from_secs(1), "the token is refused", || {
        (world.get(ISSUE).basic("alice", &token).send().json["code"] == "token_deleted").then_some(())
    });
    world.control_get("/api/v1/tokens").basic("alice", &token).send().assert_refused(401, "token_deleted");
    world.as_admin(Method::GET, "/api/v1/users/alice").send().assert_refused(404, "not_found");
    // Somebody else of that name inherits nothing.
    let new = world.token_for("alice");
    world.get(ISSUE).basic("alice", &new).send().assert_user(Some("alice"));
    world.get(ISSUE).basic("alice", &token).send().assert_refused(401, "token_deleted");
    assert_eq!(
        world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send().json["items"].as_array().map(Vec::len),
        Some(1)
    );
    world.as_admin(Method::DELETE, "/api/v1/users/admin").send().assert_refused(409, "last_sysadmin");
}

#[test]
fn the_last_token_of_a_sysadmin_can_be_deleted_only_after_another_was_made() {
    let world = World::start();
    let list = world.as_admin(Method::GET, "/api/v1/tokens").send();
    let first = format!("/api/v1/tokens/{}", list.json["items"][0]["id"].as_str().expect("an id"));
    world.as_admin(Method::DELETE, &first).send().assert_refused(409, "last_sysadmin_token");
    world.new_token(&json!({ "label": "not yet", "valid_from": "2100-01-01T00:00:00Z" }));
    world.as_admin(Method::DELETE, &first).send().assert_refused(409, "last_sysadmin_token");
    let second = world.new_token(&json!({ "label": "another" }));
    assert_eq!(world.as_admin(Method::DELETE, &first).send().status, 204);
    assert_eq!(world.control_get("/api/v1/users").bearer(&second).send().status, 200);
    // Another sysadmin without a token could not administer either.
    let call = |method, path: &str| world.control_call(method, path).bearer(&second);
    let root = json!({ "name": "root", "sysadmin": true });
    assert_eq!(call(Method::POST, "/api/v1/users").json(&root).send().status, 201);
    call(Method::DELETE, "/api/v1/users/admin").send().assert_refused(409, "last_sysadmin_token");
    let third = json!({ "label": "root's", "owner": "root" });
    assert_eq!(call(Method::POST, "/api/v1/tokens").json(&third).send().status, 201);
    assert_eq!(call(Method::DELETE, "/api/v1/users/admin").send().status, 204);
    call(Method::GET, "/api/v1/users").send().assert_refused(401, "token_deleted");
}

#[test]
fn bad_input_gets_a_clear_error_and_changes_nothing() {
    let world = World::start();
    world.create_user("alice");
    let long = "x".repeat(201);
    let revision = || world.control_get("/readyz").send().json["revision"].clone();
    let before = revision();
    for (path, body, word) in [
        ("users", json!({ "name": "" }), "name"),
        ("users", json!({ "name": "a:b" }), "name"),
        ("users", json!({ "name": "a\r\nx-forwarded-user: admin" }), "name"),
        ("users", json!({ "name": " a" }), "name"),
        ("users", json!({ "name": "tgt_x" }), "name"),
        ("users", json!({ "name": "a".repeat(256) }), "name"),
        ("users", json!({ "name": "x tgt_y" }), "name"),
        ("users", json!({ "name": "DOM\\bob" }), "name"),
        ("users", json!({ "name": "a/b" }), "name"),
        ("users", json!({ "name": ".." }), "name"),
        ("users", json!({ "name": "Tokengate" }), "name"),
        ("tokens", json!({ "label": format!("for {}", world.admin_token()) }), "label"),
        ("users", json!({ "name": "carol", "email": "nobody" }), "email"),
        ("users", json!({ "name": "carol", "admin": true }), "admin"),
        ("users", json!({ "name": 1 }), "string"),
        ("users", json!({}), "name"),
        ("users", json!([]), "object"),
        ("users", json!(["carol", null, true]), "object"),
        ("tokens", json!({}), "label"),
        ("tokens", json!({ "label": "  " }), "label"),
        ("tokens", json!({ "label": long }), "label"),
        ("tokens", json!({ "label": "a\u{7}b" }), "label"),
        ("tokens", json!({ "label": "x", "owner": "nobody" }), "owner"),
        ("tokens", json!({ "label": "x", "expires_at": "tomorrow" }), "expires_at"),
        ("tokens", json!({ "label": "x", "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
        (
            "tokens",
            json!({ "label": "x", "valid_from": "2099-01-01T00:00:00Z", "expires_at": "2098-01-01T00:00:00Z" }),
            "expires_at",
        ),
        ("tokens", json!({ "label": "x", "restriction": [".*"] }), "restriction"),
    ] {
        let reply = world.as_admin(Method::POST, &format!("/api/v1/{path}")).json(&body).send();
        reply.assert_refused(400, "bad_request");
        assert!(reply.json["detail"].as_str().unwrap().contains(word), "{body}: {}", reply.text);
    }
    for (name, email) in [
        ("ALICE", "other@example.org"),
        ("carol", "Alice@Example.org"),
        ("alice@example.org", "carol@example.org"), // a name that is another's address would speak for both
    ] {
        let body = json!({ "name": name, "email": email });
        world.as_admin(Method::POST, "/api/v1/users").json(&body).send().assert_refused(409, "user_exists");
    }
    let post = || world.as_admin(Method::POST, "/api/v1/users");
    post().body("application/json", "{\"name\": \"x\", \"name\": \"y\"}").send().assert_refused(400, "bad_request");
    post().body("application/json", "{\"name\": ").send().assert_refused(400, "bad_request");
    post().body("text/plain", "{\"name\": \"x\"}").send().assert_refused(415, "unsupported_media_type");
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(200_000));
    post().body("application/json", &huge).send().assert_refused(413, "body_too_large");
    world.as_admin(Method::PUT, "/api/v1/users").send().assert_refused(405, "method_not_allowed");
    world.as_admin(Method::GET, "/api/v1/nothing").send().assert_refused(404, "not_found");
    world.as_admin(Method::GET, "/api/v1/tokens?limit=0").send().assert_refused(400, "bad_request");
    world.as_admin(Method::GET, "/api/v1/tokens?limit=1001").send().assert_refused(400, "bad_request");
    world.as_admin(Method::GET, "/api/v1/tokens?all=true&owner=alice").send().assert_refused(400, "bad_request");
    world.as_admin(Method::GET, "/api/v1/tokens?al=true").send().assert_refused(400, "bad_request");
    assert_eq!(revision(), before, "nothing was changed");
}

#[test]
fn a5_every_answered_change_survives_kill_9_together_with_its_audit_record() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.create_user("alice");
    let mut kept = Vec::new();
    for round in 0..5 {
        for number in 0..10 {
            kept.push(world.new_token(&json!({ "label": format!("{round}.{number}"), "owner": "alice" })));
        }
        world.delete_token(&kept.remove(0));
        world.kill_control_plane();
        world.start_control_plane();
        let list = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice&limit=1000").send();
        let ids: Vec<_> =
            list.json["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, kept.iter().map(|token| token.id.clone()).collect::<Vec<_>>());
    }
    world.stop_control_plane();
    // As many audit records as revisions, but for the first start, which is one revision with two; and all tokens.
    let audit = world.audit();
    let count = |action: &str| audit.iter().filter(|row| row.contains(action)).count();
    assert_eq!((count("|token.create|"), count("|token.delete|"), count("|user.create|")), (51, 5, 2), "{audit:#?}");
    assert!(audit.iter().all(|row| !row.contains("tgt_")));
}

#[test]
fn attack_a_deleted_user_with_creations_waiting_behind_the_deletion_keeps_no_token() {
    let world = World::start();
    for round in 0..3 {
        let name = format!("mallory-{round}");
        let token = world.token_for(&name);
        let created: Vec<String> = std::thread::scope(|scope| {
            let create = || {
                let mut created = Vec::new();
                for _ in 0..6 {
                    let call = world.control_call(Method::POST, "/api/v1/tokens").basic(&name, &token);
                    let reply = call.json(&json!({ "label": "ghost" })).send();
                    created.extend(reply.json["token"].as_str().map(str::to_owned));
                }
                created
            };
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(create)).collect();
            let path = format!("/api/v1/users/{name}");
            assert_eq!(world.as_admin(Method::DELETE, &path).send().status, 204);
            threads.into_iter().flat_map(|thread| thread.join().expect("it ran")).collect()
        });
        world.create_user(&name); // somebody else of that name, who must not get them either
        let revision = world.control_get("/readyz").send().json["revision"].as_u64();
        eventually("the proxy has everything", || {
            (world.get("/.well-known/tokengate/ready").send().json["revision"].as_u64() == revision).then_some(())
        });
        for ghost in &created {
            world.get(ISSUE).bearer(ghost).send().assert_refused(401, "token_deleted");
            world.control_get("/api/v1/tokens").bearer(ghost).send().assert_refused(401, "token_deleted");
        }
        println!("round {round}: {} tokens were made before the deletion took its turn", created.len());
    }
}

#[test]
fn attack_a_second_control_plane_on_the_same_data_would_hide_its_changes_from_the_first_ones_proxies() {
    let world = World::start();
    let said = why_it_does_not_serve(&world);
    assert!(said.contains("another tokengate serves this data directory"), "{said}");
}

#[test]
fn a_new_master_key_is_said_when_it_is_made_and_at_no_other_time() {
    let world = World::prepare(1);
    let sync_key = || {
        let output =
            Command::new(&world.site.tools.tokengate).args(["sync-key", "--data"]).arg(&world.site.data).output();
        let output = output.expect("it runs");
        assert!(output.status.success());
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (first, said) = sync_key();
    assert!(said.contains("made a new master key"), "{said}");
    let (again, said) = sync_key();
    assert_eq!((again, said.as_str()), (first, ""), "a key that is there is neither replaced nor announced");
}

/// What one more `tokengate serve` on the same data says before it gives up.
fn why_it_does_not_serve(world: &World) -> String {
    let output = Command::new(&world.site.tools.tokengate)
        .args(["serve", "--data"])
        .arg(&world.site.data)
        .args(["--listen", &format!("127.0.0.1:{}", tests::free_port())])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn attack_half_a_request_holds_up_neither_a_graceful_stop_nor_a_place_for_ever() {
    use std::io::{Read as _, Write as _};
    let mut world = World::prepare(1);
    world.start_control_plane();
    let connect = || std::net::TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
    let mut head = connect();
    head.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").expect("half a head");
    let credential = tests::basic("admin", &world.admin_token());
    let mut body = connect();
    let request = format!(
        "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\nContent-Type: application/json\r\n\
         Content-Length: 500\r\n\r\n{{"
    );
    body.write_all(request.as_bytes()).expect("half a body");
    body.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut reply = [0; 512];
    let length = loop {
        match body.read(&mut reply) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            length => break length.expect("a reply"),
        }
    };
    let reply = String::from_utf8_lossy(&reply[..length]).into_owned();
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("no-store"), "{reply}");
    assert!(world.stop_control_plane(), "it stops by itself, whoever hangs on");
    drop(head);
}

#[test]
fn attack_connections_that_use_up_all_files_are_an_outage_only_while_they_last() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.stop_control_plane();
    // So few files that a hundred connections are too many.
    let arguments = ["--nofile=90:90", &world.site.tools.tokengate.display().to_string(), "serve"].map(String::from);
    let variables = [
        ("TOKENGATE_DATA", world.site.data.display().to_string()),
        ("TOKENGATE_LISTEN", format!("127.0.0.1:{}", world.site.ports.control)),
    ];
    let log = world.site.log("control-plane");
    let prlimit = std::path::Path::new("/usr/bin/prlimit");
    let _process =
        tests::process::Process::start("few files", prlimit, &arguments, &variables, &log).expect("it starts");
    let healthy = || world.control_get("/healthz").send().status == 200;
    eventually("it answers", || healthy().then_some(()));
    let held: Vec<_> =
        (0..150).map_while(|_| std::net::TcpStream::connect(("127.0.0.1", world.site.ports.control)).ok()).collect();
    assert!(held.len() > 100);
    drop(held);
    eventually("it answers again", || healthy().then_some(()));
}

#[test]
fn d1_files_are_for_their_owner_alone_even_in_a_directory_that_others_see() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::prepare(1);
    fs::create_dir(&world.site.data).expect("a directory");
    fs::set_permissions(&world.site.data, fs::Permissions::from_mode(0o755)).expect("a mode");
    world.start_control_plane();
    let files: Vec<_> =
        fs::read_dir(&world.site.data).expect("files").map(|file| file.expect("a file").path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let mode = fs::metadata(&file).expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
}

#[test]
fn a_graceful_stop_answers_what_is_under_way_and_does_not_wait_for_hanging_proxies() {
    let mut world = World::start();
    world.token_for("alice"); // so a proxy hangs on the feed
    let started = std::time::Instant::now();
    assert!(world.stop_control_plane(), "it stops by itself");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(world.log("control-plane").contains("stopped"));
}

#[test]
fn attack_a_client_that_hangs_up_in_the_middle_of_a_change_leaves_proxies_and_database_agreed() {
    let world = World::start();
    world.create_user("alice");
    let credential = tests::basic("admin", &world.admin_token());
    let body = r#"{"label":"abandoned","owner":"alice"}"#;
    let request = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for delay in 0..40 {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
        stream.write_all(request.as_bytes()).expect("sent");
        // Some hang up before their request is read, some while it is worked on, some after.
        std::thread::sleep(Duration::from_micros(250 * delay));
        drop(stream);
    }
    let revision_of_proxy = || world.get("/.well-known/tokengate/ready").send().json["revision"].as_u64();
    let token = world.token_for("alice");
    let list = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice&limit=1000").send();
    let abandoned = list.json["items"].as_array().unwrap().iter().filter(|item| item["label"] == "abandoned").count();
    assert!(abandoned > 0, "some were made: {}", list.text);
    eventually("the proxy has all of them", || {
        let ready = world.control_get("/readyz").send().json;
        assert_eq!(ready["tokens"].as_u64(), Some(abandoned as u64 + 2), "the image shows what the database has");
        (revision_of_proxy() == ready["revision"].as_u64()).then_some(())
    });
    world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
}

#[test]
fn a_wrong_master_key_or_an_exposed_one_is_refused_with_its_remedy() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.stop_control_plane();
    let file = world.site.data.join("master.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(why_it_does_not_serve(&world).contains("chmod 600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::write(&file, "00".repeat(32)).expect("another key");
    assert!(why_it_does_not_serve(&world).contains("master key is not the one"));
}

/// The key and the tokens of `corpus/database-m0001.sql`, which the program of that time wrote.
const M0001_MASTER_KEY: &str = "5b83999bc8229e2eae98123da495ae52e573158a4608532567ebd0ec4fd5537b\n";
const M0001_ADMIN: &str = "tgt_qbtniRk36RZWv3OQcdzZFnXIR1OoH2G4N3vsZEi";
const M0001_ALICE: &str = "tgt_SRXIvvDIptRekNgp0cNLA5W5NmCpKtpeM2AhUK0";

#[test]
fn d3_a_database_of_an_older_release_loses_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::prepare(1);
    fs::create_dir(&world.site.data).expect("a directory");
    let key = world.site.data.join("master.key");
    fs::write(&key, M0001_MASTER_KEY).expect("the key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())";
    let mut python = Command::new(&world.site.tools.python)
        .args(["-c", script])
        .arg(world.site.data.join("tokengate.db"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("python runs");
    let dump = include_bytes!("../corpus/database-m0001.sql");
    std::io::Write::write_all(&mut python.stdin.take().expect("a pipe"), dump).expect("python reads");
    assert!(python.wait().expect("python ends").success());

    world.start_control_plane();
    let admin = |path: &str| world.control_get(path).basic("admin", M0001_ADMIN).send().json;
    let tokens = admin("/api/v1/tokens?all=true")["items"].clone();
    let seen: Vec<_> =
        tokens.as_array().expect("a list").iter().map(|token| (&token["label"], &token["owner"])).collect();
    assert_eq!(seen, [(&json!("first start"), &json!("admin")), (&json!("ci"), &json!("alice"))]);
    assert_eq!(tokens[1]["expires_at"], "2100-01-01T00:00:00Z");
    assert_eq!((&tokens[1]["scope"], &tokens[1]["unbound"]), (&json!("full"), &json!(false)));
    assert_eq!(admin("/api/v1/users")["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.audit().len(), 8);
    world.start_envoy();
    world.wait_until_ready();
    world.get(ISSUE).basic("alice@example.org", M0001_ALICE).send().assert_user(Some("alice"));
    // And it goes on: new tokens have new numbers.
    let new = world.control_call(Method::POST, "/api/v1/tokens").bearer(M0001_ALICE);
    assert_eq!(new.json(&json!({ "label": "new" })).send().status, 201);
}

#[test]
fn attack_an_imported_token_that_nobody_has_in_the_place_of_the_last_sysadmins() {
    let world = World::start();
    let id = world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].as_str().unwrap().to_owned();
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let import = |sha256: &str| {
        let body = json!({ "label": "x", "sha256": sha256 });
        world.as_admin(Method::POST, "/api/v1/tokens").json(&body).send()
    };
    import(nothing).assert_refused(400, "bad_request");
    import("xyz").assert_refused(400, "bad_request");
    let sha256 = "0".repeat(64);
    assert_eq!(import(&sha256).status, 201);
    import(&sha256).assert_refused(409, "token_exists");
    let last = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{id}")).send();
    last.assert_refused(409, "last_sysadmin_token");
}
