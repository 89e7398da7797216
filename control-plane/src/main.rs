//! Tokengate's control plane: owns users, tokens and their audit, and tells every proxy what it must know to decide.
//!
//! ```text
//! REST ─▶ Caller ─▶ permission ─▶ Change (row + audit + revision, one transaction) ─▶ Image ─▶ feed ─▶ proxies
//! ```

mod api;
mod change;
mod cli;
mod clock;
mod commands;
mod config;
mod envoy_config;
mod fault;
mod feed;
mod image;
mod keys;
mod passwords;
mod permission;
mod proxies;
mod prune;
mod retention;
mod serve;
mod server;
mod sign_in;
mod store;
mod tls;
mod trial;
mod usage;

use clap::Parser as _;
pub(crate) use serve::App;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::exit(cli::Cli::parse().run())
}
