//! `tokengate token import`: takes over tokens that work elsewhere, from a file that goes to the API as it is read.

use crate::commands::client::{Api, fault};
use crate::commands::{CommandError, Query, answered};
use reqwest::StatusCode;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Takes over tokens that work elsewhere, from a file: all of them or none, or, with --keep-going, those that can be.
#[derive(clap::Args)]
pub(crate) struct Import {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// What it is, if its name does not end with .csv, .jsonl or .ndjson.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only look whether it could be done.
    #[arg(long)]
    dry_run: bool,
    /// Leave out the lines that cannot be taken over.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    api: Api,
}

/// What a file of tokens is.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table; its first line names the columns.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

pub(super) const HELP: &str = "\
Columns, in any order; token (or sha256), label and owner (or unbound) are
needed, the others may be missing or empty:
  token         the token as scripts have it, 12 to 512 characters; or
  sha256        the hexadecimal SHA-256 of it
  label         what it is for
  owner         name or e-mail address of a user who is there; or
  unbound       true: it works for whoever is named beside it in Basic
  valid_from, expires_at   times such as 2027-01-01T00:00:00Z
  validity      in place of expires_at: 6m, 1y, 2y, 90d, never
  scope         full or read_only
  ip_ranges     addresses, networks, ranges; commas between them
  restrictions  lines; a newline, \\n or <br> between them
Without an end a token lasts as long as the settings allow. At most 200,000
lines and 256 MiB at a time. Import users first. Lines that cannot be taken
over are named, and make the exit code 1; no token is ever repeated.

Example:
  cat >tokens.csv <<END
  token,label,owner,expires_at,restrictions
  TOKEN-THAT-ALICE-HAS,backup script,alice,2027-06-30T00:00:00Z,
  TOKEN-THAT-BOB-HAS,board,bob@example.org,,[get].*/rest/api/2/issue/JRA.*
  END
  tokengate token import tokens.csv --dry-run && tokengate token import tokens.csv

The same as JSON lines:
  {\"token\":\"TOKEN-THAT-ALICE-HAS\",\"label\":\"backup script\",\"owner\":\"alice\"}
  {\"sha256\":\"9f86d0…\",\"label\":\"board\",\"owner\":\"bob\",\"restrictions\":[\"[get].*\"]}";

impl Import {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { file, format, dry_run, keep_going, api } = self;
        let format = match (format, file.extension().and_then(OsStr::to_str)) {
            (Some(format), _) => *format,
            (None, Some("csv")) => Format::Csv,
            (None, Some("jsonl" | "ndjson")) => Format::Jsonl,
            (None, _) => return Err(CommandError::Usage("say what the file is, with --format".into())),
        };
        let sending = Sending::of(file).map_err(|source| CommandError::File { path: file.clone(), source })?;
        let connection = api.connect()?;
        // A file of secrets goes to a Tokengate that would take it, and whoever may not hears so before it is on its way.
        if !connection.get("/api/v1/settings", &Query::new())?["token_authentication"].is_boolean() {
            return Err(CommandError::NotOurs);
        }
        let query = [("dry_run", dry_run), ("keep_going", keep_going)];
        let query = query.map(|(name, wanted)| (name, wanted.to_string())).to_vec();
        let media_type = match format {
            Format::Csv => "text/csv",
            Format::Jsonl => "application/x-ndjson",
        };
        let outcome = connection.send_long("/api/v1/import/tokens", &query, media_type, sending);
        clear_line();
        told(api.json, outcome?, *dry_run)
    }
}

/// What came of it, on standard output, and each line that was left out, on standard error.
fn told(as_json: bool, (status, answer): (StatusCode, Value), dry_run: bool) -> Result<ExitCode, CommandError> {
    let counts = answer["created"].as_u64().zip(answer["refused"].as_u64());
    let (StatusCode::OK, Some((created, refused)), Some(errors)) = (status, counts, answer["errors"].as_array()) else {
        return Err(CommandError::NotOurs);
    };
    for error in errors {
        eprintln!("{}", fault(error));
    }
    let what = if dry_run { "to take over; nothing was changed" } else { "taken over" };
    let left_out = if refused == 0 { String::new() } else { format!("; left out: {}", counted(refused, "line")) };
    answered(as_json, &answer, |_| format!("{} {what}{left_out}\n", counted(created, "token")))?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many there are of a thing.
fn counted(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A file on its way. It is checked as it comes, and sent no faster: so what is sent shows how far it has come.
struct Sending {
    source: Box<dyn Read + Send>,
    /// Bytes that there are, if that is known, and that are sent.
    length: Option<u64>,
    sent: u64,
    lines: u64,
    /// When it was last shown; `None`: nobody looks.
    shown: Option<Instant>,
}

/// How often it is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

impl Sending {
    fn of(path: &std::path::Path) -> io::Result<Self> {
        let shown = io::stderr().is_terminal().then(Instant::now);
        if path == "-" {
            return Ok(Self { source: Box::new(io::stdin()), length: None, sent: 0, lines: 0, shown });
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let length = Some(about.len()).filter(|length| *length > 0); // none is known of a pipe
        Ok(Self { source: Box::new(file), length, sent: 0, lines: 0, shown })
    }

    fn show(&mut self, is_whole: bool) {
        if self.shown.is_some_and(|shown| is_whole || shown.elapsed() >= SHOWN_EVERY) {
            self.shown = Some(Instant::now());
            eprint!("\r\x1b[K{}", bar(self.sent, self.length, self.lines, is_whole));
            let _ = io::stderr().flush();
        }
    }
}

impl Read for Sending {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sent += read as u64;
        self.lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.show(read == 0 && !buffer.is_empty());
        Ok(read)
    }
}

/// A line that shows how far it has come. (A crate for this would bring five more, for these few lines.)
fn bar(sent: u64, length: Option<u64>, lines: u64, is_whole: bool) -> String {
    const WIDTH: u64 = 30;
    let told = if is_whole { "; now they are taken over …" } else { "" };
    match length {
        Some(length) => {
            let done = (sent.min(length) * WIDTH / length) as usize;
            let (full, empty) = ("#".repeat(done), " ".repeat(WIDTH as usize - done));
            format!("[{full}{empty}] {:3} %  {lines} lines sent{told}", sent.min(length) * 100 / length)
        }
        None => format!("{lines} lines sent{told}"),
    }
}

fn clear_line() {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m6_a_bar_shows_how_far_a_file_has_come() {
        let half = bar(50, Some(100), 7, false);
        assert_eq!(half, "[###############               ]  50 %  7 lines sent");
        assert!(bar(100, Some(100), 9, true).contains("] 100 %  9 lines sent; now they"));
        assert!(bar(101, Some(100), 9, true).contains("] 100 %"), "a file that grows");
        assert_eq!(bar(5, None, 3, false), "3 lines sent");
    }

    #[test]
    fn what_is_sent_is_counted() {
        let mut sending =
            Sending { source: Box::new(&b"a\nb\nc"[..]), length: Some(5), sent: 0, lines: 0, shown: None };
        let mut text = String::new();
        sending.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), sending.sent, sending.lines), ("a\nb\nc", 5, 2));
    }
}
