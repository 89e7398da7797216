//! `tokengate serve`: the control plane from start to a graceful stop.

use crate::change::{Author, Change, ChangeError, NewToken, NewUser};
use crate::config::Config;
use crate::keys::{self, KeyError, MasterKey};
use crate::permission::{Action, own_permit};
use crate::proxies::{self, Proxies};
use crate::server::TrustedProxies;
use crate::sign_in::{SignIn, SignInStartError, records};
use crate::store::{OpenError, Store, tokens, users};
use crate::usage::{self, OwnCalls};
use crate::{api, feed, prune, server, tls};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use policy::credential::Secret;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The running control plane.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) proxies: Proxies,
    pub(crate) assertions: api::Assertions,
    pub(crate) own_calls: OwnCalls,
    pub(crate) sign_in: SignIn,
    /// Whether tokens stay as they were made (S7).
    pub(crate) secure_mode: bool,
    pub(crate) trusted_proxies: TrustedProxies,
    stop: watch::Receiver<bool>,
}

impl App {
    /// Waits until the program is to stop.
    pub(crate) async fn stopping(&self) {
        let mut stop = self.stop.clone();
        // An error means that nobody can say stop any more, which is as good as having said it.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Why the control plane does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot create the data directory {path}: {source}")]
    DataDirectory { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source} (choose another address with --listen or TOKENGATE_LISTEN)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot create the first sysadmin: {0}")]
    FirstStart(#[from] ChangeError),
    #[error("cannot enter secure or standard mode: {0}")]
    Mode(ChangeError),
    #[error("cannot write {path}: {source}")]
    AdminToken { path: PathBuf, source: io::Error },
    #[error("nobody could sign in: {0}")]
    SignIn(#[from] SignInStartError),
    #[error("the database's log could not be written to the disk; see to the disk, then start again")]
    NotDurable,
    #[error("the server: {0}")]
    Server(#[from] io::Error),
}

/// Serves until SIGTERM or Ctrl-C.
pub(crate) async fn serve(config: &Config) -> Result<(), ServeError> {
    let Config { data, listen, tls, secure_mode, trusted_proxies: _, log_format: _ } = config;
    let (listen, secure_mode) = (*listen, *secure_mode);
    server::allow_many_files();
    let tls = tls.as_ref().map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
    if tls.is_none() && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "without TLS, API tokens are readable on the way here: give --tls-cert and --tls-key, or trust the network");
    }
    let listener = TcpListener::bind(listen).await.map_err(|source| ServeError::Listen { address: listen, source })?;
    let master = open_data(data)?;
    let store = Store::open(data, master).await?;
    tokens::recoverable::enter_mode(&store, secure_mode).await.map_err(ServeError::Mode)?;
    first_start(&store, data).await?;
    let proxies = Proxies::load(&store.db).await.map_err(OpenError::Database)?;
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        store,
        proxies,
        assertions: api::Assertions::default(),
        own_calls: OwnCalls::default(),
        sign_in: SignIn::new()?,
        secure_mode,
        trusted_proxies: config.trusted_proxies(),
        stop: stopping,
    });
    let health =
        Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(app.clone());
    let router = health.merge(feed::router(app.clone())).merge(api::router(app.clone()));
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let failing = app.clone();
    let broken = tokio::spawn(async move {
        let broken = tokio::select! {
            _ = terminated.recv() => false,
            _ = interrupted.recv() => false,
            () = failing.store.durable.breaks() => true,
        };
        tracing::info!("stopping: answering what is under way");
        let _ = stop.send(true);
        broken
    });
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    tokio::select! {
        () = server::accept(listener, tls, router, &app) => {}
        () = app.store.keep_image_trusted() => {}
        () = app.store.keep_log_short() => {}
        () = usage::keep_writing(&app) => {}
        () = records::keep_writing(&app) => {}
        () = proxies::keep_up(&app) => {}
        () = prune::keep_pruning(&app.store) => {}
    }
    usage::write_own(&app).await;
    records::write_numbers(&app).await;
    // What is in the log beside the database goes into it, unless somebody still reads.
    let closed = tokio::time::timeout(Duration::from_secs(2), app.store.close()).await;
    if !matches!(closed, Ok(Ok(()))) {
        tracing::warn!("the database was not closed; the next start puts in order what is left");
    }
    tracing::info!("stopped");
    if broken.await.unwrap_or(true) { Err(ServeError::NotDurable) } else { Ok(()) }
}

/// The master key in this directory; both are made if they are not there, for their owner alone to read.
pub(crate) fn open_data(data: &Path) -> Result<MasterKey, ServeError> {
    make_private_files();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|source| ServeError::DataDirectory { path: data.to_owned(), source })?;
    Ok(MasterKey::load_or_create(&data.join("master.key"))?)
}

/// Whatever this program makes (database, keys, token) is for its owner alone, also in a directory that others see.
pub(crate) fn make_private_files() {
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
}

/// Makes user `admin` and its token where there is no user at all.
async fn first_start(store: &Store, data: &Path) -> Result<(), ServeError> {
    if users::Entity::find().one(&store.db).await.map_err(OpenError::Database)?.is_some() {
        return Ok(());
    }
    let mut change = Change::begin(store, Author::Program).await?;
    let admin = NewUser { name: "admin", email: None, sysadmin: true };
    let admin = change.create_user(&own_permit(Action::CreateUser), admin).await?;
    let secret = create_token(store, &mut change, admin.id, "first start").await?;
    // The file first: a crash in between leaves a file without a token, and the next start makes both anew; the other
    // way round the token would be lost.
    let path = data.join("admin-token");
    keys::write_private(&path, secret.expose(), keys::Existing::Goes)
        .map_err(|source| ServeError::AdminToken { path: path.clone(), source })?;
    change.commit().await?;
    tracing::info!(path = %path.display(), "first start: created the sysadmin `admin`; its token is in this file");
    Ok(())
}

/// Creates a token that does not end, for whoever is at this machine.
pub(crate) async fn create_token(
    store: &Store,
    change: &mut Change<'_>,
    owner: i64,
    label: &str,
) -> Result<Secret, ChangeError> {
    let (secret, hash) = api::tokens::mint(&store.master.hash_keys()).map_err(KeyError::Randomness)?;
    let public_id = api::tokens::public_id().map_err(KeyError::Randomness)?;
    let token = NewToken {
        public_id,
        hash,
        label,
        owner_id: Some(owner),
        valid_from: None,
        expires_at: None,
        read_only: false,
        imported: false,
        ip_ranges: Vec::new(),
        restrictions: None,
        recoverable: None,
    };
    change.create_token(&own_permit(Action::CreateToken), token).await?;
    Ok(secret)
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (position, tokens) = app.store.with_image(|image| (image.position(), image.tokens()));
    match app.store.db.ping().await {
        Ok(()) if !app.store.image_is_trusted() => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false }))),
        Ok(()) => (StatusCode::OK, Json(json!({ "ready": true, "revision": position.revision, "tokens": tokens }))),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ready": false })))
        }
    }
}
