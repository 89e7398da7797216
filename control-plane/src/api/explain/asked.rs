//! What is asked: checked, and in the form in which a proxy would see it.

use super::presented::Presented;
use super::{ExplainBody, Scheme};
use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::time;
use crate::clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::credential::{SECRET_LEN_MAX, Secret};
use policy::headers::CONTEXT_USER;
use policy::{Site, Timestamp};
use serde_json::value::RawValue;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// A question.
pub(super) struct Asked {
    pub(super) about: About,
    pub(super) scheme: Scheme,
    /// The name beside it in Basic, if one is given.
    pub(super) user: Option<String>,
    pub(super) method: String,
    pub(super) url: String,
    context_user: Option<String>,
    pub(super) address: Option<IpAddr>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) at: Timestamp,
    pub(super) site: Site,
}

/// The token of which is asked.
pub(super) enum About {
    Id(String),
    Value(Secret),
}

impl Asked {
    /// Checks a question. What no client could send is refused here, since no proxy would ever judge it.
    pub(super) fn read(body: ExplainBody, caller: &Caller) -> Result<Self, ApiError> {
        let ExplainBody { id, token, scheme, user, method, url, context_user, address, headers, body, at, site } = body;
        let about = match (id, token) {
            (Some(id), None) => About::Id(id),
            (None, Some(value)) if value.len() <= VALUE_LEN_MAX => About::Value(Secret::new(value.as_bytes().to_vec())),
            (None, Some(_)) => return Err(bad("token must have at most 4096 bytes.")),
            _ => return Err(bad("Either id or token must be there.")),
        };
        let scheme = match (scheme, &user) {
            (Some(Scheme::Bearer), Some(_)) => return Err(bad("With Bearer no user is named.")),
            (Some(scheme), _) => scheme,
            (None, Some(_)) => Scheme::Basic,
            (None, None) => Scheme::Bearer,
        };
        if user.as_ref().is_some_and(|user| user.len() > SECRET_LEN_MAX || user.contains(':')) {
            return Err(bad("user must have at most 512 bytes and no colon: it travels in `Basic user:token`."));
        }
        if matches!(&about, About::Value(value) if scheme == Scheme::Bearer && !is_value(value.expose())) {
            return Err(bad("token must hold no control characters under Bearer: no header can."));
        }
        if !is_name(&method) || method.len() > METHOD_LEN_MAX {
            return Err(bad("method must be one as HTTP has them, such as GET, of at most 32 characters."));
        }
        if !url.starts_with('/') || url.contains(|c: char| c.is_control() || c == ' ') {
            return Err(bad("url must be path and query as they are sent, such as /rest/x?y=z; a space is %20."));
        }
        if context_user.as_ref().is_some_and(|name| !is_value(name.as_bytes())) {
            return Err(bad("context_user must hold no control characters: no header can."));
        }
        let (body, is_json) = bytes(body.as_deref())?;
        let mut headers = read_headers(headers)?;
        if is_json && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size + url.len() > HEADERS_LEN_MAX {
            return Err(bad("url and headers together must have at most 60 KiB: Envoy takes no more."));
        }
        Ok(Self {
            about,
            scheme,
            user,
            method,
            url,
            context_user,
            address: address.map(|address| address.to_canonical()).or(caller.address),
            headers,
            body,
            at: at.map_or_else(|| Ok(clock::now()), |at| time("at", &at))?,
            site: site.unwrap_or_default().read()?,
        })
    }

    /// All headers as a proxy sees them, with the credential among them.
    pub(super) fn headers(&self, presented: &Presented) -> Vec<(&str, Zeroizing<Vec<u8>>)> {
        let plain = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let authorization = match self.scheme {
            Scheme::Bearer => [b"Bearer ".as_slice(), presented.secret.expose()].concat(),
            Scheme::Basic => {
                let name = self.user.as_deref().unwrap_or(&presented.owner).as_bytes();
                let joined = Zeroizing::new([name, b":", presented.secret.expose()].concat());
                let encoded = Zeroizing::new(BASE64.encode(&*joined));
                [b"Basic ".as_slice(), encoded.as_bytes()].concat()
            }
        };
        let mut headers = vec![
            (":method", plain(&self.method)),
            (":path", plain(&self.url)),
            ("authorization", Zeroizing::new(authorization)),
        ];
        let context_user = std::str::from_utf8(CONTEXT_USER).unwrap_or_default();
        headers.extend(self.context_user.iter().map(|name| (context_user, plain(name))));
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), plain(value))));
        if !self.body.is_empty() {
            headers.push(("content-length", plain(&self.body.len().to_string())));
        }
        headers
    }
}

/// Whether Envoy, configured as `envoy.yaml` has it, hands a path on as it stands: it takes out dot segments and doubled
/// slashes, turns backslashes, refuses fragments, and decodes what nobody needs to encode.
pub(super) fn is_normal(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    let decoded = path.split('%').skip(1).any(|escape| {
        let value = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        value.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    });
    let changed = decoded || path.contains("//") || path.contains('\\') || path.split('/').any(dots);
    !changed && path.is_ascii() && !url.contains('#')
}

fn bad(sentence: &str) -> ApiError {
    ApiError::BadRequest(sentence.into())
}

/// The body as it is sent, and whether it was given as JSON.
fn bytes(body: Option<&RawValue>) -> Result<(Vec<u8>, bool), ApiError> {
    match body.map(RawValue::get) {
        None => Ok((Vec::new(), false)),
        Some(text) if text.starts_with('"') => {
            let text: String = serde_json::from_str(text).map_err(|_| bad("body cannot be read."))?;
            Ok((text.into_bytes(), false))
        }
        // As it was written: restrictions compare numbers as text.
        Some(json) => Ok((json.as_bytes().to_vec(), true)),
    }
}

fn read_headers(headers: std::collections::BTreeMap<String, String>) -> Result<Vec<(String, String)>, ApiError> {
    if headers.len() > HEADERS_MAX {
        return Err(bad("headers must be at most 100: Envoy takes no more."));
    }
    let mut read = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if !is_name(&name) || !is_value(value.as_bytes()) {
            return Err(bad("headers must be names and values as HTTP has them."));
        }
        if MADE_OF_FIELDS.contains(&name.as_str()) {
            let sentence = format!("headers must not hold {name}: that is made of the other fields.");
            return Err(ApiError::BadRequest(sentence));
        }
        read.push((name, value.trim().to_owned()));
    }
    Ok(read)
}

/// A token in the sense of HTTP (RFC 9110, section 5.6.2).
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// Headers that the other fields say.
const MADE_OF_FIELDS: [&str; 4] = ["authorization", "contextuser", "content-length", "transfer-encoding"];

/// Bytes of what stands in a token's place: eight times the longest token; beyond that it is certainly none.
const VALUE_LEN_MAX: usize = 4096;

/// Characters of a method: the longest that is registered has 17.
const METHOD_LEN_MAX: usize = 32;

/// Headers, and bytes of them all with the path: what Envoy takes unless it is told otherwise.
const HEADERS_MAX: usize = 100;
const HEADERS_LEN_MAX: usize = 60 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m9_a_path_that_envoy_would_change_is_not_in_normal_form() {
        for url in ["/", "/rest/api/2/issue/JRA-1?x=/../y", "/rest/a%2Fb", "/rest/a%20b", "/rest/.a/..b/c.", "/a?b//c"]
        {
            assert!(is_normal(url), "{url}");
        }
        for url in ["/a//b", "/a/./b", "/a/..", "/a/%2E%2e/b", "/a\\b", "/a%41", "/a#b", "/a?b#c", "/\u{e9}"] {
            assert!(!is_normal(url), "{url}");
        }
    }
}
