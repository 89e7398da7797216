//! The header edits that carry a verdict to the backend.

use crate::{Request, Site, SiteError, Verdict};
use alloc::string::String;
use alloc::vec::Vec;

/// Set on every request that the filter lets go on, and on no other. The proxy's own guard behind the filter refuses
/// whatever does not carry it, so a filter that has vanished from the chain lets nothing through (principle 4).
pub const MARK: (&str, &str) = ("x-tokengate-judged", "1");

/// The names under which the backend is told who is calling, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The user's name.
    pub user: String,
    /// The user's e-mail address, if known.
    pub email: String,
    /// The token's public id.
    pub token_id: String,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            user: "x-forwarded-user".into(),
            email: "x-forwarded-email".into(),
            token_id: "x-tokengate-token-id".into(),
        }
    }
}

/// Everything else that begins like this is reserved too: later releases speak to backends under these names, and a
/// backend prepared for them must not be told lies by a client today.
const RESERVED_PREFIX: &[u8] = b"x-tokengate-";

impl IdentityHeaders {
    /// Whether only Tokengate may set a header of this name. Many servers (CGI, WSGI, PHP) write names as variables
    /// and make one character of all that is neither letter nor digit, so the twin of a name counts as the name.
    pub fn is_reserved(&self, name: &[u8]) -> bool {
        let is = |reserved: &[u8]| name.len() == reserved.len() && begins_like(name, reserved);
        [&self.user, &self.email, &self.token_id].iter().any(|reserved| is(reserved.as_bytes()))
            || begins_like(name, RESERVED_PREFIX)
    }

    pub(crate) fn check(&self) -> Result<(), SiteError> {
        let names =
            [("identity.user", &self.user), ("identity.email", &self.email), ("identity.token_id", &self.token_id)];
        for (index, (field, name)) in names.iter().enumerate() {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
                return Err(SiteError { field, must: "must be a header name in lower case, of at most 64 characters" });
            }
            if TAKEN.contains(&name.as_str()) || name.as_str() == MARK.0 {
                return Err(SiteError { field, must: "must not be a header that HTTP or the proxy needs for itself" });
            }
            if names.iter().skip(index.saturating_add(1)).any(|(_, other)| other == name) {
                return Err(SiteError { field, must: "must differ from the names of the other identity headers" });
            }
        }
        Ok(())
    }
}

/// Headers that an identity must not be written over.
const TAKEN: [&str; 8] =
    ["authorization", "connection", "content-length", "cookie", "host", "te", "transfer-encoding", "x-request-id"];

fn begins_like(name: &[u8], reserved: &[u8]) -> bool {
    name.get(..reserved.len()).is_some_and(|start| {
        start.iter().zip(reserved).all(|(a, b)| a.eq_ignore_ascii_case(b) || (*b == b'-' && !a.is_ascii_alphanumeric()))
    })
}

/// One change of a request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// The header has this one value, whatever it had.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The header is gone, or empty where the proxy cannot take it out.
    Blank {
        /// Its name, as the client sent it.
        name: Vec<u8>,
    },
}

/// What to change before a request goes on; nothing for one that does not.
///
/// The client's own identity headers are emptied first, on every path: otherwise anyone may claim to be anyone.
pub fn edits(verdict: &Verdict, request: &Request, site: &Site) -> Vec<HeaderEdit> {
    let mut edits: Vec<HeaderEdit> =
        request.forged.iter().map(|name| HeaderEdit::Blank { name: name.clone() }).collect();
    let mut set = |name: &str, value: &str| edits.push(HeaderEdit::Set { name: name.into(), value: value.into() });
    match verdict {
        Verdict::Deny(_) => return Vec::new(),
        Verdict::Pass => {}
        Verdict::Admit(grant) if grant.to_control_plane() => {}
        Verdict::Admit(grant) => {
            let token = grant.token();
            set(&site.identity.user, grant.user());
            if let Some(email) = &token.owner.email {
                set(&site.identity.email, email);
            }
            set(&site.identity.token_id, &token.id);
            edits.push(HeaderEdit::Blank { name: b"authorization".to_vec() });
        }
    }
    edits.push(HeaderEdit::Set { name: MARK.0.into(), value: MARK.1.into() });
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_names_that_a_backend_takes_for_an_identity_header() {
        let names = IdentityHeaders::default();
        for name in [
            "x-forwarded-user",
            "X-Forwarded-User",
            "x_forwarded_user",
            "x-forwarded_email",
            "x-forwarded.user",
            "x-tokengate-any",
        ] {
            assert!(names.is_reserved(name.as_bytes()), "{name}");
        }
        for name in ["x-forwarded-for", "x-forwarded-users", "x-forwarded-use", "user", ""] {
            assert!(!names.is_reserved(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_that_would_break_requests_are_refused() {
        let with = |user: &str| IdentityHeaders { user: user.into(), ..IdentityHeaders::default() }.check();
        for name in ["", "X-User", "x user", ":path", "authorization", "x-forwarded-email", "x-tokengate-judged"] {
            assert!(with(name).is_err(), "{name}");
        }
        assert_eq!(with("x-remote-user"), Ok(()));
    }
}
