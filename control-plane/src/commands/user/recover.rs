//! `tokengate user recover`: a sysadmin for whoever is at the machine, when nobody can sign in any more.
//!
//! It is a change like any other, with its audit record, made while no `serve` runs: the proxies hear of it when the
//! next one starts.

use crate::change::{Author, Change, ChangeError, NewUser, UserEdit};
use crate::commands::{CommandError, print};
use crate::config::Data;
use crate::keys::{self, Existing, KeyError, MasterKey};
use crate::permission::{Action, own_permit};
use crate::serve::{create_token, make_private_files};
use crate::store::{OpenError, Store, users};
use policy::credential::Secret;
use policy::record::{check_user_name, folded};
use policy::settings::Invalid;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Brings back a sysadmin.
#[derive(clap::Args)]
pub(crate) struct Recover {
    /// The name: of a user, who becomes a sysadmin and is no longer suspended; or of a new one.
    name: String,
    /// Set the settings back that can lock sysadmins out, too: `ip_rules` none, `token_schemes` both,
    /// `token_authentication` true, `password_check` local.
    #[arg(long)]
    reset_lockout: bool,
    /// Write the new token into this file, for its owner alone to read, in place of printing it; replaced if it is there.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

pub(super) const HELP: &str = "\
It works on the data directory itself, as the user to whom that belongs, and only
while no `tokengate serve` runs there: stop it, recover, and start it again. The
token, which does not end, is printed this once. The audit keeps that it was done.

Example:
  systemctl stop tokengate
  sudo -u tokengate tokengate user recover admin --reset-lockout \\
      --data /var/lib/tokengate --output /var/lib/tokengate/admin-token
  systemctl start tokengate";

/// Why nobody was brought back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error("there is no database in {0}; name the data directory with --data")]
    NoDatabase(PathBuf),
    #[error("a `tokengate serve` runs on {0}: stop it, do this again, and start it anew")]
    Served(PathBuf),
    #[error("a user's name {0}")]
    Name(&'static str),
    #[error("{0} has as many tokens as are allowed; give another name, which makes another sysadmin")]
    TooManyTokens(String),
    #[error("the settings cannot be set back: {0}")]
    Settings(String),
    #[error("cannot write {path}: {source}; nothing was changed")]
    Output { path: PathBuf, source: io::Error },
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the database: {0}")]
    Database(#[from] sea_orm::DbErr),
}

impl Recover {
    /// Does it.
    pub(super) fn run(self) -> Result<ExitCode, CommandError> {
        let Self { name, reset_lockout, output, data } = self;
        let (data, _) = data.resolve()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let recovered = recover(&data, &name, reset_lockout, output.as_deref());
        let token = runtime.map_err(RecoverError::Runtime)?.block_on(recovered)?;
        eprintln!(
            "{name} is a sysadmin, and has a new token; start `tokengate serve` again, and the proxies hear of it"
        );
        match output {
            Some(path) => print(&format!("the token is in {}\n", path.display())),
            None => print(&Zeroizing::new(format!("{}\n", String::from_utf8_lossy(token.expose())))),
        }
    }
}

async fn recover(data: &Path, name: &str, reset_lockout: bool, output: Option<&Path>) -> Result<Secret, RecoverError> {
    // As the API wants names: what it would refuse must not come in by this door.
    check_user_name(name).map_err(RecoverError::Name)?;
    make_private_files();
    // What is not there must not be made: a new database would hide that the old one is elsewhere.
    if !data.join(keys::DATABASE).exists() {
        return Err(RecoverError::NoDatabase(data.to_owned()));
    }
    let path = data.join("master.key");
    let master = MasterKey::load(&path)?.ok_or(KeyError::Lost { path })?;
    let store = Store::open(data, master).await.map_err(|error| match error {
        OpenError::InUse { .. } => RecoverError::Served(data.to_owned()),
        other => other.into(),
    })?;
    let mut change = Change::begin(&store, Author::Program).await?;
    if reset_lockout {
        let open = json!({
            "ip_rules": [], "token_schemes": "both", "token_authentication": true, "password_check": "local",
        });
        let open = open.as_object().cloned().unwrap_or_default();
        let settings = change.settings().0.patched(&open).map_err(unfit)?;
        if settings != change.settings().0 {
            change.set_settings(&own_permit(Action::ChangeSettings), settings, None).await?;
        }
    }
    let present = users::Entity::find().filter(users::Column::NameFolded.eq(folded(name)));
    let user = match present.one(change.transaction()).await? {
        None => {
            let new = NewUser { name, email: None, sysadmin: true };
            change.create_user(&own_permit(Action::CreateUser), new).await?
        }
        Some(user) if !user.sysadmin || user.suspended => {
            let edit = UserEdit { sysadmin: Some(true), suspended: Some(false), ..UserEdit::default() };
            change.edit_user(&own_permit(Action::EditUser), user, edit).await?
        }
        Some(user) => user,
    };
    let token = create_token(&store, &mut change, user.id, "recovered").await.map_err(|error| match error {
        ChangeError::TooManyTokens => RecoverError::TooManyTokens(name.to_owned()),
        other => other.into(),
    })?;
    // The file first: a token that is in force and that nobody has would be of no use.
    if let Some(path) = output {
        keys::write_private(path, token.expose(), Existing::Goes)
            .map_err(|source| RecoverError::Output { path: path.to_owned(), source })?;
    }
    change.commit().await?;
    store.close().await?;
    Ok(token)
}

fn unfit(errors: Vec<Invalid>) -> RecoverError {
    let errors: Vec<String> = errors.into_iter().map(|error| format!("{} {}", error.pointer, error.must)).collect();
    RecoverError::Settings(errors.join("; "))
}
