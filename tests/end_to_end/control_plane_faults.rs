//! A control plane that ends at every step of a change: what was answered is so, in the database and in every proxy.

use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use tests::{World, eventually_within};

const ISSUE: &str = "/rest/api/2/issue/JRA-1";

/// The steps of a change at which the control plane can be made to end, and whether the change is in the database then.
const STEPS: [(&str, bool); 4] =
    [("begun", false), ("before-commit", false), ("after-commit", true), ("published", true)];

#[test]
fn a_control_plane_that_ends_at_any_step_of_a_revocation_leaves_it_done_or_undone_everywhere() {
    let mut world = World::start_with_workers(4);
    let valid = world.token_for("alice");
    for (step, done) in STEPS {
        let token = world.token_for("alice");
        assert!(world.stop_control_plane());
        world.site.control_variables = vec![("TOKENGATE_FAULT", step.to_owned())];
        world.start_control_plane();
        let reply = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}", token.id)).send();
        assert_eq!(reply.status, 599, "no answer: {}", reply.text);
        assert!(world.control_plane_ends(), "it ends at {step}");
        assert_eq!(world.proxy.statuses(ISSUE, &valid), [200]);
        world.site.control_variables.clear();
        world.start_control_plane();
        let records =
            world.audit().iter().filter(|line| line.contains(&token.id) && line.contains("token.delete")).count();
        assert_eq!(records, usize::from(done), "row and record are one, at {step}");
        if done {
            eventually_within(Duration::from_secs(2), "it is refused everywhere", || {
                (world.proxy.statuses(ISSUE, &token) == [401]).then_some(())
            });
        } else {
            assert_eq!(world.proxy.statuses(ISSUE, &token), [200], "nobody was told that it is revoked, at {step}");
            let reply = world.as_admin(Method::DELETE, &format!("/api/v1/tokens/{}?wait=5s", token.id)).send();
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert_eq!(world.proxy.statuses(ISSUE, &token), [401]);
        }
        assert_eq!(world.proxy.statuses(ISSUE, &valid), [200]);
    }
}

#[test]
fn a_report_of_usage_counts_once_though_the_control_plane_ends_before_or_after_it_is_taken_in() {
    let mut world = World::start();
    let token = world.token_for("alice");
    std::thread::sleep(Duration::from_secs(2)); // the calls until now
    let uses = |world: &World| {
        let reply = world.as_admin(Method::GET, &format!("/api/v1/tokens/{}", token.id)).send();
        reply.json["usage_count"].as_u64().expect("a count")
    };
    let mut expected = uses(&world);
    for step in ["report-before-commit", "report-after-commit"] {
        assert!(world.stop_control_plane());
        world.site.control_variables = vec![("TOKENGATE_FAULT", step.to_owned())];
        world.start_control_plane();
        for _ in 0..10 {
            world.get(ISSUE).bearer(&token).send().assert_user(Some("alice"));
        }
        expected += 10;
        assert!(world.control_plane_ends(), "it ends at {step}");
        world.site.control_variables.clear();
        world.start_control_plane();
        eventually_within(Duration::from_secs(5), "all are counted", || (uses(&world) >= expected).then_some(()));
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(uses(&world), expected, "once, at {step}");
    }
    let whole =
        world.rows(&format!("select sum(calls) from calls where token = '{}' and outcome = 'admitted'", token.id));
    assert_eq!(whole, [expected.to_string()], "{}", json!(world.rows("select at, path from calls")));
}
