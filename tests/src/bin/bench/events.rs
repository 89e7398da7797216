//! How many call events a second are taken in, and what that does to changes.

use crate::{Options, print_quantiles, progress, unless_stopped};
use policy::Timestamp;
use policy::feed::{BATCH_LEN_MAX, REPORT_LEN, Receipt, Report, SyncKey, USAGE_PATH};
use policy::usage::{ADMITTED, Call, Entry, append};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::load::{Connection, with_bytes, with_json};
use tests::{StopWhenDropped, World, basic};

/// Proxies that report.
const PROXIES: u8 = 4;

/// How often each of them does, as the filter would.
const EVERY: Duration = Duration::from_millis(250);

/// Tokens that are used, and users whose they are.
const TOKENS: usize = 1000;
const USERS: usize = 50;

/// Changes a second meanwhile.
const CHANGES: u32 = 10;

/// What one proxy has told, and how.
#[derive(Default)]
struct Told {
    calls: u64,
    /// The most calls that waited to be told, beyond those of one interval.
    behind_most: u64,
    took: Vec<Duration>,
    /// How long after the beginning the last report was confirmed.
    last: Duration,
}

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.start_control_plane();
    let tokens = make_tokens(&mut world);
    let key = world.site.sync_key().map_err(|error| error.to_string())?;
    let key = SyncKey::parse(&key).map_err(|error| error.to_string())?;
    let seconds = options.event_seconds;
    println!(
        "Call events, {} a second for {seconds} s from {PROXIES} proxies, and {CHANGES} changes a second",
        options.events
    );

    let (port, admin, stop) = (world.site.ports.control, basic("admin", &world.admin_token()), AtomicBool::new(false));
    let (begun, cpu) = (Instant::now(), world.control_plane().cpu());
    let rate = f64::from(options.events) / f64::from(PROXIES);
    let (told, changes) = thread::scope(|scope| {
        let end = StopWhenDropped(&stop);
        let changing = scope.spawn(|| change(port, &admin, &stop));
        let proxies: Vec<_> = (0..PROXIES)
            .map(|number| {
                let (key, tokens) = (&key, &tokens);
                scope.spawn(move || report(port, key, number, tokens, rate, begun, seconds))
            })
            .collect();
        for second in 0..seconds {
            progress("events", second + 1, seconds);
            let due = begun + Duration::from_secs(u64::from(second + 1));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let told: Result<Vec<Told>, String> =
            proxies.into_iter().map(|proxy| proxy.join().map_err(|_| "a proxy failed".to_owned())?).collect();
        drop(end);
        Ok::<_, String>((told?, changing.join().map_err(|_| "the changes failed".to_owned())??))
    })?;
    let (took, cpu) = (told.iter().map(|told| told.last).max().unwrap_or_default(), world.control_plane().cpu() - cpu);
    let calls: u64 = told.iter().map(|told| told.calls).sum();
    let behind: u64 = told.iter().map(|told| told.behind_most).sum();
    println!(
        "{:.0} events a second were taken in, {calls} in {:.1} s; at most {behind} waited",
        calls as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
    print_quantiles("  reports, ms", told.into_iter().flat_map(|told| told.took).collect());
    print_quantiles("  changes meanwhile, ms", changes);
    let size = |file: &str| std::fs::metadata(world.site.data.join(file)).map_or(0, |file| file.len()) >> 20;
    println!(
        "  control plane: {:.0} % of one core, {} MiB at most (VmHWM); database {} MiB, its log {} MiB",
        cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        world.control_plane().memory("VmHWM") >> 20,
        size("tokengate.db"),
        size("tokengate.db-wal"),
    );
    let counted = world.rows("select sum(calls) from calls where outcome = 'admitted' and proxy <> ''");
    if counted != [calls.to_string()] {
        return Err(format!("{calls} events were confirmed, {counted:?} are in the database"));
    }
    println!();
    Ok(())
}

/// Users with tokens, put into the database at once; the public ids.
fn make_tokens(world: &mut World) -> Vec<String> {
    assert!(world.stop_control_plane());
    world.run_sql(&crate::lists::rows(USERS, TOKENS));
    world.start_control_plane();
    world.rows("select public_id from tokens where label like 'build%' and deleted_at is null")
}

/// A proxy: tells every now and then what is due by then.
fn report(
    port: u16,
    key: &SyncKey,
    number: u8,
    tokens: &[String],
    rate: f64,
    begun: Instant,
    seconds: u32,
) -> Result<Told, String> {
    let (mut connection, mut told, mut first) = (Connection::to(port), Told::default(), 0);
    let all = (rate * f64::from(seconds)) as u64;
    let mut next = begun + EVERY * u32::from(number) / u32::from(PROXIES);
    while told.calls < all {
        unless_stopped()?;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next = (next + EVERY).max(Instant::now());
        let due = ((begun.elapsed().as_secs_f64() * rate) as u64).min(all);
        let (batches, calls) = batches(tokens, number, told.calls, due);
        told.behind_most = told.behind_most.max((due - told.calls).saturating_sub((rate * EVERY.as_secs_f64()) as u64));
        let (nonce, instance) = (nonce(number, first), [number + 1; 16]);
        let name = format!("bench-{number}");
        let report = Report {
            key_id: key.id(),
            instance,
            name: &name,
            sent_at: now(),
            nonce,
            first,
            batches: batches.iter().map(Vec::as_slice).collect(),
        };
        let body = report.seal(key).ok_or("a report that cannot be sealed")?;
        let asked = Instant::now();
        let status = connection.ask(&with_bytes("POST", USAGE_PATH, &body)).map_err(|error| error.to_string())?;
        let receipt = Receipt::open(connection.body(), nonce, instance, key);
        first += batches.len() as u64;
        match receipt {
            Some(receipt) if status == 200 && receipt.taken == first => {}
            _ => return Err(format!("a report was answered {status}")),
        }
        told.took.push(asked.elapsed());
        told.calls += calls;
        told.last = begun.elapsed();
    }
    Ok(told)
}

/// The calls from this number up to that, or as many as a report may have; and how many.
fn batches(tokens: &[String], proxy: u8, from: u64, to: u64) -> (Vec<Vec<u8>>, u64) {
    let (mut batches, mut length, mut calls) = (vec![Vec::new()], 0, 0);
    for number in from..to {
        let mut entry = Vec::new();
        append(&mut entry, &Entry::Call(call(tokens, proxy, number)));
        if batches.last().is_some_and(|batch| batch.len() + entry.len() > BATCH_LEN_MAX) {
            batches.push(Vec::new());
        }
        length += entry.len();
        if length > REPORT_LEN {
            break;
        }
        batches.last_mut().expect("a batch").extend(entry);
        calls += 1;
    }
    (batches, calls)
}

fn call(tokens: &[String], proxy: u8, number: u64) -> Call {
    let at = usize::try_from(number).unwrap_or_default();
    Call {
        at: now(),
        token: Some(tokens[at * 7 % tokens.len()].clone()),
        user: Some(format!("user-{}", at * 7 % USERS)),
        actor: None,
        method: "GET".into(),
        path: format!("/rest/api/2/issue/JRA-{}", number % 5000),
        address: Some([10, proxy, 0, (number % 250) as u8].into()),
        outcome: ADMITTED.into(),
        status: Some(200),
        request_id: format!("{proxy:08x}-0000-4000-8000-{number:012x}"),
    }
}

/// Unique among the reports of a run, which is all that a nonce has to be here.
fn nonce(proxy: u8, first: u64) -> [u8; 16] {
    (u128::from(proxy) << 64 | u128::from(first)).to_be_bytes()
}

#[expect(clippy::disallowed_methods, reason = "what a proxy reports has the time of day")]
fn now() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default())
}

/// Changes, so many a second, until it is told to stop: how long each took.
fn change(port: u16, authorization: &str, stop: &AtomicBool) -> Result<Vec<Duration>, String> {
    let (mut connection, mut took, begun) = (Connection::to(port), Vec::new(), Instant::now());
    let create = with_json("POST", "/api/v1/tokens", authorization, &json!({ "label": "meanwhile" }));
    while !stop.load(Ordering::Relaxed) {
        let due = begun + Duration::from_secs(1) * u32::try_from(took.len()).unwrap_or(u32::MAX) / CHANGES;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        match connection.ask(&create) {
            Ok(201) => took.push(asked.elapsed()),
            other => return Err(format!("a change was answered {other:?}")),
        }
    }
    Ok(took)
}
