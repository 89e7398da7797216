//! `tokengate token`.

use super::client::{Api, CommandError};
use super::{NOT_CONFIRMED, proxy, text};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::process::ExitCode;

/// What can be done with tokens.
#[derive(clap::Subcommand)]
pub(crate) enum Token {
    /// Revoke a token: it is deleted, and refused from then on.
    ///
    /// With --wait, the command ends once every proxy has confirmed that all its workers refuse it, and names those that
    /// have not.
    #[command(after_help = REVOKE_HELP)]
    Revoke {
        /// The id of the token, as lists, logs and the header X-Tokengate-Token-Id show it.
        id: String,
        /// How long to wait for the proxies, such as 5s or 500ms; at most 10s.
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s")]
        wait: Option<String>,
        #[command(flatten)]
        api: Api,
    },
}

const REVOKE_HELP: &str = "\
Exit code: 0 if it is revoked (with --wait: and confirmed by all proxies), 3 if
it is revoked and a proxy has not confirmed, 1 if it failed or nobody knows:
then list the token, or revoke it again.

Example:
  tokengate token revoke 5f2b18c04d7a9e63b1d0 --wait
  TOKENGATE_TOKEN=tgt_… tokengate token revoke 5f2b18c04d7a9e63b1d0 \\
      --url https://jira.example.org --wait 10s";

impl Token {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        let Self::Revoke { id, wait, api } = self;
        let wait: Vec<_> = wait.iter().map(|wait| ("wait", wait.as_str())).collect();
        let path = format!("/api/v1/tokens/{}", percent_encoded(id));
        let (status, answer) = api.call(Method::DELETE, &path, &wait)?;
        // Somebody else who answers everything with 200 has revoked nothing.
        let confirmed = answer["confirmed_count"].as_u64().zip(answer["unconfirmed_count"].as_u64());
        let is_ours = match status {
            StatusCode::NO_CONTENT => wait.is_empty(),
            StatusCode::OK => confirmed.is_some_and(|(_, unconfirmed)| unconfirmed == 0),
            StatusCode::ACCEPTED => confirmed.is_some(),
            _ => false,
        };
        if !is_ours {
            return Err(CommandError::NotOurs);
        }
        if api.json {
            println!("{answer}");
        } else {
            print!("{}", told(id, &answer));
        }
        Ok(if status == StatusCode::ACCEPTED { ExitCode::from(NOT_CONFIRMED) } else { ExitCode::SUCCESS })
    }
}

fn told(id: &str, answer: &Value) -> String {
    let count = |name: &str| answer[name].as_u64();
    let (Some(confirmed), Some(unconfirmed)) = (count("confirmed_count"), count("unconfirmed_count")) else {
        return format!("revoked {id}; the proxies are being told\n");
    };
    let (revision, all) = (text(&answer["revision"]), confirmed + unconfirmed);
    let told = format!("revoked {id} at revision {revision}; confirmed by {confirmed} of {all} proxies\n");
    match answer["unconfirmed"].as_array() {
        Some(lost) if !lost.is_empty() => format!("{told}\nThese may still admit it:\n{}", proxy::listed(lost)),
        _ => told,
    }
}

/// An id, so that it stays one segment of a path whatever somebody typed.
fn percent_encoded(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    id.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
