//! Tokens that were taken over from elsewhere (M6). They have no form by which they could be recognised: only that the proxy
//! knows them keeps them from the backend, where they would be wrong passwords.

use reqwest::Method;
use serde_json::json;
use tests::{Token, World, basic, eventually};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// As other products make them, as people choose them, and one that is anything but a word.
const VALUES: [&str; 3] = ["oKSi1zHsS8H0wM8merxGJ5zY4BvlA0XV0F6", "token0987654321", "a:b/c+d==e:f/g=="];

#[test]
fn m6_u1_u2_an_imported_token_works_with_basic_and_bearer_as_before() {
    let world = World::start();
    world.create_user("alice");
    for value in VALUES {
        let token = world.import_token(value, "alice");
        for call in [
            world.get(ISSUE).basic("alice", value),
            world.get(ISSUE).basic("Alice@Example.org", value),
            world.get(ISSUE).bearer(value),
            world.get_http2(ISSUE).basic("ALICE", value),
        ] {
            let reply = call.send();
            reply.assert_user(Some("alice"));
            reply.assert_received("x-forwarded-user", Some("alice"));
            reply.assert_received("x-forwarded-email", Some("alice@example.org"));
            reply.assert_received("x-tokengate-token-id", Some(&token.id));
            reply.assert_received("authorization", None);
            assert!(!reply.text.contains(value), "the token reached the backend: {}", reply.text);
        }
        world.get(ISSUE).basic("bob", value).send().assert_refused(401, "wrong_user");
    }
    assert_eq!(world.failed_logins(), 0);
    assert_eq!(world.received(ISSUE).len(), 4 * VALUES.len(), "the wrong user's did not arrive");
}

/// Asserts that a token is refused with this code however it comes, and that nothing of that reaches the backend.
fn assert_kept_from_the_backend(world: &World, token: &Token, code: &str) {
    let arrived = (world.received(ISSUE).len(), world.failed_logins());
    for call in [
        world.get(ISSUE).basic("alice", token),
        world.get(ISSUE).basic("Alice@example.org", token),
        world.get(ISSUE).bearer(token),
        world.get_http2(ISSUE).basic("alice", token),
        world.request(Method::POST, ISSUE).basic("alice", token).json(&json!({ "body": "x" })),
    ] {
        call.send().assert_refused(401, code);
    }
    world.get(ISSUE).basic("bob", token).send().assert_refused(401, "wrong_user");
    assert_eq!((world.received(ISSUE).len(), world.failed_logins()), arrived, "something reached the backend");
}

#[test]
fn m6_u8_u10_a_revoked_imported_token_is_refused_and_not_offered_to_the_backend() {
    let mut world = World::start();
    world.create_user("alice");
    let tokens = VALUES.map(|value| world.import_token(value, "alice"));
    for token in &tokens {
        world.get(ISSUE).basic("alice", token).send().assert_user(Some("alice"));
        world.delete_token(token);
        world.wait_until_told();
        assert_kept_from_the_backend(&world, token, "token_deleted");
    }
    // Nor after a restart, when all is read anew.
    world.kill_envoy();
    assert!(world.stop_control_plane());
    world.start_both();
    for token in &tokens {
        assert_kept_from_the_backend(&world, token, "token_deleted");
    }
    // A password of the same user goes on as ever.
    world.get(ISSUE).basic("alice", "wonderland").send().assert_user(Some("alice"));
}

#[test]
fn attack_u8_an_imported_token_whose_owner_is_suspended_or_deleted_does_not_become_a_password() {
    let world = World::start();
    world.create_user("alice");
    let token = world.import_token("token0987654321", "alice");
    world.edit_user("alice", &json!({ "suspended": true }));
    world.wait_until_told();
    assert_kept_from_the_backend(&world, &token, "owner_suspended");
    let reply = world.as_admin(Method::DELETE, "/api/v1/users/alice").send();
    assert!(reply.status.is_success(), "{}", reply.text);
    world.wait_until_told();
    for call in [world.get(ISSUE).basic("alice", &token), world.get(ISSUE).bearer(&token)] {
        let reply = call.send();
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{}", reply.text);
    }
    assert_eq!((world.received(ISSUE).len(), world.failed_logins()), (0, 0));
}

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// Lets a token have been deleted so many seconds ago.
fn deleted_ago(world: &World, token: &Token, seconds: u64) {
    let at = format!("(cast(strftime('%s', 'now') as integer) - {seconds}) * 1000");
    world.rows(&format!("update tokens set deleted_at = {at} where public_id = '{}'", token.id));
}

#[test]
fn m6_u8_a_revoked_imported_token_is_refused_for_30_days_and_then_anybodys_password() {
    let mut world = World::start();
    world.create_user("alice");
    let [forgotten, remembered] = ["token0987654321", "qt3sumg4gd8r47n98tcnmuarnfufviog"].map(|value| {
        let token = world.import_token(value, "alice");
        world.delete_token(&token);
        token
    });
    world.kill_envoy(); // it would not hear of what is changed behind the control plane's back
    assert!(world.stop_control_plane());
    for token in [&forgotten, &remembered] {
        deleted_ago(&world, token, 29 * DAY_S + 23 * HOUR_S);
    }
    world.start_both();
    // What is pruned at the start is pruned by now: `remembered` outlives the same below.
    for token in [&forgotten, &remembered] {
        assert_kept_from_the_backend(&world, token, "token_deleted");
    }
    assert_eq!((world.received(ISSUE).len(), world.failed_logins()), (0, 0));

    deleted_ago(&world, &forgotten, 30 * DAY_S + 1);
    world.set(&json!({ "prune_expired_days": 88 })); // which prunes at once
    eventually("the token is forgotten", || {
        (world.get(ISSUE).bearer(&forgotten).send().json["code"] != "token_deleted").then_some(())
    });
    world.wait_until_told();
    let arrived = world.received(ISSUE).len();
    let reply = world.get(ISSUE).basic("alice", &forgotten).send();
    assert_eq!(reply.headers["www-authenticate"], "Basic realm=\"demo backend\"", "the backend's own: {}", reply.text);
    let received = world.received(ISSUE);
    assert_eq!((received.len(), world.failed_logins()), (arrived + 1, 1));
    assert_eq!(received[arrived]["headers"]["authorization"], basic("alice", &forgotten.text), "as any password");
    world.get(ISSUE).bearer(&forgotten).send().assert_received("authorization", Some("Bearer token0987654321"));
    assert_kept_from_the_backend(&world, &remembered, "token_deleted");
    assert_eq!(world.rows("select public_id from tokens where imported"), [remembered.id.as_str()]);
}
