//! Tokens by REST: lists by filters, deletion by the same, rotation, standard mode, pruning, repeated creations.

use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use tests::{Call, Reply, Token, World, eventually, in_seconds};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const TOKENS: &str = "/api/v1/tokens";

fn path(token: &Token) -> String {
    format!("{TOKENS}/{}", token.id)
}

fn token(reply: &Reply) -> Token {
    assert_eq!(reply.status, 201, "{}", reply.text);
    let field = |name: &str| reply.json[name].as_str().expect("a field of the new token").to_owned();
    Token { id: field("id"), text: field("token") }
}

/// The labels on all pages of a list, in order.
fn labels(world: &World, query: &str, limit: u32) -> Vec<String> {
    let (mut labels, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.as_admin(Method::GET, &format!("{TOKENS}?{query}&limit={limit}{after}")).send();
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        let items = page.json["items"].as_array().expect("items");
        assert!(items.len() <= limit as usize);
        labels.extend(items.iter().map(|item| item["label"].as_str().expect("a label").to_owned()));
        let Some(next) = page.json["next"].as_str() else {
            return labels;
        };
        after = format!("&after={next}");
    }
}

#[test]
fn m5_lists_are_filtered_by_owner_label_dates_and_use_and_come_in_pages() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    let settings = json!({ "unbound_tokens": true });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings").json(&settings).send().status, 200);
    world.rows("update tokens set created_at = 0");
    for (label, owner, created, expires, used) in [
        ("Build 1", Some("alice"), 1000, None, Some(5000)),
        ("build 2", Some("alice"), 3000, Some("2090-01-01T00:00:00Z"), None),
        ("build 3", Some("admin"), 2000, Some("2080-01-01T00:00:00Z"), Some(4000)),
        ("shared", None, 4000, None, Some(6000)),
    ] {
        let mut body = json!({ "label": label, "expires_at": expires, "unbound": owner.is_none() });
        if let Some(owner) = owner {
            body["owner"] = json!(owner);
        }
        let id = world.new_token(&body).id;
        world.rows(&format!("update tokens set created_at = {created} where public_id = '{id}'"));
        if let Some(used) = used {
            let number = format!("(select id from tokens where public_id = '{id}')");
            world.rows(&format!("insert into token_usage (token_id, uses, last_at) values ({number}, 1, {used}) on conflict (token_id) do update set last_at = {used}"));
        }
    }
    for (query, expected) in [
        ("all=true", &["first start", "Build 1", "build 3", "build 2", "shared"][..]),
        ("owner=ALICE", &["Build 1", "build 2"]),
        ("all=true&label_prefix=build", &["build 2", "build 3"]),
        ("owner=alice&label_prefix=build", &["build 2"]),
        ("all=true&created_after=1970-01-01T00:00:02Z", &["build 3", "build 2", "shared"]),
        ("all=true&created_after=1970-01-01T00:00:01Z&created_before=1970-01-01T00:00:03Z", &["Build 1", "build 3"]),
        ("all=true&expires_before=2100-01-01T00:00:00Z", &["build 3", "build 2"]),
        ("all=true&expires_after=2080-01-01T00:00:00.001Z", &["build 2"]),
        ("all=true&last_used_before=1970-01-01T00:00:06Z", &["build 3", "Build 1"]),
        ("all=true&last_used_after=1970-01-01T00:00:05Z&last_used_before=2000-01-01T00:00:00Z", &["Build 1", "shared"]),
        ("all=true&never_used=true&label_prefix=b", &["build 2"]),
        ("all=true&unbound=true", &["shared"]),
        ("all=true&unbound=false&label_prefix=b&expires_before=2085-01-01T00:00:00Z", &["build 3"]),
    ] {
        for limit in [1, 2, 1000] {
            assert_eq!(labels(&world, query, limit), expected, "{query}");
        }
    }
    for (query, word) in [
        ("all=true&owner=alice", "owner"),
        ("unbound=true", "unbound"),
        ("all=true&label_prefix=", "label_prefix"),
        ("all=true&created_after=yesterday", "created_after"),
        ("all=true&never_used=true&last_used_after=2020-01-01T00:00:00Z", "never_used"),
        ("all=true&after=1", "after"),
        ("all=true&limit=1001", "limit"),
        ("all=true&label_suffix=x", "label_suffix"),
    ] {
        let reply = world.as_admin(Method::GET, &format!("{TOKENS}?{query}")).send();
        reply.assert_refused(400, "bad_request");
        assert!(reply.json["detail"].as_str().unwrap().contains(word), "{query}: {}", reply.text);
    }
}

#[test]
fn m5_tokens_are_deleted_by_filter_with_a_record_each_and_never_by_forgetting_a_parameter() {
    let world = World::start_without_proxy();
    for user in ["alice", "bob"] {
        world.create_user(user);
        for number in 0..3 {
            world.new_token(&json!({ "label": format!("old {number}"), "owner": user }));
        }
    }
    let own = world.new_token(&json!({ "label": "kept", "owner": "alice" }));
    let as_alice = |query: &str| world.control_call(Method::DELETE, &format!("{TOKENS}{query}")).bearer(&own).send();
    let as_admin = |query: &str| world.as_admin(Method::DELETE, &format!("{TOKENS}{query}")).send();
    as_admin("").assert_refused(400, "bad_request");
    as_admin("?label_prefix=old").assert_refused(400, "bad_request");
    as_admin("?all=true&label=old").assert_refused(400, "bad_request");
    as_alice("?all=true").assert_refused(403, "forbidden");
    as_alice("?owner=bob").assert_refused(403, "forbidden");
    as_alice("?owner=nobody").assert_refused(403, "forbidden");
    as_admin("?owner=nobody").assert_refused(404, "not_found");
    as_admin("?all=true").assert_refused(409, "last_sysadmin_token");
    as_admin("?owner=admin").assert_refused(409, "last_sysadmin_token");
    let revision = || world.control_get("/readyz").send().json["revision"].as_u64().unwrap();
    let before = revision();
    assert_eq!(as_admin("?all=true&label_prefix=none&wait=1s").json["deleted"], 0);
    assert_eq!(revision(), before, "nothing was done, and nothing changed");

    let reply = as_alice("?owner=alice&label_prefix=old");
    assert_eq!((reply.status.as_u16(), &reply.json), (200, &json!({ "deleted": 3, "more": false })));
    assert_eq!(revision(), before + 1, "all in one change");
    assert_eq!(labels(&world, "all=true", 10), ["first start", "old 0", "old 1", "old 2", "kept"]);
    let records = world.audit();
    let records: Vec<&String> = records.iter().filter(|line| line.contains("|alice|token.delete|")).collect();
    assert_eq!(records.len(), 3, "{records:?}");
    let reply = as_admin("?owner=bob&wait=1s");
    assert_eq!((reply.status.as_u16(), &reply.json["deleted"]), (200, &json!(3)), "{}", reply.text);
    assert_eq!(reply.json["proxies"]["unconfirmed_count"], 0);
    assert_eq!(as_alice("?owner=alice").json["deleted"], 1, "the one with which she came as well");
    as_alice("?owner=alice").assert_refused(401, "token_deleted");
}

#[test]
fn m5_ten_thousand_tokens_are_deleted_at_a_time() {
    let mut world = World::start_without_proxy();
    world.create_user("alice");
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("alice", 10_500);
    world.start_control_plane();
    let delete = || world.as_admin(Method::DELETE, &format!("{TOKENS}?owner=alice&never_used=true")).send().json;
    assert_eq!(delete(), json!({ "deleted": 10_000, "more": true }));
    assert_eq!(delete(), json!({ "deleted": 500, "more": false }));
    assert_eq!(world.rows("select count(*) from audit where action = 'token.delete'"), ["10500"]);
}

#[test]
fn m5_a_rotated_token_that_is_yet_to_begin_begins_no_earlier() {
    let world = World::start_without_proxy();
    let old = world.new_token(&json!({ "label": "later", "valid_from": "2099-01-01T00:00:00Z" }));
    let rotated = world.as_admin(Method::POST, &format!("{}/rotate", path(&old))).json(&json!({})).send();
    assert_eq!((rotated.status.as_u16(), &rotated.json["valid_from"]), (201, &json!("2099-01-01T00:00:00Z")));
    let call = world.control_get("/api/v1/tokens").bearer(&token(&rotated));
    call.send().assert_refused(401, "token_not_yet_valid");
}

#[test]
fn attack_many_tokens_with_many_restrictions_fill_no_memory_and_keep_nobody_from_suspending_their_owner() {
    let world = World::start_without_proxy();
    for (user, tokens) in [("alice", 3000), ("bob", 250)] {
        world.create_user(user);
        // As `copy_of` makes them from one request each, of some 100 bytes.
        world.rows(&format!(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < {tokens}) \
             insert into tokens (public_id, hash, label, owner_id, created_at, read_only, imported, restrictions) \
             select lower(hex(randomblob(10))), randomblob(32), 'many', (select id from users where name = '{user}'), \
             0, 0, 0, replace(hex(zeroblob(15)), '00', replace(hex(zeroblob(2000)), '00', 'xx') || char(10)) from n"
        ));
    }
    let before = world.control_plane().memory("VmHWM");
    let page = world.as_admin(Method::GET, &format!("{TOKENS}?owner=alice&limit=1000")).send();
    assert!(page.text.len() < 16 << 20, "{} bytes", page.text.len());
    assert!(page.json["next"].is_string(), "there is more");
    assert_eq!(labels(&world, "owner=bob", 1000).len(), 250, "and nothing is left out");
    world.edit_user("alice", &json!({ "suspended": true }));
    let deleted = world.as_admin(Method::DELETE, &format!("{TOKENS}?owner=alice")).send();
    assert_eq!(deleted.json["deleted"], 3000, "{}", deleted.text);
    assert_eq!(world.as_admin(Method::DELETE, "/api/v1/users/bob").send().status, 204);
    let more = world.control_plane().memory("VmHWM") - before;
    println!("{} MiB more", more >> 20);
    // Read all at once, as they were before, half as many took 287.
    assert!(more < 240 << 20, "{} MiB more", more >> 20);
}

#[test]
fn m5_a_rotated_token_works_on_for_the_overlap_and_the_new_one_has_its_properties() {
    let world = World::start();
    let alice = world.token_for("alice");
    let body = json!({
        "label": "deploy", "owner": "alice", "scope": "read_only", "ip_ranges": ["127.0.0.0/8"],
        "restrictions": [".*/issue/JRA.*"], "validity": "90d",
    });
    let old = world.new_token(&body);
    let rotate = |token: &Token, body: Value| {
        world.control_call(Method::POST, &format!("{}/rotate", path(token))).bearer(&alice).json(&body).send()
    };
    world.set(&json!({ "max_tokens_per_user": 2 }));
    let reply = rotate(&old, json!({ "overlap": "1h" }));
    let new = token(&reply);
    assert_ne!(new.text, old.text);
    for field in ["label", "owner", "scope", "ip_ranges", "restrictions"] {
        let expected = body.get(field).expect("a property");
        assert_eq!(&reply.json[field], expected, "{field}");
    }
    let days = |reply: &Reply| {
        let at = |field: &str| reply.json[field].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
        (at("expires_at") - at("created_at")).total(jiff::Unit::Hour).expect("hours") / 24.0
    };
    assert_eq!(days(&reply).round(), 90.0, "as long as the old one was made for");
    let kept = world.as_admin(Method::GET, &path(&old)).send();
    assert!(kept.json["expires_at"].as_str().unwrap() < in_seconds(3601).as_str(), "{}", kept.text);
    world.wait_until_told();
    for token in [&old, &new] {
        world.get(ISSUE).bearer(token).send().assert_user(Some("alice"));
        world.get("/rest/api/2/myself").bearer(token).send().assert_refused(403, "restricted");
    }
    assert!(world.audit().iter().any(|line| line.contains("|alice|token.rotate|") && line.contains(&new.id)));

    // It counts from now on; and at once means at once.
    rotate(&new, json!({ "overlap": "1h" })).assert_refused(409, "too_many_tokens");
    world.delete_token(&old);
    let third = token(&rotate(&new, json!({ "validity": "1y" })));
    world.wait_until_told();
    world.get(ISSUE).bearer(&new).send().assert_refused(401, "token_deleted");
    world.get(ISSUE).bearer(&third).send().assert_user(Some("alice"));
    for (body, word) in [
        (json!({ "overlap": "31d" }), "overlap"),
        (json!({ "overlap": "soon" }), "overlap"),
        (json!({ "expires_at": "2001-01-01T00:00:00Z" }), "expires_at"),
    ] {
        let reply = rotate(&third, body);
        reply.assert_refused(400, "bad_request");
        assert!(reply.json["detail"].as_str().unwrap().contains(word), "{}", reply.text);
    }
    world.create_user("bob");
    let bobs = world.new_token(&json!({ "label": "bob's", "owner": "bob" }));
    rotate(&bobs, json!({})).assert_refused(404, "not_found");
    world.set(&json!({ "only_admins_create": true }));
    rotate(&third, json!({})).assert_refused(403, "only_admins_create");
    // An imported one becomes one of ours; a sysadmin's only one can be rotated, since the new one administers.
    world.set(&json!({ "only_admins_create": false, "max_tokens_per_user": null }));
    let imported = world.import_token("taken over from elsewhere", "alice");
    assert!(token(&rotate(&imported, json!({}))).text.starts_with("tgt_"));
    let first = &world.as_admin(Method::GET, TOKENS).send().json["items"][0]["id"];
    let first = format!("{TOKENS}/{}/rotate", first.as_str().unwrap());
    let admin = token(&world.as_admin(Method::POST, &first).json(&json!({})).send());
    assert_eq!(world.control_get("/api/v1/users").bearer(&admin).send().status, 200);
    world.as_admin(Method::GET, TOKENS).send().assert_refused(401, "token_deleted");
}

#[test]
fn m5_a_token_is_created_with_the_properties_of_another_one_but_for_those_that_are_given() {
    let world = World::start_without_proxy();
    world.create_user("alice");
    world.create_user("bob");
    let template = world.new_token(&json!({
        "label": "template", "owner": "alice", "scope": "read_only", "ip_ranges": ["10.0.0.0/8"],
        "restrictions": [".*/issue/JRA.*", "[get].*"], "valid_from": "2090-01-01T00:00:00Z",
    }));
    let copy = |body: Value| world.as_admin(Method::POST, TOKENS).json(&body).send();
    let same = copy(json!({ "copy_of": template.id }));
    let other = copy(json!({
        "copy_of": template.id, "label": "other", "owner": "bob", "scope": "full", "ip_ranges": [], "restrictions": [".*"],
    }));
    let original = world.as_admin(Method::GET, &path(&template)).send();
    assert_ne!(token(&same).text, template.text);
    for field in ["label", "owner", "scope", "ip_ranges", "restrictions", "valid_from", "expires_at"] {
        assert_eq!(same.json[field], original.json[field], "{field}");
    }
    let given = ["label", "owner", "scope", "ip_ranges", "restrictions", "valid_from"].map(|name| &other.json[name]);
    let expected =
        [json!("other"), json!("bob"), json!("full"), json!([]), json!([".*"]), original.json["valid_from"].clone()];
    assert_eq!(given.map(Value::clone), expected);
    let bob = world.new_token(&json!({ "label": "bob's", "owner": "bob" }));
    let as_bob = world.control_call(Method::POST, TOKENS).bearer(&bob).json(&json!({ "copy_of": template.id })).send();
    as_bob.assert_refused(400, "bad_request");
    assert!(as_bob.json["detail"].as_str().unwrap().contains("copy_of"), "{}", as_bob.text);
}

#[test]
fn s1_a_lower_maximum_shortens_existing_tokens_only_if_it_is_asked_to() {
    let world = World::start();
    let tokens = [json!(null), json!("2y"), json!("90d")]
        .map(|validity| world.new_token(&json!({ "label": "x", "validity": validity })));
    let ends =
        || tokens.clone().map(|token| world.as_admin(Method::GET, &path(&token)).send().json["expires_at"].clone());
    let before = ends();
    let set = |query: &str| {
        let reply = world
            .as_admin(Method::PATCH, &format!("/api/v1/settings{query}"))
            .json(&json!({ "max_validity": "1y" }))
            .send();
        assert_eq!(reply.status, 200, "{}", reply.text);
    };
    set("");
    assert_eq!(ends(), before);
    set("?apply_to_existing=true");
    let after = ends();
    let days = |end: &Value| {
        let seconds = end.as_str().expect("an end").parse::<jiff::Timestamp>().expect("a time").as_second();
        let now = in_seconds(0).parse::<jiff::Timestamp>().expect("a time").as_second();
        (seconds - now).div_euclid(86_400)
    };
    assert!(after[..2].iter().all(|end| (364..=366).contains(&days(end))), "{after:?}");
    assert_eq!(after[2], before[2], "one that ends earlier stays");
    world.wait_until_told();
    world.get(ISSUE).bearer(&tokens[0]).send().assert_user(Some("admin"));
    let records = world.audit();
    let shortened = records.iter().filter(|line| line.contains("|admin|settings.change|/tokens|"));
    assert_eq!(shortened.map(|line| line.contains("\"shortened\":3")).collect::<Vec<_>>(), [true], "{records:?}");
}

/// Whether these bytes stand in any file of the database.
fn is_on_disk(world: &World, bytes: &[u8]) -> bool {
    let files = fs::read_dir(&world.site.data).expect("the data").map(|entry| entry.expect("a file").path());
    let database =
        files.filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tokengate.db")));
    database.map(|file| fs::read(file).expect("a file")).any(|file| file.windows(bytes.len()).any(|part| part == bytes))
}

fn sealed(world: &World, token: &Token) -> Vec<u8> {
    let hex = &world.rows(&format!("select hex(recoverable) from tokens where public_id = '{}'", token.id))[0];
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("digits")).collect()
}

#[test]
fn s7_standard_mode_shows_a_token_to_its_owner_again_and_entering_secure_mode_wipes_what_was() {
    let mut world = World::start_without_proxy();
    world.create_user("alice");
    let of_secure_mode = world.new_token(&json!({ "label": "before", "owner": "alice" }));
    assert!(sealed(&world, &of_secure_mode).is_empty(), "nothing is kept in secure mode");
    world
        .control_get(&format!("{}/secret", path(&of_secure_mode)))
        .bearer(&of_secure_mode)
        .send()
        .assert_refused(403, "secure_mode");
    assert!(world.stop_control_plane());
    world.site.secure_mode = false;
    world.start_control_plane();

    let shown = world.new_token(&json!({ "label": "shown", "owner": "alice" }));
    let deleted = world.new_token(&json!({ "label": "deleted", "owner": "alice" }));
    let sealed_ones = [sealed(&world, &shown), sealed(&world, &deleted)];
    assert!(sealed_ones.iter().all(|sealed| is_on_disk(&world, sealed)));
    assert!(!is_on_disk(&world, shown.text.as_bytes()), "never in clear");
    let secret = |token: &Token| world.control_get(&format!("{}/secret", path(token))).bearer(&shown).send();
    assert_eq!(secret(&shown).json, json!({ "token": shown.text }));
    secret(&of_secure_mode).assert_refused(404, "not_recoverable");
    let as_admin = world.as_admin(Method::GET, &format!("{}/secret", path(&shown))).send();
    as_admin.assert_refused(404, "not_found");
    assert_eq!(world.audit().iter().filter(|line| line.contains("|alice|token.reveal|")).count(), 1);
    // One cannot be put in the place of another.
    world.rows(&format!("update tokens set recoverable = (select recoverable from tokens where public_id = '{}') where public_id = '{}'", deleted.id, of_secure_mode.id));
    secret(&of_secure_mode).assert_refused(404, "not_recoverable");
    world.delete_token(&deleted);
    assert!(sealed(&world, &deleted).is_empty(), "a deleted token has no copy");

    assert!(world.stop_control_plane());
    world.site.secure_mode = true;
    world.start_control_plane();
    secret_is_gone(&world, &shown);
    for sealed in &sealed_ones {
        assert!(!is_on_disk(&world, sealed), "not even in free space");
    }
    let wiped = |world: &World| {
        world.audit().iter().filter(|line| line.contains("|tokengate|token.edit|/copies|{\"wiped\":2}")).count()
    };
    assert_eq!(wiped(&world), 1, "{:?}", world.audit());
    assert_eq!(world.control_get(TOKENS).bearer(&shown).send().status, 200, "the token itself works on");
    assert!(world.stop_control_plane());
    world.start_control_plane();
    assert_eq!(wiped(&world), 1, "there is nothing to be wiped again");
}

#[test]
fn attack_s6_a_sysadmin_sees_anothers_token_again_by_coming_on_behalf_of_its_owner() {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_control_plane();
    world.create_user("alice");
    let token = world.new_token(&json!({ "label": "alice's", "owner": "alice" }));
    let secret = format!("{}/secret", path(&token));
    let on_behalf = |call: Call| call.header("contextUser", b"alice").send();
    assert_eq!(on_behalf(world.as_admin(Method::GET, &path(&token))).status, 200, "what is known of it");
    on_behalf(world.as_admin(Method::GET, &secret)).assert_refused(404, "not_found");
    assert_eq!(world.control_get(&secret).bearer(&token).send().json, json!({ "token": token.text }));
}

fn secret_is_gone(world: &World, token: &Token) {
    assert!(sealed(world, token).is_empty());
    world.control_get(&format!("{}/secret", path(token))).bearer(token).send().assert_refused(403, "secure_mode");
}

#[test]
fn u8_what_expired_long_ago_is_deleted_and_what_was_deleted_long_ago_is_forgotten_without_a_restart() {
    let mut world = World::prepare(1);
    world.start_both();
    let tokens: Vec<Token> = ["expired long ago", "expired", "deleted long ago", "deleted"]
        .iter()
        .map(|label| world.new_token(&json!({ "label": label, "validity": "1y" })))
        .collect();
    world.wait_until_told();
    for token in &tokens {
        world.get(ISSUE).bearer(token).send().assert_user(Some("admin"));
    }
    // Its use goes with a token that is forgotten.
    let used = "select count(*) from token_usage join tokens on id = token_id where label <> 'first start'";
    eventually("uses are recorded", || (world.rows(used) == ["4"]).then_some(()));
    world.kill_envoy(); // it would not hear of what is changed behind the control plane's back
    assert!(world.stop_control_plane());
    let ago = |days: u32| format!("(cast(strftime('%s', 'now') as integer) - {days} * 86400) * 1000");
    let set = |world: &World, token: &Token, column: &str, days: u32| {
        world.rows(&format!("update tokens set {column} = {} where public_id = '{}'", ago(days), token.id));
    };
    set(&world, &tokens[0], "expires_at", 91);
    set(&world, &tokens[1], "expires_at", 89);
    // The image at the start has both; later, one of them is past the 30 days.
    set(&world, &tokens[2], "deleted_at", 29);
    set(&world, &tokens[3], "deleted_at", 29);
    world.rows(&format!(
        "insert into idempotency values (x'01', x'01', 201, x'01', {}), (x'02', x'02', 201, x'02', {})",
        ago(2),
        ago(0)
    ));
    world.start_both();
    let refused = |token: &Token, code: &str| {
        eventually(code, || (world.get(ISSUE).bearer(token).send().json["code"] == code).then_some(()));
    };
    refused(&tokens[0], "token_deleted");
    refused(&tokens[1], "token_expired");
    refused(&tokens[2], "token_deleted");
    eventually("old answers are gone", || {
        (world.rows("select hex(key_hash) from idempotency") == ["02"]).then_some(())
    });
    set(&world, &tokens[2], "deleted_at", 31);
    world.set(&json!({ "prune_expired_days": 88 })); // which prunes at once
    refused(&tokens[1], "token_deleted");
    refused(&tokens[2], "unknown_token");
    refused(&tokens[3], "token_deleted");
    assert_eq!(world.rows("select count(*) from tokens where label = 'deleted long ago'"), ["0"]);
    assert_eq!(world.rows("select count(*) from token_usage where token_id not in (select id from tokens)"), ["0"]);
    assert_eq!(world.rows(used), ["3"]);
    let pruned: Vec<String> =
        world.rows("select subject, detail from audit where actor = 'tokengate' and subject like '/%' order by id");
    assert_eq!(pruned, ["/expired|{\"count\":1}", "/expired|{\"count\":1}", "/forgotten|{\"count\":1}"]);
    assert_eq!(labels(&world, "all=true", 10), ["first start"]);
}

const KEY: &str = "0b7a1c52-3f0e-4f7b-9a53-77d0c2f3b1aa";

fn keyed(call: Call, key: &str, body: &Value) -> Reply {
    call.header("idempotency-key", key.as_bytes()).json(body).send()
}

#[test]
fn a_creation_under_the_same_key_gets_the_same_answer_and_is_done_once() {
    let mut world = World::start_without_proxy();
    world.create_user("alice");
    let alice = world.new_token(&json!({ "label": "alice's", "owner": "alice" }));
    let body = json!({ "label": "once", "validity": "90d" });
    let create = |world: &World, key: &str, body: &Value| keyed(world.as_admin(Method::POST, TOKENS), key, body);
    let first = create(&world, KEY, &body);
    let again = create(&world, KEY, &body);
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert!(!first.headers.contains_key("idempotent-replayed"));
    assert_eq!(again.headers["content-type"], "application/json");
    create(&world, KEY, &json!({ "label": "other" })).assert_refused(422, "idempotency_key_reused");
    let rotate = format!("{}/rotate", path(&token(&first)));
    let rotated = |key: &str| keyed(world.as_admin(Method::POST, &rotate), key, &json!({ "overlap": "1h" }));
    rotated(KEY).assert_refused(422, "idempotency_key_reused");
    assert_eq!(rotated("of-the-rotation-1").text, rotated("of-the-rotation-1").text);
    let user = |key: &str| keyed(world.as_admin(Method::POST, "/api/v1/users"), key, &json!({ "name": "bob" }));
    assert_eq!(
        (user("of-the-user-0001").status, user("of-the-user-0001").status.as_u16()),
        (reqwest::StatusCode::CREATED, 201)
    );
    user("of-the-user-0002").assert_refused(409, "user_exists");
    // Another caller's key is another key.
    let of_alice = |key: &str| keyed(world.control_call(Method::POST, TOKENS).bearer(&alice), key, &body);
    assert_ne!(token(&of_alice(KEY)).text, token(&first).text);
    for key in ["short", "with a space in it", &"x".repeat(256)] {
        create(&world, key, &body).assert_refused(400, "bad_request");
    }
    assert_eq!(labels(&world, "owner=admin&label_prefix=once", 10), ["once"; 2], "created once, rotated once");
    world.edit_user("alice", &json!({ "suspended": true }));
    of_alice(KEY).assert_refused(401, "owner_suspended");

    // The answer got lost: the program ended between commit and answer.
    assert!(world.stop_control_plane());
    world.site.control_variables = vec![("TOKENGATE_FAULT", "after-commit".to_owned())];
    world.start_control_plane();
    let key = "after-a-crash-there-is-one";
    assert_eq!(create(&world, key, &json!({ "label": "lost" })).status, 599);
    assert!(world.control_plane_ends());
    world.site.control_variables.clear();
    world.start_control_plane();
    let found = create(&world, key, &json!({ "label": "lost" }));
    assert_eq!(found.headers["idempotent-replayed"], "true");
    assert_eq!(world.control_get(TOKENS).bearer(&token(&found)).send().status, 200);
    assert_eq!(labels(&world, "owner=admin&label_prefix=lost", 10), ["lost"]);
    assert!(!is_on_disk(&world, found.json["token"].as_str().unwrap().as_bytes()), "never in clear");
    assert!(!is_on_disk(&world, key.as_bytes()), "nor is the key, without which nobody opens the answer");
    // A day later it is a new request.
    world.rows("update idempotency set at = at - 86400000");
    assert_ne!(create(&world, key, &json!({ "label": "lost" })).json["id"], found.json["id"]);
}
