//! The mark on an answer that is being applied, so that one which no VM survives is not tried for ever.
//!
//! A VM that traps leaves its mark behind, and the next holder of the lease finds it. An answer that has ended two VMs
//! is *deadly*: a page of a full sync is left out (its shards then refuse, everything else works), a change is asked
//! for as part of everything. If VMs go on ending, whatever it is, they are given time in between.

use crate::store::{HostFailure, Key, Kind, Read, SharedData, Value, read, update};

/// VMs that an answer may end before it is left out.
pub const DEADLY_AFTER: u8 = 2;

/// VMs that may end, one after the other and without anything coming into force, before there is a pause.
pub const PAUSE_AFTER: u8 = 6;

/// How long the pause is, in milliseconds.
pub const PAUSE_MS: u64 = 30_000;

/// Marks an answer that says this (by its checksum) as being applied at `now`; how many VMs it has ended.
pub fn begin(data: &impl SharedData, says: &[u8], now: u64) -> Result<u8, HostFailure> {
    let digest = crc32fast::hash(says);
    let mut ended = 0;
    update(data, Key::single(Kind::Mark), |present| {
        let before = Mark::of(present);
        let died = u8::from(before.applying);
        ended = if before.digest == digest { before.ended.saturating_add(died) } else { 0 };
        let in_a_row = before.in_a_row.saturating_add(died);
        Some(Mark { applying: true, digest, ended, in_a_row, at: now }.value())
    })?;
    Ok(ended)
}

/// Takes the mark off: this VM has survived. `progress`: something came into force.
pub fn end(data: &impl SharedData, progress: bool) -> Result<(), HostFailure> {
    update(data, Key::single(Kind::Mark), |present| {
        let mark = Mark::of(present);
        let in_a_row = if progress { 0 } else { mark.in_a_row };
        Some(Mark { applying: false, ended: 0, in_a_row, ..mark }.value())
    })?;
    Ok(())
}

/// Until when nothing is to be asked, since too many VMs have ended; 0: no pause.
pub fn pause_until(data: &impl SharedData) -> Result<u64, HostFailure> {
    let mark = match read(data, Key::single(Kind::Mark))? {
        Read::Whole(value) => Mark::of(Some(&value)),
        Read::Absent | Read::Broken => return Ok(0),
    };
    let ended = mark.in_a_row.saturating_add(u8::from(mark.applying));
    Ok(if ended >= PAUSE_AFTER { mark.at.saturating_add(PAUSE_MS) } else { 0 })
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    applying: bool,
    /// Of what is being applied.
    digest: u32,
    /// VMs that ended with this digest.
    ended: u8,
    /// VMs that ended since anything came into force.
    in_a_row: u8,
    at: u64,
}

impl Mark {
    fn of(value: Option<&Value>) -> Self {
        let read = |value: &Value| {
            let [applying, ended, in_a_row, at @ ..] = value.payload.as_slice() else {
                return None;
            };
            let at = u64::from_le_bytes(at.try_into().ok()?);
            Some(Self { applying: *applying != 0, digest: value.generation, ended: *ended, in_a_row: *in_a_row, at })
        };
        value.and_then(read).unwrap_or_default()
    }

    fn value(self) -> Value {
        let Self { applying, digest, ended, in_a_row, at } = self;
        let payload = [[u8::from(applying), ended, in_a_row].as_slice(), &at.to_le_bytes()].concat();
        Value { generation: digest, revision: 0, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;

    #[test]
    fn an_answer_is_deadly_once_two_vms_have_ended_with_it() {
        let map = Map::default();
        assert_eq!(begin(&map, b"page", 1), Ok(0));
        assert_eq!(begin(&map, b"page", 2), Ok(1), "the first left its mark behind");
        assert_eq!(begin(&map, b"page", 3), Ok(DEADLY_AFTER));
        end(&map, false).unwrap();
        assert_eq!(begin(&map, b"page", 4), Ok(0), "survived, it is no longer");
    }

    #[test]
    fn another_answer_is_another_matter() {
        let map = Map::default();
        begin(&map, b"page", 1).unwrap();
        begin(&map, b"page", 2).unwrap();
        assert_eq!(begin(&map, b"another", 3), Ok(0));
    }

    #[test]
    fn vms_that_go_on_ending_are_given_a_pause_until_something_comes_into_force() {
        let map = Map::default();
        for number in 0..PAUSE_AFTER {
            assert_eq!(pause_until(&map), Ok(0));
            begin(&map, &[number], 100).unwrap();
        }
        assert_eq!(pause_until(&map), Ok(100 + PAUSE_MS));
        begin(&map, b"more", 50_000).unwrap();
        end(&map, false).unwrap();
        assert_eq!(pause_until(&map), Ok(50_000 + PAUSE_MS));
        begin(&map, b"more", 90_000).unwrap();
        end(&map, true).unwrap();
        assert_eq!(pause_until(&map), Ok(0));
    }
}
