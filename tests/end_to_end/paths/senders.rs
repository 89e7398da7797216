//! Sends requests that no HTTP library would.

use super::corpus::Headers;
use serde_json::{Value, json};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use tests::World;

const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, and by whom.
    Answered(u16, By),
    /// The connection or stream ended without an answer.
    Ended,
    /// Nothing came in time, or something that cannot be read.
    Failed(String),
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The recorder.
    Backend,
    /// The control plane.
    ControlPlane,
    /// The filter, with the code of its refusal, or its word on whether it is ready.
    Tokengate(String),
    /// Envoy by itself.
    Envoy,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(_, By::Backend) => write!(formatter, "arrives"),
            Self::Answered(status, By::ControlPlane) => write!(formatter, "control plane {status}"),
            Self::Answered(_, By::Tokengate(code)) => write!(formatter, "{code}"),
            Self::Answered(status, By::Envoy) => write!(formatter, "Envoy {status}"),
            Self::Ended => write!(formatter, "Envoy hangs up"),
            Self::Failed(why) => write!(formatter, "{why}"),
        }
    }
}

/// Sends each request over HTTP/1.1, on a connection of its own.
pub(super) fn over_http1(world: &World, requests: &[Vec<u8>]) -> Vec<Outcome> {
    let port = world.site.ports.entrance;
    let outcomes = Mutex::new(vec![Outcome::Ended; requests.len()]);
    let next = Mutex::new(requests.iter().enumerate());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((index, request)) = next.lock().expect("no panic").next() else { break };
                    let outcome = exchange(port, request).unwrap_or_else(|error| Outcome::Failed(error.to_string()));
                    outcomes.lock().expect("no panic")[index] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().expect("no panic")
}

fn exchange(port: u16, request: &[u8]) -> std::io::Result<Outcome> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Envoy may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => return Err(error),
        _ if reply.is_empty() => return Ok(Outcome::Ended),
        _ => {}
    }
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let names: Vec<&str> = lines.filter_map(|line| line.split(':').next()).collect();
    Ok(outcome(status, &names, body))
}

/// Sends each request over HTTP/2, on a connection of its own.
pub(super) fn over_http2(world: &World, requests: &[Headers]) -> Vec<Outcome> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let in_hex = |headers: &Headers| headers.iter().map(|(name, value)| [hex(name), hex(value)]).collect::<Vec<_>>();
    let input = json!(requests.iter().map(in_hex).collect::<Vec<_>>()).to_string();
    let mut python = Command::new(&world.site.tools.python)
        .args(["-c", include_str!("http2.py"), &world.site.ports.entrance.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs; `tests/setup.sh tests` installs it");
    python.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("python reads");
    let output = python.wait_with_output().expect("python ends");
    assert!(output.status.success(), "http2.py fails; `tests/setup.sh tests` installs what it needs");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let outcomes: Vec<Outcome> = lines
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).expect("a line of JSON");
            match answer["failure"].as_str() {
                Some("closed" | "reset") => return Outcome::Ended,
                Some(failure) => return Outcome::Failed(failure.to_owned()),
                None => {}
            }
            let headers = answer["headers"].as_array().expect("headers");
            let status = headers.iter().find(|header| header[0] == ":status").and_then(|header| header[1].as_str());
            let names: Vec<&str> = headers.iter().filter_map(|header| header[0].as_str()).collect();
            outcome(status.unwrap_or_default(), &names, answer["body"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(outcomes.len(), requests.len());
    outcomes
}

fn outcome(status: &str, headers: &[&str], body: &str) -> Outcome {
    let Ok(status) = status.parse() else { return Outcome::Failed(format!("an answer with the status {status:?}")) };
    let answered_behind_envoy = headers.contains(&"x-envoy-upstream-service-time");
    let body: Value = if body == "recorded\n" { json!("recorded") } else { body.parse().unwrap_or_default() };
    let by = match (answered_behind_envoy, body["code"].as_str()) {
        (true, _) if body == "recorded" => By::Backend,
        (true, _) => By::ControlPlane,
        (false, Some(code)) => By::Tokengate(code.to_owned()),
        (false, None) if body.is_object() => By::Tokengate("ready".to_owned()),
        (false, None) => By::Envoy,
    };
    Outcome::Answered(status, by)
}
