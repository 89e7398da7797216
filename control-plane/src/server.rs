//! The HTTP server: connections, their limits, and their end.

use crate::App;
use axum::http::HeaderMap;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use policy::IpRule;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Serves connections until the program is to stop, then waits a while for what is under way.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, app: &App) {
    // HTTP/1 alone: to tell it from HTTP/2, connections would be read before any time limit holds.
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX);
    let (graceful, places) = (GracefulShutdown::new(), Arc::new(Semaphore::new(places())));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = app.stopping() => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client has gone, or there are no file descriptors; closing connections will give some back.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(client.ip()))));
        let (server, tls, watcher) = (server.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = tls else {
                let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                return ended(watcher.watch(connection).await);
            };
            match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
                    ended(watcher.watch(connection).await);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a client could not agree on TLS"),
                Err(_) => tracing::debug!("a client did not agree on TLS in time"),
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIME_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way, and are given up");
    }
}

fn ended(outcome: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The address at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(pub(crate) Vec<IpRule>);

impl TrustedProxies {
    /// Whether this is one of them.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|rule| rule.contains(address))
    }

    /// The address of the client: the other end of the connection, or, as long as that is a proxy that is trusted, whom it
    /// names; `None`: it names nobody in particular.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let named: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .collect();
        let (mut client, mut named) = (peer, named.into_iter().rev());
        while self.trust(client) {
            let Some(next) = named.next() else {
                break;
            };
            client = std::str::from_utf8(next).ok()?.trim().parse().ok()?;
        }
        Some(client)
    }
}

/// How many connections there may be at a time: as many as the limit on files has room for, beside the database's.
fn places() -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    files.saturating_sub(64).clamp(1, CONNECTIONS_MAX)
}

/// Raises the limit on open files as far as this process may: each connection is one, and the usual limit is meant for
/// programs that still call `select`.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// How long a client may take over the head of a request, or leave a connection idle.
const HEADER_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a client may take to agree on TLS.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long requests under way are waited for when the program is to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn attack_nobody_but_a_trusted_proxy_says_who_the_client_is() {
        let proxies = TrustedProxies(["127.0.0.1", "10.0.0.0/8"].map(|rule| rule.parse().unwrap()).into());
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], Some("192.0.2.1")),
            ("127.0.0.1", &["198.51.100.7"], Some("198.51.100.7")),
            ("127.0.0.1", &["203.0.113.9, 198.51.100.7"], Some("198.51.100.7")),
            ("127.0.0.1", &["203.0.113.9", "198.51.100.7,10.1.2.3"], Some("198.51.100.7")),
            ("127.0.0.1", &[], Some("127.0.0.1")),
            ("127.0.0.1", &["10.0.0.1"], Some("10.0.0.1")),
            ("127.0.0.1", &["unknown"], None),
            ("127.0.0.1", &["198.51.100.7,"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
            }
            let expected = client.map(|client| client.parse().unwrap());
            assert_eq!(proxies.client(peer.parse().unwrap(), &headers), expected, "{peer} {forwarded:?}");
        }
    }
}
