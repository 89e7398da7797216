//! `tokengate token`.

mod create;
mod delete;
mod filter;
mod import;
mod list;
mod try_out;

use super::CommandError;
use std::process::ExitCode;

/// What can be done with tokens.
#[derive(clap::Subcommand)]
pub(crate) enum Token {
    /// List tokens: one's own; with --owner or --all, for sysadmins, those of others.
    #[command(after_help = list::LIST_HELP)]
    List(list::List),
    /// Show a token: what it may do, until when, and its use; never the token itself.
    Show(list::Show),
    /// Create a token, and print it: this once.
    #[command(after_help = create::CREATE_HELP)]
    Create(create::Create),
    /// Take over tokens that work elsewhere, from a file. For sysadmins.
    #[command(after_help = import::HELP)]
    Import(import::Import),
    /// Edit a token. In secure mode tokens stay as they were made.
    #[command(after_help = create::EDIT_HELP)]
    Edit(create::Edit),
    /// Try other restrictions of a token on the last calls with it: which of them would be refused?
    #[command(after_help = try_out::HELP)]
    Try(try_out::Try),
    /// Put a new token in the place of one, and print it: this once.
    #[command(after_help = create::ROTATE_HELP)]
    Rotate(create::Rotate),
    /// Print a token of one's own again, in standard mode.
    Secret(list::Secret),
    /// Revoke a token: it is deleted, and refused from then on.
    ///
    /// With --wait, the command ends once every proxy has confirmed that all its workers refuse it, and names those that
    /// have not.
    #[command(after_help = delete::REVOKE_HELP)]
    Revoke(delete::Revoke),
    /// Delete all tokens that a filter finds.
    ///
    /// It shows how many there are, and asks, before anything is deleted.
    #[command(after_help = delete::DELETE_HELP)]
    Delete(delete::Delete),
}

impl Token {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Create(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Edit(command) => command.run(),
            Self::Try(command) => command.run(),
            Self::Rotate(command) => command.run(),
            Self::Secret(command) => command.run(),
            Self::Revoke(command) => command.run(),
            Self::Delete(command) => command.run(),
        }
    }
}

/// What is shown of a token first.
const FIRST: &[&str] = &["id", "label", "owner", "scope", "ip_ranges", "restrictions", "created_at", "expires_at"];
