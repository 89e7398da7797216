//! The snapshot in shared data: one head that says what is in force, and the values of that generation.
//!
//! A request reads the head and one shard; the settings only when the head says that they changed. A full sync is
//! written beside the generation in force, under keys of the other parity, and comes into force by one write of the
//! head. Every shard of a generation is written, the empty ones too: a shard that is not there is a fault, not a "no
//! such token" (principle 3).

use crate::store::{HostFailure, Key, Kind, Read, SharedData, Value, Write, read, update, write_fenced};
use policy::feed::{ItemKey, Position, SyncKey};
use policy::{
    FilterKeys, Found, KeyedHash, Layout, Record, RestrictionsRecord, Settings, Shard, TokenRecord, UserRecord,
};

/// What is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Under which keys its values lie.
    pub generation: u32,
    /// Which point of the control plane's history it is.
    pub position: Position,
    /// The revision of its settings.
    pub settings_revision: u64,
    /// When it was last known to be current, in milliseconds of the monotonic clock: the dispatch of the last question
    /// that was answered in full.
    pub current_at: u64,
    /// Pages that are missing in this generation, since no VM survived them: what is on them cannot be read.
    pub left_out: u16,
    /// The revision at which this generation came into force.
    pub begun_at: u64,
}

/// A value on its way into the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedItem {
    /// Which.
    pub key: ItemKey,
    /// The revision that last changed it.
    pub revision: u64,
    /// Its encoded form.
    pub bytes: Vec<u8>,
}

/// The snapshot could not be read: something is not there that must be, or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl From<HostFailure> for Unreadable {
    fn from(HostFailure: HostFailure) -> Self {
        Self
    }
}

/// It has had other lengths; none of them was ever released, so the key is the same.
const HEAD_LEN: usize = 45;

impl Head {
    fn encode(&self) -> Vec<u8> {
        let Self { generation: _, position, settings_revision, current_at, left_out, begun_at } = self;
        let Position { epoch, revision: _, tag, layout } = position;
        let Layout { tokens, users, restrictions } = layout;
        let mut bytes = Vec::with_capacity(HEAD_LEN);
        bytes.extend([tokens, users, restrictions].map(|count| u8::from(*count)));
        bytes.extend_from_slice(&left_out.to_le_bytes());
        for number in [epoch, tag, settings_revision, current_at, begun_at] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn decode(value: &Value) -> Option<Self> {
        let ([tokens, users, restrictions], rest) = value.payload.split_first_chunk::<3>()?;
        let (left_out, rest) = rest.split_first_chunk::<2>()?;
        let (numbers, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let [epoch, tag, settings_revision, current_at, begun_at] = numbers else {
            return None;
        };
        Some(Self {
            generation: value.generation,
            position: Position {
                epoch: u64::from_le_bytes(*epoch),
                revision: value.revision,
                tag: u64::from_le_bytes(*tag),
                layout: Layout {
                    tokens: (*tokens).try_into().ok()?,
                    users: (*users).try_into().ok()?,
                    restrictions: (*restrictions).try_into().ok()?,
                },
            },
            settings_revision: u64::from_le_bytes(*settings_revision),
            current_at: u64::from_le_bytes(*current_at),
            left_out: u16::from_le_bytes(*left_out),
            begun_at: u64::from_le_bytes(*begun_at),
        })
    }

    /// How old the snapshot is, in milliseconds of the same clock.
    pub fn age_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.current_at)
    }
}

/// Reads the head; `None`: nothing is in force yet.
pub fn head(data: &impl SharedData) -> Result<Option<Head>, Unreadable> {
    match read(data, Key::single(Kind::Head))? {
        Read::Absent => Ok(None),
        Read::Whole(value) => Head::decode(&value).map(Some).ok_or(Unreadable),
        Read::Broken => Err(Unreadable),
    }
}

/// Puts a head in force in the place of the one that stood at `after` when the control plane was asked. If another has
/// come into force since, this one may be older, whatever its generation: a full sync can come late. The same head once
/// more makes it more current; the time of currency never goes back.
pub fn put_head(data: &impl SharedData, head: &Head, after: Option<Position>) -> Result<Write, HostFailure> {
    let mut outcome = Write::Done;
    update(data, Key::single(Kind::Head), |present| {
        outcome = Write::Done;
        let mut wanted = *head;
        if let Some(present) = present.and_then(Head::decode) {
            if (present.generation, present.position) == (wanted.generation, wanted.position) {
                wanted.current_at = wanted.current_at.max(present.current_at);
            } else if present.generation > wanted.generation || Some(present.position) != after {
                outcome = Write::Fenced;
                return None;
            }
        }
        Some(Value { generation: wanted.generation, revision: wanted.position.revision, payload: wanted.encode() })
    })?;
    Ok(outcome)
}

/// The last generation that anybody began; 0 before the first.
pub fn last_generation(data: &impl SharedData) -> Result<u32, HostFailure> {
    match read(data, Key::single(Kind::Generation))? {
        Read::Whole(value) => Ok(value.generation),
        Read::Absent | Read::Broken => Ok(0),
    }
}

/// Begins a generation, unless it or a later one has begun.
pub fn claim_generation(data: &impl SharedData, generation: u32) -> Result<Write, HostFailure> {
    let mut outcome = Write::Done;
    update(data, Key::single(Kind::Generation), |present| {
        let taken = present.is_some_and(|present| present.generation >= generation);
        outcome = if taken { Write::Fenced } else { Write::Done };
        (!taken).then(|| Value { generation, revision: 0, payload: Vec::new() })
    })?;
    Ok(outcome)
}

/// Begins to write a change under the keys of a generation, unless it does not follow from the last one begun there: a
/// change that was left half written may be of a history that is lost, and the next one would not write over all of it.
pub fn begin_change(
    data: &impl SharedData,
    generation: u32,
    from: Position,
    to: Position,
) -> Result<Write, HostFailure> {
    let mut outcome = Write::Done;
    update(data, Key::single(Kind::Change), |present| {
        let follows = present.is_none_or(|present| {
            present.generation < generation || [from, to].map(|at| change(generation, at)).contains(present)
        });
        outcome = if follows { Write::Done } else { Write::Fenced };
        follows.then(|| change(generation, to))
    })?;
    Ok(outcome)
}

fn change(generation: u32, to: Position) -> Value {
    let payload = [to.epoch, to.tag].map(u64::to_le_bytes).concat();
    Value { generation, revision: to.revision, payload }
}

/// Writes values of a generation, stopping at the first that a newer one keeps out.
pub fn write_items(data: &impl SharedData, generation: u32, items: &[OwnedItem]) -> Result<Write, HostFailure> {
    for item in items {
        let key = key_of(item.key, generation).ok_or(HostFailure)?;
        let value = Value { generation, revision: item.revision, payload: item.bytes.clone() };
        if write_fenced(data, key, &value)? == Write::Fenced {
            return Ok(Write::Fenced);
        }
    }
    Ok(Write::Done)
}

/// Reads the settings of the generation in force and opens the keys in them.
pub fn settings(data: &impl SharedData, head: &Head, key: &SyncKey) -> Result<(Settings, FilterKeys), Unreadable> {
    let payload = payload(data, ItemKey::Settings, head)?;
    Settings::decode(&payload, &key.seal_key()).ok_or(Unreadable)
}

/// Looks a token up in the generation in force.
pub fn token(data: &impl SharedData, head: &Head, hash: &KeyedHash) -> Found<TokenRecord> {
    find(data, ItemKey::Tokens(head.position.layout.tokens.shard_of(hash)), head, hash)
}

/// Looks a user up in the generation in force, by the hash of name or e-mail address.
pub fn user(data: &impl SharedData, head: &Head, hash: &KeyedHash) -> Found<UserRecord> {
    find(data, ItemKey::Users(head.position.layout.users.shard_of(hash)), head, hash)
}

/// Looks a set of restrictions up in the generation in force.
pub fn restrictions(data: &impl SharedData, head: &Head, hash: &KeyedHash) -> Found<RestrictionsRecord> {
    find(data, ItemKey::Restrictions(head.position.layout.restrictions.shard_of(hash)), head, hash)
}

fn find<R: Record>(data: &impl SharedData, shard: ItemKey, head: &Head, hash: &KeyedHash) -> Found<R> {
    let Ok(payload) = payload(data, shard, head) else {
        return Found::Unreadable;
    };
    match Shard::decode(&payload).and_then(|shard| shard.find(hash)) {
        Ok(Some(record)) => Found::Record(record),
        Ok(None) => Found::Nothing,
        Err(_) => Found::Unreadable,
    }
}

/// How often a part of the snapshot that cannot be read makes the proxy ask for everything, in milliseconds: if that
/// does not help, it is not to be asked for all the time.
pub const RESYNC_EVERY_MS: u64 = 60_000;

/// A request could not read what is in force: says so to whoever keeps it current.
pub fn report_unreadable(data: &impl SharedData, head: &Head, now: u64) -> Result<(), HostFailure> {
    update(data, Key::single(Kind::Unreadable), |present| {
        let told = present.is_some_and(|present| now.saturating_sub(present.revision) < RESYNC_EVERY_MS);
        (!told).then(|| Value { generation: head.generation, revision: now, payload: Vec::new() })
    })?;
    Ok(())
}

/// Whether what is in force must come anew: somebody could not read a part of it (one that is known to be missing, only if
/// there has been a change since, which may have been the remedy); or there are values of a change among it that never
/// came into force.
pub fn is_unreadable(data: &impl SharedData, head: &Head) -> Result<bool, HostFailure> {
    if let Read::Whole(begun) = read(data, Key::single(Kind::Change))?
        && begun.generation == head.generation
        && begun != change(head.generation, head.position)
    {
        return Ok(true);
    }
    let worthwhile = head.left_out == 0 || head.position.revision > head.begun_at;
    match read(data, Key::single(Kind::Unreadable))? {
        Read::Whole(value) => Ok(worthwhile && value.generation == head.generation),
        Read::Absent | Read::Broken => Ok(false),
    }
}

/// The identity of this proxy process: the first VM that asks gives it, all others find it.
pub fn instance(data: &impl SharedData, random: [u8; 16]) -> Result<[u8; 16], HostFailure> {
    let value = update(data, Key::single(Kind::Instance), |present| match present {
        Some(_) => None,
        None => Some(Value { generation: 0, revision: 0, payload: random.to_vec() }),
    })?;
    value.and_then(|value| value.payload.as_slice().try_into().ok()).ok_or(HostFailure)
}

/// The number of the next question of this proxy process.
pub fn next_question(data: &impl SharedData) -> Result<u64, HostFailure> {
    let value = update(data, Key::single(Kind::Questions), |present| {
        let asked = present.map_or(0, |present| present.revision);
        Some(Value { generation: 0, revision: asked.saturating_add(1), payload: Vec::new() })
    })?;
    value.map(|value| value.revision).ok_or(HostFailure)
}

fn payload(data: &impl SharedData, item: ItemKey, head: &Head) -> Result<Vec<u8>, Unreadable> {
    let key = key_of(item, head.generation).ok_or(Unreadable)?;
    match read(data, key)? {
        Read::Whole(value) if value.generation == head.generation => Ok(value.payload),
        Read::Whole(_) | Read::Absent | Read::Broken => Err(Unreadable),
    }
}

fn key_of(item: ItemKey, generation: u32) -> Option<Key> {
    match item {
        ItemKey::Settings => Key::of_generation(Kind::Settings, generation, 0),
        ItemKey::Tokens(number) => Key::of_generation(Kind::Tokens, generation, number),
        ItemKey::Users(number) => Key::of_generation(Kind::Users, generation, number),
        ItemKey::Restrictions(number) => Key::of_generation(Kind::Restrictions, generation, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Map;
    use policy::ShardCount;

    fn a_head() -> Head {
        let shards = ShardCount::from_bits(6).unwrap();
        Head {
            generation: 3,
            position: Position {
                epoch: 1,
                revision: 10,
                tag: 2,
                layout: Layout { tokens: shards, users: shards, restrictions: shards },
            },
            settings_revision: 4,
            current_at: 100,
            left_out: 258,
            begun_at: 10,
        }
    }

    #[test]
    fn a_head_comes_back_as_it_was_put() {
        let map = Map::default();
        assert_eq!(head(&map), Ok(None));
        assert_eq!(put_head(&map, &a_head(), None), Ok(Write::Done));
        assert_eq!(head(&map), Ok(Some(a_head())));
    }

    #[test]
    fn attack_a_holder_that_slept_cannot_put_an_old_head_back() {
        let map = Map::default();
        let here = a_head().position;
        let at = |revision| Position { revision, ..here };
        put_head(&map, &a_head(), None).unwrap();
        let old = Head { position: at(9), current_at: 5000, ..a_head() };
        assert_eq!(put_head(&map, &old, Some(at(8))), Ok(Write::Fenced));
        assert_eq!(put_head(&map, &Head { generation: 2, ..a_head() }, Some(here)), Ok(Write::Fenced));
        assert_eq!(put_head(&map, &Head { current_at: 50, ..a_head() }, Some(here)), Ok(Write::Done));
        assert_eq!(head(&map), Ok(Some(a_head())), "currency never goes back");
        let more_current = Head { current_at: 150, ..a_head() };
        assert_eq!(put_head(&map, &more_current, Some(here)), Ok(Write::Done));
        assert_eq!(head(&map), Ok(Some(more_current)));
    }

    #[test]
    fn attack_a_full_sync_that_slept_cannot_put_an_old_head_back() {
        let map = Map::default();
        let here = a_head().position;
        let before = Position { revision: 9, tag: 1, ..here };
        put_head(&map, &a_head(), Some(before)).unwrap();
        // Another VM had asked for the last page of a later generation before that.
        let late = Head { generation: 4, position: before, ..a_head() };
        assert_eq!(put_head(&map, &late, Some(before)), Ok(Write::Fenced));
        assert_eq!(put_head(&map, &late, None), Ok(Write::Fenced));
        assert_eq!(head(&map), Ok(Some(a_head())));
        assert_eq!(put_head(&map, &late, Some(here)), Ok(Write::Done), "a database was restored");
    }

    #[test]
    fn a_generation_is_begun_once() {
        let map = Map::default();
        assert_eq!(claim_generation(&map, 1), Ok(Write::Done));
        assert_eq!(claim_generation(&map, 1), Ok(Write::Fenced));
        assert_eq!(claim_generation(&map, 3), Ok(Write::Done));
        assert_eq!(last_generation(&map), Ok(3));
    }

    #[test]
    fn a_change_is_begun_only_where_the_last_one_is_whole() {
        let map = Map::default();
        let at = |revision, tag| Position { revision, tag, ..a_head().position };
        let begin = |generation, from, to| begin_change(&map, generation, from, to).unwrap();
        let is_half = |position| is_unreadable(&map, &Head { position, ..a_head() }).unwrap();
        assert!(!is_half(at(10, 2)));
        assert_eq!(begin(3, at(10, 2), at(11, 5)), Write::Done);
        assert!(is_half(at(10, 2)), "until its head is put");
        assert_eq!(begin(3, at(10, 2), at(11, 5)), Write::Done, "the same may be written again");
        assert_eq!(begin(3, at(10, 2), at(11, 6)), Write::Fenced, "a database was restored");
        assert_eq!(begin(3, at(10, 2), at(12, 7)), Write::Fenced, "nobody knows which history that is");
        assert!(!is_half(at(11, 5)));
        assert_eq!(begin(3, at(11, 5), at(12, 7)), Write::Done);
        assert_eq!(begin(3, at(10, 2), at(11, 5)), Write::Fenced, "it slept");
        assert_eq!(begin(4, at(12, 7), at(13, 8)), Write::Done, "a whole generation");
        assert_eq!(begin(3, at(12, 7), at(13, 8)), Write::Fenced);
        assert!(!is_half(at(10, 2)), "not of this generation");
    }

    #[test]
    fn principle_3_a_shard_that_is_missing_broken_or_of_another_generation_is_unreadable() {
        let (map, hash) = (Map::default(), KeyedHash::from_bytes([0; 32]));
        let found =
            |head: &Head| token(&map, head, &hash) == Found::Unreadable && user(&map, head, &hash) == Found::Unreadable;
        assert!(found(&a_head()));
        let tokens = Shard::<TokenRecord>::encode([]).unwrap();
        let users = Shard::<UserRecord>::encode([]).unwrap();
        for (key, bytes) in [(ItemKey::Tokens(0), tokens), (ItemKey::Users(0), users)] {
            write_items(&map, 3, &[OwnedItem { key, revision: 1, bytes }]).unwrap();
        }
        assert_eq!(token(&map, &a_head(), &hash), Found::Nothing);
        assert_eq!(user(&map, &a_head(), &hash), Found::Nothing);
        assert!(found(&Head { generation: 5, ..a_head() }));
        for key in [ItemKey::Tokens(0), ItemKey::Users(0)] {
            write_items(&map, 3, &[OwnedItem { key, revision: 2, bytes: b"rubbish".to_vec() }]).unwrap();
        }
        assert!(found(&a_head()));
    }

    #[test]
    fn what_cannot_be_read_is_reported_once_a_minute_and_for_this_generation_alone() {
        let map = Map::default();
        let head = Head { left_out: 0, ..a_head() };
        assert_eq!(is_unreadable(&map, &head), Ok(false));
        report_unreadable(&map, &head, 100_000).unwrap();
        assert_eq!(is_unreadable(&map, &head), Ok(true));
        let missing = Head { left_out: 1, ..head };
        assert_eq!(is_unreadable(&map, &missing), Ok(false), "everyone knows");
        assert_eq!(is_unreadable(&map, &Head { begun_at: 9, ..missing }), Ok(true), "it may be there now");
        let next = Head { generation: head.generation + 1, ..head };
        assert_eq!(is_unreadable(&map, &next), Ok(false), "everything came anew");
        report_unreadable(&map, &next, 150_000).unwrap();
        assert_eq!(is_unreadable(&map, &next), Ok(false), "and did not help: not again so soon");
        report_unreadable(&map, &next, 160_000).unwrap();
        assert_eq!(is_unreadable(&map, &next), Ok(true));
    }

    #[test]
    fn an_instance_is_named_once() {
        let map = Map::default();
        assert_eq!(instance(&map, [1; 16]), Ok([1; 16]));
        assert_eq!(instance(&map, [2; 16]), Ok([1; 16]));
    }
}
