//! The native API, `/api/v1`: one operation a file, each with its request, errors, handler and documentation.

mod assertions;
mod audit;
mod caller;
mod credentials;
mod error;
mod explain;
mod facades;
pub(crate) mod idempotency;
mod input;
mod openapi;
mod plain_json;
mod proxies;
mod settings;
mod site;
pub(crate) mod tokens;
mod trial;
mod users;

use crate::App;
pub(crate) use assertions::Assertions;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use error::ApiError;
use policy::calls::Escaped;
use std::sync::Arc;
use std::time::Instant;
use utoipa::OpenApi as _;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

/// Bytes a request body may have: the longest restriction set, and room.
const BODY_LEN_MAX: usize = 128 * 1024;

/// All routes of the API, and its document.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, document) = OpenApiRouter::with_openapi(openapi::Api::openapi())
        .routes(routes!(openapi::serve))
        .routes(routes!(users::list::list, users::create::create))
        .routes(routes!(users::show::show, users::edit::edit, users::delete::delete))
        .routes(routes!(users::import::import).layer(DefaultBodyLimit::max(users::import::BODY_LEN_MAX)))
        .routes(routes!(users::password::set, users::password::delete))
        .routes(routes!(tokens::list::list, tokens::create::create, tokens::delete_many::delete_many))
        .routes(routes!(tokens::import::import))
        .routes(routes!(tokens::rotate::rotate))
        .routes(routes!(tokens::secret::secret))
        .routes(routes!(tokens::try_out::try_out))
        .routes(routes!(tokens::show::show, tokens::edit::edit, tokens::delete::delete))
        .routes(routes!(explain::explain))
        .routes(routes!(settings::show::show, settings::change::change))
        .routes(routes!(settings::history::history))
        .routes(routes!(settings::version::show))
        .routes(routes!(settings::restore::restore))
        .routes(routes!(settings::try_out::try_out))
        .routes(routes!(audit::list::list))
        .routes(routes!(audit::list::export))
        .routes(routes!(audit::calls::list))
        .routes(routes!(audit::calls::export))
        .routes(routes!(proxies::list::list))
        .routes(routes!(proxies::forget::forget))
        .routes(routes!(
            credentials::show::show_shared,
            credentials::set::set_shared,
            credentials::delete::delete_shared
        ))
        .routes(routes!(credentials::show::show, credentials::set::set, credentials::delete::delete))
        .split_for_parts();
    router
        .merge(facades::router(&app))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound)
        .layer(Extension(openapi::Served::new(&document)))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), identified))
        .with_state(app)
}

/// Runs a request to its end even if its client has gone (a change must not stop between commit and image), turns a
/// panic into a 500, and writes the line in the log. Queries and bodies are not logged: they hold what people type.
async fn identified(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => ApiError::Internal(Box::new(error)).into_response(),
    };
    let request_id = id.to_str().unwrap_or_default();
    if let Some(problem) = response.extensions_mut().remove::<error::Told>() {
        if let Some(cause) = &problem.cause {
            tracing::error!(request_id, error = %cause, "a request failed");
        }
        let settings = app.store.settings();
        response = problem.respond(request_id, settings.0.help_url.as_ref().map(|url| url.as_str()));
    }
    let (status, milliseconds) = (response.status().as_u16(), started.elapsed().as_millis());
    let path = Escaped(path.as_bytes()); // people paste tokens everywhere
    tracing::info!(request_id, %method, %path, status, milliseconds, "request");
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The proxy's id for this request, so that both logs can be read side by side; else one of our own.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|id| {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(allowed)
    });
    given.cloned().unwrap_or_else(|| {
        let random = crate::keys::random::<16>().map(|bytes| crate::keys::hex(&*bytes)).unwrap_or_default();
        HeaderValue::from_str(&random).unwrap_or(HeaderValue::from_static("unknown"))
    })
}
