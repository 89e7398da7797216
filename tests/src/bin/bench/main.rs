//! `make bench`: how soon a revocation is in force, what a request costs, what a flood does to others, and what the
//! control plane can take. Real Envoy, the real filter and the real control plane, as the tests have them, but built for
//! release.

mod cost;
mod creation;
mod events;
mod fairness;
mod lists;
mod revocation;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::World;

const HELP: &str = "\
Measures Tokengate on this machine: Envoy, control plane and whoever asks, on free ports of 127.0.0.1.

Usage: bench [revocation] [cost] [fairness] [creation] [events] [lists] [OPTIONS]    make bench BENCH=\"…\"

  revocation  How long a token is admitted after its deletion was answered. Envoy has 4 workers. On every connection
              the token is asked with about every 5 ms; counted is until the last connection has had its first
              refusal, so that all workers refuse: 0 where that was before the answer. In truth they do so after the
              last admitted answer and before this refusal. Once without other requests, and once among them.
  cost        CPU time of Envoy for a request: without the filter and its guards, with an admitted token, and with
              one whose call is not logged. Envoy has 1 worker and answers by itself.
  fairness    How long a bystander waits for its answers, idle and beside each of several floods by 64 connections:
              costly restrictions, bodies, paths and queries. Envoy has 1 worker and answers by itself. The p99 may be
              50 ms more beside a flood. A flood whose restrictions the API does not accept is left out.

  creation    How many tokens are created a second, and then deleted, over the API by clients on connections that they
              keep, and how long each waits for its answer, which comes when the change is on the disk.
  events      Call events, reported as by 4 proxies every 250 ms: whether they are taken in as quickly as they come, and
              how long changes wait meanwhile.
  lists       Pages of the list of tokens under each filter, with very many tokens of 10,000 users in the database; how
              soon the control plane starts with them, and its memory; then what `creation` measures, beside them.

Without a name, all; that takes about 9 minutes.

  --rounds N       Revocations in each case [default: 200]
  --connections N  Connections on which the revoked token is asked with, from 32 [default: 48]
  --load N         Other requests a second, in the second case of `revocation`; 0 leaves it out [default: 1000]
  --cost-rounds N  Measurements of each case of `cost`, taken in turn [default: 10]
  --requests N     Requests in each of these [default: 20000]
  --fairness-seconds N  How long each flood of `fairness` lasts, and each measurement without one [default: 10]
  --clients N      Clients of `creation` [default: 16]
  --seconds N      How long they create, and then delete at most [default: 10]
  --events N       Call events a second in `events` [default: 10000]
  --event-seconds N  How long they come [default: 60]
  --tokens N       Tokens in `lists`, from 10000 [default: 1000000]
  --chains N       Chains of 10 pages in each case of `lists`, each with other values [default: 10]
  --help           This

Whoever else is busy on the machine shows in all figures. Ctrl-C ends it, and all that it started.
";

/// Set by Ctrl-C.
static STOPPED: AtomicBool = AtomicBool::new(false);

struct Options {
    revocation: bool,
    cost: bool,
    fairness: bool,
    creation: bool,
    events_case: bool,
    lists: bool,
    rounds: u32,
    connections: usize,
    load: u32,
    cost_rounds: u32,
    requests: u32,
    fairness_seconds: u32,
    clients: usize,
    seconds: u32,
    events: u32,
    event_seconds: u32,
    tokens: u32,
    chains: u32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nmake bench: {error}"); // the progress may not have ended its line
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        print!("{HELP}");
        return Ok(());
    };
    ctrlc::set_handler(|| STOPPED.store(true, Ordering::Relaxed)).map_err(|error| error.to_string())?;
    if cfg!(debug_assertions) {
        eprintln!("This is no release build, and its figures mean little; `make bench` makes one.");
    }
    if options.revocation {
        revocation::run(&options)?;
    }
    if options.cost {
        cost::run(&options)?;
    }
    if options.fairness {
        fairness::run(&options)?;
    }
    if options.creation {
        creation::run(&options)?;
    }
    if options.events_case {
        events::run(&options)?;
    }
    if options.lists {
        lists::run(&options)?;
    }
    Ok(())
}

impl Options {
    /// What the arguments say; nothing if they ask for help.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            revocation: false,
            cost: false,
            fairness: false,
            creation: false,
            events_case: false,
            lists: false,
            rounds: 200,
            connections: 48,
            load: 1000,
            cost_rounds: 10,
            requests: 20_000,
            fairness_seconds: 10,
            clients: 16,
            seconds: 10,
            events: 10_000,
            event_seconds: 60,
            tokens: 1_000_000,
            chains: 10,
        };
        while let Some(argument) = arguments.next() {
            let mut number = |least: u32| {
                let number = arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number >= least);
                number.ok_or_else(|| format!("{argument} wants a number from {least}"))
            };
            match argument.as_str() {
                "revocation" => options.revocation = true,
                "cost" => options.cost = true,
                "fairness" => options.fairness = true,
                "creation" => options.creation = true,
                "events" => options.events_case = true,
                "lists" => options.lists = true,
                "--rounds" => options.rounds = number(1)?,
                // Which worker gets a connection is chance; fewer might well leave one out.
                "--connections" => options.connections = usize::try_from(number(32)?).unwrap_or(usize::MAX),
                "--load" => options.load = number(0)?,
                "--cost-rounds" => options.cost_rounds = number(1)?,
                "--requests" => options.requests = number(1000)?,
                "--fairness-seconds" => options.fairness_seconds = number(1)?,
                "--clients" => options.clients = usize::try_from(number(1)?).unwrap_or(usize::MAX),
                "--seconds" => options.seconds = number(1)?,
                "--events" => options.events = number(100)?,
                "--event-seconds" => options.event_seconds = number(1)?,
                "--tokens" => options.tokens = number(10_000)?,
                "--chains" => options.chains = number(1)?,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("{argument} is unknown; --help lists what there is")),
            }
        }
        let Self { revocation, cost, fairness, creation, events_case, lists, .. } = options;
        if [revocation, cost, fairness, creation, events_case, lists] == [false; 6] {
            (options.revocation, options.cost, options.fairness) = (true, true, true);
            (options.creation, options.events_case, options.lists) = (true, true, true);
        }
        Ok(Some(options))
    }
}

/// An Envoy with one worker that answers by itself.
fn with_filter() -> World {
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.answer_directly();
    world.start_both();
    world
}

/// The same without the filter and its guards, and without a control plane.
fn without_filter() -> World {
    let mut bare = World::prepare(1);
    bare.answer_directly();
    cut(&mut bare, "- name: tokengate\n", "- name: envoy.filters.http.router\n");
    cut(&mut bare, "# First guard:", "route_config:\n");
    bare.start_envoy();
    bare
}

/// Takes out of Envoy's configuration what stands from the one up to the other.
fn cut(world: &mut World, from: &str, to: &str) {
    let config = world.config();
    let start = config.find(from).expect("the beginning of what is cut out");
    let length = config[start..].find(to).expect("the end of what is cut out");
    let part = config[start..start + length].to_owned();
    world.edit_config(&part, "");
}

/// An error once somebody has pressed Ctrl-C.
fn unless_stopped() -> Result<(), String> {
    if STOPPED.load(Ordering::Relaxed) { Err("stopped".into()) } else { Ok(()) }
}

/// Shows on stderr how far it is; in a file or a pipe, the end alone.
fn progress(what: &str, done: u32, of: u32) {
    match (std::io::stderr().is_terminal(), done == of) {
        (true, false) => eprint!("\r{what}: {done} of {of}"),
        (true, true) => eprintln!("\r{what}: {done} of {of}"),
        (false, true) => eprintln!("{what}: {of} done"),
        (false, false) => {}
    }
}

/// Prints how long something took, which happened often.
fn print_quantiles(what: &str, mut took: Vec<Duration>) {
    took.sort();
    if took.is_empty() {
        return println!("{what}: none");
    }
    let [median, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| milliseconds(quantile(&took, share)));
    println!("{what}: median {median:.1}, p90 {p90:.1}, p99 {p99:.1}, max {max:.1} ({} in all)", took.len());
}

/// The value below or at which this share of the sorted values lies.
fn quantile<T: Copy>(sorted: &[T], share: f64) -> T {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Prints how much memory Envoy has: what it has allocated itself, and what the machine has given it.
fn print_memory(of: &str, world: &World) {
    let stats = world.envoy_admin("/stats?filter=^server.memory_allocated$");
    let allocated = stats.trim().strip_prefix("server.memory_allocated: ").and_then(|bytes| bytes.parse::<u64>().ok());
    let allocated = allocated.expect("Envoy's statistics");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "Memory of Envoy {of}: {:.1} MiB allocated (server.memory_allocated), {:.1} MiB resident (VmRSS)",
        mib(allocated),
        mib(world.proxy.memory())
    );
}
