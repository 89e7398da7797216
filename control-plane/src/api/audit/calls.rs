//! `GET /api/v1/audit/calls` and `GET /api/v1/audit/calls/export`: which calls were made (A2). Users see their own,
//! sysadmins all.

use super::export::{self, Format, Line};
use super::{page, value};
use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Page, Params, bound, limit, rfc3339};
use crate::api::openapi::Refusals;
use crate::permission::{Action, Whose};
use crate::store::calls;
use crate::store::search::Search;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use policy::record::same_ignoring_case;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// By this user, or in that user's name. Everyone but sysadmins sees their own alone.
    user: Option<String>,
    /// With this token: its id.
    token: Option<String>,
    /// What became of it: `admitted`, `passed`, or the code of the refusal.
    outcome: Option<String>,
    /// Through this proxy, by its name; empty: at the control plane itself.
    proxy: Option<String>,
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
    /// As what: `jsonl`, a line of JSON a call (the default), or `csv`, a table.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    /// By this user, or in that user's name.
    user: Option<String>,
    /// With this token: its id.
    token: Option<String>,
    /// What became of it.
    outcome: Option<String>,
    /// Through this proxy; empty: at the control plane itself.
    proxy: Option<String>,
    /// From this time on.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// A call, or several of which no more is known than their number: they have no method.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallView {
    id: i64,
    /// When; of several calls, the last of them.
    #[schema(format = DateTime)]
    at: String,
    /// How many calls these are.
    calls: i64,
    /// `admitted`, `passed`, or the code of the refusal.
    outcome: String,
    /// The token (its id); `null`: a password, or calls of any tokens.
    token: Option<String>,
    user: Option<String>,
    /// Who called, if on behalf of that user.
    actor: Option<String>,
    /// `null`: they were only counted.
    method: Option<String>,
    /// Without its query; what looks like a token in it is left out.
    path: Option<String>,
    address: Option<String>,
    /// What the backend answered, if that is known.
    status: Option<i32>,
    /// Under which to look in the logs of the proxy.
    request_id: Option<String>,
    /// The proxy, by its name; `null`: the call came to the control plane itself.
    proxy: Option<String>,
}

impl CallView {
    fn new(call: calls::Model) -> Result<Self, ApiError> {
        let calls::Model {
            id,
            at,
            calls,
            outcome,
            token,
            user,
            actor,
            method,
            path,
            address,
            status,
            request_id,
            proxy,
        } = call;
        let (at, proxy) = (rfc3339(at), Some(proxy).filter(|proxy| !proxy.is_empty()));
        Ok(Self { id, at, calls, outcome, token, user, actor, method, path, address, status, request_id, proxy })
    }
}

impl Line for CallView {
    const HEADER: &[&str] = &[
        "id",
        "at",
        "calls",
        "outcome",
        "token",
        "user",
        "actor",
        "method",
        "path",
        "address",
        "status",
        "request_id",
        "proxy",
    ];

    fn cells(self) -> Vec<String> {
        let Self { id, at, calls, outcome, token, user, actor, method, path, address, status, request_id, proxy } =
            self;
        let status = status.map(|status| status.to_string());
        let mut cells = vec![id.to_string(), at, calls.to_string(), outcome];
        let others = [token, user, actor, method, path, address, status, request_id, proxy];
        cells.extend(others.into_iter().map(Option::unwrap_or_default));
        cells
    }
}

/// Lists which calls were made, the newest first: one's own; sysadmins: anyone's.
///
/// With more than one of `user`, `token`, `outcome` and `proxy`, or with `proxy` alone, a page may have fewer calls than
/// asked for, or none, though there are more: go on as long as `next` is not null. 200 with a page.
#[utoipa::path(
    get,
    path = "/api/v1/audit/calls",
    operation_id = "list_calls",
    tag = "audit",
    params(ListParams),
    responses((status = 200, description = "A page of calls.", body = Page<CallView>), Refusals),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<CallView>>, ApiError> {
    let ListParams { user, token, outcome, proxy, from, to, after, limit: wanted } = params;
    let search = search(&caller, Wanted { user, token, outcome, proxy, from, to })?;
    page(&app, &search, after, limit(wanted)?, CallView::new).await
}

/// Exports which calls were made, all of them, the newest first: one's own; sysadmins: anyone's.
///
/// A file that ends early ends with a broken connection. In a table, a cell that a spreadsheet might take for a formula
/// begins with an apostrophe. 200 with the file.
#[utoipa::path(
    get,
    path = "/api/v1/audit/calls/export",
    operation_id = "export_calls",
    tag = "audit",
    params(ExportParams),
    responses(
        (
            status = 200,
            description = "The calls.",
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
    let ExportParams { format, user, token, outcome, proxy, from, to } = params;
    let search = search(&caller, Wanted { user, token, outcome, proxy, from, to })?;
    export::export(app, search, format, "tokengate-calls", CallView::new).await
}

struct Wanted {
    user: Option<String>,
    token: Option<String>,
    outcome: Option<String>,
    proxy: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// What this caller may search for of what is wanted.
fn search(caller: &Caller, wanted: Wanted) -> Result<Search<calls::Entity>, ApiError> {
    let Wanted { user, token, outcome, proxy, from, to } = wanted;
    let (mut user, mut from) = (value("user", user)?, bound("from", from.as_deref())?);
    let all = caller.may(Action::ListCalls, Whose::Others).is_ok();
    if !all {
        caller.may(Action::ListCalls, Whose::Own)?;
        if user.is_some_and(|user| !same_ignoring_case(&user, &caller.user.name)) {
            return Err(ApiError::Forbidden);
        }
        user = Some(caller.user.name.clone());
        // What was before was somebody else of the same name.
        from = Some(from.unwrap_or_default().max(caller.user.created_at));
    }
    use calls::Column::{Outcome, Proxy, Token, User};
    let mut indexed = [(Token, value("token", token)?), (User, user), (Outcome, value("outcome", outcome)?)];
    if !all {
        // Along their own calls, so that not even the length of a page tells anything of others'.
        indexed.swap(0, 1);
    }
    let to = bound("to", to.as_deref())?;
    Ok(Search::new(indexed, [(Proxy, value("proxy", proxy)?)], from, to))
}
