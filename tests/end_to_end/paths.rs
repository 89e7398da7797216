//! Principle 5 against a corpus of path attacks: what was judged is what is forwarded, and nothing protected is reached
//! unjudged.
//!
//! Each entry of `tests/corpus/paths.json` is sent over HTTP/1.1 and HTTP/2, with forged identity headers: without a
//! credential, with a token as Bearer and as Basic, with a password, and with tokens that are to be refused. A
//! [`Recorder`] stands in the backend's place, so that what is looked at are the bytes that Envoy sent. A liberal
//! reader ([`reader`]) then looks for a backend that would take the path for another.
//!
//! `cargo test -p tests --test end_to_end paths -- --nocapture` prints what became of each.

mod corpus;
mod reader;
mod senders;

use corpus::{Entry, TAG_HEADER};
use policy::calls::Escaped;
use policy::path::without_query;
use reader::Zone;
use senders::{By, Outcome, over_http1, over_http2};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use tests::recorder::{Head, Recorder};
use tests::{Token, World, basic, eventually};

#[test]
fn principle_5_every_published_path_attack_means_the_same_to_filter_and_backend() {
    let tried = Tried::all(&[]);
    tried.print();
    let count =
        |wanted: &dyn Fn(&Outcome) -> bool| tried.requests.iter().filter(|tried| wanted(&tried.outcome)).count();
    let refused = Outcome::Answered(400, By::Tokengate("ambiguous_path".into()));
    let counts = [
        ("arrive at the backend", count(&|outcome| *outcome == Outcome::Answered(200, By::Backend)), 500),
        ("are refused as ambiguous", count(&|outcome| *outcome == refused), 600),
        (
            "are refused by Envoy itself",
            count(&|outcome| matches!(outcome, Outcome::Ended | Outcome::Answered(_, By::Envoy))),
            1000,
        ),
    ];
    for (what, count, at_least) in counts {
        println!("{count} of {} requests {what}", tried.requests.len());
        assert!(count >= at_least, "only {count} {what}: the corpus does not try what it should");
    }
    tried.assert_principle_5();
}

#[test]
fn principle_5_holds_behind_an_envoy_that_an_administrator_has_weakened() {
    Tried::all(&[
        ("normalize_path: true", "normalize_path: false"),
        ("merge_slashes: true", "merge_slashes: false"),
        ("path_with_escaped_slashes_action: REJECT_REQUEST", "path_with_escaped_slashes_action: KEEP_UNCHANGED"),
    ])
    .assert_principle_5();
}

/// The corpus, sent in every way, and what came of it.
struct Tried {
    entries: Vec<Entry>,
    requests: Vec<Request>,
    strangers: Vec<Head>,
    judged: HashSet<String>,
    tokens: Tokens,
    wreckage: Vec<String>,
}

/// One request and what came of it.
struct Request {
    entry: usize,
    protocol: Protocol,
    with: Credential,
    tag: String,
    outcome: Outcome,
    arrived: Vec<Head>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    None,
    Bearer,
    Basic,
    Password,
    Revoked,
    Expired,
    Suspended,
    Restricted,
}

const CREDENTIALS: [Credential; 8] = [
    Credential::None,
    Credential::Bearer,
    Credential::Basic,
    Credential::Password,
    Credential::Revoked,
    Credential::Expired,
    Credential::Suspended,
    Credential::Restricted,
];

impl Credential {
    fn is_token(self) -> bool {
        matches!(self, Self::Bearer | Self::Basic)
    }

    fn is_refused(self) -> bool {
        matches!(self, Self::Revoked | Self::Expired | Self::Suspended | Self::Restricted)
    }

    fn authorization(self, tokens: &Tokens) -> Option<String> {
        let bearer = |token: &Token| Some(format!("Bearer {}", token.text));
        match self {
            Self::None => None,
            Self::Bearer => bearer(&tokens.good),
            Self::Basic => Some(basic("alice", &tokens.good.text)),
            Self::Password => Some(basic("alice", "wonderland")),
            Self::Revoked => bearer(&tokens.revoked),
            Self::Expired => bearer(&tokens.expired),
            Self::Suspended => bearer(&tokens.suspended),
            Self::Restricted => bearer(&tokens.restricted),
        }
    }
}

/// A token that works, and some that do not.
struct Tokens {
    good: Token,
    revoked: Token,
    expired: Token,
    suspended: Token,
    restricted: Token,
}

impl Tokens {
    fn of(world: &World) -> Self {
        let good = world.token_for("alice");
        let revoked = world.token_for("alice");
        let suspended = world.token_for("bob");
        let expired = world.new_token(&json!({ "label": "x", "owner": "alice", "expires_at": tests::in_seconds(1) }));
        let elsewhere = json!(["192.0.2.200"]);
        let restricted = world.new_token(&json!({ "label": "x", "owner": "alice", "ip_ranges": elsewhere }));
        world.delete_token(&revoked);
        world.edit_user("bob", &json!({ "suspended": true }));
        for (token, code) in [
            (&revoked, "token_deleted"),
            (&suspended, "owner_suspended"),
            (&expired, "token_expired"),
            (&restricted, "ip_not_allowed"),
        ] {
            eventually("each is refused for its reason", || {
                (world.get("/rest/").bearer(token).send().json["code"] == code).then_some(())
            });
        }
        Self { good, revoked, expired, suspended, restricted }
    }

    fn all(&self) -> [&Token; 5] {
        let Self { good, revoked, expired, suspended, restricted } = self;
        [good, revoked, expired, suspended, restricted]
    }
}

impl Tried {
    /// Sends all to a Tokengate whose Envoy has these settings replaced.
    fn all(settings: &[(&str, &str)]) -> Self {
        let recorder = Recorder::start();
        let mut world = World::prepare(2);
        let backend = format!("port_value: {}", world.site.ports.backend);
        world.edit_config(&backend, &format!("port_value: {}", recorder.port()));
        // Envoy would wait for a second before it closes a connection that it is done with.
        world.edit_config(
            "stream_idle_timeout: 300s",
            "stream_idle_timeout: 300s\n          delayed_close_timeout: 0.05s",
        );
        for (from, to) in settings {
            world.edit_config(from, to);
        }
        world.start_both();
        let tokens = Tokens::of(&world);
        recorder.take();

        let entries = corpus::read();
        let mut requests = Vec::new();
        let (mut http1, mut http2) = (Vec::new(), Vec::new());
        for protocol in [Protocol::Http1, Protocol::Http2] {
            for (index, entry) in entries.iter().enumerate() {
                for with in CREDENTIALS {
                    let tag = format!("e{index}-{with:?}-{protocol:?}").to_lowercase();
                    let authorization = with.authorization(&tokens);
                    let sent = match protocol {
                        Protocol::Http1 => {
                            entry.http1(&tag, authorization.as_deref()).map(|request| http1.push(request))
                        }
                        Protocol::Http2 => {
                            entry.http2(&tag, authorization.as_deref()).map(|request| http2.push(request))
                        }
                    };
                    if sent.is_some() {
                        requests.push((index, protocol, with, tag));
                    }
                }
            }
        }
        let outcomes = [over_http1(&world, &http1), over_http2(&world, &http2)].concat();

        let mut arrived: HashMap<String, Vec<Head>> = HashMap::new();
        for head in recorder.take() {
            let tag = head.values(TAG_HEADER).first().map(|tag| String::from_utf8_lossy(tag).into_owned());
            arrived.entry(tag.unwrap_or_default()).or_default().push(head);
        }
        let requests = requests.into_iter().zip(outcomes).map(|((entry, protocol, with, tag), outcome)| {
            let arrived = arrived.remove(&tag).unwrap_or_default();
            Request { entry, protocol, with, tag, outcome, arrived }
        });
        let requests = requests.collect();
        let strangers = arrived.into_values().flatten().collect();
        let log = world.log("envoy");
        let judged = log.lines().filter_map(|line| line.split_once("REST endpoint: ")).map(|(_, path)| path.to_owned());
        Self { entries, requests, strangers, judged: judged.collect(), tokens, wreckage: wreckage(&mut world) }
    }

    fn assert_principle_5(&self) {
        let mut faults: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for request in &self.requests {
            for fault in self.faults(request) {
                let entry = &self.entries[request.entry];
                let fault = format!(
                    "{}  [{}]: {}",
                    cut(&entry.shown(), 120),
                    entry.attack,
                    fault.replace(&request.tag, "{tag}")
                );
                faults.entry(fault).or_default().push(&request.tag);
            }
        }
        let strangers = self.strangers.iter().map(|head| format!("arrived, and nobody had sent it: {head:?}"));
        let lines = faults.iter().map(|(fault, tags)| format!("{fault}  ({})", tags.join(" ")));
        let lines: Vec<String> = lines.chain(strangers).chain(self.wreckage.iter().cloned()).collect();
        assert!(lines.is_empty(), "{} faults:\n{}", lines.len(), lines.join("\n"));
    }

    /// What is wrong with what came of a request.
    fn faults(&self, request: &Request) -> Vec<String> {
        let mut faults = Vec::new();
        match &request.outcome {
            Outcome::Failed(why) => faults.push(format!("no answer: {why}")),
            Outcome::Answered(status @ 500.., _) => faults.push(format!("answered with {status}")),
            Outcome::Answered(..) | Outcome::Ended => {}
        }
        let is_honest = self.entries[request.entry].attack.starts_with("honest");
        if is_honest && !request.with.is_token() && !request.with.is_refused() && request.arrived.is_empty() {
            faults.push(format!("was kept from the backend: {}", request.outcome));
        }
        if request.arrived.len() > 1 {
            faults.push(format!("one request became {}: {:?}", request.arrived.len(), request.arrived));
        }
        if request.with.is_refused() && !request.arrived.is_empty() {
            faults.push("arrived with a token that is to be refused".to_owned());
        }
        for head in &request.arrived {
            faults.extend(unjudged(head));
            faults.extend(self.not_as_judged(request, head));
        }
        faults
    }

    /// What was judged is what is forwarded: a token becomes an identity, on the very path that the filter has logged.
    fn not_as_judged(&self, request: &Request, head: &Head) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |is_so: bool, what: &str| {
            if !is_so {
                faults.push(format!("{what}: {}", cut(&head.target().escape_ascii().to_string(), 120)));
            }
        };
        let sent = request.with.authorization(&self.tokens);
        let (identity, authorization) = (head.values("x-forwarded-user"), head.values("authorization"));
        if request.with.is_token() {
            let path = without_query(head.target());
            expect(identity == [b"alice"], "a token arrived without its user's identity");
            expect(authorization.is_empty(), "a token arrived with its credential");
            expect(self.judged.contains(&Escaped(path).to_string()), "a token arrived on a path that was not judged");
            expect(Zone::of(path) == Zone::Rest, "a token arrived on a path that is not protected");
        } else {
            expect(identity.is_empty(), "an identity that nobody has arrived");
            let untouched: Vec<&[u8]> = sent.iter().map(String::as_bytes).collect();
            expect(authorization == untouched, "a password arrived changed");
        }
        let secret = sent.as_deref().and_then(|value| value.split(' ').nth(1)).filter(|_| request.with.is_token());
        let texts = self.tokens.all().map(|token| Some(token.text.as_str()));
        expect(!head.contains(b"mallory"), "an identity that the client forged arrived");
        let shown = texts.into_iter().chain([secret]).flatten().any(|text| head.contains(text.as_bytes()));
        expect(!shown, "the token's text arrived");
        faults
    }

    /// The attacks and what became of them: without a credential, with a token, with a password, with refused tokens.
    fn print(&self) {
        let mut attack = "";
        for (index, entry) in self.entries.iter().enumerate() {
            if attack != entry.attack {
                attack = &entry.attack;
                println!("\n{attack}");
            }
            let column = |protocol: Protocol| {
                let of_entry = self.requests.iter().filter(|tried| (tried.entry, tried.protocol) == (index, protocol));
                let mut outcomes: Vec<String> = of_entry.map(|tried| tried.outcome.to_string()).collect();
                outcomes.dedup();
                if outcomes.is_empty() { "-".to_owned() } else { outcomes.join(", ") }
            };
            let target = cut(&entry.shown(), 72);
            println!("  {target:<72}  h1: {:<50}  h2: {}", column(Protocol::Http1), column(Protocol::Http2));
        }
    }
}

/// Nothing protected is reached unjudged: what arrived means the same, protected or not, to every backend.
fn unjudged(head: &Head) -> Vec<String> {
    let mut faults = Vec::new();
    let path = without_query(head.target());
    if Zone::of(path) == Zone::ControlPlane {
        faults.push(format!("the backend got the control plane's {}", path.escape_ascii()));
    }
    if let Some(found) = reader::disagreement(path) {
        let (shown, strict) = (cut(&path.escape_ascii().to_string(), 120), Zone::of(path));
        faults.push(format!("{shown} is {strict:?}, and {:?} when {}", found.zone, found.liberties.join(", ")));
    }
    // Symfony, IIS and others take the path from here, whatever stands in the request line.
    for (name, value) in head.headers() {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        if ["x-original-url", "x-rewrite-url", "x-envoy-original-path"].contains(&name.as_str()) {
            faults.push(format!("{name} arrived with {}", value.escape_ascii()));
        }
    }
    faults
}

/// What the corpus broke.
fn wreckage(world: &mut World) -> Vec<String> {
    let crashes = world.envoy_admin("/stats?filter=wasm.*crash");
    let crashed = crashes.lines().filter(|line| !line.ends_with(": 0")).map(|line| format!("a filter crashed: {line}"));
    let mut wreckage: Vec<String> = crashed.collect();
    if !world.envoy_runs() {
        wreckage.push("Envoy has ended".to_owned());
    }
    wreckage
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        text.to_owned()
    } else {
        text.chars().take(length - 1).chain(['…']).collect()
    }
}
