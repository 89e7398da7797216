//! A shard: the few tokens whose hashes share their first bits; the unit in which tokens travel and are looked up.
//!
//! Wire form, version 1: one byte of version, then postcard: a list of (32 bytes of hash, record as its own postcard).
//! A record is decoded only when its hash has matched, and every hash is compared, so the time a look-up takes tells
//! nothing about where in the shard a hash stands. `tests/golden/` holds a shard of each version ever written.

use crate::{TokenHash, TokenRecord};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Entries a shard may have. The control plane aims at 4; a Poisson tail beyond 256 does not occur.
pub const ENTRIES_MAX: usize = 256;

/// Bytes an encoded shard may have: 256 records of the longest name and address fit.
pub const SHARD_LEN_MAX: usize = 256 * 1024;

const VERSION: u8 = 1;

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

    /// The number at which `tokens` come to about 4 a shard.
    pub fn for_tokens(tokens: usize) -> Self {
        let shards = (tokens / 4).max(1).next_power_of_two();
        let bits = u8::try_from(shards.trailing_zeros()).unwrap_or(Self::BITS_MAX);
        Self { bits: bits.clamp(Self::BITS_MIN, Self::BITS_MAX) }
    }

    /// The number of shards.
    pub fn get(self) -> u32 {
        1u32.checked_shl(u32::from(self.bits)).unwrap_or(1)
    }

    /// The number of the shard in which a hash belongs: its first bits.
    pub fn shard_of(self, hash: &TokenHash) -> u32 {
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

/// A shard in its encoded form, checked: version, lengths and limits are right.
#[derive(Debug)]
pub struct Shard<'a> {
    entries: Vec<Entry<'a>>,
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

impl<'a> Shard<'a> {
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
        Ok(Self { entries })
    }

    /// Writes a shard; the order of the entries is kept.
    pub fn encode<'r>(
        tokens: impl IntoIterator<Item = (&'r TokenHash, &'r TokenRecord)>,
    ) -> Result<Vec<u8>, ShardError> {
        let records = tokens
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

    /// The record of the token with this hash. Compares with **every** entry, in constant time.
    pub fn find(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, ShardError> {
        let mut found = u32::MAX;
        for (index, entry) in self.entries.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            found.conditional_assign(&index, TokenHash::from_bytes(entry.hash).ct_eq(hash));
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
    use crate::{Owner, Timestamp, TokenState};
    use alloc::vec;
    use proptest::prelude::*;

    fn record(id: &str) -> TokenRecord {
        TokenRecord {
            id: id.into(),
            owner: Owner { name: "alice".into(), email: Some("alice@example.org".into()) },
            created_at: Timestamp::from_millis(1_790_000_000_000),
            valid_from: None,
            expires_at: Some(Timestamp::from_millis(1_800_000_000_000)),
            state: TokenState::Active,
        }
    }

    fn hash(byte: u8) -> TokenHash {
        TokenHash::from_bytes([byte; 32])
    }

    #[test]
    fn golden_version_1_is_read_and_written_as_ever() {
        let golden = include_bytes!("../tests/golden/shard-v1.bin");
        let records = [(hash(1), record("first")), (hash(2), TokenRecord { expires_at: None, ..record("second") })];
        let encoded = Shard::encode(records.iter().map(|(hash, record)| (hash, record))).unwrap();
        assert_eq!(encoded, golden, "the wire form changed: give it a new version and a golden file of its own");
        let shard = Shard::decode(golden).unwrap();
        for (hash, record) in records {
            assert_eq!(shard.find(&hash).unwrap().unwrap(), record);
        }
    }

    #[test]
    fn every_entry_can_be_found_and_nothing_else() {
        let records: Vec<_> = (0..20).map(|byte| (hash(byte), record(&std::format!("id-{byte}")))).collect();
        let bytes = Shard::encode(records.iter().map(|(hash, record)| (hash, record))).unwrap();
        let shard = Shard::decode(&bytes).unwrap();
        for (hash, record) in &records {
            assert_eq!(shard.find(hash).unwrap().as_ref(), Some(record));
        }
        assert_eq!(shard.find(&hash(20)).unwrap(), None);
    }

    #[test]
    fn another_version_and_trailing_bytes_are_refused() {
        let mut bytes = Shard::encode([(&hash(1), &record("a"))]).unwrap();
        bytes.push(0);
        assert_eq!(Shard::decode(&bytes).unwrap_err(), ShardError::Malformed);
        bytes[0] = 2;
        assert_eq!(Shard::decode(&bytes).unwrap_err(), ShardError::Version(Some(2)));
        assert_eq!(Shard::decode(&[]).unwrap_err(), ShardError::Version(None));
    }

    #[test]
    fn limits_hold_when_writing_and_when_reading() {
        let (hash, small) = (hash(1), record("a"));
        let many = vec![(&hash, &small); ENTRIES_MAX + 1];
        assert_eq!(Shard::encode(many).unwrap_err(), ShardError::TooLarge);
        assert_eq!(Shard::decode(&vec![VERSION; SHARD_LEN_MAX + 1]).unwrap_err(), ShardError::TooLarge);
    }

    #[test]
    fn shards_are_chosen_by_the_first_bits() {
        let count = ShardCount::from_bits(6).unwrap();
        assert_eq!(count.get(), 64);
        assert_eq!(count.shard_of(&TokenHash::from_bytes([0xff; 32])), 63);
        assert_eq!(count.shard_of(&TokenHash::from_bytes([0; 32])), 0);
        assert_eq!(ShardCount::from_bits(0).unwrap().shard_of(&TokenHash::from_bytes([0xff; 32])), 0);
        assert_eq!(ShardCount::for_tokens(0).get(), 64);
        assert_eq!(ShardCount::for_tokens(1_000_000).get(), 262_144);
        assert!(ShardCount::from_bits(22).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, versioned: bool) {
            if versioned && let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(shard) = Shard::decode(&bytes) {
                let _ = shard.find(&hash(0));
            }
        }
    }
}
