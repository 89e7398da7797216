//! The settings as the proxies receive them, and the keys sealed inside.
//!
//! The document travels beside the tokens, so it is authenticated like them; but a proxy's shared data may be read by
//! whoever can read the proxy's memory dumps, so the keys in it are encrypted (XChaCha20-Poly1305) under a key that is
//! derived from the sync key, and opened only inside the filter.

use crate::hash::{HashKey, HashKeys};
use alloc::vec::Vec;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use core::fmt;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes an encoded settings document may have.
pub const SETTINGS_LEN_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;

/// The settings that the filter needs to decide. Defaults are the product's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How old a snapshot may be before nothing is decided from it, in milliseconds; `None`: as old as it gets (U14).
    pub max_snapshot_age_ms: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        Self { max_snapshot_age_ms: Some(7 * DAY_MS) }
    }
}

/// The keys that the filter needs, as opened from the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterKeys {
    /// For token hashes.
    pub token_hash: HashKeys,
}

/// The key under which [`FilterKeys`] are sealed; it comes from the sync key ([`crate::feed::SyncKey::seal_key`]).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKey(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct SettingsWire<'a> {
    settings: Settings,
    nonce: [u8; 24],
    #[serde(borrow)]
    sealed: &'a [u8],
}

impl Settings {
    /// The document for the proxies, the keys sealed in it. `nonce` is random, never used twice.
    pub fn encode(&self, keys: &FilterKeys, seal: &SealKey, nonce: [u8; 24]) -> Option<Vec<u8>> {
        let mut sealed = postcard::to_allocvec(keys.token_hash.keys()).ok()?;
        cipher(seal).encrypt_in_place(&XNonce::from(nonce), ASSOCIATED_DATA, &mut sealed).ok()?;
        let wire = SettingsWire { settings: self.clone(), nonce, sealed: &sealed };
        postcard::to_extend(&wire, alloc::vec![VERSION]).ok()
    }

    /// Reads the document and opens the keys. `None` for anything that is not whole and sealed under this key.
    pub fn decode(bytes: &[u8], seal: &SealKey) -> Option<(Self, FilterKeys)> {
        let (version, rest) = bytes.split_first().filter(|_| bytes.len() <= SETTINGS_LEN_MAX)?;
        if *version != VERSION {
            return None;
        }
        let SettingsWire { settings, nonce, sealed } = postcard::from_bytes(rest).ok()?;
        let mut keys = Zeroizing::new(sealed.to_vec());
        cipher(seal).decrypt_in_place(&XNonce::from(nonce), ASSOCIATED_DATA, &mut *keys).ok()?;
        let keys: Vec<HashKey> = postcard::from_bytes(&keys).ok()?;
        Some((settings, FilterKeys { token_hash: HashKeys::new(keys)? }))
    }
}

fn cipher(seal: &SealKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&seal.0.into())
}

const ASSOCIATED_DATA: &[u8] = b"tokengate settings v1";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn keys() -> FilterKeys {
        FilterKeys { token_hash: HashKeys::new(vec![HashKey::new([3; 32]), HashKey::new([4; 32])]).unwrap() }
    }

    #[test]
    fn keys_come_back_under_the_same_sync_key_only() {
        let seal = SealKey::new([1; 32]);
        let bytes = Settings::default().encode(&keys(), &seal, [9; 24]).unwrap();
        assert_eq!(Settings::decode(&bytes, &seal), Some((Settings::default(), keys())));
        assert_eq!(Settings::decode(&bytes, &SealKey::new([2; 32])), None);
    }

    #[test]
    fn a_changed_byte_is_noticed_and_no_key_is_readable() {
        let seal = SealKey::new([1; 32]);
        let bytes = Settings::default().encode(&keys(), &seal, [9; 24]).unwrap();
        assert!(!bytes.windows(8).any(|window| window == [3; 8]));
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(Settings::decode(&changed, &seal), None);
    }
}
