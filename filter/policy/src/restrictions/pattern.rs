//! A regex that holds for whole values (L3), bounded in memory and in time (L8, L11).
//!
//! **Two engines.** Ordinary regexes are matched by [`ordinary`], at a price that grows with the value alone. All others are
//! left to the general engine, `regex-lite`, which takes for each character as many steps as the regex has states. Both say
//! the same; what is saved must be a regex to `regex-lite` in any case.
//!
//! **Whole values.** A regex `P` becomes `\A(?:P)\z` for the general engine. That means "all of it" only for a `P` that is a
//! regex by itself: `a)|(b` is none, and would come out as `\A(?:a)|(b)\z`. So `P` is compiled alone first, which refuses
//! it, and what it complains of is said of the text as it was written. The one other thing that could reach out of the
//! brackets is a comment at the end (`(?x)a#`), which would swallow them; then `)\z` stands on a line of its own.
//!
//! **Memory.** The general engine is told how large a regex may become. For what it keeps while it searches it has no limit:
//! two tables with a row for each state and two places for each group. That is why groups count in [`Pattern::memory`].
//!
//! **Time.** Each judgement has so many steps to spend ([`Work`]), and what cannot be paid for does not match. The price of a
//! match is reckoned from the text of the regex and the length of the value alone, since explaining a verdict on another
//! machine must come to the same (principle 7). What is saved is priced before ([`Pattern::worst`]), so that nobody keeps a
//! set which cannot be paid for.

mod ordinary;

use super::work::{TARGET_LEN_MAX, TooCostly, Work};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::iter::Peekable;
use core::str::CharIndices;
use ordinary::{NotOrdinary, Ordinary};
use regex_lite::{Error, Regex, RegexBuilder};

/// A regex, and how it was written.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    /// Made when it is first needed: for the general engine that takes as long as some requests.
    engine: OnceCell<Engine>,
}

#[derive(Clone, Debug)]
enum Engine {
    Ordinary(Ordinary),
    General(Box<General>),
}

/// A regex for the general engine.
#[derive(Clone, Debug)]
struct General {
    /// `None`: it is too large, or no regex; then it holds for nothing.
    whole: Option<Regex>,
    /// States and bytes that it has at most.
    states: usize,
    bytes: usize,
    why: NotOrdinary,
}

/// What is wrong with a regex, and at which byte.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: usize,
    pub(super) reason: Cow<'static, str>,
}

impl Pattern {
    /// Checks a regex that is to be saved.
    pub(super) fn new(text: &str) -> Result<Self, Problem> {
        build(text, NESTING_MAX, SIZE_MAX).map_err(|error| problem(text, &error))?;
        let pattern = Self::saved(text);
        match pattern.engine() {
            Engine::General(general) if general.whole.is_none() => Err(Problem { at: 0, reason: TOO_LARGE.into() }),
            Engine::General(_) | Engine::Ordinary(_) => Ok(pattern),
        }
    }

    /// A regex that was checked when it was saved.
    pub(super) fn saved(text: &str) -> Self {
        Self { text: text.into(), engine: OnceCell::new() }
    }

    /// The regex as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for all of a value.
    pub(super) fn matches(&self, value: &str, work: &mut Work) -> Result<bool, TooCostly> {
        work.pay(0)?; // nothing is made that cannot be paid for
        let engine = self.engine.get_or_init(|| {
            let engine = Engine::new(&self.text);
            work.note_made(engine.memory(&self.text));
            engine
        });
        match engine {
            Engine::Ordinary(ordinary) => {
                work.pay(engine.price(value.len()))?;
                Ok(ordinary.matches(value))
            }
            Engine::General(general) => {
                work.pay_counted(engine.price(value.len()))?;
                Ok(general.whole.as_ref().is_some_and(|whole| whole.is_match(value)))
            }
        }
    }

    /// Steps that a match takes at most, of a value that is as long as a path may be.
    pub(super) fn worst(&self) -> usize {
        self.engine().price(TARGET_LEN_MAX)
    }

    /// Why the general engine is needed, if it is.
    pub(super) fn not_ordinary(&self) -> Option<&'static str> {
        match self.engine() {
            Engine::Ordinary(_) => None,
            Engine::General(general) => Some(general.why.0),
        }
    }

    /// Bytes that it takes at most, once it has matched.
    pub(super) fn memory(&self) -> usize {
        self.memory_unmade().saturating_add(self.engine().memory(&self.text))
    }

    /// Bytes that it takes before.
    pub(super) fn memory_unmade(&self) -> usize {
        self.text.len().saturating_add(size_of::<Self>())
    }

    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| Engine::new(&self.text))
    }
}

impl Engine {
    fn new(text: &str) -> Self {
        match Ordinary::new(text) {
            Ok(ordinary) => Self::Ordinary(ordinary),
            Err(why) => Self::General(Box::new(General::new(text, why))),
        }
    }

    /// Steps of a match. Making the engine is part of them, whether it is made already or not: the same facts, the same
    /// verdict.
    fn price(&self, length: usize) -> usize {
        let (a_character, making) = match self {
            Self::Ordinary(ordinary) => (ordinary.steps(), ordinary.making()),
            Self::General(general) => {
                let steps = general.states.max(1).saturating_mul(STEPS_A_STATE);
                (steps, steps.saturating_mul(COMPILING))
            }
        };
        a_character.saturating_mul(length.saturating_add(1)).saturating_add(making).saturating_add(STEPS_A_MATCH)
    }

    /// Bytes that it takes at most.
    fn memory(&self, text: &str) -> usize {
        match self {
            Self::Ordinary(ordinary) => ordinary.memory(),
            // Itself, what the engine keeps for a search, and a third for all else.
            Self::General(general) => {
                let groups = text.bytes().filter(|byte| *byte == b'(').count();
                general.bytes.saturating_mul(groups.saturating_add(3))
            }
        }
    }
}

impl General {
    /// The engine checks the estimate: a regex that has more states than its text showed does not fit.
    fn new(text: &str, why: NotOrdinary) -> Self {
        let bytes = Outline::of(text, |_| 1).states.saturating_mul(BYTES_PER_STATE).saturating_add(BYTES_AROUND);
        // A class is one state, in which the engine looks at range after range: no more than it has characters.
        let states = Outline::of(text, |class| class).states;
        match whole(text, bytes.min(WHOLE_SIZE_MAX)) {
            Some(whole) => Self { whole: Some(whole), states, bytes, why },
            None => {
                let whole = whole(text, WHOLE_SIZE_MAX);
                Self { whole, states: states.max(STATES_MAX), bytes: WHOLE_SIZE_MAX, why }
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

fn build(text: &str, nesting: u32, size: usize) -> Result<Regex, Error> {
    RegexBuilder::new(text).nest_limit(nesting).size_limit(size).build()
}

/// The regex for whole values, of one that is known to be good by itself.
fn whole(text: &str, size: usize) -> Option<Regex> {
    let nesting = NESTING_MAX.saturating_add(2); // the brackets, and what stands beside them
    build(&format!(r"\A(?:{text})\z"), nesting, size)
        // Where this differs from the one above, the text ends in a comment, and the line feed ends the comment.
        .or_else(|_| build(&format!("\\A(?:{text}\n)\\z"), nesting, size))
        .ok()
}

/// Steps that a match costs, however short the value.
const STEPS_A_MATCH: usize = 20;

/// Where a regex went wrong. The engine says what, and not where.
fn problem(text: &str, error: &Error) -> Problem {
    let outline = Outline::of(text, |_| 1);
    let same = |text: &str| build(text, NESTING_MAX, 0).is_err_and(|other| other == *error);
    let too_large = build("", NESTING_MAX, 0).is_err_and(|other| other == *error);
    if too_large {
        return Problem { at: 0, reason: TOO_LARGE.into() };
    }
    let reason = format!("not a regex that can be used here: {error}").into();
    // A complaint that changes when something follows is about the end. Then what is still open is at fault.
    if !same(&format!("{text}\\")) {
        let last = text.char_indices().next_back().map_or(0, |(at, _)| at);
        return Problem { at: outline.open.unwrap_or(last), reason };
    }
    // Otherwise it is about what was read up to some place, and every text that goes so far gets it.
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8())).collect();
    let read = ends.partition_point(|end| text.get(..*end).is_some_and(|read| !same(read)));
    let read = ends.get(read).and_then(|end| text.get(..*end)).unwrap_or(text);
    let construct = ["(?=", "(?!", "(?<=", "(?<!"].into_iter().find(|construct| read.ends_with(construct));
    let last = construct.map_or_else(|| read.chars().next_back().map_or(0, char::len_utf8), str::len);
    let at = read.len().saturating_sub(last);
    let escapes = read.get(..at).is_some_and(|before| before.ends_with('\\'));
    Problem { at: if escapes { at.saturating_sub(1) } else { at }, reason }
}

/// What can be seen of a regex without understanding it.
struct Outline {
    /// How many states it should compile to, at most.
    states: usize,
    /// Where the last bracket opens that is not closed, or the backslash stands that nothing follows.
    open: Option<usize>,
}

impl Outline {
    /// `class` says how much a class counts that is written with so many bytes.
    fn of(text: &str, class: fn(usize) -> usize) -> Self {
        let mut outline = Self { states: 0, open: None };
        // Of the innermost group: states of its last part, which a repetition repeats, and of all before that.
        let (mut last, mut before) = (0usize, 0usize);
        let mut groups = Vec::new();
        let mut rest = text.char_indices().peekable();
        while let Some((at, character)) = rest.next() {
            match character {
                '(' => {
                    groups.push((at, before.saturating_add(last)));
                    (before, last) = (0, 0);
                }
                ')' => {
                    last = before.saturating_add(last).saturating_add(2);
                    before = groups.pop().map_or(0, |(_, before)| before);
                }
                '*' | '+' | '?' => last = last.saturating_add(2),
                '{' => last = last.saturating_add(2).saturating_mul(count(&mut rest)).saturating_add(1),
                // In some modes it is nothing, and what follows repeats what precedes.
                space if space.is_whitespace() => before = before.saturating_add(1),
                other => {
                    (before, last) = (before.saturating_add(last), 1);
                    let closed = match other {
                        '\\' => skip_escape(&mut rest),
                        '[' => {
                            let closed = skip_class(&mut rest);
                            let end = rest.peek().map_or(text.len(), |(at, _)| *at);
                            last = class(end.saturating_sub(at));
                            closed
                        }
                        _ => true,
                    };
                    if !closed {
                        outline.open = Some(at);
                    }
                }
            }
        }
        outline.open = outline.open.or(groups.last().map(|(at, _)| *at));
        outline.states =
            groups.iter().fold(before.saturating_add(last), |sum, (_, before)| sum.saturating_add(*before));
        outline
    }
}

/// The largest number in the braces of a repetition, and at least 1.
fn count(rest: &mut Peekable<CharIndices<'_>>) -> usize {
    let (mut largest, mut number) = (1, 0usize);
    for (_, character) in rest.by_ref() {
        match character.to_digit(10) {
            Some(digit) => {
                number = number.saturating_mul(10).saturating_add(usize::try_from(digit).unwrap_or(usize::MAX));
                largest = largest.max(number);
            }
            None if character == '}' => break,
            None if character.is_whitespace() => {}
            None => number = 0,
        }
    }
    largest
}

/// Goes to the end of an escape, behind its backslash: `\x{41}` is one, too.
fn skip_escape(rest: &mut Peekable<CharIndices<'_>>) -> bool {
    let escaped = rest.next();
    if matches!(escaped, Some((_, 'x' | 'u' | 'U'))) && rest.next_if(|(_, c)| *c == '{').is_some() {
        return rest.any(|(_, c)| c == '}');
    }
    escaped.is_some()
}

/// Goes to the end of a character class, behind its `[`.
fn skip_class(rest: &mut Peekable<CharIndices<'_>>) -> bool {
    rest.next_if(|(_, c)| *c == '^');
    rest.next_if(|(_, c)| *c == ']');
    while let Some((_, character)) = rest.next() {
        match character {
            ']' => return true,
            '\\' => {
                rest.next();
            }
            // `[:alpha:]`
            '[' if rest.next_if(|(_, c)| *c == ':').is_some() => {
                rest.any(|(_, c)| c == ']');
            }
            _ => {}
        }
    }
    false
}

/// Bytes of one compiled regex: twice what a line full of literal characters needs, some 8,000 states. A machine with words
/// of 64 bits needs the most, so what the control plane took compiles in every proxy.
const SIZE_MAX: usize = 256 * 1024;

/// The same with what stands around it.
const WHOLE_SIZE_MAX: usize = SIZE_MAX + BYTES_AROUND;

/// States of a regex of that size.
const STATES_MAX: usize = WHOLE_SIZE_MAX / 32;

/// Bytes of a state: 32, and for what it may have beside them (ranges of a class, ways out of a fork) half as much.
const BYTES_PER_STATE: usize = 48;

/// Bytes of what stands around a regex for it to mean whole values, and of the match itself.
const BYTES_AROUND: usize = 512;

/// Brackets within brackets: more than a person follows, and few enough for the stack of a Wasm module.
const NESTING_MAX: u32 = 50;

/// Steps of the general engine for a state and a character.
const STEPS_A_STATE: usize = 5;

/// Characters for which a regex could be matched while the general engine compiles it.
const COMPILING: usize = 20;

const TOO_LARGE: &str = "the regex is too large once compiled: write less counted repetition ({m,n})";

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::string::{String, ToString as _};
    use std::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn matches(regex: &str, value: &str) -> bool {
        Pattern::new(regex).unwrap().matches(value, &mut Work::default()).unwrap()
    }

    fn is_ordinary(regex: &str) -> bool {
        Pattern::new(regex).unwrap().not_ordinary().is_none()
    }

    #[test]
    fn l3_the_whole_value_or_nothing() {
        for (regex, whole, not_whole) in [
            ("a|bc", &["a", "bc"][..], &["ac", "bca", "abc", "xbc", "ax", ""][..]),
            ("a|ab", &["a", "ab"], &["abb"]),
            ("a*?", &["", "a", "aaa"], &["b", "aab"]),
            ("", &[""], &["a", "\n"]),
            ("|a", &["", "a"], &["aa"]),
            ("a$", &["a"], &["a\n", "ab"]),
            ("^a", &["a"], &["ba", "\na"]),
            ("(?m)^a$", &["a"], &["a\n", "a\nb", "b\na\nb", "\na"]),
            ("(?mR)^a$", &["a"], &["a\r\nb", "a\r"]),
            (r"a\z|b", &["a", "b"], &["ab", "a\n"]),
            ("(?s).*", &["", "a\nb"], &[]),
            (".*", &["", "a"], &["a\n", "\n", "a\nb"]),
            ("(?i)abc", &["ABC", "abc"], &["ABCD"]),
            ("(?i)a|b", &["A", "B"], &["AB"]),
            ("(?U)a+", &["a", "aaa"], &["aab"]),
            ("é.", &["éé", "é "], &["é", "ééé"]),
            ("(?P<a>x)|(?<b>y)", &["x", "y"], &["xy"]),
        ] {
            for value in whole {
                assert!(matches(regex, value), "{regex:?} {value:?}");
            }
            for value in not_whole {
                assert!(!matches(regex, value), "{regex:?} {value:?}");
            }
        }
    }

    #[test]
    fn attack_regexes_that_would_break_out_of_their_brackets() {
        for broken in
            ["a)|(b", "a)|(?:b", ")", "a)(?:", "a)|.*|(?:b", "(", "[", "(?x", "(?x)#)", "a\\", "(?", "a{", "(?x)a)#"]
        {
            if broken == "(?x)#)" {
                assert!(matches(broken, "") && !matches(broken, "x"), "a comment is a comment");
            } else {
                assert!(Pattern::new(broken).is_err(), "{broken}");
            }
        }
        for comment in ["(?x)a#", "(?x)a # b", "(?x) a #)|(.*", "(?x)a#\\", "(?x)a#[", "(?x:a)(?x)#", "(?x)a|a#|.*"] {
            assert!(matches(comment, "a"), "{comment}");
            for other in ["", "b", "ab", "ba", "a\n", "a b", "aa"] {
                assert!(!matches(comment, other), "{comment} {other:?}");
            }
        }
        // Nor does a line feed get into what is no comment.
        for (regex, value) in [("a#", "a#"), ("(?x)a(?-x)#", "a#"), ("a\\#", "a#"), ("(?x:a)#", "a#"), ("[#]", "#")] {
            assert!(matches(regex, value), "{regex}");
            assert!(!matches(regex, &format!("{value}\n")) && !matches(regex, "a"), "{regex}");
        }
    }

    #[test]
    fn l8_a_compiled_regex_has_limits() {
        for large in
            ["a{100000}", "(?:a{300}){300}", "(?:(?:(?:(?:a{99}){99}){99}){99}){99}", "(?:){4294967295}", r"\w{9999}"]
        {
            assert!(Pattern::new(large).unwrap_err().reason.contains("too large"), "{large}");
        }
        for fine in [&"a".repeat(4_096)[..], "a{1,255}", r"\w{8}(-\w{4}){3}-\w{12}", ".{1000}"] {
            assert!(Pattern::new(fine).is_ok(), "{fine}");
        }
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Pattern::new(&nested(40)).is_ok());
        assert!(Pattern::new(&nested(60)).is_err());
        assert!(Pattern::new(&nested(2_000)).is_err());
        assert!(Pattern::new(&format!("a{}", "?".repeat(4_000))).is_err());
    }

    #[test]
    fn l8_groups_count_since_a_search_keeps_places_for_each() {
        let memory = |regex: &str| Pattern::new(regex).unwrap().memory();
        assert!(memory(&format!(r"\b{}", "()".repeat(1_000))) > super::super::MEMORY_MAX);
        assert!(memory(".*/rest/api/2/issue/JRA-[0-9]+/comment") < 2 * 1024);
        assert!(memory(r".*/rest/api/2/issue/JRA-[0-9]+/comment\b") < 16 * 1024);
    }

    #[test]
    fn l11_what_people_write_for_paths_is_ordinary() {
        for ordinary in [
            ".*/rest/api/2/issue/JRA-[0-9]+(/.*)?",
            r"^/rest/api/2/(issue|project)/[A-Z][A-Z0-9_]*-\d{1,6}$",
            r"/a\.b\-c\/d",
            "a|b|",
            "(?:.?){1000}x0",
            "[^/]+/[^/a-c]*",
            r"\w+\s?\D*[\w.-]{2,}",
            "(a(b|c)*d)+?",
            "é[à-ü]*",
            "(?i)/rest/[A-F]+[^k]*",
        ] {
            assert!(is_ordinary(ordinary), "{ordinary}");
        }
        for general in [
            "(?i:a)",
            "a(?i)",
            r"a\b",
            "(?x)a",
            "(?P<n>a)",
            "a^b",
            "a$b",
            "[[:alpha:]]",
            r"\x41",
            "[a&&b]",
            "a**",
            "a{2}{3}",
        ] {
            if let Ok(pattern) = Pattern::new(general) {
                assert!(pattern.not_ordinary().is_some(), "{general}");
            }
        }
        let large = format!("{}.*", "a".repeat(3_000)).repeat(3);
        assert!(Pattern::saved(&large).not_ordinary().is_some());
    }

    #[test]
    fn l11_an_ordinary_regex_takes_a_step_for_each_character_and_64_positions() {
        for (regex, steps) in [
            (".*/rest/api/2/issue/JRA.*", 1),
            (".*/rest/api/2/issue/SCRUM-[1-2]{1}/comment.*", 1),
            ("(?:.?){1000}x0", 16),
            (".*.*.*.*.*x", 1),
            ("a?b*c+d{3}", 1),
            // And for each place to jump to, two.
            (".*/rest/api/2/issue/JRA-[0-9]+(/.*)?", 3),
            ("(ab)+", 3),
            ("(a|b|c)d", 5),
        ] {
            assert_eq!(Ordinary::new(regex).unwrap().steps(), steps, "{regex}");
        }
    }

    #[test]
    fn l8_what_cannot_be_paid_for_does_not_match() {
        let pattern = Pattern::new("(a+)+$").unwrap();
        assert_eq!(pattern.matches(&"a".repeat(100_000), &mut Work::default()), Ok(true));
        let mut work = Work::default();
        let costly = Pattern::new(r"(?:a{99}){60}|a*\b").unwrap();
        assert_eq!(costly.matches(&"a".repeat(1_000), &mut work), Err(TooCostly));
        assert_eq!(pattern.matches("a", &mut work), Err(TooCostly), "all is spent, and stays so");
        assert_eq!(work.counted(), 0, "nothing was done");
    }

    #[test]
    fn l11_only_the_general_engine_counts_against_a_token_and_compiling_counts_each_time() {
        let counted = |regex: &str| {
            let (pattern, mut work) = (Pattern::new(regex).unwrap(), Work::default());
            let mut last = 0;
            [0, 1].map(|_| {
                pattern.matches("/rest/api", &mut work).unwrap();
                core::mem::replace(&mut last, work.counted()).abs_diff(work.counted())
            })
        };
        assert_eq!(counted(".*/rest/api"), [0, 0]);
        let [first, second] = counted(r".*/rest/api\b");
        assert!(first > 1_000 && first == second, "{first} {second}");
    }

    #[test]
    fn l8_regexes_that_drive_others_mad() {
        for regex in ["(a+)+$", "(a|a)*b", "(a|aa)+$", "(.*)*x", "(.*a){20}", "(?:a?){50}a{50}", "((a*)*)*b"] {
            let pattern = Pattern::new(regex).unwrap();
            let _ = pattern.matches(&format!("{}!", "a".repeat(10_000)), &mut Work::default());
        }
    }

    #[test]
    fn the_estimate_is_not_led_astray() {
        // Where white space is nothing, what is written apart belongs together; and the engine has the last word.
        for regex in ["(?x)(?:abcdefgh){30} {30}", "(?x)(?:abc[ ](]d){30}", "(?x)(?:a{9} {9}) {9}"] {
            let General { states, bytes, .. } = General::new(regex, NotOrdinary(""));
            let real = (1..).find(|kilobytes| whole(regex, kilobytes * 1_024).is_some()).unwrap() * 1_024;
            assert!(bytes >= real - 1_024 && states * 64 >= real - 2_048, "{regex} {states} {bytes} {real}");
        }
        for (regex, states) in
            [("abc", 3), ("a{10}", 31), (r"\x{41}{2}", 7), ("[a-z{9}]", 1), ("[]{9}]", 1), ("[[:alpha:]{9}]", 1)]
        {
            assert_eq!(Outline::of(regex, |_| 1).states, states, "{regex}");
        }
    }

    /// A regex, as a tree that a few lines can match.
    #[derive(Clone, Debug)]
    enum Tree {
        Char(char),
        Any,
        Start,
        End,
        Both(Box<Tree>, Box<Tree>),
        Either(Box<Tree>, Box<Tree>),
        Repeated(Box<Tree>, &'static str, usize, usize),
    }

    impl Tree {
        fn text(&self) -> String {
            match self {
                Self::Char(c) => c.to_string(),
                Self::Any => ".".into(),
                Self::Start => "^".into(),
                Self::End => "$".into(),
                Self::Both(a, b) => format!("{}{}", a.grouped(), b.grouped()),
                Self::Either(a, b) => format!("{}|{}", a.text(), b.text()),
                Self::Repeated(a, sign, _, _) => format!("(?:{}){sign}", a.text()),
            }
        }

        fn grouped(&self) -> String {
            if matches!(self, Self::Either(_, _)) { format!("({})", self.text()) } else { self.text() }
        }

        /// Where it may end when it begins here.
        fn ends(&self, value: &[char], at: usize) -> BTreeSet<usize> {
            match self {
                Self::Char(c) => value.get(at).filter(|other| *other == c).map(|_| at + 1).into_iter().collect(),
                Self::Any => value.get(at).filter(|other| **other != '\n').map(|_| at + 1).into_iter().collect(),
                Self::Start => (at == 0).then_some(at).into_iter().collect(),
                Self::End => (at == value.len()).then_some(at).into_iter().collect(),
                Self::Both(a, b) => a.ends(value, at).into_iter().flat_map(|end| b.ends(value, end)).collect(),
                Self::Either(a, b) => a.ends(value, at).union(&b.ends(value, at)).copied().collect(),
                Self::Repeated(a, _, min, max) => {
                    let (mut here, mut ends) = (BTreeSet::from([at]), BTreeSet::new());
                    for round in 0..=*max.min(&12) {
                        if round >= *min {
                            ends.extend(here.iter().copied());
                        }
                        here = here.into_iter().flat_map(|end| a.ends(value, end)).collect();
                    }
                    ends
                }
            }
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            6 => proptest::char::range('a', 'c').prop_map(Tree::Char),
            2 => Just(Tree::Any),
            1 => Just(Tree::Start),
            1 => Just(Tree::End),
        ];
        leaf.prop_recursive(4, 12, 2, |inner| {
            let signs = vec![
                ("*", 0, usize::MAX),
                ("+", 1, usize::MAX),
                ("?", 0, 1),
                ("*?", 0, usize::MAX),
                ("{2}", 2, 2),
                ("{1,3}", 1, 3),
                ("{0}", 0, 0),
            ];
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Both(a.into(), b.into())),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Either(a.into(), b.into())),
                (inner, proptest::sample::select(signs)).prop_map(|(a, (sign, min, max))| Tree::Repeated(
                    a.into(),
                    sign,
                    min,
                    max
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn l3_whole_values_agree_with_a_naive_matcher(tree in tree(), value in "[a-c\n]{0,6}") {
            let text = tree.text();
            let pattern = Pattern::new(&text).unwrap();
            let characters: Vec<char> = value.chars().collect();
            let naive = tree.ends(&characters, 0).contains(&characters.len());
            prop_assert_eq!(pattern.matches(&value, &mut Work::default()), Ok(naive), "{}", text);
            let General { whole, bytes, .. } = General::new(&text, NotOrdinary(""));
            prop_assert_eq!(whole.unwrap().is_match(&value), naive, "{}", text);
            prop_assert!(bytes < WHOLE_SIZE_MAX, "the estimate holds: {}", text);
        }

        #[test]
        fn l11_both_engines_say_the_same(
            text in r"(\(\?i\))?([abBé.]|\\[.dwSD]|\[[\^]?[abB0é\\-]{1,3}\]|\(|\(\?:|\)|[*+?]|\{[0-3](,[0-3]?)?\}|\||\^|\$){0,12}",
            values in proptest::collection::vec("[abABcé0\n. \\-]{0,6}", 8),
        ) {
            if let (Some(whole), Ok(ordinary)) = (Pattern::new(&text).ok().and_then(|_| whole(&text, SIZE_MAX)), Ordinary::new(&text)) {
                for value in values {
                    prop_assert_eq!(ordinary.matches(&value), whole.is_match(&value), "{} {:?}", &text, value);
                }
            }
        }

        /// The same with so many positions that they take several words.
        #[test]
        fn l11_both_engines_say_the_same_of_long_regexes(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "a{30}", ".{40}", "(ab?){9}", "[ab]{0,70}", "(a|b.){10}", "(.?){66}", "(a.b)*", "((ab)?c?){3}", "b*",
            ]), 1..5),
            value in "[abc]{0,160}", cut in 0usize..40,
        ) {
            let text = parts.concat();
            let (whole, ordinary) = (whole(&text, SIZE_MAX).unwrap(), Ordinary::new(&text).unwrap());
            let likely = "a".repeat(130);
            for value in [&value[..], &value[..cut.min(value.len())], &likely[..], &likely[cut..]] {
                prop_assert_eq!(ordinary.matches(value), whole.is_match(value), "{} {:?}", &text, value);
            }
        }

        #[test]
        fn no_regex_panics(text in r"[-a-c.*+?(){}|^$#\[\]\\:<>=!xPpi0-9 ,&~]{0,24}", value: String) {
            if let Ok(pattern) = Pattern::new(&text) {
                let _ = pattern.matches(&value, &mut Work::default());
            }
        }
    }
}
