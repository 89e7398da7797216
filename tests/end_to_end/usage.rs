//! The audit of calls (A2), and when and how often a token was used (M7): each call once, whatever happens on the way.

use policy::feed::{Receipt, Report, SyncKey};
use policy::usage::{Call, Counted, Entry, append};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tests::load::{Load, request};
use tests::{StopWhenDropped, Token, World, basic, eventually, eventually_within, in_seconds};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const PROMISED: Duration = Duration::from_secs(5);

fn shown(world: &World, token: &Token) -> Value {
    world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send().json
}

fn uses(world: &World, token: &Token) -> u64 {
    shown(world, token)["usage_count"].as_u64().expect("a count")
}

/// Calls in the audit with this token and outcome: told whole, and only counted.
fn audited(world: &World, token: &Token, outcome: &str) -> (u64, u64) {
    let sum = |which: &str| {
        let query = "select coalesce(sum(calls), 0) from calls where token = ";
        let rows = world.rows(&format!("{query}'{}' and outcome = '{outcome}' and {which}", token.id));
        rows[0].parse().expect("a number")
    };
    (sum("method is not null"), sum("method is null"))
}

#[test]
fn m7_use_is_shown_within_5_s_with_time_address_and_number() {
    let world = World::start_with_workers(4);
    let token = world.token_for("alice");
    eventually_within(PROMISED, "the uses so far are known", || (uses(&world, &token) > 0).then_some(()));
    std::thread::sleep(Duration::from_secs(2)); // each worker may have some that are not told yet
    let before = uses(&world, &token);
    let unused = world.new_token(&json!({ "label": "unused", "owner": "alice" }));
    for _ in 0..7 {
        world.get(ISSUE).basic("alice", &token).send().assert_user(Some("alice"));
        world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
    }
    world.get("/api/v1/tokens").bearer(&token).send(); // at the control plane, through the proxy
    world.control_get("/api/v1/tokens").bearer(&token).send(); // and directly
    world.get(ISSUE).basic("bob", &token).send().assert_refused(401, "wrong_user"); // which is no use
    let asked = Instant::now();
    eventually_within(PROMISED, "sixteen more", || (uses(&world, &token) >= before + 16).then_some(()));
    println!("known after {:?}", asked.elapsed());
    std::thread::sleep(Duration::from_millis(1500));
    let view = shown(&world, &token);
    assert_eq!(view["usage_count"], before + 16, "{view}");
    let last = view["last_accessed_at"].as_str().expect("a time");
    assert!(last > in_seconds(-15).as_str() && last <= in_seconds(0).as_str(), "{last}");
    assert_eq!(view["last_accessed_from"], "127.0.0.1");
    let view = shown(&world, &unused);
    assert_eq!((&view["usage_count"], &view["last_accessed_at"]), (&json!(0), &Value::Null));
    let list = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send().json;
    assert_eq!(list["items"][0]["usage_count"], before + 16);
}

#[test]
fn a2_each_call_with_a_token_is_audited_with_who_what_where_and_what_came_of_it() {
    let world = World::start();
    let token = world.token_for("alice");
    world.create_user("bob");
    world.wait_until_told();
    let boss = world.admin_token();
    world.get("/rest/x?secret=1").basic("alice", &token).header("x-request-id", b"abc-123").send();
    world.request(Method::DELETE, "/rest/y").bearer(&token).send();
    world.get("/rest/z").basic("bob", &token).send();
    world.get("/rest/w").basic("admin", &boss).header("contextUser", b"bob").send();
    world.get("/rest/none").basic("alice", "wonderland").send(); // a password: by setting only
    world.get("/rest/none").bearer(tests::UNKNOWN_TOKEN).send(); // nobody's token is only counted
    let rows = eventually_within(PROMISED, "all are there", || {
        let columns = "outcome, token, user, actor, method, path, address, status, proxy, calls";
        let rows = world.rows(&format!(
            "select {columns} from calls where path like '/rest/_%' and method is not null order by path"
        ));
        (rows.len() >= 4).then_some(rows)
    });
    let id = &token.id;
    let admin_id = world.rows("select public_id from tokens where label = 'first start'").remove(0);
    assert_eq!(
        rows,
        [
            format!("admitted|{admin_id}|bob|admin|GET|/rest/w|127.0.0.1|200|envoy|1"),
            format!("admitted|{id}|alice|None|GET|/rest/x|127.0.0.1|200|envoy|1"),
            format!("admitted|{id}|alice|None|DELETE|/rest/y|127.0.0.1|200|envoy|1"),
            format!("wrong_user|{id}|alice|None|GET|/rest/z|127.0.0.1|None|envoy|1"),
        ]
    );
    let ids = world.rows("select distinct request_id from calls where path like '/rest/_'");
    assert_eq!(ids.len(), 4, "each with the proxy's id of the request: {ids:?}");

    world.set(&json!({ "audit_calls": "tokens_and_passwords" }));
    world.get("/rest/password").basic("alice", "wonderland").send().assert_user(Some("alice"));
    eventually_within(PROMISED, "the password is there", || {
        let rows = world.rows("select outcome, token, user from calls where path = '/rest/password'");
        (rows == ["passed|None|alice"]).then_some(())
    });

    world.set(&json!({ "audit_calls": "off" }));
    let before = uses(&world, &token);
    world.get("/rest/off").basic("alice", &token).send().assert_user(Some("alice"));
    eventually_within(PROMISED, "it is counted all the same", || (uses(&world, &token) == before + 1).then_some(()));
    assert_eq!(world.rows("select path from calls where path = '/rest/off' or method is null"), [""; 0]);
}

#[test]
fn attack_a_token_in_a_path_or_a_name_is_not_in_the_audit() {
    let world = World::start();
    let token = world.token_for("alice");
    world.set(&json!({ "audit_calls": "tokens_and_passwords" }));
    world.get(&format!("/rest/{}", token.text)).bearer(&token).send();
    world.get("/rest/n").basic(&format!("x{}", token.text), "wonderland").send();
    world.get("/rest/q'||char(1)").header("x-request-id", token.text.as_bytes()).bearer(&token).send();
    eventually_within(PROMISED, "they are there", || {
        (world.rows("select 1 from calls where path like '/rest/tgt%' or path like '/rest/q%'").len() >= 2)
            .then_some(())
    });
    let body = &token.text[4..];
    for row in world.rows("select * from calls") {
        assert!(!row.contains(body), "{row}");
    }
}

#[test]
fn a2_calls_stay_in_the_audit_for_as_long_as_the_setting_says() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    let reply = world.as_admin(Method::PATCH, "/api/v1/settings").json(&json!({ "audit_retention_days": 7 })).send();
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(world.stop_control_plane());
    for days in [6, 8, 9] {
        let at = format!("(unixepoch() - {days} * 86400) * 1000");
        world.rows(&format!(
            "insert into calls (at, calls, outcome, path, proxy) values ({at}, 1, 'admitted', '/{days}', '')"
        ));
    }
    world.start_control_plane();
    eventually_within(PROMISED, "the old ones are gone", || {
        (world.rows("select path from calls where path is not null and path like '/_'") == ["/6"]).then_some(())
    });
}

#[test]
fn a2_a_slow_backend_does_not_hide_a_use() {
    let mut world = World::prepare(1);
    // Nobody answers there: the connection hangs until Envoy gives up.
    let port = world.site.ports.backend;
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    world.edit_config(&format!("port_value: {port} # TOKENGATE_BACKEND_PORT"), &format!("port_value: {silent_port}"));
    world.start_both();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    world.wait_until_told();
    std::thread::scope(|scope| {
        scope.spawn(|| world.get(ISSUE).bearer(&token).send()); // its client gives up after 10 s
        eventually_within(PROMISED, "the use is known", || (uses(&world, &token) == 1).then_some(()));
        let status = world
            .rows("select status from calls where outcome = 'admitted' and method = 'GET' and path like '/rest/%'");
        assert_eq!(status, ["None"]);
    });
    assert_eq!(uses(&world, &token), 1, "once, also after the end");
}

#[test]
fn a2_200_000_calls_are_counted_exactly_though_the_control_plane_is_killed_five_times() {
    const CALLS: u64 = 200_000;
    let mut world = World::prepare(2);
    world.answer_directly();
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    world.create_user("alice");
    let tokens: Vec<Token> = (0..3).map(|_| world.new_token(&json!({ "label": "test", "owner": "alice" }))).collect();
    world.wait_until_told();
    let requests = tokens.iter().map(|token| request("GET", "/rest/direct", &basic("alice", &token.text))).collect();
    let load = Load::new(world.site.ports.entrance, requests).over(32, 2);
    let started = Instant::now();
    let summary = std::thread::scope(|scope| {
        let running = scope.spawn(|| load.send(CALLS));
        for kill in 1..=5 {
            eventually_within(Duration::from_secs(120), "the load goes on", || {
                (load.begun() >= CALLS * kill / 6).then_some(())
            });
            world.kill_control_plane();
            std::thread::sleep(Duration::from_millis(300 * kill)); // some of them beyond a report's time-out
            world.start_control_plane();
        }
        running.join().expect("the load comes to its end")
    });
    let all_200: u64 = summary.each.iter().map(|each| each.with_status(200)).sum();
    assert_eq!(all_200, CALLS, "none was refused, none went unanswered: {:?}", summary.all());
    println!("{CALLS} calls in {:?}, {:.0} a second", started.elapsed(), summary.rate());
    let sums = || tokens.iter().map(|token| uses(&world, token)).sum::<u64>();
    eventually_within(Duration::from_secs(60), "all are counted", || (sums() >= CALLS).then_some(()));
    std::thread::sleep(Duration::from_secs(2)); // nothing comes twice
    assert_eq!(sums(), CALLS);
    for (token, sent) in tokens.iter().zip(&summary.each) {
        let (whole, counted) = audited(&world, token, "admitted");
        println!("{}: {} told whole, {counted} counted", token.id, whole);
        assert_eq!(whole + counted, sent.with_status(200), "the audit says of each how many it is");
        assert_eq!(uses(&world, token), sent.with_status(200));
    }
    println!("memory of Envoy: {} MiB", world.proxy.memory() / 1024 / 1024);
}

#[test]
fn a2_a_control_plane_that_is_away_for_ten_minutes_of_calls_gets_their_number_and_what_there_was_room_for() {
    const CALLS: u64 = 120_000; // 200 a second for ten minutes
    let mut world = World::prepare(4);
    world.answer_directly();
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    world.wait_until_told();
    let before = world.proxy.memory();
    world.kill_control_plane();
    // A long path, so that there is not room for all.
    let path = format!("/rest/direct?{}", "");
    let path = path.replace('?', &format!("/{}", "long/".repeat(50)));
    let load = Load::new(world.site.ports.entrance, vec![request("GET", &path, &basic("alice", &token.text))]);
    let summary = load.over(32, 2).send(CALLS);
    assert_eq!(summary.each[0].with_status(200), CALLS, "nobody is refused for it: {summary:?}");
    let used = world.counted("usage_outbox_batches");
    let full = world.proxy.memory();
    println!("{used} batches; memory of Envoy: {} MiB before, {} MiB full", before >> 20, full >> 20);
    assert!(used > 190, "{used}");
    assert!(full < before + (96 << 20), "the outbox is bounded: {} MiB", (full - before) >> 20);
    world.start_control_plane();
    eventually_within(Duration::from_secs(60), "all are counted", || (uses(&world, &token) >= CALLS).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(uses(&world, &token), CALLS);
    let (whole, counted) = audited(&world, &token, "admitted");
    println!("{whole} told whole, {counted} counted");
    assert_eq!(whole + counted, CALLS);
    assert!(whole > 10_000 && counted > 1000, "{whole} and {counted}");
    eventually("the outbox is empty", || (world.counted("usage_outbox_batches") <= 4).then_some(()));
    world.get("/rest/direct").basic("alice", &token).send();
    eventually_within(PROMISED, "calls are told whole again", || {
        (audited(&world, &token, "admitted").0 == whole + 1).then_some(())
    });
}

#[test]
fn attack_a_flood_of_refusals_pushes_no_call_out() {
    let mut world = World::prepare(2);
    world.answer_directly();
    world.start_both();
    world.set(&json!({ "log_calls": false }));
    world.create_user("alice");
    let good = world.new_token(&json!({ "label": "good", "owner": "alice" }));
    let deleted = world.new_token(&json!({ "label": "deleted", "owner": "alice" }));
    world.delete_token(&deleted);
    world.wait_until_told();
    std::thread::sleep(Duration::from_millis(100));
    let stop = AtomicBool::new(false);
    let refusals = ["alice", "bob"].map(|user| request("GET", "/rest/direct", &basic(user, &deleted.text)));
    let flood = Load::new(world.site.ports.entrance, refusals.to_vec()).over(16, 1);
    let nobodys = vec![request("GET", "/rest/direct", &basic("alice", tests::UNKNOWN_TOKEN))];
    let nobodys = Load::new(world.site.ports.entrance, nobodys).over(8, 1).at_rate(1000.0);
    let calls = vec![request("GET", "/rest/direct", &basic("alice", &good.text))];
    let calls = Load::new(world.site.ports.entrance, calls).over(4, 1).at_rate(200.0);
    let (flooded, unknown) = std::thread::scope(|scope| {
        let end = StopWhenDropped(&stop);
        let floods = [&flood, &nobodys].map(|load| scope.spawn(|| load.send_until(&stop)));
        assert_eq!(calls.send(1000).each[0].with_status(200), 1000);
        drop(end);
        let [flood, nobodys] = floods.map(|load| load.join().expect("the flood ends"));
        (flood.each.iter().map(|each| each.with_status(401)).sum::<u64>(), nobodys.each[0].with_status(401))
    });
    assert!(flooded > 3000 && unknown > 500, "{flooded} {unknown}");
    eventually_within(PROMISED, "all calls are told whole", || {
        (audited(&world, &good, "admitted") == (1000, 0)).then_some(())
    });
    let told = || {
        let refusals = ["token_deleted", "wrong_user"].map(|outcome| audited(&world, &deleted, outcome));
        (refusals[0].0 + refusals[1].0, refusals[0].1 + refusals[1].1)
    };
    let (whole, counted) = eventually_within(PROMISED, "every refusal is told or counted", || {
        let (whole, counted) = told();
        (whole + counted >= flooded).then_some((whole, counted))
    });
    println!("{flooded} refusals: {whole} told whole, {counted} counted; {unknown} of nobody's tokens not told at all");
    assert_eq!(whole + counted, flooded);
    assert!(whole <= 2 * 50 * 10, "{whole}");
    assert_eq!(
        world.rows(&format!(
            "select uses from token_usage join tokens on id = token_id where public_id = '{}'",
            deleted.id
        )),
        [""; 0]
    );
    let all: u64 =
        world.rows("select coalesce(sum(calls), 0) from calls where token is null")[0].parse().expect("a number");
    assert_eq!(all, 0, "and of nobody's there is nothing");
}

#[expect(clippy::disallowed_methods, reason = "a report that is sent now says when that is")]
fn now() -> policy::Timestamp {
    policy::Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("a time"))
}

/// A report as a proxy would send it, sealed with this key.
fn report(key: &SyncKey, instance: u8, first: u64, batches: &[Vec<u8>]) -> Vec<u8> {
    let report = Report {
        key_id: key.id(),
        instance: [instance; 16],
        name: "crafted",
        sent_at: now(),
        nonce: [7; 16],
        first,
        batches: batches.iter().map(Vec::as_slice).collect(),
    };
    report.seal(key).expect("a report")
}

#[test]
fn attack_a_report_that_comes_again_in_other_pieces_or_under_another_key_counts_once_or_not_at_all() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    let key = SyncKey::parse(&world.site.sync_key().expect("a sync key")).expect("a sync key");
    let batch = |calls: u64| {
        let mut batch = Vec::new();
        let counted = Counted {
            token: Some(token.id.clone()),
            outcome: "admitted".into(),
            calls,
            last_at: policy::Timestamp::from_millis(u64::MAX / 2),
            last_address: None,
        };
        append(&mut batch, &Entry::Counted(counted));
        batch
    };
    let url = format!("http://127.0.0.1:{}/feed/v1/usage", world.site.ports.control);
    let client = tests::client().build().expect("a client");
    let send = |body: Vec<u8>| {
        let reply = client.post(&url).body(body).send().expect("an answer");
        (reply.status().as_u16(), reply.bytes().expect("a body"))
    };
    let taken = |body: Vec<u8>, instance: u8| {
        let (status, body) = send(body);
        assert_eq!(status, 200);
        Receipt::open(&body, [7; 16], [instance; 16], &key).expect("an authentic receipt").taken
    };
    let three = report(&key, 1, 0, &[batch(1), batch(10), batch(100)]);
    assert_eq!(taken(three.clone(), 1), 3);
    assert_eq!(taken(three.clone(), 1), 3, "the same again");
    assert_eq!(taken(report(&key, 1, 1, &[batch(10), batch(100)]), 1), 3);
    assert_eq!(uses(&world, &token), 111);
    assert_eq!(taken(report(&key, 1, 2, &[batch(100), batch(1000)]), 1), 4, "what is new in it counts");
    assert_eq!(uses(&world, &token), 1111);
    assert_eq!(taken(report(&key, 1, 0, &[]), 1), 4);
    assert_eq!(taken(report(&key, 2, 0, &[batch(10_000)]), 2), 1, "another proxy's numbers are its own");
    assert_eq!(
        taken(report(&key, 1, 9, &[batch(100_000), b"\\xffrubbish".to_vec()]), 1),
        11,
        "rubbish holds nothing up"
    );
    assert_eq!(uses(&world, &token), 111_111);
    let wrong = SyncKey::parse(&"x".repeat(32)).expect("a key");
    let mut flipped = three;
    flipped[40] ^= 1;
    for body in [report(&wrong, 3, 0, &[batch(5)]), flipped, Vec::new(), vec![0; 700_000]] {
        let (status, body) = send(body);
        assert!(status == 401 || status == 400, "{status}: {body:?}");
    }
    assert_eq!(uses(&world, &token), 111_111);
    let view = shown(&world, &token);
    assert!(
        view["last_accessed_at"].as_str().is_some_and(|at| at <= in_seconds(0).as_str()),
        "not in the future: {view}"
    );
    world.kill_control_plane();
    world.start_control_plane();
    assert_eq!(taken(report(&key, 1, 0, &[batch(1), batch(10), batch(100)]), 1), 11, "also after a restart");
    assert_eq!(uses(&world, &token), 111_111);
}

#[test]
fn what_a_filter_of_a_later_release_reports_is_taken_in_as_far_as_it_is_known() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    let key = SyncKey::parse(&world.site.sync_key().expect("a sync key")).expect("a sync key");
    let call = Call {
        at: now(),
        token: Some(token.id.clone()),
        user: Some("alice".into()),
        actor: None,
        method: "GET".into(),
        path: "/rest/x".into(),
        address: None,
        outcome: "from_the_future".into(),
        status: None,
        request_id: String::new(),
    };
    let (outcome, last_at) = ("also_from_there".into(), now());
    let counted = Counted { token: Some(token.id.clone()), outcome, calls: 7, last_at, last_address: None };
    let admitted = Call { outcome: "admitted".into(), ..call.clone() };
    let batch = |entries: &[Entry]| {
        let mut batch = Vec::new();
        entries.iter().for_each(|entry| append(&mut batch, entry));
        batch
    };
    let batches = [
        batch(&[Entry::Call(call), Entry::Counted(counted)]),
        vec![9, 9, 9], // another kind of entry, in a batch of its own
        batch(&[Entry::Call(admitted)]),
    ];
    let url = format!("http://127.0.0.1:{}/feed/v1/usage", world.site.ports.control);
    let call = tests::client().build().expect("a client").post(url).body(report(&key, 1, 0, &batches));
    let body = call.send().and_then(reqwest::blocking::Response::bytes).expect("an answer");
    assert_eq!(Receipt::open(&body, [7; 16], [1; 16], &key).map(|receipt| receipt.taken), Some(3));
    let rows = world.rows("select outcome, calls, method from calls where proxy = 'crafted' order by id");
    assert_eq!(rows, ["from_the_future|1|GET", "also_from_there|7|None", "admitted|1|GET"]);
    let listed = world.as_admin(Method::GET, "/api/v1/audit/calls?outcome=from_the_future").send();
    assert_eq!(listed.json["items"][0]["token"], *token.id, "{}", listed.text);
    assert_eq!(uses(&world, &token), 1, "an outcome that is not known is no use");
    let trial = json!({ "settings": { "token_authentication": false } });
    let tried = world.as_admin(Method::POST, "/api/v1/settings/try").json(&trial).send();
    assert_eq!(tried.status, 200, "what becomes of such calls can be tried: {}", tried.text);
}
