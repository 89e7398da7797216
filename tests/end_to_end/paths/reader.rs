//! The most liberal reader of paths that this project could think of: every backend at once.
//!
//! It is written apart from the filter's own (`policy::path`), so that neither repeats the other's mistakes, and goes
//! further: it takes its liberties in every order and leaves out any of them, as backends do.

use std::collections::HashSet;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// The backend's, protected.
    Rest,
    /// The control plane's, which the backend must never see.
    ControlPlane,
    /// The backend's, open.
    Open,
}

impl Zone {
    /// By these very bytes, but for their case.
    pub(super) fn of(path: &[u8]) -> Self {
        let is_below = |prefix: &[u8]| path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        match () {
            () if is_below(b"/rest/") => Self::Rest,
            () if is_below(b"/api/v1/") || is_below(b"/tokengate/") => Self::ControlPlane,
            () => Self::Open,
        }
    }
}

/// A reading in which a path stands for something else than its bytes say.
#[derive(Debug)]
pub(super) struct Disagreement {
    /// What it stands for.
    pub(super) zone: Zone,
    /// The liberties taken, in their order.
    pub(super) liberties: Vec<&'static str>,
}

/// Looks for a reader who would disagree; the one who takes the fewest liberties is found.
pub(super) fn disagreement(path: &[u8]) -> Option<Disagreement> {
    let strict = Zone::of(path);
    let mut seen = HashSet::from([path.to_vec()]);
    let mut readings: Vec<(Vec<u8>, Vec<&str>)> = vec![(path.to_vec(), Vec::new())];
    let mut next = 0;
    while let Some((reading, taken)) = readings.get(next).cloned() {
        let zone = Zone::of(&reading);
        if zone != strict {
            return Some(Disagreement { zone, liberties: taken });
        }
        for (name, liberty) in LIBERTIES {
            let read = liberty(&reading);
            if readings.len() < READINGS_MAX && seen.insert(read.clone()) {
                readings.push((read, [taken.as_slice(), &[name]].concat()));
            }
        }
        next += 1;
    }
    None
}

/// More than any path of the corpus has.
const READINGS_MAX: usize = 3000;

type Liberty = (&'static str, fn(&[u8]) -> Vec<u8>);

const LIBERTIES: [Liberty; 17] = [
    ("percent decoded", |path| percent_decoded(path, false)),
    ("percent decoded but for slashes", |path| percent_decoded(path, true)),
    ("%u decoded", u_decoded),
    ("overlong UTF-8 decoded", overlong_decoded),
    ("parameters cut", |path| segments_mended(path, |segment| cut(segment, b";"))),
    ("backslash as slash", |path| path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()),
    ("slashes merged", slashes_merged),
    ("dot segments resolved", dots_resolved),
    ("control bytes dropped", |path| path.iter().copied().filter(|byte| !byte.is_ascii_control()).collect()),
    ("cut at NUL", |path| cut(path, b"\0").to_vec()),
    ("cut at ? or #", |path| cut(path, b"?#").to_vec()),
    ("host cut", host_cut),
    ("slash put in front", |path| if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() }),
    ("trailing dots and spaces cut", |path| segments_mended(path, without_trailing_dots_and_spaces)),
    ("stream cut", |path| segments_mended(path, |segment| cut(segment, b":"))),
    ("best fit", |path| characters_mapped(path, best_fit)),
    ("case folded", |path| characters_mapped(path, case_folded)),
];

fn percent_decoded(path: &[u8], but_for_slashes: bool) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let byte = (path[at] == b'%').then(|| hex(path.get(at + 1..at + 3)?)).flatten();
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) if !(but_for_slashes && matches!(byte, b'/' | b'\\')) => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn u_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let is_u = path[at..].starts_with(b"%u") || path[at..].starts_with(b"%U");
        match is_u.then(|| hex(path.get(at + 2..at + 6)?)).flatten().and_then(char::from_u32) {
            Some(character) => {
                decoded.extend(character.to_string().bytes());
                at += 6;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn hex(digits: &[u8]) -> Option<u32> {
    let are_digits = digits.iter().all(u8::is_ascii_hexdigit);
    are_digits.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

/// ASCII characters in two to six bytes, whether or not those after the first are what they should be.
fn overlong_decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let length = path[at].leading_ones() as usize;
        let character = path.get(at..at + length).filter(|_| (2..=6).contains(&length)).map(|sequence| {
            let lead = u64::from(sequence[0]) & (0x7f >> length);
            sequence[1..].iter().fold(lead, |bits, byte| (bits << 6) | u64::from(byte & 0x3f))
        });
        match character.and_then(|character| u8::try_from(character).ok()).filter(u8::is_ascii) {
            Some(character) => {
                decoded.push(character);
                at += length;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> &'a [u8] {
    &text[..text.iter().position(|byte| at.contains(byte)).unwrap_or(text.len())]
}

fn segments_mended(path: &[u8], mend: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    path.split(|byte| *byte == b'/').map(mend).collect::<Vec<_>>().join(&b'/')
}

fn slashes_merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|second, first| (*second, *first) == (b'/', b'/'));
    merged
}

/// As RFC 3986, section 5.2.4, has it: an empty segment is a segment.
fn dots_resolved(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_dots = matches!(*segment, b"." | b"..");
        if *segment == b".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if index + 1 == segments.len() {
            kept.push(b"");
        }
    }
    [if path.starts_with(b"/") { b"/".as_slice() } else { b"" }, &kept.join(&b'/')].concat()
}

/// `http://host/path` and `//host/path` are `/path`, and so is, to a browser, what has more slashes before the host.
fn host_cut(path: &[u8]) -> Vec<u8> {
    let after_scheme = path.iter().position(|byte| *byte == b'/').map_or(path, |slash| &path[slash..]);
    if !after_scheme.starts_with(b"//") {
        return path.to_vec();
    }
    let slashes = after_scheme.iter().take_while(|byte| **byte == b'/').count();
    let host = &after_scheme[slashes..];
    host.iter().position(|byte| *byte == b'/').map_or(path, |slash| &host[slash..]).to_vec()
}

fn without_trailing_dots_and_spaces(segment: &[u8]) -> &[u8] {
    let end = segment.iter().rposition(|byte| !matches!(byte, b' ' | b'.')).map_or(0, |last| last + 1);
    if end > 0 { &segment[..end] } else { segment.trim_ascii_end() }
}

fn characters_mapped(path: &[u8], map: fn(char) -> Option<&'static str>) -> Vec<u8> {
    let mut mapped = Vec::new();
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            match (map(character), fullwidth(character)) {
                (Some(ascii), _) => mapped.extend(ascii.bytes()),
                (None, Some(ascii)) => mapped.push(ascii),
                (None, None) => mapped.extend(character.to_string().bytes()),
            }
        }
        mapped.extend(chunk.invalid());
    }
    mapped
}

fn fullwidth(character: char) -> Option<u8> {
    matches!(character, '\u{ff01}'..='\u{ff5e}').then(|| u8::try_from(u32::from(character) - 0xfee0).ok()).flatten()
}

fn best_fit(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => "/",
        '\u{2216}' | '\u{29f5}' | '\u{fe68}' => "\\",
        '\u{2024}' | '\u{fe52}' => ".",
        '\u{2025}' => "..",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

fn case_folded(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{17f}' => "s",
        '\u{212a}' => "k",
        '\u{130}' | '\u{131}' => "i",
        _ => return None,
    })
}

#[test]
fn the_reader_sees_through_every_disguise_and_minds_no_honest_path() {
    for disguised in [
        "/%72est/x",
        "/%u0072est/x",
        "/%25252frest/x",
        "/rest%c0%af",
        "/rest%e0%80%afx",
        "/rest%f0%80%80%afx",
        "/rest%fc%80%80%80%80%afx",
        "/rest;a=b/x",
        "/x/..;/rest/x",
        "\\rest\\x",
        "/.//rest/x",
        "/x/../rest/x",
        "/re\tst/x",
        "/re%00st/x",
        "//host/rest/x",
        "http://host/rest/x",
        "rest/x",
        "/rest./x",
        "/rest. ./x",
        "/x/.. /rest/x",
        "/rest::$DATA/x",
        "/rest\u{2215}x",
        "/re\u{17f}t/x",
        "/re\u{fb06}/x",
        "/\u{ff52}est/x",
        "/to\u{212a}engate/x",
        "/a%2fb/..;/rest/x",
        "/a%c0%afb/..;/rest/x",
        "/%61pi/v1/x",
    ] {
        let found = disagreement(disguised.as_bytes());
        assert!(found.is_some_and(|found| found.zone != Zone::Open), "{disguised}");
    }
    for left in ["/rest/../x", "/rest/..;/x", "/rest/%252e%252e/x", "/rest/.. /x", "/rest/\u{ff0e}\u{ff0e}/x"] {
        let found = disagreement(left.as_bytes());
        assert!(found.is_some_and(|found| found.zone == Zone::Open), "{left}");
    }
    for honest in [
        "/",
        "/rest",
        "/rest/x",
        "/REST/x%20y/J\u{fc}rgen",
        "/restful/x",
        "/browse/A;x=y",
        "/login/rest/x",
        "/x%2frest/x",
        "*",
    ] {
        assert!(disagreement(honest.as_bytes()).is_none(), "{honest}");
    }
}
