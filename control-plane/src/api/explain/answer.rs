//! What is answered: names and sentences, and nothing secret.

use super::asked::{Asked, is_normal};
use super::presented::Presented;
use policy::assertion::For;
use policy::calls::Escaped;
use policy::headers::{self, HeaderEdit, MARK};
use policy::restrictions::TARGET_LEN_MAX;
use policy::restrictions::explain::{Finding, Line, Part};
use policy::{Explanation, Request, Step, StepOutcome, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// What becomes of a request, and why.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explained {
    /// `admitted` with an identity; `passed` on as it came; `refused`.
    #[schema(pattern = "^(admitted|passed|refused)$")]
    verdict: &'static str,
    /// Of the refusal. What is admitted or passed is answered by whoever gets it.
    status: Option<u16>,
    /// Of the refusal.
    code: Option<&'static str>,
    /// What the client is told, or what happens, in a sentence.
    detail: &'static str,
    /// The name of the rule that decided: the last one of `steps`.
    decided_by: &'static str,
    /// `backend` or `control_plane`, if it goes on.
    goes_to: Option<&'static str>,
    /// The token that was admitted, by its id.
    token_id: Option<String>,
    /// As whom it runs, if it was admitted.
    user: Option<String>,
    /// Who came, if that is somebody else.
    actor: Option<String>,
    /// The names of the headers that say who is calling.
    headers_set: Vec<String>,
    /// The names of the headers that go no further.
    headers_removed: Vec<String>,
    /// The rules in their order, up to the one that decided.
    steps: Vec<StepView>,
    /// The token's restrictions, line by line, if they were looked at.
    lines: Vec<LineView>,
    /// The revision in which the settings came to be by which it was judged; if that was before the control plane
    /// started, the revision of then.
    settings_revision: u64,
    /// What to bear in mind.
    notes: Vec<&'static str>,
}

/// What a rule said.
#[derive(Serialize, ToSchema)]
struct StepView {
    /// Its name, which never changes.
    rule: &'static str,
    /// What it refuses.
    refuses: &'static str,
    /// `passed`, `refused`, or `not_applicable`: it was not looked at.
    #[schema(pattern = "^(passed|refused|not_applicable)$")]
    outcome: &'static str,
    /// The facts that mattered to it.
    detail: String,
}

/// What came of a restriction.
#[derive(Serialize, ToSchema)]
struct LineView {
    /// Its number, from 1.
    line: usize,
    /// The line.
    text: String,
    /// `holds`, `fails`, `unreadable`, `too_long`, `too_costly` (the lines before it took all that a judgement may take),
    /// or `not_looked_at`, since another line decided.
    #[schema(pattern = "^(holds|fails|unreadable|too_long|too_costly|not_looked_at)$")]
    outcome: &'static str,
    /// What of it does not hold, or cannot be read.
    detail: Option<String>,
}

impl Explained {
    pub(super) fn new(
        explanation: Explanation,
        request: &Request,
        asked: &Asked,
        presented: &Presented,
        settings_revision: u64,
    ) -> Self {
        let Explanation { verdict, steps, lines } = explanation;
        let (headers_set, headers_removed) = header_names(&verdict, request, asked);
        let grant = match &verdict {
            Verdict::Admit(grant) => Some(grant),
            Verdict::Pass(_) | Verdict::Deny(_) | Verdict::NeedBody => None,
        };
        let reason = match &verdict {
            Verdict::Deny(reason) => Some(*reason),
            Verdict::Admit(_) | Verdict::Pass(_) | Verdict::NeedBody => None,
        };
        Self {
            verdict: match &verdict {
                Verdict::Admit(_) => "admitted",
                Verdict::Pass(_) => "passed",
                Verdict::Deny(_) | Verdict::NeedBody => "refused",
            },
            status: reason.map(policy::DenyReason::status),
            code: reason.map(policy::DenyReason::code),
            detail: match &verdict {
                Verdict::Admit(_) => "The request goes on with the identity of the user, and without the token.",
                Verdict::Pass(_) => "The request goes on as it came; whoever gets it authenticates.",
                Verdict::Deny(reason) => reason.sentence(),
                Verdict::NeedBody => "The body did not come.",
            },
            decided_by: steps.last().map_or("", |step| step.rule.name()),
            goes_to: match &verdict {
                Verdict::Admit(grant) => Some(place(grant.to())),
                Verdict::Pass(to) => Some(place(*to)),
                Verdict::Deny(_) | Verdict::NeedBody => None,
            },
            token_id: grant.map(|grant| grant.token().id.clone()),
            user: grant.map(|grant| grant.user().name.clone()),
            actor: grant.and_then(|grant| grant.actor()).map(str::to_owned),
            headers_set,
            headers_removed,
            steps: steps.into_iter().map(StepView::new).collect(),
            notes: notes(asked, presented, !lines.is_empty()),
            lines: (1..).zip(lines).map(|(number, line)| LineView::new(number, line)).collect(),
            settings_revision,
        }
    }
}

impl StepView {
    fn new(step: Step) -> Self {
        let Step { rule, outcome, detail } = step;
        let outcome = match outcome {
            StepOutcome::Passed => "passed",
            StepOutcome::Refused => "refused",
            StepOutcome::NotApplicable => "not_applicable",
        };
        Self { rule: rule.name(), refuses: rule.refuses(), outcome, detail }
    }
}

impl LineView {
    fn new(line: usize, found: Line) -> Self {
        let Line { text, finding } = found;
        let (outcome, detail) = match finding {
            Finding::Holds => ("holds", None),
            Finding::Fails(part) => ("fails", Some(fails(&part))),
            Finding::Unreadable(part) | Finding::NeedsBody(part) => ("unreadable", Some(unreadable(&part))),
            Finding::TooLong(_) => ("too_long", Some(format!("The query has more than {TARGET_LEN_MAX} bytes."))),
            Finding::TooCostly(_) => ("too_costly", Some(TOO_COSTLY.into())),
            Finding::Spared => ("not_looked_at", None),
        };
        Self { line, text, outcome, detail }
    }
}

const TOO_COSTLY: &str = "Matching this regex would take more steps than a judgement may take, so it does not match. \
                          Save the restrictions anew: the refusal says which line costs what.";

fn fails(part: &Part) -> String {
    match part {
        Part::Method => "The method is another one.".into(),
        Part::Path => "The regex does not match the whole path.".into(),
        Part::QueryParam(name) => format!(
            "The parameter {name} is missing, or one of its values does not match; other spellings of the name count, too."
        ),
        Part::JsonData(name) => format!("The field {name} of the body does not match."),
    }
}

fn unreadable(part: &Part) -> String {
    match part {
        Part::QueryParam(_) => "The query cannot be read.".into(),
        Part::JsonData(name) => {
            format!("The field {name} of the body is missing, comes twice in some spelling, or cannot be read.")
        }
        Part::Method | Part::Path => "It cannot be read.".into(),
    }
}

/// The names of the headers that a verdict sets, and of those that it takes away; never a value.
fn header_names(verdict: &Verdict, request: &Request, asked: &Asked) -> (Vec<String>, Vec<String>) {
    // What is signed where an assertion is wanted does not matter here.
    let edits = headers::edits(verdict, request, &asked.site, Some("")).unwrap_or_default();
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for edit in edits {
        match edit {
            HeaderEdit::Set { name, value: _ } if name == MARK => {}
            HeaderEdit::Set { name, value: _ } => set.push(name),
            HeaderEdit::Blank { name } => removed.push(Escaped(&name).to_string()),
        }
    }
    removed.retain(|name| !set.contains(name));
    (set, removed)
}

fn place(to: For) -> &'static str {
    match to {
        For::Backend => "backend",
        For::ControlPlane => "control_plane",
    }
}

fn notes(asked: &Asked, presented: &Presented, has_lines: bool) -> Vec<&'static str> {
    let path = asked.url.split('?').next().unwrap_or_default().to_ascii_lowercase();
    [
        (!is_normal(&asked.url)).then_some(
            "The path is not in normal form: Envoy refuses it, or normalises it first and another path is judged.",
        ),
        (path.contains("%2f") || path.contains("%5c")).then_some(
            "Envoy itself refuses encoded slashes and backslashes unless path_with_escaped_slashes_action keeps them.",
        ),
        has_lines.then_some(
            "Not judged here: a proxy answers 429 too_many_requests while a token takes more than 100 ms of a worker's second.",
        ),
        presented
            .may_be_anothers
            .then_some("None of your tokens has this value. One that is somebody else's counts as one that nobody has."),
        presented.form_is_guessed.then_some(
            "The token was made elsewhere, and its value is not known: it is judged as if it did not look like one of ours.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
