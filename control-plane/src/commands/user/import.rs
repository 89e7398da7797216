//! `tokengate user import`: users from a file of comma-separated values.

use crate::commands::client::Api;
use crate::commands::{CommandError, Query, answered, text};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Creates users from a file of comma-separated values, all of them or none.
#[derive(clap::Args)]
pub(crate) struct Import {
    /// The file. Its first line names the columns.
    file: PathBuf,
    /// Only look whether it could be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: Api,
}

pub(super) const HELP: &str = "\
Columns are name, email and sysadmin (true or false); all but name may be
missing or empty. At most 2,000 users at a time. Errors name users by their
place in the file: users/0 is the line after the first.

Example:
  printf 'name,email\\nalice,alice@example.org\\nbob,\\n' >people.csv
  tokengate user import people.csv --dry-run && tokengate user import people.csv";

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    sysadmin: Option<bool>,
}

impl Import {
    /// Does it.
    pub(super) fn run(self) -> Result<ExitCode, CommandError> {
        let Self { file, dry_run, api } = self;
        let failed = |source| CommandError::File { path: file.clone(), source };
        let bytes = std::fs::read(&file).map_err(failed)?;
        let users = users(&bytes).map_err(|error| CommandError::Usage(format!("{}: {error}", file.display())))?;
        let body = json!({ "users": users, "dry_run": dry_run });
        let (_, answer) = api.connect()?.call(Method::POST, "/api/v1/import/users", &Query::new(), Some(&body))?;
        if !answer["created"].is_u64() {
            return Err(CommandError::NotOurs);
        }
        let what = if dry_run { "could be created; nothing was changed" } else { "were created" };
        answered(api.json, &answer, |answer| format!("{} users {what}\n", text(&answer["created"])))
    }
}

/// The users of a file, as the API takes them.
fn users(bytes: &[u8]) -> Result<Vec<Value>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let user = |row: Result<Row, csv::Error>| {
        let Row { name, email, sysadmin } = row?;
        let email = email.filter(|email| !email.is_empty());
        Ok(json!({ "name": name, "email": email, "sysadmin": sysadmin.unwrap_or(false) }))
    };
    reader.deserialize().map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m8_a_file_is_read_by_the_names_of_its_columns_and_errors_have_their_line() {
        let read = users("email, name\nalice@example.org,alice\n,\"Smith, Bob\"\n".as_bytes()).unwrap();
        let alice = json!({ "name": "alice", "email": "alice@example.org", "sysadmin": false });
        assert_eq!(read, [alice, json!({ "name": "Smith, Bob", "email": null, "sysadmin": false })]);
        for (file, told) in [
            ("name,mail\nalice,x\n", "unknown field `mail`"),
            ("email\nx\n", "missing field `name`"),
            ("name,sysadmin\nalice,perhaps\n", "line: 2"),
            ("name,email\nalice\n", "line: 2"),
        ] {
            let error = users(file.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{file:?}: {error}");
        }
    }
}
