//! What a flood of costly requests does to everybody else on the same worker.
//!
//! A worker of Envoy has one thread: while the filter judges one request, all others of that worker wait. A bystander,
//! whose token has no restrictions, asks at a steady pace on connections of its own, once with nothing beside it and
//! then beside a flood, for each flood in turn; and beside the same flood at an Envoy without the filter, for what is
//! Envoy's own. Its times begin when a request was due and not when it was sent, so that what waits behind an earlier
//! request counts too. Where an answer takes longer than 160 ms (so long a connection has until its next request),
//! requests pile up, and the times grow with the length of the measurement.

use crate::{Options, milliseconds, print_quantiles, progress, quantile, unless_stopped, with_filter, without_filter};
use reqwest::Method;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::load::{Connection, Load, Summary, get};
use tests::{StopWhenDropped, Token, World};

/// By how much a flood may lengthen the p99 of the bystander.
const PROMISED: Duration = Duration::from_millis(50);

/// How often the bystander asks.
const PERIOD: Duration = Duration::from_millis(5);

/// Its connections, which it uses in turn.
const CONNECTIONS: u32 = 32;

/// Connections of a flood, each with a request under way at any time.
const FLOOD: usize = 64;

/// How long the first answer to a flood may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest path or query that Envoy lets through, with the rest of a head.
const LONG: usize = 55_000;

/// What is sent, and what it is called.
struct Flood {
    name: &'static str,
    /// Its requests; `None`: the API refuses the restrictions that it needs.
    requests: Option<Vec<Vec<u8>>>,
}

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let bare = without_filter();
    let world = with_filter();
    let question = get("/rest/direct", &bearer(&world.token_for("bob")));
    world.create_user("alice");
    let floods = floods(&world)?;
    world.wait_until_told();

    let seconds = options.fairness_seconds;
    println!(
        "Fairness, in milliseconds: 1 worker of Envoy, floods by {FLOOD} connections for {seconds} s each; a bystander \
         asks every {} ms",
        PERIOD.as_millis()
    );
    let count = u32::try_from(floods.len()).unwrap_or(u32::MAX);
    for (number, Flood { name, requests }) in (1..).zip(floods) {
        println!("{name}");
        if let Some(requests) = requests {
            let idle = bystander(&world, &question, seconds)?;
            let (without, _) = beside(&bare, &question, seconds, requests.clone())?;
            let (beside, summary) = beside(&world, &question, seconds, requests)?;
            print(idle, without, beside, &summary);
        } else {
            println!("  refused at saving");
        }
        progress("fairness", number, count);
    }
    println!();
    Ok(())
}

/// All floods, with the tokens that they need.
fn floods(world: &World) -> Result<Vec<Flood>, String> {
    let counted = (0..=10).map(|number| format!("/rest/(?:.?){{1000}}x{number}")).collect();
    let counted = save(world, counted)?.map(|token| vec![get(&path(1_000), &bearer(&token))]);

    let field = save(world, vec!["/rest/direct.*[JsonData::f==1]".into()])?;
    let field = field.map(|token| vec![many_keys(&token)]);

    let mut large = Vec::new();
    let mut lines_of_large = 0;
    for project in ["JRA", "KAN"] {
        let sets = (1..=50).rev().map(|twenties| large_set(project, 20 * twenties));
        if let Some((lines, token)) = first_accepted(world, sets)? {
            large.push(get("/rest/direct/x", &bearer(&token)));
            lines_of_large = lines;
        }
    }
    println!("(Two large sets have {lines_of_large} lines each.)");

    let ordinary = save(world, vec![".*/rest/api/2/issue/JRA.*".into(), "[get]/rest/direct/[a-z]+".into()])?;
    let ordinary = ordinary.ok_or("two ordinary lines were refused")?;
    let long_paths = long_paths();
    let by_anonymous = long_paths.iter().map(|path| anonymous(path)).collect();
    let by_restricted = long_paths.iter().map(|path| get(path, &bearer(&ordinary))).collect();

    let general = [1000, 500, 200, 100, 50, 20, 10, 5, 2, 1].map(general_set);
    let general = first_accepted(world, general)?.map(|(_, token)| {
        println!("(General regexes: {})", shown(world, &token));
        [1_000, LONG].map(|length| get(&path(length), &bearer(&token))).to_vec()
    });

    let query = save(world, vec!["/rest/direct.*[QueryParam::q==[a-z ]+]".into()])?;
    let query = query.map(|token| long_queries().iter().map(|query| get(query, &bearer(&token))).collect());

    Ok(vec![
        Flood { name: "Eleven lines /rest/(?:.?){1000}x0 … x10, paths of 1 kB", requests: counted },
        Flood { name: "A JsonData line, bodies of 90,000 keys", requests: field },
        Flood { name: "Two large sets, in turn", requests: (large.len() == 2).then_some(large) },
        Flood { name: "Paths of 55 kB without a credential", requests: Some(by_anonymous) },
        Flood { name: "Paths of 55 kB with a restricted token", requests: Some(by_restricted) },
        Flood {
            name: "General regexes, the costliest that are accepted, paths of 1 kB and of 55 kB",
            requests: general,
        },
        Flood { name: "A QueryParam line, queries of 55 kB", requests: query },
    ])
}

/// A token of alice's with these restrictions; `None`: the API says that they are too costly.
fn save(world: &World, lines: Vec<String>) -> Result<Option<Token>, String> {
    let body = json!({ "label": "flood", "owner": "alice", "restrictions": lines });
    let reply = world.as_admin(Method::POST, "/api/v1/tokens").json(&body).send();
    match (reply.status.as_u16(), reply.json["code"].as_str()) {
        (201, _) => {
            let field = |name: &str| reply.json[name].as_str().map(str::to_owned).ok_or("a token without its text");
            Ok(Some(Token { id: field("id")?, text: field("token")? }))
        }
        (400, Some("restrictions_too_costly" | "invalid_restrictions")) => Ok(None),
        _ => Err(format!("the restrictions were answered {}: {}", reply.status, reply.text)),
    }
}

/// The first of these sets that the API accepts: its number of lines, and a token with it.
fn first_accepted(
    world: &World,
    sets: impl IntoIterator<Item = Vec<String>>,
) -> Result<Option<(usize, Token)>, String> {
    for lines in sets {
        let count = lines.len();
        if let Some(token) = save(world, lines)? {
            return Ok(Some((count, token)));
        }
    }
    Ok(None)
}

/// The first line of a token's restrictions.
fn shown(world: &World, token: &Token) -> String {
    let reply = world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send();
    let lines = reply.json["restrictions"].as_array().map_or(0, Vec::len);
    format!("{lines} lines such as {}", reply.json["restrictions"][0].as_str().unwrap_or_default())
}

/// Ordinary lines, of which the last one holds. Two sets of as many as the API accepts are more than a filter keeps.
fn large_set(project: &str, count: usize) -> Vec<String> {
    let line = |number| format!("[get].*/rest/api/2/issue/({project}|XYZ)-{number:04}/(comment)/[0-9]+");
    let lines = (1..count).map(line);
    lines.chain(["/rest/direct/[a-z]".into()]).collect()
}

/// Lines that hold for no path of the flood, and that nothing but the general way to match decides.
fn general_set(count: usize) -> Vec<String> {
    let line = |number| format!(r"(?i)/rest/(?:\b?[a-z/]?\B?){{{count}}}\bx{number}");
    (0..=3).map(line).collect()
}

/// A path of so many bytes that an ordinary client might send.
fn path(length: usize) -> String {
    let start = "/rest/direct/";
    format!("{start}{}", "a".repeat(length.saturating_sub(start.len())))
}

/// Paths that take long to read: plain ones, escapes of which each character is three, segments, and what is decoded
/// again and again.
fn long_paths() -> Vec<String> {
    let of = |part: &str| format!("/rest/direct/{}", part.repeat(LONG / part.len()));
    ["a", "%C3%A9", "a/", "%2525", "..;/", "%E2%84%AA"].map(of).into()
}

/// Queries that take long to read: one value, many of the same name, and escapes.
fn long_queries() -> Vec<String> {
    let of = |part: &str, count: usize| format!("/rest/direct?q=a{}", part.repeat(count));
    vec![of("a", LONG), of("&q=abcdefghij", 999), of("%61", LONG / 3), of("&%71=%61+", 999), of("&x[%5d]=%C3%A9", 999)]
}

fn anonymous(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n").into_bytes()
}

/// A body of about 1 MB, the most that restrictions look at.
fn many_keys(token: &Token) -> Vec<u8> {
    let mut body = "{".to_owned();
    for number in 0..90_000 {
        let _ = write!(body, "\"{number:05}\":0,");
    }
    body.push_str("\"f\":1}");
    let head = format!("PUT /rest/direct HTTP/1.1\r\nHost: load\r\nAuthorization: {}\r\n", bearer(token));
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.text)
}

/// The bystander beside a flood, and what became of that.
fn beside(
    world: &World,
    question: &[u8],
    seconds: u32,
    requests: Vec<Vec<u8>>,
) -> Result<(Vec<Duration>, Summary), String> {
    let load = Load::new(world.site.ports.entrance, requests).over(FLOOD, FLOOD);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = StopWhenDropped(&stop);
        let running = scope.spawn(|| load.send_until(&stop));
        let until = Instant::now() + PATIENCE;
        while load.begun() <= FLOOD as u64 {
            unless_stopped()?;
            if Instant::now() > until {
                return Err("the flood gets no answer".to_owned());
            }
            thread::sleep(PERIOD);
        }
        let times = bystander(world, question, seconds)?;
        drop(ends);
        Ok((times, running.join().map_err(|_| "the flood failed")?))
    })
}

/// How long each request of the bystander takes for so many seconds, from when it is due.
fn bystander(world: &World, question: &[u8], seconds: u32) -> Result<Vec<Duration>, String> {
    let port = world.site.ports.entrance;
    let begin = Instant::now() + PERIOD;
    let end = begin + Duration::from_secs(seconds.into());
    let failed = AtomicBool::new(false);
    let times: Result<Vec<Vec<Duration>>, String> = thread::scope(|scope| {
        let failed = &failed;
        let ask = move |number: u32| {
            let (mut connection, mut times) = (Connection::to(port), Vec::new());
            let mut due = begin + PERIOD * number;
            while due < end {
                unless_stopped()?;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // What is due, and cannot be sent in time, has waited for at least so long.
                if Instant::now() < end && !failed.load(Ordering::Relaxed) {
                    match connection.ask(question) {
                        Ok(200) => {}
                        other => {
                            failed.store(true, Ordering::Relaxed);
                            return Err(format!("the bystander was answered {other:?}"));
                        }
                    }
                }
                times.push(Instant::now() - due);
                due += PERIOD * CONNECTIONS;
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || ask(number))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "the bystander failed".to_owned())?).collect()
    });
    Ok(times?.concat())
}

fn print(mut idle: Vec<Duration>, mut without: Vec<Duration>, mut beside: Vec<Duration>, flood: &Summary) {
    let [before, bare, under] = [&mut idle, &mut without, &mut beside].map(|times| {
        times.sort();
        milliseconds(quantile(times, 0.99))
    });
    print_quantiles("  idle", idle);
    print_quantiles("  under the flood, without the filter", without);
    print_quantiles("  under the flood", beside);
    let more = under - before;
    let promised = milliseconds(PROMISED);
    let verdict = match (more <= promised, bare - before <= promised) {
        (true, _) => "as promised",
        (false, true) => "more than promised",
        (false, false) => "more than promised, and so is Envoy alone",
    };
    println!("  p99 {more:+.1}: {verdict} (at most {promised:+.0}); without the filter {:+.1}", bare - before);
    let all = flood.all();
    let by_status: Vec<String> = all.by_status.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    println!(
        "  the flood: {:.0} requests a second; {}, {} without an answer",
        flood.rate(),
        by_status.join(", "),
        all.unanswered
    );
}
