//! Which proxies there are, what each has in force, and since when that is sure: the ground on which a revocation is
//! called proven.
//!
//! A proxy counts until it can no longer decide anything: as long as it hears nothing, that is `max_snapshot_age` after
//! its last question, by the setting that it had, or may have got with the last answer. It is written down before it is
//! given its first answer, so that a control plane which has just started knows whom it has not heard of.

use crate::keys::hex;
use crate::store::Store;
use crate::store::proxies::{ActiveModel, Column, Entity, Model};
use crate::store::tokens::{stored, timestamp};
use crate::{App, clock, retention, usage};
use policy::Timestamp;
use policy::feed::{ACKNOWLEDGED_AFTER_MS, Ask};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, DatabaseConnection, DbErr, EntityTrait as _, QueryFilter as _};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Proxies that are remembered: each is one process, so more than this are gone ones.
const PROXIES_MAX: usize = 10_000;

/// How exactly the time of the last question is written down.
const WRITTEN_EVERY_MS: u64 = 60_000;

/// After a question was answered, the next one comes within this time, or the proxy is lost.
const SILENCE_MAX_MS: u64 = 10_000;

/// How much longer a proxy counts than it should be able to decide: for the way of a question, and for clocks that run
/// differently.
const SLACK_MS: u64 = 5000;

/// Numbers of questions below the highest that may still come, as their ways differ.
const NUMBERS_BACK: u64 = 64;

/// One proxy process.
pub(crate) type Instance = [u8; 16];

/// All of them.
pub(crate) struct Proxies {
    known: Mutex<BTreeMap<Instance, Proxy>>,
    /// Counts up whenever one of them has said something.
    heard: watch::Sender<u64>,
}

/// One proxy, as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) first_seen_at: Timestamp,
    pub(crate) seen_at: Timestamp,
    /// The same by a clock that nobody sets; `None`: it was before this program started.
    heard: Option<Instant>,
    /// How far its clock was ahead of ours, in milliseconds.
    pub(crate) clock_ahead_ms: i64,
    /// The revision in force there, if it is of this history.
    pub(crate) revision: Option<u64>,
    /// When its snapshot was last known to be current.
    pub(crate) current_at: Option<Timestamp>,
    pub(crate) left_out: u16,
    pub(crate) workers: u16,
    pub(crate) version: String,
    /// Questions that it waits to be answered.
    asking: usize,
    /// The revision which every worker of it surely decides from.
    confirmed: Option<u64>,
    /// The revision in force there will be that from then on.
    confirms: Option<(u64, Instant)>,
    /// For how long it goes on deciding if it hears nothing; `None`: for ever.
    trusts_ms: Option<u64>,
    numbers: Numbers,
    written: Option<Written>,
}

/// What is in the database.
#[derive(Clone, Copy, Debug)]
struct Written {
    seen_at: Timestamp,
    trusts_ms: Option<u64>,
}

/// Which questions have come: the highest number, and a bit for each of those below it.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    highest: u64,
    below: u64,
}

/// A question that waits for its answer; when it is dropped, it waits no longer.
pub(crate) struct Asking<'a> {
    proxies: &'a Proxies,
    instance: Instance,
}

/// What came of waiting for proxies.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) confirmed: Vec<(Instance, Proxy)>,
    pub(crate) unconfirmed: Vec<(Instance, Proxy)>,
}

impl Proxies {
    /// Those that the database knows.
    pub(crate) async fn load(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let known = Entity::find().all(db).await?.into_iter().filter_map(Proxy::stored).collect();
        Ok(Self { known: Mutex::new(known), heard: watch::Sender::new(0) })
    }

    /// A proxy has asked: notes what it says to have in force; `None`: this very question has come before.
    pub(crate) fn asks(
        &self,
        ask: &Ask,
        address: Option<IpAddr>,
        revision: Option<u64>,
        now: Timestamp,
    ) -> Option<Asking<'_>> {
        let mut known = self.known();
        if !known.contains_key(&ask.instance) {
            make_room(&mut known);
            tracing::info!(proxy = ask.name, instance = *hex(&ask.instance), "a proxy has come");
        }
        let proxy = known.entry(ask.instance).or_insert_with(|| Proxy::new(now));
        if !proxy.numbers.once(ask.number) {
            return None;
        }
        // One that was overtaken says nothing new.
        if proxy.numbers.highest == ask.number {
            proxy.hears(ask, address, revision, now);
        }
        proxy.asking += 1;
        drop(known);
        self.heard.send_modify(|count| *count += 1);
        Some(Asking { proxies: self, instance: ask.instance })
    }

    /// A proxy is about to be answered, under settings by which it may go on deciding for so long: writes down what must
    /// be known after a restart, once [`Store::durable`] is settled.
    pub(crate) async fn answers(
        &self,
        asking: &Asking<'_>,
        trusts_ms: Option<u64>,
        store: &Store,
    ) -> Result<(), DbErr> {
        let row = {
            let mut known = self.known();
            // Forgotten while it waited: it must be known before it is told anything.
            let Some(proxy) = known.get_mut(&asking.instance) else {
                return Err(DbErr::RecordNotFound("the proxy is not known any more".into()));
            };
            proxy.trusts_ms = longer(proxy.trusts_ms, trusts_ms);
            if proxy.is_written_down() {
                return Ok(());
            }
            proxy.row(&asking.instance)
        };
        self.write(&asking.instance, row, store).await
    }

    /// Writes down, every minute, who has been seen since: not while they wait for an answer.
    async fn write_who_was_seen(&self, store: &Store) -> Result<(), DbErr> {
        let stale: Vec<_> = self
            .known()
            .iter()
            .filter(|(_, proxy)| proxy.written.is_some_and(|written| written.seen_at < proxy.seen_at))
            .map(|(instance, proxy)| (*instance, proxy.row(instance)))
            .collect();
        for (instance, row) in stale {
            self.write(&instance, row, store).await?;
        }
        Ok(())
    }

    async fn write(&self, instance: &Instance, row: ActiveModel, store: &Store) -> Result<(), DbErr> {
        let all = [Column::Name, Column::Address, Column::SeenAt, Column::TrustsMs, Column::Version, Column::Workers];
        let anew = OnConflict::column(Column::Instance).update_columns(all).to_owned();
        let written = Written {
            seen_at: timestamp(*row.seen_at.as_ref()),
            trusts_ms: row.trusts_ms.as_ref().map(i64::cast_unsigned),
        };
        Entity::insert(row).on_conflict(anew).exec_without_returning(&store.writer).await?;
        store.durable.committed();
        if let Some(proxy) = self.known().get_mut(instance) {
            proxy.written = Some(written);
        }
        Ok(())
    }

    /// All that still count, in the order in which they came.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<(Instance, Proxy)> {
        let mut all: Vec<_> = self
            .known()
            .iter()
            .filter(|(_, proxy)| proxy.may_decide(now))
            .map(|(instance, proxy)| (*instance, proxy.clone()))
            .collect();
        all.sort_by_key(|(instance, proxy)| (proxy.first_seen_at, *instance));
        all
    }

    /// Waits until all of them decide from this revision or a later one, but not for longer than that.
    pub(crate) async fn confirm(&self, revision: u64, patience: Duration) -> Confirmation {
        let until = Instant::now() + patience;
        let mut heard = self.heard.subscribe();
        loop {
            heard.mark_unchanged();
            let now = Instant::now();
            let (confirmed, unconfirmed): (Vec<_>, Vec<_>) = self
                .all(clock::now())
                .into_iter()
                .partition(|(_, proxy)| proxy.confirmed_at(now).is_some_and(|confirmed| confirmed >= revision));
            if unconfirmed.is_empty() || now >= until {
                return Confirmation { confirmed, unconfirmed };
            }
            // One that has it in force counts a moment later, without saying anything more; one that is silent may
            // cease to count.
            let next = unconfirmed
                .iter()
                .filter_map(|(_, proxy)| proxy.confirms.map(|(_, at)| at))
                .filter(|at| *at > now)
                .min();
            let next = next.unwrap_or(now + Duration::from_millis(500)).min(until);
            tokio::select! {
                _ = heard.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Forgets a proxy, since somebody knows that it is gone.
    pub(crate) async fn forget(&self, instance: &Instance, db: &DatabaseConnection) -> Result<(), DbErr> {
        self.known().remove(instance);
        Entity::delete_by_id(hex(instance).to_string()).exec(db).await?;
        self.heard.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Forgets those that can decide nothing any more.
    async fn forget_the_gone(&self, db: &DatabaseConnection) -> Result<(), DbErr> {
        let now = clock::now();
        let mut gone = Vec::new();
        self.known().retain(|instance, proxy| {
            let stays = proxy.may_decide(now);
            if !stays {
                tracing::info!(proxy = proxy.name, instance = *hex(instance), "a proxy is gone");
                gone.push(hex(instance).to_string());
            }
            stays
        });
        if !gone.is_empty() {
            Entity::delete_many().filter(Column::Instance.is_in(gone)).exec(db).await?;
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Instance, Proxy>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes down, every minute, who was seen, and forgets what is gone; never returns. Not in the first minute: those that
/// are there are to have come before anybody is forgotten.
pub(crate) async fn keep_up(app: &Arc<App>) {
    let mut minutes = tokio::time::interval(Duration::from_millis(WRITTEN_EVERY_MS));
    let mut first = true;
    loop {
        minutes.tick().await;
        if let Err(error) = keep_up_once(app, first).await {
            tracing::error!(%error, "what was seen could not be written down, or what is gone not be forgotten");
        }
        first = false;
    }
}

async fn keep_up_once(app: &App, first: bool) -> Result<(), DbErr> {
    let db = &app.store.writer;
    app.proxies.write_who_was_seen(&app.store).await?;
    if !first {
        app.proxies.forget_the_gone(db).await?;
        usage::forget_the_gone(&app.store).await?;
    }
    retention::forget_the_old(&app.store).await
}

/// Should there be far too many, the one that has been silent for longest goes, and nobody waits for it any more.
fn make_room(known: &mut BTreeMap<Instance, Proxy>) {
    if known.len() < PROXIES_MAX {
        return;
    }
    let longest_gone = known.iter().min_by_key(|(_, proxy)| proxy.seen_at).map(|(instance, _)| *instance);
    if let Some(proxy) = longest_gone.and_then(|instance| known.remove(&instance)) {
        tracing::error!(proxy = proxy.name, "there are too many proxies; one is forgotten that may still decide");
    }
}

impl Proxy {
    fn new(now: Timestamp) -> Self {
        Self {
            name: String::new(),
            address: None,
            first_seen_at: now,
            seen_at: now,
            heard: None,
            clock_ahead_ms: 0,
            revision: None,
            current_at: None,
            left_out: 0,
            workers: 0,
            version: String::new(),
            asking: 0,
            confirmed: None,
            confirms: None,
            trusts_ms: Some(0),
            numbers: Numbers::default(),
            written: None,
        }
    }

    fn stored(row: Model) -> Option<(Instance, Self)> {
        let Model { instance, name, address, first_seen_at, seen_at, trusts_ms, version, workers } = row;
        let instance = u128::from_str_radix(&instance, 16).ok()?.to_be_bytes();
        // It may have asked until the next time would have been written down.
        let written_at = timestamp(seen_at);
        let seen_at = Timestamp::from_millis(written_at.as_millis().saturating_add(WRITTEN_EVERY_MS));
        let seen_at = seen_at.min(clock::now());
        let trusts_ms = trusts_ms.map(i64::cast_unsigned);
        let proxy = Self {
            name,
            address: address.and_then(|address| address.parse().ok()),
            first_seen_at: timestamp(first_seen_at),
            seen_at,
            trusts_ms,
            version,
            workers: workers.try_into().unwrap_or_default(),
            written: Some(Written { seen_at: written_at, trusts_ms }),
            ..Self::new(seen_at)
        };
        Some((instance, proxy))
    }

    fn hears(&mut self, ask: &Ask, address: Option<IpAddr>, revision: Option<u64>, now: Timestamp) {
        self.confirmed = match revision {
            Some(_) => self.confirmed_at(Instant::now()),
            None => None, // another history, in which nothing that was confirmed in this one counts
        };
        if self.revision != revision
            && let Some(revision) = revision
        {
            tracing::debug!(proxy = ask.name, revision, "a proxy has it in force");
        }
        let remains = ACKNOWLEDGED_AFTER_MS.saturating_sub(ask.in_force_ms);
        self.confirms = revision.map(|revision| (revision, Instant::now() + Duration::from_millis(remains)));
        self.revision = revision;
        self.name.clone_from(&ask.name);
        self.address = address;
        self.seen_at = now;
        self.heard = Some(Instant::now());
        let millis = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.clock_ahead_ms = millis(ask.sent_at).saturating_sub(millis(now));
        self.trusts_ms = ask.trusts_ms;
        self.current_at = ask.at.map(|_| Timestamp::from_millis(now.as_millis().saturating_sub(ask.age_ms)));
        self.left_out = ask.left_out;
        self.workers = ask.workers;
        self.version.clone_from(&ask.version);
    }

    fn confirmed_at(&self, now: Instant) -> Option<u64> {
        let fresh = self.confirms.filter(|(_, at)| *at <= now).map(|(revision, _)| revision);
        fresh.max(self.confirmed)
    }

    /// For how long it has not asked. Should somebody set the clock forward, nobody is forgotten by it.
    fn silent_ms(&self, now: Timestamp) -> u64 {
        let by_day = now.as_millis().saturating_sub(self.seen_at.as_millis());
        let heard = |heard: Instant| u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.map_or(by_day, |at| by_day.min(heard(at)))
    }

    /// Whether it is there: a question of it is waiting, or it has just been answered.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.asking > 0 || self.silent_ms(now) < SILENCE_MAX_MS
    }

    /// Whether it may admit anything, for all that is known.
    fn may_decide(&self, now: Timestamp) -> bool {
        let can = |trusts: u64| self.silent_ms(now) <= trusts.saturating_add(SLACK_MS);
        self.is_live(now) || self.trusts_ms.is_none_or(can)
    }

    fn is_written_down(&self) -> bool {
        self.written.is_some_and(|written| longer(written.trusts_ms, self.trusts_ms) == written.trusts_ms)
    }

    fn row(&self, instance: &Instance) -> ActiveModel {
        ActiveModel {
            instance: Set(hex(instance).to_string()),
            name: Set(self.name.clone()),
            address: Set(self.address.map(|address| address.to_string())),
            first_seen_at: Set(stored(self.first_seen_at)),
            seen_at: Set(stored(self.seen_at)),
            trusts_ms: Set(self.trusts_ms.map(|trusts| i64::try_from(trusts).unwrap_or(i64::MAX))),
            version: Set(self.version.clone()),
            workers: Set(i32::from(self.workers)),
        }
    }
}

impl Numbers {
    /// Whether this number comes for the first time, as far as can be told: far too low a one does not.
    fn once(&mut self, number: u64) -> bool {
        if number > self.highest {
            let by = number - self.highest;
            let before = self.below.checked_shl(u32::try_from(by).unwrap_or(u32::MAX)).unwrap_or(0);
            let last = if self.highest > 0 && by <= NUMBERS_BACK { 1u64 << (by - 1) } else { 0 };
            *self = Self { highest: number, below: before | last };
            return true;
        }
        let by = self.highest - number;
        if by == 0 || by > NUMBERS_BACK {
            return false;
        }
        let bit = 1u64 << (by - 1);
        let new = self.below & bit == 0;
        self.below |= bit;
        new
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxies.known().get_mut(&self.instance) {
            proxy.asking = proxy.asking.saturating_sub(1);
        }
    }
}

/// The longer of two times, of which none is for ever.
fn longer(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.and_then(|one| other.map(|other| one.max(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_recorded_question_is_known_when_it_comes_again() {
        let mut numbers = Numbers::default();
        for number in [5, 6, 9, 7, 8, 200, 150, 199] {
            assert!(numbers.once(number), "{number} comes first");
        }
        for number in [5, 6, 7, 8, 9, 150, 199, 200, 0, 100] {
            assert!(!numbers.once(number), "{number} comes again, or far too late");
        }
        assert!(numbers.once(300));
        assert!(numbers.once(240) && !numbers.once(240), "within 64 of the highest");
    }

    #[test]
    fn the_longest_time_is_for_ever() {
        assert_eq!(longer(Some(3), Some(5)), Some(5));
        assert_eq!(longer(None, Some(5)), None);
        assert_eq!(longer(Some(5), None), None);
    }

    fn ask(in_force_ms: u64) -> Ask {
        Ask {
            key_id: 0,
            instance: [1; 16],
            name: "edge".into(),
            sent_at: Timestamp::from_millis(0),
            nonce: [0; 16],
            number: 1,
            at: None,
            in_force_ms,
            age_ms: 0,
            cursor: None,
            all: false,
            trusts_ms: Some(60_000),
            left_out: 0,
            workers: 4,
            version: "1".into(),
        }
    }

    #[test]
    fn a_position_counts_40_ms_after_it_came_into_force_and_nothing_counts_in_another_history() {
        let start = Timestamp::from_millis(1_000_000);
        let mut proxy = Proxy::new(start);
        proxy.hears(&ask(40), None, Some(7), start);
        assert_eq!(proxy.confirmed_at(Instant::now()), Some(7));
        proxy.hears(&ask(10), None, Some(9), start);
        assert_eq!(proxy.confirmed_at(Instant::now()), Some(7), "the older one still does");
        assert_eq!(proxy.confirmed_at(Instant::now() + Duration::from_millis(31)), Some(9));
        proxy.hears(&ask(1000), None, None, start);
        assert_eq!(proxy.confirmed_at(Instant::now()), None);
    }

    #[test]
    fn a_silent_proxy_counts_until_it_can_decide_nothing_any_more() {
        let start = 1_000_000;
        let mut proxy = Proxy::new(Timestamp::from_millis(start));
        proxy.hears(&ask(0), None, Some(7), Timestamp::from_millis(start));
        let may_decide = |proxy: &Proxy, after| proxy.may_decide(Timestamp::from_millis(start + after));
        assert!(may_decide(&proxy, 600_000), "the clock was set forward: it was heard a moment ago");
        proxy.heard = None;
        assert!(may_decide(&proxy, 60_000 + SLACK_MS));
        assert!(!may_decide(&proxy, 60_001 + SLACK_MS));
        proxy.trusts_ms = None;
        assert!(may_decide(&proxy, u64::from(u32::MAX)), "for ever");
    }
}
