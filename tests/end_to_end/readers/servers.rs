//! The readers: real HTTP servers, each of which answers with what it read.

use serde_json::Value;
use std::net::TcpStream;
use std::path::Path;
use tests::load::Connection;
use tests::process::Process;
use tests::recorder::Head;
use tests::{World, eventually, free_port};

/// Where the programs are.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/end_to_end/readers");

/// All readers. They end when this is dropped; if the test fails, the ends of their logs are printed.
pub(super) struct Readers {
    pub(super) all: Vec<Reader>,
    processes: Vec<Process>,
}

/// One of them.
pub(super) struct Reader {
    pub(super) name: &'static str,
    pub(super) names: Names,
    port: u16,
}

/// What a reader makes of names with brackets, dots and spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    AsTheyAre,
    OfPhp,
    OfQs,
}

/// What a reader read.
pub(super) struct Reading {
    query: Value,
    /// User and password.
    pub(super) credential: Option<(Vec<u8>, Vec<u8>)>,
    /// A bearer token, from a reader that knows of them.
    pub(super) token: Option<Vec<u8>>,
}

impl Readers {
    /// Starts all, and waits until they answer.
    pub(super) fn start(world: &World) -> Self {
        let [php, werkzeug, bottle, simple, extended] = [(); 5].map(|()| free_port());
        let tools = &world.site.tools;
        let program = |name: &str| format!("{PROGRAMS}/{name}");
        let port = |port: u16| port.to_string();
        let node_path = [("NODE_PATH", tools.npm.display().to_string())];
        let node = [
            "--max-http-header-size=131072".to_owned(), // as much as Envoy lets through
            program("express_reader.js"),
            port(simple),
            port(extended),
        ];
        let php_arguments = [
            "-d".to_owned(),
            "display_errors=0".to_owned(), // in front of the answer
            "-S".to_owned(),
            format!("127.0.0.1:{php}"),
            program("reader.php"),
        ];
        let start = |name: &'static str, program: &Path, arguments: &[String], variables: &[(&str, String)]| {
            let process = Process::start(name, program, arguments, variables, &world.site.log(name));
            process.unwrap_or_else(|error| panic!("{name}: {error}; `tests/setup.sh tests` installs it"))
        };
        let processes = vec![
            start("php", Path::new("php"), &php_arguments, &[]),
            start("werkzeug", &tools.python, &[program("werkzeug_reader.py"), port(werkzeug)], &[]),
            start("bottle", &tools.python, &[program("bottle_reader.py"), port(bottle)], &[]),
            start("express", &tools.node, &node, &node_path),
        ];
        let all = vec![
            Reader { name: "PHP", names: Names::OfPhp, port: php },
            Reader { name: "Werkzeug", names: Names::AsTheyAre, port: werkzeug },
            Reader { name: "Bottle", names: Names::AsTheyAre, port: bottle },
            Reader { name: "Express, simple", names: Names::AsTheyAre, port: simple },
            Reader { name: "Express, extended", names: Names::OfQs, port: extended },
        ];
        let readers = Self { all, processes };
        for reader in &readers.all {
            eventually("a reader listens", || TcpStream::connect(("127.0.0.1", reader.port)).is_ok().then_some(()));
        }
        readers
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.processes {
                let log = String::from_utf8_lossy(&std::fs::read(process.log()).unwrap_or_default()).into_owned();
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("--- the end of {}\n{}", process.name(), lines[lines.len().saturating_sub(10)..].join("\n"));
            }
        }
    }
}

impl Reader {
    /// What it reads of these bytes; `None`: it refuses them.
    pub(super) fn read(&self, head: &Head) -> Option<Reading> {
        // A connection of its own for each: what one request leaves behind must not be read with the next.
        let mut connection = Connection::to(self.port);
        let status = connection.ask(head.bytes()).ok()?;
        let answer: Value = serde_json::from_slice(connection.body()).ok().filter(|_| status == 200)?;
        let part = |name: &str| answer[name].as_str().map(|digits| from_hex(digits).expect("hexadecimal digits"));
        let (user, password) = (part("user"), part("password"));
        // An empty one is as good as none to PHP.
        let credential =
            (user.is_some() || password.is_some()).then(|| (user.unwrap_or_default(), password.unwrap_or_default()));
        Some(Reading { query: answer["query"].clone(), credential, token: part("token") })
    }
}

impl Reading {
    /// All values at this place of the query, however they are nested. `None`: there is something else than values and
    /// lists of them.
    pub(super) fn values(&self, place: &[&str]) -> Option<Vec<&str>> {
        let mut found = &self.query;
        for name in place {
            match found.get(*name) {
                Some(value) => found = value,
                None => return Some(Vec::new()),
            }
        }
        let mut values = Vec::new();
        gather(found, &mut values).then_some(values)
    }

    /// What is at this place, to be shown.
    pub(super) fn shown(&self, place: &[&str]) -> String {
        place.iter().fold(&self.query, |found, name| found.get(*name).unwrap_or(&Value::Null)).to_string()
    }
}

fn gather<'a>(value: &'a Value, values: &mut Vec<&'a str>) -> bool {
    match value {
        Value::String(text) => {
            values.push(text);
            true
        }
        Value::Array(members) => members.iter().all(|member| gather(member, values)),
        // A list with gaps is an object in JSON.
        Value::Object(members) => {
            members.iter().all(|(key, member)| key.parse::<u64>().is_ok() && gather(member, values))
        }
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
