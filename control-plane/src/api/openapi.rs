//! The OpenAPI document: made from the handlers and the types by which they read and answer, served at
//! `/api/v1/openapi.json`.
//!
//! A route cannot be without its entry, since both are added by one line in [`super::router`]. What is the same for all,
//! refusals and credentials, is said here once.

use crate::api::error::ApiError;
use crate::permission::{Action, Role, Whose, permit};
use axum::Extension;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use policy::problem;
use std::collections::BTreeMap;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, HeaderBuilder, ObjectBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder, Type};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema, openapi};

/// What stands before the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tokengate",
        description = "API tokens for any REST backend, checked inside the proxy: users, tokens, settings, audit, proxies.\n\n\
            Call it with an API token (`Basic` with USER:TOKEN, or `Bearer`), or with a user name and password. A token \
            that is restricted in any way manages nothing. Times are RFC 3339; lists come in pages, whose `next`, if there is \
            more, is the `after` of the next page; unknown fields and parameters are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("basic" = []), ("bearer" = [])),
    components(schemas(Problem, super::proxies::Confirmed)),
    modifiers(&Credentials),
    tags(
        (name = "tokens", description = "API tokens: one's own; sysadmins: everyone's."),
        (name = "users", description = "Who has tokens."),
        (name = "settings", description = "How requests are judged."),
        (name = "audit", description = "What was changed, and which calls were made."),
        (name = "proxies", description = "Who decides by it."),
        (name = "api", description = "This document."),
    ),
)]
pub(super) struct Api;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        for (name, scheme, about) in [
            (
                "basic",
                HttpAuthScheme::Basic,
                "A user's name or e-mail address, and an API token or the user's password.",
            ),
            ("bearer", HttpAuthScheme::Bearer, "An API token."),
        ] {
            let scheme = HttpBuilder::new().scheme(scheme).description(Some(about)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what policy::problem::Problem writes")]
#[schema(example = json!({
    "type": "urn:tokengate:problem:not_found", "title": "Not Found", "status": 404, "code": "not_found",
    "detail": "There is no such resource, or none that you may see.", "request_id": "1f0e5a4c",
}))]
pub(super) struct Problem {
    /// A name for this kind of problem, which is no address.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do, for a person.
    detail: String,
    /// What is wrong, for a program: it stays the same.
    code: String,
    /// Under which to look in the logs.
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Where people find help: the administrator's word.
    #[schema(nullable = false)]
    help_url: Option<String>,
    /// What is wrong with a document, place by place.
    #[schema(nullable = false)]
    errors: Option<Vec<Fault>>,
}

/// One thing that is wrong with a document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what policy::problem::Fault writes")]
pub(super) struct Fault {
    /// What is wrong.
    detail: String,
    /// Where: a JSON pointer as a URI fragment, such as `#/ip_rules/3`.
    pointer: String,
    /// The line of a text, from 1.
    #[schema(nullable = false, minimum = 1)]
    line: Option<u64>,
    /// The character in it, from 1.
    #[schema(nullable = false, minimum = 1)]
    column: Option<u64>,
}

/// Refusals that any request may meet.
pub(super) struct Refusals;

/// Those that one with a body, or one that changes something, may meet besides.
pub(super) struct ChangeRefusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        problems(&[
            (400, "The request cannot be understood; `detail` and `errors` say where."),
            (401, "No credential, or none that is good."),
            (403, "Not for this caller, this token, or not from this address."),
            (404, "There is no such resource, or none that the caller may see."),
            (405, "The resource does not know this method."),
            (429, "Too many failed attempts to sign in; `Retry-After` says when to try again."),
            (500, "Something went wrong; the log has it under the request id."),
            (503, "Not now; `Retry-After` says when to try again."),
        ])
    }
}

impl IntoResponses for ChangeRefusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let mut all = Refusals::responses();
        all.extend(problems(&[
            (408, "The body did not arrive in time."),
            (409, "It contradicts what is there; `code` says how."),
            (412, "It was changed since the version in `If-Match`."),
            (413, "The body is too large."),
            (415, "The body is not JSON by its own account."),
            (422, "The key in `Idempotency-Key` was used for another request."),
        ]));
        all
    }
}

fn problems(of: &[(u16, &str)]) -> BTreeMap<String, RefOr<openapi::Response>> {
    of.iter()
        .map(|(status, about)| {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            let mut response = ResponseBuilder::new().description(*about).content(problem::CONTENT_TYPE, problem);
            if let 429 | 503 = status {
                let seconds = HeaderBuilder::new().schema(ObjectBuilder::new().schema_type(Type::Integer));
                response = response.header("Retry-After", seconds.build());
            }
            (status.to_string(), RefOr::T(response.build()))
        })
        .collect()
}

/// This document, for everyone.
///
/// 200, without a credential.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    operation_id = "show_openapi",
    tag = "api",
    security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object), Refusals),
)]
pub(super) async fn serve(Extension(Served(document)): Extension<Served>) -> Result<Response, ApiError> {
    permit(Role::Anonymous, Action::ReadOpenApi, Whose::Others).ok_or(ApiError::Forbidden)?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

/// The document as it is served: written once, since anyone may ask for it.
#[derive(Clone)]
pub(super) struct Served(Bytes);

impl Served {
    pub(super) fn new(document: &Document) -> Self {
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }
}
