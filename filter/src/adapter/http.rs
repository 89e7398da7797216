//! A request on its way through the proxy.

use super::host::{self, Level};
use super::root::Judge;
use crate::store::HostFailure;
use policy::headers::{self, HeaderEdit, Unsigned};
use policy::problem::Problem;
use policy::{DenyReason, Request, Verdict, calls};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// One request. The verdict falls in one callback; all that is kept is whether a token was admitted.
pub(crate) struct Http {
    judge: Option<Rc<Judge>>,
    admitted: bool,
}

impl Http {
    /// Without a judge, since there is no configuration in force, everything is refused.
    pub(crate) fn new(judge: Option<Rc<Judge>>) -> Self {
        Self { judge, admitted: false }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let (Some(judge), Ok(all)) = (&self.judge, host::request_headers()) else {
            return refuse(DenyReason::ProxyFailure, None, None);
        };
        let site = judge.site();
        let request = Request::read(&all, site);
        if request.asks_ready() {
            return reply_ready(judge);
        }
        let mut judged = judge.judge(&request);
        let edited = judged.assertion().and_then(|assertion| {
            let edits = headers::edits(&judged.verdict, &request, site, assertion.as_deref());
            apply(&edits.map_err(|Unsigned| HostFailure)?)
        });
        if edited.is_err() {
            judged.verdict = Verdict::Deny(DenyReason::ProxyFailure);
        }
        judge.counters.verdict(&judged.verdict);
        if judged.is_logged()
            && let Some(line) = calls::line(&judged.verdict, &request)
        {
            host::log(Level::Info, &line);
        }
        match &judged.verdict {
            Verdict::Admit(_) => {
                self.admitted = true;
                Action::Continue
            }
            Verdict::Pass => Action::Continue,
            Verdict::Deny(reason) => refuse(*reason, Some(&request), judged.help_url(judge).as_deref()),
        }
    }

    /// A token opens no session: with the cookie, whoever holds a token that is restricted, or revoked in a minute,
    /// would come back without it.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.admitted && host::remove_response_header(b"set-cookie").is_err() {
            return refuse(DenyReason::ProxyFailure, None, None);
        }
        Action::Continue
    }
}

fn apply(edits: &[HeaderEdit]) -> Result<(), HostFailure> {
    edits.iter().try_for_each(|edit| match edit {
        HeaderEdit::Set { name, value } => host::set_request_header(name.as_bytes(), value.expose()),
        HeaderEdit::Blank { name } => host::blank_request_header(name),
    })
}

fn refuse(reason: DenyReason, request: Option<&Request>, help_url: Option<&str>) -> Action {
    let problem = Problem::of(reason, request.and_then(Request::request_id), help_url);
    // If even the reply fails, the request still does not go on: it stays paused.
    let _ = if request.is_some_and(Request::is_grpc) {
        // The proxy gives this the form of a gRPC answer, with the body as its message.
        let message = [problem.code, ": ", problem.detail].concat();
        host::reply(problem.status, problem.code, &[], message.as_bytes(), Some(reason.grpc_status()))
    } else {
        host::reply(problem.status, problem.code, &problem.headers(), &problem.to_json(), None)
    };
    Action::Pause
}

fn reply_ready(judge: &Judge) -> Action {
    let (status, body) = judge.readiness();
    let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
    let retry = [("retry-after", policy::problem::RETRY_AFTER_SECONDS)];
    let headers = [headers.as_slice(), if status == 200 { &[] } else { &retry }].concat();
    let _ = host::reply(status, "tokengate_ready", &headers, body.as_bytes(), None);
    Action::Pause
}
