//! Compiled sets of restrictions, kept in the VM: compiling one takes as long as some hundred requests.
//!
//! A set is found by the hash of its text, so what is kept never grows stale. What is kept is bounded; the set that was
//! used least recently goes first. It may all vanish with the VM.

use policy::KeyedHash;
use policy::restrictions::Set;
use std::rc::Rc;

/// Bytes that all kept sets may take together: some thousands of ordinary ones, and the largest that is allowed.
const MEMORY_MAX: usize = 24 * 1024 * 1024;

/// The sets that this VM has compiled.
#[derive(Debug, Default)]
pub struct Sets {
    /// The most recently used last.
    kept: Vec<(KeyedHash, Rc<Set>)>,
    memory: usize,
}

impl Sets {
    /// The set with this hash, if it is kept.
    pub fn get(&mut self, hash: &KeyedHash) -> Option<Rc<Set>> {
        let index = self.kept.iter().rposition(|(kept, _)| kept == hash)?;
        let used = self.kept.remove(index);
        let set = used.1.clone();
        self.kept.push(used);
        Some(set)
    }

    /// Keeps a set, and lets others go for it.
    pub fn keep(&mut self, hash: KeyedHash, set: Rc<Set>) {
        self.memory = self.memory.saturating_add(size(&set));
        self.kept.push((hash, set));
        let mut gone = 0;
        for (_, oldest) in &self.kept {
            if self.memory <= MEMORY_MAX {
                break;
            }
            self.memory = self.memory.saturating_sub(size(oldest));
            gone += 1;
        }
        self.kept.drain(..gone);
    }
}

/// A set takes this at most, and its place in the list.
fn size(set: &Set) -> usize {
    set.memory().saturating_add(256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u32) -> KeyedHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        KeyedHash::from_bytes(hash)
    }

    fn set(text: &str) -> Rc<Set> {
        Rc::new(Set::parse(&[text]).unwrap().unwrap())
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut sets = Sets::default();
        let one = set(".*/rest/api/2/issue/JRA.*");
        let fit = u32::try_from(MEMORY_MAX / size(&one)).unwrap();
        for number in 0..fit {
            sets.keep(hash(number), one.clone());
        }
        assert!(sets.get(&hash(0)).is_some());
        sets.keep(hash(fit), one.clone());
        assert!(sets.memory <= MEMORY_MAX);
        assert!(sets.get(&hash(0)).is_some(), "used just now");
        assert!(sets.get(&hash(1)).is_none(), "the one that was used least recently");
        assert_eq!(sets.memory, sets.kept.iter().map(|(_, set)| size(set)).sum::<usize>());
    }
}
