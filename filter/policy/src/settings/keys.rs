//! The document as it travels to the proxies: the settings, and the keys sealed beside them.
//!
//! ```text
//! [3] [postcard: the settings of 0.1.0, the sealed keys] [JSON: {"written_by": …, "settings": {…}}]
//!     what 0.1.0 reads, and writes                        what 0.1.0 ignores: the extension
//! ```
//!
//! What follows the extension is ignored, so that a later release can append again. More keys go to the end of what is
//! sealed. The rule for all forms stands in [`crate::feed`].

use super::wire::{Extension, SettingsV3};
use super::{SETTINGS_LEN_MAX, Settings};
use crate::assertion::AssertionKey;
use crate::credential::BackendCredential;
use crate::facts::Found;
use crate::hash::{HashKey, HashKeys, KeyedHash};
use crate::record::{UserRecord, folded};
use crate::seal::SealKey;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Versions 1 and 2 held fewer settings; they were never released.
const VERSION: u8 = 3;

const PURPOSE: &[u8] = b"tokengate settings v2";

/// The keys that the filter needs, as opened from the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterKeys {
    /// For the hashes of tokens.
    pub token_hash: HashKeys,
    /// For the hashes of users' names: keyed, so that nobody can choose names that crowd one shard.
    pub user_hash: HashKey,
    /// Opens the backend credentials in users' records.
    pub credential: SealKey,
    /// The backend credential of everyone who has none of their own.
    pub shared_credential: Option<BackendCredential>,
    /// Signs assertions for the backend.
    pub backend_assertion: AssertionKey,
    /// Signs assertions for the control plane.
    pub control_plane_assertion: AssertionKey,
}

impl FilterKeys {
    /// The hash under which a user is found, by name or e-mail address, without regard to case.
    pub fn user_hash(&self, name: &str) -> KeyedHash {
        self.user_hash.hash(folded(name).as_bytes())
    }

    /// What the backend wants to see of a user who was admitted.
    pub fn credential_of(&self, user: &UserRecord) -> Found<BackendCredential> {
        match (&user.credential, &self.shared_credential) {
            (Some(sealed), _) => {
                BackendCredential::open(sealed, &user.name, &self.credential).map_or(Found::Unreadable, Found::Record)
            }
            (None, Some(shared)) => Found::Record(shared.clone()),
            (None, None) => Found::Nothing,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    settings: SettingsV3,
    #[serde(borrow)]
    sealed: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct KeysWire<'a> {
    token_hash: Vec<HashKey>,
    user_hash: HashKey,
    credential: SealKey,
    #[serde(borrow)]
    shared_credential: Option<&'a [u8]>,
    backend_assertion: AssertionKey,
    control_plane_assertion: AssertionKey,
}

impl Settings {
    /// The document for the proxies. `nonce` is random, never used twice.
    pub fn encode(&self, keys: &FilterKeys, seal: &SealKey, nonce: [u8; 24]) -> Option<Vec<u8>> {
        let FilterKeys {
            token_hash,
            user_hash,
            credential,
            shared_credential,
            backend_assertion,
            control_plane_assertion,
        } = keys;
        let keys = KeysWire {
            token_hash: token_hash.keys().to_vec(),
            user_hash: user_hash.clone(),
            credential: credential.clone(),
            shared_credential: shared_credential.as_ref().map(BackendCredential::expose),
            backend_assertion: backend_assertion.clone(),
            control_plane_assertion: control_plane_assertion.clone(),
        };
        let keys = Zeroizing::new(postcard::to_allocvec(&keys).ok()?);
        let settings = SettingsV3::freeze(self);
        let extension = Extension::of(self, &settings);
        let wire = Wire { settings, sealed: &seal.seal(PURPOSE, nonce, &keys)? };
        let mut bytes = postcard::to_extend(&wire, alloc::vec![VERSION]).ok()?;
        bytes.extend(serde_json::to_vec(&extension).ok()?);
        (bytes.len() <= SETTINGS_LEN_MAX).then_some(bytes)
    }

    /// Reads the document and opens the keys. `None` for anything that is not whole and sealed under this key.
    pub fn decode(bytes: &[u8], seal: &SealKey) -> Option<(Self, FilterKeys)> {
        let (version, rest) = bytes.split_first().filter(|_| bytes.len() <= SETTINGS_LEN_MAX)?;
        if *version != VERSION {
            return None;
        }
        let (Wire { settings, sealed }, extension) = postcard::take_from_bytes(rest).ok()?;
        let settings = Extension::read(extension).complete(settings);
        let opened = seal.open(PURPOSE, sealed)?;
        let KeysWire {
            token_hash,
            user_hash,
            credential,
            shared_credential,
            backend_assertion,
            control_plane_assertion,
        } = postcard::from_bytes(&opened).ok()?;
        let keys = FilterKeys {
            token_hash: HashKeys::new(token_hash)?,
            user_hash,
            credential,
            shared_credential: match shared_credential {
                Some(bytes) => Some(BackendCredential::new(bytes)?),
                None => None,
            },
            backend_assertion,
            control_plane_assertion,
        };
        Some((settings, keys))
    }
}
