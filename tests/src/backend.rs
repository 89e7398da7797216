//! The demo backend: a service that knows nothing of tokens, and tells what it received.
//!
//! * Any path: 200 with JSON of method, path, query, headers, body, and the user as the backend sees one.
//! * Basic: `alice` with password `wonderland` is let in; any other password is 401 and counted at `/failed-logins`.
//! * An identity header from the proxy, or no credentials at all: 200.
//! * Who signs in gets a session cookie.
//! * The few endpoints that Jira's clients call first answer as Jira does, in the same object.
//! * `/rest/moved/STATUS` is elsewhere: a redirection with this status to `/rest/arrived`.
//!
//! `/received` lists the requests of late, for tests that must know what did **not** arrive.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, HOST, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Requests that `/received` remembers.
const RECEIVED_MAX: usize = 1000;

#[derive(Default)]
struct Backend {
    failed_logins: Mutex<u64>,
    received: Mutex<VecDeque<Value>>,
}

/// All of the backend.
pub fn router() -> Router {
    let backend = Arc::new(Backend::default());
    Router::new()
        .route(
            "/failed-logins",
            get(async |State(backend): State<Arc<Backend>>| Json(json!({ "count": *lock(&backend.failed_logins) }))),
        )
        .route("/received", get(async |State(backend): State<Arc<Backend>>| Json(json!(*lock(&backend.received)))))
        .fallback(answer)
        .with_state(backend)
}

async fn answer(
    State(backend): State<Arc<Backend>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller = caller(&headers);
    let user = caller.as_ref().ok().cloned().flatten();
    let mut seen = Map::new();
    seen.insert("user".into(), json!(user));
    seen.insert("method".into(), json!(method.as_str()));
    seen.insert("path".into(), json!(uri.path()));
    seen.insert("query".into(), json!(uri.query()));
    seen.insert("headers".into(), shown(&headers));
    seen.insert("body".into(), json!(String::from_utf8_lossy(&body)));
    {
        let mut received = lock(&backend.received);
        received.push_back(Value::Object(seen.clone()));
        if received.len() > RECEIVED_MAX {
            received.pop_front();
        }
    }
    if caller.is_err() {
        *lock(&backend.failed_logins) += 1;
        let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"demo backend\"")];
        return (StatusCode::UNAUTHORIZED, challenge, Json(json!({ "error": "wrong user or password" })))
            .into_response();
    }
    if let Some(status) = moved(uri.path()) {
        return (status, [(LOCATION, "/rest/arrived")]).into_response();
    }
    seen.extend(as_jira(uri.path(), user.as_deref(), headers.get(HOST).map(HeaderValue::as_bytes)));
    let cookies =
        user.map(|user| AppendHeaders([(SET_COOKIE, format!("SESSION={user}; Path=/")), (SET_COOKIE, "x=y".into())]));
    (cookies, Json(Value::Object(seen))).into_response()
}

/// Who is calling, as the backend sees it: `Err` for a wrong password, `Ok(None)` for nobody in particular.
fn caller(headers: &HeaderMap) -> Result<Option<String>, ()> {
    let authorization = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if let Some(encoded) = authorization.strip_prefix(b"Basic ") {
        let decoded = BASE64.decode(encoded.trim_ascii()).map_err(|_| ())?;
        return if decoded == b"alice:wonderland" { Ok(Some("alice".into())) } else { Err(()) };
    }
    let identity = headers.get("x-forwarded-user").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok(identity.filter(|name| !name.is_empty()))
}

/// Headers as JSON: a string, or a list where a name came more than once.
fn shown(headers: &HeaderMap) -> Value {
    let names = headers.keys().map(|name| {
        let mut values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        (name.as_str().to_owned(), value)
    });
    Value::Object(names.collect())
}

/// What Jira answers on the paths that its clients ask first.
fn as_jira(path: &str, user: Option<&str>, host: Option<&[u8]>) -> Map<String, Value> {
    let issue = |key: &str| {
        let host = String::from_utf8_lossy(host.unwrap_or_default());
        json!({
            "id": "10000", "key": key, "self": format!("http://{host}/rest/api/2/issue/{key}"),
            "fields": { "summary": format!("Issue {key} of the demo backend") },
        })
    };
    let answer = match path {
        "/rest/api/2/serverInfo" => json!({
            "baseUrl": "http://127.0.0.1", "version": "9.12.0", "versionNumbers": [9, 12, 0],
            "deploymentType": "Server", "buildNumber": 912_000, "serverTitle": "Demo backend",
        }),
        "/rest/api/2/myself" => json!({ "name": user, "key": user, "displayName": user, "active": true }),
        "/rest/api/2/search" => json!({ "startAt": 0, "maxResults": 50, "total": 1, "issues": [issue("JRA-1")] }),
        _ => match path.strip_prefix("/rest/api/2/issue/") {
            Some(key) if !key.contains('/') => issue(key),
            _ => json!({}),
        },
    };
    match answer {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The status with which a path says that what is asked for is elsewhere, if it does.
fn moved(path: &str) -> Option<StatusCode> {
    let status: StatusCode = path.strip_prefix("/rest/moved/")?.parse().ok()?;
    status.is_redirection().then_some(status)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
