//! The load generator itself: exactly as many requests as it was told, and every one accounted for. And that the
//! benchmarks run, whatever their figures.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tests::load::{Connection, Load, Tally, get, request};
use tests::{StopWhenDropped, World, basic, eventually, free_port};

/// A server of whose answers each test says what they are. It runs until the test program ends.
struct Server {
    port: u16,
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

/// What the server does about a request: what it writes, and whether it closes the connection then.
type Answer = (&'static str, bool);

/// A server that answers by the request's path and by its number, from 0.
fn serve(answer: impl Fn(&str, u64) -> Answer + Clone + Send + 'static) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = Server { port, connections: Arc::default(), requests: Arc::default() };
    let (connections, requests) = (Arc::clone(&server.connections), Arc::clone(&server.requests));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            connections.fetch_add(1, Ordering::Relaxed);
            let (answer, requests) = (answer.clone(), Arc::clone(&requests));
            thread::spawn(move || converse(stream, &requests, answer));
        }
    });
    server
}

fn converse(stream: TcpStream, requests: &AtomicU64, answer: impl Fn(&str, u64) -> Answer) {
    stream.set_nodelay(true).expect("a setting of the connection");
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).unwrap_or_default() == 0 {
                return;
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split(' ').nth(1).expect("a path");
        let (text, closes) = answer(path, requests.fetch_add(1, Ordering::Relaxed));
        // In two pieces: nothing says that an answer arrives whole.
        let (first, rest) = text.split_at(text.len() / 2);
        for piece in [first, rest] {
            if reader.get_mut().write_all(piece.as_bytes()).is_err() {
                return;
            }
        }
        if closes {
            let _ = reader.get_ref().shutdown(Shutdown::Both);
            return;
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn tally(by_status: &[(u16, u64)], unanswered: u64) -> Tally {
    Tally { by_status: by_status.iter().copied().collect(), unanswered }
}

#[test]
fn answers_of_every_form_are_read_to_their_ends_and_the_connections_kept() {
    let forms: &[(&str, &str, u16, &str)] = &[
        ("/length", OK, 200, "ok"),
        ("/empty", "HTTP/1.1 401 Unauthorized\r\ncontent-LENGTH:0\r\n\r\n", 401, ""),
        (
            "/chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
            200,
            "abc0123456789",
        ),
        ("/no-content", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("/not-modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, ""),
        ("/continued", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", 201, "x"),
    ];
    let server = serve(|path, _| {
        if path == "/head" {
            return ("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", false);
        }
        (forms.iter().find(|form| form.0 == path).expect("a known path").1, false)
    });
    let mut connection = Connection::to(server.port);
    for (path, _, status, body) in forms {
        assert_eq!(connection.ask(&get(path, "Basic x")).expect("an answer"), *status, "{path}");
        assert_eq!(String::from_utf8_lossy(connection.body()), *body, "{path}");
        assert_eq!(connection.ask(&request("HEAD", "/head", "Basic x")).expect("an answer"), 200);
        assert_eq!(connection.body(), b"");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);

    let requests = forms.iter().map(|form| get(form.0, "Basic x")).collect();
    let summary = Load::new(server.port, requests).over(7, 3).send(1000);
    for (index, (form, tally)) in forms.iter().zip(&summary.each).enumerate() {
        let count = 1000 / 6 + u64::from(index < 1000 % 6); // in turn
        assert_eq!((tally.with_status(form.2), tally.answered(), tally.unanswered), (count, count, 0), "{}", form.0);
    }
    assert_eq!((summary.all().answered(), summary.all().unanswered), (1000, 0));
    assert_eq!(server.requests.load(Ordering::Relaxed), 12 + 1000);
    assert_eq!(server.connections.load(Ordering::Relaxed), 1 + 7);
}

#[test]
fn a_connection_that_closes_is_made_anew_and_what_was_not_answered_whole_is_not_counted_as_answered() {
    let server = serve(|_, number| match number % 10 {
        0 => ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", true),
        1 => ("HTTP/1.1 200 OK\r\n\r\nuntil it closes", true),
        2 => ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        3 => ("", true),
        4 => ("HTTP/1.1 503 Service", true),
        5 => ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n1", true),
        6 => ("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true),
        7 => ("nonsense\r\n\r\n", true),
        _ => (OK, false),
    });
    let summary = Load::new(server.port, vec![get("/", "Basic x")]).over(8, 2).send(1000);
    assert_eq!(summary.all(), tally(&[(200, 500)], 500));
    assert_eq!(server.requests.load(Ordering::Relaxed), 1000, "none is sent again");
    assert!(server.connections.load(Ordering::Relaxed) >= 800);
}

#[test]
fn where_nobody_listens_nothing_is_answered() {
    let summary = Load::new(free_port(), vec![get("/", "Basic x")]).over(4, 2).send(40);
    assert_eq!(summary.all(), tally(&[], 40));
}

#[test]
fn a_limit_on_the_rate_holds_and_every_connection_is_used() {
    let server = serve(|_, _| (OK, false));
    let summary = Load::new(server.port, vec![get("/", "Basic x")]).over(8, 2).at_rate(500.0).send(101);
    assert_eq!(summary.all(), tally(&[(200, 101)], 0));
    assert!(summary.took >= Duration::from_millis(200), "{:?}", summary.took);
    assert_eq!(server.connections.load(Ordering::Relaxed), 8);
}

#[test]
fn it_stops_when_it_is_told_and_says_meanwhile_how_far_it_is() {
    let server = serve(|_, _| (OK, false));
    let (load, stop) = (Load::new(server.port, vec![get("/", "Basic x")]), AtomicBool::new(false));
    let summary = thread::scope(|scope| {
        let ends = StopWhenDropped(&stop);
        let running = scope.spawn(|| load.send_until(&stop));
        eventually("it has sent some", || (load.begun() > 500).then_some(()));
        drop(ends);
        running.join().expect("the load ends")
    });
    assert!(summary.all().answered() > 500);
    assert_eq!(summary.all(), tally(&[(200, load.begun())], 0));
}

#[test]
fn through_envoy_which_answers_by_itself_the_filter_has_judged_every_request() {
    let mut world = World::prepare(2);
    world.answer_directly();
    world.start_both();
    let token = world.token_for("alice");
    let (admitted, unknown) = (basic("alice", &token.text), basic("alice", tests::UNKNOWN_TOKEN));
    let requests = vec![get("/rest/direct", &admitted), get("/rest/direct", &unknown)];
    let refused = || world.counted("requests_total.verdict.refused.code.unknown_token");
    let (refused_before, cpu_before) = (refused(), world.proxy.cpu());
    let summary = Load::new(world.site.ports.entrance, requests).send(10_000);
    println!("{:.0} a second, {:?} of Envoy's CPU time", summary.rate(), world.proxy.cpu() - cpu_before);
    assert_eq!(summary.each, [tally(&[(200, 5000)], 0), tally(&[(401, 5000)], 0)]);
    assert_eq!(refused() - refused_before, 5000);
    assert_eq!(world.received("/rest/direct").len(), 0);
    assert!(world.proxy.cpu() > cpu_before && world.proxy.memory() > 10_000_000);
}

#[test]
fn the_benchmarks_run_and_leave_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = "--rounds 2 --load 100 --cost-rounds 1 --requests 1000 --fairness-seconds 1 --clients 4 \
                     --seconds 1 --events 1000 --event-seconds 2 --tokens 10000 --chains 1";
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments.split(' '))
        .env("TMPDIR", directory.path())
        .output()
        .expect("the benchmarks start");
    let (figures, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{figures}\n{errors}");
    for line in [
        "beside nothing else ",
        "beside 100 other requests a second ",
        "  refused on the last connection ",
        "no filter, no guards ",
        "admitted token, calls not logged ",
        "Memory of Envoy with it: ",
        "Paths of 55 kB without a credential",
        "  under the flood: ",
        "  creations, ms: ",
        "  deletions, ms: ",
        "  changes meanwhile, ms: ",
        "everyone's ",
        "Memory of the control plane: ",
    ] {
        assert!(figures.lines().any(|found| found.starts_with(line)), "no line {line:?}:\n{figures}");
    }
    assert_eq!(directory.path().read_dir().expect("the directory").count(), 0);
}
