//! Faults of the proxy's side: killed, updated under load, one of two with the same name, with a wrong clock. Whatever
//! happens to it, a valid token works, a revoked one does not, and both within the promised time.

use crate::guards::FAILS_IN_WORKERS;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tests::clock::Clock;
use tests::{CONNECTIONS, Proxy, Token, World, client, eventually, in_seconds};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const PROMISED: Duration = Duration::from_secs(1);

/// The status of a request that got no answer.
const UNANSWERED: u16 = 599;

/// The status of one that got none within the time of its client: nothing may hang.
const HUNG: u16 = 598;

/// How the body of an unanswered one begins whose connection was taken and then closed.
const CUT_OFF: &str = "cut off";

fn new_token(world: &World) -> Token {
    world.new_token(&json!({ "label": "test", "owner": "alice" }))
}

/// Waits until requests with this token have this status in every worker of every one of these proxies. None that is
/// sent later than the promised time after `since` may have another. Gives when the last one was sent that had.
fn in_force(proxies: &[&Proxy], token: &Token, status: u16, since: Instant) -> Duration {
    let (mut right_in_a_row, mut last_wrong) = (0, Duration::ZERO);
    while right_in_a_row < CONNECTIONS {
        let sent = since.elapsed();
        if proxies.iter().all(|proxy| proxy.get(ISSUE).basic("alice", token).send().status == status) {
            right_in_a_row += 1;
        } else {
            assert!(sent < PROMISED, "not {status} everywhere {sent:?} later");
            (right_in_a_row, last_wrong) = (0, sent);
        }
    }
    last_wrong
}

/// A new token, which works within the promised time.
fn create(world: &World, proxies: &[&Proxy]) -> Token {
    let token = new_token(world);
    in_force(proxies, &token, 200, Instant::now());
    token
}

/// Revokes a token, which is refused within the promised time; gives how long it took.
fn revoke(world: &World, proxies: &[&Proxy], token: &Token) -> Duration {
    world.delete_token(token);
    in_force(proxies, token, 401, Instant::now())
}

fn print_memory(what: &str, proxy: &Proxy) {
    println!("{what}: Envoy has {} MB in use", proxy.memory() >> 20);
}

/// Requests that keep coming, from threads of their own: some with a valid token over fresh connections, some over one
/// that is kept for as long as Envoy keeps it, and some with revoked tokens.
struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    url: String,
    valid: Token,
    revoked: Mutex<Vec<Token>>,
    tolerates: fn(u16, &str) -> bool,
    stop: AtomicBool,
    admitted: AtomicU64,
    refused: AtomicU64,
    tolerated: AtomicU64,
    resets: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Load {
    /// Begins. `tolerates`: which statuses and bodies are no fault besides those that are right.
    fn start(proxy: &Proxy, valid: &Token, tolerates: fn(u16, &str) -> bool) -> Self {
        let shared = Arc::new(Shared {
            url: format!("http://127.0.0.1:{}{ISSUE}", proxy.site.ports.entrance),
            valid: valid.clone(),
            revoked: Mutex::default(),
            tolerates,
            stop: AtomicBool::default(),
            admitted: AtomicU64::default(),
            refused: AtomicU64::default(),
            tolerated: AtomicU64::default(),
            resets: AtomicU64::default(),
            wrong: Mutex::default(),
        });
        let threads = [Shared::fresh, Shared::fresh, Shared::kept, Shared::with_revoked].map(|requests| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    requests(&shared);
                }
            })
        });
        Self { shared, threads: threads.into() }
    }

    /// From now on this token is never admitted again.
    fn is_revoked(&self, token: Token) {
        self.shared.revoked.lock().unwrap_or_else(PoisonError::into_inner).push(token);
    }

    /// Ends when there was enough of it, and asserts that every answer was right or tolerated. Gives how many were
    /// tolerated.
    fn end(mut self) -> u64 {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        eventually("there was a load", || {
            (count(&self.shared.admitted) > 100 && count(&self.shared.refused) > 10).then_some(())
        });
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the load goes on");
        }
        let wrong = self.shared.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let (admitted, refused) = (count(&self.shared.admitted), count(&self.shared.refused));
        let (tolerated, resets) = (count(&self.shared.tolerated), count(&self.shared.resets));
        println!("load: {admitted} admitted, {refused} revoked refused, {tolerated} tolerated, {resets} resets");
        assert!(wrong.is_empty(), "{} wrong answers, the first: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
        tolerated
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn fresh(&self) {
        let client = client().build().expect("a client");
        let (status, body) = self.ask(&client, &self.valid);
        self.note(status == 200, &self.admitted, "valid", status, &body);
    }

    /// A connection is kept until Envoy closes it, which may be when a request was just sent on it.
    fn kept(&self) {
        let client = client().pool_max_idle_per_host(1).build().expect("a client");
        while !self.stop.load(Ordering::Relaxed) {
            let (status, body) = self.ask(&client, &self.valid);
            if cut_off(status, &body) {
                self.resets.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.note(status == 200, &self.admitted, "valid, kept connection", status, &body);
        }
    }

    /// What the filter refuses it refuses with this code; the backend would do so without.
    fn with_revoked(&self) {
        let client = client().build().expect("a client");
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for token in &revoked {
            let (status, body) = self.ask(&client, token);
            self.note(status == 401 && body.contains("token_deleted"), &self.refused, "revoked", status, &body);
        }
        thread::sleep(Duration::from_millis(2));
    }

    fn ask(&self, client: &reqwest::blocking::Client, token: &Token) -> (u16, String) {
        thread::sleep(Duration::from_millis(2));
        match client.get(&self.url).basic_auth("alice", Some(&token.text)).send() {
            Ok(reply) => (reply.status().as_u16(), reply.text().unwrap_or_default()),
            Err(error) if error.is_timeout() => (HUNG, format!("{error:?}")),
            Err(error) if error.is_connect() => (UNANSWERED, format!("{error:?}")),
            Err(error) => (UNANSWERED, format!("{CUT_OFF}: {error:?}")),
        }
    }

    fn note(&self, is_right: bool, counter: &AtomicU64, what: &str, status: u16, body: &str) {
        if is_right {
            counter.fetch_add(1, Ordering::Relaxed);
        } else if (self.tolerates)(status, body) {
            self.tolerated.fetch_add(1, Ordering::Relaxed);
        } else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.push(format!("{what}: {status} {body}"));
        }
    }
}

fn nothing(_: u16, _: &str) -> bool {
    false
}

/// At the end of a drain Envoy closes the connections of the former version. The drain is far longer than any request
/// here; but a worker that has stood still for as long, on a busy machine, cuts off what it had just accepted.
fn cut_off(status: u16, body: &str) -> bool {
    status == UNANSWERED && body.starts_with(CUT_OFF)
}

/// Envoy's listener in a file of its own, from which Envoy takes every new version.
struct Listener {
    file: PathBuf,
    text: String,
}

impl Listener {
    /// Takes the listener out of the configuration of a proxy that is yet to be started. The version before an update
    /// ends so many seconds after it.
    fn of(proxy: &mut Proxy, drain: u32) -> Self {
        let file = proxy.site.logs.join("listeners.yaml");
        let (_, rest) = proxy.config().split_once("\n  listeners:\n").expect("listeners");
        let (listeners, _) = rest.split_once("\n  clusters:\n").expect("clusters");
        let listeners = listeners.to_owned();
        proxy.edit_config(&format!("\n  listeners:\n{listeners}"), "");
        let source = format!("lds_config: {{ path_config_source: {{ path: {:?} }} }}", file.display().to_string());
        proxy.edit_config(
            "static_resources:\n",
            &format!("node: {{ id: x, cluster: x }}\ndynamic_resources: {{ {source} }}\nstatic_resources:\n"),
        );
        proxy.arguments.extend(["--drain-time-s".into(), drain.to_string()]);
        let kind = "\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener";
        let text = listeners.replacen("  - name: entrance\n", &format!("  - {kind}\n    name: entrance\n"), 1);
        let listener = Self { file, text: format!("resources:\n{text}") };
        listener.put(&[]);
        listener
    }

    /// Puts a new version in place: the first one with these replacements.
    fn put(&self, edits: &[(String, String)]) {
        let text = edits.iter().fold(self.text.clone(), |text, (from, to)| {
            assert!(text.contains(from), "the listener does not contain {from:?}");
            text.replace(from, to)
        });
        let new = self.file.with_extension("new");
        fs::write(&new, text).expect("a file");
        fs::rename(&new, &self.file).expect("the file is put in place");
    }
}

/// An edit of the listener: `prefix` is protected too, by which a request sees which version answers.
fn protecting(prefix: &str) -> (String, String) {
    (r#"["/rest/"]"#.into(), format!(r#"["/rest/", "{prefix}"]"#))
}

/// An edit of the listener: the proxy has another name.
fn named(name: &str) -> (String, String) {
    (r#""proxy_name": "envoy""#.into(), format!(r#""proxy_name": "{name}""#))
}

/// An edit of the listener: the same filter with another hash, by a custom section that is empty but for its name.
fn another_filter(world: &World, round: u32) -> (String, String) {
    let filter = &world.site.tools.filter;
    let mut module = fs::read(filter).expect("the filter");
    module.extend([&[0, 5, 4], format!("{round:04}").as_bytes()].concat());
    let copy = world.site.logs.join(format!("filter-{round}.wasm"));
    fs::write(&copy, module).expect("a file");
    (filter.display().to_string(), copy.display().to_string())
}

fn wait_until_in_force(proxy: &Proxy, prefix: &str, valid: &Token) {
    eventually("the new version is in force in every worker", || {
        (proxy.statuses(&format!("{prefix}x"), valid) == [200]).then_some(())
    });
}

fn wait_until_drained(proxy: &Proxy) {
    let draining = ["filter_chains", "listeners"].map(|what| format!("listener_manager.total_{what}_draining"));
    eventually("the former version has ended", || draining.iter().all(|name| proxy.stat(name) == 0).then_some(()));
}

/// Updates the listener again and again under load, each time with one more protected prefix and these edits.
fn updates_under_load(edits: impl Fn(&World, u32) -> (String, String)) {
    let mut world = World::prepare(4);
    let listener = Listener::of(&mut world.proxy, 4);
    world.start_both();
    let (valid, proxy) = (world.token_for("alice"), &world.proxy);
    let load = Load::start(proxy, &valid, cut_off);
    let (before, modified) = (proxy.memory(), "listener_manager.listener_modified");
    print_memory("before the updates", proxy);
    for round in 1..=3 {
        let (early, prefix) = (create(&world, &[proxy]), format!("/round-{round}/"));
        proxy.get(&format!("{prefix}x")).bearer(&valid).send().assert_refused(401, "path_not_protected");
        let put = Instant::now();
        listener.put(&[protecting(&prefix), edits(&world, round)]);
        wait_until_in_force(proxy, &prefix, &valid);
        let in_force = put.elapsed();
        assert_eq!(proxy.stat(modified), u64::from(round));
        let revoked = revoke(&world, &[proxy], &early);
        load.is_revoked(early);
        create(&world, &[proxy]);
        println!("round {round}: in force after {in_force:?}, then revoked after {revoked:?}");
        wait_until_drained(proxy);
        // How long a change takes just now, another test asks.
        world.token_for("alice");
        print_memory("after an update", proxy);
    }
    let (requests, cut_off) = (load.shared.admitted.load(Ordering::Relaxed), load.end());
    assert!(cut_off * 100 < requests, "{cut_off} of {requests} requests were cut off");
    assert_eq!(proxy.stat("listener_manager.lds.update_rejected"), 0);
    assert_eq!(world.failed_logins(), 0, "nothing reached the backend unjudged");
    // 25 updates of the filter were seen to add 40 MB, the last twelve of them 1 MB; of the configuration, 3 MB.
    let after = proxy.memory();
    assert!(after < before + (64 << 20), "Envoy grew from {} MB to {} MB", before >> 20, after >> 20);
}

#[test]
fn updates_of_the_plugin_configuration_under_load_refuse_nothing_and_admit_nothing_revoked() {
    updates_under_load(|_, round| named(&format!("envoy-{round}")));
}

#[test]
fn updates_of_the_filter_under_load_refuse_nothing_and_admit_nothing_revoked() {
    updates_under_load(another_filter);
}

#[test]
fn a_revocation_while_an_update_comes_and_when_the_former_version_ends_is_in_force_within_1_s() {
    let mut world = World::prepare(4);
    let listener = Listener::of(&mut world.proxy, 1);
    world.start_both();
    let (valid, proxy) = (world.token_for("alice"), &world.proxy);
    // The first two bring another filter: whole VMs come and end. The others bring another configuration: root contexts
    // do. Several, since it matters how long ago the one that ends has renewed its lease.
    for round in 1..=8 {
        let [while_it_comes, at_the_end] = [(); 2].map(|()| world.token_for("alice"));
        let prefix = format!("/round-{round}/");
        let other = if round <= 2 { another_filter(&world, round) } else { named(&format!("envoy-{round}")) };
        listener.put(&[protecting(&prefix), other]);
        let coming = revoke(&world, &[proxy], &while_it_comes);
        wait_until_in_force(proxy, &prefix, &valid);
        wait_until_drained(proxy);
        let ended = revoke(&world, &[proxy], &at_the_end);
        println!("round {round}: revoked while it came {coming:?}, when the former version ended {ended:?}");
    }
}

#[test]
fn an_update_with_a_broken_plugin_configuration_changes_nothing_and_the_next_good_one_is_taken() {
    let mut world = World::prepare(4);
    let listener = Listener::of(&mut world.proxy, 60);
    world.start_both();
    let (valid, proxy) = (world.token_for("alice"), &world.proxy);
    let load = Load::start(proxy, &valid, cut_off);
    for round in 1..=2 {
        let tokens = [(); 2].map(|()| create(&world, &[proxy]));
        listener.put(&[(r#"["/rest/"]"#.into(), "[]".into())]);
        eventually("Envoy refuses it", || (proxy.stat("listener_manager.lds.update_rejected") == round).then_some(()));
        let why = "Tokengate: the plugin configuration is refused: protected_prefixes must not be empty";
        assert!(proxy.log().contains(why), "and the log says why");
        revoke(&world, &[proxy], &tokens[0]);
        let prefix = format!("/round-{round}/");
        listener.put(&[protecting(&prefix)]);
        wait_until_in_force(proxy, &prefix, &valid);
        revoke(&world, &[proxy], &tokens[1]);
        tokens.into_iter().for_each(|token| load.is_revoked(token));
    }
    load.end();
    assert_eq!(world.failed_logins(), 0, "nothing reached the backend unjudged");
    print_memory("after broken updates", proxy);
}

#[test]
fn an_update_to_a_filter_that_fails_in_the_workers_alone_lets_nothing_through_and_the_next_good_one_heals_it() {
    let mut world = World::prepare(4);
    let listener = Listener::of(&mut world.proxy, 1);
    let (good, broken) = (world.site.tools.filter.display().to_string(), world.site.logs.join("broken.wasm"));
    fs::write(&broken, wat::parse_str(FAILS_IN_WORKERS).expect("a module")).expect("a file");
    world.start_both();
    let (valid, proxy) = (world.token_for("alice"), &world.proxy);
    let revoked = create(&world, &[proxy]);
    revoke(&world, &[proxy], &revoked);
    let load = Load::start(proxy, &valid, |status, body| {
        status == 403 && body == "RBAC: access denied" || cut_off(status, body)
    });
    load.is_revoked(revoked);
    listener.put(&[(good, broken.display().to_string())]);
    eventually("the guard refuses everything", || (proxy.statuses(ISSUE, &valid) == [403]).then_some(()));
    wait_until_drained(proxy);
    assert_eq!(proxy.statuses("/login", &valid), [403], "what is not protected as well: nobody has judged it");
    listener.put(&[protecting("/healed/")]);
    wait_until_in_force(proxy, "/healed/", &valid);
    let token = world.token_for("alice");
    assert_eq!(proxy.statuses(ISSUE, &token), [200]);
    revoke(&world, &[proxy], &token);
    load.is_revoked(token);
    assert!(load.end() > 0, "the load met the guard");
    assert_eq!(world.failed_logins(), 0, "nothing reached the backend unjudged");
    print_memory("after a filter that fails", proxy);
}

#[test]
fn two_proxies_of_one_name_follow_within_1_s_and_the_end_of_one_is_nothing_to_the_other() {
    let mut world = World::start_with_workers(4);
    let valid = world.token_for("alice");
    let mut second = world.another_proxy();
    second.start();
    second.wait_until_ready();
    let come = |world: &World| world.log("control-plane").matches("a proxy has come proxy=\"envoy\"").count();
    assert_eq!(come(&world), 2, "one name, two processes");
    for (round, workers) in [1, 4].into_iter().enumerate() {
        let both = [&world.proxy, &second];
        let tokens = [(); 3].map(|()| create(&world, &both));
        let load = Load::start(&world.proxy, &valid, nothing);
        revoke(&world, &both, &tokens[0]);
        load.is_revoked(tokens[0].clone());
        second.kill();
        assert_eq!(second.statuses(ISSUE, &valid), [UNANSWERED], "nobody listens");
        revoke(&world, &[&world.proxy], &tokens[1]);
        create(&world, &[&world.proxy]);
        second.site.workers = workers;
        second.start();
        second.wait_until_ready();
        assert_eq!(come(&world), 3 + round, "it is a new process");
        let both = [&world.proxy, &second];
        for (token, status) in [(&valid, 200), (&tokens[0], 401), (&tokens[1], 401), (&tokens[2], 200)] {
            assert_eq!(both.map(|proxy| proxy.statuses(ISSUE, token)), [[status], [status]]);
        }
        revoke(&world, &both, &tokens[2]);
        load.end();
        print_memory("the first of two", &world.proxy);
        print_memory("the second of two", &second);
    }
    // The first one too.
    let token = create(&world, &[&world.proxy, &second]);
    world.kill_envoy();
    revoke(&world, &[&second], &token);
    create(&world, &[&second]);
}

#[test]
fn kill_9_of_envoy_under_load_and_2_s_after_its_restart_all_is_as_before() {
    let mut world = World::start_with_workers(4);
    let valid = world.token_for("alice");
    let load = Load::start(&world.proxy, &valid, |status, body| {
        status == UNANSWERED || status == 503 && body.contains("not_ready")
    });
    for workers in [1, 4, 1, 4] {
        let tokens = [(); 2].map(|()| create(&world, &[&world.proxy]));
        world.kill_envoy();
        assert_eq!(world.proxy.statuses(ISSUE, &valid), [UNANSWERED], "nobody listens");
        let [while_down, later] = tokens;
        world.delete_token(&while_down);
        load.is_revoked(while_down.clone());
        world.proxy.site.workers = workers;
        let started = Instant::now();
        world.start_envoy();
        let accepting = Instant::now();
        eventually("the valid token works", || (world.proxy.statuses(ISSUE, &valid) == [200]).then_some(()));
        let (start, working) = (accepting - started, accepting.elapsed());
        println!("{workers} workers: Envoy listens after {start:?}, the token works {working:?} later");
        // How long Envoy takes until it listens is its own affair: it compiles the filter first.
        assert!(working < 2 * PROMISED, "{working:?}");
        assert_eq!(world.proxy.statuses(ISSUE, &while_down), [401]);
        revoke(&world, &[&world.proxy], &later);
        load.is_revoked(later);
        print_memory("after the restart", &world.proxy);
    }
    assert!(load.end() > 0, "the load met the outage");
    assert_eq!(world.failed_logins(), 0, "nothing reached the backend unjudged");
}

/// Tokens by which it shows what time the filter thinks it is.
struct Dial {
    begun: Token,
    ending: Token,
}

impl Dial {
    fn new(world: &World) -> Self {
        let of = |field: &str, minutes: i64| {
            world.new_token(&json!({ "label": "dial", "owner": "alice", field: in_seconds(60 * minutes) }))
        };
        Self { begun: of("valid_from", -5), ending: of("expires_at", 5) }
    }

    /// Asserts that the filter's clock is this far from the right time: more than five minutes ahead, behind, or less.
    fn assert_shows(&self, proxy: &Proxy, wrong_by: i64) {
        let begun = if wrong_by < -300 { vec![401] } else { vec![200] };
        let ending = if wrong_by > 300 { vec![401] } else { vec![200] };
        assert_eq!(proxy.statuses(ISSUE, &self.begun), begun, "with the clock wrong by {wrong_by} s");
        assert_eq!(proxy.statuses(ISSUE, &self.ending), ending, "with the clock wrong by {wrong_by} s");
        for (token, statuses, code) in
            [(&self.begun, begun, "token_not_yet_valid"), (&self.ending, ending, "token_expired")]
        {
            if statuses == [401] {
                proxy.get(ISSUE).bearer(token).send().assert_refused(401, code);
            }
        }
    }
}

const MINUTES_10: i64 = 10 * 60;
const MINUTES_20: i64 = 20 * 60;

#[test]
fn a_proxy_that_starts_with_a_clock_10_minutes_off_follows_within_1_s() {
    let mut world = World::prepare(4);
    let clock = Clock::of(&mut world.proxy);
    world.start_control_plane();
    world.create_user("alice");
    let (valid, dial) = (new_token(&world), Dial::new(&world));
    for wrong_by in [MINUTES_10, -MINUTES_10] {
        clock.set(wrong_by);
        world.start_envoy();
        world.wait_until_ready();
        let proxy = &world.proxy;
        dial.assert_shows(proxy, wrong_by);
        assert_eq!(proxy.statuses(ISSUE, &valid), [200]);
        let token = create(&world, &[proxy]);
        let taken = revoke(&world, &[proxy], &token);
        println!("wrong by {wrong_by} s from the start: revoked after {taken:?}");
        print_memory("with a wrong clock", proxy);
        world.kill_envoy();
    }
}

#[test]
fn a_clock_that_steps_by_10_minutes_holds_nothing_up() {
    let mut world = World::prepare(4);
    let clock = Clock::of(&mut world.proxy);
    world.start_both();
    let (valid, dial, proxy) = (world.token_for("alice"), Dial::new(&world), &world.proxy);
    world.wait_until_told();
    dial.assert_shows(proxy, 0);
    let load = Load::start(proxy, &valid, nothing);
    for wrong_by in [MINUTES_10, 0, -MINUTES_10, 0, MINUTES_10, -MINUTES_10, 0] {
        let revoked_at_once = create(&world, &[proxy]);
        clock.set(wrong_by);
        let at_once = revoke(&world, &[proxy], &revoked_at_once);
        dial.assert_shows(proxy, wrong_by);
        let token = create(&world, &[proxy]);
        let later = revoke(&world, &[proxy], &token);
        println!("stepped to {wrong_by} s: revoked after {at_once:?}, {later:?}");
        [revoked_at_once, token].into_iter().for_each(|token| load.is_revoked(token));
    }
    load.end();
    assert!(!proxy.log().contains("ClockDiffers"));
    print_memory("after the steps of the clock", proxy);
}

#[test]
fn a_proxy_whose_clock_has_stepped_back_goes_on_confirming_what_it_has_in_force() {
    let mut world = World::prepare(2);
    let clock = Clock::of(&mut world.proxy);
    world.start_both();
    world.create_user("alice");
    let dial = Dial::new(&world);
    for wrong_by in [MINUTES_10, 0] {
        clock.set(wrong_by);
        let token = world.token_for("alice");
        revoke(&world, &[&world.proxy], &token);
        dial.assert_shows(&world.proxy, wrong_by);
        let another = new_token(&world);
        let path = format!("/api/v1/tokens/{}?wait=5s", another.id);
        let reply = world.as_admin(reqwest::Method::DELETE, &path).send();
        assert_eq!(reply.status, 200, "it confirms: {}", reply.text);
        let proxies = world.as_admin(reqwest::Method::GET, "/api/v1/proxies").send().json;
        let ahead = proxies["items"][0]["clock_ahead_ms"].as_i64().expect("a difference");
        assert!((ahead - 1000 * wrong_by).abs() < 5000, "and the difference is shown: {ahead}");
    }
}

#[test]
fn a_clock_that_is_20_minutes_off_leaves_in_force_what_is_and_heals_by_itself() {
    let mut world = World::prepare(4);
    let clock = Clock::of(&mut world.proxy);
    world.start_both();
    let (valid, dial, proxy) = (world.token_for("alice"), Dial::new(&world), &world.proxy);
    world.wait_until_told();
    let load = Load::start(proxy, &valid, nothing);
    for (round, wrong_by) in [MINUTES_20, -MINUTES_20].into_iter().enumerate() {
        let token = create(&world, &[proxy]);
        clock.set(wrong_by);
        dial.assert_shows(proxy, wrong_by);
        // The question under way was asked at the right time. It brings this; the next one is of another time.
        new_token(&world);
        let said = || proxy.log().matches("an answer of the control plane was discarded: ClockDiffers").count();
        eventually("the filter says that it is told so", || (said() > round).then_some(()));
        world.delete_token(&token);
        thread::sleep(2 * PROMISED);
        assert_eq!(proxy.statuses(ISSUE, &token), [200], "it cannot be told");
        assert_eq!(proxy.statuses(ISSUE, &valid), [200]);
        assert_eq!(said(), round + 1, "said once");
        let complaints = world.log("control-plane").matches("the clock of a proxy differs too much").count();
        assert!(complaints > 0, "the control plane says so too");
        let right_again = Instant::now();
        clock.set(0);
        eventually("the token is refused", || (proxy.statuses(ISSUE, &token) == [401]).then_some(()));
        println!("healed after {:?}; the control plane has said {complaints} times why", right_again.elapsed());
        assert!(right_again.elapsed() < 2 * PROMISED);
        dial.assert_shows(proxy, 0);
        load.is_revoked(token);
        let token = create(&world, &[proxy]);
        revoke(&world, &[proxy], &token);
        load.is_revoked(token);
    }
    load.end();
    print_memory("after the steps of the clock", proxy);
}
