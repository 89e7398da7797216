//! The client's side of the feed: events in, effects out.
//!
//! It holds no connection, reads no clock and writes nothing: the adapter tells it what happened and does what it says.
//! What is in force it never remembers, but is shown with every event, since another VM may have changed it.
//!
//! ```text
//! Tick ──▶ Ask ──▶ (answer) ──▶ Nothing:  PutHead (it is as current as the question)
//!                               Changes:  Begin, Write all, then PutHead; the next question acknowledges
//!                               Full:     Claim a generation, Write page after page, PutHead after the last
//! (a write is kept out by a newer one) ──▶ Ask again; for everything, if what is in force has not moved meanwhile
//! (an answer that no VM survives)      ──▶ Changes: Ask for everything; Full: leave the page out
//! ```
//!
//! Everything in an answer is checked before any of it is believed; whatever is wrong about it costs this answer, never
//! what is in force.

use crate::snapshot::{Head, OwnedItem};
use policy::feed::{
    ACKNOWLEDGED_AFTER_MS, Answer, Ask, Cursor, Item, ItemKey, News, PATIENCE_MS, Position, SyncKey, hold_ms,
};
use policy::{RestrictionsRecord, Settings, Shard, Timestamp, TokenRecord, UserRecord};

/// For how long a VM may go by the head that it has seen, in milliseconds: half of what an acknowledgement waits for,
/// since it may have been a moment between reading the clock and reading the head.
pub const LOOK_MS: u64 = ACKNOWLEDGED_AFTER_MS / 2;

/// After how long a question counts as lost, in milliseconds: some time after the control plane should have answered it.
pub fn timeout_ms(ask: &Ask) -> u64 {
    hold_ms(ask.trusts_ms.filter(|trusts| *trusts > 0)).saturating_add(PATIENCE_MS)
}

const BACKOFF_MIN_MS: u64 = 100;
const BACKOFF_MAX_MS: u64 = 500;

/// What the client is told besides the event: the proxy as it is at this moment.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Milliseconds of the monotonic clock, read after everything else: whatever is seen was so by then.
    pub now: u64,
    /// What is in force.
    pub head: Option<Head>,
    /// The last generation that anybody began.
    pub last_generation: u32,
    /// Whether what is in force must come anew ([`crate::snapshot::is_unreadable`]).
    pub unreadable: bool,
    /// Until when nothing is to be asked ([`crate::mark`]).
    pub pause_until: u64,
}

/// What a question says of the proxy besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// The number of this question.
    pub number: u64,
    /// How many workers it has.
    pub workers: u16,
    /// For how long it goes on deciding if it hears nothing, in milliseconds.
    pub trusts_ms: Option<u64>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Time has passed; this VM holds the lease.
    Tick {
        /// The time of day, for the question.
        wall: Timestamp,
        /// Random, never used twice.
        nonce: [u8; 16],
        /// Which proxy process this is.
        instance: [u8; 16],
        /// More about it.
        about: About,
    },
    /// The body that came for the question under way.
    Answered(&'a [u8]),
    /// The same, and it has ended several VMs: its values are not to be touched.
    Deadly(&'a [u8]),
    /// No answer of the control plane came: none at all, or one with another status than 200, which may be the proxy's
    /// own.
    Unanswered(Option<u16>),
    /// A write was kept out by a newer one, or the host refused it: somebody else is further.
    Fenced,
    /// Another VM holds the lease now.
    LeaseLost,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send this question.
    Ask(Ask),
    /// Begin this generation.
    Claim(u32),
    /// Begin to write a change under the keys of a generation.
    Begin {
        /// The generation.
        generation: u32,
        /// What is in force.
        from: Position,
        /// What will be.
        to: Position,
    },
    /// Write these values of a generation.
    Write {
        /// The generation.
        generation: u32,
        /// The values.
        items: Vec<OwnedItem>,
    },
    /// Put this in force.
    PutHead {
        /// What is to be in force.
        head: Head,
        /// What was in force when the question was asked.
        after: Option<Position>,
    },
    /// Say this in the log.
    Note(Note),
}

/// What is worth saying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A new position is in force.
    InForce(Position),
    /// An answer was discarded. Said once until a good one comes.
    Discarded(Fault),
    /// The control plane does not answer, or with this status. Said once until it does.
    Unreachable(Option<u16>),
    /// A page of a full sync is left out, since no VM survives it; it begins with this shard.
    LeftOut(u32),
}

/// Why an answer was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was not sealed with our key for our question.
    NotAuthentic,
    /// It does not follow from what is in force, or from the page before.
    OutOfStep,
    /// A value in it cannot be read.
    UnreadableItem,
    /// The control plane refuses questions of another time: the clocks differ too much.
    ClockDiffers,
    /// No VM survives it.
    Deadly,
}

/// The client of one VM.
#[derive(Debug)]
pub struct Client {
    key: SyncKey,
    name: String,
    under_way: Option<Question>,
    full_sync: Option<FullSync>,
    not_before: u64,
    backoff: u64,
    /// What was in force when a write was kept out.
    fenced_at: Option<Option<Head>>,
    /// Everything is wanted, since the change alone is deadly.
    wants_all: bool,
    /// The position in force, and when this VM first saw it: what no other VM can have overlooked for longer.
    seen: Option<(Position, u64)>,
    /// The trouble that was said last.
    said: Option<Note>,
    discarded: u64,
}

#[derive(Debug)]
struct Question {
    ask: Ask,
    sent_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct FullSync {
    generation: u32,
    next: Cursor,
    settings_revision: Option<u64>,
    left_out: u16,
}

impl Client {
    /// A client that calls itself by this name.
    pub fn new(key: SyncKey, name: String) -> Self {
        Self {
            key,
            name,
            under_way: None,
            full_sync: None,
            not_before: 0,
            backoff: BACKOFF_MIN_MS,
            fenced_at: None,
            wants_all: false,
            seen: None,
            said: None,
            discarded: 0,
        }
    }

    /// Takes an event; gives what is to be done, in this order. If one of these is kept out ([`Event::Fenced`]), the
    /// rest of them must not be done.
    pub fn on(&mut self, event: Event<'_>, view: &View) -> Vec<Effect> {
        let position = view.head.map(|head| head.position);
        if self.seen.map(|(seen, _)| seen) != position {
            self.seen = position.map(|position| (position, view.now));
        }
        match event {
            Event::Tick { wall, nonce, instance, about } => self.tick(wall, nonce, instance, about, view),
            Event::Answered(body) => match self.under_way.take() {
                Some(question) => self.answered(body, question, view),
                None => Vec::new(), // it came after all, too late
            },
            Event::Deadly(body) => match self.under_way.take() {
                Some(question) => self.deadly(body, &question, view),
                None => Vec::new(),
            },
            Event::Unanswered(status) => match self.under_way.take() {
                Some(_) => self.trouble(Note::Unreachable(status), view),
                None => Vec::new(),
            },
            Event::Fenced => {
                self.full_sync = None;
                self.fenced_at = Some(view.head);
                self.wait_longer(view);
                Vec::new()
            }
            Event::LeaseLost => {
                self.full_sync = None;
                self.under_way = None;
                Vec::new()
            }
        }
    }

    /// What an answer is called, if there is anything to apply in it: the same for all that begin at the same place, as
    /// its content may change with every question.
    pub fn name_of(&self, body: &[u8]) -> Option<Vec<u8>> {
        let ask = &self.under_way.as_ref()?.ask;
        match Answer::open_without_items(body, ask, &self.key)? {
            News::Nothing | News::ClockDiffers => None,
            News::Changes { .. } => ask.at.map(|at| [at.epoch, at.revision, at.tag].map(u64::to_le_bytes).concat()),
            News::Full { page, .. } => Some(page.shard.to_le_bytes().to_vec()),
        }
    }

    /// How many answers were discarded.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Whether a tick would do anything now.
    pub fn is_due(&self, view: &View) -> bool {
        match &self.under_way {
            Some(question) => view.now.saturating_sub(question.sent_at) > timeout_ms(&question.ask),
            None => view.now >= self.not_before.max(view.pause_until),
        }
    }

    fn tick(&mut self, wall: Timestamp, nonce: [u8; 16], instance: [u8; 16], about: About, view: &View) -> Vec<Effect> {
        if !self.is_due(view) {
            return Vec::new();
        }
        if self.under_way.take().is_some() {
            return self.trouble(Note::Unreachable(None), view);
        }
        // A write was kept out, and nobody has brought anything newer into force since; or a generation was begun after
        // this one under the same keys: either way something that was left unfinished lies among what is in force. Ask
        // for everything.
        let fenced = self.fenced_at.take().is_some_and(|at| at == view.head);
        let broken = view.unreadable || view.head.is_some_and(|head| is_overwritten(head, view));
        let all = fenced || self.wants_all || self.full_sync.is_none() && broken;
        let ask = Ask {
            key_id: self.key.id(),
            instance,
            name: self.name.clone(),
            sent_at: wall,
            nonce,
            number: about.number,
            at: view.head.map(|head| head.position),
            in_force_ms: self.seen.map_or(0, |(_, since)| view.now.saturating_sub(since)),
            age_ms: view.head.map_or(0, |head| head.age_ms(view.now)),
            cursor: self.full_sync.map(|sync| sync.next),
            all,
            trusts_ms: about.trusts_ms,
            left_out: view.head.map_or(0, |head| head.left_out),
            workers: about.workers,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        self.under_way = Some(Question { ask: ask.clone(), sent_at: view.now });
        vec![Effect::Ask(ask)]
    }

    fn answered(&mut self, body: &[u8], question: Question, view: &View) -> Vec<Effect> {
        let effects = match Answer::open(body, &question.ask, &self.key) {
            None => Err(Fault::NotAuthentic),
            Some(answer) => self.take(answer.news, &question, view),
        };
        match effects {
            Ok(effects) => {
                self.backoff = BACKOFF_MIN_MS;
                self.not_before = view.now;
                self.said = None;
                effects
            }
            Err(fault) => {
                self.full_sync = None;
                self.trouble(Note::Discarded(fault), view)
            }
        }
    }

    /// A change that is deadly may not be so as part of everything; a page that is deadly is left out, and what is on it
    /// cannot be read. The last page cannot be left out: then what is in force stays so.
    fn deadly(&mut self, body: &[u8], question: &Question, view: &View) -> Vec<Effect> {
        match (Answer::open_without_items(body, &question.ask, &self.key), self.full_sync) {
            (None, _) => self.full_sync = None,
            (Some(News::Full { page, next: Some(next), .. }), sync)
                if page.in_shards() && next.from == page.from && next.shard > page.shard =>
            {
                let (sync, begun) = match self.sync_for(page, sync, question, view) {
                    Ok(sync) => sync,
                    Err(fault) => {
                        self.full_sync = None;
                        return self.trouble(Note::Discarded(fault), view);
                    }
                };
                self.full_sync = Some(FullSync { next, left_out: sync.left_out.saturating_add(1), ..sync });
                self.not_before = view.now;
                let left_out = Effect::Note(Note::LeftOut(page.shard));
                return begun.into_iter().chain([left_out]).collect();
            }
            (Some(News::Changes { .. }), _) => self.wants_all = true,
            (Some(_), _) => self.full_sync = None,
        }
        self.trouble(Note::Discarded(Fault::Deadly), view)
    }

    fn take(&mut self, news: News<'_>, question: &Question, view: &View) -> Result<Vec<Effect>, Fault> {
        match news {
            News::Nothing => {
                let head = self.head_asked_about(question, view)?;
                let head = Head { current_at: question.sent_at, ..head };
                Ok(vec![Effect::PutHead { head, after: question.ask.at }])
            }
            News::ClockDiffers => Err(Fault::ClockDiffers),
            News::Changes { to, items } => {
                let head = self.head_asked_about(question, view)?;
                self.changes(to, &items, head, question)
            }
            News::Full { page, to, next, items } => self.full(page, to, next, &items, question, view),
        }
    }

    /// The head in force, if the question was about it and no full sync is under way.
    fn head_asked_about(&self, question: &Question, view: &View) -> Result<Head, Fault> {
        view.head
            .filter(|head| question.ask.at == Some(head.position) && question.ask.cursor.is_none())
            .ok_or(Fault::OutOfStep)
    }

    fn changes(&self, to: Position, items: &[Item<'_>], head: Head, question: &Question) -> Result<Vec<Effect>, Fault> {
        let from = head.position;
        if to.epoch != from.epoch || to.layout != from.layout || to.revision <= from.revision {
            return Err(Fault::OutOfStep);
        }
        let checked = self.check(items, to)?;
        let settings_revision = checked.settings_revision.unwrap_or(head.settings_revision);
        let head = Head { position: to, settings_revision, current_at: question.sent_at, ..head };
        let generation = head.generation;
        Ok(vec![
            Effect::Begin { generation, from, to },
            Effect::Write { generation, items: checked.items },
            Effect::PutHead { head, after: question.ask.at },
            Effect::Note(Note::InForce(to)),
        ])
    }

    fn full(
        &mut self,
        page: Cursor,
        to: Position,
        next: Option<Cursor>,
        items: &[Item<'_>],
        question: &Question,
        view: &View,
    ) -> Result<Vec<Effect>, Fault> {
        let (sync, begun) = self.sync_for(page, self.full_sync, question, view)?;
        let history = |position: Position| (position.epoch, position.layout);
        let one_history =
            history(to) == history(page.from) && next.is_none_or(|next| history(next.from) == history(to));
        if !one_history || !is_in_order(page, next, items) {
            return Err(Fault::OutOfStep);
        }
        let checked = self.check(items, to)?;
        let settings_revision = checked.settings_revision.or(sync.settings_revision);
        let mut effects: Vec<Effect> = begun.into_iter().collect();
        effects.push(Effect::Write { generation: sync.generation, items: checked.items });
        match next {
            Some(next) => self.full_sync = Some(FullSync { next, settings_revision, ..sync }),
            None => {
                self.full_sync = None;
                let head = Head {
                    generation: sync.generation,
                    position: to,
                    settings_revision: settings_revision.ok_or(Fault::OutOfStep)?,
                    current_at: question.sent_at,
                    left_out: sync.left_out,
                    begun_at: to.revision,
                };
                effects.push(Effect::PutHead { head, after: question.ask.at });
                effects.push(Effect::Note(Note::InForce(to)));
            }
        }
        Ok(effects)
    }

    /// The full sync to which this page belongs: the one under way, or a new one, which must claim its generation first.
    fn sync_for(
        &mut self,
        page: Cursor,
        under_way: Option<FullSync>,
        question: &Question,
        view: &View,
    ) -> Result<(FullSync, Option<Effect>), Fault> {
        match under_way {
            Some(sync) if page == sync.next && question.ask.cursor == Some(page) => {
                // Another VM has begun a generation since; both would write under the same keys.
                if view.last_generation == sync.generation { Ok((sync, None)) } else { Err(Fault::OutOfStep) }
            }
            _ if page.shard == 0 => {
                let generation = next_generation(view);
                self.wants_all = false;
                let sync = FullSync { generation, next: page, settings_revision: None, left_out: 0 };
                Ok((sync, Some(Effect::Claim(generation))))
            }
            _ => Err(Fault::OutOfStep),
        }
    }

    /// Reads every value once, so that nothing unreadable ever gets into the snapshot.
    fn check(&self, items: &[Item<'_>], to: Position) -> Result<Checked, Fault> {
        let mut settings_revision = None;
        for item in items {
            let readable = match item.key {
                ItemKey::Settings => {
                    settings_revision = Some(item.revision);
                    Settings::decode(item.bytes, &self.key.seal_key()).is_some()
                }
                ItemKey::Tokens(_) => Shard::<TokenRecord>::decode(item.bytes).is_ok(),
                ItemKey::Users(_) => Shard::<UserRecord>::decode(item.bytes).is_ok(),
                ItemKey::Restrictions(_) => Shard::<RestrictionsRecord>::decode(item.bytes).is_ok(),
            };
            if !readable || !to.layout.has(item.key) || item.revision > to.revision {
                return Err(Fault::UnreadableItem);
            }
        }
        let items = items
            .iter()
            .map(|item| OwnedItem { key: item.key, revision: item.revision, bytes: item.bytes.to_vec() })
            .collect();
        Ok(Checked { items, settings_revision })
    }

    fn trouble(&mut self, note: Note, view: &View) -> Vec<Effect> {
        self.discarded = self.discarded.saturating_add(u64::from(matches!(note, Note::Discarded(_))));
        self.wait_longer(view);
        if self.said.replace(note) == Some(note) { Vec::new() } else { vec![Effect::Note(note)] }
    }

    fn wait_longer(&mut self, view: &View) {
        self.not_before = view.now.saturating_add(self.backoff);
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX_MS);
    }
}

/// Whether the page holds what belongs on it and the next one follows: shard after shard, for none may be missing
/// from a generation; then what changed meanwhile, never nothing but at the end.
fn is_in_order(page: Cursor, next: Option<Cursor>, items: &[Item<'_>]) -> bool {
    if page.in_shards() {
        let layout = page.from.layout;
        let end = next.map_or(0, |next| next.shard.min(layout.shards()));
        let numbers = page.shard..end;
        numbers.len() == items.len()
            && !numbers.is_empty()
            && numbers.zip(items).all(|(number, item)| layout.shard(number) == Some(item.key))
    } else {
        next.is_none_or(|next| !next.in_shards() && !items.is_empty())
    }
}

struct Checked {
    items: Vec<OwnedItem>,
    settings_revision: Option<u64>,
}

/// Whether a later generation has been begun under the keys of the one in force.
fn is_overwritten(head: Head, view: &View) -> bool {
    view.last_generation > head.generation && view.last_generation & 1 == head.generation & 1
}

/// The next generation that nobody has begun and whose keys are not those in force.
fn next_generation(view: &View) -> u32 {
    let in_force = view.head.map_or(0, |head| head.generation);
    let next = view.last_generation.max(in_force).saturating_add(1);
    match view.head {
        Some(head) if head.generation & 1 == next & 1 => next.saturating_add(1),
        _ => next,
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
