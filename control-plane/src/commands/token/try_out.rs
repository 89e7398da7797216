//! `tokengate token try`.

use crate::commands::client::Api;
use crate::commands::{CommandError, segment, trial};
use serde_json::{Map, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Tries restrictions.
#[derive(clap::Args)]
pub(crate) struct Try {
    /// The id of the token, as lists, logs and the header X-Tokengate-Token-Id show it.
    id: String,
    /// A line that allows some requests, and with it no others; may be given several times. An empty one: no restrictions.
    #[arg(long = "restriction", value_name = "LINE", required_unless_present = "restrictions_file")]
    restrictions: Vec<String>,
    /// File of such lines.
    #[arg(long, value_name = "FILE", conflicts_with = "restrictions")]
    restrictions_file: Option<PathBuf>,
    #[command(flatten)]
    calls: trial::Calls,
    #[command(flatten)]
    api: Api,
}

pub(super) const HELP: &str = "\
Nothing is changed, so it works in secure mode too. A token is not edited there:
create another one with `token create --copy-of ID --restriction LINE`.

Each call is judged at its own time, from the token and the users as they are
now, with these restrictions and with those that it has. A yes or a no is never
wrong. A line that looks at query or body, which the audit does not keep, makes
a call undecidable; so does, for a token that was never restricted, that the
call may have overridden its method by a header. If you know that none did, say
--assume-no-override.

Exit code: 0 if it was tried, whatever came of it: programs look at `refuses` in
the answer (--json); 1 if not, and every error is told with line and column.

Examples:
  tokengate token try 5f2b18c04d7a9e63b1d0 --assume-no-override \\
      --restriction '[get].*/rest/api/2/issue/JRA-.*' \\
      --restriction '[post].*/rest/api/2/issue/JRA-[0-9]+/comment'
  tokengate token try 5f2b18c04d7a9e63b1d0 --restrictions-file lines.txt --last 10000";

impl Try {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { id, restrictions, restrictions_file, calls, api } = self;
        let lines = match restrictions_file {
            None => restrictions.clone(),
            Some(path) => {
                let read = std::fs::read_to_string(path);
                vec![read.map_err(|source| CommandError::File { path: path.clone(), source })?]
            }
        };
        let body = Map::from_iter([("restrictions".into(), json!(lines))]);
        trial::try_out(api, &format!("/api/v1/tokens/{}/try", segment(id)?), body, calls)
    }
}
