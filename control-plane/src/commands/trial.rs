//! `tokengate settings try` and `tokengate token try`: what is asked for, and how the answer is shown.

use super::client::Api;
use super::{CommandError, Query, answered, table, text};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// On which calls, and what is known of them.
#[derive(clap::Args)]
pub(crate) struct Calls {
    /// On how many records of the audit of calls: 1 to 10000.
    #[arg(long, value_name = "N", default_value = "1000")]
    last: u64,
    /// Where the backend lives below the host, as the proxies have it, such as /jira.
    #[arg(long, value_name = "PATH")]
    context_path: Option<String>,
    /// A prefix on which the proxies accept tokens, if not /rest/; may be given several times.
    #[arg(long = "protected-prefix", value_name = "PREFIX")]
    protected_prefixes: Vec<String>,
    /// Take it that no call came with a header or a parameter that overrides its method: a restricted token is refused
    /// then.
    #[arg(long)]
    assume_no_override: bool,
}

pub(super) const ANSWERS_HELP: &str = "\
Nothing is changed. Each call is judged at its own time, from the token and the
users as they are now, with the change and without it. A yes or a no is never
wrong. What depends on query, body, scheme or headers, which the audit does not
keep, is undecidable, and what would have to be known is named.

Exit code: 0 if it was tried, whatever came of it: programs look at `refuses` in
the answer (--json); 1 if not, and every error is told with its place.";

impl Calls {
    fn put_into(&self, body: &mut Map<String, Value>) {
        let Self { last, context_path, protected_prefixes, assume_no_override } = self;
        body.insert("last".into(), json!(last));
        body.insert("assume_no_override".into(), json!(assume_no_override));
        let mut site = Map::new();
        site.extend(context_path.iter().map(|path| ("context_path".into(), json!(path))));
        if !protected_prefixes.is_empty() {
            site.insert("protected_prefixes".into(), json!(protected_prefixes));
        }
        body.insert("site".into(), site.into());
    }
}

/// Tries what is in the body, and prints the answer.
pub(super) fn try_out(
    api: &Api,
    path: &str,
    mut body: Map<String, Value>,
    calls: &Calls,
) -> Result<ExitCode, CommandError> {
    calls.put_into(&mut body);
    match api.connect()?.call(Method::POST, path, &Query::new(), Some(&body.into()))? {
        (StatusCode::OK, answer) if answer["refuses"].is_object() => answered(api.json, &answer, told),
        _ => Err(CommandError::NotOurs),
    }
}

fn told(answer: &Value) -> String {
    let mut told = format!("tried on {} calls", text(&answer["tried"]));
    if let Some(oldest) = answer["oldest"].as_str() {
        told += &format!(", the oldest of {oldest}");
    }
    told += if answer["out_of_time"] == true { "; for more there was no time\n\n" } else { "\n\n" };
    let rows = ["yes", "no", "undecidable"].map(|name| {
        let count = |question: &str| text(&answer[question][name]);
        [name.to_owned(), count("refuses"), count("admits")]
    });
    told += &table(["", "WOULD REFUSE", "WOULD LET THROUGH"], &rows);
    let counts = |name: &str| {
        let counts = answer[name].as_object().into_iter().flatten().filter(|(_, count)| **count != 0);
        counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let already = format!("{}", answer["refused_already"].as_u64().unwrap_or_default());
    for (about, counts) in [
        ("refused for", counts("codes")),
        ("refused either way", if already == "0" { String::new() } else { already }),
        ("to be known", counts("missing")),
        ("not tried", counts("not_tried")),
    ] {
        if !counts.is_empty() {
            told += &format!("{about}: {counts}\n");
        }
    }
    let calls = answer["calls"].as_array().map_or(&[][..], Vec::as_slice);
    if calls.is_empty() {
        return told;
    }
    let rows: Vec<_> = calls.iter().map(row).collect();
    told + "\n"
        + &table(["REFUSES", "ADMITS", "AT", "USER", "TOKEN", "METHOD", "PATH", "BEFORE", "AFTER", "WHY"], &rows)
}

fn row(call: &Value) -> [String; 10] {
    let why = match (&call["code"], call["missing"].as_array()) {
        (Value::String(_), _) => text(&call["code"]),
        (_, Some(missing)) if !missing.is_empty() => {
            format!("{}?", missing.iter().map(text).collect::<Vec<_>>().join("? "))
        }
        _ => "-".into(),
    };
    let [refuses, admits, at, user, token, method, path, before, after] =
        ["refuses", "admits", "at", "user", "token", "method", "path", "before", "after"].map(|name| text(&call[name]));
    [refuses, admits, at, user, token, method, path, before, after, why]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s9_the_answer_is_told_with_counts_and_calls() {
        let call = |refuses: &str, code: Option<&str>, missing: &[&str]| {
            json!({
                "id": 1, "at": "T", "user": "alice", "actor": null, "token": "t1", "method": "GET", "path": "/rest/\u{1b}",
                "outcome": "admitted", "refuses": refuses, "admits": "no", "before": "passed", "after": "refused",
                "code": code, "missing": missing,
            })
        };
        let answer = json!({
            "tried": 3, "oldest": "T", "out_of_time": false, "refused_already": 1, "codes": { "restricted": 1 },
            "refuses": { "yes": 1, "no": 1, "undecidable": 1 }, "admits": { "yes": 0, "no": 3, "undecidable": 0 },
            "missing": { "query": 1 }, "not_tried": { "token_gone": 2, "user_gone": 0, "only_counted": 0 },
            "calls": [call("yes", Some("restricted"), &[]), call("undecidable", None, &["query", "body"])],
        });
        let expected = "\
            tried on 3 calls, the oldest of T\n\n\
            \x20            WOULD REFUSE  WOULD LET THROUGH\n\
            yes          1             0\n\
            no           1             3\n\
            undecidable  1             0\n\
            refused for: restricted 1\n\
            refused either way: 1\n\
            to be known: query 1\n\
            not tried: token_gone 2\n\n\
            REFUSES      ADMITS  AT  USER   TOKEN  METHOD  PATH          BEFORE  AFTER    WHY\n\
            yes          no      T   alice  t1     GET     /rest/\\u{1b}  passed  refused  restricted\n\
            undecidable  no      T   alice  t1     GET     /rest/\\u{1b}  passed  refused  query? body?\n";
        assert_eq!(told(&answer), expected);
        let nothing = json!({ "tried": 0, "oldest": null, "calls": [] });
        assert!(told(&nothing).starts_with("tried on 0 calls\n\n"), "{}", told(&nothing));
    }
}
