//! What one request may cost a worker that serves everyone (L11), through real Envoy.

use super::commands::tokengate;
use reqwest::Method;
use serde_json::json;
use std::thread;
use tests::{Reply, Token, World, eventually};

fn with_alice(workers: u32) -> World {
    let world = World::start_with_workers(workers);
    world.create_user("alice");
    world
}

fn restricted(world: &World, lines: &[&str]) -> Token {
    let token = world.new_token(&json!({ "label": "x", "owner": "alice", "restrictions": lines }));
    world.wait_until_told();
    token
}

fn get(world: &World, token: &Token, target: &str) -> Reply {
    world.get(target).bearer(token).send()
}

/// A line that takes more than half of what a judgement may take, if the path is as long as it may be; and next to nothing
/// if the path begins otherwise.
fn dear(begin: &str) -> String {
    format!(r"{begin}{}\b", "z".repeat(230))
}

fn long_path(begin: &str) -> String {
    format!("{begin}{}", "x".repeat(2_048 - begin.len()))
}

#[test]
fn attack_l11_lines_that_were_made_to_keep_a_worker_busy_are_judged_like_others() {
    let world = with_alice(1);
    let lines: Vec<String> = (0..=10).map(|line| format!("/rest/(?:.?){{1000}}x{line}")).collect();
    let token = restricted(&world, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let path = format!("/rest/{}", "a".repeat(900));
    get(&world, &token, &path).assert_refused(403, "restricted");
    get(&world, &token, &format!("{path}x10")).assert_user(Some("alice"));
    get(&world, &token, &format!("{path}x11")).assert_refused(403, "restricted");
}

#[test]
fn l11_restrictions_that_a_proxy_cannot_afford_are_refused_wherever_they_are_saved() {
    let mut world = with_alice(1);
    let (one, two) = (dear("/rest/a"), dear("/rest/b"));
    let token = restricted(&world, &[&one]);
    let lines = json!(["/rest/ok", one, two]);
    let assert_told = |reply: &Reply, pointer: &str| {
        reply.assert_refused(400, "restrictions_too_costly");
        let error = &reply.json["errors"][0];
        assert_eq!((&error["line"], &error["pointer"]), (&json!(3), &json!(pointer)), "{}", reply.text);
        let detail = error["detail"].as_str().expect("a sentence");
        assert!(detail.contains("2500000 are allowed") && detail.contains("an escape such as"), "{detail}");
    };
    let create = json!({ "label": "x", "owner": "alice", "restrictions": lines });
    assert_told(&world.as_admin(Method::POST, "/api/v1/tokens").json(&create).send(), "#/restrictions");
    let set = json!({ "label": "x", "userName": "alice", "limitTo": format!("/rest/ok\n{one}<br>{two}") });
    assert_told(&world.as_admin(Method::POST, "/rest/extender/1.0/tokenTools/set").json(&set).send(), "#/limitTo");
    let try_it = format!("/api/v1/tokens/{}/try", token.id);
    let tried = world.as_admin(Method::POST, &try_it).json(&json!({ "restrictions": lines })).send();
    assert_told(&tried, "#/restrictions");
    let rows = json!({ "token": "imported-0123456789abcdef", "label": "x", "owner": "alice", "restrictions": lines });
    let import = world.as_admin(Method::POST, "/api/v1/import/tokens");
    let reply = import.body("application/x-ndjson", &format!("{rows}\n")).send();
    reply.assert_refused(400, "invalid_tokens");
    let detail = reply.json["errors"][0]["detail"].as_str().expect("a sentence");
    assert!(detail.contains("would take a proxy too long") && detail.contains("line 3"), "{}", reply.text);
    let arguments = ["token", "create", "--label=x", "--owner=alice"];
    let said = tokengate(&world, &[&arguments[..], &["--restriction", &one, "--restriction", &two]].concat());
    let text = super::commands::said(&said);
    assert!(!said.status.success() && text.contains("take a proxy too long") && text.contains("line 2"), "{text}");
    let listed = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send().json;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "nothing was saved");

    // The cost of a set is that of its costliest method.
    restricted(&world, &[&format!("[get]{one}"), &format!("[put]{two}")]);
    assert!(world.stop_control_plane());
    world.site.secure_mode = false;
    world.start_control_plane();
    let edited = world.as_admin(Method::PATCH, &format!("/api/v1/tokens/{}", token.id));
    assert_told(&edited.json(&json!({ "restrictions": lines })).send(), "#/restrictions");
}

#[test]
fn l11_a_set_from_before_is_judged_as_far_as_a_judgement_goes_and_named() {
    let mut world = with_alice(1);
    let token = restricted(&world, &["/rest/old"]);
    assert!(world.stop_control_plane());
    let lines = ["/rest/first.*".into(), dear("/rest/z"), dear("/rest/z"), "/rest/last.*".into()].join("\n");
    world.run_sql(&format!("UPDATE tokens SET restrictions = '{lines}' WHERE public_id = '{}'", token.id));
    // As after an update of the program: everyone gets everything.
    world.run_sql("UPDATE feed_head SET epoch = epoch + 1");
    world.start_control_plane();
    eventually("the proxy has the set", || (get(&world, &token, "/rest/first").status == 200).then_some(()));
    get(&world, &token, "/rest/last").assert_user(Some("alice"));
    get(&world, &token, &long_path("/rest/first")).assert_user(Some("alice"));
    // On a long path the lines between take all that there is.
    get(&world, &token, &long_path("/rest/last")).assert_refused(403, "restricted");

    let url = long_path("/rest/last");
    let asked = json!({ "id": token.id, "method": "GET", "url": url });
    let explained = world.as_admin(Method::POST, "/api/v1/explain").json(&asked).send();
    let outcomes: Vec<&str> = explained.json["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| line["outcome"].as_str().expect("an outcome"))
        .collect();
    assert_eq!(outcomes, ["fails", "fails", "too_costly", "too_costly"], "{}", explained.text);
    let notes = explained.json["notes"].to_string();
    assert!(notes.contains("too_many_requests"), "{notes}");

    let doctor = tokengate(&world, &["doctor", "--data", &world.site.data.display().to_string()]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains("restrictions: take a proxy too long") && said.contains(&token.id), "{said}");

    // It goes on by rotation, and no other token gets it.
    let copy = json!({ "label": "y", "owner": "alice", "copy_of": token.id });
    let refused = world.as_admin(Method::POST, "/api/v1/tokens").json(&copy).send();
    refused.assert_refused(400, "restrictions_too_costly");
    let rotated = world.as_admin(Method::POST, &format!("/api/v1/tokens/{}/rotate", token.id)).json(&json!({})).send();
    assert_eq!(rotated.status, 201, "{}", rotated.text);
}

#[test]
fn l11_a_path_or_a_query_beyond_2_kb_is_not_judged_and_long_jql_under_a_line_for_the_path_passes() {
    let world = with_alice(1);
    let token = restricted(&world, &["/rest/search.*", "/rest/filter[QueryParam::permissions==true]"]);
    let jql = format!("/rest/search?jql={}", "project+%3D+JRA+AND+".repeat(500));
    get(&world, &token, &jql).assert_user(Some("alice"));
    get(&world, &token, &format!("{}?x=y", long_path("/rest/search"))).assert_user(Some("alice"));
    get(&world, &token, &format!("{}x", long_path("/rest/search"))).assert_refused(400, "too_long_to_judge");
    let filter = |length: usize| format!("/rest/filter?permissions=true&x={}", "y".repeat(length - 19));
    get(&world, &token, &filter(2_048)).assert_user(Some("alice"));
    get(&world, &token, &filter(2_049)).assert_refused(400, "too_long_to_judge");
    assert_eq!(world.counted("requests_total.verdict.refused.code.too_long_to_judge"), 2);
    let unrestricted = world.new_token(&json!({ "label": "x", "owner": "alice" }));
    world.wait_until_told();
    get(&world, &unrestricted, &format!("{}x", long_path("/rest/search"))).assert_user(Some("alice"));
}

#[test]
fn attack_l11_a_path_of_55_kb_is_refused_if_it_must_be_read_in_more_than_one_way() {
    let world = with_alice(1);
    for unit in ["a%20/", "a;b/", "a%2525/", "%c3%a9/"] {
        let path = format!("/open/{}", unit.repeat(50_000 / unit.len()));
        world.get(&path).send().assert_refused(400, "ambiguous_path");
    }
    world.get(&format!("/open/{}", "abcdefg/".repeat(6_000))).send().assert_user(None);
    world.get(&format!("/open/{}", "%c3%a9/".repeat(1_000))).send().assert_user(None);
}

#[test]
fn attack_l11_a_body_of_very_many_fields() {
    let world = with_alice(1);
    let token = restricted(&world, &["/rest/filter[JsonData::editable==false]"]);
    let body = |fields: usize| {
        let fields: Vec<String> = (0..fields).map(|field| format!("\"f{field}\":1")).collect();
        format!("{{{},\"editable\":false}}", fields.join(","))
    };
    let put =
        |body: &str| world.request(Method::PUT, "/rest/filter").bearer(&token).body("application/json", body).send();
    put(&body(10_000)).assert_user(Some("alice"));
    put(&body(90_000)).assert_refused(403, "body_unreadable");
    // Beside the way to a named field, nothing is remembered.
    put(&format!("{{\"x\":{},\"x\":1,\"editable\":false}}", body(70_000))).assert_user(Some("alice"));
}

#[test]
fn attack_l11_a_token_that_takes_more_than_its_share_of_a_worker_is_told_to_come_again() {
    let world = with_alice(1);
    let (busy, other) = (restricted(&world, &[&dear("/rest/z")]), restricted(&world, &[&dear("/rest/z")]));
    let ordinary = restricted(&world, &[".*/rest/api/2/issue/JRA-[0-9]+(/.*)?"]);
    let path = long_path("/rest/a");
    // Many at once: on a slow machine, one after the other would pay off what the last one cost.
    let flood = || {
        let replies: Vec<Reply> = thread::scope(|scope| {
            let senders: Vec<_> = (0..32).map(|_| scope.spawn(|| get(&world, &busy, &path))).collect();
            senders.into_iter().map(|sender| sender.join().expect("a reply")).collect()
        });
        replies.into_iter().find(|reply| reply.status == 429)
    };
    let refused = eventually("its share is used up", flood);
    refused.assert_refused(429, "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "2");
    // gRPC's code for it is RESOURCE_EXHAUSTED.
    eventually("gRPC is told, too", || {
        flood();
        let call = world.request(Method::POST, &path).bearer(&busy).header("content-type", b"application/grpc");
        call.send().headers.get("grpc-status").is_some_and(|status| status == "8").then_some(())
    });
    // Another token of the same lines has its own share, and ordinary lines are not counted.
    get(&world, &other, &path).assert_refused(403, "restricted");
    for _ in 0..200 {
        get(&world, &ordinary, &path).assert_refused(403, "restricted");
    }
    assert!(world.counted("requests_total.verdict.refused.code.too_many_requests") >= 2);
    // It has a share again by itself.
    eventually("it is judged again", || (get(&world, &busy, &path).status == 403).then_some(()));
    eventually("the audit has it", || {
        let calls = world.as_admin(Method::GET, "/api/v1/audit/calls?limit=1000").send();
        calls.text.contains("too_many_requests").then_some(())
    });
}
