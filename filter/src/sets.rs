//! Sets of restrictions, read and compiled, kept in the VM: to do so takes as long as some requests.
//!
//! A set is found by the hash of its text, so what is kept never grows stale. What is kept is bounded; if it is too much,
//! those go that were used least recently. It may all vanish with the VM.

use policy::KeyedHash;
use policy::restrictions::Set;
use std::collections::HashMap;
use std::rc::Rc;

/// Bytes that all kept sets may take together: some dozens of the largest, thousands of ordinary ones.
const MEMORY_MAX: usize = 24 * 1024 * 1024;

/// The sets that this VM has read.
#[derive(Debug, Default)]
pub struct Sets {
    kept: HashMap<KeyedHash, Kept>,
    memory: usize,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    set: Rc<Set>,
    /// Bytes that it had when it was used last, beside those that it has made since.
    size: usize,
    made: usize,
    used: u64,
}

impl Sets {
    /// The set with this hash, if it is kept. What it has made since is counted now.
    pub fn get(&mut self, hash: &KeyedHash) -> Option<Rc<Set>> {
        self.uses += 1;
        let kept = self.kept.get_mut(hash)?;
        let grown = kept.set.made().saturating_sub(kept.made);
        (kept.size, kept.made, kept.used) = (kept.size.saturating_add(grown), kept.set.made(), self.uses);
        let set = kept.set.clone();
        self.memory = self.memory.saturating_add(grown);
        self.make_room();
        Some(set)
    }

    /// Keeps a set, and lets others go for it.
    pub fn keep(&mut self, hash: KeyedHash, set: Rc<Set>) {
        self.uses += 1;
        let size = set.memory().saturating_add(256); // and its place here
        let kept = Kept { size, made: set.made(), set, used: self.uses };
        let replaced = self.kept.insert(hash, kept).map_or(0, |kept| kept.size);
        self.memory = self.memory.saturating_add(size).saturating_sub(replaced);
        self.make_room();
    }

    /// If it is too much, half of them goes at once: to look for the oldest takes a look at all.
    fn make_room(&mut self) {
        if self.memory <= MEMORY_MAX {
            return;
        }
        let mut used: Vec<u64> = self.kept.values().map(|kept| kept.used).collect();
        let middle = used.len() / 2;
        let (_, median, _) = used.select_nth_unstable(middle);
        let median = *median;
        self.kept.retain(|_, kept| kept.used >= median);
        self.memory = self.kept.values().map(|kept| kept.size).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::restrictions::Body;

    fn hash(number: u32) -> KeyedHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        KeyedHash::from_bytes(hash)
    }

    fn set(lines: usize) -> Rc<Set> {
        Rc::new(Set::saved(&".*/rest/api/2/issue/JRA.*\n".repeat(lines)).unwrap())
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut sets = Sets::default();
        let one = set(1000);
        let fit = u32::try_from(MEMORY_MAX / (one.memory() + 256)).unwrap();
        for number in 0..fit {
            sets.keep(hash(number), one.clone());
        }
        assert!(sets.get(&hash(0)).is_some());
        sets.keep(hash(fit), one.clone());
        assert!(sets.memory <= MEMORY_MAX);
        assert!(sets.get(&hash(0)).is_some() && sets.get(&hash(fit)).is_some(), "used just now");
        assert!(sets.get(&hash(1)).is_none() && sets.get(&hash(fit / 2 - 1)).is_none(), "used least recently");
        assert!(sets.get(&hash(fit - 1)).is_some());
        assert_eq!(sets.memory, sets.kept.values().map(|kept| kept.size).sum::<usize>());
    }

    #[test]
    fn what_a_set_makes_while_it_judges_is_counted() {
        let mut sets = Sets::default();
        for number in 0..100 {
            sets.keep(hash(number), set(1000));
        }
        assert_eq!(sets.kept.len(), 100);
        for number in 0..100 {
            if let Some(set) = sets.get(&hash(number)) {
                set.judge(b"GET", b"/x", b"", Body::None);
                sets.get(&hash(number));
            }
            assert!(sets.memory <= MEMORY_MAX);
        }
        assert!(sets.kept.len() < 40, "{} sets of a megabyte each", sets.kept.len());
    }

    #[test]
    fn attack_l11_two_large_sets_in_turn_do_not_push_each_other_out() {
        let mut sets = Sets::default();
        let large = |begin: &str| {
            let lines: Vec<String> = (0..1000).map(|line| format!(".*/{begin}/[a-z]+/{line:0>40}")).collect();
            Rc::new(Set::saved(&lines.join("\n")).unwrap())
        };
        for (number, begin) in [(1, "one"), (2, "two")] {
            sets.keep(hash(number), large(begin));
        }
        for number in [1, 2, 1, 2] {
            sets.get(&hash(number)).unwrap().judge(b"GET", b"/rest/x", b"", Body::None);
        }
    }
}
