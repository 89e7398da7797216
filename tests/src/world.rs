//! A whole Tokengate for one test.

use crate::Proxy;
use crate::process::Process;
use crate::stack::{Ports, Site, Tools};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Envoy, control plane and backend as processes of this test alone; they end, and their files vanish, with it. If the
/// test fails, the ends of their logs are printed.
pub struct World {
    /// Where everything is.
    pub site: Site,
    /// Envoy.
    pub proxy: Proxy,
    control_plane: Option<Process>,
    _backend: Process,
    client: Client,
    _directory: TempDir,
}

impl World {
    /// Everything running and ready, Envoy with two workers.
    pub fn start() -> Self {
        Self::start_with_workers(2)
    }

    /// Everything running and ready, Envoy with so many workers.
    pub fn start_with_workers(workers: u32) -> Self {
        let mut world = Self::prepare(workers);
        world.start_both();
        world
    }

    /// Everything but Envoy: for what does not concern it.
    pub fn start_without_proxy() -> Self {
        let mut world = Self::prepare(1);
        world.start_control_plane();
        world
    }

    /// The backend running; control plane and Envoy are yet to be started.
    pub fn prepare(workers: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let site = Site {
            tools: Tools::find().expect("the programs of the stack"),
            data: directory.path().join("data"),
            logs: directory.path().to_owned(),
            ports: Ports { entrance: free_port(), control: free_port(), backend: free_port(), admin: free_port() },
            workers,
            log_level: "debug,hyper=info,sqlx=info",
            secure_mode: true,
            given_sync_key: None,
            control_variables: Vec::new(),
        };
        let proxy = Proxy::new(site.clone());
        let backend = site.start_backend().expect("the backend starts");
        let client = client().build().expect("an HTTP client");
        let world = Self { site, proxy, control_plane: None, _backend: backend, client, _directory: directory };
        eventually("the backend answers", || {
            TcpStream::connect(("127.0.0.1", world.site.ports.backend)).is_ok().then_some(())
        });
        world
    }

    /// Another Envoy beside the first, yet to be started: on its own ports, under the same name, with the same control
    /// plane and backend.
    pub fn another_proxy(&self) -> Proxy {
        let ports = Ports { entrance: free_port(), admin: free_port(), ..self.site.ports };
        let logs = self.site.logs.join(format!("envoy-{}", ports.entrance));
        std::fs::create_dir(&logs).expect("a directory");
        Proxy::new(Site { ports, logs, ..self.site.clone() })
    }

    /// Changes Envoy's configuration, for its next start. What is to be replaced must be there.
    pub fn edit_config(&mut self, from: &str, to: &str) {
        self.proxy.edit_config(from, to);
    }

    /// Lets Envoy answer `/rest/direct` by itself, for its next start: after all its filters, and without the backend,
    /// which would be the slowest part.
    pub fn answer_directly(&mut self) {
        let backend = "- match: { prefix: / }";
        let direct = "- match: { prefix: /rest/direct }
                direct_response: { status: 200, body: { inline_string: \"ok\" } }
              ";
        self.edit_config(backend, &format!("{direct}{backend}"));
    }

    /// Sends the feed, and nothing else, to this port of 127.0.0.1, from Envoy's next start on.
    pub fn feed_through(&mut self, port: u16) {
        self.proxy.feed_through(port);
    }

    /// Envoy's configuration as it stands.
    pub fn config(&self) -> &str {
        self.proxy.config()
    }

    /// Starts control plane and Envoy, and waits until the filter has a snapshot.
    pub fn start_both(&mut self) {
        self.start_control_plane();
        self.start_envoy();
        self.wait_until_ready();
    }

    /// Starts the control plane and waits until it answers.
    pub fn start_control_plane(&mut self) {
        self.start_control_plane_within(PATIENCE);
    }

    /// The same where it has so much to read that it may take longer.
    pub fn start_control_plane_within(&mut self, promised: Duration) {
        self.control_plane = Some(self.site.start_control_plane().expect("the control plane starts"));
        eventually_within(promised, "the control plane is ready", || {
            (self.control_get("/readyz").send().status == StatusCode::OK).then_some(())
        });
    }

    /// The control plane's process.
    pub fn control_plane(&self) -> &Process {
        self.control_plane.as_ref().expect("a running control plane")
    }

    /// Starts Envoy and waits until it accepts connections.
    pub fn start_envoy(&mut self) {
        self.proxy.start();
    }

    /// Whether the control plane has ended by itself, or soon does.
    pub fn control_plane_ends(&mut self) -> bool {
        let mut process = self.control_plane.take().expect("a control plane");
        let until = Instant::now() + Duration::from_secs(5);
        while process.ended().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        process.ended().is_some()
    }

    /// Waits until the filter has a snapshot.
    pub fn wait_until_ready(&self) {
        self.proxy.wait_until_ready();
    }

    /// Kills the control plane without warning.
    pub fn kill_control_plane(&mut self) {
        self.control_plane.take().expect("a running control plane").kill_9();
    }

    /// Kills Envoy without warning.
    pub fn kill_envoy(&mut self) {
        self.proxy.kill();
    }

    /// Asks the control plane to stop; whether it did by itself.
    pub fn stop_control_plane(&mut self) -> bool {
        self.control_plane.take().expect("a running control plane").stop(Duration::from_secs(10))
    }

    /// Whether Envoy still runs.
    pub fn envoy_runs(&mut self) -> bool {
        self.proxy.runs()
    }

    /// Asserts that Envoy runs, and that no VM in it has trapped.
    pub fn assert_unharmed(&mut self) {
        assert!(self.envoy_runs());
        let reloads = self.envoy_admin("/stats?filter=wasm.tokengate.vm_reload");
        assert!(!reloads.is_empty() && reloads.lines().all(|line| line.ends_with(": 0")), "{reloads}");
        // What traps outside of a request, on the main thread above all, is in the log alone.
        let log = self.log("envoy");
        let mut of_envoy = log.lines().filter(|line| line.contains("[wasm]") && !line.contains("] wasm log "));
        assert_eq!(of_envoy.find(|line| line.contains("[error]") || line.contains("[critical]")), None);
    }

    /// The first sysadmin's token.
    pub fn admin_token(&self) -> String {
        let file = self.site.data.join("admin-token");
        std::fs::read_to_string(file).expect("the admin's token").trim().to_owned()
    }

    /// Creates a user, with the e-mail address NAME@example.org.
    pub fn create_user(&self, name: &str) {
        let body = json!({ "name": name, "email": format!("{name}@example.org") });
        let reply = self.as_admin(Method::POST, "/api/v1/users").json(&body).send();
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
    }

    /// Creates a token of a user, which is created if need be, and waits until the proxy admits it.
    pub fn token_for(&self, name: &str) -> Token {
        if self.as_admin(Method::GET, &format!("/api/v1/users/{name}")).send().status == StatusCode::NOT_FOUND {
            self.create_user(name);
        }
        let token = self.new_token(&json!({ "label": "test", "owner": name }));
        eventually("the proxy admits the new token", || {
            (self.get("/rest/").bearer(&token.text).send().status == StatusCode::OK).then_some(())
        });
        token
    }

    /// Creates a token with these properties.
    pub fn new_token(&self, properties: &Value) -> Token {
        let reply = self.as_admin(Method::POST, "/api/v1/tokens").json(properties).send();
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
        let field = |name: &str| reply.json[name].as_str().expect("a field of the new token").to_owned();
        Token { id: field("id"), text: field("token") }
    }

    /// Takes over a token that exists already, as an administrator would from another product.
    pub fn import_token(&self, text: &str, owner: &str) -> Token {
        let sha256: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let properties = json!({ "label": "imported", "owner": owner, "sha256": sha256 });
        let reply = self.as_admin(Method::POST, "/api/v1/tokens").json(&properties).send();
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
        assert!(reply.json["token"].is_null(), "it is shown to nobody: {}", reply.text);
        self.wait_until_told();
        Token { id: reply.json["id"].as_str().expect("an id").to_owned(), text: text.to_owned() }
    }

    /// Edits a user.
    pub fn edit_user(&self, name: &str, edit: &Value) {
        let reply = self.as_admin(Method::PATCH, &format!("/api/v1/users/{name}")).json(edit).send();
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    }

    /// Changes settings, as an administrator who knows what they do, and waits until they are in force.
    pub fn set(&self, settings: &Value) {
        let reply = self.as_admin(Method::PATCH, "/api/v1/settings?force=true").json(settings).send();
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
        self.wait_until_told();
    }

    /// Waits until the proxy has in force whatever the control plane has.
    pub fn wait_until_told(&self) {
        let wanted = self.control_get("/readyz").send().json["revision"].as_u64().expect("a revision");
        eventually("the proxy has it in force", || {
            let revision = self.get("/.well-known/tokengate/ready").send().json["revision"].as_u64();
            (revision? >= wanted).then_some(())
        });
        // From then on every worker decides by it.
        std::thread::sleep(Duration::from_millis(policy::feed::ACKNOWLEDGED_AFTER_MS));
    }

    /// Deletes a token.
    pub fn delete_token(&self, token: &Token) {
        let reply = self.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}", token.id)).send();
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.text);
    }

    /// A call of the API by the first sysadmin, at the control plane itself.
    pub fn as_admin(&self, method: Method, path: &str) -> Call {
        self.call(method, self.site.ports.control, path).basic("admin", &self.admin_token())
    }

    /// A request at the control plane itself.
    pub fn control_call(&self, method: Method, path: &str) -> Call {
        self.call(method, self.site.ports.control, path)
    }

    /// A GET at the control plane itself.
    pub fn control_get(&self, path: &str) -> Call {
        self.call(Method::GET, self.site.ports.control, path)
    }

    /// A GET through Envoy.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// A request through Envoy.
    pub fn request(&self, method: Method, path: &str) -> Call {
        self.proxy.request(method, path)
    }

    /// A GET through Envoy over HTTP/2.
    pub fn get_http2(&self, path: &str) -> Call {
        let client = client().http2_prior_knowledge().build().expect("an HTTP/2 client");
        Call(client.get(format!("http://127.0.0.1:{}{path}", self.site.ports.entrance)))
    }

    /// A PUT of JSON through Envoy over HTTP/2.
    pub fn put_http2(&self, path: &str, token: &Token, body: &str) -> Reply {
        let client = client().http2_prior_knowledge().build().expect("an HTTP/2 client");
        let call = Call(client.put(format!("http://127.0.0.1:{}{path}", self.site.ports.entrance)));
        call.bearer(token).body("application/json", body).send()
    }

    /// Writes these bytes to Envoy and gives back all that comes until it closes. The request should ask for that.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.site.ports.entrance)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
        stream.write_all(request).expect("the request is written");
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// How often the backend saw a wrong password.
    pub fn failed_logins(&self) -> u64 {
        self.backend_get("/failed-logins").json["count"].as_u64().expect("a count")
    }

    /// The requests with this path that reached the backend.
    pub fn received(&self, path: &str) -> Vec<Value> {
        self.all_received(|request| request["path"] == path)
    }

    /// The requests that reached the backend on the strength of this token, in their order.
    pub fn received_by(&self, token: &Token) -> Vec<Value> {
        self.all_received(|request| request["headers"]["x-tokengate-token-id"] == *token.id)
    }

    fn all_received(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let all = self.backend_get("/received").json;
        all.as_array().expect("a list").iter().filter(|request| wanted(request)).cloned().collect()
    }

    /// A page of Envoy's admin interface.
    pub fn envoy_admin(&self, path: &str) -> String {
        self.proxy.admin(path)
    }

    /// What the filter has counted under this name.
    pub fn counted(&self, name: &str) -> u64 {
        let stats = self.envoy_admin("/stats?filter=tokengate");
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("wasmcustom.tokengate.{name}: ")));
        line.map_or(0, |count| count.parse().expect("a number"))
    }

    /// Puts tokens of a user into the database of a stopped control plane that nobody has: so many that a full sync has
    /// many pages.
    pub fn add_unusable_tokens(&self, owner: &str, count: u32) {
        let script = "import os, sqlite3, sys\n\
            database = sqlite3.connect(sys.argv[1])\n\
            owner, = database.execute('select id from users where name = ?', (sys.argv[2],)).fetchone()\n\
            rows = [(os.urandom(10).hex(), os.urandom(32), 'unusable', owner, 0, 0, 0) for _ in range(int(sys.argv[3]))]\n\
            database.executemany('insert into tokens (public_id, hash, label, owner_id, created_at, read_only, imported) values (?, ?, ?, ?, ?, ?, ?)', rows)\n\
            database.commit()";
        self.python(script, &[owner, &count.to_string()]);
    }

    /// Runs SQL statements in the database of a stopped control plane.
    pub fn run_sql(&self, statements: &str) {
        let script =
            "import sqlite3, sys\ndatabase = sqlite3.connect(sys.argv[1])\ndatabase.executescript(sys.argv[2])";
        self.python(script, &[statements]);
    }

    /// The audit as it lies in the database, a line a record.
    pub fn audit(&self) -> Vec<String> {
        self.rows("select revision, actor, action, subject, detail, on_behalf_of from audit order by id")
    }

    /// What a statement finds in the database, or changes there: a line a row, with `|` between its columns.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let script = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1], timeout=10) as database:\n for row in \
                      database.execute(sys.argv[2]): print('|'.join(map(str, row)))";
        self.python(script, &[query]).lines().map(str::to_owned).collect()
    }

    /// All that a part of the stack has written to its log.
    pub fn log(&self, part: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.site.log(part)).unwrap_or_default()).into_owned()
    }

    /// Runs a Python script on the database's file and further arguments; gives what it prints.
    fn python(&self, script: &str, arguments: &[&str]) -> String {
        let database = self.site.data.join("tokengate.db");
        let mut command = Command::new(&self.site.tools.python);
        let output = command.args(["-c", script]).arg(database).args(arguments).output().expect("python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn backend_get(&self, path: &str) -> Reply {
        self.call(Method::GET, self.site.ports.backend, path).send()
    }

    fn call(&self, method: Method, port: u16, path: &str) -> Call {
        Call::new(&self.client, method, port, path)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for part in ["control-plane", "backend"] {
                let log = self.log(part);
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("--- the end of {part}.log\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
            }
        }
    }
}

/// Says stop when it is dropped: however a test ends, the load that it started ends with it.
#[derive(Debug)]
pub struct StopWhenDropped<'a>(pub &'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A token that a test made.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its public id.
    pub id: String,
    /// The token itself.
    pub text: String,
}

impl AsRef<str> for Token {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// A token of our format, with a right checksum, that nobody has.
pub const UNKNOWN_TOKEN: &str = "tgt_1FPc9b5c5QdpH4zZv03tchG8AluSK9wTi3GMj7K";

/// The value of `Authorization` for a user and a token or password.
pub fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{secret}")))
}

/// A request in the making.
pub struct Call(RequestBuilder);

impl Call {
    pub(crate) fn new(client: &Client, method: Method, port: u16, path: &str) -> Self {
        Self(client.request(method, format!("http://127.0.0.1:{port}{path}")))
    }

    /// With `Authorization: Basic base64(user:secret)`.
    pub fn basic(self, user: &str, secret: &(impl AsRef<str> + ?Sized)) -> Self {
        self.header("authorization", basic(user, secret.as_ref()).as_bytes())
    }

    /// With `Authorization: Bearer secret`.
    pub fn bearer(self, secret: &(impl AsRef<str> + ?Sized)) -> Self {
        self.header("authorization", format!("Bearer {}", secret.as_ref()).as_bytes())
    }

    /// With one more header; the value is bytes.
    pub fn header(self, name: &str, value: &[u8]) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        Self(self.0.header(name, HeaderValue::from_bytes(value).expect("a header value")))
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// With a body as a row of a table of routes has it: a text is a table of comma-separated values, null is none.
    pub fn content(self, body: &Value) -> Self {
        match body {
            Value::Null => self,
            Value::String(text) => self.body("text/csv", text),
            json => self.json(json),
        }
    }

    /// With a body and its type.
    pub fn body(self, content_type: &str, body: &str) -> Self {
        Self(self.0.header("content-type", content_type).body(body.to_owned()))
    }

    /// With a body whose type is said by a header, or not at all.
    pub fn text(self, body: &str) -> Self {
        Self(self.0.body(body.to_owned()))
    }

    /// Sends it. A connection that fails counts as a reply with status 599.
    pub fn send(self) -> Reply {
        match self.0.send() {
            Ok(reply) => {
                let (status, headers) = (reply.status(), reply.headers().clone());
                let text = reply.text().unwrap_or_default();
                let json = serde_json::from_str(&text).unwrap_or(Value::Null);
                Reply { status, headers, text, json }
            }
            Err(error) => Reply {
                status: StatusCode::from_u16(599).expect("a status"),
                headers: reqwest::header::HeaderMap::new(),
                text: error.to_string(),
                json: Value::Null,
            },
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub text: String,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Reply {
    /// Asserts that the backend answered, and as whom it saw the caller.
    pub fn assert_user(&self, name: Option<&str>) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(self.json["user"].as_str(), name, "{}", self.text);
    }

    /// Asserts that Tokengate refused, with this status and code, in the form of a problem.
    pub fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert!(self.json["detail"].is_string() && self.json["title"].is_string(), "{}", self.text);
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(self.headers.contains_key("retry-after"), [429, 503].contains(&status));
    }

    /// Asserts that a header reached the backend with this value, or did not reach it at all.
    pub fn assert_received(&self, header: &str, value: Option<&str>) {
        assert_eq!(self.json["headers"][header].as_str(), value, "{}", self.text);
        assert!(!self.json["headers"][header].is_array(), "{header} arrived more than once: {}", self.text);
    }
}

/// How long anything may take that has no promised time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits until something is so, for at most 15 s: for what has no promised time.
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, attempt)
}

/// Waits until something is so; fails when it is not within the promised time.
pub fn eventually_within<T>(promised: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        let outcome = attempt();
        assert!(started.elapsed() < promised, "not so within {promised:?}: {what}");
        if let Some(outcome) = outcome {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The time so many seconds from now, as the API wants it.
#[expect(clippy::disallowed_methods, reason = "a test that waits for real time needs it")]
pub fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// An HTTP client that keeps no connections (with several workers each may land on another one, and each is to be
/// asked) and heeds no proxy of this machine's.
pub fn client() -> reqwest::blocking::ClientBuilder {
    Client::builder().timeout(Duration::from_secs(10)).pool_max_idle_per_host(0).no_proxy()
}

/// A port that nobody listens on, below those that the kernel hands out by itself, each given once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = u16::try_from(std::process::id() % 10_000).unwrap_or_default();
        let port = 20_000 + (spread + count) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
