//! The facts of a request, read from its headers once.

use crate::assertion::For;
use crate::credential::{Credential, SECRET_LEN_MAX, Secret, shows_token};
use crate::headers::CONTEXT_USER;
use crate::method_override::{overrides_method, parameter_overrides_method};
use crate::path::{Ambiguous, Area, Reading, below_context, without_query};
use crate::record::limits::USER_NAME_LEN_MAX;
use crate::{HashKeys, KeyedHash, Settings, Site};
use alloc::string::String;
use alloc::vec::Vec;

/// What a verdict needs to know of a request.
#[derive(Debug)]
pub struct Request {
    pub(crate) reading: Result<Reading, Ambiguous>,
    pub(crate) credential: Credential,
    /// The values of all headers that carry credentials.
    credential_values: Vec<Secret>,
    pub(crate) context_user: ContextUser,
    header_overrides_method: bool,
    pub(crate) method: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    body_is_json: bool,
    announces_body: bool,
    /// Bytes of the body, as far as the client says.
    pub(crate) declared_length: Option<u64>,
    /// Where in `path` that begins which is below the context path.
    below_context: usize,
    /// Names of headers that the client sent and that go no further.
    pub(crate) forged: Vec<Vec<u8>>,
    request_id: Vec<u8>,
    is_grpc: bool,
}

/// On whose behalf the request is to run (U7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContextUser {
    /// On the caller's own.
    Caller,
    /// On this user's, by name or e-mail address.
    Named(String),
    /// The header came more than once, or holds no name.
    Unreadable,
}

impl Request {
    /// Reads all headers as the proxy gives them, pseudo-headers included. Names are in lower case, as HTTP/2 and the
    /// proxies have them; values are bytes and need not be UTF-8.
    pub fn read<H: AsRef<[u8]>>(headers: &[(H, H)], site: &Site) -> Self {
        let values = |wanted: &'static [u8]| {
            headers.iter().filter(move |(name, _)| name.as_ref() == wanted).map(|(_, value)| value.as_ref())
        };
        let mut targets = values(b":path");
        let target = targets.next();
        let path = without_query(target.unwrap_or_default());
        let reading = match (target, targets.next()) {
            (Some(_), None) => Reading::of(path, site),
            _ => Err(Ambiguous),
        };
        Self {
            reading,
            // A token belongs to us, in whatever header it comes; one for a proxy is not for the backend to see.
            credential: if values(b"proxy-authorization").any(shows_token) {
                Credential::Unreadable
            } else {
                Credential::read(values(b"authorization"))
            },
            credential_values: values(b"authorization")
                .chain(values(b"proxy-authorization"))
                .map(|value| Secret::new(value.to_vec()))
                .collect(),
            context_user: ContextUser::read(values(CONTEXT_USER)),
            header_overrides_method: headers.iter().any(|(name, _)| overrides_method(name.as_ref())),
            method: values(b":method").next().unwrap_or_default().to_vec(),
            path: path.to_vec(),
            query: target.unwrap_or_default().get(path.len().saturating_add(1)..).unwrap_or_default().to_vec(),
            body_is_json: is_json(values(b"content-type"), values(b"content-encoding"))
                && values(b"upgrade").next().is_none()
                && values(b":method").next() != Some(b"CONNECT"),
            announces_body: [b"content-length".as_slice(), b"transfer-encoding"]
                .iter()
                .any(|wanted| headers.iter().any(|(name, _)| name.as_ref() == *wanted)),
            declared_length: values(b"content-length")
                .next()
                .and_then(|length| core::str::from_utf8(length).ok()?.parse().ok()),
            below_context: below_context(path, site).map_or(0, |below| path.len().saturating_sub(below.len())),
            forged: headers
                .iter()
                .filter(|(name, _)| site.identity.is_reserved(name.as_ref()))
                .map(|(name, _)| name.as_ref().to_vec())
                .collect(),
            request_id: values(b"x-request-id").next().unwrap_or_default().to_vec(),
            is_grpc: values(b"content-type").next().is_some_and(is_grpc),
        }
    }

    /// The credential, for the control plane, which checks passwords by itself.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Whether a credential is a token of ours, or, however broken, shows one ([`shows_token`]).
    pub(crate) fn shows_token(&self) -> bool {
        self.credential.is_token() || self.credential_values.iter().any(|value| shows_token(value.expose()))
    }

    /// The path as settings mean one: below the context path, without the query.
    pub(crate) fn path_below_context(&self) -> &[u8] {
        self.path.get(self.below_context..).unwrap_or_default()
    }

    /// Whether some backend takes the method from a header, or from a parameter of the query.
    pub(crate) fn overrides_method(&self) -> bool {
        let mut pairs = self.query.split(|byte| matches!(byte, b'&' | b';'));
        self.header_overrides_method
            || pairs.any(|pair| parameter_overrides_method(pair.split(|byte| *byte == b'=').next().unwrap_or_default()))
    }

    /// Whether the method only reads (L9).
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS")
    }

    /// Whether a backend would send the request back as it gets it.
    pub(crate) fn is_trace(&self) -> bool {
        [b"TRACE".as_slice(), b"TRACK"].iter().any(|method| self.method.eq_ignore_ascii_case(method))
    }

    /// Whether the body, going by the headers, can be read as everyone else reads it: JSON in UTF-8, not compressed, and
    /// with an end, which a connection that changes its protocol has not.
    pub(crate) fn body_is_json(&self) -> bool {
        self.body_is_json
    }

    /// Whether the client says that a body follows.
    pub fn announces_body(&self) -> bool {
        self.declared_length != Some(0) && self.announces_body
    }

    /// Whether a refusal must be told as gRPC tells one (U13).
    pub fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Whether this asks the filter itself whether it is ready.
    pub fn asks_ready(&self) -> bool {
        self.area() == Some(Area::Ready)
    }

    /// Whether a verdict depends on anything but the request itself.
    pub fn needs_snapshot(&self) -> bool {
        matches!(self.area(), Some(Area::Protected | Area::ControlPlane | Area::Facade(_)))
    }

    /// Where it goes if it goes on.
    pub(crate) fn goes_to(&self, settings: &Settings) -> For {
        match self.area() {
            Some(Area::ControlPlane) => For::ControlPlane,
            Some(Area::Facade(facade)) if settings.facades.contains(&facade) => For::ControlPlane,
            Some(Area::Facade(_) | Area::Protected | Area::Open | Area::Ready) | None => For::Backend,
        }
    }

    /// The part of the site to which it belongs, if all readers agree on one.
    pub(crate) fn area(&self) -> Option<Area> {
        self.reading.ok().map(|reading| reading.area)
    }

    /// The hash under which to look in the snapshot, if anything is to be looked up.
    pub(crate) fn token_hash(&self, keys: &HashKeys) -> Option<KeyedHash> {
        let secret = self.credential.to_look_up().filter(|_| self.needs_snapshot())?;
        Some(keys.hash(secret))
    }

    /// The hash of what stands where the name belongs, should it be a token: imported ones have no form by which they
    /// could be told.
    pub(crate) fn name_hash(&self, keys: &HashKeys) -> Option<KeyedHash> {
        match &self.credential {
            Credential::Basic { user, .. } if !user.is_empty() && user.len() <= SECRET_LEN_MAX => {
                Some(keys.hash(&Secret::new(user.clone())))
            }
            _ => None,
        }
    }

    /// The id under which the proxy logs this request, for the reply and the log.
    pub fn request_id(&self) -> Option<&str> {
        core::str::from_utf8(&self.request_id).ok().filter(|id| !id.is_empty() && id.len() <= 128)
    }
}

impl ContextUser {
    fn read<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(value) = values.next() else {
            return Self::Caller;
        };
        match core::str::from_utf8(value).map(str::trim) {
            // No name and no e-mail address is longer. Two headers that a proxy has joined are one name that nobody
            // has.
            Ok(name) if !name.is_empty() && name.len() <= USER_NAME_LEN_MAX && values.next().is_none() => {
                Self::Named(name.into())
            }
            _ => Self::Unreadable,
        }
    }
}

/// Whether content of this type and encoding is JSON that can be read as it is. A backend that takes it for something
/// else, a form for instance, would see other fields: so there must be one type, in which no reader finds another.
fn is_json<'a>(mut types: impl Iterator<Item = &'a [u8]>, mut encodings: impl Iterator<Item = &'a [u8]>) -> bool {
    let plain = encodings.all(|encoding| encoding.trim_ascii().eq_ignore_ascii_case(b"identity"));
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(byte);
    let suffixed = media_type.strip_prefix(b"application/").and_then(|subtype| subtype.strip_suffix(b"+json"));
    // Some look at the beginning alone, and take `x-www-form-urlencoded+json` for a form.
    let is_subtype = |subtype: &[u8]| {
        !subtype.is_empty() && subtype.iter().all(is_token) && !subtype.starts_with(b"x-www-form-urlencoded")
    };
    let json = media_type == b"application/json" || suffixed.is_some_and(is_subtype);
    let charsets_are_utf8 = parts.filter(|part| begins_with(part, b"charset")).all(|part| {
        let value = part.split(|byte| *byte == b'=').nth(1).unwrap_or_default().trim_ascii();
        value.eq_ignore_ascii_case(b"utf-8") || value.eq_ignore_ascii_case(b"\"utf-8\"")
    });
    plain && json && charsets_are_utf8 && !value.contains(&b',') // two headers that a proxy has joined
}

fn begins_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

/// `application/grpc`, alone or with a suffix or parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    begins_with(content_type, GRPC)
        && content_type.get(GRPC.len()).is_none_or(|next| matches!(next, b'+' | b';' | b' '))
}
