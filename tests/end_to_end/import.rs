//! Tokens that work elsewhere are taken over from a file (M6): scripts go on working, what cannot be is named by its line,
//! and it is all of them or none.

mod attacks;
mod many;

use crate::commands::{done, fails, said, tokengate};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::{Reply, World, in_seconds};

const IMPORT: &str = "/api/v1/import/tokens";
const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// Sends a file as the first sysadmin, with this query.
fn import(world: &World, query: &str, media_type: &str, file: &str) -> Reply {
    world.as_admin(Method::POST, &format!("{IMPORT}{query}")).body(media_type, file).send()
}

fn import_csv(world: &World, query: &str, file: &str) -> Reply {
    import(world, query, "text/csv", file)
}

/// How many tokens there are, all changes counted, and how many records there are.
fn state(world: &World) -> Vec<String> {
    world.rows("select (select count(*) from tokens), (select revision from feed_head), (select count(*) from audit)")
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A world with alice and bob in it.
fn with_users() -> World {
    let world = World::start_without_proxy();
    world.create_user("alice");
    world.create_user("bob");
    world
}

#[test]
fn m6_given_a_file_of_tokens_from_elsewhere_when_it_is_imported_then_scripts_work_as_before() {
    let world = World::start();
    world.create_user("alice");
    world.create_user("bob");
    world.set(&json!({ "unbound_tokens": true }));
    let later = in_seconds(3600);
    let table = format!(
        "token,sha256,label,owner,unbound,scope,ip_ranges,restrictions,valid_from,expires_at,validity\r\n\
         token0987654321,,of ansible,alice,,,,,,,\r\n\
         ,{},\"by its hash, alone\",BOB@example.org,,,,,,,\r\n\
         phn7gd4v6qg24fvhfp6qpgjlkup01g0l,,for whoever,,true,,,,,,90d\r\n\
         reads-alone-and-only-here,,,alice,,,,,,,\r\n",
        sha256("qt3sumg4gd8r47n98tcnmuarnfufviog")
    );
    let reply = import_csv(&world, "", &table);
    reply.assert_refused(400, "invalid_tokens"); // a label is needed
    assert_eq!(reply.json["errors"][0]["pointer"], "#/5/label", "{}", reply.text);
    let lines = table.replace(
        "reads-alone-and-only-here,,,alice,,,,,,,",
        "reads-alone-and-only-here,,reading,alice,,read_only,\"127.0.0.1, ::1\",,,,\r\n\
         from-another-network-alone,,far,alice,,,10.0.0.0/8,,,,\r\n\
         restricted-to-some-issues,,lines,alice,,,,[get].*/issue/JRA.*\\n[post].*/comment<br>/rest/x,,,\r\n\
         begins-in-an-hour-from-now,,later,alice,,,,,LATER,,",
    );
    let reply = import_csv(&world, "?keep_going=false", &lines.replace("LATER", &later));
    assert_eq!((reply.status.as_u16(), &reply.json["created"]), (200, &json!(7)), "{}", reply.text);
    let json_lines = [
        json!({ "token": "as-a-line-of-json-0815", "label": "json", "owner": "bob", "restrictions": [".*/issue/JRA.*"],
                "ip_ranges": ["127.0.0.0/8"], "unbound": false, "validity": "1y" }),
        json!({ "sha256": sha256("and-another-by-its-hash").to_uppercase(), "label": "hash", "owner": "alice",
                "scope": "full", "expires_at": later, "token": null }),
    ];
    let json_lines = json_lines.map(|line| line.to_string()).join("\n");
    let reply = import(&world, "", "application/x-ndjson; charset=UTF-8", &json_lines);
    assert_eq!((reply.status.as_u16(), &reply.json["created"]), (200, &json!(2)), "{}", reply.text);
    world.wait_until_told();

    for (token, owner) in [
        ("token0987654321", "alice"),
        ("qt3sumg4gd8r47n98tcnmuarnfufviog", "bob"),
        ("reads-alone-and-only-here", "alice"),
        ("restricted-to-some-issues", "alice"),
        ("as-a-line-of-json-0815", "bob"),
        ("and-another-by-its-hash", "alice"),
    ] {
        world.get(ISSUE).basic(owner, token).send().assert_user(Some(owner));
        world.get(ISSUE).basic(&format!("{owner}@EXAMPLE.org"), token).send().assert_user(Some(owner));
        world.get(ISSUE).bearer(token).send().assert_user(Some(owner));
    }
    world.get(ISSUE).basic("bob", "phn7gd4v6qg24fvhfp6qpgjlkup01g0l").send().assert_user(Some("bob"));
    let post = |token: &str, path: &str| world.request(Method::POST, path).bearer(token).send();
    post("reads-alone-and-only-here", ISSUE).assert_refused(403, "read_only");
    post("restricted-to-some-issues", ISSUE).assert_refused(403, "restricted");
    post("restricted-to-some-issues", "/rest/api/2/issue/JRA-1/comment").assert_user(Some("alice"));
    post("restricted-to-some-issues", "/rest/x").assert_user(Some("alice"));
    world.get(ISSUE).bearer("from-another-network-alone").send().assert_refused(403, "ip_not_allowed");
    world.get(ISSUE).bearer("begins-in-an-hour-from-now").send().assert_refused(401, "token_not_yet_valid");
    world.get(ISSUE).basic("bob", "token0987654321").send().assert_refused(401, "wrong_user");
    assert_eq!(world.failed_logins(), 0, "none was offered to the backend as a password");
    let list = world.as_admin(Method::GET, "/api/v1/tokens?owner=bob").send();
    assert_eq!(
        (&list.json["items"][0]["label"], &list.json["items"][0]["imported"]),
        (&json!("by its hash, alone"), &json!(true))
    );
}

#[test]
fn m6_given_one_bad_line_when_all_or_nothing_is_wanted_then_nothing_is_changed_and_every_bad_line_is_named() {
    let world = with_users();
    let before = state(&world);
    let file = "token,label,owner\n\
                good-token-number-1,one,alice\n\
                good-token-number-2,two,nobody\n\
                \n\
                good-token-number-3,\"three\nlines\nlong\",alice\n\
                short,four,bob\n\
                good-token-number-1,five,bob\n";
    for query in ["", "?dry_run=true"] {
        let reply = import_csv(&world, query, file);
        reply.assert_refused(400, "invalid_tokens");
        let named: Vec<_> = reply.json["errors"].as_array().expect("errors").iter().map(|e| &e["pointer"]).collect();
        assert_eq!(named, ["#/3/owner", "#/5/label", "#/8/token", "#/9"], "{}", reply.text);
        assert_eq!(reply.json["detail"], "4 lines cannot be taken over, so none was.");
        assert_eq!(reply.json["errors"][3]["detail"], "is the same token as line 2.");
    }
    assert_eq!(state(&world), before);
    // The same, as far as it can be.
    let reply = import_csv(&world, "?keep_going=true&dry_run=true", file);
    assert_eq!((&reply.json["created"], &reply.json["refused"]), (&json!(1), &json!(4)), "{}", reply.text);
    assert_eq!(state(&world), before);
    let reply = import_csv(&world, "?keep_going=true", file);
    assert_eq!((&reply.json["created"], &reply.json["refused"]), (&json!(1), &json!(4)), "{}", reply.text);
    assert_eq!(reply.json["errors"].as_array().map(Vec::len), Some(4));
    assert_eq!(world.rows("select label from tokens where imported"), ["one"]);
}

#[test]
fn m6_given_lines_of_every_kind_that_cannot_be_when_they_are_imported_then_each_is_named_with_its_reason() {
    let world = with_users();
    world.create_user("eve");
    world.edit_user("eve", &json!({ "suspended": true }));
    let there = import_csv(&world, "", "token,label,owner\nthere-already-0815,x,alice\n");
    assert_eq!(there.json["created"], 1, "{}", there.text);
    let deleted = world.new_token(&json!({ "label": "deleted", "owner": "alice" }));
    world.delete_token(&deleted);
    let of_deleted = sha256(&deleted.text);
    let good = json!({ "token": "a-token-of-some-length", "label": "x", "owner": "alice" });
    let count = std::cell::Cell::new(0);
    let with = |changes: Value| {
        let mut line = good.clone();
        count.set(count.get() + 1);
        line["token"] = json!(format!("a-token-of-some-length-{}", count.get()));
        for (name, value) in changes.as_object().expect("fields") {
            line[name] = value.clone();
        }
        line
    };
    let lines = [
        (with(json!({ "token": null })), "", "has neither a token nor a sha256"),
        (with(json!({ "sha256": "00" })), "", "has both"),
        (with(json!({ "token": "elevenchars" })), "token", "12 to 512 characters"),
        (with(json!({ "token": "with a space in it" })), "token", "printable ASCII"),
        (with(json!({ "token": "x".repeat(513) })), "token", "12 to 512 characters"),
        (with(json!({ "token": deleted.text })), "token", "Tokengate's own"),
        (with(json!({ "token": null, "sha256": "xyz" })), "sha256", "64 hexadecimal digits"),
        (with(json!({ "token": null, "sha256": of_deleted })), "", "was deleted here"),
        (with(json!({ "token": "there-already-0815" })), "", "there is already"),
        (with(json!({ "label": "" })), "label", "1 to 200"),
        (with(json!({ "label": "tgt_1FPc9b5c5QdpH4zZv03tchG8AluSK9wTi3GMj7K" })), "label", "must not hold a token"),
        (with(json!({ "owner": "" })), "owner", "is missing"),
        (with(json!({ "owner": "mallory" })), "owner", "is nobody's name"),
        (with(json!({ "owner": "eve" })), "owner", "is suspended"),
        (with(json!({ "unbound": true })), "owner", "is to be unbound"),
        (with(json!({ "owner": null, "unbound": true })), "unbound", "unbound_tokens is off"),
        (with(json!({ "unbound": "yes" })), "unbound", "true or false"),
        (with(json!({ "expires_at": "tomorrow" })), "expires_at", "must be a time"),
        (with(json!({ "expires_at": "2020-01-01T00:00:00Z" })), "expires_at", "in the future"),
        (with(json!({ "valid_from": in_seconds(99), "expires_at": in_seconds(98) })), "expires_at", "after valid_from"),
        (with(json!({ "validity": "3w" })), "validity", "must be one of"),
        (with(json!({ "validity": "1y", "expires_at": in_seconds(98) })), "validity", "exclude each other"),
        (with(json!({ "scope": "write" })), "scope", "full or read_only"),
        (with(json!({ "ip_ranges": "10.0.0.1, 10.0.0.7/8" })), "ip_ranges", "2 has bits beyond its prefix"),
        (with(json!({ "ip_ranges": vec!["10.0.0.1"; 51] })), "ip_ranges", "at most 50"),
        (with(json!({ "restrictions": "[get].*\\n/rest/(" })), "restrictions", "line 2, column 7"),
        (with(json!({ "mail": "x" })), "", "there is not: \"mail\""),
        (with(json!({ "label": ["x"] })), "label", "must be a text"),
        (with(json!({ "label": 7 })), "", "a field must be a text"),
        (json!([1]), "", "must be a JSON object"),
    ];
    let before = state(&world);
    let file = lines.iter().map(|(line, _, _)| line.to_string()).collect::<Vec<_>>().join("\n");
    let reply = import(&world, "", "application/x-ndjson", &file);
    reply.assert_refused(400, "invalid_tokens");
    let errors = reply.json["errors"].as_array().expect("errors");
    for (number, (line, field, reason)) in lines.iter().enumerate() {
        let pointer = format!("#/{}/{field}", number + 1);
        let error = errors.iter().find(|error| error["pointer"] == pointer.trim_end_matches('/'));
        let error = error.unwrap_or_else(|| panic!("{pointer} is not named for {line}: {}", reply.text));
        assert!(error["detail"].as_str().expect("a sentence").contains(reason), "{line}: {error}");
    }
    assert_eq!(errors.len(), lines.len(), "{}", reply.text);
    let restrictions = errors.iter().find(|error| error["pointer"] == "#/26/restrictions").expect("it");
    assert_eq!((&restrictions["line"], &restrictions["column"]), (&json!(2), &json!(7)), "{restrictions}");
    assert_eq!(state(&world), before);
    assert_eq!(import(&world, "", "application/x-ndjson", &good.to_string()).json["created"], 1);
}

#[test]
fn m6_s1_s8_given_limits_on_validity_and_number_when_tokens_are_imported_then_they_hold() {
    let world = with_users();
    let settings = json!({ "max_validity": "90d", "max_tokens_per_user": 2 });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings").json(&settings).send().status, 200);
    let far = in_seconds(91 * 24 * 3600);
    let file = format!("token,label,owner,expires_at\nfar-away-token-1,x,alice,{far}\nno-end-named-token,y,alice,\n");
    let reply = import_csv(&world, "?keep_going=true", &file);
    assert_eq!((&reply.json["created"], &reply.json["refused"]), (&json!(1), &json!(1)), "{}", reply.text);
    let told = reply.json["errors"][0]["detail"].as_str().expect("a sentence");
    let latest = in_seconds(90 * 24 * 3600);
    assert!(told.contains(&latest[..10]) && told.contains("or before"), "the latest date allowed: {told}");
    let listed = world.as_admin(Method::GET, "/api/v1/tokens?owner=alice").send();
    assert!(listed.json["items"][0]["expires_at"].as_str().is_some_and(|end| end[..10] == latest[..10]));
    // One more, and no other; and the next file knows of it.
    let file = "token,label,owner\nsecond-of-alice,x,alice\nthird-of-alice-0,y,alice\nfirst-of-bob-000,z,bob\n";
    let reply = import_csv(&world, "", file);
    reply.assert_refused(400, "invalid_tokens");
    assert_eq!(reply.json["errors"][0]["pointer"], "#/3/owner", "{}", reply.text);
    assert_eq!(import_csv(&world, "?keep_going=true", file).json["created"], 2);
    let reply = import_csv(&world, "", "token,label,owner\nthird-of-alice-0,x,alice\n");
    assert!(reply.text.contains("as many tokens as are allowed"), "{}", reply.text);
}

#[test]
fn m6_s7_given_standard_mode_when_a_token_came_by_its_value_then_its_owner_and_nobody_else_sees_it_again() {
    for secure in [false, true] {
        let mut world = World::prepare(1);
        world.site.secure_mode = secure;
        world.start_control_plane();
        world.create_user("alice");
        let by_hash = sha256("known-by-its-hash-alone");
        let file = format!("token,sha256,label,owner\nknown-by-its-value,,value,alice\n,{by_hash},hash,alice\n");
        assert_eq!(import_csv(&world, "", &file).json["created"], 2);
        let ids = world.rows("select public_id from tokens where imported order by label desc");
        let secret = |id: &str| format!("/api/v1/tokens/{id}/secret");
        let by_owner = |id: &str| world.control_get(&secret(id)).bearer("known-by-its-value").send();
        if secure {
            by_owner(&ids[0]).assert_refused(403, "secure_mode");
            assert_eq!(world.rows("select count(*) from tokens where recoverable is not null"), ["0"]);
            continue;
        }
        assert_eq!(by_owner(&ids[0]).json["token"], "known-by-its-value");
        by_owner(&ids[1]).assert_refused(404, "not_recoverable");
        world.as_admin(Method::GET, &secret(&ids[0])).send().assert_refused(404, "not_found");
    }
}

#[test]
fn m6_given_the_command_when_a_file_is_imported_then_what_came_of_it_is_told_line_by_line() {
    let world = with_users();
    let file = world.site.logs.join("tokens.csv");
    let path = file.display().to_string();
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    let live = || world.rows("select count(*) from tokens where imported")[0].clone();
    write("token,label,owner\ntoken0987654321,backup,alice\nqt3sumg4gd8r47n98tcn,board,bob@example.org\n");
    assert_eq!(done(&world, &["token", "import", &path, "--dry-run"]), "2 tokens to take over; nothing was changed\n");
    assert_eq!(live(), "0");
    assert_eq!(done(&world, &["token", "import", &path]), "2 tokens taken over\n");
    fails(&world, &["token", "import", &path], 1, "line 2: is a token that there is already.");

    write("token,label,owner\none-more-token-0815,x,alice\nshort,y,alice\nanother-token-0815,z,bobby\n");
    let output = tokengate(&world, &["token", "import", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let lines = [
        "2 lines cannot be taken over",
        "line 3: token must have 12 to 512 characters.",
        "line 4: owner is nobody's name",
    ];
    assert!(lines.iter().all(|line| said(&output).contains(line)), "{}", said(&output));
    assert_eq!(live(), "2");
    let output = tokengate(&world, &["token", "import", &path, "--keep-going", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &told["created"], &told["refused"]), (Some(1), &json!(1), &json!(2)));
    assert_eq!(live(), "3");

    let lines = world.site.logs.join("tokens");
    std::fs::write(&lines, "{\"token\":\"of-json-lines-0815\",\"label\":\"x\",\"owner\":\"bob\"}\n").expect("a file");
    fails(&world, &["token", "import", &lines.display().to_string()], 2, "--format");
    done(&world, &["token", "import", &lines.display().to_string(), "--format", "jsonl"]);
    fails(&world, &["token", "import", "nowhere.csv"], 1, "nowhere.csv");
    write("token,label,mail\nshown-to-nobody-0815,x,y\n");
    fails(&world, &["token", "import", &path], 1, "there is not: \"mail\"");
    write("");
    fails(&world, &["token", "import", &path], 1, "nothing in the file");
    // A file of secrets goes to nobody who merely answers.
    let backend = format!("http://127.0.0.1:{}", world.site.ports.backend);
    fails(&world, &["token", "import", &path, "--url", &backend], 1, "no answer of Tokengate's");
    assert!(world.received(IMPORT).is_empty());
    let help = done(&world, &["token", "import", "--help"]);
    assert!(help.contains("token,label,owner,expires_at,restrictions"), "{help}");
}
