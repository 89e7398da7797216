//! Refusals in the form of RFC 9457 (`application/problem+json`), the same from the proxy and the control plane (U13).

use crate::DenyReason;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The media type of the body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The values of `WWW-Authenticate` that go with every 401, one header each.
pub const CHALLENGES: [&str; 2] = ["Basic realm=\"API token\", charset=\"UTF-8\"", "Bearer realm=\"API token\""];

/// Seconds after which a client may try again when the proxy is not ready, or when a token has had its share of it.
pub const RETRY_AFTER_SECONDS: &str = "2";

/// A refusal, told to the caller.
#[derive(Clone, Debug, Serialize)]
pub struct Problem<'a> {
    /// A name for this kind of problem, which is no address.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, for a person.
    pub detail: &'a str,
    /// What is wrong, for a program.
    pub code: &'a str,
    /// Under which to look in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// Where people find help: the administrator's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help_url: Option<&'a str>,
    /// What is wrong with a document, place by place.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub errors: &'a [Fault],
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What is wrong.
    pub detail: String,
    /// Where: a JSON pointer as a URI fragment, such as `#/ip_rules/3`.
    pub pointer: String,
    /// Where in a text.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A place in a text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl<'a> Problem<'a> {
    /// A problem with this status and code.
    pub fn new(status: u16, code: &'a str, detail: &'a str, request_id: Option<&'a str>) -> Self {
        let kind = ["urn:tokengate:problem:", code].concat();
        Self { kind, title: title(status), status, detail, code, request_id, help_url: None, errors: &[] }
    }

    /// The problem that a refusal is.
    pub fn of(reason: DenyReason, request_id: Option<&'a str>, help_url: Option<&'a str>) -> Self {
        Self { help_url, ..Self::new(reason.status(), reason.code(), reason.sentence(), request_id) }
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The headers that go with it.
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = alloc::vec![("content-type", CONTENT_TYPE), ("cache-control", "no-store")];
        match self.status {
            401 => headers.extend(CHALLENGES.map(|challenge| ("www-authenticate", challenge))),
            429 | 503 => headers.push(("retry-after", RETRY_AFTER_SECONDS)),
            _ => {}
        }
        headers
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Error",
    }
}
