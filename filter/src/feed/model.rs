//! The feed's client in every interleaving of a small model: a search through all of its states.
//!
//! Two VMs, each with a real [`Client`], share one map, which they read and write with the real functions of
//! [`crate::snapshot`], [`crate::store`] and [`crate::mark`]. Both may believe that they hold the lease, always: so
//! whatever the lease does is within the model, too. A model control plane has at most eight states in three histories,
//! each of three shards and the settings; an answer says what it was when it composed the answer, which may be long
//! before it arrives.
//!
//! Each of these steps may come after any other: the control plane changes, is put upon another database, or upon a
//! backup; a VM asks; its answer is composed; it arrives, or is lost, or in its place comes rubbish or what was recorded
//! elsewhere; a VM does the next one of its effects (every value on its own, so that another VM, or the end, may come
//! between any two writes); it loses the lease; it ends, and a new one begins; a request reports what it cannot read;
//! 20 ms pass. How much the control plane does, how many VMs end and how many full syncs are begun is limited in each
//! model; losses, rubbish, replays and lost leases are not, nor is time, which stands still only where marks are tried.
//! Pauses between questions are left out: they cost time, and change nothing else.
//!
//! The invariants, by the names under which a violation is reported:
//!
//! - *what is in force is one state*: every value that can be read under the head is as it was at the head's position,
//!   or later in one and the same history (values are written before the head that names them);
//! - *what is acknowledged is known to every VM*: once the control plane counts a position as acknowledged, no value that
//!   can be read is older, neither under the head in force nor under one that a VM saw 20 ms ago;
//! - *nothing in force goes back*: neither the head nor a value under it gives way to an older one of the history that
//!   the control plane tells;
//! - *currency counts from questions that were answered*: the control plane said what is in force at, or after, the time
//!   for which the head claims it;
//! - *discarded answers change nothing*: whatever is not the answer to the question under way has no effect but a note;
//! - *no dead end*: from every state, either VM alone, if nothing disturbs it, brings into force what the control plane
//!   says, in a limited number of steps.
//!
//! That the search would notice is shown by flaws, one of which is in a model at a time: each must be found.

mod digest;
mod invariants;
mod search;
mod world;

use super::tests::key;
use super::*;
use crate::store::{self, Cas, HostFailure, Key, Kind, Read, SharedData, Swap, Write};
use crate::{mark, snapshot};
use search::{Explored, Stopped};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use world::{ControlPlane, Era, INSTANCE, NONCE, World, number_of};

/// A step of the clock: no more than [`LOOK_MS`], so that what is still looked at is told from what is acknowledged.
const STEP_MS: u64 = LOOK_MS;

/// Wrong on purpose, to see that the search notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Writes do not look at what is there.
    Unfenced,
    /// The head is written before the values.
    HeadFirst,
    /// A position counts as acknowledged at once.
    AcknowledgedAtOnce,
    /// The control plane knows positions by their numbers alone.
    TagsIgnored,
    /// The control plane says that there is nothing new when there is.
    StaleNothing,
    /// A generation is begun although another VM has begun it.
    Unclaimed,
    /// What was recorded elsewhere passes for an answer.
    NonceIgnored,
    /// A head comes into force whatever has come into force since the question. (This was real, until the search found
    /// it.)
    Late,
    /// A client is not told that its write was kept out.
    FencedUntold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Change,
    Switch(Era),
    TimePasses,
    Tick(usize),
    Compose(usize),
    Deliver(usize),
    Garbage(usize),
    Replay(usize),
    Lose(usize),
    LeaseLost(usize),
    Effect(usize),
    Die(usize),
    Report,
}

/// What a VM is still to do: an effect, value by value, or to take its mark off.
#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u32),
    Begin {
        generation: u32,
        from: Position,
        to: Position,
    },
    /// `origin`: the node that wrote the value.
    Write {
        generation: u32,
        key: ItemKey,
        number: usize,
        revision: u64,
        origin: usize,
    },
    PutHead {
        head: Head,
        after: Option<Position>,
    },
    Unmark {
        progress: bool,
    },
}

struct Vm {
    client: Client,
    queue: VecDeque<Step>,
    /// The control plane as it was when it answered the question under way.
    reply: Option<ControlPlane>,
}

impl Default for Vm {
    fn default() -> Self {
        Self { client: Client::new(key(), String::new()), queue: VecDeque::new(), reply: None }
    }
}

impl Clone for Vm {
    fn clone(&self) -> Self {
        // Waiting is always over; and what was said in the log is of no account.
        let Client { key, name, under_way, full_sync, fenced_at, wants_all, seen, .. } = &self.client;
        let under_way =
            under_way.as_ref().map(|Question { ask, sent_at }| Question { ask: ask.clone(), sent_at: *sent_at });
        let client = Client {
            under_way,
            full_sync: *full_sync,
            fenced_at: *fenced_at,
            wants_all: *wants_all,
            seen: *seen,
            ..Client::new(key.clone(), name.clone())
        };
        Self { client, queue: self.queue.clone(), reply: self.reply }
    }
}

type Entry = (Key, Rc<[u8]>, Cas);

/// Shared data that is cheap to copy.
#[derive(Clone, Default)]
struct Map(RefCell<Vec<Entry>>);

impl SharedData for Map {
    fn get(&self, key: Key) -> Result<Option<(Vec<u8>, Cas)>, HostFailure> {
        Ok(self.0.borrow().iter().find(|(known, ..)| *known == key).map(|(_, bytes, cas)| (bytes.to_vec(), *cas)))
    }

    fn set(&self, key: Key, bytes: &[u8], cas: Cas) -> Result<Swap, HostFailure> {
        let mut map = self.0.borrow_mut();
        match map.iter_mut().find(|(known, ..)| *known == key) {
            Some(present) if present.2 == cas => *present = (key, bytes.into(), Cas(cas.0 + 1)),
            None if cas == Cas::ABSENT => map.push((key, bytes.into(), Cas(1))),
            _ => return Ok(Swap::Lost),
        }
        Ok(Swap::Done)
    }
}

/// Shared data in which a write finds nothing.
struct Unfenced<'a>(&'a Map);

impl SharedData for Unfenced<'_> {
    fn get(&self, _key: Key) -> Result<Option<(Vec<u8>, Cas)>, HostFailure> {
        Ok(None)
    }

    fn set(&self, key: Key, bytes: &[u8], _cas: Cas) -> Result<Swap, HostFailure> {
        let cas = self.0.get(key)?.map_or(Cas::ABSENT, |(_, cas)| cas);
        self.0.set(key, bytes, cas)
    }
}

/// What lies in shared data, without the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    head: Option<Head>,
    last_generation: u32,
    /// Generation and origin, by the generation bit and the number of the value.
    items: [[Option<(u32, usize)>; 4]; 2],
    unreadable: bool,
    /// What is being applied, and what came of it; not when, since there never are enough deaths for a pause.
    mark: Option<(u32, u32)>,
    /// The change that was begun last: generation, and where it leads.
    begun: Option<(u32, [u64; 3])>,
}

impl Seen {
    /// Reads all but the values.
    fn read(&mut self, map: &Map) {
        self.head = snapshot::head(map).unwrap();
        self.last_generation = snapshot::last_generation(map).unwrap();
        self.unreadable = self.head.is_some_and(|head| snapshot::is_unreadable(map, &head).unwrap());
        self.mark = match store::read(map, Key::single(Kind::Mark)).unwrap() {
            Read::Whole(value) => {
                // Without the times.
                let deaths = value.payload[10..].chunks(13).flat_map(|death| &death[..5]);
                let told: Vec<u8> = value.payload[..2].iter().chain(deaths).copied().collect();
                Some((value.generation, crc32fast::hash(&told)))
            }
            _ => None,
        };
        self.begun = match store::read(map, Key::single(Kind::Change)).unwrap() {
            Read::Whole(value) => {
                let number = |from: usize| u64::from_le_bytes(value.payload[from..from + 8].try_into().unwrap());
                Some((value.generation, [value.revision, number(0), number(8)]))
            }
            _ => None,
        };
    }

    /// Reads the value that is, or was to be, written.
    fn read_item(&mut self, map: &Map, world: &World, generation: u32, number: usize) {
        let kind = [Kind::Tokens, Kind::Users, Kind::Restrictions, Kind::Settings][number];
        self.items[(generation & 1) as usize][number] =
            match store::read(map, Key::of_generation(kind, generation, 0).unwrap()).unwrap() {
                Read::Whole(value) => Some((value.generation, world.origin_of(number, &value.payload))),
                _ => None,
            };
    }

    /// Which node wrote each value that a VM reads which goes by this head; `None`: it reads none, and refuses.
    fn under(&self, head: &Head) -> [Option<usize>; 4] {
        self.items[(head.generation & 1) as usize]
            .map(|item| item.filter(|(generation, _)| *generation == head.generation).map(|(_, origin)| origin))
    }
}

#[derive(Clone)]
struct State {
    map: Rc<Map>,
    seen: Seen,
    now: u64,
    control: ControlPlane,
    vms: [Rc<Vm>; 2],
    deaths: usize,
    /// Generations that were begun.
    syncs: usize,
    /// Where the control plane stood, and since when.
    past: Vec<(u64, usize)>,
    /// Heads that were replaced a moment ago, and when: a VM may go by them still.
    looks: Vec<(Head, u64)>,
    /// What is acknowledged, and from when on.
    acknowledged: Vec<(usize, u64)>,
}

impl State {
    fn new(node: usize) -> Self {
        Self {
            map: Rc::default(),
            seen: Seen::default(),
            now: 1000,
            control: ControlPlane { node, era: Era::First, log_from: 0 },
            vms: [Rc::default(), Rc::default()],
            deaths: 0,
            syncs: 0,
            past: vec![(0, node)],
            looks: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    fn view(&self) -> View {
        View {
            now: self.now,
            head: self.seen.head,
            last_generation: self.seen.last_generation,
            unreadable: self.seen.unreadable,
            pause_until: 0,
        }
    }

    /// Tells a VM what happened.
    fn tell(&mut self, vm: usize, event: Event<'_>) -> Vec<Effect> {
        let view = self.view();
        Rc::make_mut(&mut self.vms[vm]).client.on(event, &view)
    }

    fn move_to(&mut self, control: ControlPlane) {
        self.control = control;
        self.past.push((self.now, control.node));
    }
}

/// How large a model is.
#[derive(Clone, Copy)]
struct Model {
    flaw: Flaw,
    /// Shards on a page.
    page: u32,
    /// The node at which the control plane begins.
    from: usize,
    /// Whether that is in force at the beginning.
    in_force: bool,
    /// How often the control plane changes, at most; a switch is a change.
    changes: usize,
    era: Option<Era>,
    deaths: usize,
    /// How many full syncs are begun, at most.
    syncs: usize,
    /// Whether answers are marked while they are applied.
    marks: bool,
    /// Whether time passes: marks have nothing to do with it.
    clock: bool,
    /// Whether dead ends are looked for: a flaw may show as one long before it shows as what it is.
    dead_ends: bool,
}

impl Model {
    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Change, Action::TimePasses, Action::Report];
        actions.extend(self.era.map(Action::Switch));
        for vm in 0..2 {
            actions.extend([
                Action::Effect(vm),
                Action::Tick(vm),
                Action::Compose(vm),
                Action::Deliver(vm),
                Action::Garbage(vm),
                Action::Replay(vm),
                Action::Lose(vm),
                Action::LeaseLost(vm),
                Action::Die(vm),
            ]);
        }
        actions
    }

    fn can(&self, world: &World, state: &State, action: Action) -> bool {
        let idle = |vm: usize| state.vms[vm].queue.is_empty();
        let asking = |vm: usize| state.vms[vm].client.under_way.is_some() && idle(vm);
        let may_change = state.past.len() <= self.changes;
        match action {
            Action::Change => may_change && world.next(state.control).is_some(),
            Action::Switch(Era::Restored) => may_change && state.control.era == Era::First && state.control.node == 2,
            Action::Switch(_) => may_change && state.control.era == Era::First,
            Action::TimePasses => self.clock,
            Action::Effect(vm) => match state.vms[vm].queue.front() {
                Some(Step::Claim(_)) => state.syncs < self.syncs,
                step => step.is_some(),
            },
            Action::Tick(vm) => idle(vm) && !asking(vm),
            Action::Compose(vm) => asking(vm) && state.vms[vm].reply.is_none(),
            Action::Deliver(vm) => asking(vm) && state.vms[vm].reply.is_some(),
            Action::Garbage(vm) | Action::Replay(vm) | Action::Lose(vm) => asking(vm),
            Action::LeaseLost(vm) => idle(vm),
            Action::Die(_) => state.deaths < self.deaths,
            Action::Report => {
                !state.seen.unreadable && state.seen.head.is_some_and(|head| state.seen.under(&head).contains(&None))
            }
        }
    }

    fn apply(&self, world: &World, state: &State, action: Action) -> Result<State, &'static str> {
        let mut after = state.clone();
        match action {
            Action::Change => {
                let node = world.next(state.control).unwrap_or(state.control.node);
                after.move_to(ControlPlane { node, ..state.control });
            }
            Action::Switch(era) => {
                let node = if era == Era::Restored { 1 } else { 4 };
                after.move_to(ControlPlane { node, era, log_from: node });
            }
            Action::TimePasses => {
                after.now += STEP_MS;
                after.looks.retain(|(_, replaced_at)| after.now - replaced_at <= LOOK_MS);
            }
            Action::Tick(vm) => self.tick(world, &mut after, vm)?,
            Action::Compose(vm) => Rc::make_mut(&mut after.vms[vm]).reply = Some(state.control),
            Action::Deliver(vm) => self.deliver(world, &mut after, vm),
            Action::Garbage(vm) => Self::forged(&mut after, vm, b"<html>502 Bad Gateway</html>")?,
            Action::Replay(vm) => {
                let ask = &state.vms[vm].client.under_way.as_ref().unwrap().ask;
                Self::forged(&mut after, vm, &world.answer(state.control, ask, true))?;
            }
            Action::Lose(vm) => {
                Rc::make_mut(&mut after.vms[vm]).reply = None;
                after.tell(vm, Event::Unanswered(None));
            }
            Action::LeaseLost(vm) => {
                Rc::make_mut(&mut after.vms[vm]).reply = None;
                after.tell(vm, Event::LeaseLost);
            }
            Action::Effect(vm) => self.effect(world, &mut after, vm),
            Action::Die(vm) => {
                after.vms[vm] = Rc::default();
                after.deaths += 1;
            }
            Action::Report => {
                // A generation that was begun later is reported a minute later.
                let now = state.now + u64::from(state.seen.last_generation) * 2 * snapshot::RESYNC_EVERY_MS;
                let map = Rc::make_mut(&mut after.map);
                snapshot::report_unreadable(map, &state.seen.head.unwrap(), now).unwrap();
                after.seen.read(map);
            }
        }
        invariants::check(world, state, &after)?;
        Ok(after)
    }

    fn tick(&self, world: &World, after: &mut State, vm: usize) -> Result<(), &'static str> {
        let about = About::default();
        let wall = Timestamp::from_millis(0);
        let effects = after.tell(vm, Event::Tick { wall, nonce: NONCE, instance: INSTANCE, about });
        let [Effect::Ask(ask)] = effects.as_slice() else {
            return Err("no dead end");
        };
        if let Some(at) = ask.at {
            let rest = ACKNOWLEDGED_AFTER_MS.saturating_sub(ask.in_force_ms);
            let rest = if self.flaw == Flaw::AcknowledgedAtOnce { 0 } else { rest };
            let (node, from) = (world.node_at(at), after.now + rest);
            match after.acknowledged.iter_mut().find(|(known, _)| *known == node) {
                Some((_, known)) => *known = from.min(*known),
                None => after.acknowledged.push((node, from)),
            }
        }
        Ok(())
    }

    fn deliver(&self, world: &World, after: &mut State, vm: usize) {
        let vm_after = Rc::make_mut(&mut after.vms[vm]);
        let control = vm_after.reply.take().unwrap();
        let body = world.answer(control, &vm_after.client.under_way.as_ref().unwrap().ask, false);
        let mut ended = 0;
        if let Some(name) = vm_after.client.name_of(&body).filter(|_| self.marks) {
            let map = Rc::make_mut(&mut after.map);
            ended = mark::begin(map, &name, after.now).unwrap();
            after.seen.read(map);
        }
        let deadly = ended >= mark::DEADLY_AFTER;
        let effects = after.tell(vm, if deadly { Event::Deadly(&body) } else { Event::Answered(&body) });
        Rc::make_mut(&mut after.vms[vm]).queue = self.steps(world, effects);
    }

    fn steps(&self, world: &World, effects: Vec<Effect>) -> VecDeque<Step> {
        let mut progress = false;
        let mut steps = VecDeque::new();
        for effect in effects {
            match effect {
                Effect::Claim(generation) => steps.push_back(Step::Claim(generation)),
                Effect::Begin { generation, from, to } => steps.push_back(Step::Begin { generation, from, to }),
                Effect::Write { generation, items } => steps.extend(items.into_iter().map(|item| {
                    let OwnedItem { key, revision, bytes } = item;
                    let number = number_of(key);
                    Step::Write { generation, key, number, revision, origin: world.origin_of(number, &bytes) }
                })),
                Effect::PutHead { head, after } => {
                    progress = true;
                    let put = Step::PutHead { head, after };
                    if self.flaw == Flaw::HeadFirst { steps.push_front(put) } else { steps.push_back(put) }
                }
                Effect::Ask(_) | Effect::Note(_) => {}
            }
        }
        if self.marks {
            steps.push_back(Step::Unmark { progress });
        }
        steps
    }

    fn forged(after: &mut State, vm: usize, body: &[u8]) -> Result<(), &'static str> {
        Rc::make_mut(&mut after.vms[vm]).reply = None;
        if after.tell(vm, Event::Answered(body)) == [Effect::Note(Note::Discarded(Fault::NotAuthentic))] {
            Ok(())
        } else {
            Err("discarded answers change nothing")
        }
    }

    fn effect(&self, world: &World, after: &mut State, vm: usize) {
        let before = after.seen.head;
        let step = Rc::make_mut(&mut after.vms[vm]).queue.pop_front().unwrap();
        let map: &Map = Rc::make_mut(&mut after.map);
        let write = match step {
            Step::Claim(generation) => {
                after.syncs += 1;
                let write = if self.flaw == Flaw::Unclaimed {
                    snapshot::claim_generation(&Unfenced(map), generation)
                } else {
                    snapshot::claim_generation(map, generation)
                };
                write.unwrap()
            }
            Step::Begin { generation, from, to } => snapshot::begin_change(map, generation, from, to).unwrap(),
            Step::Write { generation, key, number, revision, origin } => {
                let items = [OwnedItem { key, revision, bytes: world.bytes(origin, number).to_vec() }];
                let write = if self.flaw == Flaw::Unfenced {
                    snapshot::write_items(&Unfenced(map), generation, &items)
                } else {
                    snapshot::write_items(map, generation, &items)
                };
                after.seen.read_item(map, world, generation, number);
                write.unwrap()
            }
            Step::PutHead { head, after } if self.flaw == Flaw::Unfenced => {
                snapshot::put_head(&Unfenced(map), &head, after).unwrap()
            }
            Step::PutHead { head, after: _ } if self.flaw == Flaw::Late => {
                snapshot::put_head(map, &head, before.map(|before| before.position)).unwrap()
            }
            Step::PutHead { head, after } => snapshot::put_head(map, &head, after).unwrap(),
            Step::Unmark { progress } => {
                mark::end(map, progress).unwrap();
                Write::Done
            }
        };
        after.seen.read(map);
        if write == Write::Fenced {
            if self.flaw != Flaw::FencedUntold {
                after.tell(vm, Event::Fenced);
            }
            let queue = &mut Rc::make_mut(&mut after.vms[vm]).queue;
            queue.clear();
            queue.extend(self.marks.then_some(Step::Unmark { progress: false }));
        }
        let what = |head: Head| (head.generation, head.position);
        if let Some(before) = before
            && after.seen.head.map(what) != Some(what(before))
        {
            after.looks.push((before, after.now));
        }
    }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

/// Nothing is in force, all shards are on one page, and the control plane changes once.
const FIRST: Model = Model {
    flaw: Flaw::None,
    page: 3,
    from: 0,
    in_force: false,
    changes: 1,
    era: None,
    deaths: 0,
    syncs: 2,
    marks: false,
    clock: true,
    dead_ends: true,
};

/// What is in force changes: a token is made.
const CHANGE: Model = Model { in_force: true, syncs: 1, ..FIRST };

const OTHER_EPOCH: Model = Model { from: 1, era: Some(Era::OtherEpoch), ..CHANGE };

const RESTORED: Model = Model { from: 2, era: Some(Era::Restored), changes: 2, ..CHANGE };

/// Explores a model to its end; it has at least so many states.
fn explored(name: &str, model: Model, at_least: usize) -> Explored {
    let started = std::time::Instant::now();
    match model.explore() {
        Ok(explored) => {
            let Explored { states, steps, .. } = explored;
            println!("{name}: {states} states, {steps} steps, {:.1} s", started.elapsed().as_secs_f64());
            assert!(states >= at_least, "{name}: only {states} states");
            explored
        }
        Err(Stopped::TooLarge) => panic!("{name}: not explored to its end"),
        Err(Stopped::Violated(violation)) => panic!("{name}: {violation}"),
    }
}

#[test]
fn every_interleaving_of_a_first_full_sync() {
    explored("first full sync", FIRST, 100_000);
}

#[test]
fn every_interleaving_of_a_full_sync_of_two_pages_of_shards() {
    explored("pages", Model { page: 2, ..FIRST }, 100_000);
}

#[test]
fn every_interleaving_of_a_revocation_and_new_settings() {
    explored("changes", Model { from: 1, changes: 2, ..CHANGE }, 100_000);
}

#[test]
fn every_interleaving_of_a_change_and_a_death() {
    explored("a death", Model { deaths: 1, ..CHANGE }, 30_000);
}

#[test]
fn every_interleaving_of_another_epoch() {
    explored("another epoch", Model { syncs: 2, ..OTHER_EPOCH }, 40_000);
    explored("another epoch and a change", Model { changes: 2, ..OTHER_EPOCH }, 300_000);
}

#[test]
fn every_interleaving_of_a_restored_backup() {
    explored("a restored backup", Model { changes: 3, ..RESTORED }, 400_000);
}

#[test]
fn every_interleaving_of_a_page_that_ends_two_vms() {
    let model = Model { changes: 0, page: 2, deaths: 2, marks: true, clock: false, ..FIRST };
    assert!(explored("a deadly page", model, 60_000).left_out > 0);
}

#[test]
fn every_interleaving_of_a_change_that_ends_two_vms() {
    let model = Model { deaths: 2, syncs: 2, marks: true, clock: false, ..CHANGE };
    assert!(explored("a deadly change", model, 18_000).wants_all > 0);
}

/// In this model the search finds that this does not hold.
fn violated(flaw: Flaw, model: Model, invariant: &str) {
    match (Model { flaw, dead_ends: invariant == "no dead end", ..model }).explore() {
        Err(Stopped::Violated(violation)) => {
            println!("{flaw:?}: {} after {} steps", violation.invariant, violation.trace.len());
            assert_eq!(violation.invariant, invariant, "{flaw:?}: {violation}");
        }
        Err(Stopped::TooLarge) => panic!("{flaw:?}: not explored to its end"),
        Ok(Explored { states, .. }) => panic!("{flaw:?}: not noticed in {states} states"),
    }
}

#[test]
fn every_flaw_is_noticed() {
    violated(Flaw::Unfenced, Model { changes: 2, ..CHANGE }, "nothing in force goes back");
    violated(Flaw::HeadFirst, CHANGE, "what is in force is one state");
    violated(Flaw::AcknowledgedAtOnce, OTHER_EPOCH, "what is acknowledged is known to every VM");
    violated(Flaw::TagsIgnored, RESTORED, "no dead end");
    violated(Flaw::TagsIgnored, Model { changes: 3, ..RESTORED }, "what is in force is one state");
    violated(Flaw::StaleNothing, CHANGE, "currency counts from questions that were answered");
    violated(Flaw::Unclaimed, Model { in_force: false, syncs: 2, ..OTHER_EPOCH }, "what is in force is one state");
    violated(Flaw::Late, FIRST, "nothing in force goes back");
    violated(Flaw::NonceIgnored, CHANGE, "discarded answers change nothing");
    violated(Flaw::FencedUntold, Model { syncs: 2, ..RESTORED }, "what is in force is one state");
}
