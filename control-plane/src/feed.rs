//! The control plane's side of the feed: one authenticated, hanging GET a proxy.

use crate::{App, clock};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::Timestamp;
use policy::feed::{ASK_HEADER, Answer, Ask, CLOCK_DIFFERENCE_MAX_MS, HOLD_SECONDS, MAC_HEADER, News, PATH, Position};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Proxies that are remembered: each is one process, so more than this are gone ones.
const PROXIES_MAX: usize = 10_000;

/// What the proxies have acknowledged.
#[derive(Default)]
pub(crate) struct Proxies(Mutex<BTreeMap<[u8; 16], Acknowledged>>);

struct Acknowledged {
    name: String,
    position: Option<Position>,
    seen_at: Timestamp,
}

/// The route of the feed.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().route(PATH, get(answer)).with_state(app)
}

async fn answer(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = clock::now();
    let ask = match open(&app, &headers, now) {
        Ok(ask) => ask,
        Err(refusal) => {
            tracing::warn!(%refusal, "a question to the feed was refused");
            return (StatusCode::UNAUTHORIZED, refusal.to_string()).into_response();
        }
    };
    app.proxies.acknowledge(&ask, now);
    let mut changed = app.store.watch();
    let hold = tokio::time::sleep(Duration::from_secs(HOLD_SECONDS));
    tokio::pin!(hold);
    loop {
        changed.mark_unchanged();
        let sealed = app.store.with_image(|image| image.news(ask.at, ask.cursor).map(|news| seal(&app, &ask, news)));
        if let Some(sealed) = sealed {
            return sealed.into_response();
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = &mut hold => break,
            () = app.stopping() => break,
        }
    }
    seal(&app, &ask, News::Nothing).into_response()
}

/// Why a question is not answered. Says nothing that an outsider does not know.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the question to the feed is missing or cannot be read")]
    Unreadable,
    #[error("the question to the feed is not sealed with this control plane's sync key")]
    NotAuthentic,
    #[error("the clock of the proxy {name:?} differs from the control plane's by {difference_ms} ms")]
    Clock { name: String, difference_ms: u64 },
}

fn open(app: &App, headers: &HeaderMap, now: Timestamp) -> Result<Ask, Refusal> {
    let header = |name| headers.get(name).and_then(|value| BASE64.decode(value).ok()).ok_or(Refusal::Unreadable);
    let (bytes, mac) = (header(ASK_HEADER)?, header(MAC_HEADER)?);
    let ask = Ask::open(&bytes, &mac, &app.store.sync_key).ok_or(Refusal::NotAuthentic)?;
    let difference_ms = ask.sent_at.as_millis().abs_diff(now.as_millis());
    if difference_ms > CLOCK_DIFFERENCE_MAX_MS {
        return Err(Refusal::Clock { name: ask.name, difference_ms });
    }
    Ok(ask)
}

fn seal(app: &App, ask: &Ask, news: News<'_>) -> Result<Vec<u8>, StatusCode> {
    let answer = Answer { nonce: ask.nonce, instance: ask.instance, server_time: clock::now(), news };
    answer.seal(&app.store.sync_key).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Proxies {
    /// Notes what a proxy says to have in force.
    fn acknowledge(&self, ask: &Ask, now: Timestamp) {
        let mut proxies = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = proxies.get(&ask.instance);
        if known.is_none() {
            tracing::info!(proxy = ask.name, instance = *crate::keys::hex(&ask.instance), "a proxy has come");
        }
        if let Some(at) = ask.at
            && known.and_then(|known| known.position) != Some(at)
        {
            tracing::debug!(proxy = ask.name, revision = at.revision, "a proxy has confirmed");
        }
        if known.is_none() && proxies.len() >= PROXIES_MAX {
            let longest_gone = proxies.iter().min_by_key(|(_, proxy)| proxy.seen_at).map(|(instance, _)| *instance);
            if let Some(proxy) = longest_gone.and_then(|instance| proxies.remove(&instance)) {
                tracing::info!(proxy = proxy.name, "a proxy is forgotten");
            }
        }
        let position = ask.at.or(proxies.get(&ask.instance).and_then(|known| known.position));
        proxies.insert(ask.instance, Acknowledged { name: ask.name.clone(), position, seen_at: now });
    }
}
