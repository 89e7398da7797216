//! The outbox: batches of usage on their way to the control plane, in shared data, so that no VM takes any with it.
//!
//! A ring of batches, numbered from 0 for as long as the proxy process lives; each number is one batch for ever.
//!
//! ```text
//!   sent and freed … │ tail … sealed, being sent … │ … open, one a VM, still growing … │ head: the next number
//! ```
//!
//! Each VM appends to a batch of its own until that is full or sealed, then takes the next number. The holder of the
//! lease seals the oldest, sends them until the control plane has them, and frees them by moving the tail. A number
//! whose VM died before it wrote anything is sealed empty. The last places of a full ring are kept for counts: from
//! then on a call is a number a token, and no more is lost than the detail.

use crate::store::{HostFailure, Key, Kind, Read, SharedData, Value, read, update};
use policy::feed::{BATCH_LEN_MAX, REPORT_LEN};
use policy::usage::{Counted, Counts, Entry, append, entries};

/// Batches that are kept while the control plane is away: 16 MiB, some 100,000 calls.
pub const PLACES: u64 = 256;

/// Of these, batches for counts alone: one for each worker of a large machine.
pub const PLACES_FOR_COUNTS: u64 = 64;

const OPEN: u32 = 0;
const SEALED: u32 = 1;

/// What one VM knows of the outbox: the numbers of the batches to which it appends.
#[derive(Debug, Default)]
pub struct Outbox {
    calls: Option<u64>,
    counts: Option<u64>,
}

/// Batches that are on their way, by their numbers: from the first up to, not including, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub first: u64,
    /// The one after the last.
    pub end: u64,
}

/// Where the ring stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ring {
    head: u64,
    tail: u64,
}

impl Outbox {
    /// Puts a batch of entries in; whether there was room for it.
    pub fn put(&mut self, data: &impl SharedData, batch: &[u8]) -> Result<bool, HostFailure> {
        if let Some(number) = self.calls
            && change(data, number, |present| joined(present, batch))?
        {
            return Ok(true);
        }
        self.calls = begin(data, PLACES.saturating_sub(PLACES_FOR_COUNTS), batch)?;
        Ok(self.calls.is_some())
    }

    /// Puts counts in, also in the places that are kept for them; whether there was room for all of them.
    pub fn put_counts(&mut self, data: &impl SharedData, counts: &[Counted]) -> Result<bool, HostFailure> {
        if let Some(number) = self.counts
            && change(data, number, |present| with_counts(present, counts))?
        {
            return Ok(true);
        }
        let Some(batch) = with_counts(&[], counts) else {
            return Ok(false);
        };
        self.counts = begin(data, PLACES, &batch)?;
        Ok(self.counts.is_some())
    }
}

/// The oldest batches, sealed: as many as a report holds. `None`: there are none.
pub fn seal(data: &impl SharedData) -> Result<Option<Window>, HostFailure> {
    let Ring { head, tail } = ring(data)?;
    let (mut end, mut length) = (tail, 0usize);
    while end < head && length < REPORT_LEN {
        let sealed = update(data, place(end)?, |present| match present {
            Some(present) if present.revision > end || present.revision == end && present.generation == SEALED => None,
            Some(present) if present.revision == end => Some(Value { generation: SEALED, ..present.clone() }),
            _ => Some(Value { generation: SEALED, revision: end, payload: Vec::new() }),
        })?;
        length = length.saturating_add(sealed.map_or(0, |value| value.payload.len()));
        end = end.saturating_add(1);
    }
    Ok((end > tail).then_some(Window { first: tail, end }))
}

/// The batches of a window. One that cannot be read, of which there is none, is empty.
pub fn batches(data: &impl SharedData, window: Window) -> Result<Vec<Vec<u8>>, HostFailure> {
    (window.first..window.end)
        .map(|number| match read(data, place(number)?)? {
            Read::Whole(value) if value.revision == number => Ok(value.payload),
            Read::Whole(_) | Read::Absent | Read::Broken => Ok(Vec::new()),
        })
        .collect()
}

/// How many places are in use.
pub fn used(data: &impl SharedData) -> Result<u64, HostFailure> {
    ring(data).map(|ring| ring.head.saturating_sub(ring.tail))
}

/// Frees all batches before this number.
pub fn free(data: &impl SharedData, taken: u64) -> Result<(), HostFailure> {
    let before = ring(data)?;
    for number in before.tail..taken.min(before.head) {
        // The proxy cannot forget a value, but it can keep a short one. By now it may be a later batch's.
        update(data, place(number)?, |present| {
            let ours = present.is_some_and(|present| present.revision == number && !present.payload.is_empty());
            ours.then(|| Value { generation: SEALED, revision: number, payload: Vec::new() })
        })?;
    }
    update(data, Key::single(Kind::Ring), |present| {
        let ring = Ring::of(present);
        let freed = Ring { tail: ring.tail.max(taken.min(ring.head)), ..ring };
        (freed != ring).then(|| freed.value())
    })?;
    Ok(())
}

impl Ring {
    fn of(value: Option<&Value>) -> Self {
        let tail = |value: &Value| value.payload.as_slice().try_into().ok().map(u64::from_le_bytes);
        value.and_then(|value| Some(Self { head: value.revision, tail: tail(value)? })).unwrap_or_default()
    }

    fn value(self) -> Value {
        Value { generation: 0, revision: self.head, payload: self.tail.to_le_bytes().to_vec() }
    }
}

fn ring(data: &impl SharedData) -> Result<Ring, HostFailure> {
    match read(data, Key::single(Kind::Ring))? {
        Read::Whole(value) => Ok(Ring::of(Some(&value))),
        Read::Absent | Read::Broken => Ok(Ring::default()),
    }
}

fn place(number: u64) -> Result<Key, HostFailure> {
    let place = number.checked_rem(PLACES).and_then(|place| u32::try_from(place).ok());
    place.and_then(|place| Key::of_generation(Kind::Batch, 0, place)).ok_or(HostFailure)
}

/// Takes the next number, if fewer than `places` are in use, and begins the batch with it.
fn begin(data: &impl SharedData, places: u64, batch: &[u8]) -> Result<Option<u64>, HostFailure> {
    loop {
        let mut taken = None;
        update(data, Key::single(Kind::Ring), |present| {
            let ring = Ring::of(present);
            let used = ring.head.saturating_sub(ring.tail);
            taken = (used < places).then_some(ring.head);
            taken.map(|head| Ring { head: head.saturating_add(1), ..ring }.value())
        })?;
        let Some(number) = taken else {
            return Ok(None);
        };
        let mut begun = false;
        update(data, place(number)?, |present| {
            // Whoever seals may have been here first: then this number is an empty batch.
            begun = present.is_none_or(|present| present.revision < number);
            begun.then(|| Value { generation: OPEN, revision: number, payload: batch.to_vec() })
        })?;
        if begun {
            return Ok(Some(number));
        }
    }
}

/// Changes an open batch; whether it was open and the change was wanted.
fn change(
    data: &impl SharedData,
    number: u64,
    mut to: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<bool, HostFailure> {
    let mut changed = false;
    update(data, place(number)?, |present| {
        let open = present.filter(|present| present.revision == number && present.generation == OPEN);
        let payload = open.and_then(|present| to(&present.payload));
        changed = payload.is_some();
        payload.map(|payload| Value { generation: OPEN, revision: number, payload })
    })?;
    Ok(changed)
}

fn joined(present: &[u8], batch: &[u8]) -> Option<Vec<u8>> {
    let fits = present.len().saturating_add(batch.len()) <= BATCH_LEN_MAX;
    fits.then(|| [present, batch].concat())
}

/// A batch of counts with these added to it; `None`: it would be too large, or is something else.
fn with_counts(present: &[u8], counts: &[Counted]) -> Option<Vec<u8>> {
    let mut all = Counts::default();
    for entry in entries(present)? {
        match entry {
            Entry::Counted(counted) => all.add(counted),
            Entry::Call(_) => return None,
        }
    }
    counts.iter().cloned().for_each(|counted| all.add(counted));
    let mut batch = Vec::new();
    all.into_iter().for_each(|counted| append(&mut batch, &Entry::Counted(counted)));
    (batch.len() <= BATCH_LEN_MAX).then_some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;
    use policy::Timestamp;

    fn counted(token: &str, calls: u64) -> Counted {
        Counted {
            token: Some(token.into()),
            outcome: "admitted".into(),
            calls,
            last_at: Timestamp::from_millis(calls),
            last_address: None,
        }
    }

    fn batch(token: &str, length: usize) -> Vec<u8> {
        let mut batch = Vec::new();
        while batch.len() < length {
            append(&mut batch, &Entry::Counted(counted(token, 1)));
        }
        batch
    }

    fn calls_in(batches: &[Vec<u8>]) -> u64 {
        let all = batches.iter().flat_map(|batch| entries(batch).unwrap());
        all.map(|entry| match entry {
            Entry::Counted(counted) => counted.calls,
            Entry::Call(_) => 1,
        })
        .sum()
    }

    #[test]
    fn a_vm_appends_until_its_batch_is_sealed_and_then_begins_another() {
        let (map, mut one, mut two) = (Map::default(), Outbox::default(), Outbox::default());
        assert_eq!(seal(&map), Ok(None));
        for _ in 0..3 {
            assert_eq!(one.put(&map, &batch("a", 1)), Ok(true));
            assert_eq!(two.put(&map, &batch("b", 1)), Ok(true));
        }
        let window = seal(&map).unwrap().unwrap();
        assert_eq!(window, Window { first: 0, end: 2 });
        assert_eq!(one.put(&map, &batch("a", 1)), Ok(true));
        let sent = batches(&map, window).unwrap();
        assert_eq!(calls_in(&sent), 6, "what came after the sealing is not in it");
        assert_eq!(batches(&map, window).unwrap(), sent, "and stays the same however often it is sent");
        free(&map, window.end).unwrap();
        free(&map, window.end).unwrap();
        assert_eq!(seal(&map), Ok(Some(Window { first: 2, end: 3 })));
    }

    #[test]
    fn when_it_is_full_calls_are_counted_and_nothing_grows_for_ever() {
        let (map, mut vm, full) = (Map::default(), Outbox::default(), batch("a", BATCH_LEN_MAX - 100));
        let mut room = 0;
        while vm.put(&map, &full).unwrap() {
            room += 1;
        }
        assert_eq!(room, PLACES - PLACES_FOR_COUNTS);
        for _ in 0..100_000 / 100 {
            assert_eq!(vm.put_counts(&map, &[counted("a", 60), counted("b", 40)]), Ok(true));
        }
        assert_eq!(ring(&map).unwrap().head, room + 1, "all in one batch");
        let (mut sum, mut windows) = (0, 0);
        while let Some(window) = seal(&map).unwrap() {
            sum += calls_in(&batches(&map, window).unwrap());
            free(&map, window.end).unwrap();
            windows += 1;
        }
        let each = calls_in(&[full]);
        assert_eq!(sum, room * each + 100_000);
        assert!(windows >= room * BATCH_LEN_MAX as u64 / (REPORT_LEN + BATCH_LEN_MAX) as u64, "no report is too long");
        assert_eq!(vm.put(&map, b"x"), Ok(true), "there is room again");
        let kept: usize = map.0.borrow().values().map(|(value, _)| value.len()).sum();
        assert!(kept < 64 * PLACES as usize, "what was sent takes no room: {kept}");
    }

    #[test]
    fn a_number_whose_vm_died_holds_nothing_up_and_cannot_be_used_any_more() {
        let (map, mut vm) = (Map::default(), Outbox::default());
        // It took number 0 and died before it wrote anything.
        update(&map, Key::single(Kind::Ring), |_| Some(Ring { head: 1, tail: 0 }.value())).unwrap();
        assert_eq!(vm.put(&map, &batch("a", 1)), Ok(true));
        let window = seal(&map).unwrap().unwrap();
        assert_eq!(window, Window { first: 0, end: 2 });
        assert_eq!(calls_in(&batches(&map, window).unwrap()), 1);
        // If it was not dead but slow, its batch gets another number.
        assert_eq!(change(&map, 0, |_| Some(batch("late", 1))), Ok(false));
    }

    #[test]
    fn two_holders_that_send_at_once_send_the_same_and_free_it_once() {
        let (map, mut vm) = (Map::default(), Outbox::default());
        vm.put(&map, &batch("a", 1)).unwrap();
        let first = seal(&map).unwrap().unwrap();
        vm.put(&map, &batch("a", 1)).unwrap();
        let second = seal(&map).unwrap().unwrap();
        assert_eq!((first, second), (Window { first: 0, end: 1 }, Window { first: 0, end: 2 }));
        assert_eq!(batches(&map, first).unwrap()[0], batches(&map, second).unwrap()[0]);
        free(&map, second.end).unwrap();
        free(&map, first.end).unwrap();
        assert_eq!(seal(&map), Ok(None));
        // Nor does an answer that comes late free what came later.
        vm.put(&map, &batch("b", 1)).unwrap();
        free(&map, first.end).unwrap();
        assert_eq!(calls_in(&batches(&map, seal(&map).unwrap().unwrap()).unwrap()), 1);
    }

    #[test]
    fn counts_of_more_tokens_than_a_batch_holds_are_refused_not_cut() {
        let (map, mut vm) = (Map::default(), Outbox::default());
        let many: Vec<Counted> = (0..5000).map(|number| counted(&format!("token-{number:020}"), 1)).collect();
        assert_eq!(vm.put_counts(&map, &many), Ok(false));
        assert_eq!(vm.put_counts(&map, &many[..1000]), Ok(true));
        assert_eq!(vm.put_counts(&map, &many[1000..2000]), Ok(true), "in another batch");
        assert_eq!(calls_in(&batches(&map, seal(&map).unwrap().unwrap()).unwrap()), 2000);
    }
}
