//! Assertions that were used: each is good for one request.

use super::error::ApiError;
use crate::clock;
use policy::Timestamp;
use policy::assertion::{Claims, LEEWAY_SECONDS, LIFETIME_SECONDS};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Assertions that are remembered. Only what a proxy signed comes this far, and each for two minutes; so many would be
/// 8,000 a second.
const REMEMBERED_MAX: usize = 1_000_000;

/// The ids of assertions that were used, until nobody would accept them any more.
pub(crate) struct Assertions {
    used: Mutex<Used>,
    started: Timestamp,
}

#[derive(Default)]
struct Used {
    /// Until which second each counts.
    until: HashMap<String, u64>,
    next_sweep: u64,
}

impl Default for Assertions {
    fn default() -> Self {
        Self { used: Mutex::default(), started: clock::now() }
    }
}

impl Assertions {
    /// Uses an assertion whose signature is right, once. What was signed before this program started is refused:
    /// another one may have accepted it.
    pub(crate) fn once(&self, claims: &Claims, now: Timestamp) -> Result<(), ApiError> {
        let now = now.as_millis() / 1000;
        if claims.made_at().is_none_or(|made_at| made_at <= self.started) {
            return Err(ApiError::AssertionOfOtherTime);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= used.next_sweep || used.until.len() >= REMEMBERED_MAX {
            used.until.retain(|_, until| *until >= now);
            used.next_sweep = now + 10;
        }
        if used.until.len() >= REMEMBERED_MAX {
            return Err(ApiError::Busy);
        }
        let until = claims.iat + LIFETIME_SECONDS + LEEWAY_SECONDS;
        match used.until.insert(claims.jti.clone(), until) {
            None => Ok(()),
            Some(_) => Err(ApiError::AssertionUsed),
        }
    }
}
