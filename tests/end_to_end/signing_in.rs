//! Users and their passwords at the API (M8): who checks them, how fast they can be tried, and what is left of it.

use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tests::{Call, Reply, World, eventually};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const SELF: &str = "/api/v1/users/alice";
const PASSWORD: &str = "correct horse battery staple";

/// Every address but those of two networks (RFC 5737) from which the clients of these tests come. Of a client on this
/// machine Envoy says that it has Envoy's own address, which nobody knows here.
const ALL_BUT_CLIENTS: &str = "0.0.0.0-198.51.99.255,198.51.101.0-203.0.112.255,203.0.114.0-255.255.255.255,::/0";

fn prepare(workers: u32) -> World {
    let mut world = World::prepare(workers);
    world.site.control_variables.push(("TOKENGATE_TRUSTED_PROXIES", ALL_BUT_CLIENTS.into()));
    world
}

/// A Tokengate whose control plane believes what this machine says of where clients are.
fn world() -> World {
    let mut world = prepare(2);
    world.start_both();
    world
}

/// The same without Envoy: for what does not concern it.
fn control_plane() -> World {
    let mut world = prepare(1);
    world.start_control_plane();
    world
}

fn create(world: &World, user: &Value) {
    let reply = world.as_admin(Method::POST, "/api/v1/users").json(user).send();
    assert_eq!((reply.status.as_u16(), &reply.json["has_password"]), (201, &json!(!user["password"].is_null())));
}

fn change_settings(world: &World, settings: &Value) -> Reply {
    world.as_admin(Method::PATCH, "/api/v1/settings").json(settings).send()
}

/// Lets the demo backend check passwords; gives the path at which it is asked.
fn let_backend_check(world: &World) -> &'static str {
    let url = format!("http://127.0.0.1:{}/probe", world.site.ports.backend);
    let settings = json!({ "password_check": "backend", "password_probe_url": url });
    assert_eq!(change_settings(world, &settings).status, 200);
    "/probe"
}

fn set_password(call: Call, body: &Value) -> Reply {
    call.json(body).send()
}

fn as_alice(world: &World, password: &str) -> Reply {
    world.control_get(SELF).basic("alice", password).send()
}

fn from(world: &World, address: &str, user: &str, password: &str) -> Reply {
    let call = world.control_get("/api/v1/tokens").header("x-forwarded-for", address.as_bytes());
    call.basic(user, password).send()
}

/// What a reply says apart from the request's id.
fn said(reply: &Reply) -> (u16, Value) {
    let mut said = reply.json.clone();
    said["request_id"].take();
    (reply.status.as_u16(), said)
}

#[test]
fn m8_a_local_password_signs_in_directly_and_through_the_proxy_and_nowhere_else() {
    let world = world();
    create(&world, &json!({ "name": "alice", "email": "alice@example.org", "password": PASSWORD }));
    create(&world, &json!({ "name": "bob" }));
    for directly in [true, false] {
        let get = |path: &str| if directly { world.control_get(path) } else { world.get(path) };
        for name in ["alice", "ALICE", "Alice@Example.org"] {
            let reply = get(SELF).basic(name, PASSWORD).send();
            assert_eq!((reply.status.as_u16(), &reply.json["name"]), (200, &json!("alice")), "{}", reply.text);
        }
        get("/api/v1/users").basic("alice", PASSWORD).send().assert_refused(403, "forbidden");
        get(SELF).basic("alice", "Correct horse battery staple").send().assert_refused(401, "wrong_password");
        get(SELF).basic("alice", "").send().assert_refused(401, "wrong_password");
        get(SELF).basic("bob", PASSWORD).send().assert_refused(401, "wrong_password");
        get(SELF).basic("bob", "").send().assert_refused(401, "wrong_password");
        get(SELF).basic("", PASSWORD).send().assert_refused(401, "wrong_password");
        get(SELF).basic("\u{0}", PASSWORD).send().assert_refused(400, "bad_credentials");
        // What begins like a token is never tried as a password; nor is anything but Basic.
        get(SELF).basic("alice", "tgt_oops").send().assert_refused(401, "mistyped_token");
        get(SELF).bearer("correct").send().assert_refused(401, "credentials_required");
        let on_behalf = get(SELF).basic("alice", PASSWORD).header("contextuser", b"bob").send();
        on_behalf.assert_refused(403, "on_behalf_of_refused");
    }
    // What she does is hers, and says that she came with no token.
    let token = world.control_call(Method::POST, "/api/v1/tokens").basic("alice", PASSWORD);
    let token = token.json(&json!({ "label": "mine" })).send();
    assert_eq!((token.status.as_u16(), &token.json["owner"]), (201, &json!("alice")), "{}", token.text);
    let made = "select actor, actor_token from audit where action = 'token.create' order by id desc limit 1";
    assert_eq!(world.rows(made), ["alice|None"]);
    let create = || world.control_call(Method::POST, "/api/v1/tokens").json(&json!({ "label": "another" }));
    world.set(&json!({ "only_admins_create": true }));
    create().basic("alice", PASSWORD).send().assert_refused(403, "only_admins_create");
    // To the backend it is a foreign password, as it ever was.
    assert_eq!(world.get(ISSUE).basic("alice", PASSWORD).send().status, 401);
    assert_eq!(world.failed_logins(), 1);

    world.set(&json!({ "ip_rules": ["203.0.113.17", "127.0.0.1"] }));
    from(&world, "203.0.113.18", "alice", PASSWORD).assert_refused(403, "ip_not_allowed");
    assert_eq!(from(&world, "203.0.113.17", "alice", PASSWORD).status, 200);
    world.set(&json!({ "password_check": "none", "ip_rules": [] }));
    as_alice(&world, PASSWORD).assert_refused(401, "credentials_required");
    world.get(SELF).basic("alice", PASSWORD).send().assert_refused(401, "credentials_required");
}

#[test]
fn m8_passwords_are_set_by_oneself_or_by_a_sysadmin_and_a_stolen_token_does_not_take_an_account() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice" }));
    create(&world, &json!({ "name": "bob" }));
    let token = world.new_token(&json!({ "label": "x", "owner": "alice" }));
    let read_only = world.new_token(&json!({ "label": "x", "owner": "alice", "scope": "read_only" }));
    let path = "/api/v1/users/Alice/password";
    let put = || world.control_call(Method::PUT, path);
    let delete = || world.control_call(Method::DELETE, path);
    let body = |password: &str| json!({ "password": password });

    for (password, word) in
        [("short", "8 characters"), ("tgt_12345678", "token"), ("line\nline\nline", "control"), ("", "8 characters")]
    {
        let reply = set_password(put().bearer(&token), &body(password));
        reply.assert_refused(400, "bad_request");
        assert!(reply.json["detail"].as_str().unwrap().contains(word), "{}", reply.text);
    }
    set_password(put(), &body("first password")).assert_refused(401, "credentials_required");
    set_password(put().bearer(&read_only), &body("first password")).assert_refused(403, "cannot_manage");
    let others = world.control_call(Method::PUT, "/api/v1/users/bob/password");
    set_password(others.bearer(&token), &body("first password")).assert_refused(404, "not_found");
    let nobodys = world.control_call(Method::PUT, "/api/v1/users/nobody/password");
    set_password(nobodys.bearer(&token), &body("first password")).assert_refused(404, "not_found");
    as_alice(&world, "first password").assert_refused(401, "wrong_password");
    assert_eq!(set_password(put().bearer(&token), &body("first password")).status, 204);
    assert_eq!(as_alice(&world, "first password").status, 200);

    // From now on it takes more than the token.
    set_password(put().bearer(&token), &body("second password")).assert_refused(403, "wrong_current_password");
    let guess = json!({ "password": "second password", "current_password": "third password" });
    set_password(put().bearer(&token), &guess).assert_refused(403, "wrong_current_password");
    delete().bearer(&token).send().assert_refused(403, "wrong_current_password");
    assert_eq!(as_alice(&world, "first password").status, 200);
    let both = json!({ "password": "second password", "current_password": "first password" });
    assert_eq!(set_password(put().bearer(&token), &both).status, 204);
    as_alice(&world, "first password").assert_refused(401, "wrong_password");
    assert_eq!(set_password(put().basic("alice", "second password"), &body("third password")).status, 204);
    as_alice(&world, "second password").assert_refused(401, "wrong_password");
    assert_eq!(delete().basic("alice", "third password").send().status, 204);
    as_alice(&world, "third password").assert_refused(401, "wrong_password");

    // A sysadmin needs to know none, and gives one in exchange for another version of the user.
    assert_eq!(set_password(world.as_admin(Method::PUT, path), &body("given password")).status, 204);
    let seen = world.as_admin(Method::GET, SELF).send();
    let etag = seen.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(seen.json["has_password"], true);
    let again = || world.as_admin(Method::PUT, path).header("if-match", etag.as_bytes());
    assert_eq!(set_password(again(), &body("other password")).status, 204);
    set_password(again(), &body("third password")).assert_refused(412, "precondition_failed");
    assert_eq!(world.as_admin(Method::DELETE, path).send().status, 204);
    assert_eq!(world.as_admin(Method::DELETE, path).send().status, 204);
    assert_eq!(world.rows("select password_hash from users where name = 'alice'"), ["None"]);
    let told = world.rows("select actor, subject, detail from audit where action = 'user.password' order by id");
    assert_eq!(told.len(), 7, "{told:?}");
    assert_eq!(told[0], r#"alice|alice|{"after":{"password":true},"before":{"password":false}}"#);
    assert_eq!(told[6], r#"admin|alice|{"after":{"password":false},"before":{"password":true}}"#);
}

#[test]
fn attack_the_current_password_is_not_guessed_by_a_stolen_token() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice", "password": PASSWORD }));
    let token = world.new_token(&json!({ "label": "x", "owner": "alice" }));
    let guess = |guess: &str| {
        let body = json!({ "password": "the thief's own", "current_password": guess });
        let call = world.control_call(Method::PUT, "/api/v1/users/alice/password");
        call.bearer(&token).header("x-forwarded-for", b"203.0.113.11").json(&body).send()
    };
    for number in 0..5 {
        guess(&format!("guess {number}")).assert_refused(403, "wrong_current_password");
    }
    guess(PASSWORD).assert_refused(429, "too_many_attempts");
    assert_eq!(from(&world, "203.0.113.12", "alice", PASSWORD).status, 200);
}

#[test]
fn m8_the_backend_checks_passwords_and_its_users_become_ours_where_that_is_switched_on() {
    let world = world();
    let probe = let_backend_check(&world);
    for get in [world.control_get(SELF), world.get(SELF)] {
        get.basic("alice", "wonderland").send().assert_refused(403, "not_a_user");
    }
    world.set(&json!({ "create_users_on_sign_in": true }));
    world.control_get("/api/v1/users/eve").basic("eve", "wonderland").send().assert_refused(401, "wrong_password");
    let alice = world.get(SELF).basic("alice", "wonderland").send();
    assert_eq!((alice.status.as_u16(), &alice.json["name"]), (200, &json!("alice")), "{}", alice.text);
    assert_eq!((&alice.json["sysadmin"], &alice.json["has_password"]), (&json!(false), &json!(false)));
    let users = world.as_admin(Method::GET, "/api/v1/users").send();
    assert_eq!(users.json["items"].as_array().map(Vec::len), Some(2), "nobody else: {}", users.text);
    let made = "select actor, subject from audit where action = 'user.create' order by id desc limit 1";
    assert_eq!(world.rows(made), ["tokengate|alice"]);
    assert_eq!(world.failed_logins(), 2, "eve, and nobody, who was asked about before the first yes was believed");

    // The backend is asked for the user's name, whatever was typed: there somebody else may have that address for a name.
    world.edit_user("alice", &json!({ "email": "alice@example.org" }));
    assert_eq!(world.control_get(SELF).basic("ALICE@example.org", "wonderland").send().status, 200);
    let asked = world.received(probe);
    let as_alice_asked = tests::basic("alice", "wonderland");
    assert_eq!(asked.last().expect("a question")["headers"]["authorization"], json!(as_alice_asked));
    assert_eq!(asked.last().expect("a question")["method"], "GET");
    assert_eq!(asked.len(), 6, "one question for each, and one about nobody");
    // A local password is none meanwhile, and an empty one is never asked for.
    assert_eq!(
        set_password(world.as_admin(Method::PUT, "/api/v1/users/alice/password"), &json!({ "password": PASSWORD }))
            .status,
        204
    );
    as_alice(&world, PASSWORD).assert_refused(401, "wrong_password");
    as_alice(&world, "").assert_refused(401, "wrong_password");
    assert_eq!(world.received(probe).len(), 7);
    world.edit_user("alice", &json!({ "suspended": true }));
    as_alice(&world, "wonderland").assert_refused(401, "user_suspended");
}

#[test]
fn attack_a_backend_that_gives_no_clear_answer_lets_nobody_in_and_gets_the_password_passed_on_to_nobody() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice" }));
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = elsewhere.local_addr().expect("an address").port();
    let (control, backend) = (world.site.ports.control, world.site.ports.backend);
    std::thread::spawn(move || {
        for stream in elsewhere.incoming() {
            let (mut stream, mut request) = (stream.expect("a connection"), [0; 4096]);
            let _ = stream.read(&mut request);
            let reply = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{backend}/redirected\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{control}/api/v1/nothing"),
        "http://127.0.0.1:1/".to_owned(),
        format!("http://127.0.0.1:{control}/healthz"), // which says yes to anybody
    ] {
        let settings = json!({ "password_check": "backend", "password_probe_url": url });
        assert_eq!(change_settings(&world, &settings).status, 200);
        // However often: nobody guessed anything.
        for _ in 0..7 {
            as_alice(&world, "wonderland").assert_refused(503, "password_check_failed");
        }
    }
    assert_eq!(world.received("/redirected").len(), 0);
    for why in ["Connection refused", "says yes to anybody"] {
        assert!(world.log("control-plane").contains(why), "the administrator is told why");
    }
    let_backend_check(&world);
    assert_eq!(as_alice(&world, "wonderland").status, 200);
    // A credential in the address does not stand beside the one that is to be looked at.
    let url = format!("http://eve:secret@127.0.0.1:{backend}/both");
    assert_eq!(change_settings(&world, &json!({ "password_probe_url": url })).status, 200);
    as_alice(&world, "wrong").assert_refused(401, "wrong_password");
    let seen = world.received("/both");
    assert_eq!(seen.last().expect("a question")["headers"]["authorization"], json!(tests::basic("alice", "wrong")));
}

#[test]
fn attack_guessing_is_slowed_down_and_costs_the_backend_no_more_failed_logins() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice" }));
    let_backend_check(&world);
    for number in 0..5 {
        from(&world, "203.0.113.11", "alice", &format!("guess {number}")).assert_refused(401, "wrong_password");
    }
    let held = from(&world, "203.0.113.11", "alice", "guess");
    held.assert_refused(429, "too_many_attempts");
    assert_eq!(held.headers["retry-after"], "1");
    from(&world, "203.0.113.11", "ALICE", "wonderland").assert_refused(429, "too_many_attempts");
    assert_eq!(world.failed_logins(), 5);
    // Nobody else is held up, and she is not held up elsewhere.
    from(&world, "203.0.113.11", "bob", "guess").assert_refused(401, "wrong_password");
    assert_eq!(from(&world, "203.0.113.12", "alice", "wonderland").status, 200);
    assert_eq!(world.as_admin(Method::GET, SELF).header("x-forwarded-for", b"203.0.113.11").send().status, 200);
    // After a failure more the pause is longer; after a success there is none.
    eventually("the pause is over", || {
        (from(&world, "203.0.113.11", "alice", "guess").json["code"] == "wrong_password").then_some(())
    });
    assert_eq!(from(&world, "203.0.113.11", "alice", "guess").headers["retry-after"], "2");
    eventually("the pause is over", || {
        (from(&world, "203.0.113.11", "alice", "wonderland").status == 200).then_some(())
    });
    from(&world, "203.0.113.11", "alice", "guess").assert_refused(401, "wrong_password");

    // All at once are not more, and the right password many times at once is right.
    let before = world.failed_logins();
    let all_at_once = |user: &'static str, password: &'static str| -> Vec<u16> {
        std::thread::scope(|scope| {
            let one = || from(&world, "203.0.113.13", user, password).status.as_u16();
            let all: Vec<_> = (0..20).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().expect("a status")).collect()
        })
    };
    let guessed = all_at_once("carol", "guess");
    assert_eq!(guessed.iter().filter(|status| **status == 401).count(), 5, "{guessed:?}");
    assert_eq!(guessed.iter().filter(|status| **status == 429).count(), 15, "{guessed:?}");
    assert_eq!(world.failed_logins(), before + 5);
    assert_eq!(all_at_once("alice", "wonderland"), [200; 20]);
}

#[test]
fn attack_through_the_proxy_clients_are_told_apart_by_the_address_that_it_saw() {
    let mut world = prepare(2);
    world.edit_config("xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1");
    world.start_both();
    create(&world, &json!({ "name": "alice", "password": PASSWORD }));
    let through = |address: &str, password: &str| {
        world.get(SELF).basic("alice", password).header("x-forwarded-for", address.as_bytes()).send()
    };
    for number in 0..5 {
        // What stands before it the client wrote.
        through(&format!("198.51.100.{number}, 203.0.113.11"), "wrong password").assert_refused(401, "wrong_password");
    }
    through("198.51.100.9, 203.0.113.11", PASSWORD).assert_refused(429, "too_many_attempts");
    assert_eq!(through("203.0.113.12", PASSWORD).status, 200);
}

#[test]
fn m8_suspending_or_deleting_a_user_stops_every_credential_at_once_and_everywhere() {
    let world = world();
    for (name, stop, token_code, password_code) in [
        ("alice", Method::PATCH, "owner_suspended", "user_suspended"),
        ("bob", Method::DELETE, "token_deleted", "wrong_password"),
    ] {
        create(&world, &json!({ "name": name, "password": PASSWORD }));
        let tokens: Vec<_> = (0..2).map(|_| world.token_for(name)).collect();
        let path = format!("/api/v1/users/{name}");
        assert_eq!(world.get(&path).basic(name, PASSWORD).send().status, 200);
        let call = world.as_admin(stop, &path);
        let reply = if name == "alice" { call.json(&json!({ "suspended": true })).send() } else { call.send() };
        assert!(reply.status.is_success(), "{}", reply.text);
        // At the control plane with the answer; in the proxies with the feed.
        let directly = |path: &str| world.control_get(path);
        directly(&path).basic(name, PASSWORD).send().assert_refused(401, password_code);
        directly(&path).bearer(&tokens[0]).send().assert_refused(401, token_code);
        world.wait_until_told();
        for token in &tokens {
            for path in [ISSUE, "/api/v1/tokens"] {
                world.get(path).bearer(token).send().assert_refused(401, token_code);
                world.get(path).basic(name, token).send().assert_refused(401, token_code);
            }
        }
        world.get(&path).basic(name, PASSWORD).send().assert_refused(401, password_code);
        // Whoever does not know the password is told nothing of it.
        directly(&path).basic(name, "wrong password").send().assert_refused(401, "wrong_password");
    }
    assert_eq!(world.received(ISSUE).len(), 0);
    assert_eq!(world.rows("select count(*) from users where name = 'bob' and password_hash is not null"), ["0"]);
    world.edit_user("alice", &json!({ "suspended": false }));
    assert_eq!(as_alice(&world, PASSWORD).status, 200);
}

#[test]
fn attack_nobody_learns_who_is_a_user_or_has_a_password() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice", "password": PASSWORD }));
    create(&world, &json!({ "name": "bob" }));
    // In turn, so that whatever else this machine does concerns all of them.
    let names = ["alice", "bob", "nobody", "nobody@example.org"];
    let mut fastest = [Duration::MAX; 4];
    for number in 0..10 {
        for (user, fastest) in names.into_iter().zip(&mut fastest) {
            let started = Instant::now();
            let reply = from(&world, &format!("198.51.100.{number}"), user, "wrong password");
            *fastest = started.elapsed().min(*fastest);
            let alice = from(&world, &format!("198.51.100.1{number}"), "alice", "wrong password");
            assert_eq!(said(&reply), said(&alice));
            assert_eq!(reply.status, 401);
        }
    }
    // Without a hash to look at, an answer takes a tenth of that.
    assert!(fastest.iter().all(|some| *some * 3 > fastest[0]), "{fastest:?}");
    for user in ["alice", "nobody"] {
        let codes: Vec<_> = (0..7).map(|_| from(&world, "203.0.113.1", user, "x").json["code"].clone()).collect();
        assert_eq!(codes, [vec![json!("wrong_password"); 5], vec![json!("too_many_attempts"); 2]].concat());
    }
}

#[test]
fn a1_sign_ins_are_in_the_audit_and_no_flood_fills_it() {
    let mut world = control_plane();
    create(&world, &json!({ "name": "alice", "password": PASSWORD }));
    let rows = |world: &World, action: &str| {
        let query = format!("select revision, actor, subject, detail from audit where action = '{action}' order by id");
        world.rows(&query)
    };
    for name in ["ALICE", "alice", "alice"] {
        assert_eq!(from(&world, "203.0.113.11", name, PASSWORD).status, 200);
    }
    assert_eq!(from(&world, "203.0.113.12", "alice", PASSWORD).status, 200);
    let signed_in =
        |name: &str, address: &str| format!(r#"0|alice|{name}|{{"address":"{address}","password_check":"local"}}"#);
    assert_eq!(rows(&world, "sign_in"), [signed_in("ALICE", "203.0.113.11"), signed_in("alice", "203.0.113.12")]);

    from(&world, "203.0.113.11", "Alice", "wrong password").assert_refused(401, "wrong_password");
    from(&world, "203.0.113.11", "line\nline \"x\"", "wrong password").assert_refused(401, "wrong_password");
    from(&world, "203.0.113.11", "pass word", "pass word").assert_refused(401, "wrong_password");
    let failed =
        |name: &str, reason: &str| format!(r#"0|/unknown|{name}|{{"address":"203.0.113.11","reason":"{reason}"}}"#);
    assert_eq!(
        rows(&world, "sign_in.failed"),
        [
            failed("alice", "wrong_password"),
            failed(r#"line\nline \"x\""#, "unknown_user"),
            failed("(unnamed)", "unknown_user"),
        ]
    );
    for number in 0..25 {
        from(&world, &format!("198.51.100.{number}"), "alice", "wrong password").assert_refused(401, "wrong_password");
    }
    for _ in 0..6 {
        from(&world, "203.0.113.1", "nobody", "wrong password");
    }
    assert_eq!(rows(&world, "sign_in.failed").len(), 20);
    // What was not told one by one is told as a number; and nothing is lost by a crash but that.
    world.stop_control_plane();
    let last = rows(&world, "sign_in.failed").pop().expect("a row");
    assert_eq!(last, r#"0|tokengate|/unknown|{"held_up":1,"more_failures":13}"#);
    world.start_control_plane();
    assert_eq!(from(&world, "203.0.113.13", "alice", PASSWORD).status, 200);
    world.kill_control_plane();
    assert_eq!(rows(&world, "sign_in").pop().expect("a row"), signed_in("alice", "203.0.113.13"));
}

#[test]
fn attack_passwords_are_in_no_log_no_audit_and_no_database() {
    let mut world = world();
    let (right, wrong) = ("a-right-password-of-alices", "a-wrong-password-of-alices");
    create(&world, &json!({ "name": "alice", "password": right }));
    let mut seen = String::new();
    for check in ["local", "backend"] {
        if check == "backend" {
            let url = format!("http://127.0.0.1:1/{check}");
            assert_eq!(
                change_settings(&world, &json!({ "password_check": check, "password_probe_url": url })).status,
                200
            );
        }
        for password in [right, wrong] {
            for call in [world.control_get(SELF), world.get(SELF)] {
                seen += &call.basic("alice", password).send().text;
            }
            seen += &world.get(SELF).basic(password, password).send().text;
            let put = || world.as_admin(Method::PUT, "/api/v1/users/alice/password");
            for body in [
                json!({ "password": [password] }),
                json!({ "password": password, "current_password": { "x": password } }),
                json!({ "password": format!("{password}\n") }),
                json!({ "password": right, "current_password": password }),
            ] {
                seen += &put().json(&body).send().text;
            }
        }
    }
    seen += &world.audit().join("\n");
    assert!(seen.contains("password_check_failed") && seen.contains("wrong_password"), "the refusals were looked at");
    world.stop_control_plane();
    for part in ["envoy", "control-plane"] {
        seen += &world.log(part);
    }
    for password in [right, wrong] {
        let encoded = tests::basic("alice", password);
        assert!(!seen.contains(password) && !seen.contains(&encoded[..encoded.len() - 6]));
        for file in fs::read_dir(&world.site.data).expect("the data directory") {
            let bytes = fs::read(file.expect("a file").path()).expect("a file");
            assert!(!bytes.windows(password.len()).any(|window| window == password.as_bytes()));
        }
    }
    let hash = world.rows("select password_hash from users where name = 'alice'");
    assert!(hash[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash:?}");
    assert!(!seen.contains(&hash[0][..40]), "nor is its hash anywhere else");
}

#[test]
fn the_local_password_of_a_sysadmin_is_a_way_in_and_the_last_one_stays() {
    let world = control_plane();
    let path = "/api/v1/users/admin/password";
    let first = world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].clone();
    let first = format!("/api/v1/tokens/{}", first.as_str().expect("an id"));
    world.as_admin(Method::DELETE, &first).send().assert_refused(409, "last_sysadmin_token");
    assert_eq!(set_password(world.as_admin(Method::PUT, path), &json!({ "password": PASSWORD })).status, 204);
    assert_eq!(world.as_admin(Method::DELETE, &first).send().status, 204);
    let admin = |method: Method, path: &str| world.control_call(method, path).basic("admin", PASSWORD);
    admin(Method::DELETE, path).send().assert_refused(409, "last_sysadmin_token");
    for settings in [
        json!({ "password_check": "none" }),
        json!({ "password_check": "backend", "password_probe_url": "http://127.0.0.1:1/" }),
    ] {
        let patch = admin(Method::PATCH, "/api/v1/settings?force=true").json(&settings);
        patch.send().assert_refused(409, "last_sysadmin_token");
    }
    // Another sysadmin with neither is no help; with a password, enough.
    let other = |more: Value| {
        let mut user = json!({ "name": "root", "sysadmin": true });
        user.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        admin(Method::POST, "/api/v1/users").json(&user).send()
    };
    assert_eq!(other(json!({})).status, 201);
    admin(Method::DELETE, "/api/v1/users/admin").send().assert_refused(409, "last_sysadmin_token");
    assert_eq!(admin(Method::DELETE, "/api/v1/users/root").send().status, 204);
    assert_eq!(other(json!({ "password": "another password" })).status, 201);
    assert_eq!(admin(Method::DELETE, "/api/v1/users/admin").send().status, 204);
    assert_eq!(world.control_get("/api/v1/users").basic("root", "another password").send().status, 200);
}

#[test]
fn attack_a_change_by_somebody_whose_password_is_another_one_by_the_time_its_turn_comes() {
    let world = control_plane();
    create(&world, &json!({ "name": "alice", "password": PASSWORD }));
    // Creations wait for their turn while the password is taken away; none comes through afterwards.
    let revision_of = |action: &str| -> Vec<u64> {
        let query = format!("select revision from audit where action = '{action}' and actor in ('alice', 'admin')");
        world.rows(&query).iter().map(|row| row.parse().expect("a number")).collect()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let create = || {
            let call = world.control_call(Method::POST, "/api/v1/tokens").basic("alice", PASSWORD);
            call.json(&json!({ "label": "late" })).send().status.as_u16()
        };
        let all: Vec<_> = (0..40).map(|_| scope.spawn(create)).collect();
        let some = "select count(*) from audit where action = 'token.create' and actor = 'alice'";
        eventually("some are made", || (world.rows(some)[0] != "0").then_some(()));
        let taken = world.as_admin(Method::DELETE, "/api/v1/users/alice/password").send();
        assert_eq!(taken.status, 204);
        all.into_iter().map(|one| one.join().expect("a status")).collect()
    });
    assert!(statuses.iter().all(|status| [201, 401, 429, 503].contains(status)), "{statuses:?}");
    let taken = revision_of("user.password").pop().expect("it was taken away");
    assert!(revision_of("token.create").iter().all(|revision| *revision < taken));
}

#[test]
fn m8_users_are_found_by_the_beginning_of_their_name_and_by_what_they_are() {
    let world = control_plane();
    for name in ["Alice", "alina", "ALBERT", "bob", "\u{c9}mile"] {
        create(&world, &json!({ "name": name, "sysadmin": name == "alina" }));
    }
    world.edit_user("alice", &json!({ "suspended": true }));
    let find = |query: &str| -> Vec<String> {
        let reply = world.as_admin(Method::GET, &format!("/api/v1/users?{query}")).send();
        assert_eq!(reply.status, 200, "{}", reply.text);
        let items = reply.json["items"].as_array().expect("a list").iter();
        items.map(|user| user["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(find("name_prefix=AL"), ["Alice", "alina", "ALBERT"]);
    assert_eq!(find("name_prefix=ali"), ["Alice", "alina"]);
    assert_eq!(find("name_prefix=%C3%A9"), ["\u{c9}mile"]);
    assert_eq!(find("name_prefix=%25"), [""; 0]);
    assert_eq!(find("name_prefix="), ["admin", "Alice", "alina", "ALBERT", "bob", "\u{c9}mile"]);
    assert_eq!(find("suspended=true"), ["Alice"]);
    assert_eq!(find("sysadmin=true"), ["admin", "alina"]);
    assert_eq!(find("name_prefix=al&suspended=false&sysadmin=false"), ["ALBERT"]);
    let page = world.as_admin(Method::GET, "/api/v1/users?name_prefix=al&limit=2").send();
    let next = page.json["next"].as_i64().expect("there is more");
    assert_eq!(find(&format!("name_prefix=al&after={next}")), ["ALBERT"]);
    for query in ["suspended=maybe", "prefix=a", &format!("name_prefix={}", "a".repeat(256))] {
        let reply = world.as_admin(Method::GET, &format!("/api/v1/users?{query}")).send();
        reply.assert_refused(400, "bad_request");
    }
}
