//! The commands: most work through the API, of this control plane or of one elsewhere; some on this machine's data.

mod audit;
mod client;
mod doctor;
mod explain;
mod keys;
mod listing;
mod proxy;
mod settings;
mod token;
mod trial;
mod user;

pub(crate) use audit::Audit;
pub(crate) use client::CommandError;
pub(crate) use doctor::{Doctor, HELP as DOCTOR_HELP};
pub(crate) use explain::{Explain, HELP as EXPLAIN_HELP};
pub(crate) use keys::{ASSERTION_KEY_HELP, AssertionKey, SYNC_KEY_HELP, SyncKey};
pub(crate) use proxy::Proxy;
pub(crate) use settings::Settings;
pub(crate) use token::Token;
pub(crate) use user::User;

use reqwest::StatusCode;
use serde_json::Value;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// The program's exit code if the command line or the configuration cannot be.
const USAGE: u8 = 2;

/// The program's exit code if a change is made, but not known to be in force everywhere.
const NOT_CONFIRMED: u8 = 3;

/// How a command ended, for whoever started it.
pub(crate) fn exit(outcome: Result<ExitCode, CommandError>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        // Whoever reads has enough, such as `head`.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tokengate: {error}");
            if error.is_usage() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Prints this on standard output, and that is all.
pub(crate) fn print(text: &str) -> Result<ExitCode, CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints an answer: for programs, or as this text for people.
fn answered(as_json: bool, answer: &Value, text: impl FnOnce(&Value) -> String) -> Result<ExitCode, CommandError> {
    if as_json { print(&format!("{answer}\n")) } else { print(&text(answer)) }
}

/// What is told of a change for which proxies may have been waited for, and the exit code that says the same.
fn confirmed(
    as_json: bool,
    (status, answer): (StatusCode, Value),
    waits: bool,
    what: &str,
) -> Result<ExitCode, CommandError> {
    let confirmed = answer["confirmed_count"].as_u64().zip(answer["unconfirmed_count"].as_u64());
    // Somebody else who answers everything with 200 has done nothing.
    let is_ours = match status {
        StatusCode::NO_CONTENT => !waits,
        StatusCode::OK => confirmed.is_some_and(|(_, unconfirmed)| unconfirmed == 0),
        StatusCode::ACCEPTED => confirmed.is_some(),
        _ => false,
    };
    if !is_ours {
        return Err(CommandError::NotOurs);
    }
    answered(as_json, &answer, |answer| told(what, answer))?;
    Ok(if status == StatusCode::ACCEPTED { ExitCode::from(NOT_CONFIRMED) } else { ExitCode::SUCCESS })
}

fn told(what: &str, answer: &Value) -> String {
    let count = |name: &str| answer[name].as_u64();
    let (Some(confirmed), Some(unconfirmed)) = (count("confirmed_count"), count("unconfirmed_count")) else {
        return format!("{what}; the proxies are being told\n");
    };
    let (revision, all) = (text(&answer["revision"]), confirmed + unconfirmed);
    let told = format!("{what} at revision {revision}; confirmed by {confirmed} of {all} proxies\n");
    match answer["unconfirmed"].as_array() {
        Some(lost) if !lost.is_empty() => format!("{told}\nThese may still admit it:\n{}", proxy::listed(lost)),
        _ => told,
    }
}

/// Asks whether to do it. Where nobody can be asked, `--yes` must have been given.
fn confirm(question: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(CommandError::Usage("there is nobody to ask whether to do it; add --yes".into()));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer).map_err(CommandError::Input)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(CommandError::Aborted) }
}

/// A secret from the terminal, without echo, or a line of standard input. Never an argument: those are seen by everybody
/// on the machine.
fn secret(prompt: &str) -> Result<Zeroizing<String>, CommandError> {
    let secret = if io::stdin().is_terminal() {
        Zeroizing::new(rpassword::prompt_password(format!("{prompt}: ")).map_err(CommandError::Input)?)
    } else {
        let mut line = Zeroizing::new(String::with_capacity(SECRET_LEN_MAX + 2));
        let read = io::stdin().lock().take(SECRET_LEN_MAX as u64 + 2).read_line(&mut line);
        read.map_err(CommandError::Input)?;
        Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    match secret.len() {
        0 => Err(CommandError::Usage(format!("{prompt}: nothing was given"))),
        1..=SECRET_LEN_MAX => Ok(secret),
        _ => Err(CommandError::Usage(format!("{prompt}: more than {SECRET_LEN_MAX} bytes were given"))),
    }
}

/// A new password: typed twice where it cannot be seen.
fn new_password() -> Result<Zeroizing<String>, CommandError> {
    let password = secret("New password")?;
    if io::stdin().is_terminal() && secret("The same again")? != password {
        return Err(CommandError::Usage("these were two different passwords; nothing was done".into()));
    }
    Ok(password)
}

/// Bytes of a secret that is read: more than the API takes, so that it is the one to say so.
const SECRET_LEN_MAX: usize = 4096;

/// Rows under their heads, each column as wide as it must be.
fn table<const N: usize>(heads: [&'static str; N], rows: &[[String; N]]) -> String {
    listing::Table::new(heads).head_and(rows)
}

/// A thing as people read it: a line for each field, these first.
fn details(thing: &Value, first: &[&str]) -> String {
    let fields = thing.as_object();
    let others = fields.into_iter().flatten().map(|(name, _)| name.as_str()).filter(|name| !first.contains(name));
    let names: Vec<&str> =
        first.iter().copied().filter(|name| fields.is_some_and(|f| f.contains_key(*name))).chain(others).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let lines = names.iter().flat_map(|name| match &thing[*name] {
        Value::Array(values) if !values.is_empty() => {
            let labels = std::iter::once(*name).chain(std::iter::repeat(""));
            labels.zip(values).map(|(label, value)| format!("{label:<width$}  {}\n", text(value))).collect()
        }
        value => vec![format!("{name:<width$}  {}\n", text(value))],
    });
    lines.collect()
}

/// A value of an answer as people read it. What others have typed must not move their cursor.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => return "-".into(),
        Value::Bool(true) => return "yes".into(),
        Value::Bool(false) => return "no".into(),
        Value::Array(values) if values.is_empty() => return "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A part of a path, so that it stays one whatever somebody typed.
fn segment(name: &str) -> Result<String, CommandError> {
    if matches!(name, "" | "." | "..") {
        return Err(CommandError::Usage(format!("{name:?} names nothing")));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    Ok(name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect())
}

/// Parameters of a query.
type Query = Vec<(&'static str, String)>;

/// Those that were given.
fn given<const N: usize>(parameters: [(&'static str, &Option<String>); N]) -> Query {
    parameters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attack_what_others_have_typed_moves_no_cursor() {
        assert_eq!(text(&json!("a\u{1b}[2Jb\nc")), "a\\u{1b}[2Jb\\nc");
        assert_eq!(text(&json!("Jürgen")), "Jürgen");
    }

    #[test]
    fn attack_a_name_stays_one_segment() {
        assert_eq!(segment("../users/a b").unwrap(), "..%2Fusers%2Fa%20b");
        assert_eq!(segment("john.doe@example.org").unwrap(), "john.doe%40example.org");
        assert!(segment("..").is_err() && segment("").is_err());
    }

    #[test]
    fn a_thing_has_a_line_for_each_value() {
        let thing = json!({ "b": ["x", "y"], "a": true, "id": 1, "none": [] });
        assert_eq!(details(&thing, &["id", "missing"]), "id    1\na     yes\nb     x\n      y\nnone  -\n");
    }
}
