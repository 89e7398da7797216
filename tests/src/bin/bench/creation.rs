//! How many tokens are created, and deleted, a second.

use crate::{Options, milliseconds, print_quantiles, progress, unless_stopped};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};
use tests::load::{Connection, request, with_json};
use tests::{World, basic};

/// What a client creates, or is to delete, and how long each answer took.
#[derive(Default)]
struct Client {
    tokens: Vec<String>,
    took: Vec<Duration>,
}

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut world = World::prepare(1);
    world.site.log_level = "info";
    world.start_control_plane();
    world.create_user("alice");
    measure(&world, "alice", options.clients, options.seconds, "in an empty database")?;
    println!();
    Ok(())
}

/// Creates tokens of a user for so long, each client over a connection that it keeps; then deletes them, for as long at
/// most.
pub(crate) fn measure(world: &World, owner: &str, clients: usize, seconds: u32, where_to: &str) -> Result<(), String> {
    let own = world.new_token(&json!({ "label": "bench", "owner": owner }));
    let (port, authorization) = (world.site.ports.control, basic(owner, &own.text));
    let create = with_json("POST", "/api/v1/tokens", &authorization, &json!({ "label": "bench" }));
    let mut all: Vec<Client> = (0..clients).map(|_| Client::default()).collect();
    let until = |seconds| Instant::now() + Duration::from_secs(u64::from(seconds));

    println!("Creations and deletions of tokens {where_to}: {clients} clients, for at most {seconds} s each");
    let (end, cpu, begun) = (until(seconds), world.control_plane().cpu(), Instant::now());
    each(&mut all, |client| {
        let mut connection = Connection::to(port);
        while Instant::now() < end {
            unless_stopped()?;
            let asked = Instant::now();
            expect(201, &mut connection, &create)?;
            client.took.push(asked.elapsed());
            let body: Value = serde_json::from_slice(connection.body()).map_err(|error| error.to_string())?;
            client.tokens.push(body["id"].as_str().ok_or("a token without an id")?.to_owned());
        }
        Ok(())
    })?;
    print(world, "creations", &mut all, begun.elapsed(), cpu);

    let (end, cpu, begun) = (until(seconds), world.control_plane().cpu(), Instant::now());
    each(&mut all, |client| {
        let mut connection = Connection::to(port);
        while let Some(id) = client.tokens.pop().filter(|_| Instant::now() < end) {
            unless_stopped()?;
            let delete = request("DELETE", &format!("/api/v1/tokens/{id}"), &authorization);
            let asked = Instant::now();
            expect(204, &mut connection, &delete)?;
            client.took.push(asked.elapsed());
        }
        Ok(())
    })?;
    print(world, "deletions", &mut all, begun.elapsed(), cpu);
    Ok(())
}

/// Does this for all of them at once.
fn each(clients: &mut [Client], work: impl Fn(&mut Client) -> Result<(), String> + Sync) -> Result<(), String> {
    progress("creation", 0, 1);
    let outcome = thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client failed".to_owned())?)
    });
    progress("creation", 1, 1);
    outcome
}

fn expect(status: u16, connection: &mut Connection, question: &[u8]) -> Result<(), String> {
    match connection.ask(question) {
        Ok(found) if found == status => Ok(()),
        other => Err(format!("no {status}: {other:?} {}", String::from_utf8_lossy(connection.body()))),
    }
}

fn print(world: &World, what: &str, clients: &mut [Client], took: Duration, cpu: Duration) {
    let answers: Vec<Duration> = clients.iter_mut().flat_map(|client| client.took.drain(..)).collect();
    let rate = answers.len() as f64 / took.as_secs_f64();
    let each = milliseconds(world.control_plane().cpu() - cpu) / answers.len().max(1) as f64;
    println!("{rate:.0} {what} a second, for {each:.2} ms of the control plane's CPU time each");
    print_quantiles(&format!("  {what}, ms"), answers);
}
