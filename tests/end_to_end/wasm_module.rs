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

/// Instructions that a function of the probe takes, by a host that counts them, and what it answers.
fn fuel(module: &wasmi::Module, engine: &wasmi::Engine, function: &str, arguments: (u32, u32)) -> (u64, u32) {
    const TANK: u64 = 100_000_000_000;
    let mut store = wasmi::Store::new(engine, ());
    store.set_fuel(TANK).expect("fuel is counted");
    let instance = wasmi::Linker::new(engine).instantiate_and_start(&mut store, module).expect("an instance");
    let function = instance.get_typed_func::<(u32, u32), u32>(&store, function).expect("an export");
    let answer = function.call(&mut store, arguments).expect("it ends");
    (TANK - store.get_fuel().expect("fuel is counted"), answer)
}

/// The probe, in an engine that counts.
fn probe() -> (wasmi::Module, wasmi::Engine) {
    let mut config = wasmi::Config::default();
    config.consume_fuel(true);
    // Otherwise the first call of each function pays for its translation.
    config.compilation_mode(wasmi::CompilationMode::Eager);
    let engine = wasmi::Engine::new(&config);
    let bytes = std::fs::read(Tools::find().expect("the programs").probe).expect("the probe");
    (wasmi::Module::new(&engine, bytes).expect("a module"), engine)
}

#[test]
fn l8_what_a_regex_costs_grows_with_the_length_of_its_input_and_not_faster() {
    let (module, engine) = probe();
    for regex in 0..8 {
        let taken = |length| {
            let (fuel, answer) = fuel(&module, &engine, "judge", (regex, length));
            assert_eq!(answer, 0, "what does not fit is refused");
            fuel
        };
        let at = |length| taken(length) - taken(0);
        let (some, twice, much) = (at(500), at(1000), at(2000));
        println!("regex {regex}: {some} units for 500 characters, {twice} for 1,000, {much} for 2,000");
        assert!(some > 5_000, "the whole input is looked at");
        assert!(twice < some * 21 / 10 && much < some * 42 / 10, "regex {regex}: {some}, {twice}, {much}");
    }
}

/// V8 does what a million of these units stand for in some 0.03 ms, so this is about 7 ms of a worker: what a judgement may
/// take, and compiling the lines, which it does once.
const A_JUDGEMENT: u64 = 250_000_000;

#[test]
fn attack_l11_no_request_costs_more_than_a_judgement_may() {
    let (module, engine) = probe();
    let cases = [
        "11 lines of 1,000 optional characters",
        "200 lines, 2 kB",
        "1,000 lines, 2 kB",
        "the general engine",
        "90,000 fields",
        "500,000 arrays",
        "a path of 55 kB",
        "an odd path of 8 kB",
        "a credential of 55 kB",
    ];
    for (number, case) in (0u32..).zip(cases) {
        let [prepared, once, twice] = [0, 1, 2].map(|times| {
            let (fuel, answer) = fuel(&module, &engine, "busy", (number, times));
            assert_eq!(answer, 1, "there is such a case");
            fuel
        });
        // The first judgement compiles the lines, too.
        let (first, next) = (once - prepared, twice - once);
        println!("{case}: {first} units at first, then {next}");
        assert!(first < A_JUDGEMENT && next < A_JUDGEMENT, "{case}: {first}, then {next}");
    }
}
