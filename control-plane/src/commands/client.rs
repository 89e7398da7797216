//! The client of the API: where it is, and as whom.

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long an answer may take: longer than the API waits for proxies.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is, and as whom it is called.
#[derive(clap::Args)]
pub(crate) struct Api {
    /// The control plane, or a proxy in front of it.
    #[arg(long, env = "TOKENGATE_URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// File that holds the API token to call with. TOKENGATE_TOKEN, if set, is the token itself.
    #[arg(long, env = "TOKENGATE_TOKEN_FILE", value_name = "FILE", default_value = "data/admin-token")]
    token_file: PathBuf,
    /// Name of its user, to call with Basic: where Bearer is not accepted.
    #[arg(long, env = "TOKENGATE_USER")]
    user: Option<String>,
    /// Certificate (PEM) of a root to trust besides the system's.
    #[arg(long, env = "TOKENGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot read the token in {path}: {source} (name another file with --token-file, or set TOKENGATE_TOKEN)")]
    Token { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Client(reqwest::Error),
    #[error("{url} does not answer: {source}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("this was no answer of Tokengate's; nothing is known to have been done (look at --url)")]
    NotOurs,
    #[error("{status}: {sentence}")]
    Refused { status: StatusCode, sentence: String },
}

impl Api {
    /// Calls the API; gives status and body, if it did not refuse.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), CommandError> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let call = self.credential(self.client()?.request(method, &url).query(query))?;
        let unreachable = |source| CommandError::Unreachable { url: self.url.clone(), source };
        let reply = call.send().map_err(|error| unreachable(error.without_url()))?;
        let status = reply.status();
        let body = reply.text().map_err(|error| unreachable(error.without_url()))?;
        let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok((status, json));
        }
        let said = |name| json.get(name).and_then(Value::as_str);
        let sentence = said("detail").or(said("title")).unwrap_or("this is no answer of Tokengate's").to_owned();
        Err(CommandError::Refused { status, sentence })
    }

    fn client(&self) -> Result<Client, CommandError> {
        // A token goes where it was sent, and nowhere else.
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE);
        let mut client = client.user_agent(concat!("tokengate/", env!("CARGO_PKG_VERSION")));
        if let Some(host) = self.url.strip_prefix("http://") {
            client = client.no_proxy();
            if !["127.", "localhost", "[::1]"].iter().any(|own| host.starts_with(own)) {
                eprintln!("tokengate: {} is not encrypted: the token can be read on the way there", self.url);
            }
        }
        if let Some(path) = &self.ca {
            let pem = std::fs::read(path).map_err(|source| CommandError::File { path: path.clone(), source })?;
            client = client.add_root_certificate(Certificate::from_pem(&pem).map_err(CommandError::Client)?);
        }
        client.build().map_err(CommandError::Client)
    }

    fn credential(&self, call: RequestBuilder) -> Result<RequestBuilder, CommandError> {
        let token = match std::env::var("TOKENGATE_TOKEN").map(Zeroizing::new) {
            Ok(token) => token,
            Err(_) => {
                let failed = |source| CommandError::Token { path: self.token_file.clone(), source };
                Zeroizing::new(std::fs::read_to_string(&self.token_file).map_err(failed)?)
            }
        };
        Ok(match &self.user {
            Some(user) => call.basic_auth(user, Some(token.trim())),
            None => call.bearer_auth(token.trim()),
        })
    }
}
