//! `tokengate doctor`: looks at this machine's data, at the API and at the proxies, and says what to do. It changes
//! nothing.

mod machine;
mod service;

use super::client::Api;
use super::{CommandError, answered};
use crate::config::Data;
use serde_json::json;
use std::process::ExitCode;

/// Checks everything.
#[derive(clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    api: Api,
}

pub(crate) const HELP: &str = "\
On the machine itself it looks at the data directory; through the API at the control
plane and its proxies. What cannot be looked at is said, and the rest goes on. It
changes nothing: it makes no key and no database.

Exit code: 0 if nothing FAILs (warnings do not count), 1 otherwise.

Examples:
  tokengate doctor --data /var/lib/tokengate
  tokengate doctor --url https://jira.example.org --token-file admin-token --json";

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug)]
struct Check {
    outcome: Outcome,
    what: &'static str,
    found: String,
    /// What to do.
    advice: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.0.push(Check { outcome: Outcome::Ok, what, found: found.into(), advice: None });
    }

    fn warn(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Check { outcome: Outcome::Warn, what, found: found.into(), advice: Some(advice.into()) });
    }

    fn fail(&mut self, what: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Check { outcome: Outcome::Fail, what, found: found.into(), advice: Some(advice.into()) });
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|check| check.outcome == Outcome::Fail)
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

impl Doctor {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode, CommandError> {
        let Self { data, api } = self;
        let (data, is_named) = data.resolve()?;
        let mut checks = Checks::default();
        machine::check(&mut checks, &data, is_named);
        service::check(&mut checks, &api, &data);
        let listed: Vec<_> = checks
            .0
            .iter()
            .map(|Check { outcome, what, found, advice }| {
                json!({ "outcome": outcome.name().to_lowercase(), "check": what, "found": found, "advice": advice })
            })
            .collect();
        let answer = json!({ "ok": !checks.failed(), "checks": listed });
        answered(api.json, &answer, |_| checks.0.iter().map(line).collect())?;
        Ok(if checks.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn line(check: &Check) -> String {
    let Check { outcome, what, found, advice } = check;
    let advice = advice.as_ref().map(|advice| format!("\n      → {advice}")).unwrap_or_default();
    format!("{:<4}  {what}: {found}{advice}\n", outcome.name())
}
