//! What proxy and control plane say to each other, each authenticated: questions for what is new, and reports of usage.
//!
//! ```text
//! proxy                                                             control plane
//!   GET /feed/v1  x-tokengate-ask: base64(Ask)  x-tokengate-mac: base64(HMAC of method, path and Ask)
//!   ───────────────────────────────────────────────────────────────▶  held until there is something newer, or 5 s
//!   ◀───────────────────────────────────────────────────────────────  200, body: HMAC (32 bytes) ‖ Answer
//!
//!   POST /feed/v1/usage  body: HMAC (32 bytes) ‖ Report
//!   ───────────────────────────────────────────────────────────────▶  taken in, once
//!   ◀───────────────────────────────────────────────────────────────  200, body: HMAC (32 bytes) ‖ Receipt
//! ```
//!
//! All of it is postcard behind one byte of version, and the HMAC is over exactly the bytes that are then read: there is
//! no second form that two parsers could read differently. Each direction has a key of its own, both derived from the
//! sync key, and each of the four kinds begins its HMAC with its own name. An answer repeats the question's nonce and
//! instance, so an old answer, or another proxy's, is worth nothing. Whatever fails to open is discarded, and nothing
//! in it has been looked at.
//!
//! # What a release may change
//!
//! Control plane and filter may be one release apart, in either direction. A filter that cannot read an item of an answer
//! discards the answer: it stays at its snapshot, misses revocations, and refuses everything after `max_snapshot_age`.
//! So:
//!
//! - **Forms only grow at their end; a reader ignores what follows what it knows**, and does without what an older writer
//!   does not send. That holds for [`Ask`], [`Report`], [`Receipt`], [`News`], the settings document and the keys sealed
//!   in it, and each record of a shard.
//! - **What stands inside another form cannot grow**: [`Position`], [`Cursor`], [`Item`], `Owner`, a shard, an entry of
//!   usage. **Nor can an enum get a variant**: the older side cannot read it, wherever it stands.
//! - A change that is not possible in this way gives the older side something that it reads and that is safest there:
//!   - in the settings, another value in the part of 0.1.0, the real one in the extension (`settings/wire.rs`);
//!   - in a record, such as another kind of `TokenState`: `Deleted` in the old place, the real one at the end (a proxy that
//!     cannot read a record refuses its token with 503, and asks for everything once a minute);
//!     the same becomes of a restricted token whose lines an older filter cannot parse: lines that it knew stay valid, and
//!     a new kind of line has effect only where every filter knows it;
//!   - in usage, batches of their own for a new kind of [`crate::usage::Entry`]: a control plane that cannot read a batch
//!     leaves that batch out, and no other.
//! - What is left needs a new version, the first byte of each message. That of an [`Ask`] says what the proxy reads: the
//!   control plane answers each proxy in the version in which it asked, and is upgraded before the proxies.
//! - Codes, outcomes, names and versions are texts, and any text is taken in.
//! - If the same rows make another snapshot, [`SNAPSHOT_FORM`] changes.
//!
//! `tests/golden/0.1.0.txt` holds each form as 0.1.0 wrote it; `tests/releases/` the filter of the last release, which the
//! end-to-end tests run against the control plane of this one.

use crate::hash::{hmac_sha256, hmac_sha256_matches};
use crate::shard::SHARD_LEN_MAX;
use crate::{Layout, SealKey, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The path of the feed on the control plane.
pub const PATH: &str = "/feed/v1";

/// The path for reports of usage.
pub const USAGE_PATH: &str = "/feed/v1/usage";

/// The header that carries the [`Ask`], in base64.
pub const ASK_HEADER: &str = "x-tokengate-ask";

/// The header that carries its HMAC, in base64.
pub const MAC_HEADER: &str = "x-tokengate-mac";

/// Bytes of shards that a page holds before the next one begins.
pub const PAGE_LEN: usize = 512 * 1024;

/// Bytes an answer may have: a page, one shard more, and the settings.
pub const ANSWER_LEN_MAX: usize = PAGE_LEN + SHARD_LEN_MAX + crate::settings::SETTINGS_LEN_MAX + 4096;

/// Bytes of usage that a report holds before the next one begins.
pub const REPORT_LEN: usize = 512 * 1024;

/// Bytes of one batch of usage.
pub const BATCH_LEN_MAX: usize = 64 * 1024;

/// Bytes a report may have: what it holds, one batch more, and its head.
pub const REPORT_LEN_MAX: usize = REPORT_LEN + BATCH_LEN_MAX + 8192;

/// Bytes of a proxy's configured name.
pub const NAME_LEN_MAX: usize = 64;

/// How long after it was put in force a position counts as acknowledged, in milliseconds: no worker decides from
/// anything older by then (the filter looks at the head at least every 20).
pub const ACKNOWLEDGED_AFTER_MS: u64 = 40;

/// For how long the control plane holds a question to which there is nothing new to answer, in milliseconds. The age of
/// a snapshot counts from the last question that was answered, so a short limit on it means that proxies must ask more
/// often.
pub fn hold_ms(max_snapshot_age_ms: Option<u64>) -> u64 {
    const HOLD_MS: u64 = 5000;
    max_snapshot_age_ms.map_or(HOLD_MS, |age| HOLD_MS.min(age / 4))
}

/// How much longer a proxy waits for the answer before it counts as lost, in milliseconds: a connection may die without
/// a word.
pub const PATIENCE_MS: u64 = 2000;

/// How far the clocks of proxy and control plane may differ, in milliseconds: generous, since the time in a question
/// only keeps recorded questions from being played again for ever.
pub const CLOCK_DIFFERENCE_MAX_MS: u64 = 15 * 60 * 1000;

/// Versions 1 and 2 knew less; they were never released.
const VERSION: u8 = 3;
const MAC_LEN: usize = 32;

/// Names the form in which the rows of the database become a snapshot, by the release that brought it. Every epoch
/// includes it: when it changes, every proxy gets everything anew.
///
/// It changes when the same rows are encoded otherwise or make other records, and only then. The release is no part of the
/// epoch: two control planes of different releases that serve one database would tell two histories, and a proxy that asks
/// them in turn would get everything each time.
pub const SNAPSHOT_FORM: &str = "0.1.0";

/// The secret that proxy and control plane share.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SyncKey([u8; 32]);

/// Why a text is no sync key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncKeyError;

impl fmt::Display for SyncKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("the sync key must have 32 to 512 printable ASCII characters (`tokengate sync-key` prints one)")
    }
}

impl core::error::Error for SyncKeyError {}

impl fmt::Debug for SyncKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SyncKey(…)")
    }
}

impl SyncKey {
    /// From the text of `TOKENGATE_SYNC_KEY`; white space around it is ignored, since files end with a newline.
    pub fn parse(text: &str) -> Result<Self, SyncKeyError> {
        let text = text.trim();
        if (32..=512).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Sha256::digest(text.as_bytes()).into()))
        } else {
            Err(SyncKeyError)
        }
    }

    /// The key under which keys are sealed in the settings.
    pub fn seal_key(&self) -> SealKey {
        SealKey::new(*self.derive(b"tokengate v1: sealed keys"))
    }

    fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hmac_sha256(&self.0, &[purpose]))
    }

    fn ask_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"tokengate v1: feed, proxy to control plane")
    }

    fn answer_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive(b"tokengate v1: feed, control plane to proxy")
    }

    /// Names the key without telling it, so that both sides can say in a log that they have different ones.
    pub fn id(&self) -> u32 {
        let [a, b, c, d, ..] = *self.derive(b"tokengate v1: key id");
        u32::from_be_bytes([a, b, c, d])
    }
}

/// A point in the history of a database, and the number of shards in which it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Names the history: another database, or another key of the hashes, has another epoch.
    pub epoch: u64,
    /// Counts its changes.
    pub revision: u64,
    /// Random with every revision, so that a database restored from a backup, which counts the same numbers again, is
    /// not taken for the one that was lost.
    pub tag: u64,
    /// The number of shards of each kind.
    pub layout: Layout,
}

/// What a proxy asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Which sync key ([`SyncKey::id`]).
    pub key_id: u32,
    /// The proxy process: random, the same for all its workers.
    pub instance: [u8; 16],
    /// The name that its configuration gives it.
    pub name: String,
    /// The time at the proxy.
    pub sent_at: Timestamp,
    /// Random, never used twice; the answer repeats it.
    pub nonce: [u8; 16],
    /// Counts the questions of this proxy process, so that a recorded one is known when it is played again.
    pub number: u64,
    /// What is in force there.
    pub at: Option<Position>,
    /// For how long it has been, in milliseconds: what [`ACKNOWLEDGED_AFTER_MS`] counts from.
    pub in_force_ms: u64,
    /// How long ago that was last known to be current, in milliseconds.
    pub age_ms: u64,
    /// The page of a full sync that is wanted next; `None`: changes since `at`, or everything, by `all`.
    pub cursor: Option<Cursor>,
    /// What is in force cannot be built upon: everything is wanted anew.
    pub all: bool,
    /// For how long the proxy goes on deciding if it hears nothing, in milliseconds; `None`: for ever.
    pub trusts_ms: Option<u64>,
    /// Pages that are missing in what is in force, since no VM survived them.
    pub left_out: u16,
    /// How many workers it has.
    pub workers: u16,
    /// The version of the filter.
    pub version: String,
}

/// What a proxy reports of the calls that it judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<'a> {
    /// Which sync key ([`SyncKey::id`]).
    pub key_id: u32,
    /// The proxy process.
    pub instance: [u8; 16],
    /// Its name.
    #[serde(borrow)]
    pub name: &'a str,
    /// The time at the proxy.
    pub sent_at: Timestamp,
    /// Random, never used twice.
    pub nonce: [u8; 16],
    /// The number of the first batch; the others follow it. Each number is one batch for ever, whatever VM brings it.
    pub first: u64,
    /// Batches ([`crate::usage::entries`]).
    #[serde(borrow)]
    pub batches: Vec<&'a [u8]>,
}

/// What the control plane answers to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The report's.
    pub nonce: [u8; 16],
    /// The report's.
    pub instance: [u8; 16],
    /// All batches before this number are taken in, and need not come again.
    pub taken: u64,
}

/// Where a full sync stands. The control plane makes it; the proxy only brings it back.
///
/// First come the shards in order: tokens, users, restrictions. Then comes what changed while they went out,
/// and the settings, on pages whose `shard` is not below the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Up to here everything is on the pages before, but for the shards that are yet to come.
    pub from: Position,
    /// The first shard of the page; beyond the last shard: how many values of the change after `from` are on the pages
    /// before, counted from the number of shards.
    pub shard: u32,
}

impl Cursor {
    /// Whether the page holds shards in order, and not what changed meanwhile.
    pub fn in_shards(&self) -> bool {
        self.shard < self.from.layout.shards()
    }
}

/// What the control plane answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The question's.
    pub nonce: [u8; 16],
    /// The question's.
    pub instance: [u8; 16],
    /// The time at the control plane.
    pub server_time: Timestamp,
    /// What it is.
    pub news: News<'a>,
}

/// The content of an answer. Values come last, so that the rest can be read without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News<'a> {
    /// Nothing newer than the question's `at`.
    Nothing,
    /// The question is authentic, but of another time: the clocks differ by more than [`CLOCK_DIFFERENCE_MAX_MS`].
    ClockDiffers,
    /// All that changed since the question's `at`, whole.
    Changes {
        /// The position after them.
        to: Position,
        /// The changed values.
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    },
    /// One page of everything; [`Cursor`] says what is on which.
    Full {
        /// Where this page begins.
        page: Cursor,
        /// The position that holds once the last page is in.
        to: Position,
        /// The next page; `None`: this was the last.
        next: Option<Cursor>,
        /// The values of this page.
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    },
}

/// One value of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Which.
    pub key: ItemKey,
    /// The revision that last changed it.
    pub revision: u64,
    /// Its encoded form.
    #[serde(borrow)]
    pub bytes: &'a [u8],
}

/// Names a value of the snapshot. In this order the values of a change are written: what a token needs before the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ItemKey {
    /// The shard of sets of restrictions with this number.
    Restrictions(u32),
    /// The shard of users with this number.
    Users(u32),
    /// The shard of tokens with this number.
    Tokens(u32),
    /// The settings document.
    Settings,
}

impl Layout {
    /// The shard with this number, counted through all kinds.
    pub fn shard(self, number: u32) -> Option<ItemKey> {
        let Some(user) = number.checked_sub(self.tokens.get()) else {
            return Some(ItemKey::Tokens(number));
        };
        let Some(restrictions) = user.checked_sub(self.users.get()) else {
            return Some(ItemKey::Users(user));
        };
        (restrictions < self.restrictions.get()).then_some(ItemKey::Restrictions(restrictions))
    }

    /// Whether there is this value in a snapshot.
    pub fn has(self, key: ItemKey) -> bool {
        match key {
            ItemKey::Settings => true,
            ItemKey::Tokens(number) => number < self.tokens.get(),
            ItemKey::Users(number) => number < self.users.get(),
            ItemKey::Restrictions(number) => number < self.restrictions.get(),
        }
    }
}

impl Ask {
    /// Whether the proxy soon refuses, or does so already, for want of an answer: then it is not kept waiting for one.
    pub fn is_pressing(&self) -> bool {
        self.trusts_ms.is_some_and(|trusts| self.age_ms > trusts / 2)
    }

    /// The question and its HMAC, as bytes for the two headers.
    pub fn seal(&self, key: &SyncKey) -> Option<(Vec<u8>, [u8; MAC_LEN])> {
        let bytes = postcard::to_extend(self, alloc::vec![VERSION]).ok()?;
        let mac = hmac_sha256(&key.ask_key(), &[ASK_CONTEXT, &bytes]);
        Some((bytes, mac))
    }

    /// Opens a question: `None` for anything that was not sealed with this key.
    pub fn open(bytes: &[u8], mac: &[u8], key: &SyncKey) -> Option<Self> {
        if !hmac_sha256_matches(&key.ask_key(), &[ASK_CONTEXT, bytes], mac) {
            return None;
        }
        let ask: Self = postcard::from_bytes(of_this_version(bytes)?).ok()?;
        (ask.name.len() <= NAME_LEN_MAX && ask.version.len() <= NAME_LEN_MAX).then_some(ask)
    }
}

/// The id of the key that a question or report (without its HMAC) claims to be sealed with. Believe nothing else of it:
/// this is for the log.
pub fn claimed_key_id(bytes: &[u8]) -> Option<u32> {
    postcard::take_from_bytes(of_this_version(bytes)?).ok().map(|(key_id, _)| key_id)
}

fn of_this_version(bytes: &[u8]) -> Option<&[u8]> {
    let (version, rest) = bytes.split_first()?;
    (*version == VERSION).then_some(rest)
}

// What an HMAC begins with. Method and path belong to what is authenticated.
const ASK_CONTEXT: &[u8] = b"GET /feed/v1\n";
const ANSWER_CONTEXT: &[u8] = b"answer to GET /feed/v1\n";
const REPORT_CONTEXT: &[u8] = b"POST /feed/v1/usage\n";
const RECEIPT_CONTEXT: &[u8] = b"answer to POST /feed/v1/usage\n";

impl<'a> Report<'a> {
    /// The body of the report.
    pub fn seal(&self, key: &SyncKey) -> Option<Vec<u8>> {
        seal(self, &key.ask_key(), REPORT_CONTEXT)
    }

    /// Opens a report: `None` for anything that was not sealed with this key.
    pub fn open(bytes: &'a [u8], key: &SyncKey) -> Option<Self> {
        let report: Self = open(bytes, &key.ask_key(), REPORT_CONTEXT)?;
        (report.name.len() <= NAME_LEN_MAX).then_some(report)
    }
}

impl Receipt {
    /// The body of the receipt.
    pub fn seal(&self, key: &SyncKey) -> Option<Vec<u8>> {
        seal(self, &key.answer_key(), RECEIPT_CONTEXT)
    }

    /// Opens the receipt for the report with this nonce: `None` for anything else.
    pub fn open(bytes: &[u8], nonce: [u8; 16], instance: [u8; 16], key: &SyncKey) -> Option<Self> {
        let receipt: Self = open(bytes, &key.answer_key(), RECEIPT_CONTEXT)?;
        (receipt.nonce == nonce && receipt.instance == instance).then_some(receipt)
    }
}

fn seal(message: &impl Serialize, key: &[u8; 32], context: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; MAC_LEN];
    bytes.push(VERSION);
    with_mac(postcard::to_extend(message, bytes).ok()?, key, context)
}

fn open<'a, T: Deserialize<'a>>(bytes: &'a [u8], key: &[u8; 32], context: &[u8]) -> Option<T> {
    postcard::from_bytes(of_this_version(authentic(bytes, key, context)?)?).ok()
}

/// Puts the HMAC of what follows it in its place.
fn with_mac(mut bytes: Vec<u8>, key: &[u8; 32], context: &[u8]) -> Option<Vec<u8>> {
    let (mac, message) = bytes.split_at_mut_checked(MAC_LEN)?;
    mac.copy_from_slice(&hmac_sha256(key, &[context, message]));
    Some(bytes)
}

/// What stands behind the HMAC, if that is right.
fn authentic<'a>(bytes: &'a [u8], key: &[u8; 32], context: &[u8]) -> Option<&'a [u8]> {
    let (mac, message) = bytes.split_at_checked(MAC_LEN)?;
    hmac_sha256_matches(key, &[context, message], mac).then_some(message)
}

impl<'a> Answer<'a> {
    /// The body of the answer.
    pub fn seal(&self, key: &SyncKey) -> Option<Vec<u8>> {
        let Self { nonce, instance, server_time, news } = self;
        let mut bytes = alloc::vec![0; MAC_LEN];
        bytes.push(VERSION);
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(instance);
        bytes.extend_from_slice(&server_time.as_millis().to_le_bytes());
        with_mac(postcard::to_extend(news, bytes).ok()?, &key.answer_key(), ANSWER_CONTEXT)
    }

    /// Opens an answer to this question: `None` for anything that was not sealed with this key for this question.
    pub fn open(bytes: &'a [u8], ask: &Ask, key: &SyncKey) -> Option<Self> {
        let (server_time, news) = Self::opened(bytes, ask, key)?;
        let news = postcard::from_bytes(news).ok()?;
        Some(Self { nonce: ask.nonce, instance: ask.instance, server_time, news })
    }

    /// Opens an answer without reading its values, which come last: the news has none.
    pub fn open_without_items(bytes: &'a [u8], ask: &Ask, key: &SyncKey) -> Option<News<'a>> {
        let (_, news) = Self::opened(bytes, ask, key)?;
        let (news, _items) = postcard::take_from_bytes(news).ok()?;
        Some(match news {
            NewsHead::Nothing => News::Nothing,
            NewsHead::ClockDiffers => News::ClockDiffers,
            NewsHead::Changes { to } => News::Changes { to, items: Vec::new() },
            NewsHead::Full { page, to, next } => News::Full { page, to, next, items: Vec::new() },
        })
    }

    fn opened(bytes: &'a [u8], ask: &Ask, key: &SyncKey) -> Option<(Timestamp, &'a [u8])> {
        if bytes.len() > ANSWER_LEN_MAX {
            return None;
        }
        let message = of_this_version(authentic(bytes, &key.answer_key(), ANSWER_CONTEXT)?)?;
        let (nonce, rest) = message.split_first_chunk::<16>()?;
        let (instance, rest) = rest.split_first_chunk::<16>()?;
        let (server_time, news) = rest.split_first_chunk::<8>()?;
        let ours = *nonce == ask.nonce && *instance == ask.instance;
        ours.then_some((Timestamp::from_millis(u64::from_le_bytes(*server_time)), news))
    }
}

/// [`News`] up to its values.
#[derive(Deserialize)]
enum NewsHead {
    Nothing,
    ClockDiffers,
    Changes { to: Position },
    Full { page: Cursor, to: Position, next: Option<Cursor> },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn key(text: &str) -> SyncKey {
        SyncKey::parse(&text.repeat(32)).unwrap()
    }

    fn position() -> Position {
        let shards = crate::ShardCount::from_bits(6).unwrap();
        Position {
            epoch: 1,
            revision: 2,
            tag: 3,
            layout: Layout { tokens: shards, users: shards, restrictions: shards },
        }
    }

    fn ask() -> Ask {
        Ask {
            key_id: key("k").id(),
            instance: [1; 16],
            name: "edge-1".into(),
            sent_at: Timestamp::from_millis(5),
            nonce: [2; 16],
            number: 1,
            at: Some(position()),
            in_force_ms: 0,
            age_ms: 0,
            cursor: None,
            all: false,
            trusts_ms: Some(1000),
            left_out: 0,
            workers: 4,
            version: "1".into(),
        }
    }

    fn answer(items: Vec<Item<'_>>) -> Answer<'_> {
        let news = News::Changes { to: position(), items };
        Answer { nonce: [2; 16], instance: [1; 16], server_time: Timestamp::from_millis(6), news }
    }

    #[test]
    fn a_question_opens_under_its_own_key_only() {
        let (bytes, mac) = ask().seal(&key("k")).unwrap();
        assert_eq!(Ask::open(&bytes, &mac, &key("k")), Some(ask()));
        assert_eq!(Ask::open(&bytes, &mac, &key("x")), None);
        assert_eq!(Ask::open(&bytes[1..], &mac, &key("k")), None);
    }

    #[test]
    fn attack_a_question_is_no_answer() {
        let (bytes, mac) = ask().seal(&key("k")).unwrap();
        let reflected = [mac.as_slice(), &bytes].concat();
        assert_eq!(Answer::open(&reflected, &ask(), &key("k")), None);
    }

    #[test]
    fn attack_an_answer_to_another_question_or_another_proxy() {
        let item = Item { key: ItemKey::Tokens(7), revision: 2, bytes: b"shard" };
        let bytes = answer(vec![item]).seal(&key("k")).unwrap();
        assert_eq!(Answer::open(&bytes, &ask(), &key("k")), Some(answer(vec![item])));
        assert_eq!(Answer::open(&bytes, &Ask { nonce: [9; 16], ..ask() }, &key("k")), None);
        assert_eq!(Answer::open(&bytes, &Ask { instance: [9; 16], ..ask() }, &key("k")), None);
        assert_eq!(Answer::open(&bytes, &ask(), &key("x")), None);
    }

    #[test]
    fn attack_any_changed_bit_of_an_answer_is_noticed() {
        let bytes = answer(vec![]).seal(&key("k")).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(Answer::open(&changed, &ask(), &key("k")), None, "byte {index}");
        }
        assert_eq!(Answer::open(&[], &ask(), &key("k")), None);
    }

    #[test]
    fn an_answer_can_be_read_up_to_its_values() {
        let item = Item { key: ItemKey::Tokens(7), revision: 2, bytes: b"shard" };
        let bytes = answer(vec![item]).seal(&key("k")).unwrap();
        let without = Answer::open_without_items(&bytes, &ask(), &key("k"));
        assert_eq!(without, Some(News::Changes { to: position(), items: vec![] }));
        let page = Cursor { from: position(), shard: 3 };
        let news = |items| News::Full { page, to: position(), next: Some(page), items };
        let bytes = Answer { news: news(vec![item]), ..answer(vec![]) }.seal(&key("k")).unwrap();
        assert_eq!(Answer::open_without_items(&bytes, &ask(), &key("k")), Some(news(vec![])));
        assert_eq!(Answer::open_without_items(&bytes, &ask(), &key("x")), None);
    }

    fn report() -> Report<'static> {
        Report {
            key_id: key("k").id(),
            instance: [1; 16],
            name: "edge-1",
            sent_at: Timestamp::from_millis(5),
            nonce: [2; 16],
            first: 3,
            batches: vec![b"one", b"two"],
        }
    }

    #[test]
    fn a_report_opens_under_its_own_key_only_and_a_receipt_for_its_report_only() {
        let bytes = report().seal(&key("k")).unwrap();
        assert_eq!(Report::open(&bytes, &key("k")), Some(report()));
        assert_eq!(Report::open(&bytes, &key("x")), None);
        let receipt = Receipt { nonce: [2; 16], instance: [1; 16], taken: 5 };
        let bytes = receipt.seal(&key("k")).unwrap();
        assert_eq!(Receipt::open(&bytes, [2; 16], [1; 16], &key("k")), Some(receipt));
        assert_eq!(Receipt::open(&bytes, [3; 16], [1; 16], &key("k")), None);
        assert_eq!(Receipt::open(&bytes, [2; 16], [3; 16], &key("k")), None);
        assert_eq!(Receipt::open(&bytes, [2; 16], [1; 16], &key("x")), None);
    }

    #[test]
    fn attack_one_kind_of_message_is_never_taken_for_another() {
        let (question, mac) = ask().seal(&key("k")).unwrap();
        let question = [mac.as_slice(), &question].concat();
        let report = report().seal(&key("k")).unwrap();
        let receipt = Receipt { nonce: [2; 16], instance: [1; 16], taken: 5 }.seal(&key("k")).unwrap();
        let news = answer(vec![]).seal(&key("k")).unwrap();
        for bytes in [&question, &receipt, &news] {
            assert_eq!(Report::open(bytes, &key("k")), None);
        }
        for bytes in [&question, &report, &news] {
            assert_eq!(Receipt::open(bytes, [2; 16], [1; 16], &key("k")), None);
        }
        for bytes in [&question, &report, &receipt] {
            assert_eq!(Answer::open(bytes, &ask(), &key("k")), None);
        }
        let (mac, rest) = report.split_at(MAC_LEN);
        assert_eq!(Ask::open(rest, mac, &key("k")), None);
    }

    fn pages() -> [(&'static str, News<'static>); 4] {
        let key = [ItemKey::Restrictions(1), ItemKey::Users(2), ItemKey::Tokens(3), ItemKey::Settings];
        let items = || key.map(|key| Item { key, revision: 2, bytes: b"value" }).to_vec();
        let page = Cursor { from: position(), shard: 300 };
        [
            ("answer-nothing", News::Nothing),
            ("answer-clock-differs", News::ClockDiffers),
            ("answer-changes", News::Changes { to: position(), items: items() }),
            ("answer-full", News::Full { page, to: position(), next: Some(page), items: items() }),
        ]
    }

    #[test]
    fn golden_messages_of_0_1_0_are_read_and_written_as_ever() {
        let (key, changed) = (key("k"), "a message changed: it may only grow at its end, with a golden of its own");
        let golden = crate::golden::of_0_1_0("ask");
        let ask = Ask { cursor: Some(Cursor { from: position(), shard: 3 }), ..ask() };
        let (bytes, mac) = ask.seal(&key).unwrap();
        assert_eq!([mac.as_slice(), &bytes].concat(), golden, "{changed}");
        let (mac, bytes) = golden.split_at(MAC_LEN);
        assert_eq!(Ask::open(bytes, mac, &key), Some(ask.clone()));
        for (name, news) in pages() {
            let golden = crate::golden::of_0_1_0(name);
            let answer = Answer { news, ..answer(vec![]) };
            assert_eq!(answer.seal(&key).unwrap(), golden, "{name}: {changed}");
            assert_eq!(Answer::open(&golden, &ask, &key), Some(answer));
        }
        let golden = crate::golden::of_0_1_0("report");
        assert_eq!(report().seal(&key).unwrap(), golden, "{changed}");
        assert_eq!(Report::open(&golden, &key), Some(report()));
        let (golden, receipt) = (crate::golden::of_0_1_0("receipt"), receipt());
        assert_eq!(receipt.seal(&key).unwrap(), golden, "{changed}");
        assert_eq!(Receipt::open(&golden, receipt.nonce, receipt.instance, &key), Some(receipt));
    }

    /// The message with more at its end, sealed by whoever added that.
    fn longer(message: &[u8], key: &[u8; 32], context: &[u8]) -> Vec<u8> {
        with_mac([message, b"more"].concat(), key, context).unwrap()
    }

    #[test]
    fn what_a_later_release_adds_at_the_end_of_a_message_is_ignored() {
        let key = key("k");
        let (ask_key, answer_key) = (key.ask_key(), key.answer_key());
        let (bytes, _) = ask().seal(&key).unwrap();
        let bytes = longer(&[&[0; MAC_LEN], bytes.as_slice()].concat(), &ask_key, ASK_CONTEXT);
        let (mac, bytes) = bytes.split_at(MAC_LEN);
        assert_eq!(Ask::open(bytes, mac, &key), Some(ask()));
        for (name, news) in pages() {
            let answer = Answer { news, ..answer(vec![]) };
            let bytes = longer(&answer.seal(&key).unwrap(), &answer_key, ANSWER_CONTEXT);
            assert_eq!(Answer::open(&bytes, &ask(), &key), Some(answer), "{name}");
            assert!(Answer::open_without_items(&bytes, &ask(), &key).is_some(), "{name}");
        }
        let bytes = longer(&report().seal(&key).unwrap(), &ask_key, REPORT_CONTEXT);
        assert_eq!(Report::open(&bytes, &key), Some(report()));
        let bytes = longer(&receipt().seal(&key).unwrap(), &answer_key, RECEIPT_CONTEXT);
        assert_eq!(Receipt::open(&bytes, [2; 16], [1; 16], &key), Some(receipt()));
    }

    fn receipt() -> Receipt {
        Receipt { nonce: [2; 16], instance: [1; 16], taken: 5 }
    }

    #[test]
    fn a_short_sync_key_is_refused() {
        assert_eq!(SyncKey::parse("secret").unwrap_err(), SyncKeyError);
        assert!(SyncKey::parse(&alloc::format!(" {}\n", "x".repeat(32))).is_ok());
    }
}
