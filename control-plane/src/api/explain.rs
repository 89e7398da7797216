//! `POST /api/v1/explain`: what becomes of a request with a token, and why, rule by rule (M9). Asking about another's
//! token is for sysadmins.
//!
//! It is judged by [`policy::explain`], which is the proxies' own `decide`, watched; from the same records, and as of the
//! newest change. Nothing is changed, counted or written to the audit, and no proxy is asked: what only a proxy knows (its
//! site, the age of its snapshot, what Envoy itself refuses) is the question's to say, or out of sight.

mod answer;
mod asked;
mod presented;

use crate::App;
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::{Body, rfc3339};
use crate::api::openapi::ChangeRefusals;
use crate::api::site::SiteBody;
use crate::store::tokens::stored;
use answer::Explained;
use asked::Asked;
use axum::Json;
use axum::extract::State;
use policy::restrictions::Body as RequestBody;
use policy::{Facts, Known, Request, Snapshot, Timestamp, Verdict, decide};
use presented::Presented;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// A request as a client would send it with a token, and what only a proxy knows of it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainBody {
    /// The public id of the token. Either this or `token`.
    #[schema(example = "5f2b18c04d7a9e63b1d0")]
    id: Option<String>,
    /// What stands in the place of the token: a token itself, or anything else. It is neither logged nor kept.
    #[schema(value_type = Option<String>, format = Password, max_length = 4096)]
    token: Option<Zeroizing<String>>,
    /// `bearer` if nothing is said; `basic` if there is a `user`.
    scheme: Option<Scheme>,
    /// The name beside it in Basic; its owner's if nobody is named.
    #[schema(max_length = 512)]
    user: Option<String>,
    /// As it is sent: `get` is not GET.
    #[schema(min_length = 1, max_length = 32, pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", example = "GET")]
    method: String,
    /// Path and query, as they are sent, with the context path: `/rest/api/2/issue/JRA-1?expand=names`.
    #[schema(min_length = 1, max_length = 61440, pattern = "^/[^ ]*$", example = "/rest/api/2/issue/JRA-1")]
    url: String,
    /// The header `contextUser`.
    context_user: Option<String>,
    /// The client's address; the caller's own if none is given, should that be known.
    #[schema(value_type = Option<String>, example = "192.0.2.7")]
    address: Option<IpAddr>,
    /// Other headers that matter, at most 100, such as `content-type` or `x-http-method-override`.
    #[serde(default)]
    #[schema(example = json!({ "content-type": "application/json" }))]
    headers: BTreeMap<String, String>,
    /// The body: a text as it is, or any other JSON, which is then also said to be JSON unless `headers` say otherwise.
    #[schema(value_type = Option<Object>)]
    body: Option<Box<RawValue>>,
    /// When; now, if nothing is said.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// How the proxy is configured; as `envoy.yaml` has it, where nothing is said.
    site: Option<SiteBody>,
}

/// How a credential is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scheme {
    Basic,
    Bearer,
}

/// Explains what becomes of a request with a token: one's own; sysadmins: anyone's.
///
/// 200 with the verdict, the rules in their order up to the one that decided, and the token's restrictions line by line.
/// 404 for the id of a token that the caller may not see. The value of such a token counts as one that nobody has.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    operation_id = "explain",
    tag = "tokens",
    request_body = ExplainBody,
    responses((status = 200, description = "The verdict, and why.", body = Explained), ChangeRefusals),
)]
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<ExplainBody>,
) -> Result<Json<Explained>, ApiError> {
    let asked = Asked::read(body, &caller)?;
    let presented = Presented::find(&app.store, &caller, &asked).await?;
    let turn = if caller.user.sysadmin { &TURNS_OF_SYSADMINS } else { &TURNS }.acquire().await;
    // Meanwhile other threads answer other requests.
    let explained = tokio::task::block_in_place(|| judged(&app, &asked, &presented));
    drop(turn);
    Ok(Json(explained))
}

/// Explanations at a time: regexes made to that end take half a second of a core, and users write them themselves. However
/// many they ask for, sysadmins do not wait behind them.
static TURNS: Semaphore = Semaphore::const_new(1);
static TURNS_OF_SYSADMINS: Semaphore = Semaphore::const_new(1);

/// Gathers the facts, and judges.
fn judged(app: &App, asked: &Asked, presented: &Presented) -> Explained {
    let headers = asked.headers(presented);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
    let request = Request::read(&headers, &asked.site);
    // Compiled before the image is looked at, since nobody may change it meanwhile.
    let set = presented.restrictions(&app.store);
    let (known, opened, settings_revision) = app.store.with_image(|image| {
        let opened = image.settings();
        let sources = presented.sources(image, asked.address, set.as_ref());
        let known = Known::gather(&request, &opened.0, &opened.1, &sources);
        (known, opened, image.settings_revision())
    });
    let snapshot = Snapshot::Ready { settings: &opened.0, age_ms: 0 };
    let body = if asked.body.is_empty() { RequestBody::None } else { RequestBody::NotYet };
    let mut facts = Facts { request: &request, snapshot, known: &known, body, now: asked.at };
    // As in a proxy: first without the body, then, if it counts, with it.
    if decide(&facts) == Verdict::NeedBody {
        facts.body = RequestBody::Bytes(&asked.body);
    }
    let explanation = policy::explain(&facts, |time: Timestamp| rfc3339(stored(time)));
    Explained::new(explanation, &request, asked, presented, settings_revision)
}
