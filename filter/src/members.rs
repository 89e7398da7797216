//! Which VMs of a proxy are alive, so that the proxy can say how many workers it has.
//!
//! Each takes a place and renews it; one that vanishes loses its place after a while. Nothing depends on it but what an
//! administrator is shown.

use crate::store::{HostFailure, Key, Kind, Read, SharedData, Value, read, update};

/// How often a VM renews its place, in milliseconds.
pub const RENEW_MS: u64 = 1000;

/// How long a place is kept for a VM that is silent.
const KEPT_MS: u64 = 4000;

/// The most VMs that are counted.
const PLACES: u32 = 512;

/// One VM.
#[derive(Debug)]
pub struct Member {
    id: [u8; 8],
    place: u32,
}

impl Member {
    /// A VM that calls itself by this number.
    pub fn new(id: u64) -> Self {
        Self { id: id.to_le_bytes(), place: 0 }
    }

    /// Says at `now` that it is alive, and whether it has been given requests.
    pub fn renew(&mut self, data: &impl SharedData, now: u64, serves: bool) -> Result<(), HostFailure> {
        for _ in 0..PLACES {
            let key = place(self.place)?;
            let mut taken = false;
            update(data, key, |present| {
                taken = present.is_none_or(|present| present.payload == self.id || !is_alive(present, now));
                taken.then(|| Value { generation: u32::from(serves), revision: now, payload: self.id.to_vec() })
            })?;
            if taken {
                return Ok(());
            }
            self.place = self.place.wrapping_add(1) & PLACES.wrapping_sub(1);
        }
        Ok(()) // there are too many to count
    }
}

/// How many VMs serve requests. In Envoy one VM more is the main thread's, which serves none; one that has not been given
/// any yet looks the same.
pub fn workers(data: &impl SharedData, now: u64, main_thread_has_one: bool) -> Result<u16, HostFailure> {
    let (mut alive, mut serving) = (0u16, 0u16);
    for number in 0..PLACES {
        match read(data, place(number)?)? {
            Read::Absent => break,
            Read::Whole(value) if is_alive(&value, now) => {
                alive = alive.saturating_add(1);
                serving = serving.saturating_add(u16::from(value.generation != 0));
            }
            Read::Whole(_) | Read::Broken => {}
        }
    }
    Ok(serving.max(alive.saturating_sub(u16::from(main_thread_has_one))))
}

fn is_alive(value: &Value, now: u64) -> bool {
    now.saturating_sub(value.revision) < KEPT_MS
}

fn place(number: u32) -> Result<Key, HostFailure> {
    Key::of_generation(Kind::Member, 0, number).ok_or(HostFailure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;

    #[test]
    fn the_living_are_counted_but_for_the_main_thread() {
        let map = Map::default();
        let mut vms: Vec<Member> = (0..5).map(Member::new).collect();
        for (number, vm) in vms.iter_mut().enumerate() {
            vm.renew(&map, 1000, number == 3).unwrap();
        }
        assert_eq!(workers(&map, 1000, true), Ok(4));
        for vm in &mut vms[..2] {
            vm.renew(&map, 4000, true).unwrap();
        }
        assert_eq!(workers(&map, 5000, true), Ok(2), "three fell silent, the others have both been given requests");
        Member::new(9).renew(&map, 5000, false).unwrap();
        assert_eq!(workers(&map, 5000, true), Ok(2), "a new one takes a place that is free");
        assert_eq!(map.0.borrow().len(), 5);
    }
}
