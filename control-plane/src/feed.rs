//! The control plane's side of the feed: one authenticated, hanging GET a proxy, and its reports of usage.

use crate::server::Peer;
use crate::{App, clock, usage};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::feed::{
    ASK_HEADER, Answer, Ask, CLOCK_DIFFERENCE_MAX_MS, MAC_HEADER, News, PATH, REPORT_LEN_MAX, Receipt, Report,
    USAGE_PATH, claimed_key_id, hold_ms,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Reports that may be under way at a time; the others come again.
const REPORTS_MAX: usize = 32;

/// How long a report may take to arrive.
const REPORT_TIME_MAX: Duration = Duration::from_secs(10);

/// The routes of the feed.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route(PATH, get(answer))
        .route(USAGE_PATH, post(take_report))
        .layer(DefaultBodyLimit::max(REPORT_LEN_MAX))
        .with_state(app)
}

async fn answer(
    State(app): State<Arc<App>>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let now = clock::now();
    let ask = match open(&app, &headers) {
        Ok(ask) => ask,
        Err(refusal) => return refused(&refusal),
    };
    if ask.sent_at.as_millis().abs_diff(now.as_millis()) > CLOCK_DIFFERENCE_MAX_MS {
        tracing::warn!(proxy = ask.name, "the clock of a proxy differs too much from ours; it is told so, and no more");
        let _asking = app.proxies.asks(&ask, Some(address), None, now);
        return seal(&app, &ask, News::ClockDiffers).into_response();
    }
    if let Some(missing) = app.store.with_image(|image| ask.at.and_then(|at| image.lacks(at))) {
        tracing::error!(
            proxy = ask.name,
            missing,
            "a proxy has heard of changes that this database does not have: if it was restored from a backup, whatever \
             was revoked since then works again; revoke it anew"
        );
    }
    let revision = app.store.with_image(|image| ask.at.and_then(|at| image.revision_of(at)));
    let Some(asking) = app.proxies.asks(&ask, Some(address), revision, now) else {
        return refused(&Refusal::Repeated);
    };
    let mut changed = app.store.watch();
    let max_age = app.store.settings().0.max_snapshot_age;
    let hold = tokio::time::sleep(Duration::from_millis(hold_ms(max_age.map(|age| age.as_millis()))));
    tokio::pin!(hold);
    let mut over = ask.is_pressing();
    loop {
        changed.mark_unchanged();
        if !app.store.image_is_trusted() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let at = ask.at.filter(|_| !ask.all);
        let (sealed, trusts_ms) = app.store.with_image(|image| {
            let news = image.news(at, ask.cursor).or_else(|| over.then_some(News::Nothing));
            let sealed = news.map(|news| seal(&app, &ask, news));
            (sealed, image.settings().0.max_snapshot_age.map(|age| age.as_millis()))
        });
        if let Some(sealed) = sealed {
            // Before anything is told: whoever has it must be known after a restart, too.
            if let Err(error) = app.proxies.answers(&asking, trusts_ms, &app.store).await {
                tracing::error!(%error, proxy = ask.name, "a proxy cannot be written down, and is told nothing");
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            // Nor is it told of a change that a power cut could still take back.
            if app.store.durable.settle().await.is_err() {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            return sealed.into_response();
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

/// Takes a report of usage in. What cannot be written now comes again.
async fn take_report(State(app): State<Arc<App>>, request: axum::extract::Request) -> Response {
    // Whoever sends is not known before the last byte is there: so few may do so at a time.
    static PLACES: Semaphore = Semaphore::const_new(REPORTS_MAX);
    let Ok(place) = PLACES.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let read = <Bytes as axum::extract::FromRequest<()>>::from_request(request, &());
    let Ok(Ok(body)) = tokio::time::timeout(REPORT_TIME_MAX, read).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    // To its end, even if the proxy gives up: half of it may be written.
    let taken = tokio::spawn(async move {
        let _place = place;
        let key = &app.store.sync_key;
        let Some(report) = Report::open(&body, key) else {
            let claimed = body.get(32..).and_then(claimed_key_id);
            return refused(&Refusal::of(claimed, key.id()));
        };
        let age_ms = report.sent_at.as_millis().abs_diff(clock::now().as_millis());
        if age_ms > usage::REMEMBER_MS - 24 * 60 * 60 * 1000 {
            return refused(&Refusal::OtherTime);
        }
        match usage::take(&app.store, &report).await {
            Ok(taken) => {
                // With the receipt the proxy forgets what it reported.
                if app.store.durable.settle().await.is_err() {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                let receipt = Receipt { nonce: report.nonce, instance: report.instance, taken };
                receipt.seal(key).ok_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            }
            Err(error) => {
                tracing::error!(%error, proxy = report.name, "a report of usage could not be taken in; it will come again");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    });
    taken.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a report of usage could not be taken in");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

fn refused(refusal: &Refusal) -> Response {
    tracing::warn!(%refusal, "a message to the feed was refused");
    (StatusCode::UNAUTHORIZED, "the feed is for proxies that have the sync key\n").into_response()
}

/// Why a message is not answered; for the log.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is missing or cannot be read")]
    Unreadable,
    #[error("it is sealed with another sync key: {theirs:08x}, ours is {ours:08x}")]
    OtherKey { theirs: u32, ours: u32 },
    #[error("it is not authentic")]
    NotAuthentic,
    #[error("it has come before")]
    Repeated,
    #[error("it is of another month")]
    OtherTime,
}

impl Refusal {
    /// Of something that does not open.
    fn of(claimed_key: Option<u32>, ours: u32) -> Self {
        match claimed_key {
            Some(theirs) if theirs != ours => Self::OtherKey { theirs, ours },
            _ => Self::NotAuthentic,
        }
    }
}

fn open(app: &App, headers: &HeaderMap) -> Result<Ask, Refusal> {
    let header = |name| headers.get(name).and_then(|value| BASE64.decode(value).ok()).ok_or(Refusal::Unreadable);
    let (bytes, mac) = (header(ASK_HEADER)?, header(MAC_HEADER)?);
    let key = &app.store.sync_key;
    Ask::open(&bytes, &mac, key).ok_or_else(|| Refusal::of(claimed_key_id(&bytes), key.id()))
}

fn seal(app: &App, ask: &Ask, news: News<'_>) -> Result<Vec<u8>, StatusCode> {
    let answer = Answer { nonce: ask.nonce, instance: ask.instance, server_time: clock::now(), news };
    answer.seal(&app.store.sync_key).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
}
