//! The snapshot as the proxies are to have it, in memory: built from the database at start, kept current by changes.
//!
//! Pages and changes are served from here, never from the database. The log holds which values changed in which of the
//! last revisions since the program started; a proxy that stands at a revision which is not in the log gets everything.

use policy::feed::{Cursor, Item, ItemKey, News, PAGE_LEN, Position};
use policy::shard::SHARD_LEN_MAX;
use policy::{Shard, ShardCount, ShardError, TokenHash, TokenRecord};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Revisions that the log holds: a proxy that was away for longer takes everything, which is then no more.
const LOG_LEN_MAX: usize = 10_000;

/// Tokens a shard has on average before there are to be more shards.
const CROWDED: usize = 8;

/// All that the proxies are to know.
pub(crate) struct Image {
    position: Position,
    tokens: usize,
    shards: Vec<ShardImage>,
    settings: Value,
    log: VecDeque<LogEntry>,
}

struct ShardImage {
    tokens: BTreeMap<TokenHash, TokenRecord>,
    value: Value,
}

struct Value {
    revision: u64,
    bytes: Vec<u8>,
}

struct LogEntry {
    revision: u64,
    tag: u64,
    changed: BTreeSet<ItemKey>,
}

/// Why there is no image: there is something that no proxy could read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("the settings cannot be encoded")]
    Settings,
    #[error("{0}")]
    Shard(#[from] ShardError),
}

/// What a committed change changed.
#[derive(Debug)]
pub(crate) struct Effect {
    /// The token.
    pub(crate) hash: TokenHash,
    /// What it is now.
    pub(crate) record: TokenRecord,
}

impl Image {
    /// The image of a database at this point of its history.
    pub(crate) fn build(
        epoch: u64,
        revision: u64,
        tag: u64,
        settings: Option<Vec<u8>>,
        records: impl IntoIterator<Item = (TokenHash, TokenRecord)>,
    ) -> Result<Self, ImageError> {
        let settings = Value { revision, bytes: settings.ok_or(ImageError::Settings)? };
        let records: Vec<_> = records.into_iter().collect();
        let shards = ShardCount::for_tokens(records.len());
        let position = Position { epoch, revision, tag, shards };
        let mut image = Self { position, tokens: 0, shards: Vec::new(), settings, log: VecDeque::new() };
        image.distribute(records)?;
        Ok(image)
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// How many tokens there are, remembered ones included.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Looks a token up, as a proxy would.
    pub(crate) fn find(&self, hash: &TokenHash) -> Option<&TokenRecord> {
        self.shard(hash).and_then(|shard| shard.tokens.get(hash))
    }

    /// Takes a change in.
    pub(crate) fn apply(&mut self, revision: u64, tag: u64, effects: Vec<Effect>) -> Result<(), ImageError> {
        self.position = Position { revision, tag, ..self.position };
        let mut changed = BTreeSet::new();
        for Effect { hash, record } in effects {
            let number = self.position.shards.shard_of(&hash);
            if let Some(shard) = self.shards.get_mut(number as usize) {
                self.tokens += usize::from(shard.tokens.insert(hash, record).is_none());
                changed.insert(number);
            }
        }
        for number in &changed {
            if let Some(shard) = self.shards.get_mut(*number as usize) {
                shard.value = Value { revision, bytes: Shard::encode(&shard.tokens)? };
            }
        }
        let changed = changed.into_iter().map(ItemKey::Tokens).collect();
        self.log.push_back(LogEntry { revision, tag, changed });
        if self.log.len() > LOG_LEN_MAX {
            self.log.pop_front();
        }
        if self.tokens > self.shards.len() * CROWDED {
            let records = std::mem::take(&mut self.shards).into_iter().flat_map(|shard| shard.tokens).collect();
            self.distribute(records)?;
        }
        Ok(())
    }

    /// What to tell a proxy that stands at `at` and wants the page at `cursor`; `None`: nothing that it does not know.
    pub(crate) fn news(&self, at: Option<Position>, cursor: Option<Cursor>) -> Option<News<'_>> {
        if let Some(cursor) = cursor {
            return Some(self.page(cursor));
        }
        match at.and_then(|at| self.changed_since(at)) {
            Some(_) if at == Some(self.position) => None,
            Some(changed) => Some(self.changes(&changed)),
            None => Some(self.page(self.first_page())),
        }
    }

    fn changes(&self, changed: &BTreeSet<ItemKey>) -> News<'_> {
        let items: Vec<_> = changed.iter().filter_map(|key| self.item(*key)).collect();
        if items.iter().map(length_of).sum::<usize>() > PAGE_LEN {
            return self.page(self.first_page());
        }
        News::Changes { to: self.position, items }
    }

    /// A page of everything. Behind the last one's shards stand the settings, and all that changed since the first page
    /// was made: so what the proxy has at the end is one state, whatever changed in between.
    fn page(&self, cursor: Cursor) -> News<'_> {
        let Some(changed) = self.changed_since(cursor.from).filter(|_| cursor.shard < self.position.shards.get())
        else {
            return self.page(self.first_page());
        };
        let (mut items, mut length, mut next) = (Vec::new(), 0, None);
        for number in cursor.shard..self.position.shards.get() {
            let Some(item) = self.item(ItemKey::Tokens(number)) else { break };
            if length + length_of(&item) > PAGE_LEN && !items.is_empty() {
                next = Some(Cursor { shard: number, ..cursor });
                break;
            }
            length += length_of(&item);
            items.push(item);
        }
        if next.is_none() {
            let late: Vec<_> =
                changed.into_iter().chain([ItemKey::Settings]).filter_map(|key| self.item(key)).collect();
            // More changed than an answer can hold beside its page: begin again, at the state of now.
            if cursor.from != self.position && late.iter().map(length_of).sum::<usize>() > SHARD_LEN_MAX {
                return self.page(self.first_page());
            }
            items.extend(late);
        }
        News::Full { page: cursor, to: self.position, next, items }
    }

    fn first_page(&self) -> Cursor {
        Cursor { from: self.position, shard: 0 }
    }

    /// What changed since that position; `None` if it is not in this history, or too long ago.
    fn changed_since(&self, at: Position) -> Option<BTreeSet<ItemKey>> {
        if (at.epoch, at.shards) != (self.position.epoch, self.position.shards) {
            return None;
        }
        let index = self.log.binary_search_by_key(&at.revision, |entry| entry.revision).ok()?;
        let known = self.log.get(index).is_some_and(|entry| entry.tag == at.tag);
        known.then(|| self.log.range(index + 1..).flat_map(|entry| entry.changed.iter().copied()).collect())
    }

    fn item(&self, key: ItemKey) -> Option<Item<'_>> {
        let value = match key {
            ItemKey::Settings => &self.settings,
            ItemKey::Tokens(number) => &self.shards.get(number as usize)?.value,
        };
        Some(Item { key, revision: value.revision, bytes: &value.bytes })
    }

    fn shard(&self, hash: &TokenHash) -> Option<&ShardImage> {
        self.shards.get(self.position.shards.shard_of(hash) as usize)
    }

    /// Spreads tokens over as many shards as they need, and begins the log anew.
    fn distribute(&mut self, records: Vec<(TokenHash, TokenRecord)>) -> Result<(), ImageError> {
        let count = ShardCount::for_tokens(records.len());
        let revision = self.position.revision;
        let mut shards: Vec<BTreeMap<_, _>> = (0..count.get()).map(|_| BTreeMap::new()).collect();
        self.tokens = records.len();
        for (hash, record) in records {
            if let Some(shard) = shards.get_mut(count.shard_of(&hash) as usize) {
                shard.insert(hash, record);
            }
        }
        self.shards = shards
            .into_iter()
            .map(|tokens| {
                let value = Value { revision, bytes: Shard::encode(&tokens)? };
                Ok(ShardImage { tokens, value })
            })
            .collect::<Result<_, ShardError>>()?;
        self.position.shards = count;
        self.log = VecDeque::from([LogEntry { revision, tag: self.position.tag, changed: BTreeSet::new() }]);
        Ok(())
    }
}

/// Bytes that an item takes in an answer: its own, and at most 16 for number, revision and length.
fn length_of(item: &Item<'_>) -> usize {
    item.bytes.len() + 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Owner, Timestamp, TokenState};

    fn token(number: u32) -> (TokenHash, TokenRecord) {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        let record = TokenRecord {
            id: format!("id-{number}"),
            owner: Owner { name: "alice".into(), email: None },
            created_at: Timestamp::from_millis(0),
            valid_from: None,
            expires_at: None,
            state: TokenState::Active,
        };
        (TokenHash::from_bytes(hash), record)
    }

    fn image(tokens: u32) -> Image {
        Image::build(1, 100, 7, Some(vec![1]), (0..tokens).map(token)).unwrap()
    }

    fn change(image: &mut Image, number: u32) {
        let revision = image.position().revision + 1;
        let (hash, record) = token(number);
        image.apply(revision, revision * 10, vec![Effect { hash, record }]).unwrap();
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

    #[test]
    fn pages_hold_every_shard_once_and_end_with_what_changed_meanwhile() {
        let mut image = image(20_000);
        let (mut cursor, mut seen, mut pages) = (None, Vec::new(), 0);
        let last = loop {
            let Some(News::Full { next, items, .. }) = image.news(None, cursor) else { panic!() };
            seen.extend(items.iter().map(|item| item.key));
            pages += 1;
            match next {
                Some(next) => cursor = Some(next),
                None => break items.last().unwrap().key,
            }
            change(&mut image, 3);
        };
        let shards = image.position().shards;
        let in_order: Vec<_> = (0..shards.get()).map(ItemKey::Tokens).collect();
        let changed = ItemKey::Tokens(shards.shard_of(&token(3).0));
        assert!(pages > 2, "{pages} pages");
        assert_eq!(seen[..in_order.len()], in_order);
        assert_eq!(seen[in_order.len()..], [changed, ItemKey::Settings]);
        assert_eq!(last, ItemKey::Settings);
    }

    #[test]
    fn more_tokens_get_more_shards_and_everyone_gets_them_all() {
        let mut image = image(0);
        let at = image.position();
        for number in 0..2000 {
            change(&mut image, number);
        }
        assert!(image.position().shards.get() > at.shards.get());
        assert!(matches!(image.news(Some(at), None), Some(News::Full { .. })));
        assert!((0..2000).all(|number| image.find(&token(number).0).is_some()));
    }
}
