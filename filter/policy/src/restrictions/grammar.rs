//! The grammar of a restriction (L2, L4, L6).
//!
//! ```text
//! text        = line { separator line } ;
//! separator   = LF | CR LF | "\n" | "\r\n" | "<br>" ;         (the third is two characters, the fourth four)
//! line        = blank | restriction ;
//! restriction = [ method ] regex { suffix } ;
//! method      = "[" ( "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" ) "]" ;
//! suffix      = ( "[QueryParam::" name | "[JsonData::" path ) "==" regex "]" ;
//! path        = name { "." name } ;                           (at most 8 names)
//! name        = one or more characters, without "==" ;        (in a path without "." too)
//! regex       = what regex-lite takes ;
//! ```
//!
//! Methods and `<br>` are read in any case, and `<br>` with a slash or a space before its end; the rest as it stands here.
//! White space around a line is not part of it.
//!
//! **Where something ends.** The regex of the path ends where the first suffix begins. A suffix ends at the first `]` that
//! is followed by another suffix or by the end of the line, whatever stands between: `[QueryParam::x==[0-9]+]` is what it
//! looks like. What precedes the first `==` is the name.
//!
//! **A leading `[`** begins a method if it is one, with its `]`; otherwise a character class.
//!
//! **Separators divide the text before anything else is read**, so two characters that are one within a regex, `\n`, are a
//! separator there too: write `\x0a` for a line feed, and `[\\]n` for a backslash before an n.
//!
//! Refused, although the grammar would take it, is what nobody can have meant: a second method, `[^get]`, white space
//! before or after the regex of the path, `==` or `::` in it, and `[queryparam` or `[JsonData` where no suffix begins. Each would be a character class
//! with which the line holds never, or where it should not.

use super::pattern::{Pattern, Problem};
use super::query::Name;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One restriction.
///
/// Its text ([`fmt::Display`]) gives an equal restriction when parsed again: the method in small letters, the rest as it
/// was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// `None`: every method.
    pub(super) method: Option<Method>,
    pub(super) path: Pattern,
    suffixes: Vec<Suffix>,
}

/// A method, as HTTP writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method(pub(super) &'static str);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suffix {
    pub(super) subject: Subject,
    pub(super) pattern: Pattern,
}

/// What a suffix looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A parameter of the query.
    QueryParam(Name),
    /// A field of the body, as names from the top level down, with dots between.
    JsonData(String),
}

impl Subject {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::QueryParam(name) => &name.text,
            Self::JsonData(name) => name,
        }
    }
}

/// What is wrong with a restriction, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1, through all texts given.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong, as a part of a sentence.
    pub reason: Cow<'static, str>,
    /// Whether nothing is wrong but that judging by it would take a proxy too long (L11).
    pub too_costly: bool,
}

impl SyntaxError {
    pub(super) fn of_line(line: usize, reason: &'static str) -> Self {
        Self { line, column: 1, reason: reason.into(), too_costly: false }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason, too_costly: _ } = self;
        write!(formatter, "line {line}, column {column}: {reason}")
    }
}

impl core::error::Error for SyntaxError {}

/// Divides a text into lines (L6), blank ones among them.
pub fn split(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut line, mut rest) = (text, text);
    while let Some(at) = rest.find(['\r', '\n', '\\', '<']) {
        let (_, from) = rest.split_at(at);
        let length = separator_len(from);
        rest = from.get(length.unwrap_or(1)..).unwrap_or_default();
        if length.is_some() {
            let end = line.len().saturating_sub(from.len());
            lines.push(line.get(..end).unwrap_or_default());
            line = rest;
        }
    }
    lines.push(line);
    lines
}

/// The bytes of the separator with which a text begins.
fn separator_len(text: &str) -> Option<usize> {
    let plain = ["\n", "\r\n", "\\n", "\\r\\n"].into_iter().find(|plain| text.starts_with(plain));
    plain.map(str::len).or_else(|| {
        let (name, after) = text.split_at_checked("<br".len())?;
        let end = after.trim_start_matches(' ');
        let end = end.strip_prefix('/').unwrap_or(end).strip_prefix('>')?;
        name.eq_ignore_ascii_case("<br").then(|| text.len().saturating_sub(end.len()))
    })
}

impl Restriction {
    /// Reads a line that is not blank and holds no separator. `saved`: its regexes were checked when it was saved.
    pub(super) fn parse(line: &str, number: usize, saved: bool) -> Result<Self, Vec<SyntaxError>> {
        let mut reader = Reader { line, number, saved, errors: Vec::new() };
        let restriction = reader.restriction();
        match restriction {
            Some(restriction) if reader.errors.is_empty() => Ok(restriction),
            _ => Err(reader.errors),
        }
    }

    pub(super) fn suffixes(&self) -> &[Suffix] {
        &self.suffixes
    }
}

impl fmt::Display for Restriction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, suffixes } = self;
        if let Some(Method(name)) = method {
            write!(formatter, "[{}]", name.to_ascii_lowercase())?;
        }
        formatter.write_str(path.text())?;
        for Suffix { subject, pattern } in suffixes {
            let mark = match subject {
                Subject::QueryParam(_) => QUERY_PARAM,
                Subject::JsonData(_) => JSON_DATA,
            };
            write!(formatter, "{mark}{}=={}]", subject.name(), pattern.text())?;
        }
        Ok(())
    }
}

/// A line being read. Every part of it is a slice of `line`, by which it is known where it stands.
struct Reader<'a> {
    line: &'a str,
    number: usize,
    saved: bool,
    errors: Vec<SyntaxError>,
}

impl<'a> Reader<'a> {
    /// `None`: something is among the errors.
    fn restriction(&mut self) -> Option<Restriction> {
        let line = self.line.trim();
        if line.len() > LINE_LEN_MAX {
            return self.refuse(line, "the line is longer than 4 kB");
        }
        if let Some(at) = line.find(char::is_control) {
            let (_, from) = line.split_at(at);
            return self.refuse(from, "a control character; write it as \\t or \\x{…}");
        }
        let (method, rest) = method(line);
        let (path, suffixes) = rest.split_at(mark(rest).map_or(rest.len(), |(at, _)| at));
        let path = self.path(path, method);
        let suffixes = self.suffixes(suffixes);
        Some(Restriction { method, path: path?, suffixes: suffixes? })
    }

    fn path(&mut self, text: &'a str, method: Option<Method>) -> Option<Pattern> {
        if text.is_empty() {
            return self.refuse(text, "there is no regex for the path; write .* for every path");
        }
        if text.trim_start() != text {
            return self.refuse(text, "no path begins with white space");
        }
        if text.trim_end() != text {
            let (_, space) = text.split_at(text.trim_end().len());
            return self.refuse(space, "no path ends with white space");
        }
        if let (Some(_), (Some(_), _)) = (method, self::method(text)) {
            return self.refuse(text, "a second method; write a line for each");
        }
        if let Some(name) = text.strip_prefix("[^").and_then(|rest| rest.split_once(']')).map(|(name, _)| name)
            && METHODS.iter().any(|known| known.eq_ignore_ascii_case(name))
        {
            return self.refuse(text, "a method cannot be excluded; write a line for each method that is allowed");
        }
        self.no_mark_within(text)?;
        if let Some(at) = ["::", "=="].into_iter().filter_map(|mark| text.find(mark)).min() {
            let (_, from) = text.split_at(at);
            let reason = "this looks like a suffix, which is written [QueryParam::NAME==REGEX] or \
                          [JsonData::NAME==REGEX]; if it is meant, write ={2} or :{2}";
            return self.refuse(from, reason);
        }
        self.pattern(text)
    }

    /// Reads on after an error, since what is wrong with the next suffix is worth knowing too.
    fn suffixes(&mut self, text: &'a str) -> Option<Vec<Suffix>> {
        let mut suffixes = Some(Vec::new());
        let mut rest = text;
        while let Some((0, mark)) = self::mark(rest) {
            let (suffix, after) = match suffix_len(rest) {
                Some(length) => rest.split_at(length),
                None => return self.refuse(rest, "the line does not end with the ] of this suffix"),
            };
            match (self.suffix(suffix, mark), &mut suffixes) {
                (Some(suffix), Some(suffixes)) => suffixes.push(suffix),
                _ => suffixes = None,
            }
            rest = after;
        }
        suffixes
    }

    fn suffix(&mut self, text: &'a str, mark: &str) -> Option<Suffix> {
        let inner = text.strip_prefix(mark).and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        let Some((name, regex)) = inner.split_once("==") else {
            return self.refuse(text, "there is no == between name and regex");
        };
        let subject = self.subject(name, mark);
        let pattern = self.pattern(regex);
        Some(Suffix { subject: subject?, pattern: pattern? })
    }

    fn subject(&mut self, name: &'a str, mark: &str) -> Option<Subject> {
        if name.is_empty() {
            return self.refuse(name, "there is no name before ==");
        }
        if name.trim() != name {
            return self.refuse(name, "white space around the name");
        }
        self.no_mark_within(name)?;
        if mark == QUERY_PARAM {
            return Some(Subject::QueryParam(Name::new(name)));
        }
        if let Some(empty) = name.split('.').find(|part| part.is_empty()) {
            return self.refuse(empty, "there is no name before or after the dot");
        }
        if let Some(deep) = name.split('.').nth(FIELD_DEPTH_MAX) {
            return self.refuse(deep, "the field is more than 8 levels deep");
        }
        Some(Subject::JsonData(name.into()))
    }

    fn pattern(&mut self, text: &'a str) -> Option<Pattern> {
        self.no_mark_within(text)?;
        if self.saved {
            return Some(Pattern::saved(text));
        }
        Pattern::new(text)
            .map_err(|Problem { at, reason }| {
                let (_, from) = text.split_at_checked(at).unwrap_or(("", text));
                self.error(from, reason)
            })
            .ok()
    }

    /// A suffix that is misspelt, or in the midst of something, would be a character class there.
    fn no_mark_within(&mut self, text: &'a str) -> Option<()> {
        for (at, _) in text.match_indices('[') {
            let (_, from) = text.split_at(at);
            let is = |name: &str| {
                from.get(1..)
                    .and_then(|rest| rest.get(..name.len()))
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            if is("QueryParam") || is("JsonData") {
                let reason =
                    "no suffix can begin here; one is written [QueryParam::NAME==REGEX] or [JsonData::NAME==REGEX]";
                return self.refuse(from, reason);
            }
        }
        Some(())
    }

    fn refuse<T>(&mut self, part: &str, reason: &'static str) -> Option<T> {
        self.error(part, reason.into());
        None
    }

    /// `part` is the slice of the line that is at fault, from its beginning.
    fn error(&mut self, part: &str, reason: Cow<'static, str>) {
        let offset = part.as_ptr().addr().saturating_sub(self.line.as_ptr().addr());
        let before = self.line.get(..offset).unwrap_or_default();
        let column = before.chars().count().saturating_add(1);
        self.errors.push(SyntaxError { line: self.number, column, reason, too_costly: false });
    }
}

/// The method with which a line begins, and the rest.
fn method(line: &str) -> (Option<Method>, &str) {
    let bracket = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let method = bracket.and_then(|(name, rest)| {
        let known = METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
        Some((Some(Method(known)), rest))
    });
    method.unwrap_or((None, line))
}

/// Where the first suffix begins, and with which of the marks.
fn mark(text: &str) -> Option<(usize, &'static str)> {
    [QUERY_PARAM, JSON_DATA].into_iter().filter_map(|mark| Some((text.find(mark)?, mark))).min()
}

/// The bytes of the suffix with which a text begins.
fn suffix_len(text: &str) -> Option<usize> {
    let mut ends = text.match_indices(']').map(|(at, end)| at.saturating_add(end.len()));
    ends.find(|end| {
        text.get(*end..)
            .is_some_and(|rest| rest.is_empty() || [QUERY_PARAM, JSON_DATA].iter().any(|mark| rest.starts_with(mark)))
    })
}

const QUERY_PARAM: &str = "[QueryParam::";
const JSON_DATA: &str = "[JsonData::";

/// Those of RFC 9110 and RFC 5789.
pub(super) const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Bytes of a line: more than a person reads as one, and what a regex may grow to is reckoned from it.
const LINE_LEN_MAX: usize = 4 * 1024;

/// Names of a path into a body: real ones have three or four, and the body is read once more for each.
pub(super) const FIELD_DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::Set;
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::ToString as _;
    use std::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn parsed(text: &str) -> Result<Option<Set>, Vec<SyntaxError>> {
        Set::parse(&[text])
    }

    fn only(text: &str) -> Restriction {
        parsed(text).unwrap().unwrap().restrictions()[0].clone()
    }

    /// Subject and regex of each suffix.
    fn suffixes(line: &str) -> Vec<(String, String)> {
        let suffixes = only(line).suffixes.into_iter();
        suffixes.map(|Suffix { subject, pattern }| (subject.name().into(), pattern.text().into())).collect()
    }

    /// Places of all errors, as line and column.
    fn places(text: &str) -> Vec<(usize, usize)> {
        parsed(text).unwrap_err().iter().map(|error| (error.line, error.column)).collect()
    }

    #[test]
    fn l2_brackets_are_a_method_only_if_they_hold_one() {
        for (line, method, path) in [
            ("[get].*", Some("GET"), ".*"),
            ("[Patch]/a", Some("PATCH"), "/a"),
            ("[A-Z]+.*", None, "[A-Z]+.*"),
            ("[gett].*", None, "[gett].*"),
            ("[get]?.*", Some("GET"), "?.*"), // and so no regex
            ("[get /]x", None, "[get /]x"),
            ("[^get].*", None, "[^get].*"),
            ("[].get]x", None, "[].get]x"),
            ("(?:[get])x", None, "(?:[get])x"),
        ] {
            let (found, rest) = super::method(line);
            assert_eq!((found.map(|Method(name)| name), rest), (method, path), "{line}");
        }
        for method in METHODS {
            assert_eq!(only(&format!("[{}].*", method.to_lowercase())).method, Some(Method(method)));
        }
        assert_eq!(places("[get]?.*"), [(1, 6)]);
    }

    #[test]
    fn l4_a_suffix_ends_where_another_begins_or_the_line_ends() {
        let pair = |name: &str, regex: &str| (String::from(name), String::from(regex));
        assert_eq!(suffixes(".*[QueryParam::x==[0-9]+]"), [pair("x", "[0-9]+")]);
        assert_eq!(suffixes(".*[QueryParam::x==[0-9]]"), [pair("x", "[0-9]")]);
        assert_eq!(suffixes(".*[QueryParam::x==[]]]"), [pair("x", "[]]")]);
        assert_eq!(suffixes(".*[QueryParam::x==]"), [pair("x", "")]);
        assert_eq!(suffixes(".*[QueryParam::x==a==b]"), [pair("x", "a==b")]);
        assert_eq!(suffixes(".*[QueryParam::x===]"), [pair("x", "=")]);
        assert_eq!(suffixes(".*[QueryParam::ids[]==[1-5]]"), [pair("ids[]", "[1-5]")]);
        assert_eq!(
            suffixes("/a[QueryParam::x==[a-z][0-9]][JsonData::f.g==[^]]][QueryParam::x==.]"),
            [pair("x", "[a-z][0-9]"), pair("f.g", "[^]]"), pair("x", ".")]
        );
        assert_eq!(only("[get]/[ab][QueryParam::x==y]").path.text(), "/[ab]");
    }

    #[test]
    fn l6_lines_are_divided_in_three_ways() {
        assert_eq!(split("a\nb\r\nc\\nd\\r\\ne<br>f<br/>g<BR />h"), ["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("\n"), ["", ""]);
        for whole in ["a\\", "a\\tn", "a\\r", "<b", "<br", "<brx>", "<br//>", "br>", "\\N", "é<é\\é"] {
            assert_eq!(split(whole), [whole]);
        }
        let set = Set::parse(&["/a<br>\n  \n\t/b  ", "", "[get]/c\\n/d"]).unwrap().unwrap();
        assert_eq!(set.to_string(), "/a\n/b\n[get]/c\n/d");
        // A backslash before an n is a separator even where it is written for a regex; and then no regex is left.
        assert_eq!(places("/a\\\\nb"), [(1, 3)]);
    }

    #[test]
    fn l1_no_line_is_no_restriction() {
        assert_eq!(Set::parse(&[""; 0]), Ok(None));
        assert_eq!(parsed(" \r\n<br>\\n\u{a0}"), Ok(None));
    }

    #[test]
    fn l7_errors_say_where() {
        for (text, expected) in [
            ("/a(b", (1, 3)),
            ("é(b", (1, 2)),
            ("  /a)b", (1, 5)),
            ("/a[b", (1, 3)),
            ("[get]*", (1, 6)),
            ("/(a)(b)(?=c)d", (1, 8)),
            ("/(a)(?<!b)", (1, 5)),
            ("/x(?!b)", (1, 3)),
            ("/x(?<=b)", (1, 3)),
            (r"/(a)\1x", (1, 5)),
            (r"/x\p{Lu}y", (1, 3)),
            (r"/x[\p{Lu}]y", (1, 4)),
            (r"/x\", (1, 3)),
            ("/x{2", (1, 4)),
            ("/x[z-a]", (1, 6)),
            ("/x[a&&b]", (1, 6)),
            ("/x(?P<n>a)(?P<n>b)", (1, 16)),
            (r"/x\Qy", (1, 3)),
            ("[get]", (1, 6)),
            ("[get] /x", (1, 6)),
            ("[get][post]/x", (1, 6)),
            ("/x [QueryParam::a==b]", (1, 3)),
            ("[QueryParam::a==b]", (1, 1)),
            ("/x[QueryParam::a==b]y", (1, 3)),
            ("/x[QueryParam::a==b", (1, 3)),
            ("/x[QueryParam::a=b]", (1, 3)),
            ("/x[QueryParam::==b]", (1, 16)),
            ("/x[QueryParam:: a==b]", (1, 16)),
            ("/x[QueryParam::a==(b]", (1, 19)),
            ("/x[queryparam::a==b]", (1, 3)),
            ("/x[QueryParam:a==b]", (1, 3)),
            ("/x[QueryParam::a==b] [JsonData::c==d]", (1, 22)),
            ("/x[QueryParam::a==[JSONDATA::c==d]]", (1, 19)),
            (r"/x\[QueryParam::a==b]", (1, 3)),
            ("/x[JsonData::a..b==c]", (1, 16)),
            ("/x[JsonData::.a==c]", (1, 14)),
            ("/x[JsonData::a.==c]", (1, 16)),
            ("/x[JsonData::a.b.c.d.e.f.g.h.i==c]", (1, 30)),
            ("/x\u{0}y", (1, 3)),
            ("/x\ty", (1, 3)),
            ("/x{100000}", (1, 1)),
            ("/a\n\n<br>/b(", (4, 3)),
        ] {
            assert_eq!(places(text), [expected], "{text:?}: {:?}", parsed(text));
        }
    }

    #[test]
    fn l7_all_errors_of_all_lines_are_given() {
        let text = "/a(\n/fine\n/b)[QueryParam::x==[][JsonData::.==(]\n[QueryParam::y==*]";
        assert_eq!(places(text), [(1, 3), (3, 3), (3, 20), (3, 33), (3, 36), (4, 1), (4, 17)]);
        assert_eq!(Set::parse(&["/a", "/b(", "/c", "/d["]).unwrap_err().len(), 2);
        let error = parsed("/x(?=y)").unwrap_err().remove(0);
        assert!(error.to_string().starts_with("line 1, column 3: not a regex that can be used here: "), "{error}");
    }

    #[test]
    fn l8_lines_and_sets_have_limits() {
        assert!(Set::parse(&vec!["/x"; 1_000]).is_ok());
        assert_eq!(Set::parse(&vec!["/x"; 1_001]).unwrap_err()[0].line, 1_001);
        assert!(parsed(&"x".repeat(LINE_LEN_MAX)).is_ok());
        assert_eq!(places(&"x".repeat(LINE_LEN_MAX + 1)), [(1, 1)]);
        assert!(Set::parse(&vec!["x".repeat(LINE_LEN_MAX - 1); 16]).is_ok());
        assert_eq!(Set::parse(&vec!["x".repeat(LINE_LEN_MAX); 16]).unwrap_err()[0].line, 16);
        assert_eq!(parsed(&" \n".repeat(1_000_000)).unwrap_err().len(), 1);
        // A thousand lines as long as a set may hold.
        let line = format!("[get].*/rest/api/2/issue/[A-Z]+-[0-9]+/{}.*", "c".repeat(22));
        assert!(Set::parse(&vec![line; 1_000]).is_ok());
    }

    /// Lines that mostly parse.
    fn line() -> impl Strategy<Value = String> {
        let regex = r"([a-z/.]|\[[a-z]-?\]|\\[.\[\]=]|\([a-z|]{0,3}\)|[a-z][*+?]|=|==|\[[a-z]\]\{2\}){1,8}";
        let suffix =
            format!(r"\[(QueryParam::[a-zé.=\[\]]{{1,5}}|JsonData::[a-z]{{1,3}}(\.[a-z]{{1,2}}){{0,2}})==({regex})?\]");
        proptest::string::string_regex(&format!(r"(\[(get|POST|Put)\])?{regex}({suffix}){{0,3}}")).unwrap()
    }

    #[test]
    fn l7_what_looks_like_a_restriction_and_is_none_is_refused() {
        for line in [
            "[^delete]/rest/.*",
            "[^GET].*",
            ".*[ JsonData::editable==false]",
            ".*[Query::permissions==true]",
            ".*(JsonData::x==1)?",
            "/rest/a==b",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        for line in ["[^a]rest/.*", "/rest/a={2}b", "/rest/a:{2}b"] {
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = parsed(&text);
        }

        #[test]
        fn no_text_of_the_right_letters_panics_or_is_shown_as_another(
            text in r"(\[|\]|==|\[QueryParam::|\[JsonData::|\[get\]|<br>|\\n|\\|[-a-f.*+?(){}|^$#é ,=0-9<>/:P]){0,24}"
        ) {
            if let Ok(Some(set)) = parsed(&text) {
                prop_assert_eq!(parsed(&set.to_string()), Ok(Some(set.clone())), "{}", set);
            }
        }

        #[test]
        fn a_set_as_shown_is_the_same_set(lines in proptest::collection::vec(line(), 1..4)) {
            if let Ok(Some(set)) = Set::parse(&lines) {
                prop_assert_eq!(parsed(&set.to_string()), Ok(Some(set.clone())), "{}", set);
                let texts: Vec<String> = set.restrictions().iter().map(|line| line.to_string()).collect();
                prop_assert_eq!(Set::parse(&texts), Ok(Some(set)));
            }
        }

        #[test]
        fn places_of_errors_are_within_the_line(text in r"[ é()\[\]*a\\{},]{0,20}") {
            for error in parsed(&text).err().into_iter().flatten() {
                prop_assert_eq!(error.line, 1);
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{error}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]

        #[test]
        fn many_generated_lines_parse(lines in proptest::collection::vec(line(), 64)) {
            let good = lines.iter().filter(|line| parsed(line).is_ok()).count();
            prop_assert!(good > 16, "{good}");
        }
    }
}
