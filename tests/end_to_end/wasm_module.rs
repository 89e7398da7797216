//! What the filter asks of its host.

use std::collections::BTreeSet;
use tests::stack::Tools;
use wasmparser::{Parser, Payload};

#[test]
fn the_module_imports_nothing_that_stops_a_host() {
    let bytes = std::fs::read(Tools::find().expect("the programs").filter).expect("the filter");
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("a module") {
            Payload::ImportSection(section) => {
                for import in section {
                    let import = import.expect("an import");
                    imports.insert(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|export| export.expect("an export").name.to_owned()));
            }
            _ => {}
        }
    }
    // The SDK's traits import all that their default methods could call, which both hosts link. Not so this one: NGINX
    // does not have it, and a module that imports it stops the worker.
    assert!(!imports.contains("env.proxy_get_log_level"), "{imports:?}");
    let modules: BTreeSet<_> = imports.iter().filter_map(|import| import.split('.').next()).collect();
    assert_eq!(modules, BTreeSet::from(["env", "wasi_snapshot_preview1"]));
    let wasi: Vec<_> = imports.iter().filter_map(|import| import.strip_prefix("wasi_snapshot_preview1.")).collect();
    let offered = ["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];
    assert!(wasi.iter().all(|name| offered.contains(name)), "{wasi:?}");
    // A verdict on a body with trailers will be given there: that callback must stay.
    for needed in ["proxy_abi_version_0_2_1", "proxy_on_request_headers", "proxy_on_request_trailers", "proxy_on_tick"]
    {
        assert!(exports.contains(needed), "{needed} is not exported");
    }
}
