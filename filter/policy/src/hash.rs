//! Keyed hashes: of tokens (requirement D1), `HMAC-SHA-256(key, SHA-256(token))`, compared in constant time; and of
//! users' names.
//!
//! The plain SHA-256 inside lets a token be imported by its hash alone; the key, which is never in the database, makes
//! the stored value useless to whoever reads the database. Rotating the key needs no token: the stored hash is hashed
//! again under the new key, so a hash is a chain over all keys, oldest first.

use crate::credential::Secret;
use alloc::vec::Vec;
use core::fmt;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How many keys a chain may have: each costs two blocks of SHA-256 a request, and a rotation a year lasts a career.
pub const HASH_KEYS_MAX: usize = 16;

/// One key of the chain: 32 bytes, wiped when dropped, silent in `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// Takes 32 secret bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash of bytes under this key.
    pub fn hash(&self, bytes: &[u8]) -> KeyedHash {
        KeyedHash(hmac_sha256(&self.0, &[bytes]))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HashKey(…)")
    }
}

/// The chain of keys in force, oldest first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKeys(Vec<HashKey>);

impl HashKeys {
    /// A chain of 1 to [`HASH_KEYS_MAX`] keys.
    pub fn new(keys: Vec<HashKey>) -> Option<Self> {
        (1..=HASH_KEYS_MAX).contains(&keys.len()).then_some(Self(keys))
    }

    /// The hash under which a secret is stored, should it be a token.
    pub fn hash(&self, secret: &Secret) -> KeyedHash {
        self.chain(Sha256::digest(secret.expose()).into())
    }

    /// The same for a token of which only the SHA-256 is known.
    pub fn chain(&self, sha256: [u8; 32]) -> KeyedHash {
        KeyedHash(self.0.iter().fold(sha256, |hash, key| hmac_sha256(&key.0, &[&hash])))
    }

    pub(crate) fn keys(&self) -> &[HashKey] {
        &self.0
    }
}

/// A keyed hash. Of a token it is the only form in which the token is stored or sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyedHash([u8; 32]);

impl KeyedHash {
    /// From stored bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored or encoded.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 32 bits, which choose the shard.
    pub(crate) fn leading_bits(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl ConstantTimeEq for KeyedHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyedHash(…)")
    }
}

/// HMAC-SHA-256 over the concatenation of `parts`.
pub(crate) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    mac(key, parts).finalize().into_bytes().into()
}

/// Whether `tag` is the HMAC-SHA-256 over the concatenation of `parts`, in constant time.
pub(crate) fn hmac_sha256_matches(key: &[u8; 32], parts: &[&[u8]], tag: &[u8]) -> bool {
    mac(key, parts).verify_slice(tag).is_ok()
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC fills a short key with zeros up to its block; done here, since that form of `new` cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn d1_hash_is_hmac_over_sha256() {
        // Computed with Python: hmac.new(b"\x0b"*32, hashlib.sha256(b"token").digest(), "sha256").
        let keys = HashKeys::new(vec![HashKey::new([0x0b; 32])]).unwrap();
        let hash = keys.hash(&Secret::new(b"token".to_vec()));
        assert_eq!(hash.as_bytes()[..4], [0xe1, 0x25, 0x63, 0x7c]);
    }

    #[test]
    fn d1_a_rotated_key_hashes_the_stored_hash_again() {
        let one = HashKeys::new(vec![HashKey::new([1; 32])]).unwrap();
        let two = HashKeys::new(vec![HashKey::new([1; 32]), HashKey::new([2; 32])]).unwrap();
        let secret = Secret::new(b"token".to_vec());
        let rehashed = hmac_sha256(&[2; 32], &[one.hash(&secret).as_bytes()]);
        assert_eq!(two.hash(&secret), KeyedHash(rehashed));
    }

    #[test]
    fn a_chain_is_never_empty_and_never_long() {
        assert!(HashKeys::new(vec![]).is_none());
        assert!(HashKeys::new(vec![HashKey::new([0; 32]); HASH_KEYS_MAX + 1]).is_none());
    }
}
