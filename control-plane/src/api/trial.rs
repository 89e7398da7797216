//! What trials are told, and what they answer (S9): the same for settings and for a token.

use super::error::ApiError;
use super::input::{limit_of, rfc3339};
use crate::App;
use crate::store::calls;
use crate::trial::{self, Counts, NotTried, Plan, Report, code};
use axum::Json;
use policy::trial::{Answer, Missing, Tried, Would};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Records of the audit of calls that are tried if nobody says otherwise, and at most: as many as are judged while the
/// caller waits.
const LAST: u64 = 1_000;
const LAST_MAX: u64 = 10_000;

/// How many records are wanted.
pub(super) fn last(wanted: Option<u64>) -> Result<u64, ApiError> {
    limit_of("last", wanted, LAST, LAST_MAX)
}

/// Tries it.
pub(super) async fn run(app: Arc<App>, plan: Plan, by_sysadmin: bool) -> Result<Json<TrialView>, ApiError> {
    Ok(Json(TrialView::new(trial::run(app, plan, by_sysadmin).await?)))
}

/// What would become of the calls.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrialView {
    /// Calls that were judged; each answer counts all of them.
    tried: u64,
    not_tried: NotTriedView,
    /// Would this refuse what is let through without it?
    refuses: CountsView,
    /// Would this let through what is refused without it?
    admits: CountsView,
    /// Calls that would be refused either way.
    refused_already: u64,
    /// Of those that it would refuse, how many for which reason; `undecidable`: for one of several.
    codes: BTreeMap<&'static str, u64>,
    /// For how many calls this would have to be known, and is not on record.
    missing: BTreeMap<&'static str, u64>,
    /// The oldest call that was looked at; `null`: there was none.
    #[schema(format = DateTime)]
    oldest: Option<String>,
    /// Whether it took too long and ended before `last` records were looked at.
    out_of_time: bool,
    /// Calls that are affected, or may be: the newest hundred that it would refuse, that it would let through, and that
    /// are undecidable.
    #[schema(max_items = 300)]
    calls: Vec<TriedCallView>,
}

/// Calls of which nothing can be said.
#[derive(Serialize, ToSchema)]
struct NotTriedView {
    /// Their token, or its owner, is gone.
    token_gone: u64,
    /// The user beside an unbound token, or on whose behalf they were, is gone.
    user_gone: u64,
    /// Only their number is on record.
    only_counted: u64,
}

#[derive(Serialize, ToSchema)]
struct CountsView {
    yes: u64,
    no: u64,
    undecidable: u64,
}

/// A call, and what would become of it.
#[derive(Serialize, ToSchema)]
struct TriedCallView {
    /// Of the record in the audit of calls.
    id: i64,
    #[schema(format = DateTime)]
    at: String,
    user: Option<String>,
    /// Who called, if on behalf of that user.
    actor: Option<String>,
    /// The token (its id); `null`: a password.
    token: Option<String>,
    method: Option<String>,
    path: Option<String>,
    address: Option<String>,
    /// What became of it when it was made.
    outcome: String,
    #[schema(value_type = AnswerName)]
    refuses: &'static str,
    #[schema(value_type = AnswerName)]
    admits: &'static str,
    /// What would become of it without the change.
    #[schema(value_type = WouldName)]
    before: &'static str,
    /// What would become of it with the change.
    #[schema(value_type = WouldName)]
    after: &'static str,
    /// Why it would then be refused; `null`: it would not, or for one of several reasons.
    code: Option<&'static str>,
    /// What would have to be known for an answer, and is not on record.
    #[schema(value_type = Vec<MissingName>)]
    missing: Vec<&'static str>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes policy::trial::Answer")]
enum AnswerName {
    Yes,
    No,
    Undecidable,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes policy::trial::Would")]
enum WouldName {
    Passed,
    Refused,
    Undecidable,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes policy::trial::Missing")]
enum MissingName {
    Scheme,
    Query,
    Body,
    Header,
    Site,
    Path,
    Method,
    User,
}

impl TrialView {
    fn new(report: Report) -> Self {
        let Report { tried, not_tried, refuses, admits, refused_already, codes, missing, oldest, out_of_time, calls } =
            report;
        let NotTried { token_gone, user_gone, only_counted } = not_tried;
        let counts = |Counts { yes, no, undecidable }| CountsView { yes, no, undecidable };
        Self {
            tried,
            not_tried: NotTriedView { token_gone, user_gone, only_counted },
            refuses: counts(refuses),
            admits: counts(admits),
            refused_already,
            codes: codes.into_iter().map(|(code, count)| (code.unwrap_or("undecidable"), count)).collect(),
            missing: missing.into_iter().map(|(missing, count)| (missing.name(), count)).collect(),
            oldest: oldest.map(rfc3339),
            out_of_time,
            calls: calls.into_iter().map(|(call, tried)| TriedCallView::new(call, tried)).collect(),
        }
    }
}

impl TriedCallView {
    fn new(call: calls::Model, tried: Tried) -> Self {
        let calls::Model { id, at, outcome, token, user, actor, method, path, address, .. } = call;
        let Tried { refuses, admits, before, after, missing } = tried;
        Self {
            id,
            at: rfc3339(at),
            user,
            actor,
            token,
            method,
            path,
            address,
            outcome,
            refuses: answer(refuses),
            admits: answer(admits),
            before: would(before),
            after: would(after),
            code: code(after),
            missing: missing.into_iter().map(Missing::name).collect(),
        }
    }
}

fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::Undecidable => "undecidable",
    }
}

fn would(would: Would) -> &'static str {
    match would {
        Would::Pass => "passed",
        Would::Refused(_) => "refused",
        Would::Undecidable => "undecidable",
    }
}
