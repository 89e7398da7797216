//! What a request's `Authorization` header says, read once and never panicking.
//!
//! Limits: a secret of more than [`SECRET_LEN_MAX`] bytes is nobody's token and is not looked up. A header's length
//! is the proxy's to limit (Envoy: 60 KiB for all headers together).

use crate::record::folded;
use crate::seal::SealKey;
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

/// What the backend wants to see in `Authorization` in place of a token (U6): stored by the administrator, sealed, and
/// never shown again. It is the whole value of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendCredential(Secret);

/// Bytes a backend credential may have: the longest bearer tokens in use are some kilobytes, and a user's record with
/// it stays far below the limit of a shard.
pub const BACKEND_CREDENTIAL_LEN_MAX: usize = 4096;

impl BackendCredential {
    /// The value of a header, as it is; `None` if it cannot stand in one.
    pub fn new(value: &[u8]) -> Option<Self> {
        let fits = !value.is_empty() && value.len() <= BACKEND_CREDENTIAL_LEN_MAX;
        let plain = value.iter().all(|byte| (b' '..=b'~').contains(byte)) && value.trim_ascii() == value;
        (fits && plain).then(|| Self(Secret::new(value.to_vec())))
    }

    /// `Basic` with a service account's name and password.
    pub fn basic(user: &str, password: &str) -> Option<Self> {
        if user.is_empty()
            || user.contains(':')
            || user.contains(char::is_control)
            || password.contains(char::is_control)
        {
            return None;
        }
        let joined = Zeroizing::new([user, ":", password].concat());
        Self::new(Zeroizing::new(["Basic ", &BASE64.encode(joined.as_bytes())].concat()).as_bytes())
    }

    /// `Bearer` with a personal access token of the backend's own.
    pub fn bearer(token: &str) -> Option<Self> {
        let one_word = !token.is_empty() && !token.contains([' ', ',']);
        one_word.then(|| Self::new(Zeroizing::new(["Bearer ", token].concat()).as_bytes()))?
    }

    /// The value of the header. Called where it is sealed and where it is sent to the backend, and nowhere else.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Seals it for a user's record; for that of nobody else. `nonce` is random, never used twice.
    pub fn seal(&self, user: &str, key: &SealKey, nonce: [u8; 24]) -> Option<Vec<u8>> {
        key.seal(&purpose(user), nonce, self.expose())
    }

    /// Opens what was sealed for this user.
    pub fn open(sealed: &[u8], user: &str, key: &SealKey) -> Option<Self> {
        Self::new(&key.open(&purpose(user), sealed)?)
    }
}

fn purpose(user: &str) -> Vec<u8> {
    ["tokengate backend credential v1\n", &folded(user)].concat().into_bytes()
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
    Foreign,
    /// More than one credential, or one that cannot be read (U15).
    Unreadable,
}

impl Credential {
    /// Reads all values of `Authorization` that a request carries.
    ///
    /// Proxies join repeated headers with a comma, so a comma that begins a second Basic or Bearer credential counts
    /// as a second header: otherwise a backend that takes the last one would see a credential that nobody judged. What is
    /// no scheme (RFC 9110) is no foreign one either: frameworks that strip such bytes would read another credential.
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
        if holds_second_credential(value) {
            Self::Unreadable
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            Self::read_basic(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Self::read_bearer(rest)
        } else if begins_basic_or_bearer(value) || !scheme.iter().all(is_token_byte) {
            // `Basic:`, `BasicYWx…`, a no-break space before it: some backends look at the first letters alone, or strip
            // what is before them, and take the rest for a password.
            Self::Unreadable
        } else {
            Self::Foreign
        }
    }

    fn read_basic(encoded: &[u8]) -> Self {
        let Ok(decoded) = BASE64.decode(encoded).map(Secret::new) else {
            return Self::Unreadable;
        };
        // Some readers stop there, and would see another name or another password.
        if decoded.expose().contains(&0) {
            return Self::Unreadable;
        }
        let mut parts = decoded.expose().splitn(2, |byte| *byte == b':');
        match (parts.next(), parts.next()) {
            // `curl --user TOKEN:` puts the token where the name belongs. Forwarded as a failed login it would stand
            // in the backend's log.
            (Some(user), _) if token::shows_in(user, 0) => Self::Unreadable,
            (Some(user), Some(secret)) => Self::Basic { user: user.to_vec(), secret: Secret::new(secret.to_vec()) },
            _ => Self::Unreadable,
        }
    }

    fn read_bearer(token: &[u8]) -> Self {
        // What some readers strip, a token of ours might be behind: a no-break space, quotes.
        let is_odd = |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b',' | b'"');
        if token.is_empty() || token.iter().any(is_odd) {
            return Self::Unreadable;
        }
        Self::Bearer { secret: Secret::new(token.to_vec()) }
    }

    /// The password or token presented, if there is one.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic { secret, .. } | Self::Bearer { secret } => Some(secret),
            Self::None | Self::Foreign | Self::Unreadable => None,
        }
    }

    /// Whether the secret is a token of ours, or begins like one.
    pub fn is_token(&self) -> bool {
        self.secret().is_some_and(|secret| Shape::of(secret.expose()) != Shape::Foreign)
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
}

/// Characters after the prefix by which a part of a token is known in what was decoded as base64 on trial: so many that
/// what was none does not hold them by chance, and few enough that what is missing could not be guessed.
const DECODED_LEN_SHOWN: usize = 16;

/// Whether the value of a credential header, however broken, shows a token of ours ([`token::shows_in`]): in clear,
/// or in anything that some backend might decode as base64. Such a value is never forwarded (U5), so this decodes as
/// laxly as it can: both alphabets, anything else skipped, beginning anywhere.
pub fn shows_token(value: &[u8]) -> bool {
    if token::shows_in(value, 0) {
        return true;
    }
    let sextets: Zeroizing<Vec<u8>> = Zeroizing::new(value.iter().filter_map(|byte| sextet(*byte)).collect());
    (0..4).any(|skipped| token::shows_in(&joined(sextets.get(skipped..).unwrap_or_default()), DECODED_LEN_SHOWN))
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(byte.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0').wrapping_add(52)),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Four times six bits to three bytes; what does not fill a byte at the end is dropped.
fn joined(sextets: &[u8]) -> Zeroizing<Vec<u8>> {
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0u32, |bits, sextet| (bits << 6) | u32::from(*sextet));
        let filled = bits << (6 * 4usize.saturating_sub(group.len()));
        let [_, bytes @ ..] = filled.to_be_bytes();
        bytes.into_iter().take(group.len().saturating_mul(6) / 8)
    };
    Zeroizing::new(sextets.chunks(4).flat_map(group).collect())
}

fn split_scheme(value: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = value.splitn(2, |byte| *byte == b' ' || *byte == b'\t');
    let scheme = parts.next().unwrap_or_default();
    (scheme, parts.next().unwrap_or_default().trim_ascii())
}

/// A byte of a scheme's name (`token` of RFC 9110, section 5.6.2).
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// Whether the first word begins with the name of a scheme of ours, whatever bytes that are no letters stand before it.
fn begins_basic_or_bearer(text: &[u8]) -> bool {
    let letters = text.iter().position(u8::is_ascii_alphabetic).unwrap_or(text.len());
    let word = text.get(letters..).unwrap_or_default();
    [b"basic".as_slice(), b"bearer"]
        .iter()
        .any(|scheme| word.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Whether a second Basic or Bearer credential stands behind a comma, by which proxies join repeated headers. What stands in
/// a quoted string, such as a realm, is none; an unclosed quote does not count.
fn holds_second_credential(value: &[u8]) -> bool {
    let mut quoted = Quoted::No;
    let mut outside = Vec::new();
    for (index, byte) in value.iter().enumerate() {
        quoted = match (quoted, byte) {
            (Quoted::No, b'"') if index > 0 && value.get(index.saturating_sub(1)) == Some(&b'=') => Quoted::Yes,
            (Quoted::Yes, b'"') => Quoted::No,
            (Quoted::Yes, b'\\') => Quoted::Escaped,
            (Quoted::Escaped, _) => Quoted::Yes,
            (quoted, _) => quoted,
        };
        if *byte == b',' && quoted == Quoted::No {
            outside.push(index);
        }
    }
    let pieces =
        |commas: &[usize]| commas.iter().any(|comma| is_second_credential(value.get(*comma..).unwrap_or_default()));
    if quoted == Quoted::No {
        return pieces(&outside);
    }
    value.split(|byte| *byte == b',').skip(1).any(is_second_credential)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    No,
    Yes,
    Escaped,
}

/// Whether what follows a comma is a credential: it begins with the name of a scheme of ours, and is no parameter
/// (`basic=1`).
fn is_second_credential(piece: &[u8]) -> bool {
    let piece = piece.strip_prefix(b",").unwrap_or(piece);
    let piece = piece.split(|byte| *byte == b',').next().unwrap_or_default();
    let letters = piece.iter().position(u8::is_ascii_alphabetic).unwrap_or(piece.len());
    let word = piece.get(letters..).unwrap_or_default();
    let end = word.iter().position(|byte| !is_token_byte(byte)).unwrap_or(word.len());
    let is_parameter = matches!(word.get(end..).unwrap_or_default(), [b'=', next, ..] if *next != b'=');
    begins_basic_or_bearer(piece) && !is_parameter
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
    use std::borrow::ToOwned as _;
    use std::string::String;
    use std::{format, vec};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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
        for joined in [
            "Basic YTpi,Bearer x",
            "Bearer x,Basic YTpi",
            "Digest username=\"a\", realm=\"b\", Basic YTpi",
            "Digest,Basic YTpi",
            ",Basic YTpi",
            "a,b, bEARER\tx",
            "Digest x,Basic",
        ] {
            assert_eq!(read(&[joined.as_bytes()]), Credential::Unreadable, "{joined}");
        }
        for foreign in [
            "Digest username=\"a\", realm=\"b\", basics=1",
            "Digest username=\"a\", realm=\"Intranet, basic area\", uri=\"/\"",
            r#"Digest realm="a \", basic b", uri="/, bearer x""#,
            "Digest basic=\"1\", bearer=2",
            "Negotiate YIIbasicBearerbasic+/bearer==",
            "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu/s3/aws4_request, SignedHeaders=host;range, Signature=fe5f",
            "OAuth realm=\"x\", oauth_token=\"kkk\"",
        ] {
            assert_eq!(read(&[foreign.as_bytes()]), Credential::Foreign, "{foreign}");
        }
        for joined in [
            "Foo \", Basic YTpi\"",
            "Foo a=\"x, Basic YTpi",
            "Foo a=\"x\\\", Basic YTpi",
            "Foo a=\"x\", \u{a0}Basic YTpi",
            "Foo a=\"x\",\"Basic YTpi\"",
            "Foo x, Basic:YTpi",
            "Foo x, Basic\u{a0}YTpi",
            "Foo x, Basic/YTpi",
            "Foo x, Basic==",
            "Foo x, BasicYTpi=",
        ] {
            assert_eq!(read(&[joined.as_bytes()]), Credential::Unreadable, "{joined}");
        }
    }

    #[test]
    fn u15_what_cannot_be_read_is_unreadable() {
        for value in ["Basic", "Basic !!!!", "Basic YWxpY2U=", "Bearer", "Bearer a b", "Basic YT\tpi", "Bearer \"a\""] {
            assert_eq!(read(&[value.as_bytes()]), Credential::Unreadable, "{value}");
        }
        assert_eq!(read(&[b"Bearer a\xa0"]), Credential::Unreadable);
        for nul in ["alice:won\0der", "alice\0:wonder", "alice:\0", "\0alice:x"] {
            assert_eq!(read(&[basic(nul).as_bytes()]), Credential::Unreadable, "{nul:?}");
        }
    }

    #[test]
    fn attack_a_password_under_a_scheme_that_only_begins_like_basic() {
        for separator in [":", "", ",", "=", "\u{a0}", "\"", "-", "1"] {
            for scheme in ["Basic", "bASIC", "Bearer"] {
                let value = format!("{scheme}{separator}YWxpY2U6d29uZGVybGFuZA==");
                assert_eq!(read(&[value.as_bytes()]), Credential::Unreadable, "{value}");
            }
        }
        assert_eq!(read(&[b"Bas YTpi"]), Credential::Foreign);
    }

    #[test]
    fn attack_a_credential_behind_bytes_that_some_frameworks_strip() {
        for before in [
            &b"\xa0"[..],
            b"\x85",
            b"\xc2\xa0",
            b"\xe2\x80\x83",
            b"\"",
            b"'",
            b"-",
            b"=",
            b"1",
            b"(",
            b"\x0b",
            b"\x1f",
            b"\xef\xbb\xbf",
        ] {
            for rest in [&b"Basic YTpi"[..], b"bEARER x", b"Basic:YTpi"] {
                let value = [before, rest].concat();
                assert_eq!(read(&[&value]), Credential::Unreadable, "{value:?}");
            }
        }
        for no_scheme in [&b"\xa0Digest x"[..], b"Dig\xa0est x", b"a=b/c==", b"\"Token\" x", b"Token: x", b"(x) y"] {
            assert_eq!(read(&[no_scheme]), Credential::Unreadable, "{no_scheme:?}");
        }
    }

    #[test]
    fn attack_token_in_the_place_of_the_name() {
        assert_eq!(read(&[basic("tgt_abc:").as_bytes()]), Credential::Unreadable);
    }

    #[test]
    fn attack_a_token_is_seen_in_whatever_form_it_comes() {
        let token = core::str::from_utf8(token::mint([5; 32]).expose()).unwrap().to_owned();
        let (standard, url_safe) = (&BASE64, base64::engine::general_purpose::URL_SAFE_NO_PAD);
        let encoded = standard.encode(format!("alice:{token}"));
        let mut values = vec![
            token.clone(),
            format!("Token {token}"),
            format!("Bearer \"{token}\""),
            format!("Bearer token={token}"),
            encoded.clone(),
            format!("Basic \"{encoded}\""),
            format!("Basic:{encoded}"),
            format!("Basic {encoded}==="),
            format!("Negotiate {encoded}"),
            format!("Digest x,Basic {encoded}"),
            format!("Basic {} {}", &encoded[..21], &encoded[21..]),
            format!("Basic {}", url_safe.encode(format!("?~?:{token}"))),
            format!("Basic {}", standard.encode(format!("alice: {token}"))),
            format!("Basic {}", standard.encode(format!("alice:alice:{token}"))),
        ];
        for junk in ["", "x", "xy", "xyz"] {
            values.push(format!("{junk}{encoded}"));
            values.push(format!("Basic {}", standard.encode(format!("{junk}{token}"))));
        }
        for value in values {
            assert!(shows_token(value.as_bytes()), "{value}");
        }
        let wrapped = format!("{} {}", &token[..14], &token[14..]);
        for value in [format!("Bearer {wrapped}"), format!("Token {wrapped}"), "x tgt_abc".into(), "a=\"tgt_\"".into()]
        {
            assert!(shows_token(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn u12_what_holds_the_prefix_by_chance_is_not_taken_for_a_token() {
        // A signed token of somebody else's: `tgt_` and sixteen letters and digits stand in the middle of its
        // signature.
        let signed = "eyJhbGciOiAiSFM1MTIiLCAidHlwIjogIkpXVCJ9.eyJpc3MiOiAiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsICJzdWIiOiAidTE5\
                      NjQ2NiIsICJleHAiOiAxOTAwMDAwMDAwfQ.vN-w-IhCvDZ0dXdF0MDyZfRUJmCIMLKDpZnOv5rdYRxj2TI9TzrZH4grZQiHk2tgt_lFb\
                      PgVLRX4NaOb3v4zGgd1";
        assert!(signed.contains("tgt_lFbPgVLRX4NaOb3v4z"));
        for value in [
            format!("Bearer {signed}"),
            basic(&format!("user:{signed}")),
            basic("svc-tgt_prod:wonderland"),
            basic("alice:wonderland"),
            "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln".into(),
            String::new(),
        ] {
            assert!(!shows_token(value.as_bytes()), "{value}");
        }
        assert!(matches!(read(&[basic("svc-tgt_prod:wonderland").as_bytes()]), Credential::Basic { .. }));
    }

    #[test]
    fn joining_sextets_is_decoding() {
        for text in ["", "a", "ab", "abc", "abcd", "alice:tgt_"] {
            let sextets: Vec<u8> = BASE64.encode(text).bytes().filter_map(sextet).collect();
            assert_eq!(joined(&sextets).as_slice(), text.as_bytes());
        }
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
            values().any(shows_token);
        }

        #[test]
        fn no_basic_or_bearer_bytes_panic(bearer: bool, rest: std::vec::Vec<u8>) {
            let mut value = if bearer { b"Bearer ".to_vec() } else { b"Basic ".to_vec() };
            value.extend(rest);
            Credential::read(core::iter::once(value.as_slice()));
        }
    }
}
