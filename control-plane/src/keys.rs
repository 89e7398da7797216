//! The keys: all derived from one master key, which is in a file or an environment variable and never in the database.
//!
//! Whoever has the database alone can neither use nor forge a token; whoever has the master key alone has no tokens.

use hkdf::Hkdf;
use policy::FilterKeys;
use policy::feed::{SyncKey, SyncKeyError};
use policy::hash::{HashKey, HashKeys};
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable that holds the master key where there is no file.
pub(crate) const MASTER_KEY_VARIABLE: &str = "TOKENGATE_MASTER_KEY";

/// The environment variable that holds the sync key, if it is not to be derived from the master key.
pub(crate) const SYNC_KEY_VARIABLE: &str = "TOKENGATE_SYNC_KEY";

/// 32 bytes from which every other key is derived.
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("cannot read or create the master key {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("others can read the master key {path}; take their rights away: chmod 600 {path}")]
    Exposed { path: PathBuf },
    #[error("{origin} holds no master key: it must be 64 hexadecimal digits")]
    Malformed { origin: String },
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    #[error("{SYNC_KEY_VARIABLE}: {0}")]
    SyncKey(SyncKeyError),
}

impl MasterKey {
    /// From the environment variable if it is set, else from the file, which is made if it is not there.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if let Ok(text) = std::env::var(MASTER_KEY_VARIABLE).map(Zeroizing::new) {
            return Self::parse(&text, MASTER_KEY_VARIABLE);
        }
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                Err(KeyError::Exposed { path: path.to_owned() })
            }
            Ok(_) => {
                let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
                Self::parse(&text, &path.display().to_string())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self(random().map_err(KeyError::Randomness)?);
                write_private(path, hex(&*key.0).as_bytes()).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn parse(text: &str, origin: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed { origin: origin.to_owned() };
        let text = text.trim();
        if text.len() != 64 || !text.is_ascii() {
            return Err(malformed());
        }
        let mut key = Zeroizing::new([0; 32]);
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Self(key))
    }

    /// The keys that the proxies need.
    pub(crate) fn filter_keys(&self) -> FilterKeys {
        let key = HashKey::new(*self.derive("tokengate v1: token hash, key 1"));
        FilterKeys { token_hash: HashKeys::new(vec![key]).expect("one key is a chain") }
    }

    /// Names the token hash key without telling it: a database remembers under which key its hashes were made.
    pub(crate) fn hash_key_id(&self) -> i64 {
        i64::from(u32::from_be_bytes(
            self.derive("tokengate v1: token hash, id of key 1")[..4].try_into().expect("4 of 32"),
        ))
    }

    /// The text of the sync key: from the environment variable if it is set, else derived.
    pub(crate) fn sync_key_text(&self) -> Zeroizing<String> {
        match std::env::var(SYNC_KEY_VARIABLE) {
            Ok(text) => Zeroizing::new(text),
            Err(_) => hex(&*self.derive("tokengate v1: sync key")),
        }
    }

    /// The secret shared with the proxies.
    pub(crate) fn sync_key(&self) -> Result<SyncKey, KeyError> {
        SyncKey::parse(&self.sync_key_text()).map_err(KeyError::SyncKey)
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(purpose.as_bytes(), &mut *key)
            .expect("32 bytes are within HKDF's limit");
        key
    }
}

/// So many bytes of the operating system's randomness.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2 + 1));
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string");
    }
    text
}

/// Writes a file that its owner alone can read, whole or not at all: a crash in between must not leave half a key.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let first = MasterKey::load_or_create(&path).unwrap();
        let again = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(*first.0, *again.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn attack_a_master_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        MasterKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Exposed { .. })));
    }

    #[test]
    fn a_file_that_holds_no_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        write_private(&path, b"not a key").unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Malformed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key\n");
    }
}
