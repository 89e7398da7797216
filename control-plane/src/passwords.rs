//! Local passwords: their rules, and their hashes (argon2id, in PHC form).
//!
//! A hash takes 19 MiB and some 20 ms of a processor, so that whoever has the database cannot try many. So only few are
//! computed at a time, away from the threads that answer requests; who would have to wait for long is told to come again.

use crate::keys;
use crate::store::users;
use argon2::password_hash::{Error as HashError, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use policy::credential::Secret;
use policy::record::same_ignoring_case;
use policy::settings::PasswordCheck;
use policy::token;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Characters a password has at least (NIST SP 800-63B, section 5.1.1.2). Nothing is asked of their kinds.
const CHARS_MIN: usize = 8;

/// Bytes a password has at most: room for a long sentence, and what a header of any client carries.
const LEN_MAX: usize = 256;

/// What one hash costs: the OWASP's recommendation for argon2id of 19 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Bytes of salt (RFC 9106, section 3.1).
const SALT_LEN: usize = 16;

/// Hashes at a time at most, however many processors there are: each takes its memory. Nor do they ever take more than
/// half of those: anybody can have passwords looked at, and the proxies are to hear of revocations meanwhile.
const AT_A_TIME_MAX: usize = 4;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hashes passwords, and checks them.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    /// The hash of a password that nobody has: checked for those who have none, so that time does not tell who has one.
    nobodys: String,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("too many passwords are being checked")]
    Busy,
    #[error("no randomness from the operating system: {0}")]
    Randomness(#[from] getrandom::Error),
    #[error("a password cannot be hashed: {0}")]
    Hash(#[from] HashError),
    #[error("hashing a password ended early: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

impl Passwords {
    /// Ready to hash.
    pub(crate) fn new() -> Result<Self, PasswordError> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let places = Arc::new(Semaphore::new((processors / 2).clamp(1, AT_A_TIME_MAX)));
        Ok(Self { places, nobodys: hash(&*keys::random::<32>()?)? })
    }

    /// The hash of a password that is to be kept.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        self.apart(move || hash(password.expose())).await?
    }

    /// Whether this is the password with this hash; without one the answer is no, and takes as long.
    pub(crate) async fn is_right(&self, stored: Option<&str>, password: &Secret) -> Result<bool, PasswordError> {
        let (exists, password) = (stored.is_some(), password.clone());
        let stored = stored.unwrap_or(&self.nobodys).to_owned();
        let right = self.apart(move || matches(&stored, password.expose())).await??;
        Ok(right && exists)
    }

    /// Runs what takes long where it holds nobody up. Its place is its own until it ends, also if nobody waits any more.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(PasswordError::Busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        Ok(work.await?)
    }
}

fn argon2id() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, PasswordError> {
    let salt = SaltString::encode_b64(&*keys::random::<SALT_LEN>()?)?;
    Ok(argon2id()?.hash_password(password, &salt)?.to_string())
}

/// By the cost that the hash itself names, and in constant time.
fn matches(stored: &str, password: &[u8]) -> Result<bool, PasswordError> {
    match argon2id()?.verify_password(password, &PasswordHash::new(stored)?) {
        Ok(()) => Ok(true),
        Err(HashError::Password) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Why this cannot be the password of the user with these names. What looks like a token is taken for one wherever it
/// comes, and would never be tried as a password.
pub(crate) fn check_password(password: &str, name: &str, email: Option<&str>) -> Result<(), &'static str> {
    if password.chars().count() < CHARS_MIN || password.len() > LEN_MAX {
        return Err("must have at least 8 characters and at most 256 bytes");
    }
    if password.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    if token::shows_in(password.as_bytes(), 0) {
        return Err("must not contain an API token, or a word that begins like one");
    }
    if [Some(name), email].into_iter().flatten().any(|name| same_ignoring_case(name, password)) {
        return Err("must not be the user's name or e-mail address");
    }
    Ok(())
}

/// By what a password was found right: whether it still is can be seen without it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RightBy {
    /// This hash of ours.
    Hash(String),
    /// The word of the backend.
    Backend,
}

impl RightBy {
    /// Whether the user could still sign in in this way, as far as we can tell.
    pub(crate) fn still_stands(&self, user: &users::Model, check: PasswordCheck) -> bool {
        match self {
            Self::Hash(hash) => check == PasswordCheck::Local && user.password_hash.as_ref() == Some(hash),
            Self::Backend => check == PasswordCheck::Backend,
        }
    }
}

/// Without the hash: it is no password, but a way to try some.
impl fmt::Debug for RightBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hash(_) => "Hash(…)",
            Self::Backend => "Backend",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m8_a_hash_is_argon2id_at_the_recommended_cost_and_salted() {
        let (one, other) = (hash(b"correct horse").unwrap(), hash(b"correct horse").unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        assert!(matches(&one, b"correct horse").unwrap() && matches(&other, b"correct horse").unwrap());
        assert!(!matches(&one, b"Correct horse").unwrap() && !matches(&one, b"").unwrap());
    }

    #[tokio::test]
    async fn attack_who_has_no_password_is_let_in_by_none() {
        let passwords = Passwords::new().unwrap();
        for password in [b"".as_slice(), b"x", passwords.nobodys.as_bytes()] {
            assert!(!passwords.is_right(None, &Secret::new(password.to_vec())).await.unwrap());
        }
    }

    #[tokio::test]
    async fn attack_more_passwords_at_a_time_than_there_is_room_for_are_refused_after_a_while() {
        let passwords = Passwords::new().unwrap();
        let _all = passwords.places.acquire_many(passwords.places.available_permits().try_into().unwrap()).await;
        let outcome = passwords.is_right(None, &Secret::new(b"x".to_vec())).await;
        assert!(matches!(outcome, Err(PasswordError::Busy)));
    }

    #[test]
    fn m8_rules_for_passwords() {
        for (password, word) in [
            ("1234567", "8 characters"),
            ("\u{e9}\u{e9}\u{e9}\u{e9}", "8 characters"),
            (&"a".repeat(257), "256"),
            ("tab\tin the middle", "control"),
            ("tgt_12345678", "token"),
            ("before tgt_1FPc9b5c5QdpH4zZv03tchG8AluSK9wTi3GMj7K", "token"),
            ("ALICE.LIDDELL", "name"),
            ("Alice@Example.org", "name"),
        ] {
            let outcome = check_password(password, "alice.liddell", Some("alice@example.org"));
            assert!(outcome.is_err_and(|must| must.contains(word)), "{password}");
        }
        for password in ["12345678", "correct horse battery staple", "p\u{e4}ssw\u{f6}rd:", &"a".repeat(256)] {
            assert_eq!(check_password(password, "alice", None), Ok(()));
        }
    }
}
