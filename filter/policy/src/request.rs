//! The facts of a request, read from its headers once.

use crate::credential::{Credential, Secret, shows_token};
use crate::path::{Ambiguous, Area, without_query};
use crate::{HashKeys, Site, TokenHash};
use alloc::vec::Vec;

/// What a verdict needs to know of a request.
#[derive(Debug)]
pub struct Request {
    pub(crate) area: Result<Area, Ambiguous>,
    pub(crate) credential: Credential,
    /// The values of all headers that carry credentials.
    credential_values: Vec<Secret>,
    pub(crate) path: Vec<u8>,
    /// Names of headers that the client sent and that only Tokengate may set.
    pub(crate) forged: Vec<Vec<u8>>,
    request_id: Vec<u8>,
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
        let area = match (target, targets.next()) {
            (Some(target), None) => Area::of(target, site),
            _ => Err(Ambiguous),
        };
        Self {
            area,
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
            path: without_query(target.unwrap_or_default()).to_vec(),
            forged: headers
                .iter()
                .filter(|(name, _)| site.identity.is_reserved(name.as_ref()))
                .map(|(name, _)| name.as_ref().to_vec())
                .collect(),
            request_id: values(b"x-request-id").next().unwrap_or_default().to_vec(),
        }
    }

    /// Whether a credential is a token of ours, or, however broken, shows one ([`shows_token`]).
    pub(crate) fn shows_token(&self) -> bool {
        self.credential.is_token() || self.credential_values.iter().any(|value| shows_token(value.expose()))
    }

    /// Whether this asks the filter itself whether it is ready.
    pub fn asks_ready(&self) -> bool {
        self.area == Ok(Area::Ready)
    }

    /// Whether a verdict depends on anything but the request itself.
    pub fn needs_snapshot(&self) -> bool {
        matches!(self.area, Ok(Area::Protected | Area::ControlPlane))
    }

    /// The hash under which to look in the snapshot, if anything is to be looked up.
    pub fn token_hash(&self, keys: &HashKeys) -> Option<TokenHash> {
        let secret = self.credential.to_look_up().filter(|_| self.needs_snapshot())?;
        Some(keys.hash(secret))
    }

    /// The id under which the proxy logs this request, for the reply and the log.
    pub fn request_id(&self) -> Option<&str> {
        core::str::from_utf8(&self.request_id).ok().filter(|id| !id.is_empty() && id.len() <= 128)
    }
}
