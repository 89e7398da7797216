//! The model's control plane: all that it can ever say.

use super::super::tests::{key, settings};
use super::super::*;
use super::Flaw;
use policy::feed::News;
use policy::{Addresses, Binding, KeyedHash, Layout, RestrictionsRecord, Scope, ShardCount, TokenState};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// The numbers of the four values: three shards, in the order of pages, and the settings.
const TOKENS: usize = 0;
const USERS: usize = 1;
const RESTRICTIONS: usize = 2;
const SETTINGS: usize = 3;

const SHARDS: u32 = 3;

/// The nonce of every question: a VM has but one under way, and the wire brings an answer to its own question.
pub(super) const NONCE: [u8; 16] = [1; 16];

/// The nonce of what was recorded elsewhere.
const RECORDED: [u8; 16] = [2; 16];

pub(super) const INSTANCE: [u8; 16] = [9; 16];

/// One state of the control plane: a node in the tree of its histories.
struct Node {
    parent: Option<usize>,
    position: Position,
    /// Which node wrote each value.
    origins: [usize; 4],
}

/// Which history the control plane tells: it begins with the first, and may be put upon another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Era {
    First,
    /// Another database, or other keys of the hashes.
    OtherEpoch,
    /// A backup of the first was restored.
    Restored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ControlPlane {
    pub(super) node: usize,
    pub(super) era: Era,
    /// Where its log begins.
    pub(super) log_from: usize,
}

/// What an answer depends on.
type Said = (ControlPlane, Option<usize>, Option<(usize, u32)>, bool, bool);

/// All that the control plane can ever say.
pub(super) struct World {
    nodes: Vec<Node>,
    /// The encoded values by the node that wrote them.
    bytes: Vec<[Vec<u8>; 4]>,
    /// The nodes that each follows, itself among them, as bits.
    follows: Vec<u32>,
    /// The nodes at which a value, by its number, is the one that this node wrote, as bits.
    has: Vec<[u32; 4]>,
    /// Shards on a page.
    page: u32,
    flaw: Flaw,
    /// Sealed answers: sealing costs more than all else.
    sealed: RefCell<HashMap<Said, Rc<[u8]>>>,
}

fn layout() -> Layout {
    let one = ShardCount::from_bits(0).unwrap();
    Layout { tokens: one, users: one, restrictions: one }
}

pub(super) fn number_of(key: ItemKey) -> usize {
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
    let nonce = [u8::try_from(node).unwrap(); 24];
    [
        Shard::encode([(&HASH, &token)]).unwrap(),
        Shard::encode([(&HASH, &user)]).unwrap(),
        Shard::encode([(&HASH, &restrictions)]).unwrap(),
        settings(nonce),
    ]
}

impl World {
    pub(super) fn new(page: u32, flaw: Flaw) -> Self {
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
        let mut follows: Vec<u32> = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            follows.push(1 << number | node.parent.map_or(0, |parent| follows[parent]));
        }
        let has_of = |origin, number: usize| {
            let at = |(node, Node { origins, .. }): (usize, &Node)| u32::from(origins[number] == origin) << node;
            nodes.iter().enumerate().map(at).sum()
        };
        let has = (0..nodes.len()).map(|origin| std::array::from_fn(|number| has_of(origin, number))).collect();
        Self { nodes, bytes, follows, has, page, flaw, sealed: RefCell::default() }
    }

    pub(super) fn node_at(&self, position: Position) -> usize {
        self.nodes.iter().position(|node| node.position == position).unwrap()
    }

    pub(super) fn origins(&self, node: usize) -> [usize; 4] {
        self.nodes[node].origins
    }

    pub(super) fn bytes(&self, origin: usize, number: usize) -> &[u8] {
        &self.bytes[origin][number]
    }

    /// Which node wrote this value.
    pub(super) fn origin_of(&self, number: usize, bytes: &[u8]) -> usize {
        self.bytes.iter().position(|values| values[number] == bytes).unwrap()
    }

    /// Whether the one is the other, or comes after it in its history.
    pub(super) fn follows(&self, node: usize, other: usize) -> bool {
        self.follows[node] >> other & 1 == 1
    }

    /// Whether each of these values, where one can be read, is as it was at `node` or later, in one history.
    pub(super) fn is_one_state(&self, read: [Option<usize>; 4], node: usize) -> bool {
        let tips = || (0..self.nodes.len()).filter(|tip| self.follows(*tip, node));
        tips().any(|tip| self.is_within(read, self.follows[tip] & self.after(node)))
    }

    /// Whether each of these values, where one can be read, is as it was at `node` or later.
    pub(super) fn knows(&self, read: [Option<usize>; 4], node: usize) -> bool {
        self.is_within(read, self.after(node))
    }

    fn is_within(&self, read: [Option<usize>; 4], nodes: u32) -> bool {
        let mut read = read.into_iter().enumerate();
        read.all(|(number, origin)| origin.is_none_or(|origin| self.has[origin][number] & nodes != 0))
    }

    /// The nodes that follow this one, itself among them.
    fn after(&self, node: usize) -> u32 {
        (0..self.nodes.len()).filter(|later| self.follows(*later, node)).map(|later| 1 << later).sum()
    }

    /// The state after this one.
    pub(super) fn next(&self, control: ControlPlane) -> Option<usize> {
        match (control.era, control.node) {
            (Era::First, node @ 0..=2) => Some(node + 1),
            (Era::OtherEpoch, 4) => Some(5),
            (Era::Restored, 1) => Some(6),
            (Era::Restored, 6) => Some(7),
            _ => None,
        }
    }

    pub(super) fn position(&self, control: ControlPlane) -> Position {
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
    fn log_since(&self, control: ControlPlane, at: Position) -> Option<Vec<usize>> {
        let mut after = Vec::new();
        let mut node = control.node;
        loop {
            let position = self.nodes[node].position;
            let at = if self.flaw == Flaw::TagsIgnored { Position { tag: position.tag, ..at } } else { at };
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

    /// The body of the answer to this question; `recorded`: of one that said the same, but to another question.
    pub(super) fn answer(&self, control: ControlPlane, ask: &Ask, recorded: bool) -> Rc<[u8]> {
        let cursor = ask.cursor.map(|Cursor { from, shard }| (self.node_at(from), shard));
        let said = (control, ask.at.map(|at| self.node_at(at)), cursor, ask.all, recorded);
        let seal = || {
            let stale = self.flaw == Flaw::StaleNothing && ask.at.is_some();
            let news = if stale { None } else { self.news(control, ask) };
            let nonce = if recorded && self.flaw != Flaw::NonceIgnored { RECORDED } else { NONCE };
            let (news, server_time) = (news.unwrap_or(News::Nothing), Timestamp::from_millis(0));
            Answer { nonce, instance: INSTANCE, server_time, news }.seal(&key()).unwrap().into()
        };
        Rc::clone(self.sealed.borrow_mut().entry(said).or_insert_with(seal))
    }

    /// As the control plane's `Image::news`.
    fn news(&self, control: ControlPlane, ask: &Ask) -> Option<News<'_>> {
        match (ask.cursor, ask.at) {
            (Some(cursor), _) => Some(match self.log_since(control, cursor.from) {
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
            (None, Some(at)) => Some(match self.log_since(control, at) {
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
