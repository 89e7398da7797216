//! `GET /api/v1/audit` and `GET /api/v1/audit/export`: what was changed, by whom. Sysadmins only.

use super::export::{self, Format, Line};
use super::{page, value};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, bound, limit, rfc3339};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::audit;
use crate::store::search::Search;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// By this user, as the name stands in the record; `tokengate`: the program by itself.
    actor: Option<String>,
    /// To this user (name), token (id), version of the settings or proxy (instance); or one of the names behind a slash that
    /// a record explains.
    subject: Option<String>,
    /// What was done, such as `token.create`.
    action: Option<String>,
    /// From this time on, such as `2027-01-01T00:00:00Z`.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// `next` of the page before.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many at most; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// As what: `jsonl`, a line of JSON a record (the default), or `csv`, a table.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// By this user.
    actor: Option<String>,
    /// To this user, token, version of the settings or proxy.
    subject: Option<String>,
    /// What was done.
    action: Option<String>,
    /// From this time on.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// A record of a change.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordView {
    id: i64,
    #[schema(format = DateTime)]
    at: String,
    /// The revision that the change became; `null`: it is none that proxies hear of.
    revision: Option<i64>,
    /// The user who did it; `tokengate`: the program by itself; `/unknown`: who could not sign in.
    actor: String,
    /// The token (its id) with which the user came; `null`: with a password.
    actor_token: Option<String>,
    /// The user on whose behalf the actor did it.
    on_behalf_of: Option<String>,
    /// What was done, such as `token.create`.
    action: String,
    /// To what: a user's name, a token's id, a version of the settings, a proxy's instance; `/everyone`: the backend
    /// credential of everyone; `/tokens`: those that a lower maximum shortened; `/expired`, `/forgotten`: those that were
    /// pruned; `/copies`: those that secure mode wiped; `/unknown`: who could not sign in.
    subject: String,
    /// More, such as what was before and after.
    #[schema(value_type = Object)]
    detail: Map<String, Value>,
    /// Under which to look in the logs.
    request_id: Option<String>,
}

impl RecordView {
    pub(in crate::api) fn new(record: audit::Model) -> Result<Self, ApiError> {
        let audit::Model { id, at, revision, actor, actor_token, action, subject, detail, request_id, on_behalf_of } =
            record;
        let detail = serde_json::from_str(&detail).map_err(|error| ApiError::Internal(Box::new(error)))?;
        let (at, revision) = (rfc3339(at), Some(revision).filter(|revision| *revision != audit::NO_REVISION));
        Ok(Self { id, at, revision, actor, actor_token, on_behalf_of, action, subject, detail, request_id })
    }
}

impl Line for RecordView {
    const HEADER: &[&str] =
        &["id", "at", "revision", "actor", "actor_token", "on_behalf_of", "action", "subject", "detail", "request_id"];

    fn cells(self) -> Vec<String> {
        let Self { id, at, revision, actor, actor_token, on_behalf_of, action, subject, detail, request_id } = self;
        vec![
            id.to_string(),
            at,
            revision.map(|revision| revision.to_string()).unwrap_or_default(),
            actor,
            actor_token.unwrap_or_default(),
            on_behalf_of.unwrap_or_default(),
            action,
            subject,
            Value::Object(detail).to_string(),
            request_id.unwrap_or_default(),
        ]
    }
}

/// Lists what was changed, by whom: the newest first. For sysadmins.
///
/// With more than one of `actor`, `subject` and `action`, a page may have fewer records than asked for, or none, though
/// there are more: go on as long as `next` is not null. 200 with a page.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_audit",
    tag = "audit",
    params(ListParams),
    responses((status = 200, description = "A page of records.", body = Page<RecordView>), Refusals),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<RecordView>>, ApiError> {
    caller.may(Action::ListAudit, Whose::Others)?;
    let ListParams { actor, subject, action, from, to, after, limit: wanted } = params;
    let search = search(actor, subject, action, from.as_deref(), to.as_deref())?;
    page(&app, &search, after, limit(wanted)?, RecordView::new).await
}

/// Exports what was changed, by whom: all of it, the newest first. For sysadmins.
///
/// A file that ends early ends with a broken connection. In a table, a cell that a spreadsheet might take for a formula
/// begins with an apostrophe. 200 with the file.
#[utoipa::path(
    get,
    path = "/api/v1/audit/export",
    operation_id = "export_audit",
    tag = "audit",
    params(ExportParams),
    responses(
        (
            status = 200,
            description = "The records.",
            headers(("Content-Disposition" = String)),
            content((String = "application/x-ndjson"), (String = "text/csv")),
        ),
        Refusals,
    ),
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ExportParams>,
) -> Result<Response, ApiError> {
    caller.may(Action::ListAudit, Whose::Others)?;
    let ExportParams { format, actor, subject, action, from, to } = params;
    let search = search(actor, subject, action, from.as_deref(), to.as_deref())?;
    export::export(app, search, format, "tokengate-audit", RecordView::new).await
}

fn search(
    actor: Option<String>,
    subject: Option<String>,
    action: Option<String>,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Search<audit::Entity>, ApiError> {
    use audit::Column::{Action, Actor, Subject};
    let indexed =
        [(Subject, value("subject", subject)?), (Actor, value("actor", actor)?), (Action, value("action", action)?)];
    Ok(Search::new(indexed, [], bound("from", from)?, bound("to", to)?))
}
