//! `tokengate token create`, `edit` and `rotate`.

use super::FIRST;
use crate::commands::client::Api;
use crate::commands::{CommandError, Query, answered, details, print, segment, text};
use crate::keys::{Existing, write_private};
use crate::serve::make_private_files;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// How a token is restricted.
#[derive(clap::Args)]
struct Restrictions {
    /// full or read_only (GET, HEAD, OPTIONS).
    #[arg(long)]
    scope: Option<String>,
    /// An address, network or range from which it works; may be given several times.
    #[arg(long = "ip", value_name = "RULE")]
    ip_ranges: Vec<String>,
    /// A line that allows some requests, and with it no others; may be given several times.
    #[arg(long = "restriction", value_name = "LINE")]
    restrictions: Vec<String>,
    /// File of such lines.
    #[arg(long, value_name = "FILE", conflicts_with = "restrictions")]
    restrictions_file: Option<PathBuf>,
}

/// Until when a token works: for as long as it may, or as the one before, if nothing is said.
#[derive(clap::Args)]
#[group(multiple = false)]
struct End {
    /// For how long: 6m, 1y, 2y, a number of days such as 90d, or never.
    #[arg(long)]
    validity: Option<String>,
    /// Until this time, such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// What becomes of a new token.
#[derive(clap::Args)]
struct Output {
    /// Write the token into this file, for its owner alone to read, in place of printing it; replaced if it is there.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Creates a token.
#[derive(clap::Args)]
pub(crate) struct Create {
    /// What it is for, as people read it in lists.
    #[arg(long)]
    label: String,
    /// Whose it is; one's own if nobody is named.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Nobody's: it works for whoever is named beside it in Basic.
    #[arg(long, conflicts_with = "owner")]
    unbound: bool,
    /// From this time on, such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    restrictions: Restrictions,
    /// Take what is not given here from the token with this id.
    #[arg(long, value_name = "ID")]
    copy_of: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    api: Api,
}

pub(super) const CREATE_HELP: &str = "\
The token alone goes to standard output, what is told about it to standard error.

Examples:
  tokengate token create --label \"my script\" --validity 90d
  tokengate token create --owner alice --label reading --scope read_only \\
      --ip 10.0.0.0/8 --output alice.token
  tokengate token create --owner ci --label comments \\
      --restriction '[post].*/rest/api/2/issue/JRA-[0-9]+/comment'";

impl Create {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { label, owner, unbound, valid_from, end, restrictions, copy_of, output, api } = self;
        let mut body = Map::new();
        body.insert("label".into(), json!(label));
        for (name, value) in [("owner", owner), ("valid_from", valid_from), ("copy_of", copy_of)] {
            body.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
        if *unbound {
            body.insert("unbound".into(), json!(true));
        }
        end.put_into(&mut body);
        restrictions.put_into(&mut body)?;
        let (status, answer) =
            api.connect()?.call(Method::POST, "/api/v1/tokens", &Query::new(), Some(&body.into()))?;
        if status != StatusCode::CREATED {
            return Err(CommandError::NotOurs);
        }
        output.made(api, &answer)
    }
}

/// Edits a token.
#[derive(clap::Args)]
pub(crate) struct Edit {
    /// Its id.
    id: String,
    /// What it is for.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    restrictions: Restrictions,
    /// Let it work from everywhere.
    #[arg(long, conflicts_with = "ip_ranges")]
    no_ips: bool,
    /// Let it work for every request.
    #[arg(long, conflicts_with_all = ["restrictions", "restrictions_file"])]
    no_restrictions: bool,
    #[command(flatten)]
    api: Api,
}

pub(super) const EDIT_HELP: &str = "\
What is not named stays; a list is replaced whole.

Examples:
  tokengate token edit 5f2b18c04d7a9e63b1d0 --label \"the other script\"
  tokengate token edit 5f2b18c04d7a9e63b1d0 --validity 1y --no-ips";

impl Edit {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { id, label, end, restrictions, no_ips, no_restrictions, api } = self;
        let mut body = Map::new();
        body.extend(label.iter().map(|label| ("label".to_owned(), json!(label))));
        end.put_into(&mut body);
        restrictions.put_into(&mut body)?;
        for (name, none) in [("ip_ranges", no_ips), ("restrictions", no_restrictions)] {
            if *none {
                body.insert(name.into(), json!([]));
            }
        }
        if body.is_empty() {
            return Err(CommandError::Usage("there is nothing to edit; --help says what can be".into()));
        }
        let path = format!("/api/v1/tokens/{}", segment(id)?);
        match api.connect()?.call(Method::PATCH, &path, &Query::new(), Some(&body.into()))? {
            (StatusCode::OK, token) if token["id"].is_string() => {
                answered(api.json, &token, |token| details(token, FIRST))
            }
            _ => Err(CommandError::NotOurs),
        }
    }
}

/// Rotates a token.
#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// Its id.
    id: String,
    /// For how long the old one goes on working beside the new one, such as 1h.
    #[arg(long, value_name = "TIME")]
    overlap: Option<String>,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    api: Api,
}

pub(super) const ROTATE_HELP: &str = "\
The token alone goes to standard output, what is told about it to standard error.

Example:
  tokengate token rotate 5f2b18c04d7a9e63b1d0 --overlap 1h --output ci.token";

impl Rotate {
    /// Does it.
    pub(super) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self { id, overlap, end, output, api } = self;
        let mut body = Map::new();
        body.extend(overlap.iter().map(|overlap| ("overlap".to_owned(), json!(overlap))));
        end.put_into(&mut body);
        let path = format!("/api/v1/tokens/{}/rotate", segment(id)?);
        let (_, answer) = api.connect()?.call(Method::POST, &path, &Query::new(), Some(&body.into()))?;
        output.made(api, &answer)
    }
}

impl End {
    fn put_into(&self, body: &mut Map<String, Value>) {
        for (name, value) in [("validity", &self.validity), ("expires_at", &self.expires_at)] {
            body.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        }
    }
}

impl Restrictions {
    fn put_into(&self, body: &mut Map<String, Value>) -> Result<(), CommandError> {
        let Self { scope, ip_ranges, restrictions, restrictions_file } = self;
        body.extend(scope.iter().map(|scope| ("scope".to_owned(), json!(scope))));
        if !ip_ranges.is_empty() {
            body.insert("ip_ranges".into(), json!(ip_ranges));
        }
        let mut lines = restrictions.clone();
        if let Some(path) = restrictions_file {
            let failed = |source| CommandError::File { path: path.clone(), source };
            let text = std::fs::read_to_string(path).map_err(failed)?;
            lines.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
            // An empty file must not make a token that may do everything.
            if lines.is_empty() {
                return Err(CommandError::Usage(format!("{}: there is no restriction in it", path.display())));
            }
        }
        if !lines.is_empty() {
            body.insert("restrictions".into(), json!(lines));
        }
        Ok(())
    }
}

impl Output {
    /// Hands a new token over.
    fn made(&self, api: &Api, answer: &Value) -> Result<ExitCode, CommandError> {
        let token = answer["token"].as_str().ok_or(CommandError::NotOurs)?;
        let Some(path) = &self.output else {
            if api.json {
                return print(&Zeroizing::new(format!("{answer}\n")));
            }
            eprintln!("{}; it is shown this once:", told(answer));
            return print(&Zeroizing::new(format!("{token}\n")));
        };
        make_private_files();
        if let Err(source) = write_private(path, token.as_bytes(), Existing::Goes) {
            // It exists, and nobody else will show it again.
            print(&Zeroizing::new(format!("{token}\n")))?;
            return Err(CommandError::File { path: path.clone(), source });
        }
        if api.json {
            let mut shown = answer.clone();
            shown["token"] = Value::Null;
            return print(&format!("{shown}\n"));
        }
        eprintln!("{}; it is in {}", told(answer), path.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn told(token: &Value) -> String {
    let [id, label, owner] = ["id", "label", "owner"].map(|field| text(&token[field]));
    match token["expires_at"].as_str() {
        Some(end) => format!("token {id} ({label}) of {owner}, until {end}"),
        None => format!("token {id} ({label}) of {owner}, without an end"),
    }
}
