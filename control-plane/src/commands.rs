//! Commands that work through the API, of this control plane or of one elsewhere.

mod client;
mod proxy;
mod token;

pub(crate) use proxy::Proxy;
pub(crate) use token::Token;

use client::CommandError;
use serde_json::Value;
use std::process::ExitCode;

/// The program's exit code if a change is made, but not known to be in force everywhere.
const NOT_CONFIRMED: u8 = 3;

/// How a command ended, for whoever started it.
pub(crate) fn exit(outcome: Result<ExitCode, CommandError>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("tokengate: {error}");
        ExitCode::FAILURE
    })
}

/// Rows under their heads, each column as wide as it must be.
fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([heads[column].len()]).max().unwrap_or_default()
    };
    let line = |cells: [&str; N]| {
        let cells: Vec<String> = cells.iter().enumerate().map(|(i, cell)| format!("{cell:<0$}", width(i))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(line(heads)).chain(rows).collect()
}

/// A value of an answer as people read it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
