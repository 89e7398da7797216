//! A request on its way through the proxy.

use super::host::{self, Level, ProxyData};
use super::root::Judge;
use policy::headers::{self, HeaderEdit};
use policy::problem::Problem;
use policy::{DenyReason, Request, Verdict, calls};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// One request. It keeps nothing: the verdict falls in one callback.
pub(crate) struct Http {
    judge: Option<Rc<Judge>>,
}

impl Http {
    /// Without a judge, since there is no configuration in force, everything is refused.
    pub(crate) fn new(judge: Option<Rc<Judge>>) -> Self {
        Self { judge }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let (Some(judge), Ok(all)) = (&self.judge, host::request_headers()) else {
            return refuse(DenyReason::ProxyFailure, None);
        };
        let site = judge.site();
        let request = Request::read(&all, site);
        if request.asks_ready() {
            return reply_ready(judge);
        }
        let mut verdict = judge.verdict(&request, &ProxyData);
        if apply(&headers::edits(&verdict, &request, site)).is_err() {
            verdict = Verdict::Deny(DenyReason::ProxyFailure);
        }
        judge.counters.verdict(&verdict);
        if let Some(line) = calls::line(&verdict, &request) {
            host::log(Level::Info, &line);
        }
        match verdict {
            Verdict::Admit(_) | Verdict::Pass => Action::Continue,
            Verdict::Deny(reason) => refuse(reason, request.request_id()),
        }
    }
}

fn apply(edits: &[HeaderEdit]) -> Result<(), crate::store::HostFailure> {
    edits.iter().try_for_each(|edit| match edit {
        HeaderEdit::Set { name, value } => host::set_request_header(name.as_bytes(), value.as_bytes()),
        HeaderEdit::Blank { name } => host::blank_request_header(name),
    })
}

fn refuse(reason: DenyReason, request_id: Option<&str>) -> Action {
    let problem = Problem::of(reason, request_id);
    // If even the reply fails, the request still does not go on: it stays paused.
    let _ = host::reply(problem.status, problem.code, &problem.headers(), &problem.to_json());
    Action::Pause
}

fn reply_ready(judge: &Judge) -> Action {
    let (status, body) = judge.readiness();
    let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
    let retry = [("retry-after", policy::problem::RETRY_AFTER_SECONDS)];
    let headers = [headers.as_slice(), if status == 200 { &[] } else { &retry }].concat();
    let _ = host::reply(status, "tokengate_ready", &headers, body.as_bytes());
    Action::Pause
}
