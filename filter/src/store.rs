//! Values in the proxy's shared data, in a form that survives what proxies do to them.
//!
//! Keys are exactly four ASCII bytes, because NGINX tells keys apart by their CRC-32 alone and four bytes cannot
//! collide in it. Every value carries its key, length, generation, revision and a checksum, because a read in NGINX can
//! be torn. Writes are compare-and-swap, and the newer value stays: a VM that slept through its lease must not be able
//! to undo a revocation.
//!
//! ```text
//! key: kind and generation bit (1 byte) | number, 7 bits a byte (3 bytes)
//! value: key (4) | length (4) | generation (4) | revision (8) | CRC-32 of all else (4) | payload
//! ```

/// A key: four ASCII bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 4]);

/// What a key names. Another version of the value's form gets other letters, since two versions of the filter may share
/// their data for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is in force.
    Head,
    /// Who keeps the snapshot current.
    Lease,
    /// Which proxy process this is.
    Instance,
    /// The last generation that anybody began.
    Generation,
    /// The last change that anybody began.
    Change,
    /// The settings document of a generation.
    Settings,
    /// A shard of tokens of a generation.
    Tokens,
    /// A shard of users of a generation.
    Users,
    /// A shard of sets of restrictions of a generation.
    Restrictions,
    /// How many questions were asked.
    Questions,
    /// Which generation a request could not read, and when.
    Unreadable,
    /// What is being applied.
    Mark,
    /// A VM that is alive.
    Member,
    /// Which batches of usage there are.
    Ring,
    /// A batch of usage.
    Batch,
}

impl Key {
    /// A value of which there is one.
    pub fn single(kind: Kind) -> Self {
        Self([kind.letter(), 0, 0, 0])
    }

    /// A value of a generation; two generations have different keys if they differ by an odd number. Numbers beyond 21
    /// bits have no key.
    pub fn of_generation(kind: Kind, generation: u32, number: u32) -> Option<Self> {
        let seven_bits = |shift: u32| u8::try_from((number >> shift) & 0x7f).unwrap_or_default();
        // The generation bit is the bit that makes a letter small.
        let letter = if generation & 1 == 0 { kind.letter() } else { kind.letter() | 0x20 };
        (number >> 21 == 0).then(|| Self([letter, seven_bits(14), seven_bits(7), seven_bits(0)]))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Head => b'H',
            Self::Lease => b'L',
            Self::Instance => b'I',
            Self::Generation => b'G',
            Self::Change => b'C',
            Self::Settings => b'S',
            Self::Tokens => b'T',
            Self::Users => b'U',
            Self::Restrictions => b'R',
            Self::Questions => b'Q',
            Self::Unreadable => b'X',
            Self::Mark => b'M',
            Self::Member => b'V',
            Self::Ring => b'O',
            Self::Batch => b'B',
        }
    }
}

/// The proxy's shared data: a map that all VMs of the process see.
pub trait SharedData {
    /// Reads a value and the mark with which it can be replaced.
    fn get(&self, key: Key) -> Result<Option<(Vec<u8>, Cas)>, HostFailure>;

    /// Replaces the value that was read with `cas`; with [`Cas::ABSENT`], creates one where there was none.
    fn set(&self, key: Key, bytes: &[u8], cas: Cas) -> Result<Swap, HostFailure>;
}

/// A mark of a value as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cas(pub u32);

impl Cas {
    /// There was no value. (The adapter says it in the host's own way.)
    pub const ABSENT: Self = Self(0);
}

/// Whether a compare-and-swap took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Yes.
    Done,
    /// Somebody else was faster.
    Lost,
}

/// The host refused a call that cannot go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFailure;

/// A value as it lies in shared data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The generation to which it belongs.
    pub generation: u32,
    /// The revision that wrote it.
    pub revision: u64,
    /// What it says.
    pub payload: Vec<u8>,
}

/// What became of a fenced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is written, or was there already.
    Done,
    /// A newer one is there, and stays.
    Fenced,
}

const HEADER_LEN: usize = 24;

/// Attempts at a compare-and-swap: with a handful of VMs the fourth has never been needed.
const SWAPS_MAX: usize = 32;

impl Value {
    fn encode(&self, key: Key) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(self.payload.len()));
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.revision.to_le_bytes());
        let checksum = checksum(&bytes, &self.payload);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn decode(key: Key, bytes: &[u8]) -> Option<Self> {
        let (header, payload) = bytes.split_at_checked(HEADER_LEN)?;
        let (fields, stored_checksum) = header.split_last_chunk::<4>()?;
        let (stored_key, rest) = fields.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        let (revision, _) = rest.split_first_chunk::<8>()?;
        let whole = stored_key == key.as_bytes()
            && usize::try_from(u32::from_le_bytes(*length)) == Ok(payload.len())
            && u32::from_le_bytes(*stored_checksum) == checksum(fields, payload);
        whole.then(|| Self {
            generation: u32::from_le_bytes(*generation),
            revision: u64::from_le_bytes(*revision),
            payload: payload.to_vec(),
        })
    }
}

fn checksum(fields: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(fields);
    hasher.update(payload);
    hasher.finalize()
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing was ever written there.
    Absent,
    /// A whole value.
    Whole(Value),
    /// Something else, twice in a row.
    Broken,
}

/// Reads a value; a torn one is read once more, then reported as broken.
pub fn read(data: &impl SharedData, key: Key) -> Result<Read, HostFailure> {
    for _ in 0..2 {
        match data.get(key)? {
            None => return Ok(Read::Absent),
            Some((bytes, _)) => {
                if let Some(value) = Value::decode(key, &bytes) {
                    return Ok(Read::Whole(value));
                }
            }
        }
    }
    Ok(Read::Broken)
}

/// Writes what `change` makes of the present value (`None`: absent or broken), by compare-and-swap, until it sticks or
/// `change` wants nothing written. Gives the value that is there afterwards.
pub fn update(
    data: &impl SharedData,
    key: Key,
    mut change: impl FnMut(Option<&Value>) -> Option<Value>,
) -> Result<Option<Value>, HostFailure> {
    for _ in 0..SWAPS_MAX {
        let (present, cas) = match data.get(key)? {
            None => (None, Cas::ABSENT),
            Some((bytes, cas)) => (Value::decode(key, &bytes), cas),
        };
        let Some(wanted) = change(present.as_ref()) else {
            return Ok(present);
        };
        if data.set(key, &wanted.encode(key), cas)? == Swap::Done {
            return Ok(Some(wanted));
        }
    }
    Err(HostFailure)
}

/// Writes a value unless a newer one is there: of a later generation, or of the same and a later revision.
pub fn write_fenced(data: &impl SharedData, key: Key, value: &Value) -> Result<Write, HostFailure> {
    let mut outcome = Write::Done;
    update(data, key, |present| {
        outcome = Write::Done;
        let order = |value: &Value| (value.generation, value.revision);
        match present.map(|present| order(present).cmp(&order(value))) {
            None | Some(std::cmp::Ordering::Less) => Some(value.clone()),
            // The same revision says the same, unless a database was restored and counts it again: then this is news.
            Some(std::cmp::Ordering::Equal) => (present != Some(value)).then(|| value.clone()),
            Some(std::cmp::Ordering::Greater) => {
                outcome = Write::Fenced;
                None
            }
        }
    })?;
    Ok(outcome)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// Shared data as a proxy keeps it.
    #[derive(Default)]
    pub(crate) struct Map(pub(crate) RefCell<BTreeMap<Key, (Vec<u8>, u32)>>);

    impl SharedData for Map {
        fn get(&self, key: Key) -> Result<Option<(Vec<u8>, Cas)>, HostFailure> {
            Ok(self.0.borrow().get(&key).map(|(bytes, cas)| (bytes.clone(), Cas(*cas))))
        }

        fn set(&self, key: Key, bytes: &[u8], cas: Cas) -> Result<Swap, HostFailure> {
            let mut map = self.0.borrow_mut();
            let present = map.get(&key).map_or(0, |(_, cas)| *cas);
            if present != cas.0 {
                return Ok(Swap::Lost);
            }
            map.insert(key, (bytes.to_vec(), present + 1));
            Ok(Swap::Done)
        }
    }

    fn value(generation: u32, revision: u64) -> Value {
        Value { generation, revision, payload: vec![1, 2, 3] }
    }

    #[test]
    fn keys_are_ascii_and_distinct() {
        let numbers = [0, 1, 127, 128, 16_384, (1 << 21) - 1];
        let single = [Kind::Head, Kind::Lease, Kind::Instance, Kind::Generation, Kind::Change];
        let more = [Kind::Questions, Kind::Unreadable, Kind::Mark, Kind::Ring];
        let mut keys: Vec<Key> = single.into_iter().chain(more).map(Key::single).collect();
        for generation in [4, 5] {
            for kind in [Kind::Settings, Kind::Tokens, Kind::Users, Kind::Restrictions, Kind::Member, Kind::Batch] {
                keys.extend(numbers.map(|number| Key::of_generation(kind, generation, number).unwrap()));
            }
        }
        assert!(keys.iter().all(|key| key.as_bytes().is_ascii()));
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert_eq!(Key::of_generation(Kind::Tokens, 0, 1 << 21), None);
    }

    #[test]
    fn a_torn_value_is_never_taken_for_a_whole_one() {
        let key = Key::single(Kind::Head);
        let (old, new) = (value(1, 1).encode(key), Value { payload: vec![9; 3], ..value(1, 2) }.encode(key));
        for cut in 1..old.len() {
            let torn = [&new[..cut], &old[cut..]].concat();
            let decoded = Value::decode(key, &torn);
            assert!(decoded.is_none() || torn == old || torn == new, "torn at {cut}");
        }
        for length in 0..old.len() {
            assert_eq!(Value::decode(key, &old[..length]), None);
        }
        assert_eq!(Value::decode(Key::single(Kind::Lease), &old), None, "another key's value");
    }

    #[test]
    fn an_older_revision_never_replaces_a_newer_one() {
        let (map, key) = (Map::default(), Key::single(Kind::Head));
        assert_eq!(write_fenced(&map, key, &value(2, 7)), Ok(Write::Done));
        assert_eq!(write_fenced(&map, key, &value(2, 6)), Ok(Write::Fenced));
        assert_eq!(write_fenced(&map, key, &value(1, 9)), Ok(Write::Fenced));
        assert_eq!(read(&map, key), Ok(Read::Whole(value(2, 7))));
        assert_eq!(write_fenced(&map, key, &value(2, 8)), Ok(Write::Done));
        assert_eq!(write_fenced(&map, key, &value(3, 1)), Ok(Write::Done));
        assert_eq!(read(&map, key), Ok(Read::Whole(value(3, 1))));
    }

    #[test]
    fn a_broken_value_is_reported_and_replaced() {
        let (map, key) = (Map::default(), Key::single(Kind::Head));
        map.set(key, b"rubbish", Cas::ABSENT).unwrap();
        assert_eq!(read(&map, key), Ok(Read::Broken));
        assert_eq!(write_fenced(&map, key, &value(1, 1)), Ok(Write::Done));
        assert_eq!(read(&map, key), Ok(Read::Whole(value(1, 1))));
    }
}
