//! A shard: the few tokens, or users, whose hashes share their first bits; the unit in which they travel and are looked
//! up.
//!
//! Wire form, version 2 (1 was never released): one byte of version, then postcard: a list of (32 bytes of hash,
//! record as its own postcard). A record is decoded only when its hash has matched, and every hash is compared, so
//! the time a look-up takes tells nothing about where in the shard a hash stands. `tests/golden/` holds a shard of
//! each version ever written.

use crate::{KeyedHash, Record};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::{Deserialize, Serialize};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Entries a shard may have. The control plane aims at 4; a Poisson tail beyond 256 does not occur.
pub const ENTRIES_MAX: usize = 256;

/// Bytes an encoded shard may have: 256 users with the longest credentials fit, or 16 of the largest sets of restrictions.
pub const SHARD_LEN_MAX: usize = 1024 * 1024 + 64 * 1024;

const VERSION: u8 = 2;

/// How many shards a snapshot has: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ShardCount {
    bits: u8,
}

impl ShardCount {
    /// The most bits: 2^21 shards are what a four-byte key of shared data can number.
    pub const BITS_MAX: u8 = 21;
    /// The fewest bits: below 64 shards a change of their number would cost more than it saves.
    pub const BITS_MIN: u8 = 6;

    /// 2^bits shards.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits <= Self::BITS_MAX).then_some(Self { bits })
    }

    /// The number at which so many records come to about `per_shard` a shard.
    pub fn for_records(records: usize, per_shard: usize) -> Self {
        let shards = records.checked_div(per_shard).unwrap_or(records).max(1).next_power_of_two();
        let bits = u8::try_from(shards.trailing_zeros()).unwrap_or(Self::BITS_MAX);
        Self { bits: bits.clamp(Self::BITS_MIN, Self::BITS_MAX) }
    }

    /// Twice as many, if they can be numbered.
    pub fn doubled(self) -> Option<Self> {
        Self::from_bits(self.bits.saturating_add(1))
    }

    /// The number of shards.
    pub fn get(self) -> u32 {
        1u32.checked_shl(u32::from(self.bits)).unwrap_or(1)
    }

    /// The number of the shard in which a hash belongs: its first bits.
    pub fn shard_of(self, hash: &KeyedHash) -> u32 {
        hash.leading_bits().checked_shr(32u32.saturating_sub(u32::from(self.bits))).unwrap_or(0)
    }
}

impl TryFrom<u8> for ShardCount {
    type Error = &'static str;

    fn try_from(bits: u8) -> Result<Self, Self::Error> {
        Self::from_bits(bits).ok_or("more shards than can be numbered")
    }
}

impl From<ShardCount> for u8 {
    fn from(count: ShardCount) -> Self {
        count.bits
    }
}

/// How many shards a snapshot has of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Of tokens, by their hash.
    pub tokens: ShardCount,
    /// Of users, by the hashes of their names and e-mail addresses.
    pub users: ShardCount,
    /// Of sets of restrictions, by the hashes of their texts.
    pub restrictions: ShardCount,
}

impl Layout {
    /// The number of all shards: those of tokens are numbered first, then those of users, then those of restrictions.
    pub fn shards(self) -> u32 {
        self.tokens.get().saturating_add(self.users.get()).saturating_add(self.restrictions.get())
    }
}

/// A shard in its encoded form, checked: version, lengths and limits are right.
#[derive(Debug)]
pub struct Shard<'a, R> {
    entries: Vec<Entry<'a>>,
    records: PhantomData<R>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry<'a> {
    hash: [u8; 32],
    #[serde(borrow)]
    record: &'a [u8],
}

/// Why bytes are no shard, or records cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardError {
    /// Written by another version.
    Version(Option<u8>),
    /// Cut off, trailing bytes, or no postcard.
    Malformed,
    /// Beyond [`ENTRIES_MAX`] or [`SHARD_LEN_MAX`].
    TooLarge,
}

impl fmt::Display for ShardError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Some(version)) => write!(formatter, "shard of version {version}, expected {VERSION}"),
            Self::Version(None) => formatter.write_str("empty shard"),
            Self::Malformed => formatter.write_str("malformed shard"),
            Self::TooLarge => write!(formatter, "shard beyond {ENTRIES_MAX} entries or {SHARD_LEN_MAX} bytes"),
        }
    }
}

impl core::error::Error for ShardError {}

impl<'a, R: Record> Shard<'a, R> {
    /// Reads a shard.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ShardError> {
        if bytes.len() > SHARD_LEN_MAX {
            return Err(ShardError::TooLarge);
        }
        let rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            other => return Err(ShardError::Version(other.map(|(version, _)| *version))),
        };
        let (entries, trailing) =
            postcard::take_from_bytes::<Vec<Entry<'a>>>(rest).map_err(|_| ShardError::Malformed)?;
        if !trailing.is_empty() {
            return Err(ShardError::Malformed);
        }
        if entries.len() > ENTRIES_MAX {
            return Err(ShardError::TooLarge);
        }
        Ok(Self { entries, records: PhantomData })
    }

    /// Writes a shard; the order of the entries is kept.
    pub fn encode<'r>(records: impl IntoIterator<Item = (&'r KeyedHash, &'r R)>) -> Result<Vec<u8>, ShardError>
    where
        R: 'r,
    {
        let records = records
            .into_iter()
            .map(|(hash, record)| postcard::to_allocvec(record).map(|record| (*hash.as_bytes(), record)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| ShardError::Malformed)?;
        let entries: Vec<Entry<'_>> = records.iter().map(|(hash, record)| Entry { hash: *hash, record }).collect();
        let bytes = postcard::to_extend(&entries, alloc::vec![VERSION]).map_err(|_| ShardError::Malformed)?;
        if entries.len() > ENTRIES_MAX || bytes.len() > SHARD_LEN_MAX {
            return Err(ShardError::TooLarge);
        }
        Ok(bytes)
    }

    /// The record with this hash. Compares with **every** entry, in constant time.
    pub fn find(&self, hash: &KeyedHash) -> Result<Option<R>, ShardError> {
        let mut found = u32::MAX;
        for (index, entry) in self.entries.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            found.conditional_assign(&index, KeyedHash::from_bytes(entry.hash).ct_eq(hash));
        }
        match usize::try_from(found).ok().and_then(|index| self.entries.get(index)) {
            Some(entry) => postcard::from_bytes(entry.record).map(Some).map_err(|_| ShardError::Malformed),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Addresses, Binding, Owner, RestrictionsRecord, Scope, Timestamp, TokenRecord, TokenState, UserRecord};
    use alloc::vec;
    use proptest::prelude::*;

    fn record(id: &str) -> TokenRecord {
        TokenRecord {
            id: id.into(),
            binding: Binding::User(Owner {
                name: "alice".into(),
                email: Some("alice@example.org".into()),
                sysadmin: false,
            }),
            created_at: Timestamp::from_millis(1_790_000_000_000),
            valid_from: None,
            expires_at: Some(Timestamp::from_millis(1_800_000_000_000)),
            state: TokenState::Active,
            scope: Scope::Full,
            addresses: Addresses::Any,
            restrictions: None,
        }
    }

    type Tokens<'a> = Shard<'a, TokenRecord>;

    fn hash(byte: u8) -> KeyedHash {
        KeyedHash::from_bytes([byte; 32])
    }

    #[test]
    fn golden_version_2_is_read_and_written_as_ever() {
        let golden = include_bytes!("../tests/golden/shard-v2.bin");
        let restricted = TokenRecord {
            scope: Scope::ReadOnly,
            addresses: Addresses::Only(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            restrictions: Some(hash(9)),
            ..record("third")
        };
        let unbound = TokenRecord { expires_at: None, binding: Binding::Unbound, ..record("second") };
        let records = [(hash(1), record("first")), (hash(2), unbound), (hash(3), restricted)];
        let encoded = Tokens::encode(records.iter().map(|(hash, record)| (hash, record))).unwrap();
        assert_eq!(encoded, golden, "the wire form changed: give it a new version and a golden file of its own");
        let shard = Tokens::decode(golden).unwrap();
        for (hash, record) in records {
            assert_eq!(shard.find(&hash).unwrap().unwrap(), record);
        }
    }

    #[test]
    fn golden_records_of_0_1_0_are_read_and_written_as_ever() {
        let states = [TokenState::Active, TokenState::Deleted, TokenState::OwnerSuspended];
        let tokens =
            states.map(|state| TokenRecord { state, valid_from: Some(Timestamp::from_millis(7)), ..record("a") });
        let user = UserRecord {
            name: "alice".into(),
            email: Some("alice@example.org".into()),
            sysadmin: true,
            suspended: true,
            credential: Some(vec![1, 2, 3]),
        };
        let plain = UserRecord { email: None, sysadmin: false, suspended: false, credential: None, ..user.clone() };
        golden("tokens", &tokens);
        golden("users", &[user, plain]);
        golden("restrictions", &[RestrictionsRecord { text: "[get].*/rest/.*".into() }]);
    }

    #[test]
    fn what_a_later_release_adds_at_the_end_of_a_record_is_ignored() {
        let longer = [postcard::to_allocvec(&record("a")).unwrap(), b"more".to_vec()].concat();
        let entries = [Entry { hash: [1; 32], record: &longer }, Entry { hash: [2; 32], record: &longer }];
        let bytes = postcard::to_extend(entries.as_slice(), vec![VERSION]).unwrap();
        assert_eq!(Tokens::decode(&bytes).unwrap().find(&hash(2)), Ok(Some(record("a"))));
    }

    fn golden<R: Record + PartialEq + fmt::Debug>(name: &str, records: &[R]) {
        let golden = crate::golden::of_0_1_0(name);
        let records: Vec<_> = (0u8..).map(hash).zip(records).collect();
        let encoded = Shard::encode(records.iter().map(|(hash, record)| (hash, *record))).unwrap();
        assert_eq!(encoded, golden, "{name} changed: a record may only grow at its end, with a golden of its own");
        let shard = Shard::<R>::decode(&golden).unwrap();
        for (hash, record) in records {
            assert_eq!(shard.find(&hash).unwrap().as_ref(), Some(record));
        }
    }

    #[test]
    fn every_entry_can_be_found_and_nothing_else() {
        let records: Vec<_> = (0..20).map(|byte| (hash(byte), record(&std::format!("id-{byte}")))).collect();
        let bytes = Tokens::encode(records.iter().map(|(hash, record)| (hash, record))).unwrap();
        let shard = Tokens::decode(&bytes).unwrap();
        for (hash, record) in &records {
            assert_eq!(shard.find(hash).unwrap().as_ref(), Some(record));
        }
        assert_eq!(shard.find(&hash(20)).unwrap(), None);
    }

    #[test]
    fn another_version_and_trailing_bytes_are_refused() {
        let mut bytes = Tokens::encode([(&hash(1), &record("a"))]).unwrap();
        bytes.push(0);
        assert_eq!(Tokens::decode(&bytes).unwrap_err(), ShardError::Malformed);
        bytes[0] = 9;
        assert_eq!(Tokens::decode(&bytes).unwrap_err(), ShardError::Version(Some(9)));
        assert_eq!(Tokens::decode(&[]).unwrap_err(), ShardError::Version(None));
    }

    #[test]
    fn limits_hold_when_writing_and_when_reading() {
        let (hash, small) = (hash(1), record("a"));
        let many = vec![(&hash, &small); ENTRIES_MAX + 1];
        assert_eq!(Tokens::encode(many).unwrap_err(), ShardError::TooLarge);
        assert_eq!(Tokens::decode(&vec![VERSION; SHARD_LEN_MAX + 1]).unwrap_err(), ShardError::TooLarge);
    }

    #[test]
    fn shards_are_chosen_by_the_first_bits() {
        let count = ShardCount::from_bits(6).unwrap();
        assert_eq!(count.get(), 64);
        assert_eq!(count.shard_of(&KeyedHash::from_bytes([0xff; 32])), 63);
        assert_eq!(count.shard_of(&KeyedHash::from_bytes([0; 32])), 0);
        assert_eq!(ShardCount::from_bits(0).unwrap().shard_of(&KeyedHash::from_bytes([0xff; 32])), 0);
        assert_eq!(ShardCount::for_records(0, 4).get(), 64);
        assert_eq!(ShardCount::for_records(1_000_000, 4).get(), 262_144);
        assert!(ShardCount::from_bits(22).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, versioned: bool) {
            if versioned && let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(shard) = Tokens::decode(&bytes) {
                let _ = shard.find(&hash(0));
            }
        }
    }
}
