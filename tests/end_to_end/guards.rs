//! The filter must not be able to vanish (principle 4): tested by breaking it on purpose.

use std::fs;
use tests::World;

/// A filter whose configuration succeeds the first time, in the throw-away VM in which Envoy tries it, and fails in
/// every worker after that. Envoy then leaves it out of the chain.
pub(crate) const FAILS_IN_WORKERS: &str = r#"(module
  (import "env" "proxy_get_shared_data"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data"
    (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "seen")
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (local $first i32)
    (local.set $first
      (i32.ne (call $get (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 20) (i32.const 24)) (i32.const 0)))
    (drop (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 4) (i32.const 0)))
    (local.get $first))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32)))"#;

pub(crate) fn put_in_place_of_the_filter(world: &mut World, module: &str) {
    let file = world.site.logs.join("broken.wasm");
    fs::write(&file, wat::parse_str(module).expect("a module")).expect("a file");
    let filter = world.site.tools.filter.display().to_string();
    world.edit_config(&filter, &file.display().to_string());
}

pub(crate) fn assert_nothing_passes(world: &World) {
    for path in ["/", "/login", "/rest/api/2/issue/JRA-1"] {
        for call in [
            world.get(path),
            world.get(path).basic("alice", "wonderland"),
            world.get(path).header("x-tokengate-judged", b"backend"),
            world.get_http2(path).header("x-tokengate-judged", b"backend").header("x-forwarded-user", b"admin"),
        ] {
            let reply = call.send();
            assert!(matches!(reply.status.as_u16(), 403 | 503), "{path}: {} {}", reply.status, reply.text);
        }
        assert_eq!(world.received(path).len(), 0, "{path}");
    }
}

#[test]
fn principle_4_a_filter_that_fails_in_its_configuration_lets_nothing_through() {
    let mut world = World::prepare(2);
    put_in_place_of_the_filter(&mut world, FAILS_IN_WORKERS);
    world.start_control_plane();
    world.start_envoy();
    assert_nothing_passes(&world);
    let reply = world.get("/").send();
    assert_eq!(
        (reply.status.as_u16(), reply.text.as_str()),
        (403, "RBAC: access denied"),
        "it is the guard that refuses"
    );
}

#[test]
fn principle_4_without_the_second_guard_such_a_filter_would_let_everything_through() {
    // What the guard is for: should this ever fail, Envoy has mended it and the test above shows nothing any more.
    let mut world = World::prepare(2);
    put_in_place_of_the_filter(&mut world, FAILS_IN_WORKERS);
    world.edit_config("action: ALLOW", "action: LOG");
    world.start_envoy();
    world.get("/rest/api/2/issue/JRA-1").send().assert_user(None);
}

#[test]
fn principle_4_a_route_that_disables_the_filter_lets_nothing_through() {
    let mut world = World::prepare(2);
    world.edit_config(
        "              - match: { prefix: / }\n                route: { cluster: backend, timeout: 300s }\n",
        "              - match: { prefix: / }\n                route: { cluster: backend, timeout: 300s }\n                \
         typed_per_filter_config:\n                  tokengate:\n                    \
         \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                    disabled: true\n",
    );
    world.start_control_plane();
    world.start_envoy();
    assert_nothing_passes(&world);
}

#[test]
fn principle_4_a_filter_that_traps_lets_nothing_through_and_comes_back() {
    let mut world = World::prepare(2);
    let traps = FAILS_IN_WORKERS
        .replace("(local.get $first))\n  (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) (i32.const 0))",
                 "(i32.const 1))\n  (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) unreachable)");
    assert!(traps.contains("unreachable"));
    put_in_place_of_the_filter(&mut world, &traps);
    world.start_envoy();
    for _ in 0..5 {
        assert_nothing_passes(&world);
    }
    assert!(world.envoy_runs());
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_reason_and_envoy_does_not_start() {
    let mut world = World::prepare(1);
    world.edit_config(r#""protected_prefixes": ["/rest/"]"#, r#""protected_prefixes": []"#);
    let mut envoy = world.site.start_envoy(world.config()).expect("it is started");
    tests::eventually("Envoy gives up", || envoy.ended());
    let log = world.log("envoy");
    assert!(log.contains("protected_prefixes must not be empty"), "{log}");
}

#[test]
fn a_configuration_with_an_unknown_field_works_and_says_so() {
    let mut world = World::prepare(1);
    world.edit_config(r#""proxy_name": "envoy","#, r#""proxy_name": "envoy", "from_the_future": true,"#);
    world.start_both();
    assert!(world.log("envoy").contains(r#"unknown field in the plugin configuration, ignored: "from_the_future""#));
}
