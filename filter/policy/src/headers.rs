//! The header edits that carry a verdict to the backend.

use crate::assertion::For;
use crate::credential::Secret;
use crate::{Grant, Request, Site, SiteError, Verdict};
use alloc::string::String;
use alloc::vec::Vec;

/// Set on every request that the filter lets go on, and on no other. The proxy's own guard behind the filter refuses
/// whatever does not carry it, so a filter that has vanished from the chain lets nothing through (principle 4). Its value
/// says where the request goes ([`destination`]), and the proxy's routes follow it: the path is judged once.
pub const MARK: &str = "x-tokengate-judged";

/// The value of the mark.
pub const fn destination(to: For) -> &'static str {
    match to {
        For::Backend => "backend",
        For::ControlPlane => "control-plane",
    }
}

/// The names under which the backend is told who is calling, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The user's name.
    pub user: String,
    /// The user's e-mail address, if known.
    pub email: String,
    /// The token's public id.
    pub token_id: String,
    /// The caller, where the request runs on behalf of somebody else.
    pub actor: String,
    /// The signed assertion. Under the name `authorization` it goes as `Bearer`.
    pub assertion: String,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            user: "x-forwarded-user".into(),
            email: "x-forwarded-email".into(),
            token_id: "x-tokengate-token-id".into(),
            actor: "x-tokengate-actor".into(),
            assertion: "x-tokengate-assertion".into(),
        }
    }
}

/// Everything else that begins like this is reserved too: later releases speak to backends under these names, and a
/// backend prepared for them must not be told lies by a client today.
const RESERVED_PREFIX: &[u8] = b"x-tokengate-";

/// Headers by which a client tells some backends another path than the one that was judged (IIS, and frameworks that
/// follow it): nobody's to set.
const OTHER_PATHS: [&[u8]; 2] = [b"x-original-url", b"x-rewrite-url"];

/// The header that names the user on whose behalf the request is to run (U7).
pub const CONTEXT_USER: &[u8] = b"contextuser";

impl IdentityHeaders {
    /// Whether a client's header of this name goes no further: only Tokengate may set it, or nobody. Many servers
    /// (CGI, WSGI, PHP) write names as variables and make one character of all that is neither letter nor digit, so
    /// the twin of a name counts as the name.
    pub fn is_reserved(&self, name: &[u8]) -> bool {
        let Self { user, email, token_id, actor, assertion } = self;
        let identity = [user, email, token_id, actor, assertion].map(String::as_bytes);
        identity.into_iter().filter(|reserved| *reserved != AUTHORIZATION).any(|reserved| is_like(name, reserved))
            || OTHER_PATHS.iter().any(|reserved| is_like(name, reserved))
            || begins_like(name, RESERVED_PREFIX)
    }

    pub(crate) fn check(&self) -> Result<(), SiteError> {
        let names = [
            ("identity_headers.user", &self.user),
            ("identity_headers.email", &self.email),
            ("identity_headers.token_id", &self.token_id),
            ("identity_headers.actor", &self.actor),
            ("identity_headers.assertion", &self.assertion),
        ];
        for (index, (field, name)) in names.iter().enumerate() {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
                return Err(SiteError { field, must: "must be a header name in lower case, of at most 64 characters" });
            }
            let bearer = name.as_bytes() == AUTHORIZATION && *field == "identity_headers.assertion";
            if (TAKEN.contains(&name.as_str()) && !bearer) || name.as_str() == MARK {
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

const AUTHORIZATION: &[u8] = b"authorization";

fn is_like(name: &[u8], reserved: &[u8]) -> bool {
    name.len() == reserved.len() && begins_like(name, reserved)
}

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
        /// Its value: a name, an assertion or a credential, so it says nothing in `Debug`.
        value: Secret,
    },
    /// The header is gone, or empty where the proxy cannot take it out.
    Blank {
        /// Its name, as the client sent it.
        name: Vec<u8>,
    },
}

/// What to change before a request goes on; nothing for one that does not. `assertion` is what the grant wants signed
/// ([`crate::Grant::assertion`]).
///
/// The client's own identity headers are emptied first, on every path: otherwise anyone may claim to be anyone.
pub fn edits(
    verdict: &Verdict,
    request: &Request,
    site: &Site,
    assertion: Option<&str>,
) -> Result<Vec<HeaderEdit>, Unsigned> {
    let mut edits: Vec<HeaderEdit> =
        request.forged.iter().map(|name| HeaderEdit::Blank { name: name.clone() }).collect();
    match verdict {
        Verdict::Deny(_) => return Ok(Vec::new()),
        // Nobody yet: neither the credential nor an identity, nor the mark by which it would go on.
        Verdict::NeedBody => {
            edits.extend(blanks());
            return Ok(edits);
        }
        Verdict::Pass(to) => edits.push(mark(*to)),
        Verdict::Admit(grant) => {
            edits.extend(blanks());
            edits.extend(identity(grant, &site.identity, assertion)?);
            edits.push(mark(grant.to()));
        }
    }
    Ok(edits)
}

/// What the backend does not get of a request with a token: the token; a session, which would be another identity, and one
/// that some backends prefer; and what is ours to read.
fn blanks() -> [HeaderEdit; 3] {
    [AUTHORIZATION, b"cookie", CONTEXT_USER].map(|name| HeaderEdit::Blank { name: name.to_vec() })
}

fn mark(to: For) -> HeaderEdit {
    set(MARK, destination(to).as_bytes())
}

/// A grant wants an assertion signed, and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsigned;

fn set(name: &str, value: &[u8]) -> HeaderEdit {
    HeaderEdit::Set { name: name.into(), value: Secret::new(value.to_vec()) }
}

/// Whom a grant names, and how. The control plane is told by the assertion alone.
fn identity(grant: &Grant, names: &IdentityHeaders, assertion: Option<&str>) -> Result<Vec<HeaderEdit>, Unsigned> {
    let assertion = match grant.assertion() {
        Some(_) => Some(assertion.ok_or(Unsigned)?),
        None => None,
    };
    if let (Some(For::ControlPlane), Some(assertion)) = (grant.assertion(), assertion) {
        return Ok(alloc::vec![set(ASSERTION, assertion.as_bytes())]);
    }
    let (user, token_id) = (&grant.user().name, &grant.token().id);
    let mut edits = alloc::vec![set(&names.user, user.as_bytes()), set(&names.token_id, token_id.as_bytes())];
    edits.extend(grant.user().email.as_ref().map(|email| set(&names.email, email.as_bytes())));
    edits.extend(grant.actor().map(|actor| set(&names.actor, actor.as_bytes())));
    edits.extend(assertion.map(|assertion| match names.assertion.as_bytes() {
        AUTHORIZATION => set("authorization", ["Bearer ", assertion].concat().as_bytes()),
        _ => set(&names.assertion, assertion.as_bytes()),
    }));
    // The one place where a backend credential leaves: to the backend, in place of the token.
    edits.extend(grant.credential().map(|credential| set("authorization", credential.expose())));
    Ok(edits)
}

/// The header in which the control plane is told who is calling.
pub const ASSERTION: &str = "x-tokengate-assertion";

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
            "x-original-url",
            "X_Rewrite_Url",
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
