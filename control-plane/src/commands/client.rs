//! The client of the API: where it is, and as whom.

use super::Query;
use super::user::RecoverError;
use crate::config::ConfigError;
use crate::serve::ServeError;
use reqwest::blocking::{Body, Client, RequestBuilder, Response};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long an answer may take: longer than the API waits for proxies.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is, and as whom it is called.
#[derive(clap::Args)]
pub(crate) struct Api {
    /// The control plane, or a proxy in front of it.
    #[arg(long, env = "TOKENGATE_URL", default_value = "http://127.0.0.1:8081")]
    pub(super) url: String,
    /// File that holds the API token to call with; `admin-token` in the data directory (TOKENGATE_DATA) if none is
    /// named. TOKENGATE_TOKEN, if set, is the token itself.
    #[arg(long, env = "TOKENGATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
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

/// The API, ready to be called.
pub(super) struct Connection<'a> {
    api: &'a Api,
    client: Client,
    token: Zeroizing<String>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("nothing was done")]
    Aborted,
    #[error("cannot write: {0}")]
    Output(io::Error),
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot read the token in {path}: {source} (name another file with --token-file, or set TOKENGATE_TOKEN)")]
    Token { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Client(reqwest::Error),
    #[error("{url} does not answer: {source}")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("this was no answer of Tokengate's; nothing is known to have been done (look at --url)")]
    NotOurs,
    #[error("the answer broke off; what was written is not whole: {0}")]
    BrokeOff(io::Error),
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

impl CommandError {
    /// Whether it is how the command was called that cannot be.
    pub(super) fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_) | Self::Config(_))
    }
}

/// What the API said when it refused (RFC 9457).
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    sentence: String,
    /// What is wrong with a document, place by place.
    errors: Vec<String>,
    request_id: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.sentence)?;
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        match &self.request_id {
            Some(id) if self.status.is_server_error() => write!(f, "\n  in the logs: request {id}"),
            _ if self.code == "would_lock_you_out" => write!(f, "\n  --force does it all the same"),
            _ => Ok(()),
        }
    }
}

impl Refusal {
    fn new(status: StatusCode, problem: &Value) -> Self {
        let said = |name| problem.get(name).and_then(Value::as_str);
        let text = |name| problem.get(name).map(super::text);
        let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
        Self {
            status,
            code: said("code").unwrap_or_default().to_owned(),
            sentence: text("detail").or(text("title")).unwrap_or_else(|| "this is no answer of Tokengate's".into()),
            errors: errors.iter().map(fault).collect(),
            request_id: text("request_id"),
        }
    }
}

/// One thing that is wrong with a document: its place, and a sentence.
pub(super) fn fault(error: &Value) -> String {
    let sentence = super::text(&error["detail"]);
    let mut place = super::text(&error["pointer"]).trim_start_matches("#").trim_start_matches('/').to_owned();
    // Of a file, that is a line and a column of it, which the sentence names.
    let line = place.split('/').next().unwrap_or_default();
    if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("line {line}: {sentence}");
    }
    if let (Some(line), Some(column)) = (error["line"].as_u64(), error["column"].as_u64()) {
        place += &format!(", line {line}, column {column}");
    }
    // Some sentences begin with the place.
    if matches!(place.as_str(), "" | "-") || sentence.starts_with(&place) {
        sentence
    } else {
        format!("{place}: {sentence}")
    }
}

impl Api {
    /// Makes ready to call.
    pub(super) fn connect(&self) -> Result<Connection<'_>, CommandError> {
        let data = std::env::var_os("TOKENGATE_DATA").map_or_else(|| PathBuf::from("data"), PathBuf::from);
        self.connect_from(&data)
    }

    /// The same where the data directory is known.
    pub(super) fn connect_from(&self, data: &Path) -> Result<Connection<'_>, CommandError> {
        Ok(Connection { api: self, client: self.client()?, token: self.token(data)? })
    }

    /// A client that has not shown any token yet.
    pub(super) fn client(&self) -> Result<Client, CommandError> {
        // A token goes where it was sent, and nowhere else.
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE).connect_timeout(PATIENCE);
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

    /// The address of a path.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    fn token(&self, data: &Path) -> Result<Zeroizing<String>, CommandError> {
        let token = match std::env::var("TOKENGATE_TOKEN").map(Zeroizing::new) {
            Ok(token) => token,
            Err(_) => {
                let path = self.token_file.clone().unwrap_or_else(|| data.join("admin-token"));
                let read = std::fs::read_to_string(&path);
                Zeroizing::new(read.map_err(|source| CommandError::Token { path, source })?)
            }
        };
        Ok(Zeroizing::new(token.trim().to_owned()))
    }
}

impl Connection<'_> {
    /// Reads.
    pub(super) fn get(&self, path: &str, query: &Query) -> Result<Value, CommandError> {
        match self.call(Method::GET, path, query, None)? {
            (StatusCode::OK, answer) if answer.is_object() => Ok(answer),
            _ => Err(CommandError::NotOurs),
        }
    }

    /// Calls; gives status and body, if it did not refuse.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), CommandError> {
        let mut call = self.request(method, path, query);
        if let Some(body) = body {
            call = call.json(body);
        }
        let reply = call.send().map_err(|error| self.unreachable(error))?;
        let status = reply.status();
        let body = Zeroizing::new(reply.text().map_err(|error| self.unreachable(error))?); // it may hold a token
        let json: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        if status.is_success() { Ok((status, json)) } else { Err(refused(status, &json)) }
    }

    /// Calls for something long, which is read as it comes, however long that takes.
    pub(super) fn stream(&self, path: &str, query: &Query) -> Result<Response, CommandError> {
        let call = self.request(Method::GET, path, query).timeout(Duration::from_secs(24 * 60 * 60));
        let reply = call.send().map_err(|error| self.unreachable(error))?;
        let status = reply.status();
        if status == StatusCode::OK {
            return Ok(reply);
        }
        let body = reply.text().map_err(|error| self.unreachable(error))?;
        Err(refused(status, &serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    /// Sends something long, which is read as it goes, however long that takes; gives status and body, if it was not
    /// refused.
    pub(super) fn send_long(
        &self,
        path: &str,
        query: &Query,
        media_type: &'static str,
        body: impl Read + Send + 'static,
    ) -> Result<(StatusCode, Value), CommandError> {
        let call = self.request(Method::POST, path, query).timeout(Duration::from_secs(24 * 60 * 60));
        let reply = call.header(CONTENT_TYPE, media_type).body(Body::new(body)).send();
        let reply = reply.map_err(|error| self.unreachable(error))?;
        let status = reply.status();
        let text = reply.text().map_err(|error| self.unreachable(error))?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() { Ok((status, json)) } else { Err(refused(status, &json)) }
    }

    fn request(&self, method: Method, path: &str, query: &Query) -> RequestBuilder {
        let call = self.client.request(method, self.api.address(path)).query(query);
        match &self.api.user {
            Some(user) => call.basic_auth(user, Some(self.token.as_str())),
            None => call.bearer_auth(self.token.as_str()),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> CommandError {
        CommandError::Unreachable { url: self.api.url.clone(), source: error.without_url() }
    }
}

fn refused(status: StatusCode, problem: &Value) -> CommandError {
    CommandError::Refused(Box::new(Refusal::new(status, problem)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_is_told_with_every_error_and_its_place() {
        let problem = json!({
            "detail": "Some settings cannot be.", "code": "invalid_settings", "request_id": "r1",
            "errors": [
                { "detail": "ip_rules/1: must be an address.", "pointer": "#/ip_rules/1" },
                { "detail": "A group is not closed.", "pointer": "#/restrictions", "line": 2, "column": 7 },
                { "detail": "owner is nobody's name.", "pointer": "#/17/owner" },
                { "detail": "No place." },
            ],
        });
        let said = Refusal::new(StatusCode::BAD_REQUEST, &problem).to_string();
        let expected = "400 Bad Request: Some settings cannot be.\n  ip_rules/1: must be an address.\n  \
                        restrictions, line 2, column 7: A group is not closed.\n  line 17: owner is nobody's name.\n  No place.";
        assert_eq!(said, expected);
        let problem = json!({ "detail": "Broken.", "request_id": "r1" });
        assert!(Refusal::new(StatusCode::BAD_GATEWAY, &problem).to_string().contains("request r1"));
        let problem = json!({ "detail": "No.", "code": "would_lock_you_out" });
        assert!(Refusal::new(StatusCode::CONFLICT, &problem).to_string().contains("--force"));
    }
}
