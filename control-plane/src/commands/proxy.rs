//! `tokengate proxy`.

use super::client::{Api, CommandError};
use super::{table, text};
use reqwest::Method;
use serde_json::Value;
use std::process::ExitCode;

/// What can be done with proxies.
#[derive(clap::Subcommand)]
pub(crate) enum Proxy {
    /// List the proxies that may decide anything, and how current each is.
    List {
        #[command(flatten)]
        api: Api,
    },
}

impl Proxy {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self::List { api } = self;
        let (_, answer) = api.call(Method::GET, "/api/v1/proxies", &[])?;
        if api.json {
            println!("{answer}");
            return Ok(ExitCode::SUCCESS);
        }
        println!("revision {}", text(&answer["revision"]));
        print!("{}", listed(answer["items"].as_array().map_or(&[], Vec::as_slice)));
        Ok(ExitCode::SUCCESS)
    }
}

/// Proxies as people read them.
pub(super) fn listed(proxies: &[Value]) -> String {
    let rows: Vec<_> = proxies
        .iter()
        .map(|proxy| {
            let age = proxy["age_ms"].as_u64().map_or_else(|| "-".into(), |age| format!("{} s", age / 1000));
            let [name, state, revision, workers, version, address, seen, instance] =
                ["name", "state", "revision", "workers", "filter_version", "address", "last_seen_at", "instance"]
                    .map(|field| text(&proxy[field]));
            [name, state, revision, age, workers, version, address, seen, instance]
        })
        .collect();
    table(["NAME", "STATE", "REVISION", "AGE", "WORKERS", "FILTER", "ADDRESS", "LAST SEEN", "INSTANCE"], &rows)
}
