//! What a request costs: CPU time of Envoy, with and without the filter.

use crate::{Options, print_memory, progress, quantile, unless_stopped, with_filter, without_filter};
use serde_json::json;
use tests::World;
use tests::load::{Load, get};

/// Requests before the first measurement of each case.
const WARM_UP: u64 = 5000;

/// All of it.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let bare = without_filter();

    let world = with_filter();
    let request = get("/rest/direct", &format!("Bearer {}", world.token_for("alice").text));

    let log_calls = |log_calls: bool| world.set(&json!({ "log_calls": log_calls }));
    let cases: [(&str, &World, &dyn Fn()); 3] = [
        ("no filter, no guards", &bare, &|| ()),
        ("admitted token", &world, &|| log_calls(true)),
        ("admitted token, calls not logged", &world, &|| log_calls(false)),
    ];
    let mut costs = [const { Vec::new() }; 3];
    for (_, world, set) in &cases {
        set();
        cost(world, &request, WARM_UP)?;
    }
    for round in 0..options.cost_rounds {
        progress("cost", round + 1, options.cost_rounds);
        for ((_, world, set), costs) in cases.iter().zip(&mut costs) {
            unless_stopped()?;
            set();
            costs.push(cost(world, &request, options.requests.into())?);
        }
    }

    println!(
        "CPU time of Envoy for a request, in microseconds: 1 worker, {} times {} requests",
        options.cost_rounds, options.requests
    );
    println!("\n{:<40} {:>8} {:>8} {:>18}", "", "smallest", "median", "times no filter");
    let figures = costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        [quantile(&costs, 0.0), quantile(&costs, 0.5)]
    });
    for ((name, ..), [smallest, median]) in cases.iter().zip(figures) {
        let [bare_smallest, bare_median] = figures[0];
        let (to_smallest, to_median) = (smallest / bare_smallest, median / bare_median);
        println!("{name:<40} {smallest:>8.1} {median:>8.1} {to_smallest:>9.2} {to_median:>8.2}");
    }
    print_memory("without the filter", &bare);
    print_memory("with it", &world);
    Ok(())
}

/// Microseconds of Envoy's CPU time for each of so many requests, all of which must be admitted.
fn cost(world: &World, request: &[u8], count: u64) -> Result<f64, String> {
    let before = world.proxy.cpu();
    let summary = Load::new(world.site.ports.entrance, vec![request.to_owned()]).over(16, 1).send(count);
    let used = world.proxy.cpu() - before;
    if summary.all().with_status(200) != count {
        return Err(format!("not all requests were admitted: {:?}", summary.all()));
    }
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}
