//! A request on its way through the proxy.
//!
//! ```text
//! headers ── judged ─▶ Admit, Pass, Deny: done
//!                   └▶ NeedBody: credential taken off, held back ── body, or trailers, at their end ─▶ judged again
//! ```

use super::host::{self, Level};
use super::judge::{Judge, Judged};
use crate::store::HostFailure;
use crate::usage::Ticket;
use policy::headers::{self, HeaderEdit, Unsigned};
use policy::problem::Problem;
use policy::restrictions::Body;
use policy::{DenyReason, Request, Verdict, calls};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// One request.
pub(crate) struct Http {
    judge: Option<Rc<Judge>>,
    state: State,
}

/// How far it is.
enum State {
    /// Nothing of it has come.
    New,
    /// It was passed on.
    Passed,
    /// It was answered by us, and whatever of it still comes goes nowhere.
    Answered,
    /// It is held back until its body is there, of which this much is looked at.
    AwaitsBody { request: Box<Request>, limit: usize },
    /// A token was admitted; with the ticket, the backend's answer is yet to be told.
    Admitted { ticket: Option<Ticket> },
}

impl Http {
    /// Without a judge, since there is no configuration in force, everything is refused.
    pub(crate) fn new(judge: Option<Rc<Judge>>) -> Self {
        Self { judge, state: State::New }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let (Some(judge), Ok(all)) = (self.judge.clone(), host::request_headers()) else {
            return self.refuse(DenyReason::ProxyFailure, None, None);
        };
        let request = Request::read(&all, judge.site());
        if request.asks_ready() {
            self.state = State::Answered;
            return reply_ready(&judge);
        }
        let no_body = end_of_stream || (host::is_nginx() && !request.announces_body());
        let judged = judge.judge(&request, if no_body { Body::None } else { Body::NotYet });
        if matches!(judged.verdict, Verdict::NeedBody) {
            return self.hold_back(&judge, request, &judged);
        }
        self.carry_out(&judge, &request, judged)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match &self.state {
            // Past the limit there is no need to wait for the rest of it.
            State::AwaitsBody { limit, .. } if end_of_stream || size > *limit => self.judge_with_body(),
            State::AwaitsBody { .. } | State::Answered | State::New => Action::Pause,
            State::Passed | State::Admitted { .. } => Action::Continue,
        }
    }

    /// A body with trailers ends here, and nowhere else.
    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        match &self.state {
            State::AwaitsBody { .. } => self.judge_with_body(),
            State::Answered | State::New => Action::Pause,
            State::Passed | State::Admitted { .. } => Action::Continue,
        }
    }

    /// A token opens no session: with the cookie, whoever holds a token that is restricted, or revoked in a minute, would
    /// come back without it.
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let State::Admitted { ticket } = &mut self.state else {
            return Action::Continue;
        };
        if let (Some(judge), Some(ticket)) = (&self.judge, ticket.take()) {
            judge.answered(ticket, host::response_status());
        }
        if host::remove_response_header(b"set-cookie").is_err() {
            return self.refuse(DenyReason::ProxyFailure, None, None);
        }
        Action::Continue
    }
}

impl Drop for Http {
    /// No answer came, or none will: the client has gone.
    fn drop(&mut self) {
        if let (Some(judge), State::Admitted { ticket: Some(ticket) }) = (&self.judge, &self.state) {
            judge.answered(*ticket, None);
        }
    }
}

impl Http {
    /// While it waits, it carries neither the credential nor an identity, nor the mark by which it would go on.
    fn hold_back(&mut self, judge: &Judge, request: Request, judged: &Judged) -> Action {
        if edit(judge, &request, judged).is_err() {
            judge.counters.verdict(&Verdict::Deny(DenyReason::ProxyFailure));
            return self.refuse(DenyReason::ProxyFailure, Some(&request), None);
        }
        self.state = State::AwaitsBody { request: Box::new(request), limit: judged.body_limit() };
        // In NGINX a pause here would be for ever, and the body comes before anything goes to the backend.
        if host::is_nginx() { Action::Continue } else { Action::Pause }
    }

    /// Record, settings and time are read again: the token may have been revoked while the body came.
    fn judge_with_body(&mut self) -> Action {
        let (State::AwaitsBody { request, limit }, Some(judge)) =
            (std::mem::replace(&mut self.state, State::Answered), self.judge.clone())
        else {
            return self.refuse(DenyReason::ProxyFailure, None, None);
        };
        let body = host::request_body();
        let too_large = body.as_ref().is_ok_and(|body| body.len() > limit);
        let judged = match &body {
            Ok(body) if !too_large => judge.judge(&request, Body::Bytes(body)),
            Ok(_) | Err(HostFailure) => judge.judge(&request, Body::Unreadable),
        };
        let judged = match judged.verdict {
            Verdict::Deny(DenyReason::BodyUnreadable) if too_large => judged.refused(DenyReason::BodyTooLarge),
            // Its credential is off already, and it is a token's no more: it cannot go on as it came.
            Verdict::Pass(_) => judged.refused(DenyReason::ProxyFailure),
            // Asked for once more when there is no more to come.
            Verdict::NeedBody => judged.refused(DenyReason::BodyUnreadable),
            Verdict::Admit(_) | Verdict::Deny(_) => judged,
        };
        self.carry_out(&judge, &request, judged)
    }

    /// Does what the verdict says: edits the headers, counts, logs, and lets go on or answers.
    fn carry_out(&mut self, judge: &Judge, request: &Request, mut judged: Judged) -> Action {
        if edit(judge, request, &judged).is_err() {
            judged = judged.refused(DenyReason::ProxyFailure);
        }
        judge.counters.verdict(&judged.verdict);
        let ticket = judge.note(request, &judged);
        if judged.is_logged()
            && let Some(line) = calls::line(&judged.verdict, request)
        {
            host::log(Level::Info, &line);
        }
        match judged.verdict {
            Verdict::Admit(_) => {
                self.state = State::Admitted { ticket };
                Action::Continue
            }
            Verdict::Pass(_) => {
                self.state = State::Passed;
                Action::Continue
            }
            Verdict::NeedBody => self.refuse(DenyReason::BodyUnreadable, Some(request), None),
            Verdict::Deny(reason) => self.refuse(reason, Some(request), judged.help_url(judge).as_deref()),
        }
    }

    fn refuse(&mut self, reason: DenyReason, request: Option<&Request>, help_url: Option<&str>) -> Action {
        self.state = State::Answered;
        refuse(reason, request, help_url)
    }
}

/// Edits the headers as the verdict wants them.
fn edit(judge: &Judge, request: &Request, judged: &Judged) -> Result<(), HostFailure> {
    let assertion = judged.assertion()?;
    let edits = headers::edits(&judged.verdict, request, judge.site(), assertion.as_deref());
    edits.map_err(|Unsigned| HostFailure)?.iter().try_for_each(|edit| match edit {
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
