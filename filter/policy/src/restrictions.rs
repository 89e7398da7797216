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

mod alike;
pub mod explain;
pub mod grammar;
mod json;
mod pattern;
mod query;
#[cfg(test)]
mod tests;
mod work;

pub use grammar::{Restriction, SyntaxError, split};
pub use work::{STEPS_MAX, TARGET_LEN_MAX};

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use explain::{Finding, Part, Watch};
use grammar::{METHODS, Method, Subject, Suffix};
use json::{Fields, Wanted};
use pattern::Pattern;
use query::Parameters;
use work::{TooCostly, Work};

/// The restrictions of a token, compiled: at least one.
///
/// Its text ([`fmt::Display`]) gives an equal set when parsed again.
#[derive(Clone, Debug)]
pub struct Set {
    restrictions: Vec<Restriction>,
    wanted: Wanted,
    /// Bytes of what judgements have made so far.
    made: Cell<usize>,
}

impl Set {
    /// Reads restrictions that are to be saved. Each text may hold several, as [`split`] divides them (L6).
    ///
    /// `None`: there is none, so the token is unrestricted (L1); lines of white space say nothing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them, in the order of the text. Lines are counted from 1 through all the texts,
    /// blank ones too. If nothing else is wrong, that a proxy could not afford to judge by them (L11): then
    /// [`SyntaxError::too_costly`].
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Option<Self>, Vec<SyntaxError>> {
        let (numbers, set) = Self::read(texts, false)?;
        match set {
            Some(set) => match set.over_budget(&numbers) {
                Some(error) => Err(alloc::vec![error]),
                None => Ok(Some(set)),
            },
            None => Ok(None),
        }
    }

    /// Reads a set that was saved, perhaps by an earlier version: its regexes are not checked once more, and it may cost
    /// more than a judgement can pay for. `None`: the text holds no line, or one that cannot be read.
    pub fn saved(text: &str) -> Option<Self> {
        Self::read(&[text], true).ok()?.1
    }

    /// With the numbers of the lines.
    fn read(texts: &[impl AsRef<str>], saved: bool) -> Result<(Vec<usize>, Option<Self>), Vec<SyntaxError>> {
        let lines = lines_within_limits(texts).map_err(|error| alloc::vec![error])?;
        let (mut numbers, mut restrictions, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut memory: usize = 0;
        for (number, line) in lines {
            match Restriction::parse(line, number, saved) {
                Ok(restriction) => {
                    memory = memory.saturating_add(if saved { 0 } else { restriction.memory() });
                    numbers.push(number);
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
            (true, true) => Ok((numbers, None)),
            (false, true) => Ok((numbers, Some(Self::of(restrictions)))),
        }
    }

    /// Steps that one judgement takes at most, for the costliest method, a path and a query as long as they may be, and
    /// fields of a body that are as long: of [`STEPS_MAX`].
    pub fn worst(&self) -> usize {
        methods().map(|method| self.costs(method).map(|(_, sum)| sum).last().unwrap_or(0)).max().unwrap_or(0)
    }

    /// Whether a judgement may have too little to spend on all lines. Such a set could be saved once.
    pub fn is_too_costly(&self) -> bool {
        self.worst() > STEPS_MAX
    }

    /// For each line that concerns a method: its index, and the steps of all up to it.
    fn costs(&self, method: &str) -> impl Iterator<Item = (usize, usize)> {
        let concerned = self.restrictions.iter().enumerate().filter(move |(_, line)| line.allows(method.as_bytes()));
        concerned.scan(0usize, |sum, (index, line)| {
            *sum = sum.saturating_add(line.worst());
            Some((index, *sum))
        })
    }

    /// At which line it is more than a judgement can pay for, and why.
    fn over_budget(&self, numbers: &[usize]) -> Option<SyntaxError> {
        methods().find_map(|method| {
            let (index, sum) = self.costs(method).find(|(_, sum)| *sum > STEPS_MAX)?;
            let line = self.restrictions.get(index)?;
            let why = line.patterns().find_map(|pattern| pattern.not_ordinary());
            let why = why.map_or(Cow::Borrowed(""), |why| {
                format!(", since it has {why}: without that, a regex costs a small part of this").into()
            });
            let reason = format!(
                "judging would take a proxy too long: {sum} steps for a path of 2 kB by the lines up to this one, and \
                 {STEPS_MAX} are allowed; this line alone takes {}{why}",
                line.worst()
            );
            let line = numbers.get(index).copied().unwrap_or(1);
            Some(SyntaxError { line, column: 1, reason: reason.into(), too_costly: true })
        })
    }

    fn of(restrictions: Vec<Restriction>) -> Self {
        let mut wanted = Wanted::default();
        for suffix in restrictions.iter().flat_map(Restriction::suffixes) {
            if let Subject::JsonData(name) = &suffix.subject {
                wanted.add(name);
            }
        }
        Self { restrictions, wanted, made: Cell::new(0) }
    }

    /// The restrictions, in the order in which they were written.
    pub fn restrictions(&self) -> &[Restriction] {
        &self.restrictions
    }

    /// Bytes that the set takes now. They grow while the set judges.
    pub fn memory(&self) -> usize {
        let patterns = self.restrictions.iter().flat_map(Restriction::patterns);
        let unmade = patterns.map(Pattern::memory_unmade).fold(0, usize::saturating_add);
        unmade.saturating_add(self.made.get())
    }

    /// Bytes that it takes at most. To know, it compiles all lines.
    pub fn memory_at_most(&self) -> usize {
        self.restrictions.iter().map(Restriction::memory).fold(0, usize::saturating_add)
    }

    /// Bytes by which it has grown.
    pub fn made(&self) -> usize {
        self.made.get()
    }

    /// Whether a request may be made.
    ///
    /// `path` is the path as it is forwarded, with the context path, without query (L3); `query` is what follows the first
    /// `?`, or nothing. What costs little is looked at first: method, path, query, body.
    ///
    /// The query is read only if it counts: if it cannot be read, but some line holds whatever the query says, then it
    /// holds. If it counts, all of it must be readable. A parameter that we cannot read may be, to the backend, a second
    /// one of the name that is restricted.
    ///
    /// It takes at most [`STEPS_MAX`] steps. A line that cannot be paid for does not hold.
    pub fn judge(&self, method: &[u8], path: &[u8], query: &[u8], body: Body<'_>) -> Outcome {
        self.judge_counted(method, path, query, body).0
    }

    /// The same, with the steps that count against the token (L11): those of the general engine and of the body.
    pub fn judge_counted(&self, method: &[u8], path: &[u8], query: &[u8], body: Body<'_>) -> (Outcome, usize) {
        let mut work = Work::default();
        let outcome = self.judge_watched(method, path, query, body, &mut work, &mut ());
        self.made.set(self.made.get().saturating_add(work.made()));
        (outcome, work.counted())
    }

    /// The way of a judgement. Who watches it is told what came of each line, and has all lines looked at that could be.
    fn judge_watched<W: Watch>(
        &self,
        method: &[u8],
        path: &[u8],
        query: &[u8],
        body: Body<'_>,
        work: &mut Work,
        watch: &mut W,
    ) -> Outcome {
        if path.len() > TARGET_LEN_MAX {
            return Outcome::TooLong;
        }
        let path = core::str::from_utf8(path);
        let (mut open, mut holds) = (Vec::new(), false);
        for (index, line) in self.restrictions.iter().enumerate() {
            if !line.allows(method) {
                watch.found(index, || Finding::Fails(Part::Method));
                continue;
            }
            match path.map_or(Ok(false), |path| line.path.matches(path, work)) {
                Err(TooCostly) => watch.found(index, || Finding::TooCostly(Part::Path)),
                Ok(false) => watch.found(index, || Finding::Fails(Part::Path)),
                Ok(true) if line.suffixes().is_empty() => {
                    watch.found(index, || Finding::Holds);
                    if !W::WATCHES {
                        return Outcome::Holds;
                    }
                    holds = true;
                }
                Ok(true) => open.push((index, line)),
            }
        }
        if holds {
            return Outcome::Holds;
        }
        if open.iter().any(|(_, line)| line.looks_at_query()) {
            let parameters = if query.len() > TARGET_LEN_MAX {
                Err((Outcome::TooLong, Finding::TooLong as fn(Part) -> Finding))
            } else {
                Parameters::read(query).ok_or((Outcome::BadQuery, Finding::Unreadable as fn(Part) -> Finding))
            };
            let parameters = match parameters {
                Ok(parameters) => parameters,
                Err((outcome, finding)) => {
                    for (index, line) in open {
                        if let Some(part) = line.parts().find(|part| matches!(part, Part::QueryParam(_))) {
                            watch.found(index, || finding(part));
                        }
                    }
                    return outcome;
                }
            };
            open.retain(|(index, line)| {
                let failing = line.query_fails(&parameters, work);
                failing.map(|finding| watch.found(*index, || finding)).is_none()
            });
        }
        for (index, _) in open.iter().filter(|(_, line)| !line.looks_at_body()) {
            watch.found(*index, || Finding::Holds);
            holds = true;
        }
        match (holds, open.is_empty()) {
            (true, _) => return Outcome::Holds,
            (false, true) => return Outcome::NothingHolds,
            (false, false) => {}
        }
        let bytes = match body {
            Body::Bytes(bytes) => Some(bytes),
            Body::NotYet | Body::None | Body::Unreadable => None,
        };
        let fields = bytes.map(|bytes| self.wanted.read(bytes, work));
        let mut outcome = Outcome::NothingHolds;
        for (index, line) in open {
            let finding = match &fields {
                Some(fields) => line.body_finding(fields, work),
                None => {
                    let part = line.parts().find(|part| matches!(part, Part::JsonData(_))).unwrap_or(Part::Path);
                    if body == Body::NotYet { Finding::NeedsBody(part) } else { Finding::Unreadable(part) }
                }
            };
            outcome = outcome.or(match finding {
                Finding::Holds => Outcome::Holds,
                Finding::NeedsBody(_) => Outcome::NeedBody,
                Finding::Unreadable(_) | Finding::TooCostly(_) | Finding::TooLong(_) => Outcome::BodyUnreadable,
                Finding::Fails(_) | Finding::Spared => Outcome::NothingHolds,
            });
            watch.found(index, || finding);
            if outcome == Outcome::Holds && !W::WATCHES {
                break;
            }
        }
        outcome
    }

    /// What can be said of a request of which neither query nor body is known: for whoever looks at calls that were made
    /// (S9). What it says for certain, [`Self::judge`] says whatever query and body are.
    pub fn foresee(&self, method: &[u8], path: &[u8]) -> Foreseen {
        let Some(path) = core::str::from_utf8(path).ok().filter(|path| path.len() <= TARGET_LEN_MAX) else {
            return Foreseen::NothingHolds;
        };
        let (mut work, mut foreseen) = (Work::default(), Foreseen::NothingHolds);
        for restriction in &self.restrictions {
            if restriction.allows(method) && restriction.path.matches(path, &mut work) == Ok(true) {
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

/// All methods that a line can name, and one that none can.
fn methods() -> impl Iterator<Item = &'static str> {
    METHODS.into_iter().chain([""])
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
    /// The path is too long to be judged, or the query counts and is: 400 (L11).
    TooLong,
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

    /// What of the query does not hold.
    fn query_fails(&self, parameters: &Parameters<'_>, work: &mut Work) -> Option<Finding> {
        self.suffixes().iter().find_map(|Suffix { subject, pattern }| {
            let Subject::QueryParam(name) = subject else {
                return None;
            };
            let part = || Part::QueryParam(name.text.clone());
            let Some(mut values) = parameters.values(name) else {
                return Some(Finding::Fails(part()));
            };
            values.find_map(|value| match pattern.matches(value, work) {
                Ok(true) => None,
                Ok(false) => Some(Finding::Fails(part())),
                Err(TooCostly) => Some(Finding::TooCostly(part())),
            })
        })
    }

    /// A field that differs weighs more than one that cannot be read: with that one right, the line would still not hold.
    fn body_finding(&self, fields: &Fields<'_>, work: &mut Work) -> Finding {
        let mut finding = Finding::Holds;
        for Suffix { subject, pattern } in self.suffixes() {
            let Subject::JsonData(name) = subject else {
                continue;
            };
            let part = || Part::JsonData(name.clone());
            match fields.text(name).map(|value| pattern.matches(value, work)) {
                Some(Ok(true)) => {}
                Some(Ok(false)) => return Finding::Fails(part()),
                _ if finding != Finding::Holds => {}
                Some(Err(TooCostly)) => finding = Finding::TooCostly(part()),
                None => finding = Finding::Unreadable(part()),
            }
        }
        finding
    }

    /// Its suffixes, as an explanation names them.
    fn parts(&self) -> impl Iterator<Item = Part> {
        self.suffixes().iter().map(|Suffix { subject, .. }| match subject {
            Subject::QueryParam(name) => Part::QueryParam(name.text.clone()),
            Subject::JsonData(name) => Part::JsonData(name.clone()),
        })
    }

    /// All its regexes.
    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        [&self.path].into_iter().chain(self.suffixes().iter().map(|suffix| &suffix.pattern))
    }

    /// Steps that it takes at most.
    fn worst(&self) -> usize {
        self.patterns().map(Pattern::worst).fold(0, usize::saturating_add)
    }

    fn memory(&self) -> usize {
        self.patterns().map(Pattern::memory).fold(0, usize::saturating_add)
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
