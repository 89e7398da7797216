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

mod layout;
mod parse;

use alloc::vec::Vec;

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
    /// What may come last.
    last: Vec<u64>,
    /// The position at which nothing more is to come.
    end: usize,
    /// Positions that were looked at to find where jumps lead.
    looked_at: usize,
    /// Words that were written for classes.
    filled: usize,
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

impl Ordinary {
    /// Reads a regex that the general engine takes. Of another one, what this says means nothing.
    pub(super) fn new(text: &str) -> Result<Self, NotOrdinary> {
        layout::compile(&parse::read(text)?)
    }

    /// Steps for each character of a value, and one character more.
    pub(super) fn steps(&self) -> usize {
        let jumps = self.jumps.iter().map(|jump| jump.to.len().saturating_add(1));
        jumps.fold(self.words, usize::saturating_add)
    }

    /// Steps that reading it takes, once the regex is known to be ordinary.
    pub(super) fn making(&self) -> usize {
        self.rows.len().saturating_add(self.filled).saturating_add(self.looked_at.saturating_mul(4))
    }

    /// Bytes that it takes.
    pub(super) fn memory(&self) -> usize {
        let words = self.rows.len().saturating_add(self.words.saturating_mul(4));
        let jumps = self.jumps.iter().map(|jump| jump.to.len().saturating_mul(16).saturating_add(48));
        jumps.fold(words.saturating_mul(8), usize::saturating_add).saturating_add(self.others.len().saturating_mul(8))
    }

    /// Whether it holds for all of a value.
    pub(super) fn matches(&self, value: &str) -> bool {
        // Most lines that do not match end otherwise.
        if let Some(character) = value.chars().next_back()
            && !self.row(character).iter().zip(&self.last).any(|(row, last)| row & last != 0)
        {
            return false;
        }
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
            (next, _) = pass_over((taken << 1) | (taken & loops), optional, false);
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
            let (mut moved, mut carry, mut any) = (0, false, 0);
            let words = next.iter_mut().zip(self.row(character)).zip(&self.loops).zip(&self.optional);
            for (((next, row), loops), optional) in words {
                let taken = *next & row;
                (*next, carry) = pass_over((taken << 1) | moved | (taken & loops), *optional, carry);
                moved = taken >> 63;
                any |= *next;
            }
            if any == 0 {
                return false;
            }
            self.jump(&mut next);
        }
        holds(&next, self.end)
    }

    /// Adds what may come next because something before it may be left out.
    fn pass_over(&self, next: &mut [u64]) {
        let mut carry = false;
        for (next, optional) in next.iter_mut().zip(&self.optional) {
            (*next, carry) = pass_over(*next, *optional, carry);
        }
        self.jump(next);
    }

    /// Adds where the markers among them lead.
    fn jump(&self, next: &mut [u64]) {
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

    /// The positions that take a character.
    fn row(&self, character: char) -> &[u64] {
        let from = row(&self.others, u32::from(character)).saturating_mul(self.words);
        self.rows.get(from..from.saturating_add(self.words)).unwrap_or_default()
    }
}

/// One word of positions, and those behind them that they let through: each row of optional positions is a row of ones, and
/// adding the lowest position among them carries to the one behind the row. The carry goes on into the next word.
fn pass_over(next: u64, optional: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = optional.overflowing_add(next & optional);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (next | (sum ^ optional), first || second)
}

fn holds(words: &[u64], position: usize) -> bool {
    words.get(position / 64).is_some_and(|word| (word >> (position % 64)) & 1 == 1)
}

fn set(words: &mut [u64], position: usize) {
    if let Some(word) = words.get_mut(position / 64) {
        *word |= 1 << (position % 64);
    }
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
