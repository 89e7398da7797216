//! `tokengate token list`, `show` and `secret`.

use super::FIRST;
use super::filter::{Filter, Whose, query};
use crate::commands::client::Api;
use crate::commands::listing::{Limit, PAGE, list};
use crate::commands::{CommandError, Query, answered, details, print, segment, text};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Lists tokens.
#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    api: Api,
}

pub(super) const LIST_HELP: &str = "\
Examples:
  tokengate token list --owner alice
  tokengate token list --all --expires-before 2027-01-01T00:00:00Z
  tokengate token list --all --never-used --json | jq -r '.items[].id'";

impl List {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { whose, filter, limit, api } = self;
        let heads = ["ID", "LABEL", "OWNER", "SCOPE", "EXPIRES", "LAST USED", "USES"];
        list(api, ("/api/v1/tokens", PAGE), &query(whose, filter), limit, heads, |token| {
            ["id", "label", "owner", "scope", "expires_at", "last_accessed_at", "usage_count"]
                .map(|field| text(&token[field]))
        })
    }
}

/// Shows a token.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// Its id.
    id: String,
    #[command(flatten)]
    api: Api,
}

impl Show {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let path = format!("/api/v1/tokens/{}", segment(&self.id)?);
        let token = self.api.connect()?.get(&path, &Query::new())?;
        answered(self.api.json, &token, |token| details(token, FIRST))
    }
}

/// Prints a token again.
#[derive(clap::Args)]
pub(crate) struct Secret {
    /// Its id.
    id: String,
    #[command(flatten)]
    api: Api,
}

impl Secret {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let path = format!("/api/v1/tokens/{}/secret", segment(&self.id)?);
        let answer = self.api.connect()?.get(&path, &Query::new())?;
        if self.api.json {
            return print(&format!("{answer}\n"));
        }
        let token = answer["token"].as_str().ok_or(CommandError::NotOurs)?;
        print(&Zeroizing::new(format!("{token}\n")))
    }
}
