//! A regex as positions in a row, and what of it a match looks up.

use super::parse::{CHARACTER_MAX, Class, Part, What};
use super::{ASCII, ASCII_ROWS};
use super::{Jump, NotOrdinary, Ordinary, POSITIONS_MAX, holds, row, set};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Markers of a regex that lead somewhere: more groups than a person reads.
const MARKERS_MAX: usize = 256;

/// Positions that may be looked at to find where jumps lead: some tenths of a millisecond.
const LOOKS_MAX: usize = 10_000;

/// Words that may be written for classes: some tenths of a millisecond.
const FILLED_MAX: usize = 200_000;

/// Ranges beyond ASCII: an alphabet, in small letters and capitals.
const OTHERS_MAX: usize = 256;

/// Lays a regex out, and compiles it.
pub(super) fn compile(alternatives: &[Vec<Part>]) -> Result<Ordinary, NotOrdinary> {
    let mut layout = Layout::default();
    layout.group(alternatives, false, false)?;
    layout.compile()
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
        let (jumps, looked_at) = jumps(&leads, &optional, words)?;
        set(&mut first, 0);
        let (rows, others, filled) = rows(&runs, words)?;
        let last = last(end, &leads, &loops, &optional, words);
        let mut ordinary =
            Ordinary { words, rows, others, loops, optional, jumps, first: empty(), last, end, looked_at, filled };
        ordinary.pass_over(&mut first);
        ordinary.first = first;
        Ok(ordinary)
    }
}

/// Positions behind which nothing more need come.
fn last(end: usize, leads: &BTreeMap<usize, Vec<usize>>, loops: &[u64], optional: &[u64], words: usize) -> Vec<u64> {
    let mut led_from: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in leads.iter().flat_map(|(from, all)| all.iter().map(move |to| (*from, *to))) {
        led_from.entry(to).or_default().push(from);
    }
    // From where the end is reached without another character.
    let mut at_end = alloc::vec![0u64; words];
    let mut to_look_at = alloc::vec![end];
    set(&mut at_end, end);
    while let Some(position) = to_look_at.pop() {
        let passed = position.checked_sub(1).filter(|before| holds(optional, *before));
        for before in passed.into_iter().chain(led_from.get(&position).into_iter().flatten().copied()) {
            if !holds(&at_end, before) {
                set(&mut at_end, before);
                to_look_at.push(before);
            }
        }
    }
    let mut last = alloc::vec![0u64; words];
    for position in 0..end {
        if holds(&at_end, position.saturating_add(1)) || (holds(loops, position) && holds(&at_end, position)) {
            set(&mut last, position);
        }
    }
    last
}

/// From each marker that leads somewhere to all that may come next then, so that none is looked at twice.
fn jumps(
    leads: &BTreeMap<usize, Vec<usize>>,
    optional: &[u64],
    words: usize,
) -> Result<(Vec<Jump>, usize), NotOrdinary> {
    let (mut jumps, mut looked_at): (Vec<Jump>, usize) = (Vec::new(), 0);
    for marker in leads.keys() {
        let mut reached = alloc::vec![0u64; words];
        let mut to_look_at = alloc::vec![*marker];
        while let Some(position) = to_look_at.pop() {
            looked_at = looked_at.saturating_add(1);
            if looked_at > LOOKS_MAX {
                return Err(NotOrdinary("too much that may be left out, within too many groups"));
            }
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
    Ok((jumps, looked_at))
}

/// For each ASCII character, and for each range of the others that no class divides, the positions that take it; and where
/// these ranges begin; and how many words were written for classes.
fn rows(runs: &[(Class, usize, usize)], words: usize) -> Result<(Vec<u64>, Vec<u32>, usize), NotOrdinary> {
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
    let (mut any, mut filled) = (alloc::vec![0; words], 0usize);
    // A class that comes again is written once.
    let mut classes: BTreeMap<&[(u32, u32)], Vec<u64>> = BTreeMap::new();
    for (class, first, count) in runs {
        match class {
            Class::Any => set_all(&mut any, *first, *count),
            Class::Character(one) => {
                let from = row(&others, u32::from(*one)).saturating_mul(words);
                set_all(rows.get_mut(from..from.saturating_add(words)).unwrap_or_default(), *first, *count);
            }
            Class::Ranges(ranges) => {
                let mask = classes.entry(ranges).or_insert_with(|| alloc::vec![0; words]);
                set_all(mask, *first, *count);
            }
        }
    }
    for (ranges, mask) in classes {
        for (from, to) in ranges {
            let (from, to) = (row(&others, *from), row(&others, *to).saturating_add(1));
            let taken = rows.get_mut(from.saturating_mul(words)..to.saturating_mul(words)).unwrap_or_default();
            filled = filled.saturating_add(taken.len());
            if filled > FILLED_MAX {
                return Err(NotOrdinary("too many different classes"));
            }
            for row in taken.chunks_exact_mut(words) {
                row.iter_mut().zip(&mask).for_each(|(row, mask)| *row |= mask);
            }
        }
    }
    let line_feed = row(&others, u32::from('\n'));
    for (_, row) in rows.chunks_exact_mut(words).enumerate().filter(|(index, _)| *index != line_feed) {
        row.iter_mut().zip(&any).for_each(|(row, any)| *row |= any);
    }
    Ok((rows, others, filled))
}

/// Sets so many bits from this one on.
fn set_all(words: &mut [u64], first: usize, count: usize) {
    let end = first.saturating_add(count);
    let mut begins = first / 64 * 64;
    for word in words.get_mut(first / 64..).unwrap_or_default() {
        if begins >= end {
            break;
        }
        let (from, to) = (first.saturating_sub(begins), end.saturating_sub(begins).min(64));
        let upper = u64::MAX.checked_shr(u32::try_from(64usize.saturating_sub(to)).unwrap_or(64)).unwrap_or(0);
        *word |= upper & u64::MAX.checked_shl(u32::try_from(from).unwrap_or(64)).unwrap_or(0);
        begins = begins.saturating_add(64);
    }
}
