//! Edits: made from the version that was read (`ETag`, `If-Match`), and within what a creation may be (S1, S8).

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Reply, World};

/// A control plane alone, in which tokens can be edited.
fn standard_mode() -> World {
    let mut world = World::prepare(1);
    world.site.secure_mode = false;
    world.start_control_plane();
    world.create_user("alice");
    world
}

fn etag(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.headers["etag"].to_str().expect("a text").to_owned()
}

#[test]
fn an_edit_from_another_version_than_the_present_one_is_refused_and_changes_nothing() {
    let world = standard_mode();
    let token = world.new_token(&json!({ "label": "first", "owner": "alice" }));
    for (path, field, values) in [
        ("/api/v1/users/alice".to_owned(), "email", [json!("a@example.org"), json!("b@example.org")]),
        (format!("/api/v1/tokens/{}", token.id), "label", [json!("second"), json!("third")]),
        ("/api/v1/settings".to_owned(), "body_limit", [json!(2048), json!(4096)]),
    ] {
        let read = || world.as_admin(Method::GET, &path).send();
        let edit = |version: &str, value: &Value| {
            let call = world.as_admin(Method::PATCH, &path).header("if-match", version.as_bytes());
            call.json(&json!({ field: value })).send()
        };
        let first = etag(&read());
        let edited = edit(&first, &values[0]);
        let second = etag(&edited);
        assert_eq!(edited.json[field], values[0], "{}", edited.text);
        assert_ne!(first, second, "{path}");
        assert_eq!(etag(&read()), second, "{path}: who reads and who edits is told of the same version");
        edit(&first, &values[1]).assert_refused(412, "precondition_failed");
        assert_eq!(read().json[field], values[0], "{path}: nothing was changed");
        let third = etag(&edit(&format!("{first}, {second}"), &values[1]));
        assert!(![first, second].contains(&third), "{path}");
        assert_eq!(etag(&edit("*", &values[0])), etag(&read()), "{path}: any version");
    }
}

#[test]
fn s1_s8_a_token_is_edited_and_rotated_within_what_a_new_one_may_be() {
    let world = standard_mode();
    let limits = json!({ "max_validity": "90d", "max_tokens_per_user": 1 });
    assert_eq!(world.as_admin(Method::PATCH, "/api/v1/settings").json(&limits).send().status, 200);
    let token = world.new_token(&json!({ "label": "expired", "owner": "alice" }));
    world.rows(&format!("update tokens set expires_at = created_at where public_id = '{}'", token.id));
    let another = world.new_token(&json!({ "label": "another", "owner": "alice" }));
    let path = format!("/api/v1/tokens/{}", token.id);
    let edit = |body: Value| world.as_admin(Method::PATCH, &path).json(&body).send();
    let end = tests::in_seconds(91 * 86_400);
    for longer in [json!({ "validity": "6m" }), json!({ "validity": "never" }), json!({ "expires_at": end })] {
        edit(longer.clone()).assert_refused(400, "validity_too_long");
        let rotate = world.as_admin(Method::POST, &format!("{path}/rotate")).json(&longer);
        rotate.send().assert_refused(400, "validity_too_long");
    }
    // It did not count as long as it had expired.
    edit(json!({ "validity": "30d" })).assert_refused(409, "too_many_tokens");
    assert_eq!(edit(json!({ "label": "still expired" })).status, 200);
    world.delete_token(&another);
    assert_eq!(edit(json!({ "validity": "30d" })).status, 200);
}
