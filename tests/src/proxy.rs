//! An Envoy with the filter.

use crate::process::Process;
use crate::stack::Site;
use crate::world::{Call, Token, client, eventually};
use reqwest::blocking::Client;
use reqwest::{Method, StatusCode};
use std::net::TcpStream;
use std::time::Duration;

/// Connections tried before every one of four workers has surely been met.
pub const CONNECTIONS: usize = 32;

/// An Envoy on ports and with files of its own. A [`World`](crate::World) has one, and others beside it where a test
/// asks for them. It ends when it is dropped; if the test fails, the end of its log is printed.
pub struct Proxy {
    /// Where it is. What is changed here counts from its next start.
    pub site: Site,
    /// Arguments for its next start, beside those that every Envoy of ours has.
    pub arguments: Vec<String>,
    /// Variables for its next start, beside the sync key.
    pub variables: Vec<(&'static str, String)>,
    config: String,
    client: Client,
    process: Option<Process>,
}

impl Proxy {
    /// One that is yet to be started, configured as `tokengate envoy-config` has it.
    pub fn new(site: Site) -> Self {
        let config = site.envoy_config().expect("Envoy's configuration");
        let client = client().build().expect("an HTTP client");
        Self { site, arguments: Vec::new(), variables: Vec::new(), config, client, process: None }
    }

    /// Changes its configuration, for its next start. What is to be replaced must be there.
    pub fn edit_config(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from), "envoy.yaml does not contain {from:?}");
        self.config = self.config.replace(from, to);
    }

    /// Takes this `envoy.yaml`, of another release, in the place of its configuration, for its next start.
    pub fn take_template(&mut self, template: &str) {
        self.config = self.site.fill_in(template);
    }

    /// Sends the feed, and nothing else, to this port of 127.0.0.1, from its next start on.
    pub fn feed_through(&mut self, port: u16) {
        let (before, feed) = self.config.split_once("cluster_name: tokengate-feed\n").expect("the feed's cluster");
        let from = format!("port_value: {} # TOKENGATE_CONTROL_PORT", self.site.ports.control);
        assert_eq!(feed.matches(&from).count(), 1, "envoy.yaml does not end with the feed's cluster");
        self.config =
            format!("{before}cluster_name: tokengate-feed\n{}", feed.replace(&from, &format!("port_value: {port}")));
    }

    /// Its configuration as it stands.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Starts it and waits until it accepts connections.
    pub fn start(&mut self) {
        let process = self.site.start_envoy_with(&self.config, &self.arguments, &self.variables);
        self.process = Some(process.expect("Envoy starts"));
        eventually("Envoy accepts connections", || {
            TcpStream::connect(("127.0.0.1", self.site.ports.entrance)).is_ok().then_some(())
        });
    }

    /// Waits until the filter has a snapshot.
    pub fn wait_until_ready(&self) {
        eventually("the proxy is ready", || {
            (self.get("/.well-known/tokengate/ready").send().status == StatusCode::OK).then_some(())
        });
    }

    /// Kills it without warning.
    pub fn kill(&mut self) {
        self.process.take().expect("a running Envoy").kill_9();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// The memory that it holds (its resident set), in bytes.
    pub fn memory(&self) -> u64 {
        self.process().memory("VmRSS")
    }

    /// The CPU time that it has used, in all its threads, to 10 ms.
    pub fn cpu(&self) -> Duration {
        self.process().cpu()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a running Envoy")
    }

    /// A GET through it.
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// A request through it.
    pub fn request(&self, method: Method, path: &str) -> Call {
        Call::new(&self.client, method, self.site.ports.entrance, path)
    }

    /// What came of a GET with alice's token over so many fresh connections that every worker was met: the statuses,
    /// without repetitions.
    pub fn statuses(&self, path: &str, token: &Token) -> Vec<u16> {
        let get = || self.get(path).basic("alice", token).send().status.as_u16();
        let mut statuses: Vec<u16> = (0..CONNECTIONS).map(|_| get()).collect();
        statuses.dedup();
        statuses
    }

    /// A page of its admin interface.
    pub fn admin(&self, path: &str) -> String {
        Call::new(&self.client, Method::GET, self.site.ports.admin, path).send().text
    }

    /// A number among its statistics; 0 if it is not there yet.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.admin(&format!("/stats?filter=^{}$", name.replace('.', "\\.")));
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    /// All that it has written to its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.site.log("envoy")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(25)..].join("\n");
            eprintln!("--- the end of {}\n{end}", self.site.log("envoy").display());
        }
    }
}
