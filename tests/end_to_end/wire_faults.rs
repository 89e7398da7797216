//! Whatever comes over the feed's wire costs the news at most, never what is in force: a relay between Envoy and the
//! control plane does what networks, attackers and operators do.
//!
//! Through every one of these a client asks all the time: its token must work throughout, and a token that was refused
//! everywhere must never be admitted again. Afterwards, without any restart, what is new is in force within seconds.

use crate::feed::statuses;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::feed::{ASK_HEADER, Answer, Ask, MAC_HEADER, News, PATH, SyncKey};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tests::stack::{Ports, Site};
use tests::wire::{Exchange, Fault, Relay};
use tests::{Token, World, basic, client, eventually, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// Within this a change is in force everywhere while the feed is whole. Elsewhere the tests are content with twice as
/// long: to ask every worker takes a while, too.
const PROMISED: Duration = Duration::from_secs(1);

/// Within this it is once the feed is whole again.
const RECOVERED: Duration = Duration::from_secs(2);

/// Tokens that make four pages of a full sync, and a fifth for the settings.
const FOUR_PAGES: u32 = 15_000;

/// A Tokengate whose feed goes through a relay, and a client that asks all the time.
struct Scene {
    world: World,
    relay: Relay,
    /// Works all the time.
    token: Token,
    watch: Watch,
}

impl Scene {
    fn start(workers: u32) -> Self {
        Self::start_with_unusable_tokens(workers, 0)
    }

    /// With so many tokens of user `many` besides: a full sync then has many pages.
    fn start_with_unusable_tokens(workers: u32, count: u32) -> Self {
        let mut world = World::prepare(workers);
        let relay = Relay::start(world.site.ports.control);
        world.feed_through(relay.port());
        if count > 0 {
            world.start_control_plane();
            world.create_user("many");
            assert!(world.stop_control_plane());
            world.add_unusable_tokens("many", count);
        }
        world.start_both();
        let token = world.token_for("alice");
        let watch = Watch::start(&world, &token);
        let scene = Self { world, relay, token, watch };
        scene.is_whole();
        scene
    }

    /// A new token of alice's, in force everywhere.
    fn new_token(&self) -> Token {
        let token = self.unheard_token();
        eventually_within(RECOVERED, "the new token works in every worker", || {
            (statuses(&self.world, &token) == [200]).then_some(())
        });
        token
    }

    /// A new token of alice's, of which the proxy need not have heard.
    fn unheard_token(&self) -> Token {
        self.world.new_token(&serde_json::json!({ "label": "test", "owner": "alice" }))
    }

    /// Revokes a token; that is in force everywhere within this time, and for ever.
    fn revoke(&self, token: &Token, within: Duration) {
        self.world.delete_token(token);
        self.is_refused(token, within);
    }

    /// A token is refused everywhere within this time, and for ever.
    fn is_refused(&self, token: &Token, within: Duration) {
        eventually_within(within, "the token is refused in every worker", || {
            (statuses(&self.world, token) == [401]).then_some(())
        });
        self.watch.refused.lock().expect("the list").push(token.clone());
    }

    /// These faults, one after the other and each met so many times, keep a revocation away and do nothing else.
    fn cost_the_news_alone(&self, times: usize, faults: impl IntoIterator<Item = Fault>) {
        let revoked = self.new_token();
        let mut faults = faults.into_iter();
        self.relay.set(faults.next().expect("a fault"));
        let since = Instant::now();
        self.world.delete_token(&revoked);
        loop {
            self.relay.wait_until_met(times);
            assert_eq!(statuses(&self.world, &revoked), [200], "the fault keeps the news away");
            // Whatever the proxy was told in place of the news, it does not think itself current.
            let (elapsed, age) = (since.elapsed(), self.age());
            assert!(age + Duration::from_millis(10) >= elapsed, "{age:?} after {elapsed:?}");
            let Some(next) = faults.next() else { break };
            self.relay.set(next);
        }
        self.relay.set(Fault::Pass);
        self.is_refused(&revoked, RECOVERED);
        self.is_whole();
    }

    /// The feed does what it promises.
    fn is_whole(&self) {
        self.revoke(&self.new_token(), RECOVERED);
    }

    /// How old the snapshot is.
    fn age(&self) -> Duration {
        let ready = self.world.get("/.well-known/tokengate/ready").send();
        Duration::from_millis(ready.json["age_ms"].as_u64().expect("an age"))
    }

    fn sync_key(&self) -> SyncKey {
        SyncKey::parse(&self.world.site.sync_key().expect("the sync key")).expect("a sync key")
    }

    /// The proxy has survived: it never refused the valid token but with these statuses, never admitted again what it
    /// had refused, and nothing in it crashed.
    fn end(self, refused_with: &[u16]) {
        let Self { mut world, mut watch, .. } = self;
        let seen = watch.end();
        assert!(seen.asked > 0, "the client asked");
        assert_eq!(seen.refused_with, refused_with.iter().copied().collect(), "what the valid token met");
        assert_eq!(seen.readmitted, 0, "a revoked token was admitted again");
        world.assert_unharmed();
        if seen.longest > Duration::ZERO {
            println!("the valid token was refused for {:?}", seen.longest);
        }
    }
}

/// A client that asks all the time, with the valid token and with all that were refused. It ends when it is dropped.
struct Watch {
    refused: Arc<Mutex<Vec<Token>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What it saw.
#[derive(Default)]
struct Seen {
    asked: usize,
    refused_with: BTreeSet<u16>,
    /// For how long on end the valid token was refused.
    longest: Duration,
    readmitted: usize,
}

impl Watch {
    fn start(world: &World, valid: &Token) -> Self {
        let (refused, stop) = (Arc::<Mutex<Vec<Token>>>::default(), Arc::new(AtomicBool::new(false)));
        let (tokens, stopped, valid) = (refused.clone(), stop.clone(), valid.clone());
        let url = format!("http://127.0.0.1:{}{ISSUE}", world.site.ports.entrance);
        let client = client().build().expect("a client");
        let ask = move |token: &Token| {
            let reply = client.get(&url).header("authorization", basic("alice", &token.text)).send();
            reply.map_or(599, |reply| reply.status().as_u16())
        };
        let thread = std::thread::spawn(move || {
            let (mut seen, mut admitted_at) = (Seen::default(), Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                seen.asked += 1;
                match ask(&valid) {
                    200 => admitted_at = Instant::now(),
                    status => {
                        seen.refused_with.insert(status);
                        seen.longest = seen.longest.max(admitted_at.elapsed());
                    }
                }
                let tokens = tokens.lock().expect("the list").clone();
                seen.readmitted += tokens.iter().filter(|token| ask(token) == 200).count();
                std::thread::sleep(Duration::from_millis(20));
            }
            seen
        });
        Self { refused, stop, thread: Some(thread) }
    }

    fn end(&mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the client goes on")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Bytes that mean nothing.
fn garbage(length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).flat_map(|number| Sha256::digest(number.to_le_bytes()));
    blocks.take(length).collect()
}

/// What the proxy asked.
fn question(exchange: &Exchange, key: &SyncKey) -> Ask {
    let header = |name| BASE64.decode(exchange.question.header(name).expect("a header")).expect("base64");
    Ask::open(&header(ASK_HEADER), &header(MAC_HEADER), key).expect("a question")
}

/// The control plane's answer to a question that somebody with the key made.
fn answer(ask: &Ask, key: &SyncKey, control: u16) -> Vec<u8> {
    // Under a number of its own: the control plane answers each once.
    let ask = Ask { number: ask.number + 32, ..ask.clone() };
    let (bytes, mac) = ask.seal(key).expect("it can be sealed");
    let call = client().build().expect("a client").get(format!("http://127.0.0.1:{control}{PATH}"));
    let call = call.header(ASK_HEADER, BASE64.encode(bytes)).header(MAC_HEADER, BASE64.encode(mac));
    call.send().expect("an answer").bytes().expect("its body").to_vec()
}

/// What the tokens of a user meet.
fn met_by(world: &World, tokens: &[Token]) -> BTreeSet<u16> {
    tokens.iter().map(|token| world.get(ISSUE).bearer(token).send().status.as_u16()).collect()
}

/// A scene in which one change, the suspension of user `many` or its end, fills four pages; and some of this user's
/// tokens.
fn scene_of_many_pages() -> (Scene, Vec<Token>) {
    let scene = Scene::start_with_unusable_tokens(2, FOUR_PAGES);
    let properties = serde_json::json!({ "label": "test", "owner": "many" });
    let tokens: Vec<Token> = (0..8).map(|_| scene.world.new_token(&properties)).collect();
    scene.world.wait_until_told();
    assert_eq!(met_by(&scene.world, &tokens), [200].into());
    (scene, tokens)
}

/// The one change that fills four pages.
fn suspend(scene: &Scene, suspended: bool) {
    scene.world.edit_user("many", &serde_json::json!({ "suspended": suspended }));
}

/// Takes the fault away; the change of many pages is then in force.
fn comes_through(scene: &Scene, tokens: &[Token], status: u16) {
    scene.relay.set(Fault::Pass);
    eventually_within(RECOVERED, "the change is in force", || {
        (met_by(&scene.world, tokens) == [status].into()).then_some(())
    });
    scene.is_whole();
}

#[test]
fn the_relay_passes_on_what_it_is_given_byte_for_byte() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    let relay = Relay::start(world.site.ports.control);
    let post = |body: &str| {
        let call = client().build().expect("a client").post(format!("http://127.0.0.1:{}/api/v1/users", relay.port()));
        let call = call.basic_auth("admin", Some(world.admin_token())).header("content-type", "application/json");
        let reply = call.body(body.to_owned()).send()?;
        let status = reply.status().as_u16();
        reply.text().map(|text| (status, text))
    };
    let body = r#"{"name": "alice", "email": "alice@example.org"}"#;
    let (status, text) = post(body).expect("a reply");
    assert_eq!(status, 201);
    let [exchange] = relay.take().try_into().expect("one exchange");
    assert_eq!((exchange.question.body, exchange.answer.body), (body.into(), text.into()));
    assert_eq!(relay.met(), 1);

    relay.set(Fault::Close);
    assert!(post(body).is_err());
    assert_eq!((relay.met(), relay.take().len()), (1, 0), "the control plane was not asked");
    relay.pass_then(2, Fault::Cut(3));
    let statuses = [body, "{}", "{}"].map(|body| post(body).map_or(599, |(status, _)| status));
    assert_eq!((statuses, relay.met()), ([409, 400, 599], 1));
}

#[test]
fn a_feed_that_is_cut_off_and_connected_again() {
    let scene = Scene::start(4);
    scene.cost_the_news_alone(3, [Fault::Close]);
    scene.cost_the_news_alone(1, [Fault::Hang]);
    scene.end(&[]);
}

#[test]
fn an_answer_that_breaks_off_anywhere() {
    let scene = Scene::start(4);
    scene.cost_the_news_alone(1, [0, 1, 32, 33, 100, usize::MAX].map(Fault::Cut));
    scene.end(&[]);
}

#[test]
fn a_page_that_breaks_off_anywhere_is_asked_for_again_and_the_change_comes_into_force_whole() {
    let (scene, tokens) = scene_of_many_pages();
    let begun = scene.world.counted("feed_full_syncs_total");
    scene.relay.pass_then(1, Fault::Cut(0));
    suspend(&scene, true);
    scene.relay.wait_until_met(1);
    for cut in [1, 32, 33, 4096, 300_000, usize::MAX] {
        scene.relay.set(Fault::Cut(cut));
        scene.relay.wait_until_met(1);
    }
    assert_eq!(met_by(&scene.world, &tokens), [200].into(), "nothing of it is in force");
    assert_eq!(scene.world.counted("feed_full_syncs_total"), begun + 1, "the pages before were kept");
    comes_through(&scene, &tokens, 401);
    scene.end(&[]);
}

#[test]
fn a_slow_feed() {
    let scene = Scene::start(4);
    scene.relay.set(Fault::Delay(Duration::from_millis(300)));
    scene.revoke(&scene.new_token(), RECOVERED);
    let revoked = scene.new_token();
    scene.relay.set(Fault::Delay(Duration::from_secs(3)));
    scene.revoke(&revoked, Duration::from_secs(10));
    scene.relay.wait_until_met(1);
    scene.relay.set(Fault::Pass);
    scene.is_whole();
    scene.end(&[]);
}

#[test]
fn attack_answers_that_are_none() {
    let scene = Scene::start(4);
    let problem = br#"{"status":503,"code":"busy"}"#.to_vec();
    let answers = [
        (200, garbage(31)),
        (200, garbage(5000)),
        (200, garbage(600_000)),
        (200, Vec::new()),
        (200, b"<html>Sign in to this network</html>".to_vec()),
        (204, Vec::new()),
        (302, Vec::new()),
        (401, Vec::new()),
        (503, problem),
    ];
    scene.cost_the_news_alone(1, answers.map(|(status, body)| Fault::Reply(status, body)));
    scene.end(&[]);
}

#[test]
fn attack_an_answer_of_40_mb() {
    let scene = Scene::start(4);
    scene.cost_the_news_alone(3, [Fault::Reply(200, vec![b'x'; 40 * 1024 * 1024])]);
    scene.end(&[]);
}

#[test]
fn attack_one_byte_of_an_answer_is_changed() {
    let scene = Scene::start(4);
    let changed = [0, 31, 32, 33, 50, usize::MAX].map(|at| {
        Fault::change(move |exchange| {
            let mut body = exchange.answer.body.clone();
            let last = body.len() - 1;
            body[at.min(last)] ^= 1;
            body
        })
    });
    scene.cost_the_news_alone(1, changed);
    assert!(scene.world.log("envoy").contains("discarded: NotAuthentic"));
    scene.end(&[]);
}

#[test]
fn attack_a_forged_nothing_new() {
    let scene = Scene::start(4);
    let (key, other) = (scene.sync_key(), SyncKey::parse(&"x".repeat(32)).expect("a key"));
    let forged = Fault::change(move |exchange| {
        let Ask { nonce, instance, sent_at, .. } = question(exchange, &key);
        let answer = Answer { nonce, instance, server_time: sent_at, news: News::Nothing };
        answer.seal(&other).expect("it can be sealed")
    });
    scene.cost_the_news_alone(3, [forged]);
    assert!(scene.world.log("envoy").contains("discarded: NotAuthentic"));
    scene.end(&[]);
}

#[test]
fn attack_a_recorded_nothing_new_is_played_again() {
    let scene = Scene::start(4);
    // A control plane then says so once a second.
    scene.world.set(&serde_json::json!({ "max_snapshot_age": "5s" }));
    let key = scene.sync_key();
    let recorded = || {
        eventually("a question is answered by nothing new", || {
            scene.relay.take().into_iter().find_map(|exchange| {
                let Answer { news, .. } = Answer::open(&exchange.answer.body, &question(&exchange, &key), &key)?;
                (news == News::Nothing).then(|| exchange.answer.body.clone())
            })
        })
    };
    scene.cost_the_news_alone(3, [Fault::Reply(200, recorded())]);
    assert!(scene.world.log("envoy").contains("discarded: NotAuthentic"));

    // For ever: then the proxy says in the end that it does not know any more.
    scene.relay.set(Fault::Reply(200, recorded()));
    eventually("the snapshot is too old", || (statuses(&scene.world, &scene.token) == [503]).then_some(()));
    assert!(scene.age() >= Duration::from_secs(5));
    scene.relay.wait_until_met(3);
    scene.relay.set(Fault::Pass);
    eventually_within(RECOVERED, "it is current again", || {
        (statuses(&scene.world, &scene.token) == [200]).then_some(())
    });
    scene.is_whole();
    scene.end(&[503]);
}

#[test]
fn attack_an_old_page_is_played_again() {
    let (scene, tokens) = scene_of_many_pages();
    let key = scene.sync_key();
    scene.relay.take();
    suspend(&scene, true);
    comes_through(&scene, &tokens, 401);
    let pages = scene.relay.take();
    let (cursor, old) = pages
        .iter()
        .find_map(|exchange| Some((question(exchange, &key).cursor?, exchange.answer.body.clone())))
        .expect("a second page");
    assert!(cursor.in_shards());

    let replayed = Fault::change(move |exchange| match question(exchange, &key).cursor {
        Some(_) => old.clone(),
        None => exchange.answer.body.clone(),
    });
    scene.relay.set(replayed);
    suspend(&scene, false);
    scene.relay.wait_until_met(4);
    assert!(scene.world.log("envoy").contains("discarded: NotAuthentic"));
    assert_eq!(met_by(&scene.world, &tokens), [401].into(), "nothing of it is in force");
    comes_through(&scene, &tokens, 200);
    scene.end(&[]);
}

#[test]
fn a_page_that_is_lost_or_comes_twice_within_one_change() {
    let (scene, tokens) = scene_of_many_pages();
    let control = scene.world.site.ports.control;
    let discarded = || scene.world.log("envoy").matches("discarded: OutOfStep").count();

    // Authentic, and made for this very question: but the page after the one that was asked for.
    let key = scene.sync_key();
    let lost = Fault::change(move |exchange| {
        let (ask, body) = (question(exchange, &key), &exchange.answer.body);
        match Answer::open(body, &ask, &key).map(|answer| answer.news) {
            Some(News::Full { page, next: Some(next), .. }) if page.shard > 0 => {
                answer(&Ask { cursor: Some(next), ..ask }, &key, control)
            }
            _ => body.clone(),
        }
    });
    scene.relay.set(lost);
    suspend(&scene, true);
    scene.relay.wait_until_met(4);
    assert!(discarded() > 0);
    assert_eq!(met_by(&scene.world, &tokens), [200].into(), "nothing of it is in force");
    comes_through(&scene, &tokens, 401);

    // Likewise, but the page before.
    let (key, before) = (scene.sync_key(), Mutex::new(None));
    let twice = Fault::change(move |exchange| {
        let ask = question(exchange, &key);
        let before = std::mem::replace(&mut *before.lock().expect("the page before"), ask.cursor);
        match before.filter(|_| ask.cursor.is_some()) {
            Some(before) => answer(&Ask { cursor: Some(before), ..ask }, &key, control),
            None => exchange.answer.body.clone(),
        }
    });
    let discarded_before = discarded();
    scene.relay.set(twice);
    suspend(&scene, false);
    scene.relay.wait_until_met(6);
    assert!(discarded() > discarded_before);
    assert_eq!(met_by(&scene.world, &tokens), [401].into(), "nothing of it is in force");
    comes_through(&scene, &tokens, 200);
    scene.end(&[]);
}

/// Another control plane with its own data, on a port of its own.
fn start_another(scene: &Scene, sync_key: String) -> (Site, tests::process::Process) {
    let site = &scene.world.site;
    let other = Site {
        data: site.logs.join("other"),
        ports: Ports { control: tests::free_port(), ..site.ports },
        given_sync_key: Some(sync_key),
        ..site.clone()
    };
    let process = other.start_control_plane().expect("another control plane");
    let ready = format!("http://127.0.0.1:{}/readyz", other.ports.control);
    let client = client().build().expect("a client");
    eventually("the other control plane is ready", || {
        client.get(&ready).send().is_ok_and(|reply| reply.status() == 200).then_some(())
    });
    (other, process)
}

#[test]
fn attack_another_control_plane_with_another_key() {
    let scene = Scene::start(4);
    let (other, _process) = start_another(&scene, "x".repeat(32));
    let revoked = scene.new_token();
    scene.relay.ask_at(other.ports.control);
    scene.relay.set(Fault::Pass);
    scene.world.delete_token(&revoked);
    scene.relay.wait_until_met(3);
    let answers = scene.relay.take();
    assert!(answers.last().is_some_and(|last| last.answer.head.starts_with(b"HTTP/1.1 401")), "{answers:?}");
    assert_eq!(statuses(&scene.world, &revoked), [200]);
    scene.relay.ask_at(scene.world.site.ports.control);
    scene.is_refused(&revoked, RECOVERED);

    // And one that hears the question all the same, and says what is so under its own key.
    let (key, own) = (scene.sync_key(), SyncKey::parse(&"x".repeat(32)).expect("a key"));
    let sealed_anew = Fault::change(move |exchange| {
        let answer = Answer::open(&exchange.answer.body, &question(exchange, &key), &key);
        answer.and_then(|answer| answer.seal(&own)).expect("an authentic answer")
    });
    scene.cost_the_news_alone(3, [sealed_anew]);
    scene.end(&[]);
}

#[test]
fn another_history_under_the_same_key_is_followed_whole_and_left_whole() {
    let scene = Scene::start(4);
    let (other, _process) = start_another(&scene, scene.world.site.sync_key().expect("the sync key"));
    let admin = fs::read_to_string(other.data.join("admin-token")).expect("the other admin's token");
    for _ in 0..2 {
        scene.relay.ask_at(other.ports.control);
        eventually_within(RECOVERED, "the other history is in force", || {
            (statuses(&scene.world, &scene.token) == [401]).then_some(())
        });
        scene.world.get(ISSUE).bearer(admin.trim()).send().assert_user(Some("admin"));
        let revoked = scene.unheard_token();
        scene.world.delete_token(&revoked);
        scene.relay.ask_at(scene.world.site.ports.control);
        eventually_within(RECOVERED, "the own history is in force", || {
            (statuses(&scene.world, &scene.token) == [200]).then_some(())
        });
        scene.world.get(ISSUE).bearer(admin.trim()).send().assert_refused(401, "unknown_token");
        scene.is_refused(&revoked, RECOVERED);
        scene.is_whole();
    }
    scene.end(&[401]);
}

/// Copies a data directory, as an operator does while the control plane stands still.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for file in fs::read_dir(from).expect("files").map(|file| file.expect("a file")) {
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

/// Makes a backup of the data, and goes on.
fn back_up(world: &mut World) {
    assert!(world.stop_control_plane());
    copy(&world.site.data, &world.site.logs.join("backup"));
    world.start_control_plane();
}

/// Puts the backup in place of the data. The control plane does not run then.
fn restore(world: &mut World) {
    assert!(world.stop_control_plane());
    fs::remove_dir_all(&world.site.data).expect("the data");
    copy(&world.site.logs.join("backup"), &world.site.data);
}

fn revision(world: &World) -> u64 {
    world.control_get("/readyz").send().json["revision"].as_u64().expect("a revision")
}

#[test]
fn a_database_restored_from_a_backup_is_followed_and_a_revision_that_was_used_before_is_news() {
    let mut scene = Scene::start(4);
    let [lost, first, second] = [(); 3].map(|()| scene.new_token());
    back_up(&mut scene.world);

    // A revocation that the backup does not have; not for the client to watch, since it is undone.
    scene.world.delete_token(&lost);
    eventually_within(RECOVERED, "it is refused", || (statuses(&scene.world, &lost) == [401]).then_some(()));
    let used = revision(&scene.world);
    restore(&mut scene.world);
    scene.world.start_control_plane();
    eventually_within(RECOVERED, "the restored history is in force", || {
        (statuses(&scene.world, &lost) == [200]).then_some(())
    });
    scene.revoke(&first, PROMISED);
    assert_eq!(revision(&scene.world), used, "the same number, and another change");

    // Now the proxy is away meanwhile, and comes back when the numbers are the same again.
    scene.relay.set(Fault::Close);
    scene.relay.wait_until_met(1);
    restore(&mut scene.world);
    scene.world.start_control_plane();
    scene.world.delete_token(&first);
    scene.watch.refused.lock().expect("the list").clear();
    restore(&mut scene.world);
    scene.world.start_control_plane();
    scene.world.delete_token(&second);
    assert_eq!(revision(&scene.world), used);
    scene.relay.set(Fault::Pass);
    scene.is_refused(&second, RECOVERED);
    assert_eq!(statuses(&scene.world, &first), [200], "which this history never revoked");
    scene.is_whole();
    scene.end(&[]);
}

#[test]
fn kill_9_of_the_control_plane_after_every_page_of_a_full_sync() {
    let mut scene = Scene::start_with_unusable_tokens(4, FOUR_PAGES);
    let mut pages = 0;
    loop {
        // A change that the proxy does not hear of before the control plane forgets since when it is so: now the proxy
        // needs everything.
        let revoked = scene.new_token();
        scene.relay.set(Fault::Close);
        scene.world.delete_token(&revoked);
        scene.world.kill_control_plane();
        scene.world.start_control_plane();
        scene.relay.pass_then(pages, Fault::Close);
        scene.relay.wait_until_met(1);
        scene.world.kill_control_plane();
        let in_force = statuses(&scene.world, &revoked);
        scene.world.start_control_plane();
        let late = scene.unheard_token();
        scene.relay.set(Fault::Pass);
        scene.is_refused(&revoked, RECOVERED);
        eventually_within(RECOVERED, "what changed meanwhile is in force, too", || {
            (statuses(&scene.world, &late) == [200]).then_some(())
        });
        scene.revoke(&late, RECOVERED);
        if in_force == [401] {
            break; // that was the last page
        }
        assert_eq!(in_force, [200], "after {pages} pages nothing of them is in force");
        pages += 1;
    }
    assert!(pages >= 4, "{pages} pages");
    scene.end(&[]);
}

#[test]
fn u14_a_proxy_that_is_away_for_longer_than_the_greatest_age_is_503_and_comes_back_by_itself() {
    let scene = Scene::start(4);
    scene.world.set(&serde_json::json!({ "max_snapshot_age": "5s" }));
    let revoked = scene.new_token();
    scene.relay.set(Fault::Close);
    scene.world.delete_token(&revoked);
    eventually("it is away for too long", || (statuses(&scene.world, &scene.token) == [503]).then_some(()));
    assert!(scene.age() >= Duration::from_secs(5));
    scene.world.get(ISSUE).basic("alice", &revoked).send().assert_refused(503, "not_ready");
    scene.relay.wait_until_met(8);
    scene.relay.set(Fault::Pass);
    eventually_within(RECOVERED, "it is ready again", || (statuses(&scene.world, &scene.token) == [200]).then_some(()));
    assert_eq!(statuses(&scene.world, &revoked), [401], "with the first answer");
    scene.is_whole();
    scene.end(&[503]);
}

#[test]
fn a_connection_that_dies_without_a_word_costs_the_news_for_seconds_and_no_readiness() {
    let scene = Scene::start(4);
    scene.world.set(&serde_json::json!({ "max_snapshot_age": "5s" }));
    let revoked = scene.new_token();
    scene.relay.set(Fault::Dead);
    scene.relay.wait_until_met(1);
    scene.relay.set(Fault::Pass); // for every other connection
    scene.revoke(&revoked, Duration::from_secs(10));
    scene.is_whole();
    scene.end(&[]);
}
