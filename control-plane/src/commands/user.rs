//! `tokengate user`.

mod import;
mod recover;

pub(crate) use recover::RecoverError;

use super::client::Api;
use super::listing::{Limit, PAGE, list};
use super::{
    CommandError, Query, answered, confirm, confirmed, details, given, new_password, print, secret, segment, text,
};
use reqwest::{Method, StatusCode};
use serde_json::{Map, json};
use std::process::ExitCode;

/// What can be done with users.
#[derive(clap::Subcommand)]
pub(crate) enum User {
    /// List users.
    #[command(after_help = "Example:\n  tokengate user list --sysadmin true --json | jq -r '.items[].name'")]
    List {
        /// Those whose name begins like this.
        #[arg(long, value_name = "TEXT")]
        name_prefix: Option<String>,
        /// Those who are suspended, or those who are not.
        #[arg(long, value_name = "BOOL")]
        suspended: Option<bool>,
        /// Those who are sysadmins, or those who are not.
        #[arg(long, value_name = "BOOL")]
        sysadmin: Option<bool>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        api: Api,
    },
    /// Show a user.
    Show {
        /// The name.
        name: String,
        #[command(flatten)]
        api: Api,
    },
    /// Create a user.
    #[command(after_help = CREATE_HELP)]
    Create {
        /// The name: what is given to the backend.
        name: String,
        /// The e-mail address, which serves in place of the name in Basic.
        #[arg(long)]
        email: Option<String>,
        /// Who may do everything.
        #[arg(long)]
        sysadmin: bool,
        /// Give a local password: asked for without echo, or read as a line of standard input.
        #[arg(long)]
        password: bool,
        #[command(flatten)]
        api: Api,
    },
    /// Create users from a file of comma-separated values, all of them or none.
    #[command(after_help = import::HELP)]
    Import(import::Import),
    /// Edit a user; all tokens of theirs follow at once.
    #[command(after_help = EDIT_HELP)]
    Edit(Edit),
    /// Delete a user, with all their tokens.
    #[command(after_help = DELETE_HELP)]
    Delete {
        /// The name.
        name: String,
        /// Do it without being asked.
        #[arg(long, short)]
        yes: bool,
        /// How long to wait for the proxies, such as 5s or 500ms; at most 10s.
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s")]
        wait: Option<String>,
        #[command(flatten)]
        api: Api,
    },
    /// Give a user a local password, or take it away.
    #[command(after_help = PASSWORD_HELP)]
    Password {
        /// The name.
        name: String,
        /// Take it away.
        #[arg(long, conflicts_with = "current")]
        remove: bool,
        /// Give the present one as well, before the new one: whoever changes their own must know it.
        #[arg(long)]
        current: bool,
        #[command(flatten)]
        api: Api,
    },
    /// Bring back a sysadmin on this machine, without the API: when nobody can sign in any more.
    #[command(after_help = recover::HELP)]
    Recover(recover::Recover),
}

/// Edits a user.
#[derive(clap::Args)]
pub(crate) struct Edit {
    /// The name.
    name: String,
    /// The e-mail address.
    #[arg(long, conflicts_with = "no_email")]
    email: Option<String>,
    /// No e-mail address.
    #[arg(long)]
    no_email: bool,
    /// Who may do everything.
    #[arg(long, conflicts_with = "no_sysadmin")]
    sysadmin: bool,
    /// Who may not.
    #[arg(long)]
    no_sysadmin: bool,
    /// Refuse all their tokens, until --resume.
    #[arg(long, conflicts_with = "resume")]
    suspend: bool,
    /// Let them in again.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    api: Api,
}

const CREATE_HELP: &str = "\
Examples:
  tokengate user create alice --email alice@example.org
  pass show tokengate/bob | tokengate user create bob --password";

const EDIT_HELP: &str = "\
What is not named stays.

Examples:
  tokengate user edit alice --suspend
  tokengate user edit alice --resume --no-email";

const DELETE_HELP: &str = "\
Exit code: 0 if the user is deleted (with --wait: and confirmed by all proxies), 3
if so and a proxy has not confirmed, 1 if it failed, 2 without --yes where there is
no terminal.

Example:
  tokengate user delete alice --wait --yes";

const PASSWORD_HELP: &str = "\
The password is asked for without echo, or is a line of standard input (with
--current, the second one); never an argument, which everybody on the machine sees.

Examples:
  tokengate user password alice
  pass show tokengate/alice | tokengate user password alice
  tokengate user password alice --remove";

/// What is shown of a user first.
const FIRST: &[&str] = &["name", "email", "sysadmin", "suspended", "has_password", "created_at"];

impl User {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        match self {
            Self::List { name_prefix, suspended, sysadmin, limit, api } => {
                let (suspended, sysadmin) = (suspended.map(|is| is.to_string()), sysadmin.map(|is| is.to_string()));
                let query = given([("name_prefix", &name_prefix), ("suspended", &suspended), ("sysadmin", &sysadmin)]);
                let heads = ["NAME", "E-MAIL", "SYSADMIN", "SUSPENDED", "PASSWORD", "CREATED"];
                list(&api, ("/api/v1/users", PAGE), &query, &limit, heads, |user| {
                    ["name", "email", "sysadmin", "suspended", "has_password", "created_at"]
                        .map(|field| text(&user[field]))
                })
            }
            Self::Import(import) => import.run(),
            Self::Show { name, api } => {
                let user = api.connect()?.get(&path(&name)?, &Query::new())?;
                answered(api.json, &user, |user| details(user, FIRST))
            }
            Self::Create { name, email, sysadmin, password, api } => {
                let mut body = json!({ "name": name, "sysadmin": sysadmin });
                if let Some(email) = email {
                    body["email"] = json!(email);
                }
                let connection = api.connect()?; // before anybody types a password in vain
                if password {
                    body["password"] = json!(new_password()?.as_str());
                }
                match connection.call(Method::POST, "/api/v1/users", &Query::new(), Some(&body))? {
                    (StatusCode::CREATED, user) => answered(api.json, &user, |user| details(user, FIRST)),
                    _ => Err(CommandError::NotOurs),
                }
            }
            Self::Edit(edit) => edit.run(),
            Self::Delete { name, yes, wait, api } => {
                let path = path(&name)?;
                confirm(&format!("Delete {name} and all their tokens?"), yes)?;
                let answer = api.connect()?.call(Method::DELETE, &path, &given([("wait", &wait)]), None)?;
                confirmed(api.json, answer, wait.is_some(), &format!("deleted {name}"))
            }
            Self::Password { name, remove, current, api } => {
                let path = format!("{}/password", path(&name)?);
                let connection = api.connect()?;
                let (method, body) = if remove {
                    (Method::DELETE, None)
                } else {
                    let mut body = Map::new();
                    if current {
                        body.insert("current_password".into(), json!(secret("Current password")?.as_str()));
                    }
                    body.insert("password".into(), json!(new_password()?.as_str()));
                    (Method::PUT, Some(body.into()))
                };
                match connection.call(method, &path, &Query::new(), body.as_ref())? {
                    (StatusCode::NO_CONTENT, _) if remove => print(&format!("{name} has no password any more\n")),
                    (StatusCode::NO_CONTENT, _) => print(&format!("{name} has a new password\n")),
                    _ => Err(CommandError::NotOurs),
                }
            }
            Self::Recover(recover) => recover.run(),
        }
    }
}

impl Edit {
    fn run(self) -> Result<ExitCode, CommandError> {
        let Self { name, email, no_email, sysadmin, no_sysadmin, suspend, resume, api } = self;
        let mut body = Map::new();
        if no_email || email.is_some() {
            body.insert("email".into(), json!(email));
        }
        if sysadmin || no_sysadmin {
            body.insert("sysadmin".into(), json!(sysadmin));
        }
        if suspend || resume {
            body.insert("suspended".into(), json!(suspend));
        }
        if body.is_empty() {
            return Err(CommandError::Usage("there is nothing to edit; --help says what can be".into()));
        }
        match api.connect()?.call(Method::PATCH, &path(&name)?, &Query::new(), Some(&body.into()))? {
            (StatusCode::OK, user) if user["name"].is_string() => {
                answered(api.json, &user, |user| details(user, FIRST))
            }
            _ => Err(CommandError::NotOurs),
        }
    }
}

fn path(name: &str) -> Result<String, CommandError> {
    Ok(format!("/api/v1/users/{}", segment(name)?))
}
