//! `tokengate audit`.

use super::client::Api;
use super::listing::{Limit, PAGE, list};
use super::{CommandError, Query, given, text};
use crate::keys::{hex, random};
use clap::ValueEnum;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What can be done with the audit.
#[derive(clap::Subcommand)]
pub(crate) enum Audit {
    /// Search what was changed, by whom.
    #[command(after_help = LIST_HELP)]
    List {
        #[command(flatten)]
        changes: ChangeFilter,
        #[command(flatten)]
        period: Period,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        api: Api,
    },
    /// Search which calls were made: those with tokens, as far as the setting `audit_calls` keeps them.
    Calls {
        #[command(flatten)]
        calls: CallFilter,
        #[command(flatten)]
        period: Period,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        api: Api,
    },
    /// Export all that is found, as it comes.
    #[command(after_help = EXPORT_HELP)]
    Export(Export),
}

/// Which changes.
#[derive(clap::Args)]
pub(crate) struct ChangeFilter {
    /// Made by this user.
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// To this user, token (its id), version of the settings or proxy (its instance).
    #[arg(long)]
    subject: Option<String>,
    /// Such as token.create, user.edit or sign_in.
    #[arg(long)]
    action: Option<String>,
}

/// Which calls.
#[derive(clap::Args)]
pub(crate) struct CallFilter {
    /// Made as this user.
    #[arg(long, value_name = "NAME")]
    as_user: Option<String>,
    /// With the token that has this id.
    #[arg(long, value_name = "ID")]
    token: Option<String>,
    /// Admitted, or refused with this code.
    #[arg(long)]
    outcome: Option<String>,
    /// Through the proxy of this name.
    #[arg(long, value_name = "NAME")]
    proxy: Option<String>,
}

/// From when to when.
#[derive(clap::Args)]
pub(crate) struct Period {
    /// From this time on, such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// Exports.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// The calls, in place of the changes.
    #[arg(long, conflicts_with_all = ["actor", "subject", "action"])]
    calls: bool,
    #[command(flatten)]
    of_changes: ChangeFilter,
    #[command(flatten)]
    of_calls: CallFilter,
    #[command(flatten)]
    period: Period,
    /// A JSON document a line, or comma-separated values.
    #[arg(long, default_value = "jsonl")]
    format: Format,
    /// File to write, for its owner alone to read; it is there once everything is in it. Otherwise: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

const LIST_HELP: &str = "\
Examples:
  tokengate audit list --actor alice --from 2026-12-01T00:00:00Z
  tokengate audit list --action settings.change --json | jq '.items[].detail'";

const EXPORT_HELP: &str = "\
Exit code: 0 if everything was written, 1 if not: then there is no file.

Examples:
  tokengate audit export --from 2026-01-01T00:00:00Z --output audit.jsonl
  tokengate audit export --calls --format csv | gzip >calls.csv.gz";

impl Audit {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        match self {
            Self::List { changes, period, limit, api } => {
                let heads = ["AT", "ACTOR", "ACTION", "SUBJECT", "FOR", "DETAIL"];
                let query = [changes.query(), period.query()].concat();
                list(api, ("/api/v1/audit", PAGE), &query, limit, heads, |record| {
                    ["at", "actor", "action", "subject", "on_behalf_of", "detail"].map(|field| text(&record[field]))
                })
            }
            Self::Calls { calls, period, limit, api } => {
                let heads = ["AT", "USER", "TOKEN", "OUTCOME", "METHOD", "PATH", "STATUS", "ADDRESS", "PROXY"];
                let query = [calls.query(), period.query()].concat();
                list(api, ("/api/v1/audit/calls", PAGE), &query, limit, heads, |call| {
                    ["at", "user", "token", "outcome", "method", "path", "status", "address", "proxy"]
                        .map(|field| text(&call[field]))
                })
            }
            Self::Export(export) => export.run(),
        }
    }
}

impl ChangeFilter {
    fn query(&self) -> Query {
        given([("actor", &self.actor), ("subject", &self.subject), ("action", &self.action)])
    }
}

impl CallFilter {
    fn query(&self) -> Query {
        let Self { as_user, token, outcome, proxy } = self;
        given([("user", as_user), ("token", token), ("outcome", outcome), ("proxy", proxy)])
    }
}

impl Period {
    fn query(&self) -> Query {
        given([("from", &self.from), ("to", &self.to)])
    }
}

impl Export {
    fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { calls, of_changes, of_calls, period, format, output, api } = self;
        let of_calls = of_calls.query();
        if !calls && !of_calls.is_empty() {
            return Err(CommandError::Usage(format!("{} tells calls apart; add --calls", of_calls[0].0)));
        }
        let path = if *calls { "/api/v1/audit/calls/export" } else { "/api/v1/audit/export" };
        let mut query = if *calls { of_calls } else { of_changes.query() };
        query.extend(period.query());
        query.push(("format", if matches!(format, Format::Csv) { "csv" } else { "jsonl" }.into()));
        let reply = api.connect()?.stream(path, &query)?;
        // Whoever else answers everything with 200 says what it is, too.
        let kind = reply.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/html") || kind == "application/json" {
            return Err(CommandError::NotOurs);
        }
        match output {
            None => {
                let out = io::stdout().lock();
                let shows = io::stderr().is_terminal() && !out.is_terminal();
                copy(reply, out, CommandError::Output, shows)?;
            }
            Some(path) => into_file(reply, path)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a file that is there whole or not at all.
fn into_file(from: impl Read, path: &Path) -> Result<(), CommandError> {
    let failed = |source| CommandError::File { path: path.to_owned(), source };
    let unique = random::<8>().map_err(|error| failed(io::Error::other(error)))?;
    let part = path.with_extension(format!("part-{}", *hex(&*unique)));
    let written =
        File::options().write(true).create_new(true).mode(0o600).open(&part).map_err(failed).and_then(|file| {
            copy(from, &file, failed, io::stderr().is_terminal())?;
            file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(failed)
        });
    if written.is_err() {
        let _ = fs::remove_file(&part); // it may never have been there
    }
    written
}

/// Copies as it comes: what is in memory is one buffer.
fn copy(
    mut from: impl Read,
    mut to: impl Write,
    failed: impl Fn(io::Error) -> CommandError,
    shows_progress: bool,
) -> Result<(), CommandError> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut bytes, mut shown) = (0_u64, Instant::now());
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CommandError::BrokeOff(error)),
        };
        to.write_all(&buffer[..read]).map_err(&failed)?;
        bytes += read as u64;
        if shows_progress && (read == 0 || shown.elapsed() > Duration::from_millis(200)) {
            eprint!("\r{:.1} MB{}", bytes as f64 / 1e6, if read == 0 { "\n" } else { "" });
            shown = Instant::now();
        }
        if read == 0 {
            return to.flush().map_err(failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes, and then fails, as a connection does that breaks off.
    struct Breaks(usize);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::ConnectionReset)?;
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn an_export_that_breaks_off_leaves_no_file_and_not_even_touches_one_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        fs::write(&path, "before").unwrap();
        assert!(matches!(into_file(Breaks(3), &path), Err(CommandError::BrokeOff(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        into_file(&b"after"[..], &path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "and nothing is left beside it");
    }
}
