//! The format of our tokens (requirement D2): `tgt_`, 33 random characters, 6 characters of checksum.
//!
//! ```text
//! tgt_  7Yq…33 × [0-9A-Za-z]…  6 × [0-9A-Za-z]
//!       196 bits of randomness  CRC-32 over everything before it
//! ```
//!
//! The prefix makes a token recognisable to people, to secret scanners ([`SCANNER_REGEX`]) and to the filter, which
//! never forwards anything that begins like one. The checksum tells a mistyped token from a revoked one without
//! asking anybody; it is no protection against guessing, and needs to be none.

use crate::credential::Secret;
use alloc::vec::Vec;
use zeroize::Zeroize;

/// What every token of ours begins with, and nothing else may: such a password is never offered to a backend.
pub const PREFIX: &[u8] = b"tgt_";

/// Characters after the prefix that are random: 33 × log2(62) = 196.5 bits, above the 190 that D2 asks for.
pub const RANDOM_LEN: usize = 33;

/// Characters of checksum: 62^6 is the first power that holds a CRC-32.
pub const CHECKSUM_LEN: usize = 6;

/// The length of a whole token, in bytes.
pub const TOKEN_LEN: usize = PREFIX.len() + RANDOM_LEN + CHECKSUM_LEN;

/// For secret scanners: what a token looks like, in the regular-expression dialect that they have in common.
pub const SCANNER_REGEX: &str = r"\btgt_[0-9A-Za-z]{39}\b";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a secret looks like, before anybody has looked it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole token of ours, its checksum right.
    Token,
    /// It begins like a token of ours and is none: mistyped, cut off, or with a line end behind it.
    Mistyped,
    /// Anything else: a password, somebody else's token, or one that was imported.
    Foreign,
}

impl Shape {
    /// Looks at a secret; cost and outcome depend on nothing that is stored.
    pub fn of(secret: &[u8]) -> Self {
        if !secret.starts_with(PREFIX) {
            return Self::Foreign;
        }
        let Some((body, checksum)) = secret.split_at_checked(TOKEN_LEN - CHECKSUM_LEN) else {
            return Self::Mistyped;
        };
        let alphanumeric = body.iter().skip(PREFIX.len()).all(u8::is_ascii_alphanumeric);
        if alphanumeric && checksum == checksum_of(body) { Self::Token } else { Self::Mistyped }
    }
}

/// Whether bytes that are meant to be something else (a name, a label, another credential) show a token of ours: a
/// whole one anywhere, which its checksum tells; or, at the beginning of a word, the prefix and at least `shown`
/// characters.
///
/// The beginning of a word, because what others encode may hold the prefix by chance: `_` is a character of base64url,
/// and so of every signed token of somebody else's.
pub fn shows_in(bytes: &[u8], shown: usize) -> bool {
    let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/' | b'~');
    bytes.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX).any(|(at, _)| {
        let found = bytes.get(at..).unwrap_or_default();
        let begins_word = !at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(in_word);
        let characters =
            found.iter().skip(PREFIX.len()).take(TOKEN_LEN).take_while(|byte| byte.is_ascii_alphanumeric());
        (begins_word && characters.count() >= shown)
            || found.get(..TOKEN_LEN).is_some_and(|whole| Shape::of(whole) == Shape::Token)
    })
}

/// Makes a token out of 32 bytes of the operating system's randomness, which the caller fetches and wipes.
///
/// The bytes are read as one number, of which the 33 lowest digits to the base of 62 are taken: the bias of the
/// highest digit is below 2^-59.
pub fn mint(mut randomness: [u8; 32]) -> Secret {
    let mut token = Vec::with_capacity(TOKEN_LEN);
    token.extend_from_slice(PREFIX);
    for _ in 0..RANDOM_LEN {
        let mut remainder = 0u32;
        for byte in &mut randomness {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX); // value < 62 * 256, so the quotient fits
            remainder = value % 62;
        }
        token.push(digit(remainder));
    }
    randomness.zeroize();
    let checksum = checksum_of(&token);
    token.extend_from_slice(&checksum);
    Secret::new(token)
}

fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [0; CHECKSUM_LEN];
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest % 62);
        rest /= 62;
    }
    digits
}

fn digit(value: u32) -> u8 {
    usize::try_from(value).ok().and_then(|index| ALPHABET.get(index)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_minted_token_never_changes_its_form() {
        let token = mint([7; 32]);
        assert_eq!(token.expose(), b"tgt_1FPc9b5c5QdpH4zZv03tchG8AluSK9wTi3GMj7K".as_slice());
    }

    #[test]
    fn d2_the_published_regex_finds_a_token() {
        let token = mint([1; 32]);
        let text = core::str::from_utf8(token.expose()).unwrap();
        assert_eq!(text.len(), TOKEN_LEN);
        assert_eq!(text.len() - PREFIX.len(), 39, "the number in SCANNER_REGEX");
        assert!(text.bytes().skip(4).all(|byte| byte.is_ascii_alphanumeric()));
    }

    proptest! {
        #[test]
        fn d2_every_minted_token_is_recognised(randomness: [u8; 32]) {
            prop_assert_eq!(Shape::of(mint(randomness).expose()), Shape::Token);
        }

        #[test]
        fn d2_one_wrong_character_is_noticed(randomness: [u8; 32], position in 0..TOKEN_LEN, other in 0..62usize) {
            let mut token = mint(randomness).expose().to_vec();
            prop_assume!(token[position] != ALPHABET[other]);
            token[position] = ALPHABET[other];
            prop_assert_ne!(Shape::of(&token), Shape::Token);
        }

        #[test]
        fn no_bytes_panic(secret: std::vec::Vec<u8>) {
            Shape::of(&secret);
        }
    }

    extern crate std;
}
