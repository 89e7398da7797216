//! Load for tests and benchmarks: many requests on connections that are kept, and every one accounted for.
//!
//! Each of a few threads sends a request on each of its connections and then reads the answers in turn. So as many
//! requests are under way as there are connections, for hardly more than two system calls a request.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a thread waits that got no answer at all, before it goes on: perhaps nobody listens.
const PAUSE: Duration = Duration::from_millis(10);

/// A connection to a port of 127.0.0.1. It is made when it is needed, kept, and made anew where the other side closed it.
#[derive(Debug)]
pub struct Connection {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
    asked_for_head: bool,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    /// One that is yet to be made.
    pub fn to(port: u16) -> Self {
        Self { port, stream: None, asked_for_head: false, line: Vec::new(), body: Vec::new() }
    }

    /// Sends a request and reads its answer: the status.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.send(request)?;
        self.receive()
    }

    /// Sends a request, whose answer is then to be read.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.asked_for_head = request.starts_with(b"HEAD ");
        // Whatever fails below or in `receive`, the connection stays taken out: the next request has a new one.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(request)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Reads the answer to the request that was sent, to its last byte: the status. After an error there was no whole
    /// answer; whether the request was worked on, nobody can say.
    pub fn receive(&mut self) -> io::Result<u16> {
        let mut stream = self.stream.take().ok_or(ErrorKind::NotConnected)?;
        let mut head = self.read_head(&mut stream)?;
        while head.status < 200 {
            head = self.read_head(&mut stream)?;
        }
        self.body.clear();
        match head.body {
            _ if self.asked_for_head || head.status == 204 || head.status == 304 => {}
            Body::Length(length) => self.read_body(&mut stream, length)?,
            Body::Chunks => self.read_chunks(&mut stream)?,
            Body::UntilClosed => {
                stream.read_to_end(&mut self.body)?;
                head.closes = true;
            }
        }
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(head.status)
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn read_head(&mut self, stream: &mut impl BufRead) -> io::Result<Head> {
        let line = self.read_line(stream)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let mut head = Head { status, body: Body::UntilClosed, closes: line.starts_with("HTTP/1.0") };
        loop {
            let line = self.read_line(stream)?;
            if line.is_empty() {
                return Ok(head);
            }
            let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.body = Body::Length(value.parse().map_err(|_| ErrorKind::InvalidData)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Body::Chunks;
            } else if name.eq_ignore_ascii_case("connection") {
                head.closes |= value.eq_ignore_ascii_case("close");
            }
        }
    }

    fn read_chunks(&mut self, stream: &mut impl BufRead) -> io::Result<()> {
        loop {
            let line = self.read_line(stream)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
            if size == 0 {
                break;
            }
            self.read_body(stream, size)?;
            self.read_line(stream)?;
        }
        while !self.read_line(stream)?.is_empty() {} // trailers
        Ok(())
    }

    fn read_body(&mut self, stream: &mut impl BufRead, length: u64) -> io::Result<()> {
        let read = stream.take(length).read_to_end(&mut self.body)?;
        if u64::try_from(read) == Ok(length) { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// A line without its end.
    fn read_line(&mut self, stream: &mut impl BufRead) -> io::Result<&str> {
        self.line.clear();
        stream.read_until(b'\n', &mut self.line)?;
        let line = self.line.strip_suffix(b"\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        std::str::from_utf8(line).map_err(|_| ErrorKind::InvalidData.into())
    }
}

/// What the head of an answer says about the rest.
struct Head {
    status: u16,
    body: Body,
    closes: bool,
}

enum Body {
    Length(u64),
    Chunks,
    UntilClosed,
}

/// Requests that are to be sent to a port of 127.0.0.1, in turn.
#[derive(Debug)]
pub struct Load {
    port: u16,
    requests: Vec<Vec<u8>>,
    connections: usize,
    threads: usize,
    rate: Option<f64>,
    begun: AtomicU64,
}

impl Load {
    /// These requests, each whole as it goes over the wire, as quickly as 32 connections in 2 threads can.
    pub fn new(port: u16, requests: Vec<Vec<u8>>) -> Self {
        assert!(!requests.is_empty(), "a load of nothing");
        Self { port, requests, connections: 32, threads: 2, rate: None, begun: AtomicU64::new(0) }
    }

    /// Over so many connections, shared out among so many threads.
    pub fn over(self, connections: usize, threads: usize) -> Self {
        assert!(0 < threads && threads <= connections, "a connection for each thread");
        Self { connections, threads, ..self }
    }

    /// At most so many requests a second.
    pub fn at_rate(self, requests_a_second: f64) -> Self {
        Self { rate: Some(requests_a_second), ..self }
    }

    /// Sends exactly so many requests and waits for all answers. A request is sent once, answered or not.
    pub fn send(&self, count: u64) -> Summary {
        self.run(count, &AtomicBool::new(false))
    }

    /// Sends requests until it is told to stop, and waits for all answers.
    pub fn send_until(&self, stop: &AtomicBool) -> Summary {
        self.run(u64::MAX, stop)
    }

    /// How many requests the run has begun so far: for another thread, which waits for the middle of it.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn run(&self, count: u64, stop: &AtomicBool) -> Summary {
        self.begun.store(0, Ordering::Relaxed);
        let started = Instant::now();
        let mut each = vec![Tally::default(); self.requests.len()];
        thread::scope(|scope| {
            let shares = (0..self.threads).map(|thread| (self.connections + thread) / self.threads);
            let threads: Vec<_> =
                shares.map(|share| scope.spawn(move || self.work(share, count, started, stop))).collect();
            for thread in threads {
                for (sum, tally) in each.iter_mut().zip(thread.join().expect("the load goes on")) {
                    sum.add(&tally);
                }
            }
        });
        Summary { each, took: started.elapsed() }
    }

    /// The part of one thread.
    fn work(&self, connections: usize, count: u64, started: Instant, stop: &AtomicBool) -> Vec<Tally> {
        let mut connections: Vec<Connection> = (0..connections).map(|_| Connection::to(self.port)).collect();
        let mut tallies = vec![Tally::default(); self.requests.len()];
        let mut under_way = Vec::with_capacity(connections.len());
        while !stop.load(Ordering::Relaxed) {
            for connection in &mut connections {
                // Sent are as many as are due; where none is, the next one.
                if !under_way.is_empty() && !self.wait(self.begun(), started).is_zero() {
                    break;
                }
                let next = |begun| (begun < count).then_some(begun + 1);
                let Ok(number) = self.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) else { break };
                thread::sleep(self.wait(number, started));
                let request = usize::try_from(number).unwrap_or_default() % self.requests.len();
                // If this fails, there is no answer below either.
                let _ = connection.send(&self.requests[request]);
                under_way.push(request);
            }
            let sent = under_way.len();
            if sent == 0 {
                break;
            }
            let mut answered = false;
            for (connection, request) in connections.iter_mut().zip(under_way.drain(..)) {
                match connection.receive() {
                    Ok(status) => {
                        *tallies[request].by_status.entry(status).or_default() += 1;
                        answered = true;
                    }
                    Err(_) => tallies[request].unanswered += 1,
                }
            }
            if !answered {
                thread::sleep(PAUSE);
            }
            connections.rotate_left(sent);
        }
        tallies
    }

    /// How long the request of this number has yet to wait.
    fn wait(&self, number: u64, started: Instant) -> Duration {
        let due = self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(number as f64 / rate));
        due.saturating_sub(started.elapsed())
    }
}

/// What became of the requests of a run.
#[derive(Debug)]
pub struct Summary {
    /// For each of the requests that were given, in their order.
    pub each: Vec<Tally>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// For all of them together.
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        for tally in &self.each {
            all.add(tally);
        }
        all
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.all().answered() as f64 / self.took.as_secs_f64()
    }
}

/// How often a request was answered, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Whole answers, by their status: these requests were surely worked on.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests without a whole answer, those included for which there was no connection: they may have been worked on
    /// or not.
    pub unanswered: u64,
}

impl Tally {
    /// Whole answers.
    pub fn answered(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Whole answers with this status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or_default()
    }

    fn add(&mut self, other: &Self) {
        for (status, count) in &other.by_status {
            *self.by_status.entry(*status).or_default() += count;
        }
        self.unanswered += other.unanswered;
    }
}

/// A GET with this `Authorization`, as it goes over the wire.
pub fn get(path: &str, authorization: &str) -> Vec<u8> {
    request("GET", path, authorization)
}

/// A request with a body of JSON and this `Authorization`, as it goes over the wire.
pub fn with_json(method: &str, path: &str, authorization: &str, body: &Value) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: load\r\nAuthorization: {authorization}\r\n");
    let body = body.to_string();
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request with a body of bytes, as it goes over the wire.
pub fn with_bytes(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A request without a body, with this `Authorization`, as it goes over the wire.
pub fn request(method: &str, path: &str, authorization: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: load\r\nAuthorization: {authorization}\r\n\r\n").into_bytes()
}
