//! `tokengate explain`.

use super::client::Api;
use super::{CommandError, Query, answered, secret, table, text};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Explains what becomes of a request with a token.
#[derive(clap::Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    about: About,
    /// Present it with Basic, beside this name. Without this: with Bearer.
    #[arg(long, value_name = "NAME")]
    basic: Option<String>,
    /// Present it with Bearer, which is the default.
    #[arg(long, conflicts_with = "basic")]
    bearer: bool,
    /// Run it on behalf of this user (the header contextUser).
    #[arg(long = "as", value_name = "NAME")]
    context_user: Option<String>,
    /// A header 'NAME: VALUE' that comes with it; may be given several times.
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The body. Unless a header says otherwise, it is said to be JSON.
    #[arg(long, short = 'd', value_name = "JSON")]
    data: Option<String>,
    /// The client's address; one's own if none is given.
    #[arg(long)]
    address: Option<String>,
    /// When, such as 2027-01-01T00:00:00Z; now if not given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Where the backend lives below the host, as the proxy is configured, such as /jira.
    #[arg(long, value_name = "PATH")]
    context_path: Option<String>,
    /// A path, below that, on which the proxy accepts tokens; may be given several times; /rest/ if not given.
    #[arg(long = "protected-prefix", value_name = "PATH")]
    protected_prefixes: Vec<String>,
    /// The method of the request, such as GET.
    method: String,
    /// Its path and query as they are sent, such as /rest/api/2/issue/JRA-1.
    path: String,
    #[command(flatten)]
    api: Api,
}

/// The token of which is asked.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct About {
    /// Its id, as lists, logs and the header X-Tokengate-Token-Id show it.
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
    /// File that holds the value itself; - for a prompt, or a line of standard input. Never an argument: those are seen by
    /// everybody on the machine.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

pub(crate) const HELP: &str = "\
The rules are those of the proxies, asked in their order; => marks the one that
decided. Of a restricted token each line is shown, and what of it does not hold.
Nothing is sent to the backend, and no use is counted. What the proxy alone
knows must be said here: --context-path, --protected-prefix, and --address if the
request comes from elsewhere. Asking about another's token is for sysadmins.

(--token-file and --user, as in every command, say as whom this asks.)

Exit code: 0 if it was explained, whatever the verdict.

Examples:
  tokengate explain --token-id 5f2b18c04d7a9e63b1d0 GET /rest/api/2/issue/JRA-1
  tokengate explain --token-id 5f2b18c04d7a9e63b1d0 --basic alice --as bob \\
      --address 192.0.2.7 --context-path /jira GET /jira/rest/api/2/myself
  tokengate explain --token-id 5f2b18c04d7a9e63b1d0 \\
      --data '{\"editable\": false}' PUT /rest/api/2/filter
  tokengate explain --value-file - --json GET /rest/ </run/secrets/token";

impl Explain {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        let connection = self.api.connect()?;
        let body = self.question()?;
        match connection.call(Method::POST, "/api/v1/explain", &Query::new(), Some(&body))? {
            (StatusCode::OK, answer) if answer["verdict"].is_string() => answered(self.api.json, &answer, told),
            _ => Err(CommandError::NotOurs),
        }
    }

    fn question(&self) -> Result<Value, CommandError> {
        let mut body = Map::new();
        let mut put = |name: &str, value: &Option<String>| {
            body.extend(value.iter().map(|value| (name.to_owned(), json!(value))));
        };
        put("id", &self.about.token_id);
        put("user", &self.basic);
        put("context_user", &self.context_user);
        put("body", &self.data);
        put("address", &self.address);
        put("at", &self.at);
        if let Some(path) = &self.about.value_file {
            body.insert("token".into(), json!(value(path)?.as_str()));
        }
        body.insert("scheme".into(), json!(if self.basic.is_some() { "basic" } else { "bearer" }));
        body.insert("method".into(), json!(self.method));
        body.insert("url".into(), json!(self.path));
        let mut headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), json!(value))).collect();
        if self.data.is_some() {
            headers.entry("content-type").or_insert_with(|| json!("application/json"));
        }
        body.insert("headers".into(), headers.into());
        let mut site = Map::new();
        site.extend(self.context_path.iter().map(|path| ("context_path".to_owned(), json!(path))));
        if !self.protected_prefixes.is_empty() {
            site.insert("protected_prefixes".into(), json!(self.protected_prefixes));
        }
        body.insert("site".into(), site.into());
        Ok(body.into())
    }
}

/// The value of a token from a file.
fn value(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    if path == Path::new("-") {
        return secret("Token");
    }
    let read = std::fs::read_to_string(path).map(Zeroizing::new);
    let read = read.map_err(|source| CommandError::File { path: path.to_owned(), source })?;
    Ok(Zeroizing::new(read.trim_end_matches(['\r', '\n']).to_owned()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// An explanation as people read it.
fn told(answer: &Value) -> String {
    let field = |name: &str| text(&answer[name]);
    let mut told = match answer["code"].as_str() {
        Some(_) => format!("{}: {} {}. {}\n", field("verdict"), field("status"), field("code"), field("detail")),
        None => format!("{} to the {}. {}\n", field("verdict"), field("goes_to").replace('_', " "), field("detail")),
    };
    match (&answer["user"], &answer["actor"]) {
        (Value::Null, _) => {}
        (_, Value::Null) => told += &format!("as {}, in {}\n", field("user"), names(&answer["headers_set"])),
        _ => {
            let set = names(&answer["headers_set"]);
            told += &format!("as {}, on whose behalf {} came, in {set}\n", field("user"), field("actor"));
        }
    }
    told += &format!("by revision {} of the settings\n\n", field("settings_revision"));
    let steps = rows(&answer["steps"]);
    let decided = steps.len().saturating_sub(1);
    let looked_at = steps.iter().enumerate().filter(|(_, step)| step["outcome"] != "not_applicable");
    let shown: Vec<_> = looked_at
        .map(|(index, step)| {
            let mark = if index == decided { "=>" } else { "" };
            [mark.into(), text(&step["rule"]), text(&step["outcome"]), text(&step["detail"])]
        })
        .collect();
    told += &table(["", "RULE", "OUTCOME", "WHY"], &shown);
    let spared = steps.len().saturating_sub(shown.len());
    if spared > 0 {
        told += &format!("    ({spared} more rules before it do not concern this request; --json shows them)\n");
    }
    let lines: Vec<_> = rows(&answer["lines"])
        .iter()
        .map(|line| {
            let mark = if line["outcome"] == "holds" { "=>" } else { "" };
            [mark.into(), text(&line["line"]), text(&line["outcome"]), text(&line["text"]), text(&line["detail"])]
        })
        .collect();
    if !lines.is_empty() {
        told += &format!("\n{}", table(["", "LINE", "OUTCOME", "RESTRICTION", "WHY"], &lines));
    }
    for note in rows(&answer["notes"]) {
        told += &format!("\nNote: {}\n", text(note));
    }
    told
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn names(value: &Value) -> String {
    rows(value).iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m9_the_line_that_decided_is_marked() {
        let step = |rule: &str, outcome: &str| json!({ "rule": rule, "outcome": outcome, "detail": "Why." });
        let answer = json!({
            "verdict": "refused", "status": 403, "code": "restricted", "detail": "Not meant.", "settings_revision": 3,
            "steps": [step("a", "passed"), step("b", "not_applicable"), step("c", "refused")],
            "lines": [{ "line": 1, "text": "[get]/x", "outcome": "fails", "detail": "The method." }],
            "notes": ["Mind."],
        });
        let expected = "refused: 403 restricted. Not meant.\nby revision 3 of the settings\n\n    \
                        RULE  OUTCOME  WHY\n    a     passed   Why.\n=>  c     refused  Why.\n    \
                        (1 more rules before it do not concern this request; --json shows them)\n\n  \
                        LINE  OUTCOME  RESTRICTION  WHY\n  1     fails    [get]/x      The method.\n\nNote: Mind.\n";
        assert_eq!(told(&answer), expected);
    }
}
