//! Ordinary regexes, matched in one pass over the value, at a price that hardly depends on what they say.
//!
//! Ordinary is what people write to name paths: characters, `.`, classes, groups and alternatives of these, each with
//! `?`, `*`, `+` or `{m,n}`. What is not (flags, assertions, named groups, …) is left to the general engine.
//!
//! **How.** The regex is laid out as positions in a row: one for each character that it can take, and markers around
//! groups that may be left out or repeated. A set of positions, one bit each, says what may come next; 64 of them are one
//! machine word. A character of the value keeps those that take it and moves them on by one. What may be left out is
//! passed over by one addition, whose carry runs through a row of optional positions; markers lead to where their group
//! begins, ends or has another alternative. So a word costs one step for each character, whatever is in it, and each
//! place to jump to one or two more.
//!
//! What it says is what the general engine says (a test holds the two against each other), since whole values are matched:
//! which way a match was found makes no difference, and so neither do lazy repetitions.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::ops::RangeInclusive;
use core::str::Chars;

/// A regex that is ordinary, ready to match.
#[derive(Clone, Debug)]
pub(super) struct Ordinary {
    /// Words of a set of positions.
    words: usize,
    /// The positions that take a character: for each of ASCII, then for each range of the others.
    rows: Vec<u64>,
    /// Where these ranges begin.
    others: Vec<u32>,
    /// Positions that may take one more character.
    loops: Vec<u64>,
    /// Positions that may be passed over.
    optional: Vec<u64>,
    jumps: Vec<Jump>,
    /// What may come first.
    first: Vec<u64>,
    /// The position at which nothing more is to come.
    end: usize,
}

/// From any of these markers to all of those positions.
#[derive(Clone, Debug)]
struct Jump {
    word: usize,
    bits: u64,
    to: Vec<(usize, u64)>,
}

/// What of a regex is not ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOrdinary(pub(super) &'static str);

/// Positions of a regex: twice what a line full of literal characters needs.
const POSITIONS_MAX: usize = 8 * 1024;

/// Markers of a regex that lead somewhere: more groups than a person reads.
const MARKERS_MAX: usize = 256;

/// Groups within groups, as the parser goes down into them.
const NESTING_MAX: usize = 20;

impl Ordinary {
    /// Reads a regex that the general engine takes. Of another one, what this says means nothing.
    pub(super) fn new(text: &str) -> Result<Self, NotOrdinary> {
        let (text, ignores_case) = match text.strip_prefix("(?i)") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut parser = Parser { rest: text.chars().peekable(), ignores_case, depth: 0 };
        let alternatives = parser.alternatives()?;
        if parser.rest.next().is_some() {
            return Err(NotOrdinary("a bracket that closes nothing"));
        }
        let mut layout = Layout::default();
        layout.group(&alternatives, false, false)?;
        layout.compile()
    }

    /// Steps for each character of a value, and one character more.
    pub(super) fn steps(&self) -> usize {
        let jumps = self.jumps.iter().map(|jump| jump.to.len().saturating_add(1));
        jumps.fold(self.words, usize::saturating_add)
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        let words = self.rows.len().saturating_add(self.words.saturating_mul(3));
        let jumps = self.jumps.iter().map(|jump| jump.to.len().saturating_mul(16).saturating_add(48));
        jumps.fold(words.saturating_mul(8), usize::saturating_add).saturating_add(self.others.len().saturating_mul(8))
    }

    /// Whether it holds for all of a value.
    pub(super) fn matches(&self, value: &str) -> bool {
        match (self.first.as_slice(), self.loops.as_slice(), self.optional.as_slice()) {
            ([first], [loops], [optional]) => self.matches_in_one_word(value, *first, *loops, *optional),
            _ => self.matches_in_words(value),
        }
    }

    /// Most regexes have fewer than 64 positions.
    fn matches_in_one_word(&self, value: &str, first: u64, loops: u64, optional: u64) -> bool {
        let mut next = first;
        for character in value.chars() {
            let taken = next & self.rows.get(row(&self.others, u32::from(character))).copied().unwrap_or(0);
            next = (taken << 1) | (taken & loops);
            next |= optional.wrapping_add(next & optional) ^ optional;
            for Jump { bits, to, .. } in &self.jumps {
                if next & bits != 0 {
                    next |= to.first().map_or(0, |(_, bits)| *bits);
                }
            }
            if next == 0 {
                return false;
            }
        }
        next.checked_shr(u32::try_from(self.end).unwrap_or(u32::MAX)).is_some_and(|end| end & 1 == 1)
    }

    fn matches_in_words(&self, value: &str) -> bool {
        let mut next = self.first.clone();
        for character in value.chars() {
            let from = row(&self.others, u32::from(character)).saturating_mul(self.words);
            let (mut moved, mut any) = (0, 0);
            let row = self.rows.get(from..).unwrap_or_default();
            for ((next, row), loops) in next.iter_mut().zip(row).zip(&self.loops) {
                let taken = *next & row;
                *next = (taken << 1) | moved | (taken & loops);
                moved = taken >> 63;
                any |= *next;
            }
            if any == 0 {
                return false;
            }
            self.pass_over(&mut next);
        }
        holds(&next, self.end)
    }

    /// Adds what may come next because something before it may be left out.
    fn pass_over(&self, next: &mut [u64]) {
        let mut carry = false;
        for (next, optional) in next.iter_mut().zip(&self.optional) {
            let (sum, first) = optional.overflowing_add(*next & optional);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            carry = first || second;
            *next |= sum ^ optional;
        }
        for Jump { word, bits, to } in &self.jumps {
            if next.get(*word).is_some_and(|word| word & bits != 0) {
                for (word, bits) in to {
                    if let Some(word) = next.get_mut(*word) {
                        *word |= bits;
                    }
                }
            }
        }
    }
}

fn holds(words: &[u64], position: usize) -> bool {
    words.get(position / 64).is_some_and(|word| (word >> (position % 64)) & 1 == 1)
}

fn set(words: &mut [u64], position: usize) {
    if let Some(word) = words.get_mut(position / 64) {
        *word |= 1 << (position % 64);
    }
}

/// Sets so many bits from this one on.
fn set_all(words: &mut [u64], first: usize, count: usize) {
    let end = first.saturating_add(count);
    for (word, index) in words.iter_mut().zip(0usize..).skip(first / 64) {
        let begins = index.saturating_mul(64);
        if begins >= end {
            break;
        }
        let from = first.saturating_sub(begins);
        let to = end.saturating_sub(begins).min(64);
        let upper = u64::MAX.checked_shr(u32::try_from(64usize.saturating_sub(to)).unwrap_or(64)).unwrap_or(0);
        *word |= upper & u64::MAX.checked_shl(u32::try_from(from).unwrap_or(64)).unwrap_or(0);
    }
}

/// What a position takes.
#[derive(Clone, Debug)]
enum Class {
    /// This character.
    Character(char),
    /// Any but a line feed.
    Any,
    /// Those from one up to the other, in each range: in order, and apart from each other.
    Ranges(Vec<(u32, u32)>),
}

/// A part of a regex, and how often it may come: `None`, any number of times.
#[derive(Clone, Debug)]
struct Part {
    what: What,
    least: usize,
    most: Option<usize>,
}

#[derive(Clone, Debug)]
enum What {
    Class(Class),
    Group(Vec<Vec<Part>>),
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// Of the letters of ASCII, as the general engine does.
    ignores_case: bool,
    depth: usize,
}

impl Parser<'_> {
    /// Alternatives up to the end, or to the bracket that closes the group.
    fn alternatives(&mut self) -> Result<Vec<Vec<Part>>, NotOrdinary> {
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(self.parts()?);
            if self.rest.next_if_eq(&'|').is_none() {
                return Ok(alternatives);
            }
        }
    }

    fn parts(&mut self) -> Result<Vec<Part>, NotOrdinary> {
        let mut parts = Vec::new();
        // The whole value is matched anyway.
        if self.depth == 0 {
            self.rest.next_if_eq(&'^');
        }
        while let Some(character) = self.rest.next_if(|next| !matches!(next, '|' | ')')) {
            let what = match character {
                '(' => self.group()?,
                '[' => What::Class(self.class()?),
                '.' => What::Class(Class::Any),
                '\\' => What::Class(self.escape()?), // no letter
                '$' if self.depth == 0 && matches!(self.rest.peek(), None | Some('|')) => continue,
                '^' | '$' => return Err(NotOrdinary("^ or $ in the midst of it")),
                '?' | '*' | '+' | '{' => return Err(NotOrdinary("a repetition of a repetition")),
                letter if self.ignores_case && letter.is_ascii_alphabetic() => {
                    What::Class(self.class_of(alloc::vec![(u32::from(letter), u32::from(letter))], false))
                }
                other => What::Class(Class::Character(other)),
            };
            let (least, most) = self.repetition()?;
            parts.push(Part { what, least, most });
        }
        Ok(parts)
    }

    fn group(&mut self) -> Result<What, NotOrdinary> {
        if self.rest.next_if_eq(&'?').is_some() && self.rest.next_if_eq(&':').is_none() {
            return Err(NotOrdinary("(?…): flags, or a group with a name"));
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > NESTING_MAX {
            return Err(NotOrdinary("more than 20 groups within each other"));
        }
        let alternatives = self.alternatives()?;
        self.depth = self.depth.saturating_sub(1);
        self.rest.next_if_eq(&')').ok_or(NotOrdinary("a group that is not closed"))?;
        Ok(What::Group(alternatives))
    }

    fn repetition(&mut self) -> Result<(usize, Option<usize>), NotOrdinary> {
        let times = match self.rest.next_if(|next| matches!(next, '?' | '*' | '+' | '{')) {
            None => return Ok((1, Some(1))),
            Some('?') => (0, Some(1)),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some(_) => self.count()?,
        };
        self.rest.next_if_eq(&'?'); // as few as possible: the same for whole values
        if matches!(self.rest.peek(), Some('?' | '*' | '+' | '{')) {
            return Err(NotOrdinary("a repetition of a repetition"));
        }
        Ok(times)
    }

    /// `{n}`, `{n,}` and `{n,m}`, behind the brace.
    fn count(&mut self) -> Result<(usize, Option<usize>), NotOrdinary> {
        const ODD: NotOrdinary = NotOrdinary("an odd count in braces");
        let least = self.number().ok_or(ODD)?;
        let most = if self.rest.next_if_eq(&',').is_some() {
            if self.rest.peek() == Some(&'}') { None } else { Some(self.number().ok_or(ODD)?) }
        } else {
            Some(least)
        };
        self.rest.next_if_eq(&'}').ok_or(ODD)?;
        if most.is_some_and(|most| most < least) { Err(ODD) } else { Ok((least, most)) }
    }

    fn number(&mut self) -> Option<usize> {
        let mut number: Option<usize> = None;
        while let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(10)) {
            self.rest.next();
            let digit = usize::try_from(digit).ok()?;
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
        }
        number.filter(|number| *number <= POSITIONS_MAX)
    }

    /// Behind the backslash.
    fn escape(&mut self) -> Result<Class, NotOrdinary> {
        match self.rest.next() {
            Some('d') => Ok(Class::Ranges(DIGIT.into())),
            Some('w') => Ok(Class::Ranges(WORD.into())),
            Some('s') => Ok(Class::Ranges(SPACE.into())),
            Some('D') => Ok(Class::of(DIGIT.into(), true)),
            Some('W') => Ok(Class::of(WORD.into(), true)),
            Some('S') => Ok(Class::of(SPACE.into(), true)),
            Some(mark) if is_mark(mark) => Ok(Class::Character(mark)),
            _ => Err(NotOrdinary("an escape such as \\b or \\x{…}")),
        }
    }

    fn class_of(&self, mut ranges: Vec<(u32, u32)>, negated: bool) -> Class {
        if self.ignores_case {
            let other_case = |letters: RangeInclusive<u8>, distance: i32| {
                let (first, last) = (u32::from(*letters.start()), u32::from(*letters.end()));
                move |(from, to): &(u32, u32)| {
                    let (from, to) = (first.max(*from), last.min(*to));
                    (from <= to).then(|| (from.wrapping_add_signed(distance), to.wrapping_add_signed(distance)))
                }
            };
            let small: Vec<_> = ranges.iter().filter_map(other_case(b'A'..=b'Z', 32)).collect();
            let capital: Vec<_> = ranges.iter().filter_map(other_case(b'a'..=b'z', -32)).collect();
            ranges.extend(small.into_iter().chain(capital));
        }
        Class::of(ranges, negated)
    }

    /// Behind the bracket that opens it.
    fn class(&mut self) -> Result<Class, NotOrdinary> {
        const ODD: NotOrdinary = NotOrdinary("a class with a bracket, a name or an operation in it");
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let from = match self.rest.next().ok_or(ODD)? {
                ']' if !first => return Ok(self.class_of(ranges, negated)),
                '[' | ']' | '&' | '~' => return Err(ODD),
                '\\' => match self.escape()? {
                    Class::Character(mark) => mark,
                    Class::Ranges(more) => {
                        ranges.extend(more);
                        first = false;
                        if self.rest.peek() == Some(&'-') {
                            return Err(ODD);
                        }
                        continue;
                    }
                    Class::Any => return Err(ODD),
                },
                '-' if !first && self.rest.peek() != Some(&']') => return Err(ODD),
                other => other,
            };
            first = false;
            let mut to = from;
            if from == '-' && self.rest.peek() == Some(&'-') {
                return Err(ODD);
            }
            if self.rest.next_if_eq(&'-').is_some() {
                to = match self.rest.next().ok_or(ODD)? {
                    // A hyphen at the end is one.
                    ']' => {
                        ranges.extend([from, '-'].map(|one| (u32::from(one), u32::from(one))));
                        return Ok(self.class_of(ranges, negated));
                    }
                    '\\' => match self.escape()? {
                        Class::Character(mark) => mark,
                        Class::Any | Class::Ranges(_) => return Err(ODD),
                    },
                    '[' | '&' | '~' | '-' => return Err(ODD),
                    other => other,
                };
                if to < from {
                    return Err(ODD);
                }
            }
            ranges.push((u32::from(from), u32::from(to)));
        }
    }
}

/// ASCII alone, as the general engine has it.
const DIGIT: [(u32, u32); 1] = [(0x30, 0x39)];
const WORD: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];
const SPACE: [(u32, u32); 3] = [(0x09, 0x0a), (0x0b, 0x0d), (0x20, 0x20)];

/// What stands for itself behind a backslash.
fn is_mark(character: char) -> bool {
    character.is_ascii_punctuation() && !matches!(character, '<' | '>')
}

const CHARACTER_MAX: u32 = 0x10_ffff;

impl Class {
    fn of(mut ranges: Vec<(u32, u32)>, negated: bool) -> Self {
        ranges.sort_unstable();
        let mut apart: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match apart.last_mut() {
                Some((_, end)) if from <= end.saturating_add(1) => *end = to.max(*end),
                _ => apart.push((from, to)),
            }
        }
        if negated {
            let mut next = 0;
            let mut between = Vec::with_capacity(apart.len().saturating_add(1));
            for (from, to) in apart {
                if from > next {
                    between.push((next, from.saturating_sub(1)));
                }
                next = to.saturating_add(1);
            }
            if next <= CHARACTER_MAX {
                between.push((next, CHARACTER_MAX));
            }
            apart = between;
        }
        match apart.as_slice() {
            [(one, same)] if one == same => char::from_u32(*one).map_or(Self::Ranges(apart), Self::Character),
            _ => Self::Ranges(apart),
        }
    }
}

/// Positions in a row, as they are laid out.
#[derive(Default)]
struct Layout {
    /// What the positions take: a class, the first position, and how many there are. Markers take nothing.
    runs: Vec<(Class, usize, usize)>,
    position: usize,
    loops: Vec<usize>,
    optional: Vec<(usize, usize)>,
    /// From a marker to a position.
    leads: BTreeMap<usize, Vec<usize>>,
}

impl Layout {
    /// Lays out a group once. `optional`: it may be left out; `again`: it may come again.
    fn group(&mut self, alternatives: &[Vec<Part>], optional: bool, again: bool) -> Result<(), NotOrdinary> {
        if let ([only], false, false) = (alternatives, optional, again) {
            return self.parts(only);
        }
        let begin = self.marker(true)?;
        let mut ends = Vec::new();
        for (index, parts) in alternatives.iter().enumerate() {
            if index > 0 {
                self.lead(begin, self.position);
            }
            self.parts(parts)?;
            if index.saturating_add(1) < alternatives.len() {
                ends.push(self.marker(false)?);
            }
        }
        let end = self.marker(true)?;
        for alternative in ends {
            self.lead(alternative, end);
        }
        if optional {
            self.lead(begin, end);
        }
        if again {
            self.lead(end, begin);
        }
        Ok(())
    }

    fn parts(&mut self, parts: &[Part]) -> Result<(), NotOrdinary> {
        for Part { what, least, most } in parts {
            match what {
                What::Class(class) => self.class(class, *least, *most)?,
                What::Group(alternatives) => self.groups(alternatives, *least, *most)?,
            }
        }
        Ok(())
    }

    fn class(&mut self, class: &Class, least: usize, most: Option<usize>) -> Result<(), NotOrdinary> {
        let optional = most.map_or(usize::from(least == 0), |most| most.saturating_sub(least));
        let first = self.take(least.saturating_add(optional))?;
        if self.position > first {
            self.runs.push((class.clone(), first, self.position.saturating_sub(first)));
        }
        if optional > 0 {
            self.optional.push((first.saturating_add(least), optional));
        }
        if most.is_none() {
            self.loops.push(self.position.saturating_sub(1));
        }
        Ok(())
    }

    fn groups(&mut self, alternatives: &[Vec<Part>], least: usize, most: Option<usize>) -> Result<(), NotOrdinary> {
        // A character in brackets is a character.
        if let [only] = alternatives
            && let [Part { what: What::Class(class), least: 1, most: Some(1) }] = only.as_slice()
        {
            return self.class(class, least, most);
        }
        let from = self.position;
        for index in 1..=least {
            self.group(alternatives, false, most.is_none() && index == least)?;
            if self.position == from {
                return Ok(()); // it takes nothing, however often
            }
        }
        match most {
            Some(most) => (least..most).try_for_each(|_| self.group(alternatives, true, false)),
            None if least == 0 => self.group(alternatives, true, true),
            None => Ok(()),
        }
    }

    /// The first of so many positions, from here on taken.
    fn take(&mut self, count: usize) -> Result<usize, NotOrdinary> {
        let first = self.position;
        self.position = first.saturating_add(count);
        if self.position > POSITIONS_MAX { Err(NotOrdinary("more than 8,192 characters")) } else { Ok(first) }
    }

    /// A position that takes nothing; `open`: what follows it may come next.
    fn marker(&mut self, open: bool) -> Result<usize, NotOrdinary> {
        let marker = self.take(1)?;
        if open {
            self.optional.push((marker, 1));
        }
        Ok(marker)
    }

    fn lead(&mut self, from: usize, to: usize) {
        self.leads.entry(from).or_default().push(to);
    }

    fn compile(self) -> Result<Ordinary, NotOrdinary> {
        let Self { runs, position: end, loops: repeated, optional: left_out, leads } = self;
        if leads.len() > MARKERS_MAX {
            return Err(NotOrdinary("more than 256 groups and alternatives"));
        }
        let words = (end / 64).saturating_add(1);
        let empty = || alloc::vec![0u64; words];
        let (mut loops, mut optional, mut first) = (empty(), empty(), empty());
        repeated.into_iter().for_each(|position| set(&mut loops, position));
        for (from, count) in left_out {
            set_all(&mut optional, from, count);
        }
        let jumps = jumps(&leads, &optional, words);
        set(&mut first, 0);
        let (rows, others) = rows(&runs, words)?;
        let mut ordinary = Ordinary { words, rows, others, loops, optional, jumps, first: empty(), end };
        ordinary.pass_over(&mut first);
        ordinary.first = first;
        Ok(ordinary)
    }
}

/// From each marker that leads somewhere to all that may come next then, so that none is looked at twice.
fn jumps(leads: &BTreeMap<usize, Vec<usize>>, optional: &[u64], words: usize) -> Vec<Jump> {
    let mut jumps: Vec<Jump> = Vec::new();
    for marker in leads.keys() {
        let mut reached = alloc::vec![0u64; words];
        let mut to_look_at = alloc::vec![*marker];
        while let Some(position) = to_look_at.pop() {
            let passed = holds(optional, position).then(|| position.saturating_add(1));
            for next in passed.into_iter().chain(leads.get(&position).into_iter().flatten().copied()) {
                if !holds(&reached, next) {
                    set(&mut reached, next);
                    to_look_at.push(next);
                }
            }
        }
        let to: Vec<(usize, u64)> = reached.into_iter().enumerate().filter(|(_, bits)| *bits != 0).collect();
        let (word, bit) = (marker / 64, 1 << (marker % 64));
        // The ends of alternatives lead to the same place.
        match jumps.iter_mut().find(|jump| jump.word == word && jump.to == to) {
            Some(jump) => jump.bits |= bit,
            None => jumps.push(Jump { word, bits: bit, to }),
        }
    }
    jumps
}

/// For each ASCII character, and for each range of the others that no class divides, the positions that take it; and where
/// these ranges begin.
fn rows(runs: &[(Class, usize, usize)], words: usize) -> Result<(Vec<u64>, Vec<u32>), NotOrdinary> {
    let mut others = alloc::vec![ASCII];
    for (class, ..) in runs {
        let mut divide = |from: u32, to: u32| {
            others.extend([from, to.saturating_add(1)].into_iter().filter(|at| (ASCII..=CHARACTER_MAX).contains(at)));
        };
        match class {
            Class::Any => {}
            Class::Character(one) => divide(u32::from(*one), u32::from(*one)),
            Class::Ranges(ranges) => ranges.iter().for_each(|(from, to)| divide(*from, *to)),
        }
    }
    others.sort_unstable();
    others.dedup();
    if others.len() > OTHERS_MAX {
        return Err(NotOrdinary("more than 128 different characters beyond ASCII"));
    }
    let mut rows = alloc::vec![0; others.len().saturating_add(ASCII_ROWS).saturating_mul(words)];
    let mut any = alloc::vec![0; words];
    for (class, first, count) in runs {
        let mut take = |from: u32, to: u32| {
            let taken =
                row(&others, from).saturating_mul(words)..row(&others, to).saturating_add(1).saturating_mul(words);
            for row in rows.get_mut(taken).unwrap_or_default().chunks_exact_mut(words) {
                set_all(row, *first, *count);
            }
        };
        match class {
            Class::Any => set_all(&mut any, *first, *count),
            Class::Character(one) => take(u32::from(*one), u32::from(*one)),
            Class::Ranges(ranges) => ranges.iter().for_each(|(from, to)| take(*from, *to)),
        }
    }
    let line_feed = row(&others, u32::from('\n'));
    for (_, row) in rows.chunks_exact_mut(words).enumerate().filter(|(index, _)| *index != line_feed) {
        row.iter_mut().zip(&any).for_each(|(row, any)| *row |= any);
    }
    Ok((rows, others))
}

/// The number of the row that belongs to a character.
fn row(others: &[u32], code: u32) -> usize {
    if code < ASCII {
        return usize::try_from(code).unwrap_or(0);
    }
    // The first of the others begins where ASCII ends.
    ASCII_ROWS.saturating_add(others.partition_point(|from| *from <= code)).saturating_sub(1)
}

const ASCII: u32 = 128;
const ASCII_ROWS: usize = 128;

/// Ranges beyond ASCII: an alphabet, in small letters and capitals.
const OTHERS_MAX: usize = 256;
