//! The mark on an answer that is being applied, so that one which no VM survives is not tried for ever.
//!
//! A VM that traps leaves its mark behind, and the next holder of the lease finds it. An answer that has ended two VMs
//! is *deadly* for a while: a page of a full sync is left out (its shards then refuse, everything else works), a change
//! is asked for as part of everything. If VMs go on ending, whatever it is, they are given time in between.

use crate::store::{HostFailure, Key, Kind, Read, SharedData, Value, read, update};

/// VMs that an answer may end before it is deadly.
pub const DEADLY_AFTER: u8 = 2;

/// VMs that may end, one after the other and without anything coming into force, before there is a pause.
pub const PAUSE_AFTER: u8 = 6;

/// How long the pause is, in milliseconds; and after how long what was deadly is tried once more, since it may have been
/// mended, unless something has come into force without it.
pub const PAUSE_MS: u64 = 30_000;

/// Answers that are remembered.
const DEATHS_MAX: usize = 8;

/// Marks an answer, called so, as being applied at `now`; how many VMs it has ended.
pub fn begin(data: &impl SharedData, name: &[u8], now: u64) -> Result<u8, HostFailure> {
    let name = crc32fast::hash(name);
    let mut ended = 0;
    update(data, Key::single(Kind::Mark), |present| {
        let mut mark = Mark::of(present);
        if mark.applying {
            mark.has_ended_a_vm();
        }
        ended = mark.deaths.iter().find(|death| death.name == name).map_or(0, |death| death.counted(now));
        Some(Mark { applying: true, name, at: now, ..mark }.value())
    })?;
    Ok(ended)
}

/// Takes the mark off: this VM has survived. `progress`: something came into force.
pub fn end(data: &impl SharedData, progress: bool) -> Result<(), HostFailure> {
    update(data, Key::single(Kind::Mark), |present| {
        let mut mark = Mark::of(present);
        mark.applying = false;
        if progress {
            mark.in_a_row = 0;
            mark.deaths.clear();
        }
        // What is deadly was not applied, and so not survived.
        mark.deaths.retain(|death| death.name != mark.name || death.ended >= DEADLY_AFTER);
        Some(mark.value())
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

#[derive(Clone, Debug, Default)]
struct Mark {
    applying: bool,
    /// Of what is or was being applied last, and when that began.
    name: u32,
    at: u64,
    /// VMs that ended since anything came into force.
    in_a_row: u8,
    deaths: Vec<Death>,
}

/// How many VMs ended with one answer, and when the last of them began.
#[derive(Clone, Copy, Debug)]
struct Death {
    name: u32,
    ended: u8,
    at: u64,
}

impl Death {
    /// What was deadly a while ago may be tried once.
    fn counted(&self, now: u64) -> u8 {
        let long_ago = now.saturating_sub(self.at) >= PAUSE_MS;
        if long_ago { self.ended.min(DEADLY_AFTER.saturating_sub(1)) } else { self.ended }
    }
}

impl Mark {
    fn has_ended_a_vm(&mut self) {
        let Self { name, at, .. } = *self;
        self.in_a_row = self.in_a_row.saturating_add(1);
        let before = self.deaths.iter().position(|death| death.name == name).map(|index| self.deaths.remove(index));
        let ended = before.map_or(0, |death| death.ended).saturating_add(1);
        if self.deaths.len() >= DEATHS_MAX {
            self.deaths.remove(0);
        }
        self.deaths.push(Death { name, ended, at });
    }

    fn of(value: Option<&Value>) -> Self {
        let read = |value: &Value| {
            let (head, rest) = value.payload.split_first_chunk::<10>()?;
            let [applying, in_a_row, at @ ..] = *head;
            let (deaths, []) = rest.as_chunks::<13>() else {
                return None;
            };
            let death = |[n0, n1, n2, n3, ended, at @ ..]: &[u8; 13]| Death {
                name: u32::from_le_bytes([*n0, *n1, *n2, *n3]),
                ended: *ended,
                at: u64::from_le_bytes(*at),
            };
            let (name, at) = (value.generation, u64::from_le_bytes(at));
            Some(Self { applying: applying != 0, name, at, in_a_row, deaths: deaths.iter().map(death).collect() })
        };
        value.and_then(read).unwrap_or_default()
    }

    fn value(&self) -> Value {
        let Self { applying, name, at, in_a_row, deaths } = self;
        let mut payload = vec![u8::from(*applying), *in_a_row];
        payload.extend_from_slice(&at.to_le_bytes());
        for Death { name, ended, at } in deaths {
            payload.extend_from_slice(&name.to_le_bytes());
            payload.push(*ended);
            payload.extend_from_slice(&at.to_le_bytes());
        }
        Value { generation: *name, revision: 0, payload }
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
        end(&map, false).unwrap();
        assert_eq!(begin(&map, b"page", 3), Ok(0), "survived, it is no longer");
        assert_eq!(begin(&map, b"page", 4), Ok(1));
        assert_eq!(begin(&map, b"page", 5), Ok(DEADLY_AFTER));
        end(&map, false).unwrap();
        assert_eq!(begin(&map, b"page", 6), Ok(DEADLY_AFTER), "it was left out, not survived");
    }

    #[test]
    fn what_is_deadly_stays_so_while_others_are_tried_until_something_comes_into_force() {
        let map = Map::default();
        begin(&map, b"change", 1).unwrap();
        begin(&map, b"change", 2).unwrap();
        assert_eq!(begin(&map, b"change", 3), Ok(DEADLY_AFTER));
        end(&map, false).unwrap();
        assert_eq!(begin(&map, b"page", 4), Ok(0));
        assert_eq!(begin(&map, b"change", 5), Ok(DEADLY_AFTER), "the VM that tried the page ended");
        end(&map, false).unwrap();
        assert_eq!(begin(&map, b"page", 6), Ok(1));
        end(&map, true).unwrap();
        assert_eq!(begin(&map, b"change", 7), Ok(0));
    }

    #[test]
    fn what_was_deadly_is_tried_once_more_after_a_while() {
        let map = Map::default();
        begin(&map, b"page", 1).unwrap();
        begin(&map, b"page", 2).unwrap();
        assert_eq!(begin(&map, b"page", 3), Ok(DEADLY_AFTER));
        end(&map, false).unwrap();
        let later = 2 + PAUSE_MS;
        assert_eq!(begin(&map, b"page", later), Ok(DEADLY_AFTER - 1));
        assert!(begin(&map, b"page", later + 1).unwrap() >= DEADLY_AFTER, "it was deadly still");
    }

    #[test]
    fn as_many_as_can_be_remembered() {
        let map = Map::default();
        for name in 0..=u8::MAX {
            begin(&map, &[name], 1).unwrap();
        }
        assert_eq!(begin(&map, &[u8::MAX], 2), Ok(1));
        assert_eq!(begin(&map, &[0], 2), Ok(0));
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
