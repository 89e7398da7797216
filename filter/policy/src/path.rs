//! Which part of the site a path belongs to, read twice: as it stands, and in the most liberal way any backend might.
//!
//! The proxy normalises a path first (dot segments, doubled slashes) and forwards the result, and this judges that
//! result. Where the two readings disagree on whether the path is protected, or a protected path still holds something
//! that a backend may take for a separator, the request is refused: what was judged must be what is forwarded
//! (principle 5). The query is never looked at: what a client may choose freely must not decide.

use crate::Site;
use alloc::borrow::Cow;
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
    /// The backend, where tokens count.
    Protected,
    /// The backend, where a token grants nothing and the request passes untouched.
    Open,
}

/// The path reads differently to different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Rounds of decoding after which a path that still changes is nobody's honest path.
const ROUNDS_MAX: usize = 6;

impl Area {
    /// The area of a request target (`:path`, with or without a query).
    pub fn of(target: &[u8], site: &Site) -> Result<Self, Ambiguous> {
        let path = without_query(target);
        let strict = Self::read(path, site)?;
        let mut reading = Cow::Borrowed(path);
        for _ in 0..ROUNDS_MAX {
            let before = reading.clone();
            for liberty in LIBERTIES {
                reading = Cow::Owned(liberty(&reading));
                if Self::read(&reading, site)? != strict {
                    return Err(Ambiguous);
                }
            }
            if reading == before {
                return if strict != Self::Open && holds_doubtful_bytes(path) { Err(Ambiguous) } else { Ok(strict) };
            }
        }
        Err(Ambiguous)
    }

    fn read(path: &[u8], site: &Site) -> Result<Self, Ambiguous> {
        if path == READY_PATH {
            return Ok(Self::Ready);
        }
        // The proxy's own routes compare with regard to case. A path that is the control plane's in one reading and
        // the backend's in the other would carry a token to the backend.
        for prefix in &site.control_plane_prefixes {
            if path.starts_with(prefix.as_bytes()) {
                return Ok(Self::ControlPlane);
            }
            if starts_with_ignoring_case(path, prefix.as_bytes()) {
                return Err(Ambiguous);
            }
        }
        let context = site.context_path.as_bytes();
        let protected = starts_with_ignoring_case(path, context)
            && path.get(context.len()..).is_some_and(|below| {
                site.protected_prefixes.iter().any(|prefix| starts_with_ignoring_case(below, prefix.as_bytes()))
            });
        Ok(if protected { Self::Protected } else { Self::Open })
    }
}

/// The path of a request target: all before the query.
pub fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}

type Liberty = fn(&[u8]) -> Vec<u8>;

/// What some backend or other does to a path before it looks at it; tried one after the other until nothing changes.
const LIBERTIES: [Liberty; 6] =
    [percent_decoded, overlong_decoded, without_nul, slashes_forward, without_parameters, without_dots];

fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        if let (b'%', [high, low, after @ ..]) = (*byte, tail)
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            decoded.push((high << 4) | low);
            rest = after;
        } else {
            decoded.push(*byte);
            rest = tail;
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Two-byte forms of ASCII characters, which UTF-8 forbids and some decoders accept (`%c0%af` for a slash).
fn overlong_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        if let (0xc0 | 0xc1, [next @ 0x80..=0xbf, after @ ..]) = (*byte, tail) {
            decoded.push(((byte & 1) << 6) | (next & 0x3f));
            rest = after;
        } else {
            decoded.push(*byte);
            rest = tail;
        }
    }
    decoded
}

fn without_nul(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(|byte| *byte != 0).collect()
}

fn slashes_forward(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
}

/// Without `;name=value` at the end of segments (Tomcat and other servlet containers).
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default())
        .collect();
    segments.join(&b'/')
}

fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" | b"." if !last => {}
            b"." => kept.push(b""),
            b".." => {
                kept.pop();
                if last {
                    kept.push(b"");
                }
            }
            other => kept.push(other),
        }
    }
    let mut path: Vec<u8> = Vec::with_capacity(path.len());
    for segment in kept {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    path
}

/// What a protected path must not hold: separators in disguise, and what ends a string or a path somewhere.
fn holds_doubtful_bytes(path: &[u8]) -> bool {
    const ENCODED: [&[u8]; 5] = [b"%2e", b"%2f", b"%5c", b"%25", b"%00"];
    path.iter().any(|byte| matches!(byte, b';' | b'\\' | b'#') || byte.is_ascii_control())
        || path.windows(3).any(|window| ENCODED.iter().any(|encoded| window.eq_ignore_ascii_case(encoded)))
        || core::str::from_utf8(&percent_decoded(path)).is_err()
}

fn starts_with_ignoring_case(path: &[u8], prefix: &[u8]) -> bool {
    path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    fn area(path: &str) -> Result<Area, Ambiguous> {
        Area::of(path.as_bytes(), &Site::default())
    }

    #[test]
    fn u5_areas_of_a_site() {
        assert_eq!(area("/rest/api/2/issue/JRA-1?expand=all"), Ok(Area::Protected));
        assert_eq!(area("/REST/api"), Ok(Area::Protected));
        assert_eq!(area("/rest/api/2/user/J%C3%BCrgen"), Ok(Area::Protected));
        assert_eq!(area("/api/v1/tokens"), Ok(Area::ControlPlane));
        assert_eq!(area("/.well-known/tokengate/ready"), Ok(Area::Ready));
        for open in ["/", "", "*", "/restful", "/login?next=/rest/", "/browse/A;x=y", "/100%25/x", "/secure/a%2fb"] {
            assert_eq!(area(open), Ok(Area::Open), "{open}");
        }
    }

    #[test]
    fn u5_the_prefix_stands_after_the_context_path() {
        let site = Site { context_path: "/jira".into(), ..Site::default() };
        assert_eq!(Area::of(b"/JIRA/rest/api", &site), Ok(Area::Protected));
        assert_eq!(Area::of(b"/rest/api", &site), Ok(Area::Open));
        assert_eq!(Area::of(b"/api/v1/users", &site), Ok(Area::ControlPlane));
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
            "/x/..;/api/v1/users",
            "/.well-known/tokengate/ready;x",
        ] {
            assert_eq!(area(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn attack_a_path_that_never_stops_decoding() {
        assert_eq!(area(&std::format!("/{}72est/", "%25".repeat(20))), Ok(Area::Open));
        let mut path = std::string::String::from("/x%41");
        for _ in 0..ROUNDS_MAX {
            path = path.replace('%', "%25");
        }
        assert_eq!(area(&path), Err(Ambiguous));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(path: Vec<u8>) {
            let _ = Area::of(&path, &Site::default());
        }

        #[test]
        fn a_path_called_protected_is_protected_in_every_reading(path in "(/|[.;%\\\\]|[2-7a-fA-F]{2}|rest|REST|api){1,12}") {
            let site = Site::default();
            if Area::of(path.as_bytes(), &site) == Ok(Area::Open) {
                let mut reading = path.into_bytes();
                for _ in 0..ROUNDS_MAX {
                    reading = LIBERTIES.iter().fold(reading, |reading, liberty| liberty(&reading));
                }
                prop_assert_eq!(Area::read(&reading, &site), Ok(Area::Open));
            }
        }
    }
}
