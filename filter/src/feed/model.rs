//! placeholder
use super::tests::key;
use super::*;
use crate::store::tests::Map;
use crate::store::{self, Cas, HostFailure, Key, Kind, Read, SharedData, Swap, Write};
use crate::{mark, snapshot};
use policy::assertion::AssertionKey;
use policy::feed::News;
use policy::hash::{HashKey, HashKeys};
use policy::{
    Addresses, Binding, FilterKeys, KeyedHash, Layout, RestrictionsRecord, Scope, SealKey, ShardCount, TokenState,
};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// A step of the clock: no more than [`LOOK_MS`], so that what is still looked at is told from what is acknowledged.
const STEP_MS: u64 = LOOK_MS;

/// Steps of the fair schedule after which the proxy must have arrived.
const ARRIVES_WITHIN: usize = 80;

const TOKENS: usize = 0;
const USERS: usize = 1;
const RESTRICTIONS: usize = 2;
const SETTINGS: usize = 3;

/// One state of the control plane: a node in the tree of its histories.
struct Node {
    parent: Option<usize>,
    position: Position,
    /// Which node wrote each value.
    origins: [usize; 4],
}

/// What the control plane went through before: it begins with one history, and may be put upon another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Era {
    First,
    OtherEpoch,
    Restored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ControlPlane {
    node: usize,
    era: Era,
    /// Where its log begins.
    log_from: usize,
}

/// All that the control plane can ever say.
struct World {
    nodes: Vec<Node>,
    /// The encoded values by the node that wrote them.
    bytes: Vec<[Vec<u8>; 4]>,
    origin_of: HashMap<Vec<u8>, usize>,
    /// Shards on a page.
    page: u32,
}

/// On purpose wrong, to see that the model notices.
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
    /// A generation is begun by whoever wants to.
    Unclaimed,
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

#[derive(Clone, Debug)]
enum Step {
    Do(Effect),
    Unmark { progress: bool },
}

struct Vm {
    client: Client,
    queue: VecDeque<Step>,
    /// The control plane as it was when it answered the question under way.
    reply: Option<ControlPlane>,
}

/// What lies in shared data, without the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    head: Option<Head>,
    last_generation: u32,
    /// Generation and origin, by the generation bit and the number of the value.
    items: [[Option<(u32, usize)>; 4]; 2],
    unreadable: bool,
    mark: Option<(u32, [u8; 3])>,
}

struct State {
    map: Map,
    seen: Seen,
    now: u64,
    nonces: u128,
    control: ControlPlane,
    vms: [Vm; 2],
    deaths: usize,
    syncs: usize,
    /// Where the control plane stood, and since when.
    past: Vec<(u64, usize)>,
    /// Heads that were replaced a moment ago, and when: a VM may go by them still.
    looks: Vec<(Head, u64)>,
    /// What is acknowledged, and from when on.
    acknowledged: Vec<(usize, u64)>,
}

/// How large the model is.
#[derive(Clone, Copy)]
struct Model {
    flaw: Flaw,
    page: u32,
    last: usize,
    era: Option<Era>,
    deaths: Option<usize>,
    syncs: usize,
    in_force: bool,
    marks: bool,
    states_max: usize,
}

#[derive(Debug)]
struct Violation {
    invariant: &'static str,
    trace: Vec<Action>,
    state: String,
}

fn copy(client: &Client) -> Client {
    // Waiting costs nothing and is always over; and what was said in the log is of no account.
    let Client { key, name, under_way, full_sync, fenced_at, wants_all, seen, .. } = client;
    let under_way =
        under_way.as_ref().map(|Question { ask, sent_at }| Question { ask: ask.clone(), sent_at: *sent_at });
    Client {
        under_way,
        full_sync: *full_sync,
        fenced_at: *fenced_at,
        wants_all: *wants_all,
        seen: *seen,
        ..Client::new(key.clone(), name.clone())
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        let vm = |vm: &Vm| Vm { client: copy(&vm.client), queue: vm.queue.clone(), reply: vm.reply };
        Self {
            map: Map(RefCell::new(self.map.0.borrow().clone())),
            seen: self.seen,
            now: self.now,
            nonces: self.nonces,
            control: self.control,
            vms: [vm(&self.vms[0]), vm(&self.vms[1])],
            deaths: self.deaths,
            syncs: self.syncs,
            past: self.past.clone(),
            looks: self.looks.clone(),
            acknowledged: self.acknowledged.clone(),
        }
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

fn layout() -> Layout {
    let one = ShardCount::from_bits(0).unwrap();
    Layout { tokens: one, users: one, restrictions: one }
}

const SHARDS: u32 = 3;

fn number_of(key: ItemKey) -> usize {
    match key {
        ItemKey::Tokens(_) => TOKENS,
        ItemKey::Users(_) => USERS,
        ItemKey::Restrictions(_) => RESTRICTIONS,
        ItemKey::Settings => SETTINGS,
    }
}

const HASH: KeyedHash = KeyedHash::from_bytes([0; 32]);

fn encoded(node: usize) -> [Vec<u8>; 4] {
    let state = if node == 2 || node == 7 { TokenState::Deleted } else { TokenState::Active };
    let token = TokenRecord {
        id: node.to_string(),
        binding: Binding::Unbound,
        created_at: Timestamp::from_millis(0),
        valid_from: None,
        expires_at: None,
        state,
        scope: Scope::Full,
        addresses: Addresses::Any,
        restrictions: None,
    };
    let user =
        UserRecord { name: format!("user {node}"), email: None, sysadmin: false, suspended: false, credential: None };
    let restrictions = RestrictionsRecord { text: format!("restrictions {node}") };
    let keys = FilterKeys {
        token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
        user_hash: HashKey::new([2; 32]),
        credential: SealKey::new([3; 32]),
        shared_credential: None,
        backend_assertion: AssertionKey::new([4; 32]),
        control_plane_assertion: AssertionKey::new([5; 32]),
    };
    let nonce = [u8::try_from(node).unwrap(); 24];
    [
        Shard::encode([(&HASH, &token)]).unwrap(),
        Shard::encode([(&HASH, &user)]).unwrap(),
        Shard::encode([(&HASH, &restrictions)]).unwrap(),
        Settings::default().encode(&keys, &key().seal_key(), nonce).unwrap(),
    ]
}

impl World {
    fn new(page: u32) -> Self {
        let node = |parent, epoch, revision, tag, origins| Node {
            parent,
            position: Position { epoch, revision, tag, layout: layout() },
            origins,
        };
        let nodes = vec![
            node(None, 7, 1, 10, [0, 0, 0, 0]),
            node(Some(0), 7, 2, 11, [1, 0, 1, 0]), // a token is made, with its restrictions
            node(Some(1), 7, 3, 12, [2, 0, 1, 0]), // it is revoked
            node(Some(2), 7, 4, 13, [2, 0, 1, 3]), // the settings change
            node(None, 8, 1, 14, [4, 4, 4, 4]),    // another epoch
            node(Some(4), 8, 2, 15, [5, 4, 4, 4]),
            node(Some(1), 7, 3, 16, [1, 6, 1, 0]), // one back from a backup, and then something else
            node(Some(6), 7, 4, 17, [7, 6, 1, 0]),
        ];
        let bytes: Vec<_> = (0..nodes.len()).map(encoded).collect();
        let origin_of = bytes
            .iter()
            .enumerate()
            .flat_map(|(node, all)| all.iter().map(move |bytes| (bytes.clone(), node)))
            .collect();
        Self { nodes, bytes, origin_of, page }
    }

    fn node_at(&self, position: Position) -> usize {
        self.nodes.iter().position(|node| node.position == position).unwrap()
    }

    /// Whether the one is the other, or comes after it in its history.
    fn follows(&self, node: usize, other: usize) -> bool {
        node == other || self.nodes[node].parent.is_some_and(|parent| self.follows(parent, other))
    }

    fn next(&self, control: ControlPlane) -> Option<usize> {
        match (control.era, control.node) {
            (Era::First, node @ 0..=2) => Some(node + 1),
            (Era::OtherEpoch, 4) => Some(5),
            (Era::Restored, 1) => Some(6),
            (Era::Restored, 6) => Some(7),
            _ => None,
        }
    }

    fn position(&self, control: ControlPlane) -> Position {
        self.nodes[control.node].position
    }

    fn item(&self, control: ControlPlane, number: usize) -> Item<'_> {
        let origin = self.nodes[control.node].origins[number];
        let key = match number {
            TOKENS => ItemKey::Tokens(0),
            USERS => ItemKey::Users(0),
            RESTRICTIONS => ItemKey::Restrictions(0),
            _ => ItemKey::Settings,
        };
        // A program that has just started takes the revision it finds for that of all values.
        let origin_revision = self.nodes[origin].position.revision;
        let revision = origin_revision.max(self.nodes[control.log_from].position.revision);
        Item { key, revision, bytes: &self.bytes[origin][number] }
    }

    /// The nodes of the log after that position.
    fn log_since(&self, control: ControlPlane, at: Position, flaw: Flaw) -> Option<Vec<usize>> {
        let mut after = Vec::new();
        let mut node = control.node;
        loop {
            let position = self.nodes[node].position;
            let at = if flaw == Flaw::TagsIgnored { Position { tag: position.tag, ..at } } else { at };
            if position == at {
                after.reverse();
                return Some(after);
            }
            if node == control.log_from {
                return None;
            }
            after.push(node);
            node = self.nodes[node].parent?;
        }
    }

    /// The values that a node changed, in the order in which they are written.
    fn changed(&self, node: usize) -> Vec<usize> {
        let all = [RESTRICTIONS, USERS, TOKENS, SETTINGS];
        all.into_iter().filter(|number| self.nodes[node].origins[*number] == node).collect()
    }

    /// As the control plane's `Image::news`.
    fn news(&self, control: ControlPlane, ask: &Ask, flaw: Flaw) -> Option<News<'_>> {
        match (ask.cursor, ask.at) {
            (Some(cursor), _) => Some(match self.log_since(control, cursor.from, flaw) {
                Some(_) if cursor.in_shards() => self.shards_from(control, cursor),
                Some(entries) => {
                    let meanwhile = entries.iter().flat_map(|node| self.changed(*node)).chain([SETTINGS]);
                    let items = meanwhile.map(|number| self.item(control, number)).collect();
                    News::Full { page: cursor, to: self.position(control), next: None, items }
                }
                None => self.first_page(control),
            }),
            (None, Some(_)) if ask.all => Some(self.first_page(control)),
            (None, Some(at)) if at == self.position(control) => None,
            (None, Some(at)) => Some(match self.log_since(control, at, flaw) {
                Some(entries) => {
                    let changed: BTreeSet<ItemKey> = entries
                        .iter()
                        .flat_map(|node| self.changed(*node))
                        .map(|number| self.item(control, number).key)
                        .collect();
                    let items = changed.into_iter().map(|key| self.item(control, number_of(key))).collect();
                    News::Changes { to: self.position(control), items }
                }
                None => self.first_page(control),
            }),
            (None, None) => Some(self.first_page(control)),
        }
    }

    fn first_page(&self, control: ControlPlane) -> News<'_> {
        self.shards_from(control, Cursor { from: self.position(control), shard: 0 })
    }

    fn shards_from(&self, control: ControlPlane, page: Cursor) -> News<'_> {
        let end = page.shard.saturating_add(self.page).min(SHARDS);
        let numbers = page.shard as usize..end as usize;
        let items = numbers.map(|number| self.item(control, number)).collect();
        News::Full { page, to: self.position(control), next: Some(Cursor { shard: end, ..page }), items }
    }
}

fn item_key(kind: Kind, generation: u32) -> Key {
    Key::of_generation(kind, generation, 0).unwrap()
}

const KINDS: [Kind; 4] = [Kind::Tokens, Kind::Users, Kind::Restrictions, Kind::Settings];

impl Seen {
    fn read(&mut self, map: &Map, world: &World) {
        self.head = snapshot::head(map).unwrap();
        self.last_generation = snapshot::last_generation(map).unwrap();
        self.unreadable = self.head.is_some_and(|head| snapshot::is_unreadable(map, &head).unwrap());
        self.mark = match store::read(map, Key::single(Kind::Mark)).unwrap() {
            Read::Whole(value) => Some((value.generation, value.payload[..3].try_into().unwrap())),
            _ => None,
        };
        for (bit, items) in self.items.iter_mut().enumerate() {
            for (kind, item) in KINDS.into_iter().zip(items) {
                let key = item_key(kind, u32::try_from(bit).unwrap());
                *item = match store::read(map, key).unwrap() {
                    Read::Whole(value) => Some((value.generation, world.origin_of[&value.payload])),
                    _ => None,
                };
            }
        }
    }

    /// Which node wrote each value that a VM reads which goes by this head; `None`: it reads none, and refuses.
    fn under(&self, head: &Head) -> [Option<usize>; 4] {
        self.items[(head.generation & 1) as usize]
            .map(|item| item.filter(|(generation, _)| *generation == head.generation).map(|(_, origin)| origin))
    }
}

type Outcome = Result<State, &'static str>;

impl Model {
    fn new_vm() -> Vm {
        Vm { client: Client::new(key(), String::new()), queue: VecDeque::new(), reply: None }
    }

    fn start() -> State {
        State {
            map: Map::default(),
            seen: Seen::default(),
            now: 1000,
            nonces: 1,
            control: ControlPlane { node: 0, era: Era::First, log_from: 0 },
            vms: [Self::new_vm(), Self::new_vm()],
            deaths: 0,
            syncs: 0,
            past: vec![(0, 0)],
            looks: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![Action::Change, Action::TimePasses];
        actions.extend(self.era.map(Action::Switch));
        actions.push(Action::Report);
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

    fn can(&self, state: &State, action: Action) -> bool {
        let idle = |vm: usize| state.vms[vm].queue.is_empty();
        let asking = |vm: usize| state.vms[vm].client.under_way.is_some() && idle(vm);
        match action {
            Action::Change => state.control.node != self.last,
            Action::Switch(Era::Restored) => state.control == ControlPlane { node: 2, era: Era::First, log_from: 0 },
            Action::Switch(_) => state.control.era == Era::First,
            Action::TimePasses => true,
            Action::Effect(vm) => match state.vms[vm].queue.front() {
                Some(Step::Do(Effect::Claim(_))) => state.syncs < self.syncs,
                step => step.is_some(),
            },
            Action::Tick(vm) => idle(vm) && !asking(vm),
            Action::Compose(vm) => asking(vm) && state.vms[vm].reply.is_none(),
            Action::Deliver(vm) => asking(vm) && state.vms[vm].reply.is_some(),
            Action::Garbage(vm) | Action::Replay(vm) | Action::Lose(vm) => asking(vm),
            Action::LeaseLost(vm) => idle(vm),
            Action::Die(_) => self.deaths.is_none_or(|most| state.deaths < most),
            Action::Report => {
                !state.seen.unreadable && state.seen.head.is_some_and(|head| state.seen.under(&head).contains(&None))
            }
        }
    }

    fn view(state: &State) -> View {
        View {
            now: state.now,
            head: state.seen.head,
            last_generation: state.seen.last_generation,
            unreadable: state.seen.unreadable,
            pause_until: mark::pause_until(&state.map).unwrap(),
        }
    }

    fn enqueue(&self, state: &mut State, vm: usize, effects: Vec<Effect>) {
        let mut progress = false;
        let mut steps = VecDeque::new();
        for effect in effects {
            match effect {
                Effect::Note(note) => progress |= matches!(note, Note::InForce(_)),
                Effect::Write { generation, items } => {
                    for item in items {
                        steps.push_back(Step::Do(Effect::Write { generation, items: vec![item] }));
                    }
                }
                Effect::PutHead { .. } if self.flaw == Flaw::HeadFirst => steps.push_front(Step::Do(effect)),
                effect => steps.push_back(Step::Do(effect)),
            }
        }
        if self.marks {
            steps.push_back(Step::Unmark { progress });
        }
        state.vms[vm].queue = steps;
    }

    fn apply(&self, world: &World, state: &State, action: Action) -> Outcome {
        let mut after = state.clone();
        match action {
            Action::Change => match world.next(state.control) {
                Some(node) => self.move_to(&mut after, ControlPlane { node, ..state.control }),
                None => return Ok(after),
            },
            Action::Switch(era) => {
                let node = if era == Era::Restored { 1 } else { 4 };
                self.move_to(&mut after, ControlPlane { node, era, log_from: node });
            }
            Action::TimePasses => {
                after.now += STEP_MS;
                after.looks.retain(|(_, replaced_at)| after.now - replaced_at <= LOOK_MS);
            }
            Action::Tick(vm) => self.tick(world, &mut after, vm)?,
            Action::Compose(vm) => after.vms[vm].reply = Some(state.control),
            Action::Deliver(vm) => self.deliver(world, &mut after, vm)?,
            Action::Garbage(vm) => self.forged(&mut after, vm, b"<html>502 Bad Gateway</html>")?,
            Action::Replay(vm) => {
                let ask = &state.vms[vm].client.under_way.as_ref().unwrap().ask;
                let news = world.news(state.control, ask, Flaw::None).unwrap_or(News::Nothing);
                let recorded = Ask { nonce: [0; 16], ..ask.clone() };
                self.forged(&mut after, vm, &sealed(&recorded, news))?;
            }
            Action::Lose(vm) => {
                after.vms[vm].reply = None;
                let view = Self::view(&after);
                after.vms[vm].client.on(Event::Unanswered(None), &view);
            }
            Action::LeaseLost(vm) => {
                after.vms[vm].reply = None;
                let view = Self::view(&after);
                after.vms[vm].client.on(Event::LeaseLost, &view);
            }
            Action::Effect(vm) => self.effect(world, &mut after, vm),
            Action::Die(vm) => {
                after.vms[vm] = Self::new_vm();
                after.deaths += usize::from(self.deaths.is_some());
            }
            Action::Report => {
                snapshot::report_unreadable(
                    &after.map,
                    &state.seen.head.unwrap(),
                    state.now + 100_000 * u64::from(state.seen.last_generation),
                )
                .unwrap();
                after.seen.read(&after.map, world);
            }
        }
        self.check(world, state, &after)?;
        Ok(after)
    }

    fn move_to(&self, after: &mut State, control: ControlPlane) {
        after.control = control;
        after.past.push((after.now, control.node));
    }

    fn tick(&self, world: &World, after: &mut State, vm: usize) -> Result<(), &'static str> {
        let view = Self::view(after);
        after.nonces += 1;
        let nonce = after.nonces.to_le_bytes();
        let tick = Event::Tick { wall: Timestamp::from_millis(0), nonce, instance: [9; 16], about: About::default() };
        let effects = after.vms[vm].client.on(tick, &view);
        let [Effect::Ask(ask)] = effects.as_slice() else {
            return Err("no dead end: a tick asks");
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

    fn deliver(&self, world: &World, after: &mut State, vm: usize) -> Result<(), &'static str> {
        let control = after.vms[vm].reply.take().unwrap();
        let ask = after.vms[vm].client.under_way.as_ref().unwrap().ask.clone();
        let news = if self.flaw == Flaw::StaleNothing { None } else { world.news(control, &ask, self.flaw) };
        let news = match (news, ask.at) {
            (None, None) => world.first_page(control),
            (news, _) => news.unwrap_or(News::Nothing),
        };
        let body = sealed(&ask, news);
        let view = Self::view(after);
        let ended = if self.marks { mark::begin(&after.map, Answer::says(&body), after.now).unwrap() } else { 0 };
        let event = if ended >= mark::DEADLY_AFTER { Event::Deadly(&body) } else { Event::Answered(&body) };
        let effects = after.vms[vm].client.on(event, &view);
        let discarded = |effect: &Effect| matches!(effect, Effect::Note(Note::Discarded(_)));
        if effects.iter().any(discarded) && effects.len() > 1 {
            return Err("discarded answers change nothing");
        }
        self.enqueue(after, vm, effects);
        if self.marks {
            after.seen.read(&after.map, world);
        }
        Ok(())
    }

    fn forged(&self, after: &mut State, vm: usize, body: &[u8]) -> Result<(), &'static str> {
        after.vms[vm].reply = None;
        let view = Self::view(after);
        let effects = after.vms[vm].client.on(Event::Answered(body), &view);
        if effects == [Effect::Note(Note::Discarded(Fault::NotAuthentic))] {
            Ok(())
        } else {
            Err("discarded answers change nothing")
        }
    }

    fn effect(&self, world: &World, after: &mut State, vm: usize) {
        let before = after.seen.head;
        let unfenced = self.flaw == Flaw::Unfenced;
        let write = match after.vms[vm].queue.pop_front().unwrap() {
            Step::Do(Effect::Claim(_)) if self.flaw == Flaw::Unclaimed => Write::Done,
            Step::Do(Effect::Claim(generation)) => {
                after.syncs += 1;
                snapshot::claim_generation(&after.map, generation).unwrap()
            }
            Step::Do(Effect::Write { generation, items }) if unfenced => {
                snapshot::write_items(&Unfenced(&after.map), generation, &items).unwrap()
            }
            Step::Do(Effect::Write { generation, items }) => {
                snapshot::write_items(&after.map, generation, &items).unwrap()
            }
            Step::Do(Effect::PutHead { head, after: asked }) if unfenced => {
                snapshot::put_head(&Unfenced(&after.map), &head, asked).unwrap()
            }
            Step::Do(Effect::PutHead { head, after: asked }) => snapshot::put_head(&after.map, &head, asked).unwrap(),
            Step::Do(Effect::Ask(_) | Effect::Note(_)) => Write::Done,
            Step::Unmark { progress } => {
                mark::end(&after.map, progress).unwrap();
                Write::Done
            }
        };
        after.seen.read(&after.map, world);
        if write == Write::Fenced {
            let view = Self::view(after);
            let vm = &mut after.vms[vm];
            vm.client.on(Event::Fenced, &view);
            vm.queue.clear();
            if self.marks {
                vm.queue.push_back(Step::Unmark { progress: false });
            }
        }
        let what = |head: Head| (head.generation, head.position);
        if let Some(before) = before
            && after.seen.head.map(what) != Some(what(before))
        {
            after.looks.push((before, after.now));
        }
    }

    fn check(&self, world: &World, before: &State, after: &State) -> Result<(), &'static str> {
        let now_in = |node: usize| world.follows(after.control.node, node);
        if let Some(head) = after.seen.head {
            let node = world.node_at(head.position);
            let read = after.seen.under(&head);
            let is_one = (0..world.nodes.len()).filter(|tip| world.follows(*tip, node)).any(|tip| {
                let line = || (0..world.nodes.len()).filter(|at| world.follows(tip, *at) && world.follows(*at, node));
                read.iter().enumerate().all(|(number, origin)| {
                    origin.is_none_or(|origin| line().any(|at| world.nodes[at].origins[number] == origin))
                })
            });
            if !is_one {
                return Err("what is in force is one state");
            }
            let current = after.past.iter().enumerate().any(|(index, (_, was))| {
                *was == node && after.past.get(index + 1).is_none_or(|(until, _)| *until >= head.current_at)
            });
            if !current {
                return Err("currency counts from questions that were answered");
            }
        }
        if let Some(head) = before.seen.head
            && before.seen != after.seen
        {
            let Some(head_after) = after.seen.head else {
                return Err("nothing in force goes back");
            };
            let (node, node_after) = (world.node_at(head.position), world.node_at(head_after.position));
            let origins = before.seen.under(&head).into_iter().zip(after.seen.under(&head_after));
            let same = head.generation == head_after.generation;
            let steps =
                origins.filter(|_| same).filter_map(|(from, to)| Some((from?, to?))).chain([(node, node_after)]);
            if steps.into_iter().any(|(from, to)| now_in(from) && !world.follows(to, from)) {
                return Err("nothing in force goes back");
            }
        }
        for (node, from) in &after.acknowledged {
            if *from > after.now || !now_in(*node) {
                continue;
            }
            let later = || (0..world.nodes.len()).filter(|later| world.follows(*later, *node));
            for head in after.seen.head.iter().chain(after.looks.iter().map(|(head, _)| head)) {
                let read = after.seen.under(head);
                let kept = read.iter().enumerate().all(|(number, origin)| {
                    origin.is_none_or(|origin| later().any(|at| world.nodes[at].origins[number] == origin))
                });
                if !kept {
                    return Err("what is acknowledged is known to every VM");
                }
            }
        }
        Ok(())
    }

    /// What tells a state from others, whatever the time is and whichever of the VMs is called the first. With
    /// `alone`, without the other VM and all that is only there for the invariants.
    fn digest(&self, world: &World, state: &State, alone: Option<usize>) -> Vec<u8> {
        let State { map: _, seen, now, nonces: _, control, vms, deaths, syncs, past, looks, acknowledged } = state;
        let mut vms: Vec<&Vm> = vms.iter().collect();
        if let Some(vm) = alone {
            vms = vec![vms[vm]];
        }
        let writer = Writer::new(world, state, &vms, alone.is_none());
        let mut vms: Vec<Vec<u8>> = vms.into_iter().map(|vm| writer.vm(vm)).collect();
        vms.sort_unstable();
        let mut bytes = vms.concat();
        for item in seen.items.as_flattened() {
            match item {
                Some((generation, origin)) => bytes.extend([writer.generation(*generation), small(*origin)]),
                None => bytes.push(0),
            }
        }
        writer.head(seen.head.as_ref(), &mut bytes);
        bytes.extend([writer.generation(seen.last_generation), u8::from(seen.unreadable)]);
        bytes.extend(seen.mark.iter().flat_map(|(digest, rest)| digest.to_le_bytes().into_iter().chain(*rest)));
        bytes.extend([small(control.node), control.era as u8, small(control.log_from)]);
        if alone.is_none() {
            bytes.extend([small(*deaths), small(*syncs), small(looks.len())]);
            for (head, replaced_at) in looks {
                writer.head(Some(head), &mut bytes);
                bytes.push(u8::try_from(now - replaced_at).unwrap());
            }
            let mut acknowledged: Vec<_> = acknowledged
                .iter()
                .filter(|(node, _)| world.follows(control.node, *node))
                .map(|(node, from)| [small(*node), u8::try_from(from.saturating_sub(*now)).unwrap()])
                .collect();
            acknowledged.sort_unstable();
            bytes.extend(acknowledged.as_flattened());
            bytes.extend(past.iter().map(|(_, node)| small(*node)));
        }
        bytes
    }

    /// From now on this VM lives alone and the wire delivers: the proxy must arrive.
    fn arrives(
        &self,
        world: &World,
        state: &State,
        vm: usize,
        known: &mut HashSet<Vec<u8>>,
    ) -> Result<(), &'static str> {
        let mut way = Vec::new();
        let mut state = state.clone();
        state.vms[1 - vm] = Self::new_vm();
        state.looks.clear();
        let free = Self { syncs: usize::MAX, ..*self };
        for _ in 0..ARRIVES_WITHIN {
            let digest = self.digest(world, &state, Some(vm));
            let arrived = known.contains(&digest) || self.has_arrived(world, &state);
            way.push(digest);
            if arrived {
                known.extend(way);
                return Ok(());
            }
            let of_vm =
                [Action::Effect(vm), Action::Report, Action::Tick(vm), Action::Compose(vm), Action::Deliver(vm)];
            let action = of_vm.into_iter().find(|action| free.can(&state, *action)).unwrap();
            state = self.apply(world, &state, action)?;
        }
        Err("no dead end")
    }

    fn has_arrived(&self, world: &World, state: &State) -> bool {
        state.seen.head.is_some_and(|head| {
            let node = &world.nodes[state.control.node];
            let read = state.seen.under(&head);
            let all_there = node.origins.iter().zip(read).all(|(origin, read)| read == Some(*origin));
            head.position == node.position && (all_there || head.left_out > 0)
        })
    }

    /// Every state that can be reached, each once; how many these are.
    fn explore(&self) -> Result<usize, Violation> {
        let world = World::new(self.page);
        let mut start = Self::start();
        if self.in_force {
            while !self.has_arrived(&world, &start) {
                let action = [Action::Effect(0), Action::Tick(0), Action::Compose(0), Action::Deliver(0)]
                    .into_iter()
                    .find(|action| self.can(&start, *action))
                    .unwrap();
                start = self.apply(&world, &start, action).unwrap();
            }
            start.syncs = 0;
        }
        let mut visited = HashSet::from([self.digest(&world, &start, None)]);
        let mut known = HashSet::new();
        let mut came: Vec<(usize, Action)> = vec![(0, Action::TimePasses)];
        let mut open = VecDeque::from([(0, start)]);
        let actions = self.actions();
        let mut steps = 0;
        while let Some((index, state)) = open.pop_front() {
            let violation = |invariant, last: Option<Action>| {
                let mut trace: Vec<Action> = last.into_iter().collect();
                let mut at = index;
                while at != 0 {
                    trace.push(came[at].1);
                    at = came[at].0;
                }
                trace.reverse();
                let vms = state.vms.each_ref().map(|vm| (&vm.client, &vm.queue, vm.reply));
                let queues = vms.map(|(_, queue, _)| queue);
                let queues = queues.map(|queue| {
                    queue
                        .iter()
                        .map(|step| match step {
                            Step::Do(Effect::Write { generation, items }) => format!(
                                "write {:?} of {generation} from {}",
                                items[0].key, world.origin_of[&items[0].bytes]
                            ),
                            Step::Do(Effect::PutHead { head, .. }) => {
                                format!("put head {} {}", head.generation, world.node_at(head.position))
                            }
                            step => format!("{step:?}"),
                        })
                        .collect::<Vec<_>>()
                });
                let head = state.seen.head.map(|head| (head.generation, world.node_at(head.position), head.current_at));
                let state = format!(
                    "{head:?} {:?} {} {:?} {:?} at {}: {:?}",
                    state.seen.items, state.seen.last_generation, state.control, state.acknowledged, state.now, queues
                );
                Violation { invariant, trace, state }
            };
            for vm in 0..2 {
                self.arrives(&world, &state, vm, &mut known).map_err(|invariant| violation(invariant, None))?;
            }
            let mut next = Vec::new();
            for action in &actions {
                if !self.can(&state, *action) {
                    continue;
                }
                steps += 1;
                let after =
                    self.apply(&world, &state, *action).map_err(|invariant| violation(invariant, Some(*action)))?;
                if visited.insert(self.digest(&world, &after, None)) {
                    next.push((*action, after));
                }
            }
            for (action, after) in next {
                came.push((index, action));
                open.push_back((came.len() - 1, after));
            }
            if came.len() > self.states_max {
                println!("stopped");
                break;
            }
        }
        println!("{} states, {steps} steps, {} of one VM alone", came.len(), known.len());
        Ok(came.len())
    }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

/// Writes what a state consists of, with times and generations as they matter.
struct Writer<'a> {
    world: &'a World,
    state: &'a State,
    /// Generations count by their order and their bit alone.
    generations: Vec<u32>,
    with_times: bool,
}

impl<'a> Writer<'a> {
    fn new(world: &'a World, state: &'a State, vms: &[&Vm], with_times: bool) -> Self {
        let State { seen, looks, .. } = state;
        let mut generations = vec![seen.last_generation];
        generations.extend(seen.items.as_flattened().iter().flatten().map(|(generation, _)| *generation));
        generations.extend(seen.head.iter().map(|head| head.generation));
        generations.extend(looks.iter().filter(|_| with_times).map(|(head, _)| head.generation));
        for vm in vms {
            generations.extend(vm.client.full_sync.map(|sync| sync.generation));
            generations.extend(vm.queue.iter().filter_map(|step| match step {
                Step::Do(Effect::Claim(generation) | Effect::Write { generation, .. }) => Some(*generation),
                Step::Do(Effect::PutHead { head, .. }) => Some(head.generation),
                _ => None,
            }));
        }
        generations.sort_unstable();
        generations.dedup();
        Self { world, state, generations, with_times }
    }

    fn generation(&self, generation: u32) -> u8 {
        let mut short = 0;
        for known in &self.generations {
            short += if short & 1 == known & 1 { 2 } else { 1 };
            if *known == generation {
                break;
            }
        }
        u8::try_from(short).unwrap()
    }

    fn position(&self, position: Option<Position>) -> u8 {
        position.map_or(99, |position| small(self.world.node_at(position)))
    }

    fn rank(&self, time: u64) -> u8 {
        let rank = self.state.past.iter().filter(|(since, _)| *since < time).count();
        if self.with_times { small(rank) } else { 0 }
    }

    fn age(&self, time: u64) -> u8 {
        let age = self.state.now.saturating_sub(time).min(ACKNOWLEDGED_AFTER_MS);
        if self.with_times { u8::try_from(age).unwrap() } else { 0 }
    }

    fn head(&self, head: Option<&Head>, bytes: &mut Vec<u8>) {
        let Some(Head { generation, position, settings_revision, current_at, left_out, begun_at: _ }) = head else {
            bytes.push(0);
            return;
        };
        bytes.extend([self.generation(*generation), self.position(Some(*position))]);
        bytes.extend([u8::try_from(*settings_revision).unwrap(), u8::try_from(*left_out).unwrap()]);
        bytes.push(self.rank(*current_at));
    }

    fn cursor(&self, cursor: Option<Cursor>, bytes: &mut Vec<u8>) {
        bytes.push(self.position(cursor.map(|cursor| cursor.from)));
        bytes.push(cursor.map_or(0, |cursor| u8::try_from(cursor.shard).unwrap()));
    }

    fn vm(&self, vm: &Vm) -> Vec<u8> {
        let Vm { client, queue, reply } = vm;
        let Client { under_way, full_sync, fenced_at, wants_all, seen, .. } = client;
        let mut bytes = Vec::with_capacity(64);
        let fenced = match fenced_at {
            None => 0,
            Some(at) if *at == self.state.seen.head => 1,
            Some(_) => 2,
        };
        bytes.extend([fenced, u8::from(*wants_all), u8::from(under_way.is_some()), small(queue.len())]);
        if self.with_times {
            let (position, since) = seen.map_or((None, 0), |(position, since)| (Some(position), since));
            bytes.extend([self.position(position), self.age(since)]);
        }
        if let Some(Question { ask, sent_at }) = under_way {
            bytes.extend([self.position(ask.at), u8::from(ask.all), self.rank(*sent_at)]);
            self.cursor(ask.cursor, &mut bytes);
        }
        match full_sync {
            None => bytes.push(0),
            Some(FullSync { generation, next, settings_revision, left_out }) => {
                bytes.extend([self.generation(*generation), u8::try_from(*left_out).unwrap()]);
                bytes.push(u8::try_from(settings_revision.unwrap_or_default()).unwrap());
                self.cursor(Some(*next), &mut bytes);
            }
        }
        match reply {
            None => bytes.push(0),
            Some(ControlPlane { node, era, log_from }) => {
                bytes.extend([1, small(*node), *era as u8, small(*log_from)]);
            }
        }
        for step in queue {
            match step {
                Step::Do(Effect::Claim(generation)) => bytes.extend([1, self.generation(*generation)]),
                Step::Do(Effect::Write { generation, items }) => {
                    bytes.extend([2, self.generation(*generation)]);
                    for OwnedItem { key, revision, bytes: value } in items {
                        let origin = self.world.origin_of[value];
                        bytes.extend([small(number_of(*key)), u8::try_from(*revision).unwrap(), small(origin)]);
                    }
                }
                Step::Do(Effect::PutHead { head, after }) => {
                    bytes.extend([3, self.position(*after)]);
                    self.head(Some(head), &mut bytes);
                }
                Step::Do(Effect::Ask(_) | Effect::Note(_)) => {}
                Step::Unmark { progress } => bytes.extend([4, u8::from(*progress)]),
            }
        }
        bytes
    }
}

fn sealed(ask: &Ask, news: News<'_>) -> Vec<u8> {
    let (nonce, instance) = (ask.nonce, ask.instance);
    Answer { nonce, instance, server_time: Timestamp::from_millis(0), news }.seal(&key()).unwrap()
}

const SMALL: Model = Model {
    flaw: Flaw::None,
    page: 3,
    last: 1,
    era: None,
    deaths: None,
    syncs: 3,
    in_force: false,
    marks: false,
    states_max: 1_000_000,
};

fn run(name: &str, model: Model) {
    let start = std::time::Instant::now();
    let result = model.explore();
    println!("{name}: {result:?} {:?}", start.elapsed());
}

#[test]
fn a_changes() {
    run("a0", Model { in_force: true, syncs: 0, last: 1, ..SMALL });
    run("a1", Model { in_force: true, syncs: 0, last: 2, ..SMALL });
    run("a3", Model { in_force: true, syncs: 0, last: 3, ..SMALL });
}

#[test]
fn b_full() {
    run("b0", Model { syncs: 1, last: 0, ..SMALL });
    run("b1", Model { syncs: 1, last: 1, ..SMALL });
    run("b2", Model { syncs: 2, last: 0, ..SMALL });
    run("b3", Model { syncs: 2, last: 1, ..SMALL });
}

#[test]
fn every_interleaving_of_small() {
    for model in [SMALL, Model { in_force: true, last: 3, syncs: 1, ..SMALL }] {
        let started = std::time::Instant::now();
        let found = model.explore();
        println!("{:?}", started.elapsed());
        if let Err(violation) = found {
            panic!("{violation:#?}");
        }
    }
}
