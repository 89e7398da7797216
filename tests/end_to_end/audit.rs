//! The audit: every change leaves its record in its own transaction (A1, A5); what is there can be searched and
//! exported, however much it is (A4), and is forgotten in time.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::{Duration, Instant};
use tests::{World, basic, eventually, in_seconds};

fn read(world: &World, path: &str) -> Value {
    let reply = world.as_admin(Method::GET, path).send();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json
}

/// All items of a list, page by page, and how many pages there were.
fn all(world: &World, path: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = read(world, &format!("{path}{after}"));
        items.extend(page["items"].as_array().expect("a list").iter().cloned());
        pages += 1;
        match &page["next"] {
            Value::Null => return (items, pages),
            next => after = format!("&after={next}"),
        }
    }
}

/// A change by each route: its route, request, and what its record must say.
struct Change {
    route: &'static str,
    path: String,
    body: Value,
    action: &'static str,
    subject: String,
    detail: Value,
}

/// A row for every route that changes something: one that has none fails the test.
fn changes(token: &str, another: &str, filtered: &str) -> Vec<Change> {
    let change = |route, path: &str, body, action, subject: &str, detail| Change {
        route,
        path: path.to_owned(),
        body,
        action,
        subject: subject.to_owned(),
        detail,
    };
    let (api, none) = ("/api/v1", || Value::Null);
    let of_token = format!("{api}/tokens/{token}");
    vec![
        change(
            "post /api/v1/users",
            "/api/v1/users",
            json!({ "name": "carol", "email": "c@example.org" }),
            "user.create",
            "carol",
            json!({ "email": "c@example.org", "sysadmin": false }),
        ),
        change(
            "post /api/v1/import/users",
            "/api/v1/import/users",
            json!({ "users": [{ "name": "dave" }] }),
            "user.create",
            "dave",
            json!({ "email": null, "sysadmin": false }),
        ),
        change(
            "patch /api/v1/users/{name}",
            "/api/v1/users/carol",
            json!({ "suspended": true }),
            "user.edit",
            "carol",
            json!({ "before": { "suspended": false }, "after": { "suspended": true } }),
        ),
        change(
            "delete /api/v1/users/{name}",
            "/api/v1/users/carol",
            none(),
            "user.delete",
            "carol",
            json!({ "tokens": 0 }),
        ),
        change(
            "post /api/v1/tokens",
            "/api/v1/tokens",
            json!({ "label": "new", "owner": "alice", "valid_from": "2026-01-01T00:00:00Z", "expires_at": "2100-01-01T00:00:00Z", "scope": "read_only" }),
            "token.create",
            "",
            json!({ "owner": "alice", "label": "new", "valid_from": 1_767_225_600_000_u64, "expires_at": 4_102_444_800_000_u64, "read_only": true, "restrictions": null }),
        ),
        change(
            "post /api/v1/import/tokens",
            "/api/v1/import/tokens",
            json!("token,label,owner,scope\ns3cret-from-elsewhere,imported,alice,read_only\n"),
            "token.import",
            "",
            json!({ "owner": "alice", "label": "imported", "valid_from": null, "expires_at": null, "read_only": true, "restrictions": null }),
        ),
        change(
            "patch /api/v1/tokens/{id}",
            &of_token,
            json!({ "label": "other" }),
            "token.edit",
            token,
            json!({ "owner": "alice", "before": { "label": "test" }, "after": { "label": "other" } }),
        ),
        change(
            "post /api/v1/tokens/{id}/rotate",
            &format!("{of_token}/rotate"),
            json!({ "overlap": "1h" }),
            "token.rotate",
            token,
            json!({ "owner": "alice", "label": "other", "old_deleted": false }),
        ),
        change(
            "delete /api/v1/tokens",
            "/api/v1/tokens?owner=alice&label_prefix=filt",
            none(),
            "token.delete",
            filtered,
            json!({ "owner": "alice", "label": "filtered" }),
        ),
        change(
            "put /api/v1/users/{name}/password",
            "/api/v1/users/alice/password",
            json!({ "password": "s3cret enough" }),
            "user.password",
            "alice",
            json!({ "before": { "password": false }, "after": { "password": true } }),
        ),
        change(
            "delete /api/v1/users/{name}/password",
            "/api/v1/users/alice/password",
            none(),
            "user.password",
            "alice",
            json!({ "before": { "password": true }, "after": { "password": false } }),
        ),
        change(
            "delete /api/v1/tokens/{id}",
            &format!("{api}/tokens/{another}"),
            none(),
            "token.delete",
            another,
            json!({ "owner": "alice", "label": "test" }),
        ),
        change(
            "patch /api/v1/settings",
            "/api/v1/settings",
            json!({ "log_calls": false }),
            "settings.change",
            "1",
            json!({ "before": { "log_calls": true }, "after": { "log_calls": false } }),
        ),
        change(
            "post /api/v1/settings/restore",
            "/api/v1/settings/restore",
            json!({ "version": 0 }),
            "settings.change",
            "2",
            json!({ "before": { "log_calls": false }, "after": { "log_calls": true }, "restored": 0 }),
        ),
        change(
            "put /api/v1/backend-credential",
            "/api/v1/backend-credential",
            json!({ "bearer": "s3cret" }),
            "backend_credential.set",
            "/everyone",
            json!({ "kind": "bearer" }),
        ),
        change(
            "delete /api/v1/backend-credential",
            "/api/v1/backend-credential",
            none(),
            "backend_credential.set",
            "/everyone",
            json!({ "kind": null }),
        ),
        change(
            "put /api/v1/users/{name}/backend-credential",
            "/api/v1/users/alice/backend-credential",
            json!({ "bearer": "s3cret" }),
            "backend_credential.set",
            "alice",
            json!({ "kind": "bearer" }),
        ),
        change(
            "delete /api/v1/users/{name}/backend-credential",
            "/api/v1/users/alice/backend-credential",
            none(),
            "backend_credential.set",
            "alice",
            json!({ "kind": null }),
        ),
        change(
            "delete /api/v1/proxies/{instance}",
            &format!("/api/v1/proxies/{LOST_PROXY}"),
            none(),
            "proxy.forget",
            LOST_PROXY,
            json!({ "name": "gone" }),
        ),
    ]
}

/// Routes that change nothing, and are no `GET` since what they ask has no place in an address.
const CHANGES_NOTHING: [&str; 3] = ["/api/v1/explain", "/api/v1/settings/try", "/api/v1/tokens/{id}/try"];

const LOST_PROXY: &str = "000102030405060708090a0b0c0d0e0f";

#[test]
fn a1_a5_every_route_that_changes_something_leaves_one_record_of_who_did_what() {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_control_plane();
    world.create_user("alice");
    world.edit_user("alice", &json!({ "sysadmin": true }));
    let [token, another] = [(); 2].map(|()| world.new_token(&json!({ "label": "test", "owner": "alice" })));
    let filtered = world.new_token(&json!({ "label": "filtered", "owner": "alice" }));
    assert!(world.stop_control_plane());
    world.rows(&format!(
        "insert into proxies (instance, name, first_seen_at, seen_at, trusts_ms, version, workers) \
         values ('{LOST_PROXY}', 'gone', 0, (unixepoch() - 3600) * 1000, null, '0.1.0', 1)"
    ));
    world.start_control_plane();
    let admin_id = read(&world, "/api/v1/tokens")["items"][0]["id"].clone();
    let changes = changes(&token.id, &another.id, &filtered.id);

    let document = world.control_get("/api/v1/openapi.json").send().json;
    let mut routes = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            if method != "get" && !CHANGES_NOTHING.contains(&path.as_str()) {
                routes.insert(format!("{method} {path}"));
            }
            assert!(method == "get" || !path.starts_with("/api/v1/audit"), "nothing edits the audit: {method} {path}");
        }
    }
    assert_eq!(routes, changes.iter().map(|change| change.route.to_owned()).collect(), "a row for each");

    for (number, Change { route, path, body, action, subject, detail }) in changes.into_iter().enumerate() {
        let method = Method::from_bytes(route.split(' ').next().unwrap_or_default().to_uppercase().as_bytes());
        let request_id = format!("change-{number}");
        let before = world.audit().len();
        let call = world.as_admin(method.expect("a method"), &path).header("x-request-id", request_id.as_bytes());
        let reply = call.content(&body).send();
        assert!(reply.status.is_success(), "{route}: {} {}", reply.status, reply.text);
        assert_eq!(world.audit().len(), before + 1, "{route}: one record");
        let record = read(&world, "/api/v1/audit?limit=1")["items"][0].clone();
        let who = (&record["actor"], &record["actor_token"], &record["on_behalf_of"], &record["request_id"]);
        assert_eq!(who, (&json!("admin"), &admin_id, &Value::Null, &json!(request_id)), "{route}: {record}");
        assert_eq!(record["action"], action, "{route}");
        let subject = match (subject.as_str(), &reply.json["id"]) {
            ("", Value::Null) => json!(world.rows("select public_id from tokens order by id desc limit 1")[0]),
            ("", id) => id.clone(),
            (subject, _) => json!(subject),
        };
        assert_eq!(record["subject"], subject, "{route}");
        assert!(holds(&record["detail"], &detail), "{route}: {record} must hold {detail}");
        let revision = world.control_get("/readyz").send().json["revision"].clone();
        assert_eq!(record["revision"], revision, "{route}: of that change");
        assert!(record["at"].as_str().is_some_and(|at| at > in_seconds(-20).as_str()), "{record}");
        assert!(!record.to_string().contains("s3cret"));
    }

    // On whose behalf.
    let call = world.control_call(Method::POST, "/api/v1/tokens").basic("admin", &world.admin_token());
    let reply = call.header("contextUser", b"alice").json(&json!({ "label": "for alice" })).send();
    assert_eq!(reply.status, 201, "{}", reply.text);
    let record = read(&world, "/api/v1/audit?limit=1")["items"][0].clone();
    assert_eq!((&record["actor"], &record["on_behalf_of"]), (&json!("admin"), &json!("alice")), "{record}");

    for path in ["/api/v1/audit", "/api/v1/audit/calls", "/api/v1/audit/export", "/api/v1/audit/calls/export"] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            world.as_admin(method, path).json(&json!({})).send().assert_refused(405, "method_not_allowed");
        }
    }
    world.as_admin(Method::DELETE, "/api/v1/audit/1").send().assert_refused(404, "not_found");
}

/// Whether a document holds what is expected of it, whatever else it holds.
fn holds(document: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, field)| document.get(name).is_some_and(|d| holds(d, field))),
        other => document == other,
    }
}

#[test]
fn a4_changes_are_found_by_who_what_to_whom_and_when_page_by_page() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    world.create_user("bob");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    for name in ["alice", "bob"] {
        world.edit_user(name, &json!({ "suspended": true }));
    }
    world.rows(
        "insert into audit (at, revision, actor, action, subject, detail) \
         values (86400000, 0, 'alice', 'sign_in', 'alice', '{}')",
    );
    let found = |query: &str| {
        let (items, _) = all(&world, &format!("/api/v1/audit?limit=2{query}"));
        items
            .iter()
            .map(|item| format!("{} {}", item["action"].as_str().unwrap(), item["subject"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let first =
        world.as_admin(Method::GET, "/api/v1/tokens").send().json["items"][0]["id"].as_str().unwrap().to_owned();
    let created = format!("token.create {}", token.id);
    let newest_first = [
        "user.edit bob",
        "user.edit alice",
        &created,
        "user.create bob",
        "user.create alice",
        &format!("token.create {first}"),
        "user.create admin",
        "sign_in alice", // of 1970
    ];
    assert_eq!(found(""), newest_first);
    assert_eq!(found("&actor=admin"), newest_first[..5]);
    assert_eq!(found("&actor=tokengate"), newest_first[5..7]);
    assert_eq!(found("&subject=alice"), ["user.edit alice", "user.create alice", "sign_in alice"]);
    assert_eq!(found("&action=user.edit"), newest_first[..2]);
    assert_eq!(found("&action=user.edit&subject=alice&actor=admin"), ["user.edit alice"]);
    assert_eq!(found("&action=user.edit&actor=nobody"), [""; 0]);
    assert_eq!(found("&to=1970-01-02T00:00:00.001Z"), ["sign_in alice"]);
    assert_eq!(found("&to=1970-01-02T00:00:00Z"), [""; 0], "before, not until");
    assert_eq!(found("&from=1970-01-02T00:00:00Z&subject=alice&to=1971-01-01T00:00:00Z"), ["sign_in alice"]);
    assert_eq!(found("&from=2000-01-01T00:00:00Z"), newest_first[..7]);
    let sign_in = &read(&world, "/api/v1/audit?action=sign_in")["items"][0];
    assert_eq!((&sign_in["revision"], &sign_in["at"]), (&Value::Null, &json!("1970-01-02T00:00:00Z")), "{sign_in}");
    for wrong in ["limit=0", "limit=1001", "from=yesterday", "after=x", "user=alice", "actor=%00"] {
        world.as_admin(Method::GET, &format!("/api/v1/audit?{wrong}")).send().assert_refused(400, "bad_request");
    }
    assert_eq!(read(&world, "/api/v1/audit?after=99999"), json!({ "items": [], "next": null }));
    world.edit_user("alice", &json!({ "suspended": false }));
    for path in ["/api/v1/audit", "/api/v1/audit/export"] {
        world.control_get(path).bearer(&token).send().assert_refused(403, "forbidden");
        world.control_get(path).send().assert_refused(401, "credentials_required");
    }
}

/// Puts so many calls into the database: a hundred a second until a minute ago, by these users in turn, the first of
/// them refused.
fn add_calls(world: &World, count: u32, token: &str, user: &str) {
    world.rows(&format!(
        "with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < {count}) \
         insert into calls (at, calls, outcome, token, user, method, path, address, status, request_id, proxy) \
         select (unixepoch() - 60) * 1000 - i * 10, 1, case when i % 10000 = 9999 then 'token_expired' else 'admitted' end, \
         '{token}', '{user}', 'GET', printf('/rest/%0300d', i), '192.0.2.7', 200, printf('r-%d', i), 'edge' from n"
    ));
}

#[test]
fn a4_users_see_their_own_calls_and_sysadmins_find_all_in_bounded_pages() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    world.create_user("bob");
    let token = world.new_token(&json!({ "label": "test", "owner": "alice" }));
    add_calls(&world, 25_000, "t-bob", "bob");
    world.rows(
        "insert into calls (at, calls, outcome, token, user, method, path, proxy) values \
         ((unixepoch() + 1) * 1000, 1, 'admitted', 't-alice', 'alice', 'GET', '/rest/x', ''), \
         (1000, 1, 'admitted', 't-old', 'alice', 'GET', '/rest/another-alice', 'edge')",
    );
    let paths =
        |items: &[Value]| items.iter().filter_map(|item| item["path"].as_str()).map(str::to_owned).collect::<Vec<_>>();

    // One's own, since one is there: not those of somebody before of the same name.
    let own = |query: &str| world.control_get(&format!("/api/v1/audit/calls{query}")).bearer(&token).send();
    let reply = own("?proxy=&method=").status;
    assert_eq!(reply, 400, "no such filter");
    for query in ["?token=t-alice", "?user=ALICE&token=t-alice", "?token=t-alice&outcome=admitted&proxy="] {
        let reply = own(query);
        assert_eq!(paths(reply.json["items"].as_array().expect("a list")), ["/rest/x"], "{query}: {}", reply.text);
    }
    let reply = own("?from=1970-01-01T00:00:00Z&limit=1000");
    assert!(!reply.text.contains("another-alice") && !reply.text.contains("bob"), "{}", reply.text);
    own("?user=bob").assert_refused(403, "forbidden");
    assert_eq!(own("?token=t-bob").json, json!({ "items": [], "next": null }));
    world.control_get("/api/v1/audit/calls/export?user=bob").bearer(&token).send().assert_refused(403, "forbidden");

    // Two rare ones among many: no page looks at more than some, and together they find all.
    let started = Instant::now();
    let (rare, pages) = all(&world, "/api/v1/audit/calls?user=bob&outcome=token_expired");
    println!("{pages} pages in {:?}", started.elapsed());
    assert_eq!((rare.len(), pages), (2, 3), "10,000 rows are looked at for a page: {rare:?}");
    let (rare, pages) = all(&world, "/api/v1/audit/calls?outcome=token_expired");
    assert_eq!((rare.len(), pages), (2, 1), "one filter goes straight to what it finds");
    let (rare, pages) = all(&world, "/api/v1/audit/calls?user=bob&proxy=other");
    assert_eq!((rare.len(), pages), (0, 3));
    let (some, pages) = all(&world, "/api/v1/audit/calls?user=bob&proxy=edge&outcome=token_expired&limit=1");
    assert!(some.len() == 2 && pages >= 3, "{pages}");
    let first = &some[0];
    let expected = json!({
        "id": first["id"], "at": first["at"], "calls": 1, "outcome": "token_expired", "token": "t-bob", "user": "bob", "actor": null,
        "method": "GET", "path": format!("/rest/{:0300}", 9999), "address": "192.0.2.7", "status": 200,
        "request_id": "r-9999", "proxy": "edge",
    });
    assert_eq!(first, &expected, "the newest of them first");
    // A range of time far back is found at once, by whatever it is combined with.
    let at = first["at"].as_str().expect("a time").to_owned();
    for filters in ["", "&user=bob", "&token=t-bob", "&outcome=token_expired"] {
        let page = read(&world, &format!("/api/v1/audit/calls?limit=1&to={at}{filters}"));
        let older = &page["items"][0];
        assert!(older["id"].as_i64() > first["id"].as_i64() && older["user"] == "bob", "{filters}: {page}");
    }
    let (everything, _) = all(&world, "/api/v1/audit/calls?limit=1000&user=bob");
    let ids: BTreeSet<_> = everything.iter().map(|call| call["id"].as_i64()).collect();
    assert_eq!((everything.len(), ids.len()), (25_000, 25_000), "each once");
}

fn export(world: &World, path: &str) -> reqwest::blocking::Response {
    let client = tests::client().timeout(Duration::from_secs(120)).build().expect("a client");
    let reply = client
        .get(format!("http://127.0.0.1:{}{path}", world.site.ports.control))
        .header("authorization", basic("admin", &world.admin_token()))
        .send()
        .expect("a reply");
    assert_eq!(reply.status(), StatusCode::OK);
    reply
}

#[test]
fn a4_an_export_of_200_000_calls_takes_constant_memory_and_holds_up_nobody_however_slow_its_reader() {
    const CALLS: u32 = 200_000;
    let world = World::start_without_proxy();
    world.create_user("alice");
    add_calls(&world, CALLS, "t-alice", "alice");
    read(&world, "/api/v1/audit/calls?limit=1000");
    let memory = |figure: &str| world.control_plane().memory(figure) / 1024;
    let (before, peak_before) = (memory("VmRSS"), memory("VmHWM"));
    let mut reply = export(&world, "/api/v1/audit/calls/export?user=alice");
    assert_eq!(reply.headers()["content-type"], "application/x-ndjson");
    assert_eq!(reply.headers()["content-disposition"], "attachment; filename=\"tokengate-calls.jsonl\"");
    let mut text = vec![0; 64 * 1024];
    reply.read_exact(&mut text).expect("the beginning");
    // The reader pauses; changes go on, and nothing that was there is lost to the log of the database.
    for number in 0..5 {
        let started = Instant::now();
        world.create_user(&format!("user-{number}"));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    let checkpoint = world.rows("pragma wal_checkpoint(truncate)");
    assert_eq!(checkpoint, ["0|0|0"], "no reader keeps the database from tidying up");
    let started = Instant::now();
    reply.read_to_end(&mut text).expect("the rest");
    let (after, peak) = (memory("VmRSS"), memory("VmHWM"));
    println!(
        "{} MiB in {:?}; resident {before} KiB before, {after} after; at most {peak_before} before, {peak} after",
        text.len() / 1024 / 1024,
        started.elapsed()
    );
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let ids: BTreeSet<u64> =
        lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON")["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), CALLS as usize, "each once");
    assert!(text.len() > 80 * 1024 * 1024);
    // Read as one page, half as many took 232 MiB.
    assert!(peak < peak_before.max(before) + 32 * 1024, "a third of what was sent");
}

#[test]
fn attack_a4_an_export_that_cannot_go_on_breaks_off_and_is_no_whole_file() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    add_calls(&world, 100_000, "t-alice", "alice");
    let mut reply = export(&world, "/api/v1/audit/calls/export?format=csv");
    let mut text = vec![0; 64 * 1024];
    reply.read_exact(&mut text).expect("the beginning");
    world.rows("alter table calls rename to calls_elsewhere");
    let error = reply.read_to_end(&mut text).expect_err("it breaks off");
    println!("after {} KiB: {error}", text.len() / 1024);
    eventually("the log says so", || world.log("control-plane").contains("an export broke off").then_some(()));
    world.rows("alter table calls_elsewhere rename to calls");
}

#[test]
fn attack_a4_a_table_holds_no_formula_and_no_token() {
    let world = World::start();
    let token = world.token_for("alice");
    world.get(&format!("/rest/{}", token.text)).bearer(&token).send();
    world.get("/rest/marked").bearer(&token).send();
    eventually("the calls are there", || {
        world.rows("select 1 from calls where path = '/rest/marked'").first().map(|_| ())
    });
    world.rows("update calls set path = '=cmd|''/c calc''!A0', request_id = 'a,\"b\"' where path = '/rest/marked'");
    let mut text = String::new();
    let mut reply = export(&world, "/api/v1/audit/calls/export?format=csv&user=alice");
    assert_eq!(reply.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(reply.headers()["content-disposition"], "attachment; filename=\"tokengate-calls.csv\"");
    reply.read_to_string(&mut text).expect("a table");
    let header = "id,at,calls,outcome,token,user,actor,method,path,address,status,request_id,proxy\r\n";
    assert!(text.starts_with(header), "{text}");
    assert!(text.contains(",'=cmd|'/c calc'!A0,") && text.contains(",\"a,\"\"b\"\"\","), "{text}");
    assert!(!text.contains(&token.text[4..]), "{text}");
    assert!(text.lines().skip(1).all(|line| line.contains(",alice,")), "{text}");

    let mut text = String::new();
    export(&world, "/api/v1/audit/export?format=csv&action=token.create").read_to_string(&mut text).expect("a table");
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "id,at,revision,actor,actor_token,on_behalf_of,action,subject,detail,request_id");
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].contains(&token.id) && lines[1].contains("\"\"label\"\":\"\"test\"\""), "{text}");
    let mut text = String::new();
    export(&world, "/api/v1/audit/export?subject=alice").read_to_string(&mut text).expect("lines");
    let record: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(record, read(&world, "/api/v1/audit?subject=alice")["items"][0]);
    world.as_admin(Method::GET, "/api/v1/audit/export?format=xml").send().assert_refused(400, "bad_request");
}

#[test]
fn a4_records_of_changes_are_forgotten_like_calls_but_for_the_history_of_the_settings() {
    let mut world = World::start_without_proxy();
    let reply = world.as_admin(Method::PATCH, "/api/v1/settings").json(&json!({ "audit_retention_days": 7 })).send();
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(world.stop_control_plane());
    // More than go at a time, and one change of the settings among them.
    world.rows(
        "with recursive n(i) as (select 0 union all select i + 1 from n where i < 5000) \
         insert into audit (at, revision, actor, action, subject, detail) \
         select (unixepoch() - 8 * 86400) * 1000, 0, 'old', 'user.edit', 'x', '{}' from n",
    );
    world.rows("update audit set at = (unixepoch() - 9 * 86400) * 1000 where action = 'settings.change'");
    world.rows(
        "insert into audit (at, revision, actor, action, subject, detail) \
         values ((unixepoch() - 6 * 86400) * 1000, 0, 'recent', 'user.edit', 'x', '{}')",
    );
    world.start_control_plane();
    eventually("the old ones are gone", || {
        (world.rows("select count(*) from audit where actor = 'old'") == ["0"]).then_some(())
    });
    assert_eq!(read(&world, "/api/v1/audit?actor=recent")["items"].as_array().map(Vec::len), Some(1));
    let version = &read(&world, "/api/v1/settings/history")["items"][0];
    assert_eq!(
        (&version["actor"], &version["changed"]["after"]),
        (&json!("admin"), &json!({ "audit_retention_days": 7 }))
    );
    let restored = world.as_admin(Method::POST, "/api/v1/settings/restore").json(&json!({ "version": 1 })).send();
    assert_eq!(restored.status, 200, "{}", restored.text);
}
