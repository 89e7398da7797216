//! What comes from outside: bodies, queries and paths, with errors that say what is wrong and where.

use super::error::ApiError;
use crate::keys::hex;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use policy::Timestamp;
use policy::record::limits::USER_NAME_LEN_MAX;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// A JSON body. Unknown fields are refused by the types themselves: a restriction that nobody understands must not be
/// taken for none.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_plain_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let read = tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, state));
        let bytes = read.await.map_err(|_| ApiError::BodyTimeout)?.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => ApiError::TooLarge,
            other => ApiError::BadRequest(format!("The body cannot be read: {other}.")),
        })?;
        // Serde would fill a structure from a list as well, in an order that nobody has promised.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(ApiError::BadRequest("The body must be a JSON object.".into()));
        }
        let wrong = |error: serde_json::Error| ApiError::BadRequest(format!("The body: {error}."));
        serde_json::from_slice::<Unambiguous>(&bytes).map_err(wrong)?;
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }
}

/// Whether a body is JSON as it stands, by its own account: in UTF-8, which JSON is by RFC 8259, and not compressed.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(content_type)), None) = (types.next().map(HeaderValue::to_str), types.next()) else {
        return false;
    };
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let of_another_charset =
        parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        });
    media_type.trim().eq_ignore_ascii_case("application/json")
        && !of_another_charset
        && headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding == "identity")
}

/// JSON that every reader understands alike, and every database can store: no object with two fields of one name, no
/// NUL. It says where, and never what: that may be a secret in the wrong place.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        if text.contains('\0') { Err(E::custom("a text must not hold the character NUL")) } else { Ok(self) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
            if !names.insert(name) {
                return Err(de::Error::custom("a field stands there twice"));
            }
            fields.next_value::<Self>()?;
        }
        Ok(self)
    }
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

/// A stored time as callers read it.
pub(crate) fn rfc3339(stored: i64) -> String {
    jiff::Timestamp::from_millisecond(stored).map(|time| time.to_string()).unwrap_or_default()
}

/// Rows a page of a list has if nobody says otherwise, and at most.
const PAGE_ROWS: u64 = 100;
const PAGE_ROWS_MAX: u64 = 1000;

/// How many rows of a list are wanted.
pub(crate) fn limit(wanted: Option<u64>) -> Result<u64, ApiError> {
    match wanted.unwrap_or(PAGE_ROWS) {
        limit @ 1..=PAGE_ROWS_MAX => Ok(limit),
        _ => Err(ApiError::BadRequest(format!("limit must be 1 to {PAGE_ROWS_MAX}."))),
    }
}

/// A page of a list: `next`, if there is more, is the `after` of the next page.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    next: Option<i64>,
}

impl<T> Page<T> {
    /// The page that `limit` of these rows are; one row more than that was asked for, to see whether there is more.
    pub(crate) fn of<R>(
        mut rows: Vec<R>,
        limit: u64,
        id: impl Fn(&R) -> i64,
        view: impl FnMut(R) -> Result<T, ApiError>,
    ) -> Result<Self, ApiError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(id).filter(|_| more);
        Ok(Self { items: rows.into_iter().map(view).collect::<Result<_, _>>()?, next })
    }
}
