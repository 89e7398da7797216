//! An ordinary regex, read: alternatives of parts, each a class of characters or a group.

use super::NotOrdinary;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::ops::RangeInclusive;
use core::str::Chars;

/// Groups within groups, as the parser goes down into them.
const NESTING_MAX: usize = 20;

/// The largest number in braces: no regex with more positions is ordinary.
const COUNT_MAX: usize = super::POSITIONS_MAX;

/// Reads a regex.
pub(super) fn read(text: &str) -> Result<Vec<Vec<Part>>, NotOrdinary> {
    let (text, ignores_case) = match text.strip_prefix("(?i)") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut parser = Parser { rest: text.chars().peekable(), ignores_case, depth: 0 };
    let alternatives = parser.alternatives()?;
    if parser.rest.next().is_some() {
        return Err(NotOrdinary("a bracket that closes nothing"));
    }
    Ok(alternatives)
}

/// What a position takes.
#[derive(Clone, Debug)]
pub(super) enum Class {
    /// This character.
    Character(char),
    /// Any but a line feed.
    Any,
    /// Those from one up to the other, in each range: in order, and apart from each other.
    Ranges(Vec<(u32, u32)>),
}

/// A part of a regex, and how often it may come: `None`, any number of times.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) what: What,
    pub(super) least: usize,
    pub(super) most: Option<usize>,
}

/// What a part is.
#[derive(Clone, Debug)]
pub(super) enum What {
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
                    What::Class(self.class_of(alloc::vec![(u32::from(letter), u32::from(letter))], false)?)
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
        number.filter(|number| *number <= COUNT_MAX)
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

    fn class_of(&self, mut ranges: Vec<(u32, u32)>, negated: bool) -> Result<Class, NotOrdinary> {
        if self.ignores_case {
            // The general engine folds the small letters of such a range alone. What was saved goes on to mean what it
            // meant.
            let holds = |(from, to): &(u32, u32), letter: u8| (*from..=*to).contains(&u32::from(letter));
            let touches =
                |(from, to): &(u32, u32), first: u8, last: u8| *from <= u32::from(last) && *to >= u32::from(first);
            let straddles = |range: &(u32, u32)| {
                let whole = holds(range, b'A') && holds(range, b'z');
                touches(range, b'A', b'Z') && touches(range, b'a', b'z') && !whole
            };
            if ranges.iter().any(straddles) {
                return Err(NotOrdinary("a range from capitals to small letters behind (?i)"));
            }
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
        Ok(Class::of(ranges, negated))
    }

    /// Behind the bracket that opens it.
    fn class(&mut self) -> Result<Class, NotOrdinary> {
        const ODD: NotOrdinary = NotOrdinary("a class with a bracket, a name or an operation in it");
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let from = match self.rest.next().ok_or(ODD)? {
                ']' if !first => return self.class_of(ranges, negated),
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
                        return self.class_of(ranges, negated);
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

/// The last character there is.
pub(super) const CHARACTER_MAX: u32 = 0x10_ffff;

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
