//! Sealing: what proxies must know and nobody else may read, encrypted with XChaCha20-Poly1305.
//!
//! Each sealed value is bound to its purpose, so that one cannot be put in the place of another.

use alloc::vec::Vec;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use core::fmt;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const NONCE_LEN: usize = 24;

/// A key under which something is sealed: 32 bytes, wiped when dropped, silent in `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// Takes 32 secret bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Seals bytes for a purpose: nonce, then ciphertext and tag. `nonce` is random, never used twice.
    pub fn seal(&self, purpose: &[u8], nonce: [u8; NONCE_LEN], plain: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = Zeroizing::new(plain.to_vec());
        self.cipher().encrypt_in_place(&XNonce::from(nonce), purpose, &mut *buffer).ok()?;
        Some([nonce.as_slice(), &buffer].concat())
    }

    /// Opens what was sealed under this key for this purpose; `None` for anything else.
    pub fn open(&self, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        self.cipher().decrypt_in_place(&XNonce::from(*nonce), purpose, &mut *buffer).ok()?;
        Some(buffer)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_sealed_value_in_the_place_of_another() {
        let key = SealKey::new([1; 32]);
        let sealed = key.seal(b"alice", [9; 24], b"password").unwrap();
        assert_eq!(key.open(b"alice", &sealed).unwrap().as_slice(), b"password");
        assert!(key.open(b"bob", &sealed).is_none());
        assert!(SealKey::new([2; 32]).open(b"alice", &sealed).is_none());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(b"alice", &changed).is_none(), "byte {index}");
            assert!(key.open(b"alice", &sealed[..index]).is_none(), "cut at {index}");
        }
    }
}
