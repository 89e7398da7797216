//! How fast passwords can be tried.
//!
//! | failures are counted of | free | then a pause, twice as long each time | which is at most | forgiven after |
//! |---|---|---|---|---|
//! | a user from one address | 5 | 1 s | 15 minutes | an hour without one |
//! | an address | 100 | 1 s | 1 minute | 10 minutes without one |
//! | a user | 100 | 1 s | 1 minute | 10 minutes without one |
//!
//! The first holds up who guesses. It must not hold up the user elsewhere: its pauses keep one address from ever getting
//! a user's own count to 100; and who signed in from an address within a day is not held up there by what others do. The
//! second holds up who tries one password with many users; many people may share an address, so its pause is short. The
//! third holds up many addresses that guess at one user.
//!
//! An attempt is counted before the password is looked at: as many may be under way as there are failures left, and
//! others wait for those. So parallel guesses are counted too, and right passwords in parallel are not refused. All of
//! this is in memory, bounded, and gone with a restart. Names are counted as they are typed, whether there is such a user
//! or not.

use policy::Timestamp;
use policy::record::folded;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Entries at most, of some 50 bytes. Beyond that the oldest are forgotten.
const ENTRIES_MAX: usize = 100_000;

/// For how long it counts that a user signed in from an address.
const KNOWN_FOR_MS: u64 = 24 * 60 * 60 * 1000;

/// The first pause.
const PAUSE_MS: u64 = 1000;

/// A line of the table.
struct Limit {
    free: u32,
    pause_max_ms: u64,
    forgiven_after_ms: u64,
}

const MINUTE_MS: u64 = 60 * 1000;

/// Of the pair, the address, and the user. What one address can do to a user's count is forgiven sooner than it comes:
/// the pauses of the pair grow beyond the time of the user.
const LIMITS: [Limit; 3] = [
    Limit { free: 5, pause_max_ms: 15 * MINUTE_MS, forgiven_after_ms: 60 * MINUTE_MS },
    Limit { free: 100, pause_max_ms: MINUTE_MS, forgiven_after_ms: 10 * MINUTE_MS },
    Limit { free: 100, pause_max_ms: MINUTE_MS, forgiven_after_ms: 10 * MINUTE_MS },
];

/// Counts failed attempts.
#[derive(Default)]
pub(crate) struct Throttle {
    /// By a hash of what is counted: nobody fills the memory with long names, and nobody knows the hash's key.
    entries: Mutex<HashMap<u64, Entry>>,
    hasher: RandomState,
    /// Told when an attempt ends.
    ended: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    failures: u32,
    /// Attempts under way.
    pending: u32,
    failed_at: u64,
    signed_in_at: Option<u64>,
}

/// Why there is no attempt now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// There were too many failures; after so many seconds one more is allowed.
    For(u64),
    /// Others are under way, and if they fail there will have been too many.
    ByOthers,
}

impl Throttle {
    /// Begins an attempt; waits for others that are under way, but not for a pause to end.
    pub(crate) async fn attempt(
        &self,
        now: impl Fn() -> Timestamp,
        user: &[u8],
        address: Option<IpAddr>,
        patience: Duration,
    ) -> Result<Attempt<'_>, Held> {
        let patient = async {
            loop {
                let ended = self.ended.notified(); // from here on, so that no end is missed
                match self.begin(now(), user, address) {
                    Err(Held::ByOthers) => ended.await,
                    outcome => return outcome,
                }
            }
        };
        tokio::time::timeout(patience, patient).await.unwrap_or(Err(Held::ByOthers))
    }

    /// Begins an attempt, or says why not.
    fn begin(&self, now: Timestamp, user: &[u8], address: Option<IpAddr>) -> Result<Attempt<'_>, Held> {
        let now = now.as_millis();
        let (user, address) = (folded(&String::from_utf8_lossy(user)), address.map(network));
        let keys = [
            self.hasher.hash_one((0, &user, address)),
            self.hasher.hash_one((1, address)),
            self.hasher.hash_one((2, &user)),
        ];
        let mut entries = self.entries();
        if entries.len() + keys.len() > ENTRIES_MAX {
            make_room(&mut entries, now);
        }
        for (key, limit) in keys.iter().zip(&LIMITS) {
            entries.entry(*key).and_modify(|entry| entry.age(now, limit));
        }
        let known = entries.get(&keys[0]).is_some_and(|pair| pair.signed_in_at.is_some());
        let counting = if known { &keys[..2] } else { &keys[..] };
        let counted = || counting.iter().zip(&LIMITS).filter_map(|(key, limit)| Some((entries.get(key)?, limit)));
        let pause = counted().map(|(entry, limit)| entry.pause_left(limit, now)).max().unwrap_or_default();
        if pause > 0 {
            return Err(Held::For(pause.div_ceil(1000)));
        }
        if counted().any(|(entry, limit)| entry.pending > 0 && entry.failures + entry.pending >= limit.free) {
            return Err(Held::ByOthers);
        }
        for key in keys {
            entries.entry(key).or_default().pending += 1;
        }
        Ok(Attempt { throttle: self, keys })
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt under way. One of which nobody says how it went, since the password could not be checked, is not counted.
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    /// Of the pair, the address, and the user.
    keys: [u64; 3],
}

impl Attempt<'_> {
    /// The password was wrong.
    pub(crate) fn failed(self, now: Timestamp) {
        let mut entries = self.throttle.entries();
        for key in self.keys {
            if let Some(entry) = entries.get_mut(&key) {
                *entry = Entry { failures: entry.failures.saturating_add(1), failed_at: now.as_millis(), ..*entry };
            }
        }
    }

    /// It was right.
    pub(crate) fn succeeded(self, now: Timestamp) {
        let [pair, ..] = self.keys;
        if let Some(entry) = self.throttle.entries().get_mut(&pair) {
            *entry = Entry { failures: 0, signed_in_at: Some(now.as_millis()), ..*entry };
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut entries = self.throttle.entries();
        for key in self.keys {
            if let Some(entry) = entries.get_mut(&key) {
                entry.pending = entry.pending.saturating_sub(1);
                if entry.pending == 0 && entry.failures == 0 && entry.signed_in_at.is_none() {
                    entries.remove(&key);
                }
            }
        }
        drop(entries);
        self.throttle.ended.notify_waiters();
    }
}

impl Entry {
    /// Forgets what does not count any more. A clock that was set back begins a pause anew, and does no more.
    fn age(&mut self, now: u64, limit: &Limit) {
        self.failed_at = self.failed_at.min(now);
        if now - self.failed_at >= limit.forgiven_after_ms {
            self.failures = 0;
        }
        self.signed_in_at = self.signed_in_at.filter(|at| now.saturating_sub(*at) < KNOWN_FOR_MS);
    }

    fn pause_left(&self, limit: &Limit, now: u64) -> u64 {
        let Some(beyond) = self.failures.checked_sub(limit.free) else {
            return 0;
        };
        let pause = PAUSE_MS << beyond.min(20); // longer than any limit
        (self.failed_at + pause.min(limit.pause_max_ms)).saturating_sub(now)
    }

    fn touched_at(&self) -> u64 {
        self.failed_at.max(self.signed_in_at.unwrap_or_default())
    }
}

/// Forgets the oldest until a quarter is free: so much that this is seldom needed.
fn make_room(entries: &mut HashMap<u64, Entry>, now: u64) {
    let mut age = KNOWN_FOR_MS;
    while entries.len() > ENTRIES_MAX / 4 * 3 {
        entries.retain(|_, entry| entry.pending > 0 || now.saturating_sub(entry.touched_at()) < age);
        if age == 0 {
            return;
        }
        age /= 4;
    }
}

/// What counts as one address: of IPv6 what one customer gets, who could use another one of it for each attempt.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis((1_000_000 + seconds) * 1000)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn fail(throttle: &Throttle, seconds: u64, user: &str, from: &str) -> Option<Held> {
        match throttle.begin(at(seconds), user.as_bytes(), address(from)) {
            Ok(attempt) => {
                attempt.failed(at(seconds));
                None
            }
            Err(held) => Some(held),
        }
    }

    fn succeed(throttle: &Throttle, seconds: u64, user: &str, from: &str) -> Option<Held> {
        let attempt = throttle.begin(at(seconds), user.as_bytes(), address(from));
        attempt.map(|attempt| attempt.succeeded(at(seconds))).err()
    }

    #[test]
    fn m8_pauses_grow_and_a_success_ends_them() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(fail(&throttle, 0, "alice", "192.0.2.1"), None);
        }
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(fail(&throttle, now, "ALICE", "192.0.2.1"), Some(Held::For(pause)));
            assert_eq!(fail(&throttle, now + pause - 1, "alice", "192.0.2.1"), Some(Held::For(1)));
            now += pause;
            assert_eq!(fail(&throttle, now, "alice", "192.0.2.1"), None);
        }
        now += 900;
        assert_eq!(succeed(&throttle, now, "alice", "192.0.2.1"), None);
        for _ in 0..5 {
            assert_eq!(fail(&throttle, now, "alice", "192.0.2.1"), None);
        }
        assert_eq!(fail(&throttle, now, "alice", "192.0.2.1"), Some(Held::For(1)));
        assert_eq!(fail(&throttle, now + 3600, "alice", "192.0.2.1"), None, "forgiven");
    }

    #[test]
    fn attack_a_user_is_not_locked_out_elsewhere_by_whoever_guesses_from_one_address_for_a_day() {
        let throttle = Throttle::default();
        let (mut now, mut tries) = (0, 0);
        while now < 24 * 3600 {
            match fail(&throttle, now, "alice", "192.0.2.1") {
                None => tries += 1,
                Some(Held::For(seconds)) => now += seconds,
                Some(Held::ByOthers) => unreachable!(),
            }
            assert_eq!(succeed(&throttle, now, "bob", "192.0.2.1"), None, "nor anybody else at that address");
        }
        assert!(tries < 110, "{tries}");
        assert_eq!(succeed(&throttle, now, "alice", "192.0.2.2"), None);
    }

    #[test]
    fn attack_one_password_for_many_users_and_many_addresses_for_one_user() {
        let throttle = Throttle::default();
        for number in 0..100 {
            assert_eq!(fail(&throttle, 0, &format!("user{number}"), "192.0.2.1"), None);
        }
        assert_eq!(fail(&throttle, 0, "another", "192.0.2.1"), Some(Held::For(1)));
        assert_eq!(succeed(&throttle, 0, "another", "192.0.2.2"), None);

        let throttle = Throttle::default();
        assert_eq!(succeed(&throttle, 0, "alice", "198.51.100.1"), None);
        for number in 0..100 {
            assert_eq!(fail(&throttle, 0, "alice", &format!("192.0.2.{number}")), None);
        }
        assert_eq!(fail(&throttle, 0, "alice", "203.0.113.1"), Some(Held::For(1)));
        assert_eq!(succeed(&throttle, 0, "alice", "198.51.100.1"), None, "where she was seen before");
        assert_eq!(succeed(&throttle, 0, "bob", "203.0.113.1"), None);
    }

    #[test]
    fn attack_another_address_of_ones_own_network_for_each_guess() {
        let throttle = Throttle::default();
        for host in 0..5 {
            assert_eq!(fail(&throttle, 0, "alice", &format!("2001:db8::{host}")), None);
        }
        assert_eq!(fail(&throttle, 0, "alice", "2001:db8::1:2:3:4"), Some(Held::For(1)));
        assert_eq!(fail(&throttle, 0, "alice", "2001:db8:0:1::1"), None);
        for _ in 0..4 {
            assert_eq!(fail(&throttle, 0, "bob", "192.0.2.1"), None);
        }
        assert_eq!(fail(&throttle, 0, "bob", "::ffff:192.0.2.1"), None);
        assert_eq!(fail(&throttle, 0, "bob", "192.0.2.1"), Some(Held::For(1)));
    }

    #[tokio::test]
    async fn attack_guesses_in_parallel_count_before_they_are_answered_and_right_ones_wait_for_their_turn() {
        let throttle = Throttle::default();
        let begin = || throttle.begin(at(0), b"alice", address("192.0.2.1"));
        let mut attempts: Vec<_> = (0..5).map(|_| begin().ok().unwrap()).collect();
        assert_eq!(begin().err(), Some(Held::ByOthers));
        let waiting = throttle.attempt(|| at(0), b"alice", address("192.0.2.1"), Duration::from_secs(10));
        let ending = async {
            tokio::task::yield_now().await;
            attempts.pop().unwrap().succeeded(at(0));
        };
        let (waited, ()) = tokio::join!(waiting, ending);
        waited.ok().unwrap().failed(at(0));
        for attempt in attempts {
            attempt.failed(at(0));
        }
        assert_eq!(begin().err(), Some(Held::For(1)));
        // After the pause one at a time.
        let one = throttle.begin(at(1), b"alice", address("192.0.2.1")).ok().unwrap();
        assert_eq!(fail(&throttle, 1, "alice", "192.0.2.1"), Some(Held::ByOthers));
        drop(one);
        assert_eq!(fail(&throttle, 1, "alice", "192.0.2.1"), None, "what could not be checked was no failure");
    }

    #[test]
    fn attack_names_without_end_fill_no_memory() {
        let throttle = Throttle::default();
        for number in 0..ENTRIES_MAX {
            let from = IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()));
            let attempt = throttle.begin(at(0), format!("user{number}").as_bytes(), Some(from));
            attempt.ok().unwrap().failed(at(0));
        }
        assert!(throttle.entries().len() <= ENTRIES_MAX);
        let throttle = Throttle::default();
        for number in 0..100 {
            assert_eq!(succeed(&throttle, 0, &format!("user{number}"), "192.0.2.1"), None);
        }
        assert_eq!(throttle.entries().len(), 100, "who does nothing wrong is counted nowhere");
    }

    #[test]
    fn a_clock_that_is_set_back_prolongs_no_pause() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(fail(&throttle, 100_000, "alice", "192.0.2.1"), None);
        }
        assert_eq!(fail(&throttle, 0, "alice", "192.0.2.1"), Some(Held::For(1)));
        assert_eq!(fail(&throttle, 1, "alice", "192.0.2.1"), None);
    }
}
