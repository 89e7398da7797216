//! `tokengate token revoke` and `delete`.

use super::filter::{Filter, Whose, query};
use crate::commands::client::{Api, Connection};
use crate::commands::listing::{PAGE, Page};
use crate::commands::{CommandError, NOT_CONFIRMED, Query, confirm, confirmed, given, print, segment};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::process::ExitCode;

/// Revokes a token.
#[derive(clap::Args)]
pub(crate) struct Revoke {
    /// The id of the token, as lists, logs and the header X-Tokengate-Token-Id show it.
    id: String,
    /// How long to wait for the proxies, such as 5s or 500ms; at most 10s.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s")]
    wait: Option<String>,
    #[command(flatten)]
    api: Api,
}

pub(super) const REVOKE_HELP: &str = "\
Exit code: 0 if it is revoked (with --wait: and confirmed by all proxies), 3 if
it is revoked and a proxy has not confirmed, 1 if it failed or nobody knows:
then list the token, or revoke it again.

Example:
  tokengate token revoke 5f2b18c04d7a9e63b1d0 --wait
  TOKENGATE_TOKEN=tgt_… tokengate token revoke 5f2b18c04d7a9e63b1d0 \\
      --url https://jira.example.org --wait 10s";

impl Revoke {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { id, wait, api } = self;
        let path = format!("/api/v1/tokens/{}", segment(id)?);
        let query = given([("wait", wait)]);
        let answer = api.connect()?.call(Method::DELETE, &path, &query, None)?;
        confirmed(api.json, answer, wait.is_some(), &format!("revoked {id}"))
    }
}

/// Deletes tokens by a filter.
#[derive(clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    filter: Filter,
    /// Do it without being asked.
    #[arg(long, short)]
    yes: bool,
    /// How long to wait for the proxies, such as 5s or 500ms; at most 10s.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s")]
    wait: Option<String>,
    #[command(flatten)]
    api: Api,
}

pub(super) const DELETE_HELP: &str = "\
Either --owner or --all must be there; all that is given must hold. Where there
is no terminal, --yes must be there.

Exit code: 0 if they are deleted (with --wait: and confirmed by all proxies), 3 if
they are and a proxy has not confirmed, 1 if it failed, 2 without --yes.

Examples:
  tokengate token delete --owner alice --wait
  tokengate token delete --all --last-used-before 2026-01-01T00:00:00Z --yes";

impl Delete {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { whose, filter, yes, wait, api } = self;
        if whose.owner.is_none() && !whose.all {
            return Err(CommandError::Usage("say whose tokens: --owner NAME or --all".into()));
        }
        let connection = api.connect()?;
        let mut query = query(whose, filter);
        if !yes {
            let found = first_found(&connection, &query)?;
            let count = found.items.len();
            if count == 0 {
                return print("there are no such tokens\n");
            }
            let more = if found.next().is_some() { " or more" } else { "" };
            confirm(&format!("Delete {count}{more} tokens? Whoever uses them is refused at once."), *yes)?;
        }
        query.extend(given([("wait", wait)]));
        let (mut deleted, mut unconfirmed) = (0, false);
        loop {
            let (status, answer) = connection.call(Method::DELETE, "/api/v1/tokens", &query, None)?;
            let count = answer["deleted"].as_u64().ok_or(CommandError::NotOurs)?;
            let more = answer["more"].as_bool().unwrap_or_default();
            deleted += count;
            unconfirmed |= status == StatusCode::ACCEPTED;
            if more && count > 0 {
                continue;
            }
            if more {
                return Err(CommandError::NotOurs);
            }
            if api.json {
                print(&format!("{}\n", json!({ "deleted": deleted, "last": answer })))?;
            } else {
                let told =
                    if unconfirmed { "; not every proxy has confirmed it: see `tokengate proxy list`" } else { "" };
                print(&format!("deleted {deleted} tokens{told}\n"))?;
            }
            return Ok(if unconfirmed { ExitCode::from(NOT_CONFIRMED) } else { ExitCode::SUCCESS });
        }
    }
}

/// The first page on which there are any: the API looks at so many tokens for each, and some have none.
fn first_found(connection: &Connection<'_>, query: &Query) -> Result<Page, CommandError> {
    let mut after = None::<String>;
    loop {
        let page = Page::get(connection, "/api/v1/tokens", query, PAGE, after.as_deref())?;
        after = page.next();
        if !page.items.is_empty() || after.is_none() {
            return Ok(page);
        }
    }
}
