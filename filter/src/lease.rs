//! Which VM of a proxy keeps the snapshot current.
//!
//! The lease saves traffic and nothing else: two holders at once do no harm, since writes are fenced. So there is no
//! handing over and no vote: whoever finds it free or run out takes it.

use crate::store::{HostFailure, Key, Kind, SharedData, Value, update};

/// How long a lease lasts, in milliseconds: after that long without a sign of its holder, another VM takes over. So much
/// later a revocation may come if its holder ends just then.
pub const LEASE_MS: u64 = 300;

/// How often the holder renews it and the others look, in milliseconds.
pub const RENEW_MS: u64 = 60;

/// Takes or renews the lease for `me` at `now` (milliseconds of the monotonic clock); whether it is ours afterwards.
pub fn hold(data: &impl SharedData, me: u64, now: u64) -> Result<bool, HostFailure> {
    let lease = Value { generation: 0, revision: now.saturating_add(LEASE_MS), payload: me.to_le_bytes().to_vec() };
    let present = update(data, Key::single(Kind::Lease), |present| match present {
        // A lease that ends later than any could was written under another clock: nobody holds it. Twice its length,
        // since the holder may have read the clock after we did.
        Some(present)
            if present.payload != lease.payload
                && present.revision > now
                && present.revision <= now.saturating_add(2 * LEASE_MS) =>
        {
            None
        }
        _ => Some(lease.clone()),
    })?;
    Ok(present.is_some_and(|present| present.payload == lease.payload))
}

/// Gives the lease up, if it is ours, for the next one to take at once.
pub fn release(data: &impl SharedData, me: u64) -> Result<(), HostFailure> {
    update(data, Key::single(Kind::Lease), |present| {
        let ours = present.is_some_and(|present| present.payload == me.to_le_bytes());
        ours.then(|| Value { generation: 0, revision: 0, payload: Vec::new() })
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;

    #[test]
    fn one_holds_until_it_falls_silent() {
        let map = Map::default();
        assert_eq!(hold(&map, 1, 0), Ok(true));
        assert_eq!(hold(&map, 2, LEASE_MS - 1), Ok(false));
        assert_eq!(hold(&map, 1, LEASE_MS - 1), Ok(true));
        assert_eq!(hold(&map, 2, 2 * LEASE_MS - 2), Ok(false));
        assert_eq!(hold(&map, 2, 2 * LEASE_MS - 1), Ok(true));
        assert_eq!(hold(&map, 1, 2 * LEASE_MS), Ok(false));
    }

    #[test]
    fn one_that_gives_it_up_keeps_nobody_waiting_and_gives_up_nobody_elses() {
        let map = Map::default();
        assert_eq!(hold(&map, 1, 1000), Ok(true));
        release(&map, 2).unwrap();
        assert_eq!(hold(&map, 2, 1000), Ok(false));
        release(&map, 1).unwrap();
        assert_eq!(hold(&map, 2, 1000), Ok(true));
    }

    #[test]
    fn a_holder_whose_clock_was_read_later_keeps_it() {
        let map = Map::default();
        assert_eq!(hold(&map, 1, 1000), Ok(true));
        assert_eq!(hold(&map, 2, 999), Ok(false));
    }

    #[test]
    fn a_lease_from_another_clock_is_nobodys() {
        let map = Map::default();
        assert_eq!(hold(&map, 1, 1_000_000), Ok(true));
        assert_eq!(hold(&map, 2, 5), Ok(true));
    }
}
