//! Who would take over tokens without being allowed to, hold others up, or learn what stands in a file.

use super::{IMPORT, import, import_csv, sha256, state, with_users};
use reqwest::Method;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tests::{World, basic, eventually};

const GOOD: &str = "token,label,owner\nsome-token-from-elsewhere,x,alice\n";

/// A file that goes to the control plane piece by piece.
struct Slowly(TcpStream);

impl Slowly {
    fn begin(world: &World, query: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        let authorization = basic("admin", &world.admin_token());
        let head = format!(
            "POST {IMPORT}{query} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-type: text/csv\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the head");
        Self(stream)
    }

    fn send(&mut self, piece: &str) {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        self.0.write_all(chunk.as_bytes()).expect("a piece");
    }

    fn end(mut self) -> String {
        self.0.write_all(b"0\r\n\r\n").expect("the end");
        self.answer()
    }

    fn answer(mut self) -> String {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

#[test]
fn attack_m6_whoever_is_no_sysadmin_or_comes_with_a_restricted_token_takes_over_nothing() {
    let world = with_users();
    let own = world.new_token(&json!({ "label": "own", "owner": "bob" }));
    let restricted = json!({ "label": "restricted", "owner": "admin", "restrictions": [".*"] });
    let restricted = world.new_token(&restricted);
    let before = state(&world);
    for query in ["", "?dry_run=true", "?keep_going=true"] {
        let call = || world.control_call(Method::POST, &format!("{IMPORT}{query}"));
        call().body("text/csv", GOOD).send().assert_refused(401, "credentials_required");
        // Not even one's own; and nothing is said of others, or of their tokens.
        for file in [GOOD, "token,label,owner\nsome-token-from-elsewhere,x,bob\n", "label,owner\nx,nobody\n", ""] {
            call().bearer(&own).body("text/csv", file).send().assert_refused(403, "forbidden");
        }
        call().bearer(&restricted).body("text/csv", GOOD).send().assert_refused(403, "cannot_manage");
    }
    assert_eq!(state(&world), before);
}

#[test]
fn attack_m6_a_file_that_another_reader_would_read_otherwise_is_refused() {
    let world = with_users();
    let before = state(&world);
    for media_type in ["application/json", "text/plain", "text/csv; charset=utf-16", "text/csvx", ""] {
        import(&world, "", media_type, GOOD).assert_refused(415, "unsupported_media_type");
    }
    let call = || world.as_admin(Method::POST, IMPORT);
    let zipped = call().header("content-encoding", b"gzip").body("text/csv", GOOD).send();
    zipped.assert_refused(415, "unsupported_media_type");
    let twice = call().header("content-type", b"application/x-ndjson").body("text/csv", GOOD).send();
    twice.assert_refused(415, "unsupported_media_type");
    for query in ["?dry_run=yes", "?dryrun=true", "?keep_going", "?dry_run=true&dry_run=false"] {
        import_csv(&world, query, GOOD).assert_refused(400, "bad_request");
    }
    // The line that names the columns, twice: another would skip both, or neither.
    let reply = import_csv(&world, "", &GOOD.replacen('\n', "\ntoken,label,owner\n", 1));
    assert_eq!(reply.json["errors"][0]["pointer"], "#/2/token", "{}", reply.text);
    assert_eq!(state(&world), before);
}

#[test]
fn attack_m6_a_line_of_10_mb_is_refused_by_its_number_and_a_value_is_never_repeated() {
    let world = with_users();
    let long = "s3cret".repeat(10 << 17);
    let file = format!("token,label,owner\n{long},x,alice\ngood-after-all-0815,y,alice\n");
    let before = world.control_plane().memory("VmHWM");
    let reply = import_csv(&world, "?keep_going=true", &file);
    assert_eq!((&reply.json["created"], &reply.json["errors"][0]["pointer"]), (&json!(1), &json!("#/2")));
    assert!(!reply.text.contains("s3cret"));
    let more = world.control_plane().memory("VmHWM") - before;
    assert!(more < 6 << 20, "{} MiB more for a line of 8", more >> 20);
}

#[test]
fn attack_m6_a_sender_that_is_slow_or_goes_holds_nobody_up_and_leaves_nothing() {
    let world = with_users();
    let before = state(&world);
    let mut slow = Slowly::begin(&world, "");
    slow.send(&GOOD[..30]);
    // Meanwhile others make changes and import; there are places for some.
    world.create_user("carol");
    assert_eq!(import_csv(&world, "", "token,label,owner\nof-carol-from-elsewhere,x,carol\n").json["created"], 1);
    let others: Vec<_> = (0..8).map(|_| Slowly::begin(&world, "?keep_going=true")).collect();
    eventually("all places are taken", || (import_csv(&world, "?dry_run=true", GOOD).status == 503).then_some(()));
    drop(others);
    eventually("whoever goes gives up the place", || {
        (import_csv(&world, "?dry_run=true", GOOD).status == 200).then_some(())
    });
    // One that breaks off in the middle of what would be whole otherwise.
    let mut broken = Slowly::begin(&world, "?keep_going=true");
    broken.send(GOOD);
    drop(broken);
    let answer = slow.answer();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert_eq!(world.rows("select count(*) from tokens where imported"), ["1"]);
    assert_ne!(state(&world), before, "carol's");
}

#[test]
fn attack_m6_what_was_put_in_the_way_while_the_file_came_is_seen_by_the_change() {
    let world = with_users();
    for (query, created) in [("", 0), ("?keep_going=true", 1)] {
        let mut file = Slowly::begin(&world, query);
        let value = format!("taken-meanwhile-{created}");
        // More than a batch, so that the first rows were judged when the owner goes.
        let name = format!("gone-{created}");
        world.create_user(&name);
        file.send(&format!("token,label,owner\n{value},x,alice\nof-whoever-goes-{created},y,{name}\n"));
        file.send(&format!("left-at-the-end-{created},z,bob\n"));
        let reply = world.as_admin(Method::DELETE, &format!("/api/v1/users/{name}")).send();
        assert_eq!(reply.status, 204, "{}", reply.text);
        assert_eq!(import_csv(&world, "", &format!("token,label,owner\n{value},first,bob\n")).json["created"], 1);
        let answer = file.end();
        assert!(answer.contains("\"#/2\"") && answer.contains("\"#/3/owner\""), "{answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), created == 1, "{answer}");
        let left = world.rows("select count(*) from tokens where label = 'z'");
        assert_eq!(left, [created.to_string()]);
        assert_eq!(world.rows("select count(*) from tokens where label = 'x'"), ["0"], "it was bob's first");
    }
}

#[test]
fn attack_m6_a_caller_who_is_revoked_while_the_file_comes_takes_over_nothing() {
    let world = with_users();
    world.edit_user("bob", &json!({ "sysadmin": true }));
    let token = world.new_token(&json!({ "label": "x", "owner": "bob" }));
    let mut stream = TcpStream::connect(("127.0.0.1", world.site.ports.control)).expect("a connection");
    let head = format!(
        "POST {IMPORT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: text/csv\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        token.text,
        GOOD.len()
    );
    stream.write_all(head.as_bytes()).expect("the head");
    stream.write_all(&GOOD.as_bytes()[..40]).expect("a part");
    // Judged by now: whoever comes late is told so from the start.
    eventually("the request is under way", || {
        world.log("control-plane").contains("a file of tokens comes in").then_some(())
    });
    world.delete_token(&token);
    let before = state(&world);
    stream.write_all(&GOOD.as_bytes()[40..]).expect("the rest");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("token_deleted"), "{answer}");
    assert_eq!(state(&world), before);
}

#[test]
fn attack_m6_the_tokens_of_a_file_are_in_no_answer_log_audit_or_database_however_the_file_is_wrong() {
    for secure in [true, false] {
        let mut world = World::prepare(1);
        world.site.secure_mode = secure;
        world.start_control_plane();
        world.create_user("alice");
        let secret = "aVerySecretValueFromElsewhere";
        let mut seen = String::new();
        for file in [
            format!("token,label,owner\n{secret},x,alice\n"),
            format!("token,label,owner\n{secret},x,alice\n{secret},x,alice\n"),
            format!("{secret},x,alice\n{secret},y,alice\n"),
            format!("token,label,owner\nx,{secret},alice,{secret}\n"),
            format!("owner,token,label\n{secret},x,alice\nalice,{secret}\n"),
            format!(
                "label,token,owner,scope,validity,valid_from,expires_at,unbound\nx,{secret}x,a,{0},{0},{0},{0},{0}\n",
                secret
            ),
            format!("label,token,owner,scope\nx,{secret}y,alice,{secret}\n"),
            format!("label,token,owner,validity\nx,{secret}y,alice,{secret}\n"),
            format!("label,token,owner,expires_at\nx,{secret}y,alice,{secret}\n"),
            format!("label,token,owner,ip_ranges\nx,{secret}y,alice,{secret}\n"),
            format!("label,token,owner,restrictions\nx,{secret}y,alice,({secret}\n"),
            format!("label,token,owner,restrictions\nx,{secret}y,alice,.*[JsonData::{secret}==(]\n"),
            format!("label,sha256,owner\nx,{secret},alice\n"),
            format!("token,label,owner\n{secret}\u{e9},x,alice\n"),
            format!("token,label,owner\ntgt_{secret},x,alice\n"),
        ] {
            seen += &import_csv(&world, "", &file).text;
            seen += &import_csv(&world, "?keep_going=true", &file).text;
            let path = world.site.logs.join("tokens.csv");
            std::fs::write(&path, &file).expect("a file");
            let output = super::tokengate(&world, &["token", "import", &path.display().to_string()]);
            seen += &super::said(&output);
        }
        for line in [
            json!({ "token": [secret] }).to_string(),
            json!({ "token": { secret: secret } }).to_string(),
            json!({ secret: "token" }).to_string(),
            json!({ "token": secret, "label": true }).to_string(),
            format!("{{\"token\":\"{secret}\",\"token\":\"{secret}\"}}"),
            format!("{{\"token\":\"{secret}"),
            format!("\"{secret}\""),
        ] {
            seen += &import(&world, "", "application/x-ndjson", &line).text;
        }
        seen += &world.as_admin(Method::GET, "/api/v1/audit/export").send().text;
        seen += &world.log("control-plane");
        assert!(seen.contains("token.import") && seen.contains("invalid_tokens"), "there was something to see");
        // In an owner's or a label's place it is one, and what is taken over is shown.
        assert!(world.stop_control_plane());
        let mut bytes = seen.into_bytes();
        for file in std::fs::read_dir(&world.site.data).expect("the data directory") {
            bytes.extend(std::fs::read(file.expect("a file").path()).expect("its content"));
        }
        let digest: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&sha256(secret)[at * 2..at * 2 + 2], 16).expect("hex")).collect();
        for needle in [secret.as_bytes(), &digest, sha256(secret).as_bytes()] {
            let at = bytes.windows(needle.len()).position(|window| window == needle);
            let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(300)..at]).into_owned());
            assert_eq!(around, None, "secure: {secure}");
        }
    }
}

#[test]
fn attack_m6_a_label_that_a_spreadsheet_takes_for_a_formula_is_taken_as_it_is_and_exported_without_harm() {
    let world = with_users();
    let file = "token,label,owner\nformula-from-elsewhere,\"=HYPERLINK(\"\"http://x\"\")\",alice\n";
    assert_eq!(import_csv(&world, "", file).json["created"], 1);
    let listed = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send();
    assert_eq!(listed.json["items"][0]["label"], "=HYPERLINK(\"http://x\")");
    let exported = world.as_admin(Method::GET, "/api/v1/audit/export?format=csv").send().text;
    assert!(exported.contains("HYPERLINK") && !exported.contains("\n=") && !exported.contains(",="), "{exported}");
}
