//! Which part of the site a path belongs to, read twice: as it stands, and in the most liberal way any backend might.
//!
//! The proxy normalises a path first (dot segments, doubled slashes) and forwards the result, and this judges that
//! result. Where the two readings disagree on whether the path is protected, or a protected path still holds something
//! that a backend may take for a separator, the request is refused: what was judged must be what is forwarded
//! (principle 5). The query is never looked at: what a client may choose freely must not decide.

use crate::Site;
use crate::settings::Facade;
use alloc::string::String;
use alloc::vec::Vec;

/// Where the proxy itself says whether it can decide.
pub const READY_PATH: &[u8] = b"/.well-known/tokengate/ready";

/// The parts of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// [`READY_PATH`], answered by the filter.
    Ready,
    /// Routed to the control plane, which judges the credential once more; always protected.
    ControlPlane,
    /// A facade's: the control plane's while the setting `facades` names it, else the backend's, where tokens count.
    Facade(Facade),
    /// The backend, where tokens count.
    Protected,
    /// The backend, where a token grants nothing and the request passes untouched.
    Open,
}

/// A path, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The part of the site to which it belongs in every reading.
    pub area: Area,
    /// Whether it holds an encoded slash, which a setting allows in segments of the backend's paths.
    pub encoded_slash: bool,
}

/// The path reads differently to different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Reading {
    /// Reads a path.
    pub fn of(path: &[u8], site: &Site) -> Result<Self, Ambiguous> {
        let area = area_as_it_stands(path, site);
        let plain = is_plain(path);
        if !plain && path.len() > ODD_LEN_MAX {
            return Err(Ambiguous);
        }
        let encoded_slash = !plain && holds_encoded(path, &[b"%2f"]);
        if !plain {
            let decoded = percent_decoded(path);
            let readings: &[SecondBytes] = match decoded.iter().any(|byte| byte.leading_ones() >= 2) {
                true => &[SecondBytes::Valid, SecondBytes::Any],
                false => &[SecondBytes::Valid], // nothing that they read differently
            };
            for second_bytes in readings {
                let liberal = Liberal::read(&decoded, *second_bytes).ok_or(Ambiguous)?;
                if !liberal.agrees(area, site) {
                    return Err(Ambiguous);
                }
            }
        }
        let doubtful = match area {
            Area::Open | Area::Ready => false,
            Area::Protected | Area::Facade(_) => !plain && holds_doubtful_bytes(path),
            Area::ControlPlane => !plain && (holds_doubtful_bytes(path) || encoded_slash),
        };
        // Some proxies' own routes compare with regard to case. A path that is the control plane's in one reading and the
        // backend's in the other would carry a token to the backend.
        let in_other_case = area != Area::ControlPlane
            && site.control_plane_prefixes.iter().any(|prefix| starts_with_ignoring_case(path, prefix.as_bytes()));
        let facade_in_other_case = !matches!(area, Area::ControlPlane | Area::Facade(_))
            && below_context(path, site).is_some_and(|below| {
                Facade::ALL.iter().any(|facade| starts_with_ignoring_case(below, facade.prefix().as_bytes()))
            });
        if doubtful || in_other_case || facade_in_other_case {
            Err(Ambiguous)
        } else {
            Ok(Self { area, encoded_slash })
        }
    }
}

/// The strict reading: byte by byte, but for the case of the context path and of protected prefixes.
fn area_as_it_stands(path: &[u8], site: &Site) -> Area {
    if path == READY_PATH {
        return Area::Ready;
    }
    if site.control_plane_prefixes.iter().any(|prefix| path.starts_with(prefix.as_bytes())) {
        return Area::ControlPlane;
    }
    let below = below_context(path, site);
    let is_of = |facade: &Facade| below.is_some_and(|below| below.starts_with(facade.prefix().as_bytes()));
    if let Some(facade) = Facade::ALL.iter().copied().find(is_of) {
        return Area::Facade(facade);
    }
    let protected = below.is_some_and(|below| {
        site.protected_prefixes.iter().any(|prefix| starts_with_ignoring_case(below, prefix.as_bytes()))
    });
    if protected { Area::Protected } else { Area::Open }
}

/// The path of a request target: all before the query.
pub fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// A path without the context path, if it is below it.
pub(crate) fn below_context<'a>(path: &'a [u8], site: &Site) -> Option<&'a [u8]> {
    let context = site.context_path.as_bytes();
    starts_with_ignoring_case(path, context).then(|| path.get(context.len()..))?
}

/// Whether everyone reads the path alike, but for its case: letters, digits and a few marks, no doubled slashes, and no
/// segment that begins or ends with a dot. Most paths are so, and need no second reading.
fn is_plain(path: &[u8]) -> bool {
    let mut before = Letter::Other;
    let mut is_plain = |byte: u8| {
        let letter = LETTERS.get(usize::from(byte)).copied().unwrap_or(Letter::Odd);
        // Both as numbers: this looks at every byte of every path, and anybody may send a long one.
        let pair = (before as u16) << 2 | letter as u16;
        before = letter;
        (ODD_PAIRS >> pair) & 1 == 0
    };
    path.starts_with(b"/") && path.iter().all(|byte| is_plain(*byte)) && !path.ends_with(b".")
}

/// What a byte of a path may be.
#[derive(Clone, Copy)]
enum Letter {
    Other,
    Slash,
    Dot,
    Odd,
}

const LETTERS: [Letter; 256] = {
    let mut letters = [Letter::Odd; 256];
    let mut byte = 0;
    while byte < letters.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            letters[byte] = match byte as u8 {
                b'/' => Letter::Slash,
                b'.' => Letter::Dot,
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'~' => Letter::Other,
                _ => Letter::Odd,
            };
        }
        byte += 1;
    }
    letters
};

/// Pairs of letters, as four bits each, that readers read differently: whatever is odd, `//`, `/.` and `./`.
const ODD_PAIRS: u16 = {
    const fn pair(before: Letter, letter: Letter) -> u16 {
        1 << ((before as u16) << 2 | letter as u16)
    }
    use Letter::{Dot, Odd, Other, Slash};
    pair(Other, Odd) | pair(Slash, Odd) | pair(Dot, Odd) | pair(Slash, Slash) | pair(Slash, Dot) | pair(Dot, Slash)
};

/// The names in a path as the most liberal reader sees them: everything decoded until nothing changes, whatever looks
/// like a separator taken for one, each name without what some file system or server ignores.
///
/// Readers differ in the order in which they do these things, and so in what a `..` takes away. So none is taken away
/// here: where there is one in any disguise, each name may be the first.
#[derive(Debug)]
struct Liberal {
    names: Vec<String>,
    /// Whether there is a `..`, or a `//` at the beginning, behind which some readers expect a host.
    drops_names: bool,
    ends_with_slash: bool,
}

/// What may follow the first byte of a character of several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecondBytes {
    /// What UTF-8 says.
    Valid,
    /// Anything: old decoders look at six bits of it (IIS, MS00-078).
    Any,
}

/// Rounds of decoding after which a path that still changes is nobody's honest path.
const ROUNDS_MAX: usize = 8;

/// Bytes of a path that must be read more than once: what servers take as a request line. It costs a worker some tenths of a
/// millisecond to read it in all ways, and anybody may send one.
const ODD_LEN_MAX: usize = 8 * 1024;

impl Liberal {
    /// Of a path that was percent-decoded once. `None`: it never stops changing.
    fn read(decoded_once: &[u8], second_bytes: SecondBytes) -> Option<Self> {
        let mut text = in_ascii(&overlong_decoded(decoded_once, second_bytes));
        for _ in 1..ROUNDS_MAX {
            let again = in_ascii(&overlong_decoded(&percent_decoded(text.as_bytes()), second_bytes));
            if again == text {
                return Some(Self::split(&text));
            }
            text = again;
        }
        None
    }

    fn split(path: &str) -> Self {
        let is_slash = |c: char| matches!(c, '/' | '\\');
        let mut liberal = Self {
            names: Vec::new(),
            drops_names: path.strip_prefix(is_slash).is_some_and(|rest| rest.starts_with(is_slash)),
            ends_with_slash: path.ends_with(is_slash),
        };
        for segment in path.split(is_slash) {
            // Parameters (`;x=y`, servlet containers), streams (`:$DATA`), dots and spaces at the end (Windows).
            let name = segment.split([';', ':']).next().unwrap_or_default().trim_matches(' ');
            let dots = name.chars().filter(|c| *c == '.').count();
            let only_dots = name.chars().all(|c| matches!(c, '.' | ' '));
            if only_dots {
                liberal.drops_names |= dots >= 2;
            } else {
                liberal.names.push(name.trim_end_matches([' ', '.']).into());
            }
        }
        liberal
    }

    /// Whether this reading gives the same area as the strict one.
    fn agrees(&self, area: Area, site: &Site) -> bool {
        let control_plane = site.control_plane_prefixes.iter().any(|prefix| self.may_be_below("", prefix));
        let below = |prefix: &str| self.may_be_below(&site.context_path, prefix);
        let protected = site.protected_prefixes.iter().any(|prefix| below(prefix));
        let facade = || Facade::ALL.iter().any(|facade| below(facade.prefix()));
        match area {
            Area::Open | Area::Ready => !protected && !control_plane && !facade(),
            Area::Protected => protected && !control_plane && !facade() && !self.drops_names,
            Area::Facade(facade) => below(facade.prefix()) && !control_plane && !self.drops_names,
            Area::ControlPlane => control_plane && !self.drops_names,
        }
    }

    /// Whether some reader may take the path for one below this prefix.
    fn may_be_below(&self, context: &str, prefix: &str) -> bool {
        let wanted = [context, prefix].concat().to_lowercase();
        let mut wanted: Vec<&str> = wanted.split('/').filter(|name| !name.is_empty()).collect();
        // A prefix without a slash at its end is any name that begins so.
        let begins = if prefix.ends_with('/') { None } else { wanted.pop() };
        let last_is = |rest: &[String]| match begins {
            Some(begin) => {
                rest.iter().take(if self.drops_names { rest.len() } else { 1 }).any(|n| n.starts_with(begin))
            }
            None => !rest.is_empty() || self.ends_with_slash,
        };
        let mut rest = self.names.as_slice();
        for name in wanted {
            let found = match rest.iter().position(|other| other == name) {
                Some(0) => 0,
                Some(index) if self.drops_names => index,
                _ => return false,
            };
            rest = rest.get(found.saturating_add(1)..).unwrap_or_default();
        }
        last_is(rest)
    }
}

/// `%2f` and, as IIS reads them, `%u002f`.
fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| match tail {
            [b'u' | b'U', a, b, c, d, after @ ..] => Some((hex(&[*a, *b, *c, *d])?, after)),
            [high, low, after @ ..] => Some((hex(&[*high, *low])?, after)),
            _ => None,
        });
        match escaped.flatten() {
            Some((value, after)) => {
                match u8::try_from(value) {
                    Ok(value) => decoded.push(value),
                    Err(_) => {
                        let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                rest = after;
            }
            None => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
    decoded
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| Some((value << 4) | u32::from(hex_digit(*digit)?)))
}

/// The value of a digit of an escape.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Forms of ASCII characters in two to six bytes, which UTF-8 forbids and some decoders accept (`%c0%af` for a slash).
fn overlong_decoded(path: &[u8], second_bytes: SecondBytes) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        match overlong(*byte, tail, second_bytes) {
            Some((value, after)) => {
                decoded.push(value);
                rest = after;
            }
            None => {
                decoded.push(*byte);
                rest = tail;
            }
        }
    }
    decoded
}

fn overlong(lead: u8, tail: &[u8], second_bytes: SecondBytes) -> Option<(u8, &[u8])> {
    let length = usize::try_from(lead.leading_ones()).ok().filter(|length| (2..=6).contains(length))?;
    let (following, after) = tail.split_at_checked(length.saturating_sub(1))?;
    let valid = following.iter().all(|byte| (0x80..=0xbf).contains(byte));
    let payload = u32::from(lead) & (0x7f >> length);
    let value = following.iter().fold(payload, |value, byte| (value << 6) | u32::from(byte & 0x3f));
    let ascii = u8::try_from(value).ok().filter(u8::is_ascii)?;
    (valid || second_bytes == SecondBytes::Any).then_some((ascii, after))
}

/// Without control characters, in small letters, and with the ASCII character for each of those that some system
/// takes for one: when it compares without regard to case, normalises (NFKC), or writes in an older encoding what it
/// read in Unicode.
fn in_ascii(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    if path.is_ascii() {
        text.extend(
            path.iter().filter(|byte| !byte.is_ascii_control()).map(|byte| char::from(byte.to_ascii_lowercase())),
        );
        return text;
    }
    for character in String::from_utf8_lossy(path).chars().filter(|c| !c.is_control()) {
        push_ascii(character, &mut text);
    }
    text
}

/// The same for one character.
pub(crate) fn push_ascii(character: char, text: &mut String) {
    match character {
        '\0'..='\u{7f}' => text.push(character.to_ascii_lowercase()),
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = u32::from(character).checked_sub(0xfee0).and_then(char::from_u32);
            text.extend(ascii.into_iter().flat_map(char::to_lowercase));
        }
        '\u{2044}' | '\u{2215}' => text.push('/'),
        '\u{2216}' => text.push('\\'),
        '\u{2024}' => text.push('.'),
        '\u{2025}' => text.push_str(".."),
        '\u{2026}' => text.push_str("..."),
        '\u{a0}' | '\u{3000}' => text.push(' '),
        'ſ' => text.push('s'),
        'ı' | 'İ' => text.push('i'),
        'ﬀ' => text.push_str("ff"),
        'ﬁ' => text.push_str("fi"),
        'ﬂ' => text.push_str("fl"),
        'ﬃ' => text.push_str("ffi"),
        'ﬄ' => text.push_str("ffl"),
        'ﬅ' | 'ﬆ' => text.push_str("st"),
        other => text.extend(other.to_lowercase()), // the Kelvin sign among them
    }
}

/// What a protected path must not hold: separators in disguise, what ends a string or a path somewhere, and characters in
/// disguise, for which a rule about the path would look in vain.
fn holds_doubtful_bytes(path: &[u8]) -> bool {
    let decoded = percent_decoded(path);
    path.iter().any(|byte| matches!(byte, b';' | b'\\' | b'#'))
        || holds_encoded(path, &[b"%5c", b"%25", b"%3b", b"%23", b"%3f"])
        || path.windows(3).any(is_encoded_unreserved)
        || path.windows(2).any(|window| window.eq_ignore_ascii_case(b"%u"))
        || decoded.iter().any(u8::is_ascii_control)
        || core::str::from_utf8(&decoded).is_err()
}

/// Characters that nobody needs to encode (RFC 3986, section 2.3), and which normalising decodes.
fn is_encoded_unreserved(window: &[u8]) -> bool {
    let [b'%', high, low] = window else {
        return false;
    };
    let value = hex(&[*high, *low]).and_then(|value| u8::try_from(value).ok());
    value.is_some_and(|value| value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~'))
}

fn holds_encoded(path: &[u8], encoded: &[&[u8]]) -> bool {
    path.windows(3).any(|window| encoded.iter().any(|encoded| window.eq_ignore_ascii_case(encoded)))
}

fn starts_with_ignoring_case(path: &[u8], prefix: &[u8]) -> bool {
    path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn area(path: &str) -> Result<Area, Ambiguous> {
        Reading::of(path.as_bytes(), &Site::default()).map(|reading| reading.area)
    }

    #[test]
    fn u5_areas_of_a_site() {
        assert_eq!(area("/rest/api/2/issue/JRA-1?expand=all"), Ok(Area::Protected));
        assert_eq!(area("/REST/api"), Ok(Area::Protected));
        assert_eq!(area("/rest/api/2/user/J%C3%BCrgen"), Ok(Area::Protected));
        assert_eq!(area("/api/v1/tokens"), Ok(Area::ControlPlane));
        assert_eq!(area("/rest/pat/latest/tokens"), Ok(Area::Facade(Facade::Pat)));
        assert_eq!(area("/rest/extender/1.0/tokenTools/get"), Ok(Area::Facade(Facade::Extender)));
        assert_eq!(area("/rest/extender/1.0/filter/user/x"), Ok(Area::Protected));
        assert_eq!(area("/.well-known/tokengate/ready"), Ok(Area::Ready));
        for open in ["/", "", "*", "/restful", "/login?next=/rest/", "/browse/A;x=y", "/100%25/x", "/secure/a%2fb"] {
            assert_eq!(area(open), Ok(Area::Open), "{open}");
        }
    }

    #[test]
    fn u5_the_prefix_stands_after_the_context_path() {
        let site = Site { context_path: "/jira".into(), ..Site::default() };
        let area = |path: &[u8]| Reading::of(path, &site).map(|reading| reading.area);
        assert_eq!(area(b"/JIRA/rest/api"), Ok(Area::Protected));
        assert_eq!(area(b"/rest/api"), Ok(Area::Open));
        assert_eq!(area(b"/api/v1/users"), Ok(Area::ControlPlane));
        assert_eq!(area(b"/jira/rest/pat/latest/tokens"), Ok(Area::Facade(Facade::Pat)));
        assert_eq!(area(b"/rest/pat/latest/tokens"), Ok(Area::Open));
        for ambiguous in
            ["/jira;x/rest/a", "/jira/x/..;/rest/a", "/x/..;/jira/rest/a", "/jir%61/rest/a", "/%2e%2e/jira/rest/"]
        {
            assert_eq!(area(ambiguous.as_bytes()), Err(Ambiguous), "{ambiguous}");
        }
    }

    #[test]
    fn an_encoded_slash_in_a_segment_is_told_and_left_to_the_setting() {
        let read = |path: &[u8]| Reading::of(path, &Site::default());
        let encoded_slash = true;
        assert_eq!(read(b"/rest/branches/a%2Fb"), Ok(Reading { area: Area::Protected, encoded_slash }));
        assert_eq!(read(b"/rest/branches/a%2f..%2f..%2f..%2flogin"), Err(Ambiguous));
        assert_eq!(read(b"/api/v1/users/a%2fb"), Err(Ambiguous));
    }

    #[test]
    fn attack_paths_that_read_differently_to_different_readers() {
        for path in [
            "/x/..;/rest/api",       // Tomcat: parameters cut, then dots
            "/rest;x=y/api",         // servlet path parameters
            "/%72est/api",           // an encoded letter
            "/%2572est/api",         // encoded twice
            "/x%2f..%2frest/api",    // encoded slash
            "/x\\..\\rest\\api",     // backslash
            "/x%5c..%5crest%5capi",  // encoded backslash
            "/%c0%afrest/api",       // overlong slash
            "/x/%c0%ae%c0%ae/rest/", // overlong dots
            "/re%00st/api",          // NUL
            "//rest/api",            // doubled slash, had the proxy not merged it
            "/./rest/api",
            "/rest/../login", // protected by prefix only
            "/rest/%2e%2e/login",
            "/rest/..%2flogin",
            "/rest/api;jsessionid=1",
            "/rest/api#fragment",
            "/rest/a%00b",
            "/rest/a%ffb",
            "/rest/a%25b",
            "/API/v1/users", // the proxy would route this to the backend
            "/rest/PAT/latest/tokens",
            "/rest/pat;x/latest/tokens",
            "/rest/pat./latest/tokens", // a facade's, to whoever drops the dot: not the backend's in another spelling
            "/rest/pat:x/latest/tokens",
            "/rest/p\u{ff41}t/latest/tokens",
            "/rest/extender/1.0/tokenTools%20/get",
            "/x/..;/api/v1/users",
            "/a%255cb/%252e%252e/rest/t", // decoded twice, and a backslash is no separator
            "/a%2fb/..;/rest/t",          // parameters cut, slashes left encoded
            "/x%c1/..;/rest/t",           // a stray lead byte before a slash
            "/rest%e0%80%aft",            // overlong in three bytes
            "/login/..%c1%1crest/t",      // and with a lax second byte
            "/%u0072est/t",               // as IIS writes characters
            "/rest/%u002e%u002e/login/t",
            "/re%09st/t", // dropped by URL parsers of browsers and Node
            "/rest/.%0a./login/t",
            "/rest./t", // Windows
            "/rest%20/t",
            "/rest/..%20/login/t",
            "/rest::$INDEX_ALLOCATION/t", // NTFS
            "/rest%ef%bc%8ft",            // a slash as wide as a Chinese character
            "/rest/%ef%bc%8e%ef%bc%8e/login/t",
            "/re%c5%bft/t",            // a long s
            "//x/rest/t",              // a host, to some
            "/rest/open/..%3b/secret", // decoded first, cut then
            "/rest/a%3b/b",
            "/rest/a%3fb",
            "/rest/a%23b",
            "/rest/%53ECRET", // where a restriction says [^S].*
            "/rest/a%2Db",
        ] {
            assert_eq!(area(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn honest_paths_are_nobodys_attack() {
        for open in
            ["/browse/J%C3%BCrgen", "/a..b/rest/x", "/x/rest/y", "/тест/x", "/wiki/a:b/c;d=e", "/a%2fb/rest", "/p%25"]
        {
            assert_eq!(area(open), Ok(Area::Open), "{open}");
        }
        for protected in ["/rest/a%20b", "/rest/a:b/c", "/rest/v1.2/x..y/.hidden", "/rest/%E2%82%AC"] {
            assert_eq!(area(protected), Ok(Area::Protected), "{protected}");
        }
    }

    #[test]
    fn a_prefix_without_a_slash_at_its_end_is_any_name_that_begins_so() {
        let site = Site { protected_prefixes: ["/rest".into(), "/x/api".into()].into(), ..Site::default() };
        let area = |path: &str| Reading::of(path.as_bytes(), &site).map(|reading| reading.area);
        assert_eq!(area("/restful/x"), Ok(Area::Protected));
        assert_eq!(area("/x/api2"), Ok(Area::Protected));
        assert_eq!(area("/r%65stful"), Err(Ambiguous));
        assert_eq!(area("/a/..;/restful"), Err(Ambiguous));
        assert_eq!(area("/a/restful;x"), Ok(Area::Open));
    }

    #[test]
    fn attack_a_path_that_never_stops_decoding() {
        let mut path = String::from("/x%41");
        for _ in 0..ROUNDS_MAX {
            path = path.replace('%', "%25");
        }
        assert_eq!(area(&path), Err(Ambiguous));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(path: Vec<u8>) {
            let _ = Reading::of(&path, &Site::default());
        }

        #[test]
        fn a_plain_path_reads_alike_to_everyone(path in "(/|[.a-d]|rest|REST|api|v1){1,12}") {
            let liberal = Liberal::read(path.as_bytes(), SecondBytes::Any).unwrap();
            let site = Site::default();
            if is_plain(path.as_bytes()) && !starts_with_ignoring_case(path.as_bytes(), b"/api/v1/") {
                prop_assert!(liberal.agrees(area_as_it_stands(path.as_bytes(), &site), &site), "{}", path);
            }
        }
    }
}
