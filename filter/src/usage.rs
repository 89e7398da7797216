//! What one VM gathers of the calls that it judges, until it is in the outbox: a tick later, as a rule.
//!
//! ```text
//! judged ─▶ awaits the backend's answer ── it came, or a second has passed ─▶ batch ── tick ─▶ outbox
//!        └▶ refused: told at once, if not too many are ──────────────────────┘
//! no room in the outbox, or too many refusals, or nobody wants it told whole ─▶ counts ── tick ─▶ outbox
//! ```
//!
//! A VM that vanishes takes with it what has not reached the outbox.

use crate::outbox::Outbox;
use crate::store::{HostFailure, SharedData};
use policy::feed::BATCH_LEN_MAX;
use policy::usage::{Call, Counted, Counts, Entry, append, entries};
use std::collections::{BTreeMap, VecDeque};

/// How long an admitted call waits for the backend's answer before it is told without: what was used when must not be
/// known much later than it was.
pub const WAIT_MS: u64 = 1000;

/// Bytes of a batch that are not left to wait for the tick.
const BATCH_LEN: usize = BATCH_LEN_MAX / 2;

/// Refusals, and passwords passed on, that one VM tells whole in a second; more of them are counted. A script with an
/// expired token, or somebody who guesses passwords, must not push out the calls that were admitted.
pub const OTHERS_PER_SECOND: u32 = 50;

/// How often counts go to the outbox while there is room for calls, in milliseconds.
const COUNTS_EVERY_MS: u64 = 1000;

/// Tokens and outcomes that are counted apart while the outbox has no room for counts either; more are counted
/// together.
const COUNTS_MAX: usize = 10_000;

/// Calls that wait for an answer at a time; more are told without.
const WAITING_MAX: usize = 10_000;

/// What one VM has gathered.
#[derive(Debug, Default)]
pub struct Usage {
    outbox: Outbox,
    waiting: BTreeMap<u64, Call>,
    /// In the order in which they began to wait.
    since: VecDeque<(u64, u64)>,
    next: u64,
    batch: Vec<u8>,
    counts: Counts,
    counts_put_at: u64,
    /// The outbox had no room for calls when it was last tried.
    crowded: bool,
    refusals: Allowance,
    passwords: Allowance,
}

/// How much is allowed in the second that runs.
#[derive(Debug, Default)]
struct Allowance {
    since: u64,
    used: u32,
}

/// An admitted call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Usage {
    /// Takes a call that was judged at `now` (of the monotonic clock); if it waits for the backend's answer, a ticket
    /// for it. `whole`: the administrator wants it told whole.
    pub fn judged(&mut self, call: Call, whole: bool, now: u64) -> Option<Ticket> {
        // Neither of the two pushes out the other.
        let others = if call.token.is_some() { &mut self.refusals } else { &mut self.passwords };
        if !whole || !call.is_admitted() && !others.allows(now) {
            // A password is not a use of anything.
            if whole || call.token.is_some() {
                self.count(call.counted());
            }
            return None;
        }
        if !call.is_admitted() || self.waiting.len() >= WAITING_MAX {
            append(&mut self.batch, &Entry::Call(call));
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(number, call);
        self.since.push_back((now, number));
        Some(Ticket(number))
    }

    /// The backend has answered with this status, or with nothing at all.
    pub fn answered(&mut self, ticket: Ticket, status: Option<u16>) {
        if let Some(call) = self.waiting.remove(&ticket.0) {
            append(&mut self.batch, &Entry::Call(Call { status, ..call }));
        }
    }

    /// Whether it should not be left to the tick.
    pub fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_LEN
    }

    /// Puts what there is into the outbox.
    pub fn flush(&mut self, data: &impl SharedData, now: u64) -> Result<(), HostFailure> {
        while let Some((since, number)) = self.since.front().copied() {
            if self.waiting.contains_key(&number) && now.saturating_sub(since) < WAIT_MS {
                break;
            }
            self.since.pop_front();
            self.answered(Ticket(number), None);
            if self.is_full() {
                self.put_batch(data);
            }
        }
        // Counts go out with the calls if there is room, but seldom, since each time is a line in the audit.
        if now.saturating_sub(self.counts_put_at) >= COUNTS_EVERY_MS {
            self.counts_put_at = now;
            for counted in std::mem::take(&mut self.counts) {
                append(&mut self.batch, &Entry::Counted(counted));
                if self.is_full() {
                    self.put_batch(data);
                }
            }
        }
        self.put_batch(data);
        if self.crowded { self.put_counts(data) } else { Ok(()) }
    }

    /// Everything, also what still waits: the VM is about to go.
    pub fn flush_all(&mut self, data: &impl SharedData, now: u64) -> Result<(), HostFailure> {
        self.counts_put_at = 0;
        self.flush(data, now.saturating_add(WAIT_MS).max(COUNTS_EVERY_MS))
    }

    /// If there is no room for calls, how many there were of which token is what can be kept.
    fn put_batch(&mut self, data: &impl SharedData) {
        let batch = std::mem::take(&mut self.batch);
        self.crowded = !batch.is_empty() && !self.outbox.put(data, &batch).unwrap_or(false);
        if !self.crowded {
            return;
        }
        for entry in entries(&batch).unwrap_or_default() {
            match entry {
                Entry::Call(call) => self.count(call.counted()),
                Entry::Counted(counted) => self.count(counted),
            }
        }
    }

    fn put_counts(&mut self, data: &impl SharedData) -> Result<(), HostFailure> {
        let counts: Vec<Counted> = self.counts.iter().cloned().collect();
        for some in counts.chunks(500) {
            if !self.outbox.put_counts(data, some)? {
                break;
            }
            for counted in some {
                self.counts.remove(counted);
            }
        }
        Ok(())
    }

    fn count(&mut self, mut counted: Counted) {
        if self.counts.len() >= COUNTS_MAX && !self.counts.has(&counted) {
            counted.token = None;
        }
        self.counts.add(counted);
    }
}

impl Allowance {
    fn allows(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.since) >= 1000 {
            *self = Self { since: now, used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used <= OTHERS_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{batches, free, seal};
    use crate::store::tests::Map;
    use policy::Timestamp;
    use policy::usage::ADMITTED;

    fn call(token: &str, outcome: &str) -> Call {
        Call {
            at: Timestamp::from_millis(5),
            token: Some(token.into()),
            user: Some("alice".into()),
            actor: None,
            method: "GET".into(),
            path: "/rest/".into(),
            address: None,
            outcome: outcome.into(),
            status: None,
            request_id: String::new(),
        }
    }

    /// Everything that has come into the outbox, which is then empty.
    fn sent(map: &Map) -> Vec<Entry> {
        let mut sent = Vec::new();
        while let Some(window) = seal(map).unwrap() {
            sent.extend(batches(map, window).unwrap().iter().flat_map(|batch| entries(batch).unwrap()));
            free(map, window.end).unwrap();
        }
        sent
    }

    fn number_of(entries: &[Entry]) -> u64 {
        entries
            .iter()
            .map(|entry| match entry {
                Entry::Call(_) => 1,
                Entry::Counted(counted) => counted.calls,
            })
            .sum()
    }

    #[test]
    fn a2_a_call_is_told_with_the_backends_answer_or_after_a_second_without() {
        let (map, mut usage) = (Map::default(), Usage::default());
        let quick = usage.judged(call("quick", ADMITTED), true, 10).unwrap();
        let slow = usage.judged(call("slow", ADMITTED), true, 10).unwrap();
        usage.answered(quick, Some(204));
        usage.flush(&map, 20).unwrap();
        let Call { status, .. } = call("quick", ADMITTED);
        assert_eq!(status, None);
        assert_eq!(sent(&map), [Entry::Call(Call { status: Some(204), ..call("quick", ADMITTED) })]);
        usage.flush(&map, 10 + WAIT_MS).unwrap();
        assert_eq!(sent(&map), [Entry::Call(call("slow", ADMITTED))]);
        usage.answered(slow, Some(200));
        usage.flush(&map, 20 + 2 * WAIT_MS).unwrap();
        assert_eq!(sent(&map), [], "once");
    }

    #[test]
    fn what_nobody_wants_told_whole_is_counted() {
        let (map, mut usage) = (Map::default(), Usage::default());
        for _ in 0..3 {
            assert_eq!(usage.judged(call("a", ADMITTED), false, 10), None);
        }
        assert_eq!(usage.judged(Call { token: None, ..call("", "passed") }, false, 10), None);
        usage.flush(&map, 2000).unwrap();
        let told = sent(&map);
        assert!(matches!(&told[..], [Entry::Counted(counted)] if counted.calls == 3), "{told:?}");
    }

    #[test]
    fn attack_a_flood_of_refusals_is_counted_and_pushes_no_call_out() {
        let (map, mut usage) = (Map::default(), Usage::default());
        for number in 0..100_000u64 {
            usage.judged(call("expired", "token_expired"), true, 5000 + number / 1000);
            if usage.is_full() || number % 1000 == 0 {
                usage.flush(&map, 5000 + number / 1000).unwrap();
            }
        }
        let ticket = usage.judged(call("good", ADMITTED), true, 5100).unwrap();
        usage.answered(ticket, Some(200));
        usage.flush(&map, 7000).unwrap();
        let told = sent(&map);
        assert_eq!(number_of(&told), 100_001);
        assert!(told.len() <= OTHERS_PER_SECOND as usize + 4, "{}", told.len());
        assert!(told.iter().any(|entry| matches!(entry, Entry::Call(call) if call.is_admitted())));
    }

    #[test]
    fn when_the_outbox_is_full_calls_collapse_into_counts_and_none_is_lost() {
        let (map, mut usage, mut now) = (Map::default(), Usage::default(), 0);
        let long = "x".repeat(3000);
        for number in 0..10_000u64 {
            let token = format!("token-{}", number % 7);
            let ticket = usage.judged(Call { path: long.clone(), ..call(&token, ADMITTED) }, true, now).unwrap();
            usage.answered(ticket, Some(200));
            if number % 10 == 0 {
                now += 20;
                usage.flush(&map, now).unwrap();
            }
        }
        usage.flush_all(&map, now).unwrap();
        let kept: usize = map.0.borrow().values().map(|(value, _)| value.len()).sum();
        assert!(kept < 17 * 1024 * 1024, "{kept}");
        let told = sent(&map);
        assert_eq!(number_of(&told), 10_000);
        let whole = told.iter().filter(|entry| matches!(entry, Entry::Call(_))).count();
        assert!((3000..6000).contains(&whole), "{whole}");
        assert!(told.len() - whole <= 14, "seven tokens, and at most as many again at the end: {}", told.len());
        let ticket = usage.judged(call("later", ADMITTED), true, now).unwrap();
        usage.answered(ticket, Some(200));
        usage.flush(&map, now + 1).unwrap();
        assert!(matches!(&sent(&map)[..], [Entry::Call(_)]), "and then there is room again");
    }

    #[test]
    fn more_tokens_than_can_be_counted_are_counted_together() {
        let mut usage = Usage::default();
        for number in 0..COUNTS_MAX + 5 {
            usage.count(call(&format!("{number}"), ADMITTED).counted());
        }
        assert_eq!(usage.counts.len(), COUNTS_MAX + 1);
        assert_eq!(usage.counts.iter().map(|counted| counted.calls).sum::<u64>(), COUNTS_MAX as u64 + 5);
    }

    #[test]
    fn what_waits_goes_out_when_the_vm_goes() {
        let (map, mut usage) = (Map::default(), Usage::default());
        usage.judged(call("a", ADMITTED), true, 10);
        usage.judged(call("b", ADMITTED), false, 10);
        usage.flush_all(&map, 11).unwrap();
        assert_eq!(number_of(&sent(&map)), 2);
    }
}
