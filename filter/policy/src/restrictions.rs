//! What a restricted token may be used for (L1 to L8): lines that say which requests it may make.
//!
//! A line names a method, a regex for the path, and any number of regexes for query parameters and for fields of a JSON
//! body; its grammar stands in [`grammar`]. Lines are alternatives, and within a line everything must hold (L1).
//!
//! ```
//! use policy::restrictions::{Body, Outcome, Set};
//!
//! let set = Set::parse(&["[get].*/rest/api/2/project.*", "[put].*/rest/api/2/filter[JsonData::editable==false]"]);
//! let set = set.expect("valid").expect("not empty");
//! assert_eq!(set.judge(b"GET", b"/rest/api/2/project/JRA", b"", Body::NotYet), Outcome::Holds);
//! assert_eq!(set.judge(b"POST", b"/rest/api/2/project/JRA", b"", Body::NotYet), Outcome::NothingHolds);
//! assert_eq!(set.judge(b"PUT", b"/rest/api/2/filter", b"", Body::NotYet), Outcome::NeedBody);
//! let body = Body::Bytes(br#"{"editable": false}"#);
//! assert_eq!(set.judge(b"PUT", b"/rest/api/2/filter", b"", body), Outcome::Holds);
//! ```
//!
//! What is compared is text, always the **whole** value (L3), by a regex of `regex-lite`: characters are Unicode's, but
//! `\w`, `\d`, `\s` and `(?i)` know ASCII alone, and `.` is any character but a line feed. There is no look-around, no
//! back-reference and no `\p{…}`; in exchange the time of a match grows with the length of the value and not faster (L8).
//!
//! Deliberately without: a fragment, a host, headers (what a client may choose freely must not satisfy a restriction), and
//! fields of bodies that are not JSON. A restriction of the query says nothing of a form in the body, which some backends
//! mix into one list with it.

pub mod explain;
pub mod grammar;
mod json;
mod pattern;
mod query;
#[cfg(test)]
mod tests;

pub use grammar::{Restriction, SyntaxError, split};

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use grammar::{Method, Subject, Suffix};
use json::{Fields, Wanted};
use pattern::Work;
use query::Parameters;

/// The restrictions of a token, compiled: at least one.
///
/// Its text ([`fmt::Display`]) gives an equal set when parsed again.
#[derive(Clone, Debug)]
pub struct Set {
    restrictions: Vec<Restriction>,
    wanted: Wanted,
}

impl Set {
    /// Reads restrictions. Each text may hold several, as [`split`] divides them (L6).
    ///
    /// `None`: there is none, so the token is unrestricted (L1); lines of white space say nothing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them, in the order of the text. Lines are counted from 1 through all the texts,
    /// blank ones too.
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Option<Self>, Vec<SyntaxError>> {
        let lines = lines_within_limits(texts).map_err(|error| alloc::vec![error])?;
        let (mut restrictions, mut errors) = (Vec::new(), Vec::new());
        let mut memory: usize = 0;
        for (number, line) in lines {
            match Restriction::parse(line, number) {
                Ok(restriction) => {
                    memory = memory.saturating_add(restriction.memory());
                    restrictions.push(restriction);
                }
                Err(found) => errors.extend(found),
            }
            if memory > MEMORY_MAX {
                errors.push(SyntaxError::of_line(number, TOO_MUCH_MEMORY));
                break; // what follows would cost as much to compile, and could not be kept
            }
        }
        match (restrictions.is_empty(), errors.is_empty()) {
            (_, false) => Err(errors),
            (true, true) => Ok(None),
            (false, true) => Ok(Some(Self::of(restrictions))),
        }
    }

    fn of(restrictions: Vec<Restriction>) -> Self {
        let mut wanted = Wanted::default();
        for suffix in restrictions.iter().flat_map(Restriction::suffixes) {
            if let Subject::JsonData(name) = &suffix.subject {
                wanted.add(name);
            }
        }
        Self { restrictions, wanted }
    }

    /// The restrictions, in the order in which they were written.
    pub fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    /// Bytes that the set takes at most, once it has judged: for whoever keeps sets, and must forget some.
    pub fn memory(&self) -> usize {
        self.restrictions.iter().map(Restriction::memory).fold(0, usize::saturating_add)
    }

    /// Whether a request may be made.
    ///
    /// `path` is the path as it is forwarded, with the context path, without query (L3); `query` is what follows the first
    /// `?`, or nothing. What costs little is looked at first: method, path, query, body.
    ///
    /// The query is read only if it counts: if it cannot be read, but some line holds whatever the query says, then it
    /// holds. If it counts, all of it must be readable. A parameter that we cannot read may be, to the backend, a second
    /// one of the name that is restricted.
    pub fn judge(&self, method: &[u8], path: &[u8], query: &[u8], body: Body<'_>) -> Outcome {
        let mut work = Work::default();
        let Ok(path) = core::str::from_utf8(path) else {
            return Outcome::NothingHolds;
        };
        let mut open = Vec::new();
        for restriction in &self.restrictions {
            if restriction.allows(method) && restriction.path.matches(path, &mut work) {
                if restriction.suffixes().is_empty() {
                    return Outcome::Holds;
                }
                open.push(restriction);
            }
        }
        if open.iter().any(|restriction| restriction.looks_at_query()) {
            let Some(parameters) = Parameters::read(query) else {
                return Outcome::BadQuery;
            };
            open.retain(|restriction| restriction.query_holds(&parameters, &mut work));
        }
        if open.is_empty() {
            return Outcome::NothingHolds;
        }
        if open.iter().any(|restriction| !restriction.looks_at_body()) {
            return Outcome::Holds;
        }
        let bytes = match body {
            Body::NotYet => return Outcome::NeedBody,
            Body::None | Body::Unreadable => return Outcome::BodyUnreadable,
            Body::Bytes(bytes) => bytes,
        };
        let fields = self.wanted.read(bytes);
        open.iter()
            .map(|restriction| restriction.body_holds(&fields, &mut work))
            .fold(Outcome::NothingHolds, Outcome::or)
    }
}

impl Set {
    /// What can be said of a request of which neither query nor body is known: for whoever looks at calls that were made
    /// (S9). What it says for certain, [`Self::judge`] says whatever query and body are.
    pub fn foresee(&self, method: &[u8], path: &[u8]) -> Foreseen {
        let Ok(path) = core::str::from_utf8(path) else {
            return Foreseen::NothingHolds;
        };
        let (mut work, mut foreseen) = (Work::default(), Foreseen::NothingHolds);
        for restriction in &self.restrictions {
            if restriction.allows(method) && restriction.path.matches(path, &mut work) {
                if restriction.suffixes().is_empty() {
                    return Foreseen::Holds;
                }
                let (query, body) = match foreseen {
                    Foreseen::DependsOn { query, body } => (query, body),
                    Foreseen::Holds | Foreseen::NothingHolds => (false, false),
                };
                foreseen = Foreseen::DependsOn {
                    query: query || restriction.looks_at_query(),
                    body: body || restriction.looks_at_body(),
                };
            }
        }
        foreseen
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.restrictions == other.restrictions
    }
}

impl Eq for Set {}

impl fmt::Display for Set {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, restriction) in self.restrictions.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            formatter.write_str(&restriction.to_string())?;
        }
        Ok(())
    }
}

/// What is known of the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It has not come yet.
    NotYet,
    /// There is none, so no field of it.
    None,
    /// It cannot be read as it is: compressed, for instance.
    Unreadable,
    /// The whole of it.
    Bytes(&'a [u8]),
}

/// What a set says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may be made.
    Holds,
    /// It may be made if the body says so: ask again with the body. Never the answer to [`Body::None`] and the like.
    NeedBody,
    /// It may not: 403 `restricted`.
    NothingHolds,
    /// The query counts, and cannot be read: 400 (L4).
    BadQuery,
    /// Some line would hold but for a field that cannot be read, and no other does: 403 `body_unreadable` (L5).
    BodyUnreadable,
}

/// What a set says of a request before anybody has seen its query and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// It may be made, whatever they are.
    Holds,
    /// It may not, whatever they are.
    NothingHolds,
    /// That depends on one of them, or on both.
    DependsOn {
        /// Some line that may hold looks at the query.
        query: bool,
        /// Some line that may hold looks at the body.
        body: bool,
    },
}

impl Outcome {
    /// What two lines say together, once the body is there.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Holds, _) | (_, Self::Holds) => Self::Holds,
            (Self::NothingHolds, _) => other,
            _ => self,
        }
    }
}

impl Restriction {
    /// By the method as it was sent: `get` is not GET.
    fn allows(&self, method: &[u8]) -> bool {
        self.method.is_none_or(|Method(name)| name.as_bytes() == method)
    }

    fn looks_at_query(&self) -> bool {
        self.suffixes().iter().any(|suffix| matches!(suffix.subject, Subject::QueryParam(_)))
    }

    fn looks_at_body(&self) -> bool {
        self.suffixes().iter().any(|suffix| matches!(suffix.subject, Subject::JsonData(_)))
    }

    fn query_holds(&self, parameters: &Parameters<'_>, work: &mut Work) -> bool {
        self.suffixes().iter().all(|Suffix { subject, pattern }| match subject {
            Subject::QueryParam(name) => parameters.all(name, |value| pattern.matches(value, work)),
            Subject::JsonData(_) => true,
        })
    }

    /// A field that differs weighs more than one that cannot be read: with that one right, the line would still not hold.
    fn body_holds(&self, fields: &Fields<'_>, work: &mut Work) -> Outcome {
        let mut outcome = Outcome::Holds;
        for Suffix { subject, pattern } in self.suffixes() {
            let Subject::JsonData(name) = subject else {
                continue;
            };
            match fields.text(name) {
                Some(value) if pattern.matches(value, work) => {}
                Some(_) => return Outcome::NothingHolds,
                None => outcome = Outcome::BodyUnreadable,
            }
        }
        outcome
    }

    fn memory(&self) -> usize {
        let suffixes = self.suffixes().iter().map(|suffix| suffix.pattern.memory());
        suffixes.fold(self.path.memory(), usize::saturating_add)
    }
}

/// Lines that say something, with their numbers.
fn lines_within_limits(texts: &[impl AsRef<str>]) -> Result<Vec<(usize, &str)>, SyntaxError> {
    let mut lines = Vec::new();
    let mut size: usize = 0;
    let all = texts.iter().flat_map(|text| split(text.as_ref()));
    for (number, line) in (1..).zip(all) {
        size = size.saturating_add(line.len()).saturating_add(1);
        if size > SET_LEN_MAX {
            return Err(SyntaxError::of_line(number, "the restrictions are more than 64 kB in all"));
        }
        if line.trim().is_empty() {
            continue;
        }
        if lines.len() >= LINES_MAX {
            return Err(SyntaxError::of_line(number, "there are more than 1,000 restrictions"));
        }
        lines.push((number, line));
    }
    Ok(lines)
}

/// Restrictions of a token: whoever needs more wants an application's rights, not a token's, and each is a regex that every
/// request of the token may have to be held against.
const LINES_MAX: usize = 1_000;

/// Bytes of all lines of a token, each with its separator: a set travels to every proxy, stays in its memory, and is
/// compiled by the worker that first needs it.
const SET_LEN_MAX: usize = 64 * 1024;

/// Bytes of a whole set once it has judged, by [`Set::memory`]: what 64 kB of ordinary regexes come to (some 10 MB), and
/// not what they come to when they count (`.{999}`). Reckoned with 64-bit words; in Wasm it is half.
const MEMORY_MAX: usize = 16 * 1024 * 1024;

const TOO_MUCH_MEMORY: &str =
    "the restrictions up to here are too large once compiled: write less counted repetition ({m,n}) and fewer groups";
