//! Credentials in every form in which some reader may find one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use tests::Random;

/// User and password, or token, as bytes.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// What a request carries, and what is odd about it.
pub(super) struct Presented {
    pub(super) kind: &'static str,
    /// Header lines with their ends.
    pub(super) lines: Vec<u8>,
    /// The one Basic credential, by RFC 7617: `None` if there is none, or one that is not written as it should be.
    pub(super) means: Option<Pair>,
}

/// What secrets can be.
pub(super) struct Secrets {
    pub(super) own: String,
    pub(super) imported: String,
}

/// The user whose passwords are allowed where others' are not.
pub(super) const EXEMPT: &str = "carol";

const USERS: [&[u8]; 16] = [
    b"alice",
    b"alice",
    b"alice",
    b"carol",
    b"carol",
    b"carol",
    b"Carol",
    b"bob",
    "jürgen".as_bytes(),
    b"j\xfcrgen",
    b"",
    b"a b",
    b"carol\0x",
    b"carol ",
    b"alice@example.org",
    b"DOMAIN\\bob",
];

const PASSWORDS: [&[u8]; 20] = [
    b"wonderland",
    b"wonderland",
    b"wonderland",
    b"pass:word",
    b":",
    b"",
    b"with space",
    b" ",
    "schlüssel".as_bytes(),
    b"schl\xfcssel",
    b"x\0y",
    b"\0x",
    b"tab\tand\nline feed",
    b"a,b",
    b"Basic eDp5",
    b"x\r\n",
    b"\x1f\x7f\x80",
    b"%00",
    b"\xef\xbb\xbfx",
    b"trailing\0",
];

/// Bytes that some readers take for white space, or drop.
const SPACES: [&[u8]; 16] = [
    b" ",
    b"\t",
    b"  ",
    b" \t ",
    b"\xa0",
    b"\x85",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x1d",
    b"\x1e",
    b"\x1f",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\xad",
];

impl Presented {
    /// One at random.
    pub(super) fn new(random: &mut Random, secrets: &Secrets) -> Self {
        let user = random.one_of(&USERS).to_vec();
        let secret = match random.below(10) {
            0 => secrets.own.clone().into_bytes(),
            1 => secrets.imported.clone().into_bytes(),
            _ => random.one_of(&PASSWORDS).to_vec(),
        };
        match random.below(20) {
            0..6 => Self::plain(random, user, secret),
            6 => {
                let one = if random.once_in(2) { user } else { secret };
                Self::one("no colon", basic(&one.into_iter().filter(|byte| *byte != b':').collect::<Vec<_>>()))
            }
            7..10 => Self::scheme(random, &user, &secret),
            10..13 => Self::encoding(random, &user, &secret),
            13..15 => Self::several(random, &user, &secret),
            15 => Self::lines_of_headers(random, &user, &secret),
            16..18 => Self::bearer(random, secrets, &secret),
            18 => Self::token_in_another_place(random, secrets),
            _ => Self::foreign(random, &user, &secret),
        }
    }

    /// A header whose value is this, and which means nothing to a reader of RFC 7617.
    fn one(kind: &'static str, value: Vec<u8>) -> Self {
        Self { kind, lines: header(&value), means: None }
    }

    /// As RFC 7617 has it.
    fn plain(random: &mut Random, user: Vec<u8>, secret: Vec<u8>) -> Self {
        let scheme = random.one_of(&[b"Basic".as_slice(), b"Basic", b"basic", b"BASIC", b"bAsIc"]);
        let space = random.one_of(&[b" ".as_slice(), b" ", b" ", b"  ", b"     "]);
        let pair = joined(&user, &secret);
        let encoded = if random.once_in(5) { STANDARD_NO_PAD.encode(pair) } else { STANDARD.encode(pair) };
        let arounds: [[&[u8]; 2]; 5] = [[b"", b""], [b"", b""], [b" ", b" "], [b"\t", b""], [b"", b"\t "]];
        let around = random.one_of(&arounds);
        let value = [around[0], scheme, space, encoded.as_bytes(), around[1]].concat();
        Self { kind: "as it should be", lines: header(&value), means: Some((user, secret)) }
    }

    /// Something odd before, in or behind the scheme.
    fn scheme(random: &mut Random, user: &[u8], secret: &[u8]) -> Self {
        let encoded = STANDARD.encode(joined(user, secret)).into_bytes();
        let space = random.one_of(&SPACES);
        let parts: Vec<&[u8]> = match random.below(10) {
            0..3 => vec![space, b"Basic ", &encoded],
            3 | 4 => vec![b"Basic", space, &encoded],
            5 => vec![b"Basic ", space, &encoded],
            6 => vec![
                b"Basic",
                random.one_of(&[b":".as_slice(), b"=", b",", b"-", b"\"", b";", b"/", b"."]),
                b" ",
                &encoded,
            ],
            7 => {
                let start: &[&[u8]] = &[b"\"", b"'", b",", b", ", b"=", b"x ", b": ", b"Authorization: ", b"-", b"; "];
                vec![random.one_of(start), b"Basic ", &encoded]
            }
            8 => {
                let schemes: &[&[u8]] = &[
                    "Bas\u{131}c ".as_bytes(),
                    b"Ba\xadsic ",
                    b"Bas\0ic ",
                    "Ba\u{17f}ic ".as_bytes(),
                    b"Basi ",
                    b"Basics ",
                    b"\"Basic\" ",
                    b"B asic ",
                    b"Basic",
                    b"%42asic ",
                ];
                vec![random.one_of(schemes), &encoded]
            }
            _ => vec![b"Basic", b" ", &encoded, space],
        };
        let value = parts.concat();
        let means = is_plain(&value, &encoded).then(|| (user.to_vec(), secret.to_vec()));
        Self { kind: "an odd scheme", lines: header(&value), means }
    }

    /// Something odd about the base64.
    fn encoding(random: &mut Random, user: &[u8], secret: &[u8]) -> Self {
        let pair = joined(user, secret);
        let encoded = STANDARD.encode(&pair);
        let at = random.below(encoded.len() + 1);
        let (before, after) = encoded.split_at(at);
        let junk: &[u8] = random.one_of(&[
            b"!".as_slice(),
            b" ",
            b"\t",
            b"\xa0",
            b"=",
            b"==",
            b",",
            b"\"",
            b".",
            b"-",
            b"*",
            b"\x0b",
            b"~",
            b"\xff",
        ]);
        let value: Vec<u8> = match random.below(10) {
            0..3 => [before.as_bytes(), junk, after.as_bytes()].concat(),
            3 => [encoded.as_bytes(), random.one_of(&[b"=".as_slice(), b",", b";", b"\"", b"x", b"."])].concat(),
            4 => URL_SAFE.encode([b"?~>:".as_slice(), &pair].concat()).into_bytes(),
            5 => ["\"", &encoded, "\""].concat().into_bytes(),
            6 => STANDARD.encode(&encoded).into_bytes(),
            7 => encoded.replace('=', "%3D").into_bytes(),
            8 => [encoded.as_bytes(), b" ", encoded.as_bytes()].concat(),
            _ => pair,
        };
        let value = [b"Basic ".as_slice(), &value].concat();
        let means = is_plain(&value, encoded.as_bytes()).then(|| (user.to_vec(), secret.to_vec()));
        Self { kind: "odd base64", lines: header(&value), means }
    }

    /// More than one credential.
    fn several(random: &mut Random, user: &[u8], secret: &[u8]) -> Self {
        let wanted = basic(&joined(user, secret));
        let others: [&[u8]; 8] = [
            b"Basic YTpi",
            b"Bearer x",
            b"Digest username=\"a\", realm=\"b\"",
            b"Negotiate YTpi",
            b"",
            b"x",
            b"Token a",
            b"Digest x=\"",
        ];
        let other = random.one_of(&others).to_vec();
        let other_is_empty = other.is_empty();
        let (first, second) = if random.once_in(2) { (other, wanted) } else { (wanted, other) };
        let separators: [&[u8]; 8] = [b",", b", ", b" ,", b";", b",\xa0", b",\x85", b"\", ", b",,"];
        let joined = random.once_in(3);
        let lines = if joined {
            header(&[first.as_slice(), random.one_of(&separators), &second].concat())
        } else if random.once_in(2) {
            [header(&first), header(&second)].concat()
        } else {
            [header(&first), b"X-Between: 1\r\n".to_vec(), header(&second)].concat()
        };
        // An empty header is none.
        let means = (other_is_empty && !joined).then(|| (user.to_vec(), secret.to_vec()));
        Self { kind: "several credentials", lines, means }
    }

    /// Odd lines.
    fn lines_of_headers(random: &mut Random, user: &[u8], secret: &[u8]) -> Self {
        let encoded = STANDARD.encode(joined(user, secret));
        let (before, after) = encoded.split_at(encoded.len() / 2);
        let folded = [
            format!("Authorization: Basic\r\n {encoded}\r\n"),
            format!("Authorization:\r\n Basic {encoded}\r\n"),
            format!("Authorization:\r\n\tBasic {encoded}\r\n"),
            format!("X-Before: 1\nAuthorization: Basic {encoded}\n"),
        ];
        let odd = [
            format!("Authorization: Basic {before}\r\n {after}\r\n"),
            format!("Authorization : Basic {encoded}\r\n"),
            format!("Authorization\t: Basic {encoded}\r\n"),
            format!(" Authorization: Basic {encoded}\r\n"),
            format!("X-Before: 1\r\n Authorization: Basic {encoded}\r\n"),
            format!("X-Before: 1\rAuthorization: Basic {encoded}\r\n"),
            format!("X-Before: 1\u{85}Authorization: Basic {encoded}\r\n"),
            format!("X-Before: 1\u{2028}Authorization: Basic {encoded}\r\n"),
            format!("Author\u{131}zation: Basic {encoded}\r\n"),
            format!("Authorization_: Basic {encoded}\r\n"),
            format!("Http-Authorization: Basic {encoded}\r\n"),
            format!("Http_Authorization: Basic {encoded}\r\n"),
            format!("Redirect-Http-Authorization: Basic {encoded}\r\n"),
            format!("X-Authorization: Basic {encoded}\r\n"),
            format!("Php-Auth-User: {encoded}\r\nPhp-Auth-Pw: x\r\n"),
            "Remote-User: alice\r\n".to_owned(),
            format!("Proxy-Authorization: Basic {encoded}\r\n"),
        ];
        // Envoy joins folded lines, and takes a line feed alone for the end of a line. What it forwards is as it should
        // be.
        let is_folded = random.once_in(3);
        let lines: &[String] = if is_folded { &folded } else { &odd };
        let lines = latin1(random.pick(lines).as_str());
        let means = is_folded.then(|| (user.to_vec(), secret.to_vec()));
        Self { kind: "odd lines of headers", lines, means }
    }

    /// Under the other scheme.
    fn bearer(random: &mut Random, secrets: &Secrets, secret: &[u8]) -> Self {
        let token = random.one_of(&[&secrets.own, &secrets.imported, &secrets.imported]).as_bytes();
        let encoded = STANDARD.encode(joined(b"alice", secret));
        let space = random.one_of(&SPACES);
        let value: Vec<u8> = match random.below(10) {
            0..3 => [b"Bearer ", token].concat(),
            3 => [space, b"Bearer ", token].concat(),
            4 => [b"Bearer", space, token].concat(),
            5 => [b"Bearer \"", token, b"\""].concat(),
            6 => [b"bearer  ", token, b"  "].concat(),
            7 => [
                b"Bearer ".as_slice(),
                token,
                random.one_of(&[b",".as_slice(), b", x", b" x", b"\xa0", b"\x85", b"\xc2\xa0"]),
            ]
            .concat(),
            8 => [b"Bearer ", encoded.as_bytes()].concat(),
            _ => [b"Bearer Basic ", encoded.as_bytes()].concat(),
        };
        Self::one("a bearer token", value)
    }

    /// A token where a user or more than a token belongs.
    fn token_in_another_place(random: &mut Random, secrets: &Secrets) -> Self {
        let token = random.one_of(&[&secrets.own, &secrets.imported]);
        let pair = match random.below(6) {
            0 => format!("{token}:"),
            1 => format!("{token}:x-oauth-basic"),
            2 => token.to_string(),
            3 => format!(":{token}"),
            4 => format!("{token}:{token}"),
            _ => format!("x-token-auth:{token}"),
        };
        Self::one("a token in another place", basic(pair.as_bytes()))
    }

    /// Under no scheme that is judged.
    fn foreign(random: &mut Random, user: &[u8], secret: &[u8]) -> Self {
        let encoded = STANDARD.encode(joined(user, secret));
        let values = [
            format!("Digest username=\"alice\", realm=\"x\", response=\"{encoded}\""),
            format!("Negotiate {encoded}"),
            format!("Token {encoded}"),
            format!("Custom Basic {encoded}"),
            format!("Digest username=\"Basic {encoded}\""),
            encoded.clone(),
            format!("OAuth realm=\"Basic\" {encoded}"),
            format!("Digest\u{a0}Basic {encoded}"),
            String::new(),
        ];
        Self::one("a foreign scheme", latin1(random.pick(&values).as_str()))
    }
}

/// Whether this is a Basic credential as RFC 7617 has it, with this base64, after all.
fn is_plain(value: &[u8], encoded: &[u8]) -> bool {
    let value = value.trim_ascii();
    let scheme = value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"));
    let rest = value.get(5..).unwrap_or_default();
    let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    scheme && space > 0 && rest[space..] == *encoded
}

fn header(value: &[u8]) -> Vec<u8> {
    [b"Authorization: ", value, b"\r\n"].concat()
}

fn joined(user: &[u8], secret: &[u8]) -> Vec<u8> {
    [user, b":", secret].concat()
}

fn basic(pair: &[u8]) -> Vec<u8> {
    ["Basic ", &STANDARD.encode(pair)].concat().into_bytes()
}

/// One byte for each character that fits; the others in UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}
