//! M4: personal access tokens of Atlassian Data Center.

use super::{assert_like, large, world_with_facades};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tests::{World, eventually};

const TOKENS: &str = "/rest/pat/latest/tokens";

#[test]
fn m4_a_token_is_created_works_is_listed_and_deleted() {
    let (world, token) = world_with_facades();
    let body = json!({ "name": "tokenName", "expirationDuration": 90 });
    let created = world.request(Method::POST, TOKENS).bearer(&token).json(&body).send();
    let expected =
        r#"{"id":<number>,"name":"tokenName","createdAt":"<iso>","expiringAt":"<iso>","rawToken":"<token>"}"#;
    let [number, created_at, expiring_at, new] = assert_like(&created, 201, expected).try_into().expect("four");
    let day = |time: &str| time.parse::<jiff::Timestamp>().expect("a time").as_millisecond() / 86_400_000;
    assert_eq!(day(&expiring_at) - day(&created_at), 90);
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").basic("alice", &new).send().assert_user(Some("alice"));

    let listed = eventually("both were used", || {
        let listed = world.get(TOKENS).basic("alice", &new).send();
        (!listed.text.contains(r#""lastAccessedAt":null"#)).then_some(listed)
    });
    let expected = format!(
        r#"[{{"id":<number>,"name":"test","createdAt":"<iso>","lastAccessedAt":"<iso>","expiringAt":null}},{{"id":{number},"name":"tokenName","createdAt":"{created_at}","lastAccessedAt":"<iso>","expiringAt":"{expiring_at}"}}]"#
    );
    assert_like(&listed, 200, &expected);

    // Some scripts write a slash at the end.
    let slash = world.get(&format!("{TOKENS}/")).bearer(&token).send();
    assert_eq!((slash.status.as_u16(), &slash.json[1]["name"]), (200, &json!("tokenName")), "{}", slash.text);
    let deleted = world.request(Method::DELETE, &format!("{TOKENS}/{number}")).bearer(&token).send();
    assert_like(&deleted, 204, "");
    world.wait_until_told();
    world.get("/rest/api/2/issue/JRA-1").bearer(&new).send().assert_refused(401, "token_deleted");
    world.request(Method::DELETE, &format!("{TOKENS}/{number}")).bearer(&token).send().assert_refused(404, "not_found");
}

#[test]
fn attack_m4_a_list_of_100_000_tokens_takes_constant_memory() {
    const MANY: u32 = 100_000;
    let mut world = World::start_without_proxy();
    let settings = json!({ "facades": ["pat"] });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings").json(&settings).send().status, 200);
    assert!(world.stop_control_plane());
    world.add_unusable_tokens("admin", MANY);
    world.run_sql("update tokens set label = replace(hex(zeroblob(100)), '0', 'x') where label = 'unusable'");
    world.start_control_plane_within(Duration::from_secs(60));
    assert_eq!(world.as_admin(Method::GET, "/api/v1/tokens?limit=1000").send().status, 200);
    let memory = |figure: &str| world.control_plane().memory(figure) / 1024;
    let (before, peak_before) = (memory("VmRSS"), memory("VmHWM"));
    let list = large(&world, TOKENS);
    let peak = memory("VmHWM");
    println!("{} MiB; resident {before} KiB before; at most {peak_before} before, {peak} after", list.len() >> 20);
    let tokens: Vec<Value> = serde_json::from_str(&list).expect("an array");
    assert!(tokens.len() == MANY as usize + 1 && list.len() > 28 << 20, "{} {}", tokens.len(), list.len());
    assert!(peak < peak_before.max(before) + 20 * 1024, "less than was sent: {peak} KiB");
}
