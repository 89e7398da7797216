//! M1: API Tokens for Jira and Confluence.

use super::{assert_like, world_with_facades};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tests::{World, basic, eventually};

const TOKENS: &str = "/rest/api-tokens/latest/";
const ALL: &str = "/rest/api-tokens/latest/all";

/// The number of a token, which stands in the list of everyone's.
fn number_of(world: &World, token: &str) -> String {
    world.rows(&format!("select id from tokens where public_id = '{token}'")).concat()
}

fn live(world: &World, owner: &str) -> String {
    let owner = format!("(select id from users where name = '{owner}')");
    world.rows(&format!("select count(*) from tokens where deleted_at is null and owner_id = {owner}")).concat()
}

#[test]
fn m1_a_token_is_created_works_is_listed_and_deleted_by_either_id() {
    let (world, token) = world_with_facades();
    let mut values = Vec::new();
    for path in [TOKENS, TOKENS.trim_end_matches('/')] {
        let created = world.request(Method::POST, path).bearer(&token).json(&json!({ "label": "New token" })).send();
        let [value] = assert_like(&created, 200, r#"{"passwordValue":"<token>"}"#).try_into().expect("one");
        assert_eq!(created.headers["content-type"], "application/json");
        values.push(value);
    }
    world.wait_until_told();
    let listed = eventually("the first one's use is known", || {
        let listed = world.get(TOKENS).bearer(&token).send();
        listed.json[0]["lastAccessed"].is_i64().then_some(listed)
    });
    let unused = r#"{"label":"New token","createdAt":<millis>,"lastAccessed":null,"id":"<id>"}"#;
    let used = r#"{"label":"test","createdAt":<millis>,"lastAccessed":<millis>,"id":"<id>"}"#;
    let found = assert_like(&listed, 200, &format!("[{used},{unused},{unused}]"));
    assert_eq!(listed.headers["content-type"], "application/json");
    assert_eq!(world.get(TOKENS.trim_end_matches('/')).bearer(&token).send().json[2], listed.json[2]);
    world.get("/rest/api/2/issue/JRA-1").basic("alice", &values[0]).send().assert_user(Some("alice"));

    let (by_name, by_number) = (&found[4], number_of(&world, &found[6]));
    for id in [by_name, &by_number] {
        let deleted = world.request(Method::DELETE, &format!("{TOKENS}{id}")).bearer(&token).send();
        assert_like(&deleted, 204, "");
        let again = world.request(Method::DELETE, &format!("{TOKENS}{id}")).bearer(&token).send();
        again.assert_refused(404, "not_found");
    }
    let records =
        "select action, json_extract(detail, '$.owner'), count(*) from audit where actor = 'alice' group by action";
    assert_eq!(world.rows(records), ["token.create|alice|2", "token.delete|alice|2"]);
    world.wait_until_told();
    for value in values {
        world.get("/rest/api/2/issue/JRA-1").bearer(&value).send().assert_refused(401, "token_deleted");
    }
}

#[test]
fn m1_the_list_of_everyones_tokens_is_that_of_the_documents() {
    let (world, alices) = world_with_facades();
    world.get(ALL).bearer(&alices).send().assert_refused(403, "forbidden");
    for (name, sysadmin) in [("user", false), ("Zoe", true)] {
        let body = json!({ "name": name, "sysadmin": sysadmin });
        assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&body).send().status, 201);
    }
    world.set(&json!({ "unbound_tokens": true }));
    world.new_token(&json!({ "label": "anybody's", "unbound": true, "expires_at": "2100-01-01T00:00:00Z" }));
    let zoes = world.token_for("Zoe");
    // Only the tokens of the documents are left, besides zoe's own.
    for id in ["1", &alices.id] {
        let deleted = world.request(Method::DELETE, &format!("{TOKENS}{id}")).bearer(&zoes).send();
        assert_like(&deleted, 204, "");
    }
    let owner = |name: &str| format!("(select id from users where name = '{name}')");
    let time = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    for (id, label, owner, created, expires) in [
        (12, "Jenkins", owner("admin"), time("2024-06-03T17:13:59.304Z"), "null".into()),
        (13, "Python script", owner("admin"), time("2024-06-03T17:14:05.791Z"), "null".into()),
        (
            14,
            "My Automation",
            owner("user"),
            time("2024-06-03T17:15:10.582Z"),
            time("2024-06-04T17:15:10.415Z").to_string(),
        ),
    ] {
        world.rows(&format!(
            "insert into tokens (id, public_id, hash, label, owner_id, created_at, expires_at, read_only, imported) \
             values ({id}, '{id}', randomblob(32), '{label}', {owner}, {created}, {expires}, 0, 0)"
        ));
    }
    let last = time("2024-06-04T17:13:00.303Z");
    world.rows(&format!("insert into token_usage (token_id, uses, last_at) values (12, 12, {last})"));
    let listed = eventually("the use of zoe's token is known", || {
        let listed = world.get(ALL).bearer(&zoes).send();
        listed.json[2]["tokens"][0]["lastAccessed"].is_string().then_some(listed)
    });
    let expected = concat!(
        r#"[{"username":"admin","count":2,"tokens":["#,
        r#"{"id":12,"label":"Jenkins","usageCount":12,"createdAt":"2024-06-03T17:13:59.304","lastAccessed":"2024-06-04T17:13:00.303","expirationDate":null},"#,
        r#"{"id":13,"label":"Python script","usageCount":0,"createdAt":"2024-06-03T17:14:05.791","lastAccessed":null,"expirationDate":null}]},"#,
        r#"{"username":"user","count":1,"tokens":["#,
        r#"{"id":14,"label":"My Automation","usageCount":0,"createdAt":"2024-06-03T17:15:10.582","lastAccessed":null,"expirationDate":"2024-06-04T17:15:10.415"}]},"#,
        r#"{"username":"Zoe","count":1,"tokens":["#,
        r#"{"id":<number>,"label":"test","usageCount":<number>,"createdAt":"<zoneless>","lastAccessed":"<zoneless>","expirationDate":null}]},"#,
        r#"{"username":"","count":1,"tokens":["#,
        r#"{"id":<number>,"label":"anybody's","usageCount":0,"createdAt":"<zoneless>","lastAccessed":null,"expirationDate":"2100-01-01T00:00:00.000"}]}]"#,
    );
    assert_like(&listed, 200, expected);
    assert_eq!(listed.headers["content-type"], "application/json");
}

#[test]
fn m1_an_end_is_taken_as_milliseconds_or_text_and_the_rules_of_the_native_api_hold_s1_s4_s8_m5() {
    let (world, token) = world_with_facades();
    let create = |body: &Value| world.request(Method::POST, TOKENS).bearer(&token).json(body).send();
    for end in [
        json!(4_102_444_800_000_i64),
        json!("2100-01-01T00:00:00Z"),
        json!("2100-01-01"),
        json!("2100-01-01T00:00:00.000+0000"),
    ] {
        let created = create(&json!({ "label": " ends ", "expirationDate": end, "description": "nobody knows this" }));
        assert_like(&created, 200, r#"{"passwordValue":"<token>"}"#);
    }
    let ends = "select distinct label, expires_at from tokens where label like '%ends%'";
    assert_eq!(world.rows(ends), ["ends|4102444800000"]);
    assert_like(
        &create(&json!({ "label": "without end", "expirationDate": null })),
        200,
        r#"{"passwordValue":"<token>"}"#,
    );
    assert_eq!(world.rows("select expires_at from tokens where label = 'without end'"), ["None"]);

    for (body, code) in [
        (json!({ "label": "late", "expirationDate": "2000-01-01" }), "bad_request"),
        (json!({ "label": "text", "expirationDate": "4102444800000" }), "bad_request"),
        (json!({ "label": "" }), "bad_request"),
        (json!({ "label": "x".repeat(201) }), "bad_request"),
        (json!({ "label": 7 }), "bad_request"),
        (json!({ "expirationDate": "2100-01-01" }), "bad_request"),
        (json!([{ "label": "a list" }]), "bad_request"),
    ] {
        create(&body).assert_refused(400, code);
    }
    world.set(&json!({ "max_validity": "90d" }));
    create(&json!({ "label": "long", "expirationDate": "2100-01-01" })).assert_refused(400, "validity_too_long");
    assert_like(&create(&json!({ "label": "the longest" })), 200, r#"{"passwordValue":"<token>"}"#);
    let days = "select (expires_at - created_at) / 86400000 from tokens where label = 'the longest'";
    assert_eq!(world.rows(days), ["90"]);
    world.set(&json!({ "max_tokens_per_user": 1 }));
    create(&json!({ "label": "one more" })).assert_refused(409, "too_many_tokens");
    world.set(&json!({ "only_admins_create": true }));
    create(&json!({ "label": "not mine to make" })).assert_refused(403, "only_admins_create");
}

#[test]
fn m1_all_of_ones_own_are_deleted_in_changes_of_bounded_size_each_with_its_records_and_nobody_elses() {
    let mut world = World::prepare(1);
    world.start_control_plane();
    world.create_user("alice");
    world.create_user("bob");
    let [alices, bobs] = ["alice", "bob"].map(|owner| world.new_token(&json!({ "label": "test", "owner": owner })));
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("alice", 25_000);
    world.start_both();
    let deleted = world.request(Method::DELETE, ALL).bearer(&alices).send();
    assert_like(&deleted, 204, "");
    assert_eq!((live(&world, "alice"), live(&world, "bob")), ("0".into(), "1".into()));
    let changes = "select count(*), count(distinct revision), count(distinct actor_token) from audit where action = 'token.delete' and actor = 'alice'";
    assert_eq!(world.rows(changes), ["25001|3|1"]);
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").bearer(&alices).send().assert_refused(401, "token_deleted");
    world.get("/rest/api/2/issue/JRA-1").bearer(&bobs).send().assert_user(Some("bob"));
}

#[test]
fn attack_m1_all_tokens_of_the_last_sysadmin_stay_however_many_changes_it_would_take() {
    let mut world = World::start_without_proxy();
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", 10_001);
    world.start_control_plane();
    let refused = world.as_admin(Method::DELETE, ALL).send();
    refused.assert_refused(409, "last_sysadmin_token");
    assert_eq!(live(&world, "admin"), "10002", "none is deleted");
    // Of somebody else who can still come: all.
    let body = json!({ "name": "zoe", "sysadmin": true });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&body).send().status, 201);
    let zoes = world.new_token(&json!({ "label": "test", "owner": "zoe" }));
    assert_like(&world.as_admin(Method::DELETE, ALL).send(), 204, "");
    assert_eq!((live(&world, "admin"), live(&world, "zoe")), ("0".into(), "1".into()));
    world.control_call(Method::DELETE, ALL).bearer(&zoes).send().assert_refused(409, "last_sysadmin_token");
}

#[test]
fn attack_m1_a_thief_who_goes_on_creating_tokens_while_all_are_deleted_has_none_afterwards() {
    let world = World::start_without_proxy();
    for (user, all_of_the_user) in [
        ("alice", "/rest/de.resolution.apitokenauth/latest/user/token/deleteAllFor/alice"),
        ("bob", "/api/v1/tokens?owner=bob"),
    ] {
        world.create_user(user);
        let stolen = world.new_token(&json!({ "label": "stolen", "owner": user }));
        let create =
            || world.control_call(Method::POST, TOKENS).bearer(&stolen).json(&json!({ "label": "kept" })).send();
        let is_over = AtomicBool::new(false);
        let deleted = thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        if create().status != 200 {
                            break;
                        }
                    }
                });
            }
            eventually("the thief is at work", || (live(&world, user).parse::<u32>().ok()? > 20).then_some(()));
            let deleted = world.as_admin(Method::DELETE, all_of_the_user).send();
            is_over.store(true, Ordering::Relaxed);
            deleted
        });
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        assert_eq!(live(&world, user), "0", "{all_of_the_user}: made before, it is deleted; after it, none is made");
        create().assert_refused(401, "token_deleted");
    }
}

#[test]
fn attack_m1_the_tokens_of_others_are_as_good_as_none_and_all_is_no_id() {
    let (world, token) = world_with_facades();
    let bobs = world.token_for("bob");
    let delete = |id: &str| world.request(Method::DELETE, &format!("{TOKENS}{id}")).bearer(&token).send();
    for id in [&bobs.id, &number_of(&world, &bobs.id), "0", "-1", "99999999999999999999999", "ALL", "x", "%00"] {
        let status = delete(id).status.as_u16();
        assert!([400, 404].contains(&status), "{id}: {status}");
    }
    assert_eq!((live(&world, "alice"), live(&world, "bob")), ("1".into(), "1".into()));
    for (method, path) in [(Method::PUT, TOKENS), (Method::DELETE, TOKENS), (Method::POST, ALL), (Method::PATCH, ALL)] {
        let reply = world.request(method.clone(), path).bearer(&token).json(&json!({ "label": "x" })).send();
        reply.assert_refused(405, "method_not_allowed");
    }
    let form = world.request(Method::POST, TOKENS).bearer(&token).body("application/x-www-form-urlencoded", "label=x");
    form.send().assert_refused(415, "unsupported_media_type");
    let twice = r#"{"label":"harmless","label":"other"}"#;
    let twice = world.request(Method::POST, TOKENS).bearer(&token).body("application/json", twice);
    twice.send().assert_refused(400, "bad_request");
    assert_eq!(live(&world, "alice"), "1");
}

#[test]
fn attack_m1_everyones_200_000_tokens_are_listed_in_constant_memory_and_the_counts_are_right_whatever_goes_meanwhile() {
    const TOKENS_EACH: usize = 100_000;
    let world = World::start_without_proxy();
    for owner in ["alice", "bob"] {
        world.create_user(owner);
        world.rows(&format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {TOKENS_EACH}) \
             insert into tokens (public_id, hash, label, owner_id, created_at, read_only, imported) \
             select lower(hex(randomblob(10))), randomblob(32), 'one of many', \
             (select id from users where name = '{owner}'), 0, 0, 0 from n"
        ));
    }
    begin_list(&world).text().expect("the list, so that the database's caches are full");
    let before = world.control_plane().memory("VmRSS");
    world.control_plane().forget_peak_of_memory();
    let text = begin_list(&world).text().expect("the list to its end");
    let more = world.control_plane().memory("VmHWM") - before;
    println!("{} KiB more for {} KiB", more >> 10, text.len() >> 10);
    assert!(text.len() > 24 << 20 && more < 16 << 20, "less than what was sent");

    let reply = begin_list(&world);
    let gone = world.as_admin(Method::DELETE, "/api/v1/tokens?owner=bob").send();
    assert_eq!((gone.status.as_u16(), &gone.json["deleted"]), (200, &json!(10_000)), "{}", gone.text);
    for text in [text, reply.text().expect("the list to its end")] {
        let list: Vec<Value> = serde_json::from_str(&text).expect("a list");
        let tokens = |user: &Value| user["tokens"].as_array().expect("tokens").len();
        assert!(list.iter().all(|user| user["count"] == tokens(user)));
        let counts: Vec<_> =
            list.iter().map(|user| (user["username"].as_str().expect("a name"), tokens(user))).collect();
        assert_eq!(counts, [("admin", 1), ("alice", TOKENS_EACH), ("bob", TOKENS_EACH)]);
    }
}

#[test]
fn m1_each_of_very_many_users_is_listed_once_in_the_order_of_names_and_those_without_tokens_are_not() {
    let world = World::start_without_proxy();
    world.rows(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2100) \
         insert into users (name, name_folded, sysadmin, suspended, created_at) \
         select printf('User %04d', i * 7 % 2101), printf('user %04d', i * 7 % 2101), 0, i % 2, 0 from n",
    );
    // Some have none, one has two, and one lost what it had.
    world.rows(
        "insert into tokens (public_id, hash, label, owner_id, created_at, read_only, imported, deleted_at) \
         select lower(hex(randomblob(10))), randomblob(32), 'say \"x\"', id, 0, 0, 0, iif(name = 'User 0700', 1, null) \
         from users where name like 'User%' and (name > 'User 0600' or name = 'User 0003')",
    );
    world.rows(
        "insert into tokens (public_id, hash, label, owner_id, created_at, read_only, imported) \
         select 'another', randomblob(32), 'another', id, 0, 0, 0 from users where name = 'User 0003'",
    );
    let listed = world.as_admin(Method::GET, ALL).send().json;
    let listed: Vec<(String, u64, usize)> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|user| {
            let tokens = user["tokens"].as_array().expect("tokens");
            (
                user["username"].as_str().expect("a name").to_owned(),
                user["count"].as_u64().expect("a count"),
                tokens.len(),
            )
        })
        .collect();
    let others = (601..=2100).filter(|number| *number != 700).map(|number| (format!("User {number:04}"), 1, 1));
    let expected = [("admin".to_owned(), 1, 1), ("User 0003".to_owned(), 2, 2)].into_iter().chain(others);
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

/// The list of everyone's tokens, of which the beginning has come.
fn begin_list(world: &World) -> reqwest::blocking::Response {
    let client = tests::client().timeout(std::time::Duration::from_secs(120)).build().expect("a client");
    let call = client.get(format!("http://127.0.0.1:{}{ALL}", world.site.ports.control));
    let reply = call.header("authorization", basic("admin", &world.admin_token())).send().expect("a reply");
    assert_eq!(reply.status(), 200);
    reply
}
