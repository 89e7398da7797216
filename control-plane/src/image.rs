//! The snapshot as the proxies are to have it, in memory: built from the database at start, kept current by changes.
//!
//! Pages and changes are served from here, never from the database; and the control plane's own judgement looks here,
//! too. The log holds which values changed in which of the last revisions since the program started; a proxy that
//! stands at a revision which is not in the log gets everything.

use policy::feed::{Cursor, Item, ItemKey, News, PAGE_LEN, Position};
use policy::{
    FilterKeys, KeyedHash, Layout, Record, RestrictionsRecord, Settings, Shard, ShardCount, ShardError, TokenRecord,
    TokenState, UserRecord,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Revisions that the log holds: a proxy that was away for longer takes everything, which is then no more.
const LOG_LEN_MAX: usize = 10_000;

/// How records of a kind are spread.
trait Spread: Record + Clone {
    /// Records a shard has on average when there is just the right number of shards. At twice as many there are to be
    /// more.
    const PER_SHARD: usize;
}

impl Spread for TokenRecord {
    const PER_SHARD: usize = 4;
}

impl Spread for UserRecord {
    const PER_SHARD: usize = 4;
}

impl Spread for RestrictionsRecord {
    const PER_SHARD: usize = 1; // each may be as large as hundreds of the others
}

/// All that the proxies are to know.
pub(crate) struct Image {
    position: Position,
    tokens: Shards<TokenRecord>,
    users: Shards<UserRecord>,
    restrictions: Shards<RestrictionsRecord>,
    /// By how many tokens each set of restrictions is needed.
    needed: HashMap<KeyedHash, usize>,
    settings: SettingsImage,
    settings_revision: u64,
    log: VecDeque<LogEntry>,
}

/// The settings in force, with the keys, and as the proxies get them.
#[derive(Clone, Debug)]
pub(crate) struct SettingsImage {
    pub(crate) opened: Arc<(Settings, FilterKeys)>,
    pub(crate) encoded: Vec<u8>,
}

/// Records of one kind, spread by the first bits of their hashes.
struct Shards<R> {
    count: ShardCount,
    records: usize,
    shards: Vec<ShardImage<R>>,
}

struct ShardImage<R> {
    /// In the order of their hashes. (Nodes of a tree have room for eleven, where there are four.)
    records: Vec<(KeyedHash, R)>,
    revision: u64,
    encoded: Vec<u8>,
}

struct LogEntry {
    revision: u64,
    tag: u64,
    changed: BTreeSet<ItemKey>,
}

/// Why there is no image: there is something that no proxy could read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("the settings in the database cannot be read: {0}")]
    SettingsUnreadable(String),
    #[error("the settings cannot be encoded")]
    Settings,
    #[error("the shared backend credential in the database cannot be opened")]
    SharedCredential,
    #[error("{0}")]
    Shard(#[from] ShardError),
}

/// What a committed change changed.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A token is now this, or nobody remembers it any more.
    Token(KeyedHash, Option<TokenRecord>),
    /// A user is now this under one of their names, or nobody is called so any more.
    User(KeyedHash, Option<UserRecord>),
    /// There is this set of restrictions, for as long as a token needs it.
    Restrictions(KeyedHash, RestrictionsRecord),
    /// The settings are now these.
    Settings(SettingsImage),
}

/// A change that fits, worked out and not yet shown.
pub(crate) struct Prepared {
    tokens: Next<TokenRecord>,
    users: Next<UserRecord>,
    restrictions: Next<RestrictionsRecord>,
    needed: HashMap<KeyedHash, usize>,
    settings: Option<SettingsImage>,
    revision: u64,
    tag: u64,
}

/// What becomes of the shards of a kind.
enum Next<R> {
    /// Some are different, by their numbers.
    Changed(BTreeMap<u32, ShardImage<R>>),
    /// There are more of them now, and everyone gets them all.
    Spread(Shards<R>),
}

impl Image {
    /// The image of a database at this point of its history.
    pub(crate) fn build(
        epoch: u64,
        revision: u64,
        tag: u64,
        settings: SettingsImage,
        tokens: Vec<(KeyedHash, TokenRecord)>,
        users: Vec<(KeyedHash, UserRecord)>,
        restrictions: Vec<(KeyedHash, RestrictionsRecord)>,
    ) -> Result<Self, ImageError> {
        let (tokens, users) = (Shards::build(revision, tokens)?, Shards::build(revision, users)?);
        let needed = needed(tokens.shards.iter().flat_map(|shard| shard.records.iter().map(|(_, token)| token)));
        let restrictions = Shards::build(revision, restrictions)?;
        let layout = Layout { tokens: tokens.count, users: users.count, restrictions: restrictions.count };
        let position = Position { epoch, revision, tag, layout };
        let log = VecDeque::from([LogEntry { revision, tag, changed: BTreeSet::new() }]);
        Ok(Self { position, tokens, users, restrictions, needed, settings, settings_revision: revision, log })
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// How many tokens there are, remembered ones included.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens.records
    }

    /// The settings in force, and the keys.
    pub(crate) fn settings(&self) -> Arc<(Settings, FilterKeys)> {
        self.settings.opened.clone()
    }

    /// Looks a token up, as a proxy would.
    pub(crate) fn token(&self, hash: &KeyedHash) -> Option<&TokenRecord> {
        self.tokens.find(hash)
    }

    /// Looks a user up, as a proxy would.
    pub(crate) fn user(&self, hash: &KeyedHash) -> Option<&UserRecord> {
        self.users.find(hash)
    }

    /// Looks a set of restrictions up, as a proxy would.
    pub(crate) fn restrictions(&self, hash: &KeyedHash) -> Option<&RestrictionsRecord> {
        self.restrictions.find(hash)
    }

    /// The revision of the settings in force, as far as this program remembers: that of its start at least.
    pub(crate) fn settings_revision(&self) -> u64 {
        self.settings_revision
    }

    /// Works a change out, and says if no proxy could read what would come of it: to be asked before the change is committed.
    pub(crate) fn prepare(&self, revision: u64, tag: u64, effects: Vec<Effect>) -> Result<Prepared, ImageError> {
        let (mut tokens, mut users) = (BTreeMap::new(), BTreeMap::new());
        let (mut restrictions, mut settings) = (BTreeMap::new(), None);
        for effect in effects {
            match effect {
                Effect::Token(hash, record) => drop(tokens.insert(hash, record)),
                Effect::User(hash, record) => drop(users.insert(hash, record)),
                Effect::Restrictions(hash, record) => drop(restrictions.insert(hash, Some(record))),
                Effect::Settings(new) => settings = Some(new),
            }
        }
        let mut needed = HashMap::new();
        for (hash, record) in &tokens {
            let mut count = |record: Option<&TokenRecord>, step: fn(usize) -> usize| {
                if let Some(set) = record.and_then(needs) {
                    let present = || self.needed.get(&set).copied().unwrap_or_default();
                    let count = needed.entry(set).or_insert_with(present);
                    *count = step(*count);
                }
            };
            count(record.as_ref(), |count| count + 1);
            count(self.tokens.find(hash), |count| count.saturating_sub(1));
        }
        for (set, _) in needed.iter().filter(|(_, count)| **count == 0) {
            restrictions.insert(*set, None);
        }
        Ok(Prepared {
            tokens: self.tokens.next(revision, tokens)?,
            users: self.users.next(revision, users)?,
            restrictions: self.restrictions.next(revision, restrictions)?,
            needed,
            settings,
            revision,
            tag,
        })
    }

    /// Takes a change in that was committed.
    pub(crate) fn apply(&mut self, prepared: Prepared) {
        let Prepared { tokens, users, restrictions, needed, settings, revision, tag } = prepared;
        let mut changed = BTreeSet::new();
        if let Some(settings) = settings {
            self.settings = settings;
            self.settings_revision = revision;
            changed.insert(ItemKey::Settings);
        }
        for (set, count) in needed {
            match count {
                0 => drop(self.needed.remove(&set)),
                count => drop(self.needed.insert(set, count)),
            }
        }
        changed.extend(self.tokens.take(tokens).into_iter().map(ItemKey::Tokens));
        changed.extend(self.users.take(users).into_iter().map(ItemKey::Users));
        changed.extend(self.restrictions.take(restrictions).into_iter().map(ItemKey::Restrictions));
        let layout =
            Layout { tokens: self.tokens.count, users: self.users.count, restrictions: self.restrictions.count };
        if layout != self.position.layout {
            self.log.clear(); // what changed before is counted in other shards
            changed.clear();
        }
        self.position = Position { revision, tag, layout, ..self.position };
        self.log.push_back(LogEntry { revision, tag, changed });
        if self.log.len() > LOG_LEN_MAX {
            self.log.pop_front();
        }
    }

    /// What to tell a proxy that stands at `at` and wants the page at `cursor`; `None`: nothing that it does not know.
    pub(crate) fn news(&self, at: Option<Position>, cursor: Option<Cursor>) -> Option<News<'_>> {
        if let Some(cursor) = cursor {
            return Some(self.page(cursor));
        }
        match at {
            Some(at) if at == self.position => None,
            Some(at) => Some(self.changes(at).unwrap_or_else(|| self.first_page())),
            None => Some(self.first_page()),
        }
    }

    /// The revision of a position, if it is one of this history: what was confirmed in another one counts for nothing.
    /// Of what was long ago it is not known, but then it is not the present one either.
    pub(crate) fn revision_of(&self, at: Position) -> Option<u64> {
        self.log_since(at).map(|_| at.revision)
    }

    /// How many changes a proxy in this position has heard of that this database does not have.
    pub(crate) fn lacks(&self, at: Position) -> Option<u64> {
        let same_database = at.epoch == self.position.epoch;
        let ahead = at.revision.checked_sub(self.position.revision).filter(|ahead| *ahead > 0);
        ahead.filter(|_| same_database)
    }

    /// All that changed since then, whole; `None` if that is not known, or more than an answer should hold.
    fn changes(&self, at: Position) -> Option<News<'_>> {
        let changed: BTreeSet<ItemKey> = self.log_since(at)?.flat_map(|entry| entry.changed.iter().copied()).collect();
        let items: Vec<_> = changed.into_iter().filter_map(|key| self.item(key)).collect();
        let length: usize = items.iter().map(length_of).sum();
        (length <= PAGE_LEN).then_some(News::Changes { to: self.position, items })
    }

    /// A page of everything: the shards in order, then what changed while they went out, until nothing did. So what the
    /// proxy has at the end is one state, whatever changed in between.
    fn page(&self, cursor: Cursor) -> News<'_> {
        match self.log_since(cursor.from) {
            Some(_) if cursor.in_shards() => self.shards_from(cursor),
            Some(entries) => self.changed_meanwhile(cursor, entries),
            None => self.first_page(),
        }
    }

    fn first_page(&self) -> News<'_> {
        self.shards_from(Cursor { from: self.position, shard: 0 })
    }

    fn shards_from(&self, page: Cursor) -> News<'_> {
        let (mut items, mut length, mut shard) = (Vec::new(), 0, page.shard);
        while let Some(item) = self.position.layout.shard(shard).and_then(|key| self.item(key)) {
            if length + length_of(&item) > PAGE_LEN && !items.is_empty() {
                break;
            }
            length += length_of(&item);
            items.push(item);
            shard += 1;
        }
        News::Full { page, to: self.position, next: Some(Cursor { shard, ..page }), items }
    }

    fn changed_meanwhile<'a>(&'a self, page: Cursor, entries: impl Iterator<Item = &'a LogEntry>) -> News<'a> {
        let shards = self.position.layout.shards();
        let (mut items, mut length, mut next) = (Vec::new(), 0, page);
        for entry in entries {
            let sent = (next.shard - shards) as usize;
            for item in entry.changed.iter().skip(sent).filter_map(|key| self.item(*key)) {
                if length + length_of(&item) > PAGE_LEN && !items.is_empty() {
                    return News::Full { page, to: self.position, next: Some(next), items };
                }
                length += length_of(&item);
                items.push(item);
                next.shard += 1;
            }
            next = Cursor { from: Position { revision: entry.revision, tag: entry.tag, ..page.from }, shard: shards };
        }
        items.extend(self.item(ItemKey::Settings));
        News::Full { page, to: self.position, next: None, items }
    }

    /// What the log has after that position; `None` if that is not in this history, or too long ago.
    fn log_since(&self, at: Position) -> Option<impl Iterator<Item = &LogEntry>> {
        if (at.epoch, at.layout) != (self.position.epoch, self.position.layout) {
            return None;
        }
        let index = self.log.binary_search_by_key(&at.revision, |entry| entry.revision).ok()?;
        let known = self.log.get(index).is_some_and(|entry| entry.tag == at.tag);
        known.then(|| self.log.range(index + 1..))
    }

    fn item(&self, key: ItemKey) -> Option<Item<'_>> {
        let (revision, bytes) = match key {
            ItemKey::Settings => (self.settings_revision, &self.settings.encoded),
            ItemKey::Tokens(number) => self.tokens.encoded(number)?,
            ItemKey::Users(number) => self.users.encoded(number)?,
            ItemKey::Restrictions(number) => self.restrictions.encoded(number)?,
        };
        Some(Item { key, revision, bytes })
    }
}

impl<R: Spread> Shards<R> {
    /// Spreads records over as many shards as they need: more where few are large.
    fn build(revision: u64, mut records: Vec<(KeyedHash, R)>) -> Result<Self, ShardError> {
        records.sort_unstable_by_key(|(hash, _)| *hash);
        records.dedup_by_key(|(hash, _)| *hash);
        let all = records.len();
        let mut count = ShardCount::for_records(all, R::PER_SHARD);
        loop {
            match Self::encoded_shards(&records, count) {
                Ok(encoded) => return Ok(Self::of(revision, count, records, encoded)),
                Err(error) => match count.doubled() {
                    Some(more) if error == ShardError::TooLarge && more.get() as usize <= 64 * all.max(64) => {
                        count = more;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    /// The records, in the order of their hashes, as they are encoded in so many shards: since these are numbered by the
    /// first bits of the hashes, each is a run of them.
    fn encoded_shards(records: &[(KeyedHash, R)], count: ShardCount) -> Result<Vec<Vec<u8>>, ShardError> {
        let mut rest = records;
        (0..count.get())
            .map(|number| {
                let (shard, behind) = rest.split_at(rest.partition_point(|(hash, _)| count.shard_of(hash) <= number));
                rest = behind;
                Shard::encode(shard.iter().map(|(hash, record)| (hash, record)))
            })
            .collect()
    }

    fn of(revision: u64, count: ShardCount, all: Vec<(KeyedHash, R)>, encoded: Vec<Vec<u8>>) -> Self {
        let records = all.len();
        let mut all = all.into_iter().peekable();
        let shards = encoded.into_iter().zip(0..).map(|(encoded, number)| {
            let here = std::iter::from_fn(|| all.next_if(|(hash, _)| count.shard_of(hash) <= number));
            let mut records: Vec<_> = here.collect();
            records.shrink_to_fit();
            ShardImage { records, revision, encoded }
        });
        let shards = shards.collect();
        Self { count, records, shards }
    }

    fn find(&self, hash: &KeyedHash) -> Option<&R> {
        let records = &self.shards.get(self.count.shard_of(hash) as usize)?.records;
        records
            .binary_search_by_key(hash, |(hash, _)| *hash)
            .ok()
            .and_then(|index| records.get(index))
            .map(|(_, record)| record)
    }

    fn encoded(&self, number: u32) -> Option<(u64, &Vec<u8>)> {
        let shard = self.shards.get(number as usize)?;
        Some((shard.revision, &shard.encoded))
    }

    /// What becomes of the shards when some records are set and others taken out. Where they do not fit any more, or are
    /// twice as many as there should be, all are spread anew.
    fn next(&self, revision: u64, changes: BTreeMap<KeyedHash, Option<R>>) -> Result<Next<R>, ShardError> {
        let added = changes.iter().filter(|(hash, record)| record.is_some() && self.find(hash).is_none()).count();
        if self.records + added <= self.shards.len() * R::PER_SHARD * 2 {
            match self.changed(revision, &changes) {
                Err(ShardError::TooLarge) => {}
                changed => return changed.map(Next::Changed),
            }
        }
        let mut all: BTreeMap<KeyedHash, R> =
            self.shards.iter().flat_map(|shard| shard.records.iter().map(|(hash, r)| (*hash, r.clone()))).collect();
        for (hash, record) in changes {
            match record {
                Some(record) => all.insert(hash, record),
                None => all.remove(&hash),
            };
        }
        Self::build(revision, all.into_iter().collect()).map(Next::Spread)
    }

    fn changed(
        &self,
        revision: u64,
        changes: &BTreeMap<KeyedHash, Option<R>>,
    ) -> Result<BTreeMap<u32, ShardImage<R>>, ShardError> {
        let mut changed: BTreeMap<u32, BTreeMap<KeyedHash, R>> = BTreeMap::new();
        for (hash, record) in changes {
            let number = self.count.shard_of(hash);
            let present =
                || self.shards.get(number as usize).into_iter().flat_map(|shard| shard.records.iter().cloned());
            let shard = changed.entry(number).or_insert_with(|| present().collect());
            match record {
                Some(record) => shard.insert(*hash, record.clone()),
                None => shard.remove(hash),
            };
        }
        changed.into_iter().map(|(number, records)| Ok((number, ShardImage::new(revision, records)?))).collect()
    }

    /// Puts what comes next in place; gives the numbers of the shards that changed.
    fn take(&mut self, next: Next<R>) -> Vec<u32> {
        let changed = match next {
            Next::Changed(changed) => changed,
            Next::Spread(shards) => {
                // With another number of shards everyone gets everything, and no shard is told by its number.
                let same_numbers = self.count == shards.count;
                *self = shards;
                return (0..self.count.get()).filter(|_| same_numbers).collect();
            }
        };
        let numbers = changed.keys().copied().collect();
        for (number, shard) in changed {
            if let Some(present) = self.shards.get_mut(number as usize) {
                self.records = self.records + shard.records.len() - present.records.len();
                *present = shard;
            }
        }
        numbers
    }
}

/// The set of restrictions that a token needs: none once it is deleted, since it is refused before.
fn needs(token: &TokenRecord) -> Option<KeyedHash> {
    token.restrictions.filter(|_| token.state != TokenState::Deleted)
}

fn needed<'a>(tokens: impl Iterator<Item = &'a TokenRecord>) -> HashMap<KeyedHash, usize> {
    let mut needed = HashMap::new();
    for set in tokens.filter_map(needs) {
        *needed.entry(set).or_default() += 1;
    }
    needed
}

impl<R: Record> ShardImage<R> {
    fn new(revision: u64, records: BTreeMap<KeyedHash, R>) -> Result<Self, ShardError> {
        let encoded = Shard::encode(&records)?;
        Ok(Self { records: records.into_iter().collect(), revision, encoded })
    }
}

/// Bytes that an item takes in an answer: its own, and at most 16 for number, revision and length.
fn length_of(item: &Item<'_>) -> usize {
    item.bytes.len() + 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::assertion::AssertionKey;
    use policy::hash::{HashKey, HashKeys};
    use policy::shard::SHARD_LEN_MAX;
    use policy::{Addresses, Binding, Owner, Scope, SealKey, Timestamp, TokenState};

    fn token(number: u32) -> (KeyedHash, TokenRecord) {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let record = TokenRecord {
            id: format!("id-{number}"),
            binding: Binding::User(Owner { name: "alice".into(), email: None, sysadmin: false }),
            created_at: Timestamp::from_millis(0),
            valid_from: None,
            expires_at: None,
            state: TokenState::Active,
            scope: Scope::Full,
            addresses: Addresses::Any,
            restrictions: None,
        };
        (KeyedHash::from_bytes(hash), record)
    }

    fn image(tokens: u32) -> Image {
        let users = (0..3).map(user).collect();
        Image::build(1, 100, 7, settings(1), (0..tokens).map(token).collect(), users, Vec::new()).unwrap()
    }

    fn user(number: u8) -> (KeyedHash, UserRecord) {
        let name = format!("user-{number}");
        let record = UserRecord { name, email: None, sysadmin: false, suspended: false, credential: None };
        (KeyedHash::from_bytes([number; 32]), record)
    }

    fn settings(encoded: u8) -> SettingsImage {
        let keys = FilterKeys {
            token_hash: HashKeys::new(vec![HashKey::new([1; 32])]).unwrap(),
            user_hash: HashKey::new([2; 32]),
            credential: SealKey::new([3; 32]),
            shared_credential: None,
            backend_assertion: AssertionKey::new([4; 32]),
            control_plane_assertion: AssertionKey::new([5; 32]),
        };
        SettingsImage { opened: Arc::new((Settings::default(), keys)), encoded: vec![encoded] }
    }

    fn change(image: &mut Image, number: u32) {
        let revision = image.position().revision + 1;
        let (hash, record) = token(number);
        let prepared = image.prepare(revision, revision * 10, vec![Effect::Token(hash, Some(record))]).unwrap();
        image.apply(prepared);
    }

    #[test]
    fn a_proxy_that_knows_everything_is_told_nothing() {
        let image = image(10);
        assert!(image.news(Some(image.position()), None).is_none());
    }

    #[test]
    fn a_proxy_is_told_what_changed_since() {
        let mut image = image(10);
        let at = image.position();
        change(&mut image, 20);
        change(&mut image, 21);
        let Some(News::Changes { to, items }) = image.news(Some(at), None) else { panic!() };
        assert_eq!(to, image.position());
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn attack_a_restored_database_counts_the_same_revisions_again() {
        let mut restored = image(10);
        change(&mut restored, 20);
        let from_before = Position { tag: 4711, ..restored.position() };
        assert!(matches!(restored.news(Some(from_before), None), Some(News::Full { .. })));
        let ahead = Position { revision: 1000, ..restored.position() };
        assert!(matches!(restored.news(Some(ahead), None), Some(News::Full { .. })));
        let elsewhere = Position { epoch: 2, ..restored.position() };
        assert!(matches!(restored.news(Some(elsewhere), None), Some(News::Full { .. })));
    }

    /// All pages of a full sync, with `meanwhile` before each but the first.
    fn pages(image: &mut Image, mut meanwhile: impl FnMut(&mut Image, usize)) -> (Vec<ItemKey>, usize) {
        let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let Some(News::Full { page, next, items, .. }) = image.news(None, cursor) else { panic!() };
            assert!(cursor.is_none_or(|cursor| cursor == page), "it goes on where it was");
            assert!(items.iter().map(length_of).sum::<usize>() <= PAGE_LEN + SHARD_LEN_MAX);
            seen.extend(items.iter().map(|item| item.key));
            pages += 1;
            match next {
                Some(next) => cursor = Some(next),
                None => return (seen, pages),
            }
            meanwhile(image, pages);
        }
    }

    #[test]
    fn pages_hold_every_shard_once_and_end_with_what_changed_meanwhile() {
        let mut image = image(20_000);
        let (seen, pages) = pages(&mut image, |image, _| change(image, 3));
        let layout = image.position().layout;
        let shards = layout.tokens;
        let in_order: Vec<_> = (0..layout.shards()).filter_map(|number| layout.shard(number)).collect();
        let changed = ItemKey::Tokens(shards.shard_of(&token(3).0));
        assert!(pages > 3, "{pages} pages");
        assert_eq!(seen[..in_order.len()], in_order);
        let late = &seen[in_order.len()..];
        assert!(late[..late.len() - 1].iter().all(|key| *key == changed) && late.len() > 1, "{late:?}");
        assert_eq!(late.last(), Some(&ItemKey::Settings));
    }

    #[test]
    fn a_full_sync_under_steady_change_comes_to_its_end_and_misses_nothing() {
        let mut image = image(20_000);
        // More than a page of changes while the first page goes out, and some with every page after that.
        let mut number = 0;
        let (seen, _) = pages(&mut image, |image, page| {
            for _ in 0..if page == 1 { 6000 } else { 100 } {
                change(image, number);
                number += 1;
            }
        });
        let layout = image.position().layout;
        let shards = layout.tokens;
        let late = &seen[layout.shards() as usize..];
        for number in 0..6000 {
            assert!(late.contains(&ItemKey::Tokens(shards.shard_of(&token(number).0))));
        }
    }

    #[test]
    fn one_change_of_more_than_a_page_goes_out_in_pages() {
        let mut image = image(20_000);
        let revision = image.position().revision + 1;
        let effects = (0..9000).map(token).map(|(hash, record)| Effect::Token(hash, Some(record)));
        let mut effects = Some(effects.collect());
        let at = image.position();
        let (seen, _) = pages(&mut image, |image, _| {
            if let Some(effects) = effects.take() {
                let prepared = image.prepare(revision, 1, effects).unwrap();
                image.apply(prepared);
            }
        });
        let layout = image.position().layout;
        let shards = layout.tokens;
        let late = &seen[layout.shards() as usize..];
        assert!((0..9000).all(|number| late.contains(&ItemKey::Tokens(shards.shard_of(&token(number).0)))));
        assert_eq!(late.iter().collect::<BTreeSet<_>>().len(), late.len(), "each once");
        assert!(matches!(image.news(Some(at), None), Some(News::Full { .. })), "too much for changes");
    }

    #[test]
    fn a_page_that_nobody_knows_begins_everything_anew() {
        let image = image(100);
        let first = Cursor { from: image.position(), shard: 0 };
        for unknown in [
            Cursor { from: Position { tag: 1, ..first.from }, shard: 3 },
            Cursor { from: Position { revision: 7, ..first.from }, shard: 1000 },
            Cursor { from: Position { epoch: 7, ..first.from }, shard: 0 },
        ] {
            let Some(News::Full { page, .. }) = image.news(None, Some(unknown)) else { panic!() };
            assert_eq!(page, first);
        }
    }

    #[test]
    fn more_tokens_get_more_shards_and_everyone_gets_them_all() {
        let mut image = image(0);
        let at = image.position();
        for number in 0..2000 {
            change(&mut image, number);
        }
        assert!(image.position().layout.tokens.get() > at.layout.tokens.get());
        assert!(matches!(image.news(Some(at), None), Some(News::Full { .. })));
        assert!((0..2000).all(|number| image.token(&token(number).0).is_some()));
    }

    #[test]
    fn users_and_settings_are_told_like_tokens() {
        let mut image = image(10);
        let at = image.position();
        let ((alice, record), (bob, _)) = (user(7), user(1));
        let effects =
            vec![Effect::User(alice, Some(record.clone())), Effect::User(bob, None), Effect::Settings(settings(9))];
        let prepared = image.prepare(101, 8, effects).unwrap();
        image.apply(prepared);
        assert_eq!((image.user(&alice), image.user(&bob)), (Some(&record), None));
        let Some(News::Changes { items, .. }) = image.news(Some(at), None) else { panic!() };
        let users = at.layout.users;
        let expected: BTreeSet<_> =
            [ItemKey::Settings, ItemKey::Users(users.shard_of(&alice)), ItemKey::Users(users.shard_of(&bob))].into();
        assert_eq!(items.iter().map(|item| item.key).collect::<BTreeSet<_>>(), expected);
        assert!(items.iter().any(|item| item.bytes == [9] && item.revision == 101));
    }

    fn with_set(number: u8, size: usize, state: TokenState) -> [Effect; 2] {
        let set = KeyedHash::from_bytes([number; 32]);
        let (hash, record) = token(u32::from(number));
        let text = "x".repeat(size);
        [
            Effect::Restrictions(set, RestrictionsRecord { text }),
            Effect::Token(hash, Some(TokenRecord { restrictions: Some(set), state, ..record })),
        ]
    }

    #[test]
    fn a_set_of_restrictions_stays_as_long_as_a_token_needs_it() {
        let mut image = image(0);
        let set = KeyedHash::from_bytes([1; 32]);
        let (other, record) = token(77);
        let mut change = |effects| {
            let revision = image.position().revision + 1;
            let prepared = image.prepare(revision, 1, effects).unwrap();
            image.apply(prepared);
            image.restrictions.find(&set).is_some()
        };
        assert!(change(with_set(1, 9, TokenState::Active).into()));
        assert!(change(vec![Effect::Token(other, Some(TokenRecord { restrictions: Some(set), ..record.clone() }))]));
        assert!(change(with_set(1, 9, TokenState::Deleted).into()), "the other one still needs it");
        assert!(!change(vec![Effect::Token(other, Some(TokenRecord { restrictions: None, ..record }))]));
        assert!(change(with_set(1, 9, TokenState::Active).into()));
    }

    #[test]
    fn attack_sets_so_large_that_they_do_not_fit_their_shard() {
        let mut image = image(10);
        let at = image.position();
        // All in one shard of 64, going by their first bits.
        let effects = (0..40).flat_map(|number| with_set(number % 4 * 64 + number / 4, 64 * 1024, TokenState::Active));
        let prepared = image.prepare(101, 1, effects.collect()).unwrap();
        image.apply(prepared);
        assert!(image.position().layout.restrictions.get() >= at.layout.restrictions.get());
        let crowd = |number: u8| {
            let mut hash = [0; 32];
            hash[2] = number; // the same 16 bits before it
            Effect::Restrictions(KeyedHash::from_bytes(hash), RestrictionsRecord { text: "x".repeat(64 * 1024) })
        };
        let before = image.position();
        let refused = image.prepare(102, 1, (0..40).map(crowd).collect());
        assert!(refused.is_err(), "nobody can choose hashes; if it came to that, the change would be refused");
        assert_eq!(image.position(), before);
        assert!(matches!(image.news(Some(at), None), Some(News::Full { .. } | News::Changes { .. })));
    }
}
