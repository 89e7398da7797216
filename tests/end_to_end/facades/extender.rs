//! M3: the API tokens of the app Extender.

use super::{assert_like, large, world_with_facades};
use regex_lite::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tests::{Reply, Token, World, eventually};

const GET: &str = "/rest/extender/1.0/tokenTools/get";
const SET: &str = "/rest/extender/1.0/tokenTools/set";
const DELETE: &str = "/rest/extender/1.0/tokenTools/delete";

const ISSUE: &str = "/rest/api/2/issue/JRA-1";
const DAY: u64 = 86_400_000;

fn get(world: &World, token: &(impl AsRef<str> + ?Sized), query: &str) -> Reply {
    world.get(&format!("{GET}{query}")).bearer(token).send()
}

fn set(world: &World, token: &(impl AsRef<str> + ?Sized), body: &Value) -> Reply {
    world.request(Method::POST, SET).bearer(token).json(body).send()
}

fn delete(world: &World, token: &(impl AsRef<str> + ?Sized), body: &Value) -> Reply {
    world.request(Method::DELETE, DELETE).bearer(token).json(body).send()
}

/// The same stack in standard mode.
fn world_in_standard_mode() -> (World, Token) {
    let mut world = World::prepare(2);
    world.site.secure_mode = false;
    world.start_both();
    let token = world.token_for("alice");
    (world, token)
}

/// An element of `get`, up to the token: as made by, and for, and called so.
fn begin(author: &str, user: &str, label: &str) -> String {
    format!(
        r#"{{"authorKey":"{author}","userKey":"{user}","userDisplayName":"{user}","label":"{label}","user":"{user}","#
    )
}

fn millis(text: &str) -> u64 {
    text.parse().expect("a time")
}

#[test]
fn m3_a_token_is_made_works_is_listed_and_deleted() {
    let (world, token) = world_with_facades();
    let lines = ".*/rest/api/2/issue/JRA.*\n[get].*/rest/api/2/project.*";
    let made = set(&world, &token, &json!({ "label": "ci", "daysUntilExpiry": 30, "limitTo": lines }));
    let limit_to = ".*/rest/api/2/issue/JRA.*<br>[get].*/rest/api/2/project.*";
    let own = begin("alice", "alice", "ci");
    let expected = format!(
        r#"{{"status":"ok",{}"token":"<token>","id":<number>,"limitTo":"{limit_to}","ip":"","validUntil":<millis>,"dateCreated":<millis>,"counter":0}}"#,
        &own[1..]
    );
    let [new, number, end, created] = assert_like(&made, 200, &expected).try_into().expect("four");
    assert_eq!(made.headers["content-type"], "application/json");
    assert_eq!(millis(&end) - millis(&created), 30 * DAY);
    world.wait_until_told();
    world.get(ISSUE).basic("alice", &new).send().assert_user(Some("alice"));
    world.get(ISSUE).bearer(&new).send().assert_user(Some("alice"));
    world.get("/rest/api/2/filter/1").bearer(&new).send().assert_refused(403, "restricted");
    get(&world, &new, "").assert_refused(403, "cannot_manage");

    // The other one was made by a sysadmin, which is nothing to alice; to a sysadmin it is.
    let page = r#"{"total":2,"pages":1,"maxResults":50,"startAt":0,"status":"ok","tokens":["#;
    let test = r#""id":<number>,"limitTo":"","ip":"","validUntil":null,"dateCreated":<millis>,"counter":<number>}"#;
    let others = begin("", "alice", "test");
    let expected = format!(
        r#"{page}{others}{test},{own}"id":{number},"limitTo":"{limit_to}","ip":"","validUntil":{end},"dateCreated":{created},"counter":2}}]}}"#
    );
    let listed = eventually("both uses are known", || {
        let listed = get(&world, &token, "");
        listed.text.contains(r#""counter":2}]"#).then_some(listed)
    });
    assert_like(&listed, 200, &expected);
    assert_eq!(listed.headers["content-type"], "application/json");
    let all = get(&world, &world.admin_token(), "");
    // How often the sysadmin has come meanwhile, and how much of that is counted by now, is open.
    let (first, used) =
        (begin("", "admin", "first start"), test.replace(r#""counter":<number>"#, r#""counter":<any>"#));
    let expected = expected
        .replace(r#""total":2"#, r#""total":3"#)
        .replace("\"tokens\":[", &format!("\"tokens\":[{first}{used},"))
        .replace(&others, &begin("admin", "alice", "test"));
    assert_like(&all, 200, &expected);

    assert_eq!(world.get(&format!("{GET}/")).bearer(&token).send().json["total"], 2, "with a slash at the end");
    assert_like(&delete(&world, &token, &json!({ "id": millis(&number) })), 200, r#"{"status":"ok"}"#);
    world.wait_until_told();
    world.get(ISSUE).bearer(&new).send().assert_refused(401, "token_deleted");
    delete(&world, &token, &json!({ "id": millis(&number) })).assert_refused(404, "not_found");
    assert_eq!(get(&world, &token, "").json["total"], 1);
}

#[test]
fn m3_a_sysadmin_makes_a_token_for_another_and_says_what_it_is() {
    let (world, _) = world_with_facades();
    world.create_user("bob");
    let chosen = "chosen-by-caller-4711";
    let body = json!({
        "label": "ci", "daysUntilExpiry": 30, "userName": "Bob", "limitTo": ".*/a\n.*/JRA-1", "token": chosen,
        "somethingElse": [1],
    });
    let made = set(&world, &world.admin_token(), &body);
    let expected = format!(
        r#"{{"status":"ok",{}"token":"{chosen}","id":<number>,"limitTo":".*/a<br>.*/JRA-1","ip":"","validUntil":<millis>,"dateCreated":<millis>,"counter":0}}"#,
        &begin("admin", "bob", "ci")[1..]
    );
    assert_like(&made, 200, &expected);
    world.wait_until_told();
    world.get(ISSUE).basic("bob", chosen).send().assert_user(Some("bob"));
    world.get(ISSUE).bearer(chosen).send().assert_user(Some("bob"));
    world.get(ISSUE).basic("admin", chosen).send().assert_refused(401, "wrong_user");
    world.get("/rest/api/2/x").bearer(chosen).send().assert_refused(403, "restricted");
    assert_eq!(world.failed_logins(), 0);
    // It is nobody else's from then on, nor anybody's once it is deleted, as long as that is remembered.
    let admin = world.admin_token();
    let again = json!({ "label": "again", "token": chosen });
    set(&world, &admin, &again).assert_refused(409, "token_exists");
    assert_eq!(delete(&world, &admin, &json!({ "id": made.json["id"] })).status, 200);
    set(&world, &admin, &again).assert_refused(409, "token_exists");
    let audit = world.audit().join("\n");
    assert!(audit.contains(r#""label":"ci""#) && !audit.contains(chosen) && !audit.contains("again"), "{audit}");
}

#[test]
fn m3_lines_are_separated_in_each_way_and_addresses_survive_a_round_trip() {
    let (world, token) = world_with_facades();
    for (lines, listed) in [("a\nb", "a<br>b"), ("a\\nb", "a<br>b"), ("a<br>b", "a<br>b"), ("", ""), ("\n", "")] {
        let made = set(&world, &token, &json!({ "label": "lines", "limitTo": lines }));
        assert_eq!((made.status.as_u16(), &made.json["limitTo"]), (200, &json!(listed)), "{}", made.text);
    }
    let ranges = "127.0.0.1,10.0.0.0/8,2001:db8::1-2001:db8::5";
    let made = set(&world, &token, &json!({ "label": "ip", "ip": ranges })).json;
    assert_eq!(made["ip"], ranges);
    let elsewhere = set(&world, &token, &json!({ "label": "ip", "ip": "192.0.2.7" })).json;
    world.wait_until_told();
    world.get(ISSUE).bearer(made["token"].as_str().expect("a token")).send().assert_user(Some("alice"));
    let elsewhere = elsewhere["token"].as_str().expect("a token");
    world.get(ISSUE).bearer(elsewhere).send().assert_refused(403, "ip_not_allowed");
    let listed = get(&world, &token, "?startAt=6").json;
    assert_eq!((&listed["tokens"][0]["ip"], &listed["tokens"][1]["ip"]), (&json!(ranges), &json!("192.0.2.7")));
    set(&world, &token, &json!({ "label": "ip", "ip": "anywhere" })).assert_refused(400, "bad_request");
    // What cannot be read is refused with its place, and nothing is saved (L7).
    let refused = set(&world, &token, &json!({ "label": "lines", "limitTo": "a\n.*/(?=x)" }));
    refused.assert_refused(400, "invalid_restrictions");
    let error = &refused.json["errors"][0];
    let place = (&error["pointer"], &error["line"], error["column"].is_u64());
    assert_eq!(place, (&json!("#/limitTo"), &json!(2), true), "{error}");
    assert_eq!(get(&world, &token, "").json["total"], 8);
}

#[test]
fn m3_u4_an_empty_user_name_makes_an_unbound_token_for_sysadmins_alone_while_those_are_allowed() {
    let (world, alice) = world_with_facades();
    let admin = world.admin_token();
    let body = json!({ "label": "anyone's", "userName": "" });
    set(&world, &admin, &body).assert_refused(403, "unbound_tokens_off");
    world.set(&json!({ "unbound_tokens": true }));
    set(&world, &alice, &body).assert_refused(403, "forbidden");
    let made = set(&world, &admin, &body);
    let expected = format!(
        r#"{{"status":"ok",{}"token":"<token>","id":<number>,"limitTo":"","ip":"","validUntil":null,"dateCreated":<millis>,"counter":0}}"#,
        &begin("admin", "", "anyone's")[1..]
    );
    let new = assert_like(&made, 200, &expected).remove(0);
    world.create_user("bob");
    world.wait_until_told();
    for user in ["alice", "bob"] {
        world.get(ISSUE).basic(user, &new).send().assert_user(Some(user));
    }
    world.get(ISSUE).bearer(&new).send().assert_refused(401, "scheme_not_allowed");
    // Absent, or null: one's own, never everybody's.
    for body in
        [json!({ "label": "mine" }), json!({ "label": "mine", "userName": null, "token": null, "limitTo": null })]
    {
        assert_eq!(set(&world, &admin, &body).json["user"], "admin");
    }
    assert_eq!(get(&world, &admin, "?maxResults=1000").json["total"], 5);
    assert_eq!(get(&world, &alice, "?maxResults=1000").json["total"], 1, "unbound ones are nobody's own");
}

#[test]
fn m3_the_rules_of_the_native_api_hold() {
    let (world, token) = world_with_facades();
    world.create_user("bob");
    world.set(&json!({ "max_validity": "90d", "max_tokens_per_user": 4 }));
    // S1: nothing, or 0, is the longest time; longer is refused.
    for days in [json!(null), json!(0), json!("0"), json!("90")] {
        let made = set(&world, &token, &json!({ "label": "x", "daysUntilExpiry": days })).json;
        let (end, created) = (made["validUntil"].as_u64(), made["dateCreated"].as_u64());
        assert_eq!(end.zip(created).map(|(end, created)| end - created), Some(90 * DAY), "{days} {made}");
        assert_eq!(delete(&world, &token, &json!({ "id": made["id"] })).status, 200);
    }
    set(&world, &token, &json!({ "label": "x", "daysUntilExpiry": 91 })).assert_refused(400, "validity_too_long");
    for days in
        [json!(-1), json!(3651), json!("soon"), json!(1.5), json!(1e300), json!([1]), json!("99999999999999999999")]
    {
        set(&world, &token, &json!({ "label": "x", "daysUntilExpiry": days })).assert_refused(400, "bad_request");
    }
    for label in [json!(""), json!(null), json!("x".repeat(201)), json!("a\u{7}"), json!(7)] {
        set(&world, &token, &json!({ "label": label })).assert_refused(400, "bad_request");
    }
    // S6: others' tokens are for sysadmins to make, and whether there is such a user is for them to know.
    for name in ["admin", "bob", "nobody", " "] {
        set(&world, &token, &json!({ "label": "x", "userName": name })).assert_refused(403, "forbidden");
    }
    let admin = world.admin_token();
    set(&world, &admin, &json!({ "label": "x", "userName": "nobody" })).assert_refused(400, "bad_request");
    // S8, then S4.
    for _ in 0..3 {
        assert_eq!(set(&world, &token, &json!({ "label": "x" })).status, 200);
    }
    set(&world, &token, &json!({ "label": "x" })).assert_refused(409, "too_many_tokens");
    world.set(&json!({ "only_admins_create": true }));
    set(&world, &token, &json!({ "label": "x" })).assert_refused(403, "only_admins_create");
    assert_eq!(set(&world, &admin, &json!({ "label": "x", "userName": "bob" })).json["user"], "bob");
}

#[test]
fn m3_a_value_that_somebody_chooses_cannot_be_guessed_and_carries_no_surprise() {
    let (world, _) = world_with_facades();
    let admin = world.admin_token();
    let twenty = "abcdefghij0123456789";
    for value in [
        &twenty[1..],
        "with spaces in it, and long enough",
        "ümläute-ümläute-ümläute",
        "line\nline\nline\nline\nline",
        &"x".repeat(513),
        "tgt_abcdefghijklmnopqrstuvwxyz",
        tests::UNKNOWN_TOKEN,
    ] {
        let refused = set(&world, &admin, &json!({ "label": "x", "token": value }));
        refused.assert_refused(400, "bad_request");
        assert!(!refused.text.contains(&value[..10]), "it is not repeated: {}", refused.text);
    }
    for value in ["", twenty, &"y".repeat(512)] {
        let made = set(&world, &admin, &json!({ "label": "x", "token": value }));
        assert_eq!(made.status, 200, "{}", made.text);
        assert!(made.json["token"] == value || value.is_empty(), "{}", made.text);
    }
    world.wait_until_told();
    world.get(ISSUE).basic("admin", twenty).send().assert_user(Some("admin"));
    world.get(ISSUE).bearer(&"y".repeat(512)).send().assert_user(Some("admin"));
    for part in ["control-plane", "envoy"] {
        assert!(!world.log(part).contains(twenty), "{part}");
    }
}

#[test]
fn attack_m3_a_user_chooses_for_a_token_what_another_has_for_a_name_or_a_password() {
    let (world, alice) = world_with_facades();
    let victim = "bob.the.builder@example.org";
    let user = json!({ "name": "bob", "email": victim });
    assert_eq!(world.as_admin(Method::POST, "/api/v1/users").json(&user).send().status, 201);
    for value in [victim, "correct-horse-battery-staple"] {
        set(&world, &alice, &json!({ "label": "x", "token": value })).assert_refused(403, "forbidden");
    }
    // Nor does it learn which values are tokens.
    world.import_token("qt3sumg4gd8r47n98tcnmuarnfufviog", "bob");
    let guess = json!({ "label": "x", "token": "qt3sumg4gd8r47n98tcnmuarnfufviog" });
    set(&world, &alice, &guess).assert_refused(403, "forbidden");
    world.wait_until_told();
    let reply = world.get(ISSUE).basic(victim, "correct-horse-battery-staple").send();
    assert_eq!(reply.status, 401, "the backend's own refusal: {}", reply.text);
    assert_eq!((reply.json["code"].as_str(), world.failed_logins()), (None, 1));
}

#[test]
fn m3_delete_takes_either_id_under_either_name_as_a_number_or_a_text() {
    let (world, token) = world_with_facades();
    let public_id = |number: &Value| world.rows(&format!("select public_id from tokens where id = {number}")).remove(0);
    let bodies: [fn(&Value, String) -> Value; 5] = [
        |number, _| json!({ "id": number, "ignored": true }),
        |number, _| json!({ "tokenId": number }),
        |number, _| json!({ "id": number.to_string() }),
        |_, public_id| json!({ "id": public_id }),
        |_, public_id| json!({ "tokenId": public_id }),
    ];
    for body in bodies {
        let number = set(&world, &token, &json!({ "label": "x" })).json["id"].clone();
        let body = body(&number, public_id(&number));
        assert_like(&delete(&world, &token, &body), 200, r#"{"status":"ok"}"#);
        delete(&world, &token, &body).assert_refused(404, "not_found");
    }
    assert_eq!(get(&world, &token, "").json["total"], 1);
}

#[test]
fn attack_m3_what_names_no_token_of_ones_own_deletes_nothing() {
    let (world, alice) = world_with_facades();
    let admin = world.admin_token();
    let number = |label: &str| world.rows(&format!("select id from tokens where label = '{label}'")).remove(0);
    let admins = number("first start");
    let of_alice = number("test");
    for id in
        [json!(admins), json!("all"), json!("*"), json!(-1), json!(0), json!(u64::MAX), json!(""), json!("1 or 1=1")]
    {
        delete(&world, &alice, &json!({ "id": id })).assert_refused(404, "not_found");
    }
    for body in [
        json!({}),
        json!({ "id": null }),
        json!({ "id": [of_alice] }),
        json!({ "id": { "id": of_alice } }),
        json!({ "id": 1.5 }),
        json!({ "id": 1e30 }),
        json!({ "id": true }),
        json!({ "id": of_alice, "tokenId": of_alice }),
        json!([{ "id": of_alice }]),
    ] {
        delete(&world, &alice, &body).assert_refused(400, "bad_request");
    }
    let raw = |content_type: &str, body: &str| {
        world.request(Method::DELETE, DELETE).bearer(&alice).body(content_type, body).send()
    };
    raw("application/json", &format!(r#"{{"id":{of_alice},"id":{admins}}}"#)).assert_refused(400, "bad_request");
    raw("application/json", "").assert_refused(400, "bad_request");
    raw("application/x-www-form-urlencoded", &format!("id={of_alice}")).assert_refused(415, "unsupported_media_type");
    raw("application/json", &format!(r#"{{"id":"{}"}}"#, "9".repeat(130 * 1024))).assert_refused(413, "body_too_large");
    for (method, path) in [(Method::GET, DELETE), (Method::GET, SET), (Method::POST, DELETE), (Method::DELETE, GET)] {
        let reply = world.request(method, path).bearer(&alice).json(&json!({ "id": of_alice })).send();
        reply.assert_refused(405, "method_not_allowed");
    }
    delete(&world, &admin, &json!({ "id": admins })).assert_refused(409, "last_sysadmin_token");
    assert_eq!(get(&world, &admin, "").json["total"], 2, "both are there");
}

#[test]
fn m3_pages_are_those_that_are_asked_for() {
    let (world, token) = world_with_facades();
    for label in ["b", "c", "d", "e"] {
        assert_eq!(set(&world, &token, &json!({ "label": label })).status, 200);
    }
    let page = |query: &str| {
        let page = get(&world, &token, query);
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        let tokens = page.json["tokens"].as_array().expect("a list");
        let labels = tokens.iter().map(|token| token["label"].as_str().expect("a label")).collect::<Vec<_>>().concat();
        let head =
            ["total", "pages", "maxResults", "startAt"].map(|field| page.json[field].as_u64().expect("a number"));
        (head, labels)
    };
    for (query, head, labels) in [
        ("", [5, 1, 50, 0], "testbcde"),
        ("?maxResults=2", [5, 3, 2, 0], "testb"),
        ("?maxResults=2&startAt=2", [5, 3, 2, 2], "cd"),
        ("?startAt=4&maxResults=2&anything=else", [5, 3, 2, 4], "e"),
        ("?startAt=5", [5, 1, 50, 5], ""),
        ("?startAt=100000", [5, 1, 50, 100_000], ""),
        ("?maxResults=0", [5, 1, 50, 0], "testbcde"),
        ("?maxResults=99999999999999999", [5, 1, 1000, 0], "testbcde"),
    ] {
        assert_eq!(page(query), (head, labels.to_owned()), "{query}");
    }
    for query in
        ["?startAt=-1", "?startAt=x", "?maxResults=-5", "?startAt=1&startAt=2", "?startAt=100001", "?maxResults="]
    {
        get(&world, &token, query).assert_refused(400, "bad_request");
    }
}

#[test]
fn m3_of_very_many_tokens_not_all_are_counted_and_a_script_that_pages_through_them_is_told() {
    let mut world = World::start_without_proxy();
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", 100_100);
    world.start_control_plane_within(Duration::from_secs(60));
    let page = |query: &str| world.as_admin(Method::GET, &format!("{GET}{query}")).send();
    let first = page("?maxResults=1000");
    let field = |reply: &Reply, name: &str| reply.json[name].as_u64();
    assert_eq!((field(&first, "total"), field(&first, "pages")), (Some(100_001), Some(101)), "{:.200}", first.text);
    assert_eq!(first.json["tokens"].as_array().map(Vec::len), Some(1000));
    let last = page("?startAt=100000");
    assert_eq!((field(&last, "total"), last.json["tokens"].as_array().map(Vec::len)), (Some(100_051), Some(50)));
    page("?startAt=100050").assert_refused(400, "bad_request");
}

#[test]
fn attack_m3_a_page_of_tokens_with_as_many_restrictions_as_they_may_have_takes_constant_memory() {
    let mut world = World::start_without_proxy();
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", 1000);
    let lines = "replace(hex(zeroblob(60)), '00', '/' || replace(hex(zeroblob(499)), '0', 'x') || char(10))";
    world.run_sql(&format!("update tokens set restrictions = {lines} where label = 'unusable'"));
    world.start_control_plane();
    let memory = |figure: &str| world.control_plane().memory(figure) / 1024;
    let (before, peak_before) = (memory("VmRSS"), memory("VmHWM"));
    let page = large(&world, &format!("{GET}?maxResults=1000&startAt=1"));
    let peak = memory("VmHWM");
    println!("{} MiB; resident {before} KiB before; at most {peak_before} before, {peak} after", page.len() >> 20);
    let tokens = &serde_json::from_str::<Value>(&page).expect("a page")["tokens"];
    assert_eq!((tokens.as_array().map(Vec::len), page.len() > 55 << 20), (Some(1000), true));
    assert!(peak < peak_before.max(before) + 40 * 1024, "less than was sent: {peak} KiB");
}

#[test]
fn s7_m3_standard_mode_shows_ones_own_tokens_in_the_list_and_the_audit_has_each() {
    let (world, token) = world_in_standard_mode();
    let made = set(&world, &token, &json!({ "label": "ci" })).json;
    let shown = Regex::new(r#""token":"([^"]+)""#).expect("a pattern");
    let tokens_in = |reply: &Reply| -> Vec<String> {
        assert_eq!(reply.status, 200, "{}", reply.text);
        shown.captures_iter(&reply.text).map(|found| found[1].to_owned()).collect()
    };
    let revealed = || world.audit().into_iter().filter(|line| line.contains("|token.reveal|")).collect::<Vec<_>>();
    let new = made["token"].as_str().expect("a token").to_owned();
    assert_eq!(revealed(), [""; 0], "what is new is not shown again");
    assert_eq!(tokens_in(&get(&world, &token, "")), [token.text.clone(), new.clone()]);
    let own = begin("alice", "alice", "ci");
    let expected = format!(
        r#"{{"total":2,"pages":2,"maxResults":1,"startAt":1,"status":"ok","tokens":[{own}"token":"{new}","id":<number>,"limitTo":"","ip":"","validUntil":null,"dateCreated":<millis>,"counter":0}}]}}"#
    );
    assert_eq!(revealed().len(), 2);
    let second = get(&world, &token, "?maxResults=1&startAt=1");
    assert_like(&second, 200, &expected);
    assert_eq!(tokens_in(&second), std::slice::from_ref(&new));
    let lines = revealed();
    assert_eq!(lines.len(), 3, "each token that was shown has its record: {lines:?}");
    assert!(lines.iter().all(|line| line.contains("|alice|") && !line.contains("tgt_")), "{lines:?}");
    let of_token = |id: &str| lines.iter().filter(|line| line.contains(&format!("|{id}|"))).count();
    assert_eq!(of_token(&token.id), 1);

    // Not to a sysadmin, and not to one who comes in alice's name (S6).
    let admin = world.admin_token();
    let others = [token.text.as_str(), new.as_str()];
    let all = get(&world, &admin, "");
    assert_eq!(all.json["total"], 3);
    assert!(!others.iter().any(|other| all.text.contains(other)), "{}", all.text);
    let on_behalf = world.get(GET).bearer(&admin).header("contextUser", b"alice").send();
    assert_eq!((&on_behalf.json["total"], tokens_in(&on_behalf)), (&json!(2), Vec::new()));
    assert_eq!(tokens_in(&get(&world, &token, "?startAt=2")), [""; 0]);
    assert_eq!(revealed().len(), 3, "where nothing is shown, nothing is noted: {:?}", revealed());
}

#[test]
fn attack_m3_a_list_in_secure_mode_shows_no_token_even_if_there_were_copies() {
    let (mut world, token) = world_in_standard_mode();
    assert!(get(&world, &token, "").text.contains(&token.text));
    assert!(world.stop_control_plane());
    world.site.secure_mode = true;
    world.start_control_plane();
    let listed = world.control_get(GET).bearer(&token).send();
    assert_eq!((listed.status.as_u16(), &listed.json["total"]), (200, &json!(1)), "{}", listed.text);
    assert!(listed.json["tokens"][0].get("token").is_none() && !listed.text.contains("tgt_"), "{}", listed.text);
}
