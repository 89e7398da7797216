//! `tokengate sync-key` and `tokengate assertion-key`: keys for others, derived from the master key of this machine.

use super::{CommandError, print};
use crate::config::Data;
use crate::serve::{ServeError, open_data};
use std::process::ExitCode;

/// Prints the sync key.
#[derive(clap::Args)]
pub(crate) struct SyncKey {
    #[command(flatten)]
    data: Data,
}

/// Prints the key of an audience's assertions.
#[derive(clap::Args)]
pub(crate) struct AssertionKey {
    #[command(flatten)]
    data: Data,
    /// For whom the assertions are: the setting `assertion_audience`.
    #[arg(long, default_value = "backend")]
    audience: Audience,
}

pub(crate) const SYNC_KEY_HELP: &str = "\
Environment:
  TOKENGATE_MASTER_KEY  the master key, in place of the file master.key
  TOKENGATE_SYNC_KEY    if set, this is what is printed

Example:
  export TOKENGATE_SYNC_KEY=\"$(tokengate sync-key --data /var/lib/tokengate)\"
  envoy -c envoy.yaml";

pub(crate) const ASSERTION_KEY_HELP: &str = "\
Example, in Python with PyJWT:
  secret = subprocess.check_output([\"tokengate\", \"assertion-key\"]).strip()
  jwt.decode(request.headers[\"X-Tokengate-Assertion\"], secret,
             algorithms=[\"HS256\"], audience=\"backend\", issuer=\"tokengate\")";

impl SyncKey {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let master = open_data(&self.data.resolve()?.0)?;
        master.sync_key().map_err(ServeError::Key)?; // says what is wrong with one from the environment
        print(&format!("{}\n", *master.sync_key_text()))
    }
}

impl AssertionKey {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let master = open_data(&self.data.resolve()?.0)?;
        let Audience(audience) = self.audience;
        print(&format!("{}\n", *master.assertion_secret(audience.as_str())))
    }
}

/// An audience on the command line.
#[derive(Clone)]
struct Audience(policy::settings::Audience);

impl std::str::FromStr for Audience {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.try_into().map(Self)
    }
}
