//! Which VM of a proxy keeps the snapshot current.
//!
//! The lease saves traffic and nothing else: two holders at once do no harm, since writes are fenced. So there is no
//! handing over and no vote: whoever finds it free or run out takes it.

use crate::store::{HostFailure, Key, Kind, SharedData, Value, update};

/// How long a lease lasts, in milliseconds: after that long without a sign of its holder, another VM takes over.
pub const LEASE_MS: u64 = 1000;

/// How often the holder renews it and the others look, in milliseconds.
pub const RENEW_MS: u64 = 200;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;

    #[test]
    fn one_holds_until_it_falls_silent() {
        let map = Map::default();
        assert_eq!(hold(&map, 1, 0), Ok(true));
        assert_eq!(hold(&map, 2, 999), Ok(false));
        assert_eq!(hold(&map, 1, 999), Ok(true));
        assert_eq!(hold(&map, 2, 1998), Ok(false));
        assert_eq!(hold(&map, 2, 1999), Ok(true));
        assert_eq!(hold(&map, 1, 2000), Ok(false));
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
