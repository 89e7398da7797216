//! The client against answers that the tests seal, and a shared-data map that keeps what it writes.

use super::*;
use crate::snapshot;
use crate::store::Write;
use crate::store::tests::Map;
use policy::assertion::AssertionKey;
use policy::hash::{HashKey, HashKeys};
use policy::{
    Addresses, Binding, FilterKeys, Found, KeyedHash, Layout, Owner, Scope, SealKey, ShardCount, TokenRecord,
    TokenState,
};

struct Proxy {
    map: Map,
    client: Client,
    now: u64,
    nonces: u128,
    notes: Vec<Note>,
}

pub(super) fn key() -> SyncKey {
    SyncKey::parse(&"k".repeat(32)).unwrap()
}

fn at(revision: u64) -> Position {
    Position { epoch: 7, revision, tag: revision * 1000, layout: layout() }
}

fn layout() -> Layout {
    let shards = ShardCount::from_bits(6).unwrap();
    Layout { tokens: shards, users: shards, restrictions: shards }
}

/// The number of shards in `layout`.
const ALL: u32 = 192;

fn empty_shard() -> Vec<u8> {
    Shard::<TokenRecord>::encode([]).unwrap()
}

/// The settings as the control plane encodes them.
pub(super) fn settings(nonce: [u8; 24]) -> Vec<u8> {
    let keys = FilterKeys {
        token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
        user_hash: HashKey::new([2; 32]),
        credential: SealKey::new([3; 32]),
        shared_credential: None,
        backend_assertion: AssertionKey::new([4; 32]),
        control_plane_assertion: AssertionKey::new([5; 32]),
    };
    Settings::default().encode(&keys, &key().seal_key(), nonce).unwrap()
}

fn shard_with(id: &str) -> Vec<u8> {
    let record = TokenRecord {
        id: id.into(),
        binding: Binding::User(Owner { name: "alice".into(), email: None, sysadmin: false }),
        created_at: Timestamp::from_millis(0),
        valid_from: None,
        expires_at: None,
        state: TokenState::Active,
        scope: Scope::Full,
        addresses: Addresses::Any,
        restrictions: None,
    };
    Shard::encode([(&KeyedHash::from_bytes([0; 32]), &record)]).unwrap()
}

impl Proxy {
    fn new() -> Self {
        Self { map: Map::default(), client: Client::new(key(), "test".into()), now: 1000, nonces: 0, notes: vec![] }
    }

    fn view(&self) -> View {
        let head = snapshot::head(&self.map).unwrap();
        View {
            now: self.now,
            head,
            last_generation: snapshot::last_generation(&self.map).unwrap(),
            unreadable: head.is_some_and(|head| snapshot::is_unreadable(&self.map, &head).unwrap()),
            pause_until: 0,
        }
    }

    /// Does what the adapter does; gives the question, if one is to be sent.
    fn on(&mut self, event: Event<'_>) -> Option<Ask> {
        let view = self.view();
        for effect in self.client.on(event, &view) {
            let write = match effect {
                Effect::Ask(ask) => return Some(ask),
                Effect::Claim(generation) => snapshot::claim_generation(&self.map, generation).unwrap(),
                Effect::Begin { generation, from, to } => {
                    snapshot::begin_change(&self.map, generation, from, to).unwrap()
                }
                Effect::Write { generation, items } => snapshot::write_items(&self.map, generation, &items).unwrap(),
                Effect::PutHead { head, after } => snapshot::put_head(&self.map, &head, after).unwrap(),
                Effect::Note(note) => {
                    self.notes.push(note);
                    Write::Done
                }
            };
            if write == Write::Fenced {
                let view = self.view();
                self.client.on(Event::Fenced, &view);
                break;
            }
        }
        None
    }

    fn tick(&mut self) -> Option<Ask> {
        self.nonces += 1;
        let nonce = self.nonces.to_le_bytes();
        self.on(Event::Tick {
            wall: Timestamp::from_millis(self.now),
            nonce,
            instance: [9; 16],
            about: About::default(),
        })
    }

    fn ask(&mut self) -> Ask {
        for _ in 0..200 {
            self.now += 20;
            if let Some(ask) = self.tick() {
                return ask;
            }
        }
        panic!("the client asks nothing");
    }

    fn answer(&mut self, ask: &Ask, news: News<'_>) {
        self.answer_with(ask, news, &key());
    }

    fn answer_with(&mut self, ask: &Ask, news: News<'_>, key: &SyncKey) {
        let (nonce, instance) = (ask.nonce, ask.instance);
        let body = Answer { nonce, instance, server_time: Timestamp::from_millis(0), news }.seal(key).unwrap();
        self.on(Event::Answered(&body));
    }

    /// Pages of a full sync at this revision, `cut` shards in the first.
    fn full_sync(&mut self, revision: u64, shard_0: &[u8]) {
        let (empty, settings) = (empty_shard(), settings([0; 24]));
        let ask = self.ask();
        let page = |from: u32, to: u32| {
            (from..to)
                .map(|number| Item {
                    key: layout().shard(number).unwrap(),
                    revision,
                    bytes: if number == 0 { shard_0 } else { &empty },
                })
                .collect::<Vec<_>>()
        };
        let (first, second) = (Cursor { from: at(revision), shard: 0 }, Cursor { from: at(revision), shard: 40 });
        self.answer(&ask, News::Full { page: first, to: at(revision), next: Some(second), items: page(0, 40) });
        let ask = self.ask();
        assert_eq!(ask.cursor, Some(second));
        let last = Cursor { from: at(revision), shard: ALL };
        self.answer(&ask, News::Full { page: second, to: at(revision), next: Some(last), items: page(40, ALL) });
        let ask = self.ask();
        assert_eq!(ask.cursor, Some(last));
        let items = vec![Item { key: ItemKey::Settings, revision, bytes: &settings }];
        self.answer(&ask, News::Full { page: last, to: at(revision), next: None, items });
    }

    fn finds(&self) -> Option<String> {
        let head = snapshot::head(&self.map).unwrap()?;
        match snapshot::token(&self.map, &head, &KeyedHash::from_bytes([0; 32])) {
            Found::Record(record) => Some(record.id),
            Found::Nothing => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_sync_comes_into_force_with_its_last_page() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    assert_eq!(proxy.finds(), Some("a".into()));
    assert_eq!(proxy.notes, [Note::InForce(at(5))]);
    proxy.full_sync(6, &shard_with("b"));
    assert_eq!(proxy.finds(), Some("b".into()));
    assert_eq!(proxy.view().head.unwrap().generation, 2);
}

#[test]
fn changes_are_in_force_at_once_and_the_next_question_says_since_when() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let ask = proxy.ask();
    assert_eq!(ask.at, Some(at(5)));
    let shard = shard_with("b");
    let items = vec![Item { key: ItemKey::Tokens(0), revision: 6, bytes: &shard }];
    proxy.answer(&ask, News::Changes { to: at(6), items });
    assert_eq!(proxy.finds(), Some("b".into()));
    let ask = proxy.ask();
    assert_eq!((ask.at, ask.in_force_ms), (Some(at(6)), 0), "since it has seen it itself");
    proxy.on(Event::Unanswered(None));
    let seen_at = proxy.now;
    assert_eq!(proxy.ask().in_force_ms, proxy.now - seen_at);
}

#[test]
fn a_deadly_change_is_asked_for_as_part_of_everything() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let (ask, before) = (proxy.ask(), proxy.view().head);
    let shard = shard_with("b");
    let items = vec![Item { key: ItemKey::Tokens(0), revision: 6, bytes: &shard }];
    let (nonce, instance) = (ask.nonce, ask.instance);
    let news = News::Changes { to: at(6), items };
    let body = Answer { nonce, instance, server_time: Timestamp::from_millis(0), news }.seal(&key()).unwrap();
    proxy.on(Event::Deadly(&body));
    assert_eq!(proxy.notes.last(), Some(&Note::Discarded(Fault::Deadly)));
    assert_eq!(proxy.view().head, before);
    assert!(proxy.ask().all);
    proxy.on(Event::Unanswered(None));
    assert!(proxy.ask().all, "until it has come");
    proxy.on(Event::Unanswered(None));
    proxy.full_sync(7, &shard_with("c"));
    assert_eq!(proxy.finds(), Some("c".into()));
    assert!(!proxy.ask().all);
}

#[test]
fn a_deadly_page_is_left_out_and_what_is_on_it_is_unreadable() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let ask = proxy.ask();
    let cursor = |shard| Cursor { from: at(6), shard };
    let (empty, settings) = (empty_shard(), settings([0; 24]));
    let deadly = |ask: &Ask, page, next, items| {
        let news = News::Full { page, to: at(6), next, items };
        let (nonce, instance) = (ask.nonce, ask.instance);
        Answer { nonce, instance, server_time: Timestamp::from_millis(0), news }.seal(&key()).unwrap()
    };
    let item = |number| Item { key: layout().shard(number).unwrap(), revision: 6, bytes: &empty };
    let body = deadly(&ask, cursor(0), Some(cursor(40)), (0..40).map(item).collect());
    proxy.on(Event::Deadly(&body));
    assert_eq!(proxy.notes.last(), Some(&Note::LeftOut(0)));
    let ask = proxy.ask();
    assert_eq!(ask.cursor, Some(cursor(40)));
    proxy.answer(
        &ask,
        News::Full { page: cursor(40), to: at(6), next: Some(cursor(ALL)), items: (40..ALL).map(item).collect() },
    );
    let ask = proxy.ask();
    let items = vec![Item { key: ItemKey::Settings, revision: 6, bytes: &settings }];
    // The last page cannot be left out.
    proxy.on(Event::Deadly(&deadly(&ask, cursor(ALL), None, items.clone())));
    assert_eq!(proxy.finds(), Some("a".into()), "what was in force is so still");
    let ask = proxy.ask();
    assert_eq!(ask.cursor, None);
    proxy.on(Event::Deadly(&deadly(&ask, cursor(0), Some(cursor(40)), (0..40).map(item).collect())));
    for (from, to) in [(40, Some(ALL)), (ALL, None)] {
        let ask = proxy.ask();
        let items = if to.is_some() { (from..ALL).map(item).collect() } else { items.clone() };
        proxy.answer(&ask, News::Full { page: cursor(from), to: at(6), next: to.map(cursor), items });
    }
    let head = proxy.view().head.unwrap();
    assert_eq!((head.position, head.left_out), (at(6), 1));
    assert_eq!(snapshot::token(&proxy.map, &head, &KeyedHash::from_bytes([0; 32])), Found::Unreadable);
    assert_eq!(snapshot::token(&proxy.map, &head, &KeyedHash::from_bytes([0xff; 32])), Found::Nothing);
    assert_eq!(proxy.ask().left_out, 1, "the control plane hears of it");
}

#[test]
fn a_part_that_a_request_could_not_read_makes_the_client_ask_for_everything() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    snapshot::report_unreadable(&proxy.map, &proxy.view().head.unwrap(), 100_000).unwrap();
    assert!(proxy.ask().all);
    proxy.on(Event::Unanswered(None));
    proxy.full_sync(5, &shard_with("b"));
    assert_eq!(proxy.finds(), Some("b".into()));
    assert!(!proxy.ask().all);
}

#[test]
fn nothing_new_makes_the_snapshot_as_current_as_the_question() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let ask = proxy.ask();
    let asked_at = proxy.now;
    proxy.now += 20_000;
    proxy.answer(&ask, News::Nothing);
    assert_eq!(proxy.view().head.unwrap().age_ms(proxy.now), 20_000);
    assert_eq!(proxy.view().head.unwrap().current_at, asked_at);
}

#[test]
fn attack_a_forged_answer_changes_nothing_and_is_noticed() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let before = proxy.view().head;
    let ask = proxy.ask();
    proxy.now += 10_000;
    proxy.answer_with(&ask, News::Nothing, &SyncKey::parse(&"x".repeat(32)).unwrap());
    let ask = proxy.ask();
    proxy.on(Event::Answered(b"<html>502 Bad Gateway</html>"));
    assert_eq!(proxy.notes[1..], [Note::Discarded(Fault::NotAuthentic)], "said once");
    // An authentic answer to an earlier question is none to this one.
    let other = proxy.ask();
    proxy.answer(&ask, News::Nothing);
    assert_ne!(ask.nonce, other.nonce);
    assert_eq!(proxy.view().head, before);
    let ask = proxy.ask();
    proxy.answer(&ask, News::Nothing);
    assert_ne!(proxy.view().head, before, "a good answer counts again");
}

#[test]
fn answers_out_of_step_are_discarded_whole() {
    let empty = empty_shard();
    let item = |number, revision| Item { key: layout().shard(number).unwrap(), revision, bytes: &empty };
    let other_epoch = Position { epoch: 8, ..at(6) };
    let other_count = Position { layout: Layout { users: ShardCount::from_bits(7).unwrap(), ..layout() }, ..at(6) };
    let cursor = |shard| Cursor { from: at(6), shard };
    let nowhere = Item { key: ItemKey::Tokens(64), ..item(0, 6) };
    let rubbish = Item { key: ItemKey::Tokens(1), revision: 6, bytes: b"rubbish" };
    for (why, news) in [
        ("back in time", News::Changes { to: at(4), items: vec![] }),
        ("no step at all", News::Changes { to: at(5), items: vec![] }),
        ("another history", News::Changes { to: other_epoch, items: vec![] }),
        ("another number of shards", News::Changes { to: other_count, items: vec![] }),
        ("a shard that does not exist", News::Changes { to: at(6), items: vec![nowhere] }),
        ("a value from the future", News::Changes { to: at(6), items: vec![item(0, 7)] }),
        ("one value unreadable", News::Changes { to: at(6), items: vec![item(0, 6), rubbish] }),
        ("a page from the middle", News::Full { page: cursor(3), to: at(6), next: None, items: vec![] }),
        (
            "a page without its shards",
            News::Full { page: cursor(0), to: at(6), next: Some(cursor(2)), items: vec![item(0, 6)] },
        ),
        (
            "a page with a hole",
            News::Full { page: cursor(0), to: at(6), next: Some(cursor(2)), items: vec![item(0, 6), item(2, 6)] },
        ),
        ("an empty page", News::Full { page: cursor(0), to: at(6), next: Some(cursor(0)), items: vec![] }),
        (
            "shards without what changed meanwhile",
            News::Full { page: cursor(0), to: at(6), next: None, items: (0..ALL).map(|n| item(n, 6)).collect() },
        ),
        ("a last page out of nowhere", News::Full { page: cursor(ALL), to: at(6), next: None, items: vec![] }),
    ] {
        let mut proxy = Proxy::new();
        proxy.full_sync(5, &shard_with("a"));
        let before = proxy.view().head;
        let ask = proxy.ask();
        proxy.answer(&ask, news);
        assert!(matches!(proxy.notes.last(), Some(Note::Discarded(_))), "{why}: {:?}", proxy.notes);
        assert_eq!((proxy.view().head, proxy.finds()), (before, Some("a".into())), "{why}");
        proxy.full_sync(9, &shard_with("c"));
        assert_eq!(proxy.finds(), Some("c".into()), "{why}: and it recovers");
    }
}

#[test]
fn attack_a_holder_that_slept_with_an_old_page_undoes_nothing() {
    let mut sleeper = Proxy::new();
    sleeper.full_sync(5, &shard_with("a"));
    let asleep_with = sleeper.ask();
    // Another VM of the same proxy takes over and applies a revocation.
    let mut other = Proxy { client: Client::new(key(), "test".into()), nonces: 100, ..sleeper };
    let ask = other.ask();
    let empty = empty_shard();
    let items = vec![Item { key: ItemKey::Tokens(0), revision: 7, bytes: &empty }];
    other.answer(&ask, News::Changes { to: at(7), items });
    assert_eq!(other.finds(), None);
    // The sleeper wakes: its question was about revision 5, which is no longer in force.
    let mut sleeper = Proxy { client: Client::new(key(), "test".into()), ..other };
    sleeper.client.under_way = Some(Question { ask: asleep_with.clone(), sent_at: 0 });
    let shard = shard_with("a");
    let items = vec![Item { key: ItemKey::Tokens(0), revision: 6, bytes: &shard }];
    sleeper.answer(&asleep_with, News::Changes { to: at(6), items });
    assert_eq!(sleeper.finds(), None);
}

#[test]
fn silence_is_said_once_and_asked_again_ever_more_slowly() {
    let mut proxy = Proxy::new();
    let mut asked_at = vec![];
    for _ in 0..8 {
        proxy.ask();
        asked_at.push(proxy.now);
        proxy.on(Event::Unanswered(Some(503)));
    }
    assert_eq!(proxy.notes, [Note::Unreachable(Some(503))]);
    let pauses: Vec<u64> = asked_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted() && pauses[0] <= 120 && pauses[6] <= BACKOFF_MAX_MS + 20, "{pauses:?}");
}

#[test]
fn a_question_that_the_host_forgot_is_asked_again() {
    let mut proxy = Proxy::new();
    let ask = proxy.ask();
    proxy.now += timeout_ms(&ask);
    proxy.ask();
}

#[test]
fn a_full_sync_without_settings_does_not_come_into_force() {
    let empty = empty_shard();
    let mut proxy = Proxy::new();
    let ask = proxy.ask();
    let items =
        (0..ALL).map(|number| Item { key: layout().shard(number).unwrap(), revision: 6, bytes: &empty }).collect();
    let (first, last) = (Cursor { from: at(6), shard: 0 }, Cursor { from: at(6), shard: ALL });
    proxy.answer(&ask, News::Full { page: first, to: at(6), next: Some(last), items });
    let ask = proxy.ask();
    proxy.answer(&ask, News::Full { page: last, to: at(6), next: None, items: vec![] });
    assert_eq!(proxy.notes, [Note::Discarded(Fault::OutOfStep)]);
    assert_eq!(proxy.view().head, None);
}

#[test]
fn a_clock_that_differs_is_said_and_asked_again() {
    let mut proxy = Proxy::new();
    let ask = proxy.ask();
    proxy.answer(&ask, News::ClockDiffers);
    assert_eq!(proxy.notes, [Note::Discarded(Fault::ClockDiffers)]);
    proxy.full_sync(5, &shard_with("a"));
    assert_eq!(proxy.finds(), Some("a".into()));
}

/// Two VMs that both take themselves for the holder of the lease, on one shared data.
struct TwoHolders {
    proxy: Proxy,
    other: Client,
}

impl TwoHolders {
    fn new() -> Self {
        let mut proxy = Proxy::new();
        proxy.full_sync(5, &shard_with("a"));
        Self { proxy, other: Client::new(key(), "test".into()) }
    }

    fn swap(&mut self) {
        std::mem::swap(&mut self.proxy.client, &mut self.other);
    }
}

#[test]
fn two_holders_in_one_generation_leave_nothing_that_does_not_heal() {
    let empty = empty_shard();
    let shard = shard_with("b");
    let items = |from: u32, to: u32, revision: u64| {
        (from..to)
            .map(|number| Item {
                key: layout().shard(number).unwrap(),
                revision,
                bytes: if number == 0 { &shard } else { &empty },
            })
            .collect::<Vec<_>>()
    };
    let mut two = TwoHolders::new();
    let elsewhere = |revision: u64| Position { epoch: 8, ..at(revision) };
    let cursor = |revision: u64, shard: u32| Cursor { from: elsewhere(revision), shard };
    // The first begins a full sync of another history …
    let first_asks = two.proxy.ask();
    let news = News::Full { page: cursor(1, 0), to: elsewhere(1), next: Some(cursor(1, 40)), items: items(0, 40, 1) };
    two.proxy.answer(&first_asks, news);
    let first_asks = two.proxy.ask();
    // … the second begins one too, under the same keys, and falls silent after its first page …
    two.swap();
    let second_asks = two.proxy.ask();
    let news = News::Full { page: cursor(2, 0), to: elsewhere(2), next: Some(cursor(2, 40)), items: items(0, 40, 2) };
    two.proxy.answer(&second_asks, news);
    // … and the first goes on: it must not bring into force what the second has written half of.
    two.swap();
    let news =
        News::Full { page: cursor(1, 40), to: elsewhere(1), next: Some(cursor(1, ALL)), items: items(40, ALL, 1) };
    two.proxy.answer(&first_asks, news);
    assert_eq!(two.proxy.notes.last(), Some(&Note::Discarded(Fault::OutOfStep)));
    assert_eq!(two.proxy.finds(), Some("a".into()), "what was in force still is");
    two.proxy.full_sync(9, &shard_with("c"));
    assert_eq!(two.proxy.finds(), Some("c".into()), "and it recovers");
}

#[test]
fn a_change_that_is_fenced_for_ever_makes_the_client_ask_for_everything() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    // Something left a value of a later generation under the keys in force.
    let head = proxy.view().head.unwrap();
    let shard = shard_with("x");
    let foreign = OwnedItem { key: ItemKey::Tokens(0), revision: 1, bytes: shard.clone() };
    snapshot::write_items(&proxy.map, head.generation + 2, &[foreign]).unwrap();
    let ask = proxy.ask();
    assert_eq!(ask.at, Some(at(5)));
    let items = vec![Item { key: ItemKey::Tokens(0), revision: 6, bytes: &shard }];
    proxy.answer(&ask, News::Changes { to: at(6), items });
    assert_eq!(proxy.view().head, Some(head), "kept out");
    let ask = proxy.ask();
    assert!(ask.all, "it asks for everything");
    proxy.on(Event::Unanswered(None));
    proxy.full_sync(7, &shard_with("c"));
    assert_eq!(proxy.finds(), Some("c".into()));
}

#[test]
fn a_generation_that_was_begun_under_the_keys_in_force_is_replaced_by_a_whole_one() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let head = proxy.view().head.unwrap();
    // Another holder began a generation with the same keys just as this one came into force, wrote a page, and died.
    snapshot::claim_generation(&proxy.map, head.generation + 2).unwrap();
    let page = OwnedItem { key: ItemKey::Tokens(0), revision: 6, bytes: shard_with("x") };
    snapshot::write_items(&proxy.map, head.generation + 2, &[page]).unwrap();
    assert!(proxy.ask().all, "it asks for everything");
    proxy.on(Event::Unanswered(None));
    proxy.full_sync(7, &shard_with("c"));
    assert_eq!(proxy.finds(), Some("c".into()));
    assert!(!proxy.ask().all, "and is content then");
}

#[test]
fn a_change_that_was_left_half_written_makes_the_client_ask_for_everything() {
    let mut proxy = Proxy::new();
    proxy.full_sync(5, &shard_with("a"));
    let generation = proxy.view().head.unwrap().generation;
    // A holder wrote the first value of a change and died; then the database was restored, and knows nothing of it.
    snapshot::begin_change(&proxy.map, generation, at(5), at(6)).unwrap();
    let lost = OwnedItem { key: ItemKey::Tokens(0), revision: 6, bytes: shard_with("lost") };
    snapshot::write_items(&proxy.map, generation, &[lost]).unwrap();
    let ask = proxy.ask();
    assert_eq!((ask.at, ask.all), (Some(at(5)), true));
    // Another change that was asked for before does not build upon it.
    let (empty, other) = (empty_shard(), Position { tag: 1, ..at(6) });
    let items = vec![Item { key: ItemKey::Users(0), revision: 6, bytes: &empty }];
    proxy.answer(&ask, News::Changes { to: other, items });
    assert_eq!(proxy.view().head.unwrap().position, at(5));
    proxy.full_sync(6, &shard_with("b"));
    assert_eq!(proxy.finds(), Some("b".into()));
    assert!(!proxy.ask().all);
}
