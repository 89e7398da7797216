//! M2: API Token Authentication.

use super::{assert_like, world_with_facades};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Reply, Token, World, eventually};

const TOKEN: &str = "/rest/de.resolution.apitokenauth/latest/user/token";
const BY_FILTER: &str = "/rest/de.resolution.apitokenauth/latest/user/tokensByFilter";

fn create(world: &World, by: &Token, body: &Value) -> Reply {
    world.request(Method::POST, TOKEN).bearer(by).json(body).send()
}

/// Asserts that a refusal has a sentence where scripts look for one, beside what every refusal has.
fn assert_refused_with_message(reply: &Reply, status: u16, code: &str) {
    reply.assert_refused(status, code);
    assert!(
        reply.json["errorMessage"].is_string() && reply.json["errorMessage"] == reply.json["detail"],
        "{}",
        reply.text
    );
}

fn sysadmin(world: &World, name: &str) -> Token {
    let body = json!({ "name": name, "sysadmin": true });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&body).send().status, 201);
    world.token_for(name)
}

#[test]
fn m2_a_token_is_created_works_is_listed_and_deleted_by_either_id() {
    let (world, token) = world_with_facades();
    let body = json!({ "tokenDescription": "Automation token", "tokenExpirationDateTime": "2100-01-01T00:00:00Z" });
    let created = create(&world, &token, &body);
    let expected = r#"{"id":<number>,"plainTextToken":"<token>","tokenDescription":"Automation token","tokenExpirationDateTime":"2100-01-01T00:00:00Z","tokenExpirationDateTimeMillis":4102444800000}"#;
    let [number, new] = assert_like(&created, 200, expected).try_into().expect("two");
    assert_eq!(created.headers["content-type"], "application/json");
    let endless = world.request(Method::POST, &format!("{TOKEN}/")).bearer(&token);
    let endless = endless.json(&json!({ "tokenDescription": "endless", "tokenValidityTimeInMonths": null })).send();
    let expected = r#"{"id":<number>,"plainTextToken":"<token>","tokenDescription":"endless","tokenExpirationDateTime":null,"tokenExpirationDateTimeMillis":0}"#;
    let endless = assert_like(&endless, 200, expected).swap_remove(0);
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").basic("alice", &new).send().assert_user(Some("alice"));

    let listed = eventually("the use of two is known", || {
        let listed = world.get(&format!("{TOKEN}/")).bearer(&token).send();
        (listed.text.matches(r#""lastAccessed":0"#).count() == 1).then_some(listed)
    });
    let expected = format!(
        r#"[{{"created":<millis>,"description":"test","id":<number>,"lastAccessed":<millis>,"validUntil":0}},{{"created":<millis>,"description":"Automation token","id":{number},"lastAccessed":<millis>,"validUntil":4102444800000}},{{"created":<millis>,"description":"endless","id":{endless},"lastAccessed":0,"validUntil":0}}]"#
    );
    assert_like(&listed, 200, &expected);
    assert_eq!(listed.headers["content-type"], "application/json");
    assert_eq!(world.get(TOKEN).bearer(&token).send().json[2], listed.json[2]);

    let public = world.rows(&format!("select public_id from tokens where id = {endless}")).concat();
    for id in [&number, &public] {
        let deleted = world.request(Method::DELETE, &format!("{TOKEN}/{id}")).bearer(&token).send();
        assert_like(&deleted, 200, "true");
        assert_eq!(deleted.headers["content-type"], "application/json");
        let again = world.request(Method::DELETE, &format!("{TOKEN}/{id}")).bearer(&token).send();
        assert_refused_with_message(&again, 404, "not_found");
    }
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").bearer(&new).send().assert_refused(401, "token_deleted");
}

#[test]
fn m2_months_are_calendar_months_and_what_is_too_long_is_refused_in_the_words_of_the_documents_s1() {
    let (world, token) = world_with_facades();
    let made = |months: Value| {
        let created =
            create(&world, &token, &json!({ "tokenDescription": "months", "tokenValidityTimeInMonths": months }));
        assert_eq!(created.status, 200, "{}", created.text);
        created.json["tokenExpirationDateTimeMillis"].as_i64().expect("a time")
    };
    let created =
        world.rows("select created_at from tokens order by id desc limit 1").concat().parse().expect("a time");
    let in_utc = |time| jiff::Timestamp::from_millisecond(time).expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    for months in [6, 12, 24, 3] {
        let (begin, end) = (in_utc(created), in_utc(made(json!(months))));
        let earliest = begin.checked_add(jiff::Span::new().months(months)).expect("a time");
        assert!(earliest <= end && end.duration_since(&earliest).as_secs() < 24 * 3600, "{months}: {begin} {end}");
    }
    assert_eq!((made(json!(0)), made(json!(-1)), made(Value::Null)), (0, 0, 0), "without end");

    const REFUSED: &str = "The custom expiration you've provided is greater than the maximum defined by your administrator. You need to provide a date within the next";
    let late = [
        json!({ "tokenDescription": "late", "tokenExpirationDateTime": "2100-01-01T00:00:00Z" }),
        json!({ "tokenDescription": "late", "tokenExpirationDateTime": 4_102_444_800_000_i64 }),
        json!({ "tokenDescription": "late", "tokenValidityTimeInMonths": 0 }),
        json!({ "tokenDescription": "late", "tokenValidityTimeInMonths": 25 }),
    ];
    for (max, within) in [("6m", "6 months"), ("1y", "12 months"), ("2y", "24 months"), ("90d", "90 days")] {
        world.set(&json!({ "max_validity": max }));
        for body in &late {
            let refused = create(&world, &token, body);
            assert_like(&refused, 400, &format!(r#"{{"errorMessage":"{REFUSED} {within}."}}"#));
            assert_eq!(refused.headers["content-type"], "application/json");
        }
    }
    let longest =
        made(Value::Null) - world.rows("select max(created_at) from tokens").concat().parse::<i64>().expect("a time");
    assert_eq!(longest, 90 * 86_400_000, "the longest allowed");
}

#[test]
fn m2_sysadmins_make_and_delete_tokens_for_others_and_nobody_else_does_s4_s6() {
    let (world, alices) = world_with_facades();
    let zoes = sysadmin(&world, "zoe");
    let bobs = world.token_for("bob");
    let for_bob = json!({ "tokenDescription": "for bob", "tokenForUserKey": "BOB" });
    let created = create(&world, &zoes, &for_bob);
    let expected = r#"{"id":<number>,"plainTextToken":"<token>","tokenDescription":"for bob","tokenExpirationDateTime":null,"tokenExpirationDateTimeMillis":0}"#;
    let value = assert_like(&created, 200, expected).swap_remove(1);
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").bearer(&value).send().assert_user(Some("bob"));
    let record = "select actor, action, json_extract(detail, '$.owner') from audit where json_extract(detail, '$.label') = 'for bob'";
    assert_eq!(world.rows(record), ["zoe|token.create|bob"]);
    for key in ["bob", "zoe", "nobody"] {
        let refused = create(&world, &alices, &json!({ "tokenDescription": "x", "tokenForUserKey": key }));
        assert_refused_with_message(&refused, 403, "forbidden");
    }
    let own = create(&world, &alices, &json!({ "tokenDescription": "own", "tokenForUserKey": "alice" }));
    assert_eq!(own.status, 200, "{}", own.text);

    let delete_all =
        |by: &Token, key: &str| world.request(Method::DELETE, &format!("{TOKEN}/deleteAllFor/{key}")).bearer(by).send();
    for key in ["alice", "bob", "nobody"] {
        assert_refused_with_message(&delete_all(&alices, key), 403, "forbidden");
    }
    assert_refused_with_message(&delete_all(&zoes, "nobody"), 404, "not_found");
    assert_like(&delete_all(&zoes, "Bob"), 200, "true");
    assert_like(&delete_all(&zoes, "Bob"), 200, "true");
    world.wait_until_told();
    for token in [&value, &bobs.text] {
        world.get("/rest/api/2/issue/JRA-1").bearer(token).send().assert_refused(401, "token_deleted");
    }
    world.get("/rest/api/2/issue/JRA-1").bearer(&alices).send().assert_user(Some("alice"));

    world.set(&json!({ "only_admins_create": true }));
    let refused = create(&world, &alices, &json!({ "tokenDescription": "not mine to make" }));
    assert_refused_with_message(&refused, 403, "only_admins_create");
    assert_eq!(create(&world, &zoes, &for_bob).status, 200);
}

#[test]
fn m2_a_description_is_changed_in_standard_mode_and_in_secure_mode_it_is_not_s7() {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_both();
    let [alices, bobs] = ["alice", "bob"].map(|name| world.token_for(name));
    let number = world.rows(&format!("select id from tokens where public_id = '{}'", alices.id)).concat();
    let describe = |world: &World, by: &Token, id: &str, text: &str| {
        let body = json!({ "tokenDescription": text });
        world.request(Method::PATCH, &format!("{TOKEN}/{id}")).bearer(by).json(&body).send()
    };
    let expected =
        format!(r#"{{"created":<millis>,"description":"other","id":{number},"lastAccessed":<millis>,"validUntil":0}}"#);
    eventually("its use is known", || {
        let edited = describe(&world, &alices, &number, " other ");
        (edited.json["lastAccessed"] != 0).then(|| assert_like(&edited, 200, &expected))
    });
    assert_like(&describe(&world, &alices, &alices.id, "other"), 200, &expected);
    let record = "select distinct actor, json_extract(detail, '$.before.label'), json_extract(detail, '$.after.label') from audit where action = 'token.edit' order by id limit 1";
    assert_eq!(world.rows(record), ["alice|test|other"]);
    assert_refused_with_message(&describe(&world, &bobs, &number, "mine"), 404, "not_found");
    let too_long = describe(&world, &alices, &number, &"x".repeat(201));
    assert_like(&too_long, 400, r#"{"errorMessage":"label must have 1 to 200 printable characters."}"#);
    world.set(&json!({ "only_admins_create": true }));
    assert_refused_with_message(&describe(&world, &alices, &number, "again"), 403, "only_admins_create");
    world.set(&json!({ "only_admins_create": false }));

    assert!(world.stop_control_plane());
    world.site.secure_mode = true;
    world.start_control_plane();
    assert_refused_with_message(&describe(&world, &alices, &number, "again"), 403, "secure_mode");
    assert_eq!(world.rows(&format!("select label from tokens where id = {number}")), ["other"]);
}

/// Alice's three, one of bob's, and an unbound one, whose times and uses are known; and zoe, a sysadmin.
fn world_to_search() -> (World, Token, Token) {
    let (world, alices) = world_with_facades();
    let zoes = sysadmin(&world, "zoe");
    world.set(&json!({ "unbound_tokens": true }));
    world.create_user("bob");
    for (properties, created, used) in [
        (json!({ "label": "Backup of JRA", "owner": "alice", "expires_at": "2100-01-01T00:00:00Z" }), 1000, Some(5000)),
        (json!({ "label": "100% read", "owner": "alice", "scope": "read_only" }), 2000, None),
        (json!({ "label": "backup of HR", "owner": "bob", "expires_at": "2100-01-01T00:00:01Z" }), 3000, Some(6000)),
        (json!({ "label": "anybody's", "unbound": true }), 4000, None),
    ] {
        let id = world.new_token(&properties).id;
        world.rows(&format!("update tokens set created_at = {created} where public_id = '{id}'"));
        if let Some(at) = used {
            let token = format!("(select id from tokens where public_id = '{id}')");
            world.rows(&format!("insert into token_usage (token_id, uses, last_at) values ({token}, 1, {at})"));
        }
    }
    (world, alices, zoes)
}

/// The descriptions of what is found.
fn found(world: &World, by: &Token, query: &str) -> Vec<String> {
    let reply = world.get(&format!("{BY_FILTER}?{query}")).bearer(by).send();
    assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    let content = reply.json["content"].as_array().expect("a list");
    content.iter().map(|token| token["description"].as_str().expect("a description").to_owned()).collect()
}

#[test]
fn m2_filters_find_what_they_say_and_combine() {
    let (world, alices, zoes) = world_to_search();
    let page = world.get(&format!("{BY_FILTER}?untilCreated=3000&fromCreated=2000&limit=1")).bearer(&zoes).send();
    let expected = r#"{"content":[{"created":2000,"description":"100% read","id":<number>,"lastAccessed":0,"validUntil":0,"tokenScope":1,"userKey":"alice"}],"last":false,"number":0,"numberOfElements":1,"size":1}"#;
    assert_like(&page, 200, expected);
    assert_eq!(page.headers["content-type"], "application/json");
    let page =
        world.get(&format!("{BY_FILTER}/?untilCreated=3000&fromCreated=2000&limit=1&page=1")).bearer(&zoes).send();
    let expected = r#"{"content":[{"created":3000,"description":"backup of HR","id":<number>,"lastAccessed":6000,"validUntil":4102444801000,"tokenScope":2,"userKey":"bob"}],"last":true,"number":1,"numberOfElements":1,"size":1}"#;
    assert_like(&page, 200, expected);
    let page = world.get(&format!("{BY_FILTER}?untilCreated=3000&page=9")).bearer(&zoes).send();
    assert_like(&page, 200, r#"{"content":[],"last":true,"number":9,"numberOfElements":0,"size":100}"#);

    let (jra, read, hr, anybodys) = ("Backup of JRA", "100% read", "backup of HR", "anybody's");
    for (query, expected) in [
        ("untilCreated=9999", [jra, read, hr, anybodys].as_slice()),
        ("untilCreated=9999&userFilter=alice", &[jra, read]),
        ("untilCreated=9999&userFilter=BOB&userFilter=alice&userFilter=bob", &[hr, jra, read]),
        ("userFilter=nobody", &[]),
        ("userFilter=", &[]),
        ("descriptionFilter=BACKUP", &[jra, hr]),
        ("descriptionFilter=0%25", &[read]),
        ("descriptionFilter=%25&userFilter=bob", &[]),
        ("tokenScope=1", &[read]),
        ("tokenScope=2&untilCreated=9999", &[jra, hr, anybodys]),
        ("tokenScope=0", &[]),
        ("fromLastUsed=5000&untilLastUsed=5999", &[jra]),
        ("untilLastUsed=6000", &[jra, hr]),
        ("notValidAfter=4102444800000", &[jra]),
        ("fromExpiresDuring=4102444800001&untilExpiresDuring=4102444801000", &[hr]),
        ("untilExpiresDuring=4102444801000&notValidAfter=4102444800999", &[jra]),
        ("descriptionFilter=backup&userFilter=bob&tokenScope=2&untilLastUsed=6000", &[hr]),
        ("fromCreated=4001&untilCreated=9999", &[]),
        ("untilCreated=1000&sort=created", &[jra]),
    ] {
        assert_eq!(found(&world, &zoes, query), expected, "{query}");
    }
    assert_eq!(found(&world, &alices, ""), ["test", jra, read], "one's own, in the order in which they were made")
}

#[test]
fn attack_m2_a_user_finds_nobody_elses_tokens_by_any_filter_and_no_filter_fails_open() {
    let (world, alices, zoes) = world_to_search();
    for name in ["bob", "zoe", "nobody", ""] {
        for query in [format!("userFilter={name}"), format!("userFilter=alice&userFilter={name}")] {
            let refused = world.get(&format!("{BY_FILTER}?{query}")).bearer(&alices).send();
            assert_refused_with_message(&refused, 403, "forbidden");
        }
    }
    assert_eq!(found(&world, &alices, "descriptionFilter=backup&userFilter=Alice"), ["Backup of JRA"]);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "page=-1",
        "page=1e3",
        "page=18446744073709551615&limit=1000",
        "page=201&limit=1000",
        "notValidAfter=",
        "untilLastUsed=2027-01-01",
        "fromCreated=9223372036854775808",
        "tokenScope=3",
        "untilCreated=1&untilCreated=2",
        "descriptionFilter=%00",
    ] {
        let refused = world.get(&format!("{BY_FILTER}?{query}")).bearer(&zoes).send();
        let message = refused.json["errorMessage"].as_str().unwrap_or_default();
        assert!(refused.status == 400 && message.ends_with('.'), "{query}: {} {}", refused.status, refused.text);
        assert_eq!(refused.json.as_object().map(serde_json::Map::len), Some(1), "{query}: {}", refused.text);
    }
}

#[test]
fn attack_m2_pages_far_into_200_000_tokens_are_refused_and_no_page_before_is_short() {
    let mut world = World::start_without_proxy();
    world.create_user("alice");
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("alice", 201_000);
    // One in 5,000 is found.
    world.run_sql("update tokens set label = 'rare' where label = 'unusable' and id % 5000 = 0;");
    world.start_control_plane_within(std::time::Duration::from_secs(60));
    let page = |query: &str| world.as_admin(Method::GET, &format!("{BY_FILTER}?{query}")).send();
    for (query, count, last) in [
        ("page=0&limit=1000", 1000, false),
        ("page=198&limit=1000", 1000, false),
        ("descriptionFilter=rare&limit=10", 10, false),
        ("descriptionFilter=rare&limit=10&page=2", 10, false),
        ("userFilter=admin&userFilter=nobody&descriptionFilter=rare", 0, true),
    ] {
        let reply = page(query);
        assert_eq!(reply.json["content"].as_array().map(Vec::len), Some(count), "{query}: {}", reply.status);
        assert_eq!(reply.json["last"], last, "{query}");
    }
    for query in [
        "page=200&limit=1000",
        "descriptionFilter=rare&limit=100",
        "descriptionFilter=nothing",
        "userFilter=alice&userFilter=admin&descriptionFilter=nothing",
    ] {
        let refused = page(query);
        let message = refused.json["errorMessage"].as_str().unwrap_or_default();
        assert!(refused.status == 400 && message.contains("200000 tokens away"), "{query}: {}", refused.text);
    }
}

#[test]
fn attack_m2_who_asks_for_a_token_that_reads_alone_gets_none_that_writes() {
    let (world, token) = world_with_facades();
    let made = |scope: u8| {
        let created = create(&world, &token, &json!({ "tokenDescription": "scoped", "tokenScope": scope }));
        created.json["plainTextToken"].as_str().expect("a token").to_owned()
    };
    let [reads, writes] = [made(1), made(2)];
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").bearer(&reads).send().assert_user(Some("alice"));
    let post = |value: &str| world.request(Method::POST, "/rest/api/2/issue").bearer(value).json(&json!({})).send();
    post(&reads).assert_refused(403, "read_only");
    post(&writes).assert_user(Some("alice"));
    let more = world.request(Method::POST, TOKEN).bearer(&reads).json(&json!({ "tokenDescription": "more" })).send();
    more.assert_refused(403, "cannot_manage");
}

#[test]
fn attack_m2_what_a_script_could_not_mean_is_refused_in_a_form_that_it_can_read() {
    let (world, token) = world_with_facades();
    for body in [
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":"6"}"#,
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":-2}"#,
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":121}"#,
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":65542}"#,
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":6.5}"#,
        r#"{"tokenDescription":"x","tokenValidityTimeInMonths":99999999999999999999}"#,
        r#"{"tokenDescription":"x","tokenExpirationDateTime":"tomorrow"}"#,
        r#"{"tokenDescription":"x","tokenExpirationDateTime":1e300}"#,
        r#"{"tokenDescription":"x","tokenExpirationDateTime":-1}"#,
        r#"{"tokenDescription":"x","tokenExpirationDateTime":"2000-01-01T00:00:00Z"}"#,
        r#"{"tokenDescription":"x","tokenExpirationDateTime":"2100-01-01","tokenValidityTimeInMonths":6}"#,
        r#"{"tokenDescription":"x","tokenDescription":"y"}"#,
        r#"{"tokenDescription":"x","tokenForUserKey":7}"#,
        r#"{"tokenDescription":"x","tokenScope":0}"#,
        r#"{"tokenDescription":"x","tokenScope":3}"#,
        r#"{"tokenForUserKey":"alice"}"#,
        r#"["x"]"#,
        "",
    ] {
        let refused = world.request(Method::POST, TOKEN).bearer(&token).body("application/json", body).send();
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
        let told = refused.json.as_object().expect("an object");
        assert!(told.len() == 1 && told["errorMessage"].is_string(), "{body}: {}", refused.text);
    }
    let refused = world.request(Method::POST, TOKEN).bearer(&token).body("text/plain", "{}").send();
    assert_refused_with_message(&refused, 415, "unsupported_media_type");
    let told = world.request(Method::POST, TOKEN).json(&json!({ "tokenDescription": "x" })).send();
    told.assert_refused(401, "credentials_required");
    assert_eq!(world.rows("select count(*) from tokens where label = 'x'"), ["0"]);
    let ignored = json!({ "tokenDescription": "x", "whatever": {} });
    assert_eq!(create(&world, &token, &ignored).status, 200);
}
