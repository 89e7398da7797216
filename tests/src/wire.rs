//! A relay on the wire between a proxy and its control plane, which does there what networks and attackers do.
//!
//! ```text
//! Envoy ── question ──▶ Relay ── the same, byte for byte ──▶ control plane
//!       ◀── what the Fault in force makes of it ──  ◀── answer ──
//! ```
//!
//! It knows HTTP/1.1 as far as these two speak it: one message at a time, bodies by `Content-Length`. Whoever waits in
//! it looks every few milliseconds whether another fault is in force: then a question that hangs meets that one.

use crate::eventually;
use policy::feed::USAGE_PATH;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are served at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a message that is relayed: several times the largest answer.
const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Exchanges that are kept for whoever takes them: with pages of half a megabyte, some thirty megabytes.
const RECORDED_MAX: usize = 64;

/// How often whoever waits looks around.
const LOOK: Duration = Duration::from_millis(5);

/// How long the other side may take over what is written to it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to a question and its answer.
pub enum Fault {
    /// Nothing: the answer goes back as it came.
    Pass,
    /// The connection is closed without an answer. The control plane is not asked.
    Close,
    /// Nothing goes through, and nobody is told: a partition. What hangs goes on when another fault is in force, as TCP
    /// would.
    Hang,
    /// The same for ever: the connection is dead, and nobody is told, as when something on the way forgot it.
    Dead,
    /// The answer comes this much later.
    Delay(Duration),
    /// The connection is closed after so many bytes of the answer's body, and in any case before the last.
    Cut(usize),
    /// This status and body come in place of an answer. The control plane is not asked.
    Reply(u16, Vec<u8>),
    /// The body of the answer becomes what this makes of it.
    Change(Change),
}

/// Makes a body out of a question and its answer.
pub type Change = Box<dyn Fn(&Exchange) -> Vec<u8> + Send + Sync>;

impl Fault {
    /// A [`Fault::Change`].
    pub fn change(change: impl Fn(&Exchange) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Change(Box::new(change))
    }

    fn wants_an_answer(&self) -> bool {
        matches!(self, Self::Pass | Self::Delay(_) | Self::Cut(_) | Self::Change(_))
    }
}

/// A question, and what the control plane answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As it came from the proxy.
    pub question: Message,
    /// As it came from the control plane.
    pub answer: Message,
}

/// A message of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line and the headers, with the empty line behind them.
    pub head: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header; its name is compared without regard to case.
    pub fn header(&self, wanted: &str) -> Option<&str> {
        let lines = std::str::from_utf8(&self.head).ok()?.lines().skip(1);
        let mut headers = lines.filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    }

    /// The message that these bytes are, once they are whole. Without a length there is no body.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let (head, body) = bytes.split_at(end);
        let message = Self { head: head.to_vec(), body: Vec::new() };
        let length = message.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        (body.len() == length).then(|| Self { body: body.to_vec(), ..message })
    }
}

/// A relay on a port of its own. It ends when it is dropped.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    recorded: Mutex<VecDeque<Exchange>>,
    connections: AtomicUsize,
    ended: AtomicBool,
}

struct State {
    in_force: InForce,
    met: usize,
    /// After so many answers more this is in force.
    then: Option<(usize, Arc<Fault>)>,
}

/// What a question meets.
#[derive(Clone)]
struct InForce {
    fault: Arc<Fault>,
    target: u16,
    /// Counts up with every change.
    version: u64,
}

impl Relay {
    /// Starts one that passes everything on to this port of 127.0.0.1.
    pub fn start(target: u16) -> Self {
        let port = crate::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let in_force = InForce { fault: Arc::new(Fault::Pass), target, version: 0 };
        let shared = Arc::new(Shared {
            state: Mutex::new(State { in_force, met: 0, then: None }),
            recorded: Mutex::default(),
            connections: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Puts a fault in force, also for the questions that hang.
    pub fn set(&self, fault: Fault) {
        self.pass_then(0, fault);
    }

    /// Lets so many answers through and then puts a fault in force, before the proxy can ask the next question.
    pub fn pass_then(&self, answers: usize, fault: Fault) {
        let mut state = self.shared.state();
        state.then = Some((answers, Arc::new(fault)));
        state.put_in_force(Arc::new(Fault::Pass));
        state.count_down();
    }

    /// Asks another control plane from now on, the questions that hang too.
    pub fn ask_at(&self, target: u16) {
        let mut state = self.shared.state();
        state.in_force.target = target;
        state.in_force.version += 1;
    }

    /// How often the fault in force has been met; of [`Fault::Pass`], how many answers went through. Those that are let
    /// through before a fault do not count.
    pub fn met(&self) -> usize {
        let state = self.shared.state();
        if state.then.is_some() { 0 } else { state.met }
    }

    /// Waits until the fault in force has been met so many times.
    pub fn wait_until_met(&self, times: usize) {
        eventually("the fault is met", || (self.met() >= times).then_some(()));
    }

    /// What the control plane was asked and answered since the last call, the latest of it: before any fault.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.shared.recorded()).into()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes it
    }
}

impl State {
    fn put_in_force(&mut self, fault: Arc<Fault>) {
        self.in_force.fault = fault;
        self.in_force.version += 1;
        self.met = 0;
    }

    fn count_down(&mut self) {
        if let Some((0, fault)) = self.then.take_if(|(left, _)| *left == 0) {
            self.put_in_force(fault);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_force(&self) -> InForce {
        self.state().in_force.clone()
    }

    /// Counts a question that meets this; false if it is not in force any more, and something else is to be met.
    fn meet(&self, met: &InForce) -> bool {
        let mut state = self.state();
        let is_in_force = state.in_force.version == met.version;
        if is_in_force {
            state.met += 1;
            if let Some((left, _)) = &mut state.then {
                *left -= 1;
            }
            state.count_down();
        }
        is_in_force
    }

    fn record(&self, exchange: Exchange) {
        let mut recorded = self.recorded();
        recorded.push_back(exchange);
        if recorded.len() > RECORDED_MAX {
            recorded.pop_front();
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.has_ended() {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.connections.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                // An error is a connection that has gone, which is not ours to mend.
                let _ = serve(stream, &shared);
                shared.connections.fetch_sub(1, Ordering::SeqCst);
            });
        } else {
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn serve(mut proxy: TcpStream, shared: &Shared) -> io::Result<()> {
    prepare(&proxy)?;
    while let Some(message) = read(&mut proxy, || !shared.has_ended())? {
        let is_report = message.head.starts_with(format!("POST {USAGE_PATH} ").as_bytes());
        let goes_on =
            if is_report { pass_report(&mut proxy, &message, shared)? } else { relay(&mut proxy, &message, shared)? };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// A report of usage is not what the faults are about: it goes through, if anything does, and counts for nothing.
fn pass_report(proxy: &mut TcpStream, report: &Message, shared: &Shared) -> io::Result<bool> {
    let met = shared.in_force();
    if matches!(*met.fault, Fault::Close | Fault::Hang | Fault::Dead) {
        return Ok(false);
    }
    let Some(Message { head, body }) = ask(met.target, report, || !shared.has_ended() && is_there(proxy))? else {
        return Ok(false);
    };
    proxy.write_all(&[head, body].concat())?;
    Ok(true)
}

/// Whether the connection goes on afterwards.
fn relay(proxy: &mut TcpStream, question: &Message, shared: &Shared) -> io::Result<bool> {
    let mut answered: Option<(u16, Message)> = None;
    loop {
        let met = shared.in_force();
        let answered_here = answered.take().filter(|(target, _)| *target == met.target);
        let stays = || shared.in_force().version == met.version;
        if !met.fault.wants_an_answer() && !shared.meet(&met) {
            continue;
        }
        match &*met.fault {
            Fault::Close => return Ok(false),
            Fault::Reply(status, body) => {
                write(proxy, *status, body)?;
                return Ok(true);
            }
            Fault::Hang => {
                if !wait(proxy, shared, stays)? {
                    return Ok(false);
                }
                continue;
            }
            Fault::Dead => return wait(proxy, shared, || true),
            Fault::Pass | Fault::Delay(_) | Fault::Cut(_) | Fault::Change(_) => {}
        }
        let answer = if let Some((_, answer)) = answered_here {
            answer
        } else {
            let Some(answer) = ask(met.target, question, || stays() && !shared.has_ended() && is_there(proxy))? else {
                // The control plane has gone, or the proxy; or something else is to be met, by another question, since
                // none is answered twice. Another control plane does not know this one yet.
                if shared.in_force().target == met.target {
                    return Ok(false);
                }
                continue;
            };
            shared.record(Exchange { question: question.clone(), answer: answer.clone() });
            answer
        };
        answered = Some((met.target, answer.clone()));
        let exchange = Exchange { question: question.clone(), answer };
        if let Fault::Delay(delay) = &*met.fault {
            let until = Instant::now() + *delay;
            if !wait(proxy, shared, || stays() && Instant::now() < until)? {
                return Ok(false);
            }
        }
        if !shared.meet(&met) {
            continue;
        }
        let Exchange { answer: Message { head, body }, .. } = &exchange;
        match &*met.fault {
            Fault::Cut(bytes) => {
                proxy.write_all(head)?;
                proxy.write_all(&body[..(*bytes).min(body.len().saturating_sub(1))])?;
                return Ok(false);
            }
            Fault::Change(change) => write(proxy, 200, &change(&exchange))?,
            _ => {
                proxy.write_all(head)?;
                proxy.write_all(body)?;
            }
        }
        return Ok(true);
    }
}

/// Asks the control plane, on a connection of its own, and waits for the answer for as long as that makes sense; `None`:
/// there is none.
fn ask(target: u16, question: &Message, goes_on: impl FnMut() -> bool) -> io::Result<Option<Message>> {
    let mut control_plane = TcpStream::connect(("127.0.0.1", target))?;
    prepare(&control_plane)?;
    control_plane.write_all(&question.head)?;
    control_plane.write_all(&question.body)?;
    read(&mut control_plane, goes_on)
}

/// Waits for as long as that makes sense; whether the proxy still is there afterwards.
fn wait(proxy: &TcpStream, shared: &Shared, mut goes_on: impl FnMut() -> bool) -> io::Result<bool> {
    while !shared.has_ended() && is_there(proxy) {
        if !goes_on() {
            return Ok(true);
        }
        thread::sleep(LOOK);
    }
    Ok(false)
}

/// Whether the proxy has not closed the connection, on which it has nothing to say while it waits.
fn is_there(proxy: &TcpStream) -> bool {
    let peeked = proxy.set_nonblocking(true).and_then(|()| proxy.peek(&mut [0]));
    let waits = matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock);
    waits && proxy.set_nonblocking(false).is_ok()
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Reads one message for as long as that makes sense; `None`: no whole one came.
fn read(stream: &mut TcpStream, mut goes_on: impl FnMut() -> bool) -> io::Result<Option<Message>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while bytes.len() <= MESSAGE_LEN_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if !goes_on() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
        if let Some(message) = Message::parse(&bytes) {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

fn write(proxy: &mut TcpStream, status: u16, body: &[u8]) -> io::Result<()> {
    proxy.write_all(format!("HTTP/1.1 {status} Relayed\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())?;
    proxy.write_all(body)
}
