//! Answers that the control plane of a test gives seldom or never: cursors of any kind, a thousand deletions in several
//! steps, an export that breaks off.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tests::stack::Tools;

/// Something that answers like a control plane, and remembers what it was asked.
struct Stub {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = asked.clone();
        let router = Router::new().fallback(async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
            let line = format!("{} {} {}", head.method, head.uri, String::from_utf8_lossy(&body));
            seen.lock().expect("no panic").push(line.trim().to_owned());
            let before = seen.lock().expect("no panic").iter().filter(|asked| **asked == line.trim()).count() - 1;
            answer(line.trim(), before)
        });
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, _runtime: runtime }
    }

    fn tokengate(&self, arguments: &[&str], input: &str) -> (Option<i32>, Output) {
        let tools = Tools::find().expect("the programs");
        let mut command = Command::new(&tools.tokengate);
        command.args(arguments).env("TOKENGATE_URL", &self.url).env("TOKENGATE_TOKEN", "x");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), output)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

/// The answer to this request, which came so often before.
fn answer(request: &str, before: usize) -> Response {
    let json = |status: StatusCode, body: Value| (status, axum::Json(body)).into_response();
    match request.split(['?', ' ']).nth(1).unwrap_or_default() {
        "/api/v1/audit" if request.contains("after=") => json(StatusCode::OK, json!({ "items": [{}], "next": null })),
        "/api/v1/audit" => {
            let record = json!({ "at": "2026-01-01T00:00:00Z", "actor": "al\u{1b}[2Jice", "detail": { "a": 1 } });
            json(StatusCode::OK, json!({ "items": [record], "next": "a/b=1&c" }))
        }
        "/api/v1/audit/calls" => json(StatusCode::OK, json!({ "items": [], "next": 7 })),
        "/api/v1/tokens" if request.starts_with("DELETE") && request.contains("wait=") => json(
            StatusCode::ACCEPTED,
            json!({ "deleted": 1, "more": false, "confirmed_count": 0, "unconfirmed_count": 1 }),
        ),
        "/api/v1/tokens" if request.starts_with("DELETE") => {
            json(StatusCode::OK, json!({ "deleted": 1000 - 400 * before, "more": before == 0 }))
        }
        "/api/v1/tokens" if request.contains("after=") => {
            json(StatusCode::OK, json!({ "items": [{ "id": "t1" }, { "id": "t2" }], "next": null }))
        }
        "/api/v1/tokens" => json(StatusCode::OK, json!({ "items": [], "next": "later" })),
        "/api/v1/settings/restore" if !request.contains("force=true") => {
            let errors = json!([{ "detail": "Your address is not in it.", "pointer": "#/ip_rules" }]);
            let detail = "This would lock you out.";
            json(StatusCode::CONFLICT, json!({ "detail": detail, "code": "would_lock_you_out", "errors": errors }))
        }
        "/api/v1/settings/restore" => json(StatusCode::OK, json!({ "body_limit": 2048 })),
        "/api/v1/audit/export" => {
            let lines = lines(if request.contains("actor=nobody") { 900 } else { usize::MAX });
            ([("content-type", "application/jsonl")], lines).into_response()
        }
        "/readyz" => json(StatusCode::OK, json!({ "ready": true, "revision": 9 })),
        "/api/v1/openapi.json" => json(StatusCode::OK, json!({ "info": { "version": "0.0.1" } })),
        "/api/v1/proxies" => json(StatusCode::OK, json!({ "revision": 9, "items": sick_proxies() })),
        "/api/v1/users/alice/password" => StatusCode::NO_CONTENT.into_response(),
        "/api/v1/tokens/t1/rotate" => {
            json(StatusCode::CREATED, json!({ "id": "t2", "label": "x", "owner": "alice", "token": "tgt_new" }))
        }
        _ => json(StatusCode::NOT_FOUND, json!({ "detail": "There is no such thing." })),
    }
}

/// Proxies each of which has something; and a sound one.
fn sick_proxies() -> Vec<Value> {
    let sound = json!({
        "name": "sound", "instance": "i1", "state": "live", "revision": 9, "age_ms": 100, "clock_ahead_ms": -4000,
        "filter_version": env!("CARGO_PKG_VERSION"), "pages_left_out": 0,
    });
    let but = |name: &str, field: &str, value: Value| {
        let mut proxy = sound.clone();
        (proxy["name"], proxy[field]) = (json!(name), value);
        proxy
    };
    vec![
        sound.clone(),
        but("lost", "state", json!("lost")),
        but("behind", "revision", json!(8)),
        but("empty", "revision", Value::Null),
        but("old", "age_ms", json!(61_000)),
        but("fast", "clock_ahead_ms", json!(-5001)),
        but("other", "filter_version", json!("0.0.1")),
        but("torn", "pages_left_out", json!(2)),
    ]
}

/// 100,000 lines, a hundred at a time; the connection breaks off after so many hundreds.
fn lines(until: usize) -> Body {
    let line = move |number| match number {
        number if number < until => Ok(Bytes::from("{\"action\":\"user.create\"}\n".repeat(100))),
        _ => Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
    };
    Body::from_stream(futures_util::stream::iter((0..1000).map(line)))
}

#[test]
fn a_list_goes_on_at_whatever_cursor_was_given_and_ends_where_that_leads_nowhere() {
    let stub = Stub::start();
    let (code, output) = stub.tokengate(&["audit", "list", "--actor", "alice", "--from", "2026-01-01T00:00:00Z"], "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}");
    assert!(text.contains("al\\u{1b}[2Jice") && !text.contains('\u{1b}'), "what others typed moves no cursor: {text}");
    let asked = stub.asked();
    assert_eq!(asked[0], "GET /api/v1/audit?actor=alice&from=2026-01-01T00%3A00%3A00Z&limit=1000");
    assert!(asked[1].ends_with("&limit=1000&after=a%2Fb%3D1%26c"), "{asked:?}");
    let (code, output) = stub.tokengate(&["audit", "calls", "--as-user", "alice", "--outcome", "restricted"], "");
    assert_eq!(code, Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(stub.asked().len(), 2, "a cursor that stays where it is ends it");
}

#[test]
fn m5_tokens_are_deleted_by_filter_step_by_step_and_not_without_a_yes() {
    let stub = Stub::start();
    let delete = ["token", "delete", "--owner", "alice", "--never-used"];
    let (code, output) = stub.tokengate(&[&delete[..], &["--yes"]].concat(), "");
    assert_eq!((code, String::from_utf8_lossy(&output.stdout).trim()), (Some(0), "deleted 1600 tokens"));
    assert_eq!(stub.asked(), vec!["DELETE /api/v1/tokens?owner=alice&never_used=true"; 2]);
    let (code, output) = stub.tokengate(&["token", "delete", "--all", "--wait", "--yes"], "");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(code == Some(3) && text.contains("not every proxy has confirmed"), "{text}");
    stub.asked();
    let (code, _) = stub.tokengate(&delete, "y\n"); // a pipe is nobody who could be asked
    assert_eq!(code, Some(2), "though the first page has none, there are some to ask for");
    let asked = stub.asked();
    assert!(asked.len() == 2 && asked.iter().all(|asked| !asked.starts_with("DELETE")), "{asked:?}");
}

#[test]
fn a_list_whose_first_page_is_empty_is_one_document_all_the_same() {
    let stub = Stub::start();
    let (code, output) = stub.tokengate(&["token", "list", "--all", "--json"], "");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((code, document), (Some(0), json!({ "items": [{ "id": "t1" }, { "id": "t2" }], "next": null })));
}

#[test]
fn s9_going_back_to_settings_that_lock_one_out_takes_force_and_says_why() {
    let stub = Stub::start();
    let (code, output) = stub.tokengate(&["settings", "restore", "17"], "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code, Some(1));
    for expected in ["This would lock you out.", "ip_rules: Your address is not in it.", "--force"] {
        assert!(error.contains(expected), "{expected:?} is missing in {error}");
    }
    let (code, _) = stub.tokengate(&["settings", "restore", "17", "--force"], "");
    assert_eq!(code, Some(0));
    assert_eq!(stub.asked()[1], r#"POST /api/v1/settings/restore?force=true {"version":17}"#);
}

#[test]
fn a4_an_export_is_written_whole_or_fails_and_leaves_no_file() {
    let stub = Stub::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("audit.jsonl");
    let path = file.display().to_string();
    let broken = ["audit", "export", "--actor", "nobody"];
    let (code, output) = stub.tokengate(&[&broken[..], &["--output", &path]].concat(), "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(code == Some(1) && error.contains("broke off"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
    assert_eq!(stub.tokengate(&broken, "").0, Some(1), "on standard output likewise");
    let (code, _) = stub.tokengate(&["audit", "export", "--output", &path], "");
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read_to_string(&file).expect("the file").lines().count(), 100_000);
    stub.asked();
    stub.tokengate(&["audit", "export", "--calls", "--as-user", "alice", "--format", "csv"], "");
    assert_eq!(stub.asked(), ["GET /api/v1/audit/calls/export?user=alice&format=csv"]);
    for arguments in [["audit", "export", "--token", "x"], ["audit", "export", "--format", "xml"]] {
        assert_eq!(stub.tokengate(&arguments, "").0, Some(2));
    }
}

#[test]
fn the_doctor_names_each_proxy_that_has_something() {
    let stub = Stub::start();
    let (code, output) = stub.tokengate(&["doctor", "--json"], "");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = |check: &str| {
        let check = answer["checks"].as_array().expect("checks").iter().find(|found| found["check"] == check);
        let check = check.unwrap_or_else(|| panic!("{answer}"));
        format!("{} {}", check["outcome"].as_str().expect("an outcome"), check["found"].as_str().expect("a text"))
    };
    assert_eq!(code, Some(1));
    assert_eq!(found("proxies"), "warn 7 live; lost: lost (i1)");
    assert_eq!(found("revision"), "fail behind: behind (i1), empty (i1)");
    assert!(found("feed").starts_with("fail") && found("feed").ends_with("minute: old (i1)"), "{answer}");
    assert_eq!(found("clocks of proxies"), "fail differ by more than 5 s: fast (i1)");
    assert_eq!(found("filter"), "warn has another version than this program: other (i1)");
    assert_eq!(found("snapshot"), "fail had to leave out pages: torn (i1)");
    assert!(found("version").starts_with("warn") && found("version").contains("0.0.1"), "{answer}");
    assert!(found("data directory").starts_with("warn"), "where there is none, the machine is another one");
}

#[test]
fn attack_a_password_that_is_typed_is_not_shown_and_nothing_is_deleted_without_a_yes() {
    let stub = Stub::start();
    let tools = Tools::find().expect("the programs");
    // Types each line once the program has asked for it, on a terminal, as soon as that does not show what is typed (or
    // after 5 s all the same); gives what it shows.
    let script = "import os, pty, sys, termios, time\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], [sys.argv[1]] + sys.argv[2].split())\n\
        shown = b''\n\
        for line in sys.argv[3:]:\n\
        \x20   asked = b''\n\
        \x20   while not asked.endswith((b': ', b'] ')): asked += os.read(terminal, 100)\n\
        \x20   for _ in range(500 if asked.endswith(b': ') else 0):\n\
        \x20       if not termios.tcgetattr(terminal)[3] & termios.ECHO: break\n\
        \x20       time.sleep(0.01)\n\
        \x20   shown += asked\n\
        \x20   os.write(terminal, line.encode() + b'\\n')\n\
        try:\n\
        \x20   while True: shown += os.read(terminal, 100) or sys.exit(1)\n\
        except OSError: pass\n\
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode())";
    let typed = |command: &str, lines: &[&str]| {
        let mut python = Command::new(&tools.python);
        python.args(["-c", script]).arg(&tools.tokengate).arg(command).args(lines);
        let output = python.env("TOKENGATE_URL", &stub.url).env("TOKENGATE_TOKEN", "x").output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = typed("user password alice", &["hidden", "hidden"]);
    assert!(shown.starts_with("0 New password: ") && shown.contains("The same again: "), "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(stub.asked(), [r#"PUT /api/v1/users/alice/password {"password":"hidden"}"#]);
    let shown = typed("user password alice", &["hidden", "hiden"]);
    assert!(shown.starts_with('2') && shown.contains("two different passwords"), "{shown}");
    assert!(stub.asked().is_empty());
    let shown = typed("user delete alice", &["n"]);
    assert!(shown.starts_with('1') && shown.contains("nothing was done") && stub.asked().is_empty(), "{shown}");
    typed("user delete alice", &["y"]);
    assert_eq!(stub.asked(), ["DELETE /api/v1/users/alice"]);
}

#[test]
fn m8_a_password_comes_from_standard_input_and_is_no_argument() {
    let stub = Stub::start();
    let (code, output) = stub.tokengate(&["user", "password", "alice", "--current"], "old\nnew pass\r\n");
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let put = r#"PUT /api/v1/users/alice/password {"current_password":"old","password":"new pass"}"#;
    assert_eq!(stub.asked(), [put]);
    assert_eq!(stub.tokengate(&["user", "password", "alice"], "").0, Some(2), "nothing is no password");
    assert_eq!(stub.tokengate(&["user", "password", "alice", "secret"], "x").0, Some(2));
    assert_eq!(stub.tokengate(&["user", "password", "alice", "--remove"], "").0, Some(0));
    assert_eq!(stub.asked(), ["DELETE /api/v1/users/alice/password"]);
}

#[test]
fn m5_a_token_is_rotated_and_only_the_new_one_goes_to_standard_output() {
    let stub = Stub::start();
    for (end, body) in [
        (&[][..], r#"{"overlap":"1h"}"#),
        (&["--validity", "90d"], r#"{"overlap":"1h","validity":"90d"}"#),
        (&["--expires-at", "2099-01-01T00:00:00Z"], r#"{"expires_at":"2099-01-01T00:00:00Z","overlap":"1h"}"#),
    ] {
        let (_, output) = stub.tokengate(&[&["token", "rotate", "t1", "--overlap", "1h"], end].concat(), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "tgt_new\n");
        assert_eq!(stub.asked(), [format!("POST /api/v1/tokens/t1/rotate {body}")]);
    }
    assert_eq!(stub.tokengate(&["token", "list", "--unbound", "true"], "").0, Some(2), "whose?");
}
