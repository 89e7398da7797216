//! What a request's `Authorization` header says, read once and never panicking.
//!
//! Limits: a secret of more than [`SECRET_LEN_MAX`] bytes is nobody's token and is not looked up. A header's length
//! is the proxy's to limit (Envoy: 60 KiB for all headers together).

use crate::token::{self, Shape};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use core::fmt;
use zeroize::Zeroizing;

/// The longest secret that can be a token: ours have 43 bytes, imported ones may have up to this many.
pub const SECRET_LEN_MAX: usize = 512;

/// A token or a password, in clear. It has no `Display`, says nothing in `Debug`, and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves. Each call is a place to look at: what happens to them there?
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// What the client presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// No `Authorization`, or an empty one.
    None,
    /// `Basic base64(user:secret)`; the user is what stood before the first colon, as bytes, since clients send
    /// ISO 8859-1 as readily as UTF-8.
    Basic {
        /// The name or e-mail address, as sent.
        user: Vec<u8>,
        /// Password or token.
        secret: Secret,
    },
    /// `Bearer secret`.
    Bearer {
        /// Token of ours or of somebody else.
        secret: Secret,
    },
    /// Another scheme (Digest, Negotiate, …), none of ours to read.
    Foreign {
        /// It holds something that begins like a token of ours all the same.
        holds_token: bool,
    },
    /// More than one credential, or one that cannot be read (U15).
    Unreadable,
}

impl Credential {
    /// Reads all values of `Authorization` that a request carries.
    ///
    /// Proxies join repeated headers with a comma, so a comma that begins a second Basic or Bearer credential counts
    /// as a second header: otherwise a backend that takes the last one would see a credential that nobody judged.
    pub fn read<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(value) = values.next() else {
            return Self::None;
        };
        if values.next().is_some() {
            return Self::Unreadable;
        }
        let value = value.trim_ascii();
        if value.is_empty() {
            return Self::None;
        }
        let (scheme, rest) = split_scheme(value);
        if scheme.eq_ignore_ascii_case(b"basic") {
            Self::read_basic(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Self::read_bearer(rest)
        } else if rest.split(|byte| *byte == b',').skip(1).any(begins_credential_of_ours) {
            Self::Unreadable
        } else {
            Self::Foreign { holds_token: holds_prefix(value) }
        }
    }

    fn read_basic(encoded: &[u8]) -> Self {
        let Ok(decoded) = BASE64.decode(encoded).map(Secret::new) else {
            return Self::Unreadable;
        };
        let mut parts = decoded.expose().splitn(2, |byte| *byte == b':');
        match (parts.next(), parts.next()) {
            // `curl --user TOKEN:` puts the token where the name belongs. Forwarded as a failed login it would stand
            // in the backend's log.
            (Some(user), _) if holds_prefix(user) => Self::Unreadable,
            (Some(user), Some(secret)) => Self::Basic { user: user.to_vec(), secret: Secret::new(secret.to_vec()) },
            _ => Self::Unreadable,
        }
    }

    fn read_bearer(token: &[u8]) -> Self {
        if token.is_empty() || token.iter().any(|byte| *byte == b',' || byte.is_ascii_whitespace()) {
            return Self::Unreadable;
        }
        Self::Bearer { secret: Secret::new(token.to_vec()) }
    }

    /// The password or token presented, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic { secret, .. } | Self::Bearer { secret } => Some(secret),
            Self::None | Self::Foreign { .. } | Self::Unreadable => None,
        }
    }

    /// The secret, if it is worth looking up: every one that is not certainly none of the tokens, since imported
    /// tokens have no recognisable form (U11).
    pub fn to_look_up(&self) -> Option<&Secret> {
        self.secret().filter(|secret| match Shape::of(secret.expose()) {
            Shape::Token => true,
            Shape::Mistyped => false,
            Shape::Foreign => !secret.expose().is_empty() && secret.expose().len() <= SECRET_LEN_MAX,
        })
    }

    /// Whether anything here is recognisable as a token of ours, which is never forwarded (U5), readable or not.
    pub fn shows_token(&self) -> bool {
        match self {
            Self::Basic { secret, .. } | Self::Bearer { secret } => Shape::of(secret.expose()) != Shape::Foreign,
            Self::Foreign { holds_token } => *holds_token,
            Self::None | Self::Unreadable => false,
        }
    }
}

/// Whether any of the values, however broken, shows a token of ours: in clear, or in something like base64.
///
/// For the paths that are not protected, where a credential is not ours to refuse, but a token not ours to forward.
pub fn any_shows_token<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    values.flat_map(|value| value.split(|byte| *byte == b',' || byte.is_ascii_whitespace())).any(|piece| {
        holds_prefix(piece) || BASE64.decode(piece).map(Secret::new).is_ok_and(|decoded| holds_prefix(decoded.expose()))
    })
}

fn holds_prefix(bytes: &[u8]) -> bool {
    bytes.windows(token::PREFIX.len()).any(|window| window == token::PREFIX)
}

fn split_scheme(value: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = value.splitn(2, |byte| *byte == b' ' || *byte == b'\t');
    let scheme = parts.next().unwrap_or_default();
    (scheme, parts.next().unwrap_or_default().trim_ascii())
}

fn begins_credential_of_ours(piece: &[u8]) -> bool {
    let (scheme, _) = split_scheme(piece.trim_ascii());
    scheme.eq_ignore_ascii_case(b"basic") || scheme.eq_ignore_ascii_case(b"bearer")
}

/// The standard alphabet; padding may be missing, as some clients leave it out. Anything laxer (other alphabets, line
/// ends inside) would be read differently by the next parser, and is refused.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::format;

    fn read(values: &[&[u8]]) -> Credential {
        Credential::read(values.iter().copied())
    }

    fn basic(text: &str) -> std::string::String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn u1_user_is_what_stands_before_the_first_colon() {
        let Credential::Basic { user, secret } = read(&[basic("alice:won:der").as_bytes()]) else { panic!() };
        assert_eq!((user.as_slice(), secret.expose()), (b"alice".as_slice(), b"won:der".as_slice()));
    }

    #[test]
    fn u1_scheme_is_compared_without_regard_to_case_and_padding_may_be_missing() {
        assert!(matches!(read(&[b"bAsIc YTpi"]), Credential::Basic { .. }));
        assert!(matches!(read(&[b"Basic   YTo"]), Credential::Basic { .. }));
    }

    #[test]
    fn u15_two_credentials_are_unreadable_joined_or_not() {
        assert_eq!(read(&[b"Basic YTpi", b"Bearer x"]), Credential::Unreadable);
        assert_eq!(read(&[b"Basic YTpi,Bearer x"]), Credential::Unreadable);
        assert_eq!(read(&[b"Bearer x,Basic YTpi"]), Credential::Unreadable);
        assert_eq!(read(&[b"Digest username=\"a\", realm=\"b\", Basic YTpi"]), Credential::Unreadable);
        assert_eq!(read(&[b"Digest username=\"a\", realm=\"b\""]), Credential::Foreign { holds_token: false });
    }

    #[test]
    fn u15_what_cannot_be_read_is_unreadable() {
        for value in ["Basic", "Basic !!!!", "Basic YWxpY2U=", "Bearer", "Bearer a b", "Basic YT\tpi"] {
            assert_eq!(read(&[value.as_bytes()]), Credential::Unreadable, "{value}");
        }
    }

    #[test]
    fn attack_token_in_the_place_of_the_name() {
        assert_eq!(read(&[basic("tgt_abc:").as_bytes()]), Credential::Unreadable);
    }

    #[test]
    fn attack_token_under_a_scheme_of_its_own() {
        assert_eq!(read(&[b"Token tgt_abc"]), Credential::Foreign { holds_token: true });
        assert_eq!(read(&[b"tgt_abc"]), Credential::Foreign { holds_token: true });
    }

    #[test]
    fn u5_a_token_is_seen_in_whatever_form_it_comes() {
        let shows = |values: &[&[u8]]| any_shows_token(values.iter().copied());
        assert!(shows(&[b"Bearer tgt_abc"]));
        assert!(shows(&[basic("alice:tgt_abc").as_bytes()]));
        assert!(shows(&[b"Digest x", format!("{},x", basic("alice:tgt_abc")).as_bytes()]));
        assert!(!shows(&[basic("alice:wonderland").as_bytes()]));
    }

    #[test]
    fn a_secret_says_nothing_in_debug() {
        let text = format!("{:?}", read(&[basic("alice:wonderland").as_bytes()]));
        assert!(!text.contains("wonder"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(values: std::vec::Vec<std::vec::Vec<u8>>) {
            let values = || values.iter().map(std::vec::Vec::as_slice);
            let credential = Credential::read(values());
            credential.to_look_up();
            any_shows_token(values());
        }

        #[test]
        fn no_basic_or_bearer_bytes_panic(bearer: bool, rest: std::vec::Vec<u8>) {
            let mut value = if bearer { b"Bearer ".to_vec() } else { b"Basic ".to_vec() };
            value.extend(rest);
            Credential::read(core::iter::once(value.as_slice()));
        }
    }
}
