//! What a proxy knows of a token, and of a user.

use crate::Timestamp;
use crate::token;
use crate::{IpRule, KeyedHash};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What shards hold.
pub trait Record: Serialize + DeserializeOwned {}

impl Record for TokenRecord {}
impl Record for UserRecord {}
impl Record for RestrictionsRecord {}

/// A token as the proxies see it: enough to decide, and nothing that would let anyone make or guess one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The public id, for logs and for the backend.
    pub id: String,
    /// For whom it works.
    pub binding: Binding,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first instant at which it works; `None`: from the start.
    pub valid_from: Option<Timestamp>,
    /// The first instant at which it no longer works; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Whether it, and its owner, are still in order.
    pub state: TokenState,
    /// What may be done with it (L9).
    pub scope: Scope,
    /// From where (L9).
    pub addresses: Addresses,
    /// For which requests: the hash of the set of restrictions, under which it is found (L1).
    pub restrictions: Option<KeyedHash>,
}

/// A set of restrictions. It is found by the hash of its text, so the same hash never means another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrictionsRecord {
    /// The lines ([`crate::restrictions::Set`]).
    pub text: String,
}

/// For whom a token works (U4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Binding {
    /// For this user alone.
    User(Owner),
    /// For any active known user who is named in `Basic` beside it.
    Unbound,
}

/// What may be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Whatever its user may.
    #[serde(rename = "full")]
    Full,
    /// GET, HEAD and OPTIONS.
    #[serde(rename = "read_only")]
    ReadOnly,
}

/// From where a token works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addresses {
    /// From everywhere.
    Any,
    /// From these; never an empty list.
    Only(Vec<IpRule>),
}

impl Addresses {
    /// Whether a client at this address may use it; one whose address nobody knows is nowhere.
    pub fn allow(&self, address: Option<IpAddr>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(rules) => address.is_some_and(|address| rules.iter().any(|rule| rule.contains(address))),
        }
    }
}

/// A user as the proxies see one: for unbound tokens, for requests on behalf of others, and for backend credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The name, as the backend knows it.
    pub name: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether they administer.
    pub sysadmin: bool,
    /// Whether nothing works for them.
    pub suspended: bool,
    /// What the backend wants to see of them, sealed ([`crate::credential::BackendCredential::seal`]).
    pub credential: Option<Vec<u8>>,
}

impl From<&UserRecord> for Owner {
    fn from(user: &UserRecord) -> Self {
        Self { name: user.name.clone(), email: user.email.clone(), sysadmin: user.sysadmin }
    }
}

/// The user whose token it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name, as the backend knows it.
    pub name: String,
    /// The e-mail address, which serves in place of the name (U1).
    pub email: Option<String>,
    /// Whether they administer.
    pub sysadmin: bool,
}

/// A token's standing apart from time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenState {
    /// Works.
    Active,
    /// Revoked; remembered for 30 days so that its bearer learns why it fails (U8).
    Deleted,
    /// Its owner is suspended.
    OwnerSuspended,
}

impl Owner {
    /// Whether the user part of a Basic credential means this owner: name or e-mail, without regard to case (U1).
    pub fn answers_to(&self, user: &[u8]) -> bool {
        let Ok(user) = core::str::from_utf8(user) else {
            return false;
        };
        same_ignoring_case(&self.name, user) || self.email.as_deref().is_some_and(|mail| same_ignoring_case(mail, user))
    }
}

/// How names are compared everywhere: lower-cased by Unicode, so that `ÉMILE` is `émile`.
///
/// Two names that this calls equal are one user: the control plane keeps [`folded`] unique.
pub fn same_ignoring_case(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// A name in the form by which it is unique.
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

impl TokenRecord {
    /// Whether the token has come to its end: at the very instant of expiry it is expired (U8).
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    /// Whether the token's time has not come.
    pub fn is_not_yet_valid(&self, now: Timestamp) -> bool {
        self.valid_from.is_some_and(|start| now < start)
    }

    /// Whether it is restricted in any way. Such a token manages nothing (M5).
    pub fn is_restricted(&self) -> bool {
        let Self {
            id: _,
            binding: _,
            created_at: _,
            valid_from: _,
            expires_at: _,
            state: _,
            scope,
            addresses,
            restrictions,
        } = self;
        *scope != Scope::Full || *addresses != Addresses::Any || restrictions.is_some()
    }
}

/// The limits of what a record may hold, kept by the control plane when it is made, so that a shard stays small.
pub mod limits {
    /// Bytes of a user's name: what LDAP directories allow, and a header value that every backend takes.
    pub const USER_NAME_LEN_MAX: usize = 255;
    /// Bytes of an e-mail address (RFC 5321, section 4.5.3.1, as commonly read).
    pub const EMAIL_LEN_MAX: usize = 254;
    /// Address rules of a token (L9): a shard holds some tokens, and travels whole.
    pub const TOKEN_ADDRESSES_MAX: usize = 50;
    /// Characters of a label (M5).
    pub const LABEL_CHARS_MAX: usize = 200;
}

/// Why a name cannot be a user's.
///
/// A name travels in `Basic user:token`, in a header, and in paths of the API, where nothing is accepted that another
/// reader might take for a separator (principle 5). Nothing that looks like a token may become public as a name, and
/// nobody may pass for the program itself in the audit.
pub fn check_user_name(name: &str) -> Result<(), &'static str> {
    check_identifier(name)?;
    if name.contains(['/', '\\', '%']) || name == "." || name == ".." {
        return Err("must not contain a slash, a backslash or a percent sign, or be a dot or two: it stands in paths");
    }
    if same_ignoring_case(name, PROGRAM) {
        return Err("must not be the name under which the program itself stands in the audit");
    }
    Ok(())
}

/// The name under which the program itself stands in the audit.
pub const PROGRAM: &str = "tokengate";

fn check_identifier(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > limits::USER_NAME_LEN_MAX {
        return Err("must have 1 to 255 bytes");
    }
    if name.trim() != name {
        return Err("must not begin or end with white space");
    }
    if name.contains(':') || name.contains(char::is_control) {
        return Err("must not contain a colon or a control character: it travels in `Basic name:token`");
    }
    if token::shows_in(name.as_bytes(), 0) {
        return Err("must not contain a token, or a word that begins like one");
    }
    Ok(())
}

/// Why a text cannot be a user's e-mail address. Whether anybody reads mail there is not looked at.
pub fn check_email(email: &str) -> Result<(), &'static str> {
    if email.len() > limits::EMAIL_LEN_MAX {
        return Err("must have at most 254 bytes");
    }
    check_identifier(email)?;
    match email.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !email.contains(char::is_whitespace) => {
            Ok(())
        }
        _ => Err("must have the form name@domain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u1_name_or_email_without_regard_to_case() {
        let owner = Owner { name: "Émile".into(), email: Some("emile@example.org".into()), sysadmin: false };
        assert!(owner.answers_to("éMILE".as_bytes()));
        assert!(owner.answers_to(b"EMILE@example.ORG"));
        assert!(!owner.answers_to(b"emile"));
        assert!(!owner.answers_to(b""));
        assert!(!owner.answers_to(b"\xff\xfe"));
    }

    #[test]
    fn attack_names_that_would_break_a_header_or_a_credential() {
        for name in [
            "",
            " alice",
            "al:ice",
            "al\r\nX-Forwarded-User: root",
            "al\0ice",
            "tgt_x",
            "x tgt_y",
            "a/b",
            "DOM\\bob",
            "a%2e",
            ".",
            "..",
            "Tokengate",
        ] {
            assert!(check_user_name(name).is_err(), "{name:?}");
        }
        for name in ["alice", "alice@example.org", "Alice Liddell", "爱丽丝"] {
            assert!(check_user_name(name).is_ok(), "{name:?}");
        }
    }
}
