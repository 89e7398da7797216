//! How long a token is admitted after its deletion was answered.

use crate::{Options, milliseconds, print_memory, progress, quantile, unless_stopped};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::load::{Connection, Load, get, request};
use tests::{StopWhenDropped, World, basic};

const WORKERS: u32 = 4;

/// Threads that ask, each on its share of the connections, one after the other.
const THREADS: usize = 4;

/// How often a connection is asked on.
const PERIOD: Duration = Duration::from_millis(5);

/// From then on no worker may decide from anything older than the deletion.
const PROMISED: Duration = Duration::from_millis(60);

/// How long the asking goes on after the last connection was refused: it must stay so.
const AFTERWARDS: Duration = Duration::from_millis(50);

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and what was answered on it with the present token.
struct Probe {
    connection: Connection,
    answers: Vec<Answer>,
}

#[derive(Clone, Copy)]
struct Answer {
    asked: Instant,
    came: Instant,
    admitted: bool,
}

/// On how many connections the token has been admitted, and refused.
#[derive(Default)]
struct Seen {
    admitted: AtomicUsize,
    refused: AtomicUsize,
}

/// What the revocations of one case came to. The times but `answered` and the gaps begin with the answer to DELETE.
#[derive(Default)]
struct Figures {
    answered: Vec<Duration>,
    refused_everywhere: Vec<Duration>,
    last_admitted: Vec<Duration>,
    gaps: Vec<Duration>,
    late: usize,
}

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut world = World::prepare(WORKERS);
    world.site.log_level = "info";
    world.answer_directly();
    world.start_both();
    let other = get("/rest/direct", &format!("Bearer {}", world.token_for("bob").text));
    world.create_user("alice");
    let mut probes: Vec<Probe> = (0..options.connections)
        .map(|_| Probe { connection: Connection::to(world.site.ports.entrance), answers: Vec::new() })
        .collect();
    meet_all_workers(&world, &mut probes, &other)?;

    println!("Revocation, in milliseconds: {} connections to {WORKERS} workers of Envoy", options.connections);
    case("nothing else", &world, &mut probes, options.rounds)?;
    if options.load > 0 {
        let load = Load::new(world.site.ports.entrance, vec![other]).over(8, 2).at_rate(f64::from(options.load));
        let stop = AtomicBool::new(false);
        let summary = thread::scope(|scope| {
            let ends = StopWhenDropped(&stop);
            let running = scope.spawn(|| load.send_until(&stop));
            case(&format!("{} other requests a second", options.load), &world, &mut probes, options.rounds)?;
            drop(ends);
            running.join().map_err(|_| "the load failed".to_owned())
        })?;
        if summary.all().with_status(200) != load.begun() {
            return Err(format!("not all other requests were admitted: {:?}", summary.all()));
        }
        println!("  (these were {:.0} a second, all admitted)", summary.rate());
    }
    print_memory("after it", &world);
    println!();
    Ok(())
}

/// Opens the connections, and makes sure that no worker is without one.
fn meet_all_workers(world: &World, probes: &mut [Probe], request: &[u8]) -> Result<(), String> {
    for probe in probes {
        probe.connection.ask(request).map_err(|error| format!("Envoy does not answer: {error}"))?;
    }
    let port = world.site.ports.entrance;
    let stats = world.envoy_admin(&format!("/stats?filter=^listener.127.0.0.1_{port}.worker_.*cx_active$"));
    let met = stats.lines().filter(|line| !line.ends_with(": 0")).count();
    if u32::try_from(met) == Ok(WORKERS) {
        Ok(())
    } else {
        Err(format!("by chance no connection leads to some worker; run it again:\n{stats}"))
    }
}

/// Revokes one token after another, and prints what that came to.
fn case(what: &str, world: &World, probes: &mut [Probe], rounds: u32) -> Result<(), String> {
    let mut figures = Figures::default();
    for round in 0..rounds {
        unless_stopped()?;
        progress(&format!("revocation beside {what}"), round + 1, rounds);
        // Whatever the filter does at intervals is met at every moment of them.
        let pause = Duration::from_millis(30 + u64::from(round) * 37 % 100);
        revoke(world, probes, pause, &mut figures)?;
    }
    println!("\n{:<40} {:>8} {:>8} {:>8} {:>8} {:>8}", format!("beside {what}"), "min", "median", "p90", "p99", "max");
    for (name, mut values) in [
        ("  refused on the last connection", figures.refused_everywhere),
        ("  last admitted answer", figures.last_admitted),
        ("  DELETE itself", figures.answered),
        ("  between two questions on a connection", figures.gaps),
    ] {
        values.sort();
        let [min, median, p90, p99, max] =
            [0.0, 0.5, 0.9, 0.99, 1.0].map(|share| milliseconds(quantile(&values, share)));
        println!("{name:<40} {min:>8.1} {median:>8.1} {p90:>8.1} {p99:>8.1} {max:>8.1}");
    }
    println!("  admitted later than {} ms: {} answers in {rounds} revocations", PROMISED.as_millis(), figures.late);
    Ok(())
}

/// Makes a token, waits until it is admitted on every connection, deletes it, and asks on until it is refused on every
/// connection, and a little longer.
fn revoke(world: &World, probes: &mut [Probe], pause: Duration, figures: &mut Figures) -> Result<(), String> {
    let token = world.new_token(&json!({ "label": "to be revoked", "owner": "alice" }));
    let question = get("/rest/direct", &format!("Bearer {}", token.text));
    let admin = basic("admin", &world.admin_token());
    let delete = request("DELETE", &format!("/api/v1/tokens/{}", token.id), &admin);
    let (count, seen, stop) = (probes.len(), Seen::default(), AtomicBool::new(false));
    let (begun, deleted) = thread::scope(|scope| {
        let ends = StopWhenDropped(&stop);
        let begin = Instant::now();
        let threads: Vec<_> = (0..)
            .zip(probes.chunks_mut(count.div_ceil(THREADS)))
            .map(|(number, probes)| {
                let begin = begin + PERIOD * number / u32::try_from(THREADS).unwrap_or(1);
                let (question, seen, stop) = (&question, &seen, &stop);
                scope.spawn(move || ask(probes, question, begin, seen, stop))
            })
            .collect();
        let outcome = wait_until_all(&seen.admitted, count, "admitted").and_then(|()| {
            thread::sleep(pause);
            let begun = Instant::now();
            let status = Connection::to(world.site.ports.control).ask(&delete);
            let deleted = Instant::now();
            if !matches!(status, Ok(204)) {
                return Err(format!("DELETE was not answered as it should be: {status:?}"));
            }
            wait_until_all(&seen.refused, count, "refused")?;
            thread::sleep(AFTERWARDS);
            Ok((begun, deleted))
        });
        drop(ends);
        for thread in threads {
            thread.join().map_err(|_| "a thread failed".to_owned())??;
        }
        outcome
    })?;

    let (mut refused_everywhere, mut last_admitted) = (Duration::ZERO, Duration::ZERO);
    for probe in probes {
        let refused = probe.answers.iter().find(|answer| !answer.admitted).expect("a refusal, which was waited for");
        refused_everywhere = refused_everywhere.max(refused.came.saturating_duration_since(deleted));
        for answer in probe.answers.iter().filter(|answer| answer.admitted) {
            if answer.asked > refused.came {
                return Err("a token was admitted on a connection on which it had been refused".into());
            }
            // What was asked before the deletion was answered may be admitted, however late that is heard.
            if answer.asked > deleted {
                let after = answer.came - deleted;
                last_admitted = last_admitted.max(after);
                figures.late += usize::from(after > PROMISED);
            }
        }
        figures.gaps.extend(probe.answers.windows(2).map(|two| two[1].asked - two[0].asked));
        probe.answers.clear();
    }
    figures.answered.push(deleted - begun);
    figures.refused_everywhere.push(refused_everywhere);
    figures.last_admitted.push(last_admitted);
    Ok(())
}

fn wait_until_all(seen: &AtomicUsize, count: usize, what: &str) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while seen.load(Ordering::Relaxed) < count {
        if Instant::now() > until {
            return Err(format!("the token is not {what} on every connection after {} s", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The part of one thread: asks on its connections, over and over, and keeps the answers.
fn ask(probes: &mut [Probe], question: &[u8], begin: Instant, seen: &Seen, stop: &AtomicBool) -> Result<(), String> {
    let mut begin = begin;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(begin.saturating_duration_since(Instant::now()));
        for probe in &mut *probes {
            let asked = Instant::now();
            let status = probe.connection.ask(question);
            let came = Instant::now();
            let body = String::from_utf8_lossy(probe.connection.body());
            let admitted = match status {
                Ok(200) => true,
                Ok(401) if body.contains("\"token_deleted\"") => false,
                Ok(401) if body.contains("\"unknown_token\"") && probe.answers.is_empty() => continue,
                _ => return Err(format!("an answer that nobody expects: {status:?} {body}")),
            };
            if probe.answers.is_empty() {
                seen.admitted.fetch_add(1, Ordering::Relaxed);
            }
            if !admitted && probe.answers.last().is_some_and(|last| last.admitted) {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            probe.answers.push(Answer { asked, came, admitted });
        }
        // If a round has taken longer than it may, the next follows at once.
        begin = (begin + PERIOD).max(Instant::now());
    }
    Ok(())
}
