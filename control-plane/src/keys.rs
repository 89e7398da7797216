//! The keys: all derived from one master key, which is in a file or an environment variable and never in the database.
//!
//! Whoever has the database alone can neither use nor forge a token; whoever has the master key alone has no tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hkdf::Hkdf;
use policy::assertion::AssertionKey;
use policy::credential::BackendCredential;
use policy::feed::{SyncKey, SyncKeyError};
use policy::hash::{HashKey, HashKeys};
use policy::settings::Audience;
use policy::{FilterKeys, KeyedHash, SealKey, Settings};
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

/// The database's file, beside the master key's.
pub(crate) const DATABASE: &str = "tokengate.db";

/// 32 bytes from which every other key is derived.
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("cannot read or create the master key {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("others can read the master key {path}; take their rights away: chmod 600 {path}")]
    Exposed { path: PathBuf },
    #[error(
        "the master key {path} is missing, but the database beside it needs it; put it back, or set {MASTER_KEY_VARIABLE}"
    )]
    Lost { path: PathBuf },
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
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        // A database without its key is beyond help by a new one, which would only hide what happened.
        if path.with_file_name(DATABASE).exists() && !path.exists() {
            return Err(KeyError::Lost { path: path.to_owned() });
        }
        let key = random::<32>().map_err(KeyError::Randomness)?;
        write_private(path, hex(&*key).as_bytes(), Existing::Stays).map_err(failed)?;
        eprintln!("tokengate: made a new master key: {}", path.display());
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        Self::parse(&text, &path.display().to_string())
    }

    /// From the environment variable if it is set, else from the file; `None`: there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        if let Ok(text) = std::env::var(MASTER_KEY_VARIABLE).map(Zeroizing::new) {
            return Self::parse(&text, MASTER_KEY_VARIABLE).map(Some);
        }
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                Err(KeyError::Exposed { path: path.to_owned() })
            }
            Ok(_) => {
                let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
                Self::parse(&text, &path.display().to_string()).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
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

    /// The keys that the proxies need under these settings.
    pub(crate) fn filter_keys(&self, settings: &Settings, shared_credential: Option<BackendCredential>) -> FilterKeys {
        FilterKeys {
            token_hash: self.hash_keys(),
            user_hash: HashKey::new(*self.derive("tokengate v1: user hash")),
            credential: self.credential_key(),
            shared_credential,
            backend_assertion: self.assertion_key(settings.assertion_audience.as_str()),
            control_plane_assertion: self.assertion_key(Audience::CONTROL_PLANE),
        }
    }

    /// The chain of keys under which tokens are hashed.
    pub(crate) fn hash_keys(&self) -> HashKeys {
        let key = HashKey::new(*self.derive("tokengate v1: token hash, key 1"));
        HashKeys::new(vec![key]).expect("one key is a chain")
    }

    /// The hash under which a set of restrictions is found: keyed, so that nobody can choose sets that crowd one shard.
    pub(crate) fn restrictions_hash(&self, text: &str) -> KeyedHash {
        HashKey::new(*self.derive("tokengate v1: restrictions hash")).hash(text.as_bytes())
    }

    /// The key under which backend credentials are stored.
    pub(crate) fn credential_key(&self) -> SealKey {
        SealKey::new(*self.derive("tokengate v1: backend credentials"))
    }

    /// The key under which standard mode keeps copies of tokens (S7).
    pub(crate) fn recoverable_key(&self) -> SealKey {
        SealKey::new(*self.derive("tokengate v1: recoverable tokens"))
    }

    /// The key of the hashes by which requests are known that come again.
    pub(crate) fn idempotency_key(&self) -> HashKey {
        HashKey::new(*self.derive("tokengate v1: repeated requests"))
    }

    /// The key under which the answer to such a request is kept. It comes from the client's key as well, which is kept
    /// nowhere: without it not even whoever has database and master key can open the answer.
    pub(crate) fn answer_key(&self, caller: &str, key: &str) -> SealKey {
        let purpose = Zeroizing::new(["tokengate v1: answer to a repeated request\n", caller, "\n", key].concat());
        SealKey::new(*self.derive(&purpose))
    }

    /// The secret by which an audience verifies assertions: 32 characters, of which the bytes are the key, since most
    /// libraries take a text and this length is what HS256 asks for (RFC 7518, section 3.2). 192 bits of it are random.
    pub(crate) fn assertion_secret(&self, audience: &str) -> Zeroizing<String> {
        let key = self.derive(&format!("tokengate v1: assertions for {audience}"));
        Zeroizing::new(BASE64URL.encode(&key[..24]))
    }

    fn assertion_key(&self, audience: &str) -> AssertionKey {
        let secret = self.assertion_secret(audience);
        AssertionKey::new(secret.as_bytes().try_into().expect("24 bytes are 32 characters"))
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

/// What becomes of a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and nothing is written: somebody else was faster.
    Stays,
    /// It is replaced.
    Goes,
}

/// Writes a file that its owner alone can read, whole or not at all: a crash in between must not leave half a key.
pub(crate) fn write_private(path: &Path, text: &[u8], existing: Existing) -> io::Result<()> {
    let unique = random::<8>().map_err(io::Error::other)?;
    let beside = path.with_extension(format!("new-{}", *hex(&*unique)));
    let written = write_beside(&beside, text).and_then(|()| match existing {
        Existing::Goes => fs::rename(&beside, path),
        // A link, in contrast to a new name, is never put over what is there.
        Existing::Stays => match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        },
    });
    // Whatever came of it, no second copy of a secret stays behind.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => written?,
    }
    match path.parent() {
        Some(directory) if directory != Path::new("") => fs::File::open(directory)?.sync_all(),
        _ => fs::File::open(".")?.sync_all(),
    }
}

fn write_beside(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.write_all(b"\n")?;
    file.sync_all()
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
    fn two_that_make_the_key_at_once_get_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let make = || *MasterKey::load_or_create(&path).unwrap().0;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "and nothing is left beside it");
    }

    #[test]
    fn a_lost_key_is_not_replaced_by_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(DATABASE), "").unwrap();
        let path = directory.path().join("master.key");
        assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Lost { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_holds_no_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        write_private(&path, b"not a key", Existing::Stays).unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(KeyError::Malformed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key\n");
    }
}
