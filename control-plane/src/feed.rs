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
use policy::settings::Age;
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
    /// When its last question was sent, by its own clock: an older one that arrives later is a recording.
    sent_at: Timestamp,
    seen_at: Timestamp,
}

/// The route of the feed.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().route(PATH, get(answer)).with_state(app)
}

async fn answer(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = clock::now();
    let ask = match open(&app, &headers) {
        Ok(ask) => ask,
        Err(refusal) => {
            tracing::warn!(%refusal, "a question to the feed was refused");
            return (StatusCode::UNAUTHORIZED, "the feed is for proxies that have the sync key\n").into_response();
        }
    };
    if ask.sent_at.as_millis().abs_diff(now.as_millis()) > CLOCK_DIFFERENCE_MAX_MS {
        tracing::warn!(proxy = ask.name, "the clock of a proxy differs too much from ours; it is told so, and no more");
        return seal(&app, &ask, News::ClockDiffers).into_response();
    }
    app.proxies.acknowledge(&ask, now);
    let mut changed = app.store.watch();
    let hold = tokio::time::sleep(hold(app.store.settings().0.max_snapshot_age));
    tokio::pin!(hold);
    let mut over = false;
    loop {
        changed.mark_unchanged();
        if !app.store.image_is_trusted() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let sealed = app.store.with_image(|image| image.news(ask.at, ask.cursor).map(|news| seal(&app, &ask, news)));
        if let Some(sealed) = sealed {
            return sealed.into_response();
        }
        if over {
            return seal(&app, &ask, News::Nothing).into_response();
        }
        // However the waiting ends, the image is asked once more: while it is not trusted, nobody is told to be
        // current.
        tokio::select! {
            _ = changed.changed() => {}
            () = &mut hold => over = true,
            () = app.stopping() => over = true,
        }
    }
}

/// For how long a question is held: the age of a snapshot counts from the last question that was answered, so a short
/// limit on it means that proxies must ask more often.
fn hold(max_snapshot_age: Option<Age>) -> Duration {
    let quarter = max_snapshot_age.map_or(u64::MAX, |age| age.as_millis() / 4);
    Duration::from_millis(quarter.min(HOLD_SECONDS * 1000))
}

/// Why a question is not answered; for the log.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the question to the feed is missing or cannot be read")]
    Unreadable,
    #[error("the question to the feed is sealed with another sync key: {theirs:08x}, ours is {ours:08x}")]
    OtherKey { theirs: u32, ours: u32 },
    #[error("the question to the feed is not authentic")]
    NotAuthentic,
}

fn open(app: &App, headers: &HeaderMap) -> Result<Ask, Refusal> {
    let header = |name| headers.get(name).and_then(|value| BASE64.decode(value).ok()).ok_or(Refusal::Unreadable);
    let (bytes, mac) = (header(ASK_HEADER)?, header(MAC_HEADER)?);
    let ours = app.store.sync_key.id();
    Ask::open(&bytes, &mac, &app.store.sync_key).ok_or_else(|| match Ask::claimed_key_id(&bytes) {
        Some(theirs) if theirs != ours => Refusal::OtherKey { theirs, ours },
        _ => Refusal::NotAuthentic,
    })
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
        if known.is_some_and(|known| known.sent_at > ask.sent_at) {
            return;
        }
        if known.is_none() {
            tracing::info!(proxy = ask.name, instance = *crate::keys::hex(&ask.instance), "a proxy has come");
        }
        let before = known.and_then(|known| known.position);
        let position = ask.at.or(before);
        if let Some(at) = position.filter(|_| position != before) {
            tracing::debug!(proxy = ask.name, revision = at.revision, "a proxy has confirmed");
        }
        if known.is_none() && proxies.len() >= PROXIES_MAX {
            let longest_gone = proxies.iter().min_by_key(|(_, proxy)| proxy.seen_at).map(|(instance, _)| *instance);
            if let Some(proxy) = longest_gone.and_then(|instance| proxies.remove(&instance)) {
                tracing::info!(proxy = proxy.name, "a proxy is forgotten");
            }
        }
        let proxy = Acknowledged { name: ask.name.clone(), position, sent_at: ask.sent_at, seen_at: now };
        proxies.insert(ask.instance, proxy);
    }
}
