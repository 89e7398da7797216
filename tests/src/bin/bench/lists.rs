//! Lists and their filters with very many tokens: how soon a page is there; and what so many cost the control plane.

use crate::{Options, creation, milliseconds, progress, quantile, unless_stopped};
use serde_json::Value;
use std::time::{Duration, Instant};
use tests::load::{Connection, get};
use tests::{World, basic};

/// Users whose the tokens are.
const USERS: usize = 10_000;

/// What is asked for: a name, and what stands in the query.
const CASES: [(&str, &str); 17] = [
    ("everyone's", "all=true"),
    ("one user's", "owner=user-{user}"),
    ("a label's prefix that all have", "all=true&label_prefix=build"),
    ("a label's prefix that few have", "all=true&label_prefix=build%2000{number}"),
    ("a label's prefix that none has", "all=true&label_prefix=none"),
    (
        "created in one year",
        "all=true&created_after=2024-{month}-01T00:00:00Z&created_before=2025-{month}-01T00:00:00Z",
    ),
    (
        "created in one hour",
        "all=true&created_after=2024-{month}-02T10:00:00Z&created_before=2024-{month}-02T11:00:00Z",
    ),
    ("expire in a year", "all=true&expires_after=2027-{month}-01T00:00:00Z&expires_before=2028-{month}-01T00:00:00Z"),
    ("expire in one hour", "all=true&expires_after=2027-{month}-02T10:00:00Z&expires_before=2027-{month}-02T11:00:00Z"),
    ("used in a year", "all=true&last_used_after=2025-{month}-01T00:00:00Z"),
    ("not used for long", "all=true&last_used_before=2025-{month}-01T00:00:00Z"),
    ("never used", "all=true&never_used=true"),
    ("never used, of one user", "owner=user-{user}&never_used=true"),
    ("prefix of all, created long ago", "all=true&label_prefix=build&created_before=2024-01-0{digit}T00:00:00Z"),
    ("prefix of few, never used", "all=true&label_prefix=build%2000{number}&never_used=true"),
    (
        "prefix of none, used and expiring",
        "all=true&label_prefix=none&last_used_after=2024-{month}-01T00:00:00Z&expires_after=2027-01-01T00:00:00Z",
    ),
    (
        "created late, used early",
        "all=true&created_after=2025-12-2{digit}T00:00:00Z&last_used_before=2024-02-01T00:00:00Z",
    ),
];

/// Pages in a case, each after those before it.
const PAGES: u32 = 10;

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let tokens = options.tokens;
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.start_control_plane();
    assert!(world.stop_control_plane());
    progress("lists: filling the database", 0, 1);
    world.run_sql(&rows(USERS, usize::try_from(tokens).unwrap_or(usize::MAX)));
    progress("lists: filling the database", 1, 1);
    let begun = Instant::now();
    world.start_control_plane_within(Duration::from_secs(120));
    println!(
        "{tokens} tokens of {USERS} users: the control plane starts in {:.1} s and has {} MiB then, {} MiB at most (VmRSS, VmHWM)",
        begun.elapsed().as_secs_f64(),
        world.control_plane().memory("VmRSS") >> 20,
        world.control_plane().memory("VmHWM") >> 20,
    );
    println!("\n{:<40} {:>6} {:>8} {:>8} {:>8}", "Pages of 100, ms", "pages", "median", "p99", "max");
    for (number, (name, query)) in CASES.into_iter().enumerate() {
        progress(
            "lists",
            u32::try_from(number + 1).unwrap_or_default(),
            u32::try_from(CASES.len()).unwrap_or_default(),
        );
        case(&world, name, query, options.chains)?;
    }
    println!();
    creation::measure(&world, "user-1", options.clients, options.seconds, &format!("beside {tokens} others"))?;
    println!("Memory of the control plane: {} MiB at most (VmHWM)\n", world.control_plane().memory("VmHWM") >> 20);
    Ok(())
}

/// Some chains of pages with this query, each with other values in it.
fn case(world: &World, name: &str, query: &str, chains: u32) -> Result<(), String> {
    let (mut connection, mut took) = (Connection::to(world.site.ports.control), Vec::new());
    let admin = basic("admin", &world.admin_token());
    for chain in 0..chains {
        let query = query
            .replace("{user}", &(1 + chain * 911 % 9999).to_string())
            .replace("{number}", &(100 + chain * 37 % 100).to_string())
            .replace("{month}", &format!("{:02}", 1 + chain % 12))
            .replace("{digit}", &(1 + chain % 7).to_string());
        let mut after = String::new();
        for page in 0..PAGES {
            unless_stopped()?;
            // On the way to the middle pages are long, and those count, too.
            let limit = if page % 3 == 2 { 1000 } else { 100 };
            let question = get(&format!("/api/v1/tokens?{query}&limit={limit}{after}"), &admin);
            let asked = Instant::now();
            let status = connection.ask(&question).map_err(|error| error.to_string())?;
            let time = asked.elapsed();
            match status {
                200 if limit == 100 => took.push(time),
                200 => {}
                400 => {
                    println!("{name:<40} not there yet");
                    return Ok(());
                }
                _ => return Err(format!("{query}: {status} {}", String::from_utf8_lossy(connection.body()))),
            }
            let body: Value = serde_json::from_slice(connection.body()).map_err(|error| error.to_string())?;
            after = match &body["next"] {
                Value::Null => break,
                Value::String(next) => format!("&after={next}"),
                next => format!("&after={next}"),
            };
        }
    }
    took.sort();
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|share| milliseconds(quantile::<Duration>(&took, share)));
    println!("{name:<40} {:>6} {median:>8.1} {p99:>8.1} {max:>8.1}", took.len());
    Ok(())
}

/// Statements that make so many users with so many tokens: labels, dates and use are spread; every hundredth token is
/// deleted, a quarter was never used. The indexes of the tokens are made anew behind them, which is quicker.
pub(crate) fn rows(users: usize, tokens: usize) -> String {
    // From the beginning of 2024, in milliseconds, over two years.
    let (start, span) = (1_704_067_200_000_u64, 63_072_000_000_u64);
    format!(
        "begin;
         drop index tokens_owner; drop index tokens_label; drop index tokens_created; drop index tokens_expires;
         with recursive n(i) as (select 0 union all select i + 1 from n where i < {users} - 1)
         insert into users (name, name_folded, email, email_folded, sysadmin, suspended, created_at)
         select 'user-' || i, 'user-' || i, 'user-' || i || '@example.org', 'user-' || i || '@example.org', 0, 0, {start} from n;
         with recursive n(i) as (select 0 union all select i + 1 from n where i < {tokens} - 1)
         insert into tokens (public_id, hash, label, owner_id, created_at, expires_at, deleted_at, read_only, imported)
         select lower(hex(randomblob(10))), randomblob(32), printf('build %06d', i * 7919 % 1000000),
                (select id from users where name = 'user-0') + i * 31 % {users},
                {start} + i * ({span} / {tokens}),
                case when i % 3 = 0 then null else {start} + 3 * {span} / 2 + (i * 7919 % {tokens}) * ({span} / {tokens}) end,
                case when i % 100 = 99 then unixepoch() * 1000 end, 0, 0 from n;
         insert into token_usage (token_id, uses, last_at, last_address)
         select id, 1 + id % 1000, {start} + (id * 104729 % {tokens}) * ({span} / {tokens}), '10.0.0.1'
         from tokens where label like 'build%' and id % 4 <> 0;
         create index tokens_owner on tokens (owner_id, id) where deleted_at is null;
         create index tokens_label on tokens (label, id) where deleted_at is null;
         create index tokens_created on tokens (created_at, id) where deleted_at is null;
         create index tokens_expires on tokens (expires_at, id) where deleted_at is null and expires_at is not null;
         commit;"
    )
}
