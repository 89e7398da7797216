//! What each token has had of this worker's time, so that nobody waits for another's (L11).
//!
//! A worker serves everyone. What one judgement may cost is bounded, but not how often somebody asks for a costly one: so
//! the steps that somebody chose (a regex of the general engine, a body) are counted for each token, and one that has had
//! its share is told to come again, before anything is judged for it. Ordinary lines are never counted.
//!
//! It is counted in each VM for itself and forgotten with it. It stands outside of [`policy::decide`], which knows no
//! history: the same facts have the same verdict.

use policy::restrictions::STEPS_MAX;
use std::collections::HashMap;

/// Milliseconds of a worker that one judgement takes at most.
const JUDGEMENT_MS: u64 = 5;

/// Milliseconds of each second of a worker that a token may have; half of them at once, since for so long everyone waits.
const SHARE_MS: u64 = 100;

/// Steps of that many milliseconds.
const SHARE: u64 = STEPS_MAX as u64 / JUDGEMENT_MS * SHARE_MS;

/// Steps that a token may have had without a pause.
const AT_ONCE: u64 = SHARE / 2;

/// Tokens that are counted at a time. Those beyond it are not: that many cannot each have much of one worker.
const TOKENS_MAX: usize = 4096;

/// The counters of one VM.
#[derive(Debug, Default)]
pub struct Shares {
    /// Steps that are not yet paid off by the time that has passed, and up to when that was reckoned.
    spent: HashMap<String, (u64, u64)>,
}

impl Shares {
    /// Whether a token has had its share; `now` in milliseconds of the monotonic clock.
    pub fn is_used_up(&self, token: &str, now: u64) -> bool {
        self.spent.get(token).is_some_and(|spent| left(*spent, now) >= AT_ONCE)
    }

    /// Counts steps of a token.
    pub fn spend(&mut self, token: &str, steps: usize, now: u64) {
        if steps == 0 {
            return;
        }
        if self.spent.len() >= TOKENS_MAX && !self.spent.contains_key(token) {
            self.spent.retain(|_, spent| left(*spent, now) > 0);
            if self.spent.len() >= TOKENS_MAX {
                return;
            }
        }
        let spent = self.spent.entry(token.to_owned()).or_insert((0, now));
        *spent = (left(*spent, now).saturating_add(steps as u64), now);
    }
}

/// What is left of what was spent by then: in a second a whole share is paid off.
fn left((steps, then): (u64, u64), now: u64) -> u64 {
    steps.saturating_sub(now.saturating_sub(then).saturating_mul(SHARE / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTLIEST: usize = STEPS_MAX;

    #[test]
    fn l11_a_token_has_a_tenth_of_a_worker_and_no_more() {
        let mut shares = Shares::default();
        let mut judged = 0;
        for now in 0..10_000 {
            if !shares.is_used_up("busy", now) {
                shares.spend("busy", COSTLIEST, now);
                judged += 1;
            }
        }
        // Half a share at once, and then a whole one each second.
        assert!((209..=211).contains(&judged), "{judged} judgements of 5 ms in 10 s");
        assert!(!shares.is_used_up("another", 10_000));
        for _ in 0..10 {
            shares.spend("busy", COSTLIEST, 10_000);
        }
        assert!(shares.is_used_up("busy", 10_000) && shares.is_used_up("busy", 10_400));
        assert!(!shares.is_used_up("busy", 11_100), "a second later it has a share again");
    }

    #[test]
    fn l11_what_costs_nothing_is_not_counted_and_what_is_paid_off_is_forgotten() {
        let mut shares = Shares::default();
        shares.spend("ordinary", 0, 0);
        assert!(shares.spent.is_empty());
        for token in 0..2 * TOKENS_MAX {
            shares.spend(&token.to_string(), 1, 0);
        }
        assert_eq!(shares.spent.len(), TOKENS_MAX);
        shares.spend("late", COSTLIEST, 1_000);
        assert_eq!(shares.spent.len(), 1);
        // A clock that goes back pays nothing off.
        shares.spend("late", COSTLIEST, 0);
        assert_eq!(shares.spent["late"].0, 2 * COSTLIEST as u64);
    }
}
