//! `tokengate proxy`.

use super::client::Api;
use super::{CommandError, Query, print, segment, table, text};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::process::ExitCode;

/// What can be done with proxies.
#[derive(clap::Subcommand)]
pub(crate) enum Proxy {
    /// List the proxies that may decide anything, and how current each is.
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        api: Api,
    },
    /// Forget a proxy that is gone for good, so that nothing waits for it any more.
    ///
    /// One that only cannot be reached may go on deciding from what it has; it is known again as soon as it asks.
    Forget {
        /// Its instance, as `proxy list` shows it.
        instance: String,
        #[command(flatten)]
        api: Api,
    },
}

const LIST_HELP: &str = "\
A proxy is `live` if it asks, or has just done so. One that is `lost` does not, but
may decide from its last snapshot until `max_snapshot_age` is over.

Example:
  tokengate proxy list
  tokengate proxy list --json | jq -r '.items[] | select(.state == \"lost\").name'";

impl Proxy {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        match self {
            Self::List { api } => {
                let answer = api.connect()?.get("/api/v1/proxies", &Query::new())?;
                super::answered(api.json, &answer, |answer| {
                    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
                    format!("revision {}\n{}", text(&answer["revision"]), listed(items))
                })
            }
            Self::Forget { instance, api } => {
                let path = format!("/api/v1/proxies/{}", segment(instance)?);
                match api.connect()?.call(Method::DELETE, &path, &Query::new(), None)? {
                    (StatusCode::NO_CONTENT, _) => print(&format!("forgot {instance}\n")),
                    _ => Err(CommandError::NotOurs),
                }
            }
        }
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
