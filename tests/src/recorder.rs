//! A backend that writes down what reaches it, byte for byte.
//!
//! An HTTP library would refuse some of what a proxy may be tricked into sending, and mend more of it. This one reads
//! to the end of a head, keeps it as it came, answers 200 and closes the connection. It reads no bodies.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Connections that are served at a time; one more is closed at once, which a test sees as a 503 of the proxy.
const CONNECTIONS_MAX: usize = 256;

/// Bytes of a head that are kept: twice what Envoy lets through.
const HEAD_LEN_MAX: usize = 128 * 1024;

/// How long a head may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nrecorded\n";

/// A recording backend on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Recorder {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    heads: Mutex<Vec<Head>>,
    connections: AtomicUsize,
    ended: AtomicBool,
}

impl Recorder {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has arrived since the last call, in the order of arrival.
    pub fn take(&self) -> Vec<Head> {
        std::mem::take(&mut *self.shared.heads())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // wakes it
    }
}

impl Shared {
    fn heads(&self) -> MutexGuard<'_, Vec<Head>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.connections.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                serve(stream, &shared);
                shared.connections.fetch_sub(1, Ordering::SeqCst);
            });
        } else {
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Whatever has arrived is kept, whole or not: a test must see half a head too.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < HEAD_LEN_MAX {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
        }
    }
    if !head.is_empty() {
        shared.heads().push(Head(head));
        let _ = stream.write_all(ANSWER);
    }
}

/// The head of a request, as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Head(Vec<u8>);

impl Head {
    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The request target: whatever is between the first and the last space of the first line.
    pub fn target(&self) -> &[u8] {
        let line = self.lines().next().unwrap_or_default();
        let after_method = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default();
        after_method.rsplitn(2, |byte| *byte == b' ').nth(1).unwrap_or(after_method)
    }

    /// The names and values of the headers, the names in lower case. A line without a colon is a name without a value.
    pub fn headers(&self) -> impl Iterator<Item = (String, &[u8])> {
        self.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).to_ascii_lowercase();
            (name, parts.next().unwrap_or_default().trim_ascii())
        })
    }

    /// The values of a header, as many as came.
    pub fn values(&self, wanted: &str) -> Vec<&[u8]> {
        self.headers().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect()
    }

    /// Whether these bytes are anywhere in it.
    pub fn contains(&self, wanted: &[u8]) -> bool {
        self.0.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Lines as the most careless reader cuts them: at every line feed.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}
