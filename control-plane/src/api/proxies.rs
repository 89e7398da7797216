//! `/api/v1/proxies`.

pub(crate) mod forget;
pub(crate) mod list;

use super::caller::Caller;
use super::error::ApiError;
use super::input::rfc3339;
use crate::App;
use crate::clock;
use crate::keys::hex;
use crate::permission::{Action, Whose};
use crate::proxies::{Instance, Proxy};
use crate::store::tokens::stored;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// How long a caller may have proxies waited for: less than a proxy in front of this keeps a silent request.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A proxy as the API shows one.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProxyView {
    /// Its random id, another one after each start of Envoy.
    instance: String,
    name: String,
    address: Option<String>,
    /// `live`: it asks, or has just done so; `lost`: it does not, but may go on deciding from what it has.
    #[schema(pattern = "^(live|lost)$")]
    state: &'static str,
    /// `null`: none, or of another history, of which it is about to be cured.
    revision: Option<u64>,
    /// How long ago its snapshot was last known to be current.
    age_ms: Option<u64>,
    #[schema(format = DateTime)]
    first_seen_at: String,
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// By how much its clock was ahead.
    clock_ahead_ms: i64,
    /// Of its filter.
    filter_version: String,
    workers: u16,
    /// Pages of its snapshot that it had to leave out: requests that need what is on them are refused.
    pages_left_out: u16,
}

impl ProxyView {
    fn new(instance: &Instance, proxy: &Proxy) -> Self {
        let now = clock::now();
        Self {
            instance: hex(instance).to_string(),
            name: proxy.name.clone(),
            address: proxy.address.map(|address| address.to_string()),
            state: if proxy.is_live(now) { "live" } else { "lost" },
            revision: proxy.revision,
            age_ms: proxy.current_at.map(|at| now.as_millis().saturating_sub(at.as_millis())),
            first_seen_at: rfc3339(stored(proxy.first_seen_at)),
            last_seen_at: rfc3339(stored(proxy.seen_at)),
            clock_ahead_ms: proxy.clock_ahead_ms,
            filter_version: proxy.version.clone(),
            workers: proxy.workers,
            pages_left_out: proxy.left_out,
        }
    }
}

/// `?wait=5s`: how long to wait until every proxy has confirmed a change.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitParams {
    /// How long to wait until every proxy has confirmed: at most `10s`.
    #[param(pattern = "^([0-9]{1,4}ms|[0-9]s|10s)$", example = "5s")]
    wait: Option<String>,
}

/// What the proxies say of a change: how many do, and to sysadmins which.
#[derive(Serialize, ToSchema)]
pub(crate) struct Confirmed {
    revision: u64,
    /// How many are known to decide by it.
    confirmed_count: usize,
    /// How many are not.
    unconfirmed_count: usize,
    /// To sysadmins: which they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    confirmed: Option<Vec<ProxyView>>,
    /// To sysadmins: those that are not known to decide by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unconfirmed: Option<Vec<ProxyView>>,
}

/// What is answered to a change for which proxies can be waited for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes what `after` answers")]
pub(crate) enum Done {
    /// Done; with `wait`: and every proxy decides by it.
    #[response(status = 200)]
    Confirmed(Confirmed),
    /// Done; not every proxy is known to decide by it.
    #[response(status = 202)]
    Unconfirmed(Confirmed),
    /// Done.
    #[response(status = 204)]
    NotWaitedFor,
}

impl WaitParams {
    /// How long, if at all: to be asked before anything is done.
    pub(crate) fn patience(&self) -> Result<Option<Duration>, ApiError> {
        patience(self.wait.as_deref())
    }
}

/// How long the proxies are to be waited for, if at all, by the text of `wait`.
pub(crate) fn patience(wait: Option<&str>) -> Result<Option<Duration>, ApiError> {
    let Some(text) = wait else {
        return Ok(None);
    };
    let wrong = || ApiError::BadRequest("wait must be a time such as 5s or 500ms, at most 10s.".into());
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let patience = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(wrong()),
    };
    if patience > WAIT_MAX { Err(wrong()) } else { Ok(Some(patience)) }
}

/// The answer to a change that is in the database: 204 if nobody waits for the proxies. Otherwise 200 once all of them
/// decide by it, or 202 with those that are not known to.
pub(crate) async fn after(app: &App, caller: &Caller, revision: u64, patience: Option<Duration>) -> Response {
    let Some(patience) = patience else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let (status, confirmed) = confirmed(app, caller, revision, patience).await;
    (status, Json(confirmed)).into_response()
}

/// What the proxies say of a change, once all of them decide by it (200), or when patience has ended (202).
pub(crate) async fn confirmed(
    app: &App,
    caller: &Caller,
    revision: u64,
    patience: Duration,
) -> (StatusCode, Confirmed) {
    let confirmation = app.proxies.confirm(revision, patience).await;
    let views = |proxies: &[(Instance, Proxy)]| {
        proxies.iter().map(|(instance, proxy)| ProxyView::new(instance, proxy)).collect::<Vec<_>>()
    };
    let (all, lacking) = (&confirmation.confirmed, &confirmation.unconfirmed);
    let status = if lacking.is_empty() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let may_see = caller.may(Action::ListProxies, Whose::Others).is_ok();
    let answer = Confirmed {
        revision,
        confirmed_count: all.len(),
        unconfirmed_count: lacking.len(),
        confirmed: may_see.then(|| views(all)),
        unconfirmed: may_see.then(|| views(lacking)),
    };
    (status, answer)
}
