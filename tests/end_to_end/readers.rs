//! Backends that nobody here wrote read no other value of a restricted parameter, and no other credential, than the
//! filter judged: PHP, Werkzeug, Bottle, and Express with both of its parsers.
//!
//! Generated requests go through Envoy with the filter. A [`Recorder`] stands in the backend's place; what it received
//! is then sent to every reader, byte for byte.
//!
//! `cargo test -p tests --test end_to_end readers -- --nocapture` prints what became of the requests, by what is odd
//! about them.

mod credentials;
mod queries;
mod servers;

use credentials::{EXEMPT, Pair, Presented, Secrets};
use queries::{Query, RULES, Rule};
use serde_json::json;
use servers::{Names, Readers, Reading};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread;
use tests::load::Connection;
use tests::recorder::{Head, Recorder};
use tests::{Random, Token, World};

/// By which a request is known again at the backend.
const TAG_HEADER: &str = "x-case";

/// Queries for each rule, and credentials under each of the settings.
const QUERIES: usize = 900;
const CREDENTIALS: usize = 1_000;

/// Examples that are shown of each kind of finding.
const SHOWN: usize = 3;

/// Everything running, with a recorder as the backend.
struct Stack {
    recorder: Recorder,
    world: World,
    readers: Readers,
}

/// One request and what became of it.
struct Sent {
    /// What is odd about it.
    kind: &'static str,
    /// To be shown.
    text: String,
    /// What reached the backend.
    forwarded: Option<Head>,
    /// What each reader made of that, in their order; nothing from a reader that refuses.
    readings: Vec<Option<Reading>>,
}

impl Stack {
    fn start() -> Self {
        let recorder = Recorder::start();
        let mut world = World::prepare(2);
        let backend = format!("port_value: {}", world.site.ports.backend);
        world.edit_config(&backend, &format!("port_value: {}", recorder.port()));
        world.start_both();
        world.create_user("alice");
        let readers = Readers::start(&world);
        Self { recorder, world, readers }
    }

    /// Sends all requests, each with what is odd about it, and has everyone read what is forwarded. A request is given
    /// its tag and the end of its head here.
    fn send(&self, requests: &[(&'static str, Vec<u8>)]) -> Vec<Sent> {
        self.recorder.take();
        each(requests.len(), |number| {
            let end = format!("{TAG_HEADER}: {number}\r\n\r\n");
            // Envoy hangs up on some of them.
            let _ = Connection::to(self.world.site.ports.entrance).ask(&[&requests[number].1, end.as_bytes()].concat());
        });
        let mut forwarded: Vec<Option<Head>> = requests.iter().map(|_| None).collect();
        for head in self.recorder.take() {
            let tag =
                head.values(TAG_HEADER).first().and_then(|tag| std::str::from_utf8(tag).ok()?.parse::<usize>().ok());
            let place =
                tag.and_then(|tag| forwarded.get_mut(tag)).unwrap_or_else(|| panic!("a stranger arrived: {head:?}"));
            assert!(place.is_none(), "one request became two: {head:?}");
            *place = Some(head);
        }
        let readings: Vec<Mutex<Vec<Option<Reading>>>> = requests.iter().map(|_| Mutex::default()).collect();
        for reader in &self.readers.all {
            let mut answers = 0;
            let mut asked = 0;
            let read: Vec<Mutex<Option<Reading>>> = requests.iter().map(|_| Mutex::default()).collect();
            each(requests.len(), |number| {
                if let Some(head) = &forwarded[number] {
                    *read[number].lock().expect("no panic") = reader.read(head);
                }
            });
            for ((read, readings), forwarded) in read.into_iter().zip(&readings).zip(&forwarded) {
                let read = read.into_inner().expect("no panic");
                asked += u32::from(forwarded.is_some());
                answers += u32::from(read.is_some());
                readings.lock().expect("no panic").push(read);
            }
            println!("{} reads {answers} of {asked} forwarded requests", reader.name);
            assert!(answers * 10 >= asked * 9, "{} refuses too many to say much", reader.name);
        }
        let readings = readings.into_iter().map(|readings| readings.into_inner().expect("no panic"));
        let sent = requests.iter().zip(forwarded).zip(readings);
        sent.map(|(((kind, request), forwarded), readings)| Sent {
            kind,
            text: request.escape_ascii().to_string(),
            forwarded,
            readings,
        })
        .collect()
    }
}

/// Does this for all numbers up to a count, several at a time.
fn each(count: usize, work: impl Fn(usize) + Sync) {
    let next = Mutex::new(0..count);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(number) = { next.lock().expect("no panic").next() } {
                    work(number);
                }
            });
        }
    });
}

/// What should not be, by its kind.
#[derive(Default)]
struct Findings(BTreeMap<String, Vec<String>>);

impl Findings {
    fn add(&mut self, kind: String, example: String) {
        self.0.entry(kind).or_default().push(example);
    }

    fn assert_none(self) {
        let mut text = String::new();
        for (kind, examples) in &self.0 {
            let _ = writeln!(text, "{kind}: {} times", examples.len());
            for example in examples.iter().take(SHOWN) {
                let _ = writeln!(text, "    {example}");
            }
        }
        assert!(self.0.is_empty(), "{text}");
    }
}

/// How many requests of each kind were forwarded, and how many refused.
fn print_outcomes(what: &str, sent: &[Sent]) -> (usize, usize) {
    let mut kinds = BTreeMap::<&str, (usize, usize)>::new();
    for request in sent {
        let (forwarded, refused) = kinds.entry(request.kind).or_default();
        *(if request.forwarded.is_some() { forwarded } else { refused }) += 1;
    }
    println!("{what}: forwarded and refused");
    for (kind, (forwarded, refused)) in &kinds {
        println!("  {kind:<36} {forwarded:>5} {refused:>5}");
    }
    kinds.values().fold((0, 0), |(all_forwarded, all_refused), (forwarded, refused)| {
        (all_forwarded + forwarded, all_refused + refused)
    })
}

fn seed() -> u64 {
    let seed = std::env::var("READERS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(10);
    println!("seed {seed}; READERS_SEED is another");
    seed
}

#[test]
fn l4_no_reader_reads_another_value_of_a_restricted_parameter() {
    let stack = Stack::start();
    let mut random = Random(seed());
    let mut findings = Findings::default();
    for rule in &RULES {
        let token = stack.world.new_token(&json!({ "label": "x", "owner": "alice", "restrictions": [rule.line()] }));
        stack.world.wait_until_told();
        let requests: Vec<_> = (0..QUERIES).map(|_| request(&Query::new(&mut random, rule), &token)).collect();
        let sent = stack.send(&requests);
        let (forwarded, refused) = print_outcomes(&rule.line(), &sent);
        assert!(forwarded >= 200 && refused >= 200, "{forwarded} forwarded and {refused} refused say little");
        for request in &sent {
            read_otherwise(rule, request, &stack.readers, &mut findings);
        }
    }
    findings.assert_none();
}

/// A request with this query and a token.
fn request(query: &Query, token: &Token) -> (&'static str, Vec<u8>) {
    let rest = format!(" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", token.text);
    (query.kind, [b"GET /rest/q?", query.text.as_slice(), rest.as_bytes()].concat())
}

/// Finds the readers that read another value than the restriction allows.
fn read_otherwise(rule: &Rule, request: &Sent, readers: &Readers, findings: &mut Findings) {
    for (reader, reading) in readers.all.iter().zip(&request.readings) {
        let place = match reader.names {
            Names::AsTheyAre => &[rule.name],
            Names::OfPhp => rule.in_php,
            Names::OfQs => rule.in_qs,
        };
        let Some(reading) = reading else { continue };
        let allowed = reading.values(place).is_some_and(|values| values.iter().all(|value| *value == rule.value));
        if !allowed {
            let query = request.text.split(" HTTP/1.1").next().unwrap_or_default();
            findings.add(
                format!("{} of {} ({})", reader.name, rule.name, request.kind),
                format!("{} reads {}", cut(query, 200), cut(&reading.shown(place), 80)),
            );
        }
    }
}

#[test]
fn u5_s2_no_reader_reads_another_credential_than_the_filter_judged() {
    let stack = Stack::start();
    let own = stack.world.token_for("alice");
    let imported = stack.world.import_token("taken-over/from+elsewhere.0987", "alice");
    let secrets = Secrets { own: own.text.clone(), imported: imported.text.clone() };
    let mut random = Random(seed());
    let mut findings = Findings::default();
    for (what, settings) in [
        ("passwords allowed", json!({ "passwords": "allowed", "password_exempt_users": [] })),
        ("passwords disabled", json!({ "passwords": "disabled", "password_exempt_users": [] })),
        ("one user exempt", json!({ "passwords": "disabled", "password_exempt_users": [EXEMPT] })),
    ] {
        stack.world.set(&settings);
        let presented: Vec<_> = (0..CREDENTIALS).map(|_| Presented::new(&mut random, &secrets)).collect();
        let head = b"GET /rest/c HTTP/1.1\r\nHost: x\r\n".as_slice();
        let requests: Vec<_> = presented.iter().map(|one| (one.kind, [head, &one.lines].concat())).collect();
        let sent = stack.send(&requests);
        let (forwarded, refused) = print_outcomes(what, &sent);
        let read =
            sent.iter().filter(|request| request.readings.iter().flatten().any(|read| read.credential.is_some()));
        let read = read.count();
        println!("{read} forwarded requests have a credential to some reader");
        let enough = match what {
            "passwords allowed" => read >= 200,
            "passwords disabled" => true,
            _ => read >= 30,
        };
        assert!(forwarded >= 100 && refused >= 200 && enough, "{forwarded}, {refused}, {read} say little");
        for (presented, request) in presented.iter().zip(&sent) {
            let may_read = |(user, _): &&Pair| match what {
                "passwords allowed" => true,
                "passwords disabled" => false,
                _ => user.eq_ignore_ascii_case(EXEMPT.as_bytes()),
            };
            let judged = presented.means.as_ref().filter(may_read);
            credential_otherwise(what, judged, request, &stack, &secrets, &mut findings);
        }
    }
    findings.assert_none();
}

/// Finds the readers that read another credential than this, and tokens that arrive.
fn credential_otherwise(
    what: &str,
    judged: Option<&Pair>,
    request: &Sent,
    stack: &Stack,
    secrets: &Secrets,
    findings: &mut Findings,
) {
    let tokens = [secrets.own.as_bytes(), secrets.imported.as_bytes()];
    let shown = cut(request.text.trim_start_matches("GET /rest/c HTTP/1.1\\r\\nHost: x\\r\\n"), 200);
    for (reader, reading) in stack.readers.all.iter().zip(&request.readings) {
        let Some(reading) = reading else { continue };
        if reading.token.as_ref().is_some_and(|token| tokens.contains(&token.as_slice())) {
            findings.add(format!("{what}: {} reads a bearer token ({})", reader.name, request.kind), shown.clone());
        }
        let Some((user, secret)) = &reading.credential else { continue };
        let is_token = tokens.iter().any(|token| user == token || secret == token);
        let is_judged =
            judged.is_some_and(|(judged_user, judged_secret)| same(user, judged_user) && same(secret, judged_secret));
        if is_token || !is_judged {
            let kind = if is_token { "a token" } else { "another credential" };
            let judged = judged.map(|(user, secret)| format!("{}:{}", user.escape_ascii(), secret.escape_ascii()));
            let (judged, read) = (judged.as_deref().unwrap_or("none"), [user.as_slice(), b":", secret].concat());
            findings.add(
                format!("{what}: {} reads {kind} ({})", reader.name, request.kind),
                format!("{shown} reads {}, judged was {judged}", read.escape_ascii()),
            );
        }
    }
    if let Some(head) = &request.forwarded
        && tokens.iter().any(|token| head.contains(token))
    {
        findings.add(format!("{what}: a token arrives in clear ({})", request.kind), shown);
    }
}

/// Whether a reader's text is what was sent: who decodes UTF-8 has other characters for what is none.
fn same(read: &[u8], sent: &[u8]) -> bool {
    read == sent || read == String::from_utf8_lossy(sent).as_bytes()
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        text.to_owned()
    } else {
        text.chars().take(length - 1).chain(['…']).collect()
    }
}
