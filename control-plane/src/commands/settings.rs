//! `tokengate settings`.

use super::client::Api;
use super::listing::{Limit, list};
use super::{CommandError, Query, answered, text, trial};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// What can be done with settings.
#[derive(clap::Subcommand)]
pub(crate) enum Settings {
    /// Show the settings in force, or some of them.
    Show {
        /// Their names; all if none is given.
        names: Vec<String>,
        #[command(flatten)]
        api: Api,
    },
    /// Change settings: all that are named, or none of them.
    #[command(after_help = SET_HELP)]
    Set {
        /// NAME=VALUE: JSON, or else the text itself.
        #[arg(required = true, value_parser = assignment, value_name = "NAME=VALUE")]
        values: Vec<(String, String)>,
        #[command(flatten)]
        force: Force,
        #[command(flatten)]
        api: Api,
    },
    /// Try settings on the last calls: which of them would be refused?
    #[command(after_help = format!("{}\n{TRY_EXAMPLES}", trial::ANSWERS_HELP))]
    Try {
        /// NAME=VALUE, as for `settings set`.
        #[arg(required = true, value_parser = assignment, value_name = "NAME=VALUE")]
        values: Vec<(String, String)>,
        /// Only on calls with the token with this id.
        #[arg(long, value_name = "ID")]
        token: Option<String>,
        #[command(flatten)]
        calls: trial::Calls,
        #[command(flatten)]
        api: Api,
    },
    /// List the versions of the settings, or show one of them.
    History {
        /// The number of a version, to see it whole.
        version: Option<u64>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        api: Api,
    },
    /// Go back to a version.
    #[command(after_help = "Example:\n  tokengate settings history --limit 5\n  tokengate settings restore 17")]
    Restore {
        /// Its number; 0: the defaults.
        version: u64,
        #[command(flatten)]
        force: Force,
        #[command(flatten)]
        api: Api,
    },
}

/// Versions of a page: the most that the API gives, since each may be long.
const HISTORY_PAGE: u64 = 100;

/// Whether it is meant.
#[derive(clap::Args)]
pub(crate) struct Force {
    /// Do it although it locks you out: your address, your token or its scheme would be refused.
    #[arg(long)]
    force: bool,
}

const SET_HELP: &str = "\
A list is replaced whole: name it several times, once for each value, or write
JSON. `null` is a value where it is named in the documents, such as no limit.

Exit code: 0 if they are in force, 1 if not; then every error is told with its
place, and nothing is changed.

Examples:
  tokengate settings set passwords=disabled max_validity=90d
  tokengate settings set ip_rules=10.0.0.0/8 ip_rules=192.0.2.7
  tokengate settings set 'expiry_warning_days=[14,7,1]' help_url=null
  tokengate settings set ip_rules=[] --force";

const TRY_EXAMPLES: &str = "
Examples:
  tokengate settings try ip_rules=10.0.0.0/8 ip_rules=192.0.2.7
  tokengate settings try token_schemes=basic --last 10000 --json
  tokengate settings try passwords=disabled password_exempt_paths=/rest/public/ \\
      --context-path /jira";

impl Settings {
    /// Does it.
    pub(crate) fn run(&self) -> Result<ExitCode, CommandError> {
        match self {
            Self::Show { names, api } => show(names, api),
            Self::Set { values, force, api } => {
                let body = patch(values)?;
                change(api, Method::PATCH, "/api/v1/settings", force, &body, |answer| {
                    body.as_object().into_iter().flatten().map(|(name, _)| line(name, &answer[name])).collect()
                })
            }
            Self::Try { values, token, calls, api } => {
                let mut body = Map::from_iter([("settings".into(), patch(values)?)]);
                body.extend(token.iter().map(|token| ("token".into(), json!(token))));
                trial::try_out(api, "/api/v1/settings/try", body, calls)
            }
            Self::History { version: Some(version), limit: _, api } => {
                let path = format!("/api/v1/settings/history/{version}");
                answered(api.json, &api.connect()?.get(&path, &Query::new())?, |answer| lines(&answer["settings"]))
            }
            Self::History { version: None, limit, api } => {
                let heads = ["VERSION", "AT", "ACTOR", "CHANGED"];
                list(api, ("/api/v1/settings/history", HISTORY_PAGE), &Query::new(), limit, heads, |version| {
                    let [number, at, actor] = ["version", "at", "actor"].map(|field| text(&version[field]));
                    [number, at, actor, names(&version["changed"]["after"])]
                })
            }
            Self::Restore { version, force, api } => {
                let body = json!({ "version": version });
                change(api, Method::POST, "/api/v1/settings/restore", force, &body, |answer| {
                    format!("the settings are those of version {version} again\n{}", lines(answer))
                })
            }
        }
    }
}

fn show(names: &[String], api: &Api) -> Result<ExitCode, CommandError> {
    let settings = api.connect()?.get("/api/v1/settings", &Query::new())?;
    let missing = names.iter().find(|name| settings.get(name.as_str()).is_none());
    if let Some(name) = missing {
        return Err(CommandError::Usage(format!("there is no setting {name}")));
    }
    let named = settings.as_object().into_iter().flatten();
    let shown: Map<String, Value> = named
        .filter(|(name, _)| names.is_empty() || names.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    answered(api.json, &shown.into(), lines)
}

fn change(
    api: &Api,
    method: Method,
    path: &str,
    Force { force }: &Force,
    body: &Value,
    told: impl FnOnce(&Value) -> String,
) -> Result<ExitCode, CommandError> {
    let query = if *force { vec![("force", "true".to_owned())] } else { Query::new() };
    match api.connect()?.call(method, path, &query, Some(body))? {
        (StatusCode::OK, answer) if answer.is_object() => answered(api.json, &answer, told),
        _ => Err(CommandError::NotOurs),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".into()),
    }
}

/// The values as the API takes them: JSON is JSON, all else is text, and what is a list is given as one.
fn patch(values: &[(String, String)]) -> Result<Value, CommandError> {
    let known = policy::Settings::default().to_json();
    let mut patch = Map::new();
    for (name, value) in values {
        let default = known.get(name);
        let read = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        let read = match (default, &read) {
            // A name may consist of digits.
            (Some(Value::String(_)), Value::Number(_) | Value::Bool(_)) => json!(value),
            (Some(Value::Array(_)), Value::Array(_) | Value::Null) => read,
            (Some(Value::Array(_)), _) => json!([read]),
            _ => read,
        };
        match (patch.get_mut(name), read) {
            (None, read) => {
                patch.insert(name.clone(), read);
            }
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            _ => return Err(CommandError::Usage(format!("{name} is given twice, and is no list"))),
        }
    }
    Ok(patch.into())
}

fn lines(settings: &Value) -> String {
    settings.as_object().into_iter().flatten().map(|(name, value)| line(name, value)).collect()
}

/// A setting in the form in which it can be given.
fn line(name: &str, value: &Value) -> String {
    match value {
        Value::String(value) if !value.contains(char::is_control) => format!("{name}={value}\n"),
        value => format!("{name}={value}\n"),
    }
}

/// The names of what was changed.
fn names(changed: &Value) -> String {
    changed.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(values: &[&str]) -> Result<Value, CommandError> {
        patch(&values.iter().map(|value| assignment(value).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_json_or_text_and_lists_are_lists() {
        let patch = patched(&[
            "passwords=disabled",
            "max_validity=90d",
            "log_calls=false",
            "max_tokens_per_user=null",
            "assertion_audience=2026",
            "ip_rules=10.0.0.0/8",
            "ip_rules=192.0.2.7",
            "expiry_warning_days=[3,1]",
            "password_exempt_users=[]",
            "help_url=https://example.org/?a=b",
            "unheard_of=1",
        ]);
        let expected = json!({
            "passwords": "disabled", "max_validity": "90d", "log_calls": false, "max_tokens_per_user": null,
            "assertion_audience": "2026", "ip_rules": ["10.0.0.0/8", "192.0.2.7"], "expiry_warning_days": [3, 1],
            "password_exempt_users": [], "help_url": "https://example.org/?a=b", "unheard_of": 1,
        });
        assert_eq!(patch.unwrap(), expected);
        assert!(patched(&["passwords=disabled", "passwords=allowed"]).unwrap_err().is_usage());
        assert!(assignment("passwords").is_err() && assignment("=x").is_err());
    }

    #[test]
    fn what_is_shown_can_be_given_again() {
        let settings = policy::Settings::default().to_json();
        let shown = lines(&settings);
        let values: Vec<&str> = shown.lines().collect();
        assert_eq!(patched(&values).unwrap(), settings);
    }
}
