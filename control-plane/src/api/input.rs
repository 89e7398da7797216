//! What comes from outside: bodies, queries and paths, with errors that say what is wrong and where.

use super::error::ApiError;
use super::plain_json;
use crate::keys::hex;
use crate::store::tokens::stored;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderValue;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use policy::record::limits::USER_NAME_LEN_MAX;
use policy::{Timestamp, token};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// A JSON body. Unknown fields are refused by the types themselves: a restriction that nobody understands must not be
/// taken for none.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        read_json(&json(request, state).await?).map(Self)
    }
}

/// The bytes of a JSON body.
pub(crate) async fn json<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    if !plain_json::is_meant(request.headers()) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let read = tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, state));
    read.await.map_err(|_| ApiError::BodyTimeout)?.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => ApiError::TooLarge,
        other => ApiError::BadRequest(format!("The body cannot be read: {other}.")),
    })
}

/// What they say.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Serde would fill a structure from a list as well, in an order that nobody has promised.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::BadRequest("The body must be a JSON object.".into()));
    }
    plain_json::read(bytes).map_err(|error| {
        let said = error.to_string();
        // A token in the wrong place is not repeated.
        let said = if token::shows_in(said.as_bytes(), 0) {
            format!("something that is not expected, at line {} column {}", error.line(), error.column())
        } else {
            said
        };
        ApiError::BadRequest(format!("The body: {said}."))
    })
}

/// How long a body may take to arrive: a caller that sends a byte now and then must not hold a connection for ever.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// A query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(ApiError::BadRequest("The query must not hold the character NUL.".into()));
        }
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::BadRequest(format!("The query: {}.", rejection.body_text())))?;
        Ok(Self(value))
    }
}

/// The one variable segment of a path.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path::<String>(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::BadRequest(format!("The path: {}.", rejection.body_text())))?;
        if value.len() > SEGMENT_LEN_MAX || value.contains(char::is_control) {
            return Err(ApiError::BadRequest(format!(
                "The path: a name or an id has at most {SEGMENT_LEN_MAX} bytes, and no control characters."
            )));
        }
        Ok(Self(value))
    }
}

/// Bytes a segment may have: those of the longest name.
const SEGMENT_LEN_MAX: usize = USER_NAME_LEN_MAX;

/// The version of a thing: the value of its `ETag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// The version that is this content.
    pub(crate) fn of(content: &impl Serialize) -> Self {
        let digest = Sha256::digest(serde_json::to_vec(content).unwrap_or_default());
        Self(format!("\"{}\"", *hex(&digest[..12])))
    }
}

/// A thing with its version, as it is answered.
pub(crate) struct Versioned<T>(pub(crate) Version, pub(crate) T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let Self(Version(etag), thing) = self;
        ([(ETAG, etag)], Json(thing)).into_response()
    }
}

/// From which versions a change may be made (header `If-Match`, RFC 9110, section 13.1.1).
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfMatch {
    /// `ETag` of the version that is to be changed: 412 if it has changed meanwhile.
    #[param(rename = "If-Match")]
    versions: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let values: Result<Vec<&str>, _> = parts.headers.get_all(IF_MATCH).iter().map(HeaderValue::to_str).collect();
        let values = values.map_err(|_| ApiError::BadRequest("If-Match cannot be read.".into()))?;
        Ok(Self { versions: (!values.is_empty()).then(|| values.join(",")) })
    }
}

impl IfMatch {
    /// That this version is one of them, or that none was named.
    pub(crate) fn expect(&self, Version(present): &Version) -> Result<(), ApiError> {
        let matches = |versions: &String| versions.split(',').map(str::trim).any(|v| v == "*" || v == present);
        if self.versions.as_ref().is_none_or(matches) { Ok(()) } else { Err(ApiError::PreconditionFailed) }
    }
}

/// For a field of which `null` is a value, and another one than none at all.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A point in time as a caller writes it: RFC 3339, such as `2027-01-01T00:00:00Z`.
pub(crate) fn time(field: &str, text: &str) -> Result<Timestamp, ApiError> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| ApiError::BadRequest(format!("{field} must be a time such as 2027-01-01T00:00:00Z.")))?;
    let millis = u64::try_from(time.as_millisecond())
        .map_err(|_| ApiError::BadRequest(format!("{field} must not be before 1970.")))?;
    Ok(Timestamp::from_millis(millis))
}

/// A time from which, or before which, in the form in which it is stored.
pub(crate) fn bound(field: &str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    text.map(|text| time(field, text).map(stored)).transpose()
}

/// A stored time as callers read it. One beyond the year 9999, as it comes of adding times up, is the last that can be
/// written.
pub(crate) fn rfc3339(stored: i64) -> String {
    jiff::Timestamp::from_millisecond(stored).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Rows a page of a list has if nobody says otherwise, and at most.
const PAGE_ROWS: u64 = 100;
const PAGE_ROWS_MAX: u64 = 1000;

/// How many rows of a list are wanted.
pub(crate) fn limit(wanted: Option<u64>) -> Result<u64, ApiError> {
    limit_within(wanted, PAGE_ROWS, PAGE_ROWS_MAX)
}

/// The same for a list that has so many on a page if nobody says otherwise, and so many at most.
pub(crate) fn limit_within(wanted: Option<u64>, usual: u64, most: u64) -> Result<u64, ApiError> {
    limit_of("limit", wanted, usual, most)
}

/// The same under another name.
pub(crate) fn limit_of(field: &str, wanted: Option<u64>, usual: u64, most: u64) -> Result<u64, ApiError> {
    let limit = wanted.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::BadRequest(format!("{field} must be 1 to {most}.")))
    }
}

/// Leaves of these rows those of a page; one more than `limit` was asked for, to see whether there is more: then it gives
/// the `after` of the next page.
pub(crate) fn cut<R>(rows: &mut Vec<R>, limit: u64, id: impl Fn(&R) -> i64) -> Option<i64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().map(id).filter(|_| more)
}

/// A page of a list: `next`, if there is more, is the `after` of the next page.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    next: Option<i64>,
}

impl<T> Page<T> {
    /// These, and where it goes on.
    pub(crate) fn new(items: Vec<T>, next: Option<i64>) -> Self {
        Self { items, next }
    }
}
