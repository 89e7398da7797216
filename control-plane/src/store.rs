//! The database: users, tokens and their use, settings, audit, backend credentials, proxies, and the head of the feed.
//!
//! SQLite in one file; the queries go through SeaORM so that PostgreSQL can take its place. Times are milliseconds
//! since the epoch. Nothing here is a secret by itself: of a token there is its keyed hash (in standard mode also what is
//! sealed), of a backend credential what is sealed, of the keys nothing.

pub(crate) mod audit;
pub(crate) mod calls;
mod checkpoint;
pub(crate) mod credentials;
pub(crate) mod durable;
pub(crate) mod feed_head;
pub(crate) mod idempotency;
pub(crate) mod inspect;
mod migration;
pub(crate) mod proxies;
pub(crate) mod search;
pub(crate) mod settings;
pub(crate) mod token_usage;
pub(crate) mod tokens;
pub(crate) mod usage_reports;
pub(crate) mod users;

use crate::clock;
use crate::image::{Image, ImageError, Prepared};
use crate::keys::{self, MasterKey};
use durable::Durable;
use futures_util::TryStreamExt as _;
use policy::feed::{SNAPSHOT_FORM, SyncKey};
use policy::{DenyReason, FilterKeys, KeyedHash, Settings, Timestamp, still_stands};
use sea_orm::sea_query::ExprTrait as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbErr,
    EntityTrait as _, QueryFilter as _,
};
use sea_orm_migration::MigratorTrait as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};

/// How long a deleted token is remembered, so that its bearer learns why it fails (U8).
pub(crate) const REMEMBER_DELETED_MS: u64 = 30 * clock::DAY_MS;

/// Connections that read.
const READERS: u32 = 8;

/// Pages that the writer keeps, in KiB with a minus: the upper levels of all indexes of a million tokens.
const WRITERS_CACHE: &str = "-16384";

/// Those that each reader keeps.
const READERS_CACHE: &str = "-2048";

/// The database, and the image of it from which the proxies are told.
pub(crate) struct Store {
    /// To read from.
    pub(crate) db: DatabaseConnection,
    /// The one connection for changes, and whatever else is written: SQLite has one writer at a time anyway, and a
    /// connection behind whose back somebody else writes forgets all pages that it has read.
    pub(crate) writer: DatabaseConnection,
    pub(crate) master: MasterKey,
    pub(crate) sync_key: SyncKey,
    /// Up to which commit the disk has everything.
    pub(crate) durable: Durable,
    image: RwLock<Image>,
    image_trusted: AtomicBool,
    /// Held from the first statement of a change until the image shows it, so that the image is told in commit order.
    pub(crate) changing: Arc<Mutex<()>>,
    /// See [`Self::turn_to_record`].
    recording: Mutex<()>,
    /// Counts up whenever the image changes.
    changed: watch::Sender<u64>,
    /// Where it lies.
    directory: PathBuf,
    /// The database's file, only to be synced: see [`checkpoint`].
    file: Arc<ManuallyDrop<File>>,
    /// Held for as long as this program serves the directory.
    _lock: File,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    #[error("cannot open {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot lock {path}: {source}")]
    Lock { path: PathBuf, source: io::Error },
    #[error(
        "another tokengate serves this data directory (it holds {path}); its proxies would not hear of our changes"
    )]
    InUse { path: PathBuf },
    #[error("the database: {0}")]
    Database(#[from] DbErr),
    #[error(
        "the master key is not the one under which the tokens in this database were hashed; put the right one in place"
    )]
    WrongMasterKey,
    #[error("{0}")]
    Image(#[from] ImageError),
    #[error(transparent)]
    NotDurable(#[from] durable::NotDurable),
}

impl Store {
    /// Opens the database in this directory, brings its schema up to date, and builds the image.
    pub(crate) async fn open(directory: &Path, master: MasterKey) -> Result<Self, OpenError> {
        let lock = lock(&directory.join("lock"))?;
        let file = directory.join(keys::DATABASE);
        let writer = connect(&file, 1, WRITERS_CACHE).await?;
        migration::Migrator::up(&writer, None).await?;
        let db = connect(&file, READERS, READERS_CACHE).await?;
        let head = head_or_new(&writer, &master).await?;
        // What the last run committed and did not sync is served from now on, so it must be on the disk: a complete
        // checkpoint ends with a sync of the database's file.
        writer.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        // Never closed: with any descriptor of a file, a process gives up all its locks on it, SQLite's included
        // (https://www.sqlite.org/howtocorrupt.html, 2.2).
        let opened = File::open(&file).map(ManuallyDrop::new);
        let opened = opened.map_err(|source| OpenError::File { path: file.clone(), source })?;
        let durable = Durable::of(&file);
        durable.committed();
        durable.settle().await?; // and should somebody else have kept the checkpoint from completing, the log's
        if head.hash_key_id != master.hash_key_id() {
            return Err(OpenError::WrongMasterKey);
        }
        let sync_key = master.sync_key()?;
        let image = load_image(&db, &master, &sync_key).await?;
        tracing::info!(tokens = image.tokens(), revision = image.position().revision, "snapshot image built");
        Ok(Self {
            db,
            writer,
            master,
            sync_key,
            durable,
            image: RwLock::new(image),
            image_trusted: AtomicBool::new(true),
            directory: directory.to_owned(),
            file: Arc::new(opened),
            _lock: lock,
            changing: Arc::default(),
            recording: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// The directory of the database: for what must be on the same disk.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks at the image. The closure must not wait for anything.
    pub(crate) fn with_image<T>(&self, look: impl FnOnce(&Image) -> T) -> T {
        look(&self.image.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The settings in force, and the keys.
    pub(crate) fn settings(&self) -> Arc<(Settings, FilterKeys)> {
        self.with_image(Image::settings)
    }

    /// Whether a token, by the rules that need no request, still lets its owner manage: on behalf of another user, if one
    /// is given.
    pub(crate) fn still_stands(
        &self,
        token: &tokens::Model,
        owner: Option<&users::Model>,
        on_behalf_of: Option<&users::Model>,
        now: Timestamp,
    ) -> Result<(), DenyReason> {
        let user = on_behalf_of.map(|user| users::record(user, None));
        still_stands(&tokens::record(token, owner, &self.master), user.as_ref(), &self.settings().0, now)
    }

    /// Shows a committed change in the image and wakes the proxies that wait for one.
    pub(crate) fn publish(&self, prepared: Prepared) {
        self.image_mut().apply(prepared);
        self.changed.send_modify(|count| *count += 1);
    }

    /// From now until a [`Self::reload`], nothing is said from the image: a proxy must not be told that it is current
    /// when a revocation may be missing.
    pub(crate) fn distrust_image(&self) {
        self.image_trusted.store(false, Ordering::SeqCst);
    }

    /// Whether the image shows what the database has.
    pub(crate) fn image_is_trusted(&self) -> bool {
        self.image_trusted.load(Ordering::SeqCst)
    }

    /// Builds the image anew from the database: for when nobody knows whether a commit took place. To be called with
    /// [`Self::changing`] held, so that no change comes in between.
    pub(crate) async fn reload(&self) -> Result<(), OpenError> {
        let image = load_image(&self.db, &self.master, &self.sync_key).await?;
        *self.image_mut() = image;
        self.image_trusted.store(true, Ordering::SeqCst);
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Builds the image anew whenever it is distrusted; never returns.
    pub(crate) async fn keep_image_trusted(&self) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            if !self.image_is_trusted() {
                let _changing = self.changing.lock().await;
                match self.reload().await {
                    Ok(()) => tracing::info!("the snapshot image shows the database again"),
                    Err(error) => tracing::error!(%error, "the snapshot image cannot be built"),
                }
            }
        }
    }

    fn image_mut(&self) -> std::sync::RwLockWriteGuard<'_, Image> {
        self.image.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits for its turn to write usage, among the changes: the database has one writer at a time. Those that record wait
    /// for each other first, so that a change waits for one of them at most.
    pub(crate) async fn turn_to_record(&self) -> (MutexGuard<'_, ()>, MutexGuard<'_, ()>) {
        (self.recording.lock().await, self.changing.lock().await)
    }

    /// Closes the database: what is in the log beside it goes into it, unless somebody still reads.
    pub(crate) async fn close(&self) -> Result<(), DbErr> {
        self.db.clone().close().await?;
        self.writer.clone().close().await
    }

    /// Tells when the image changes.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// One program a directory: two would each tell its own proxies of its own changes alone.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Lock { path: path.to_owned(), source };
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

async fn connect(file: &Path, connections: u32, cache: &'static str) -> Result<DatabaseConnection, DbErr> {
    let file = file.to_owned();
    connect_with(connections, move |options| {
        // A commit does not wait for the disk. Whoever answers does, for many commits at once ([`durable`]): every change
        // that was answered is on the disk, and a revocation survives a power cut.
        options
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("wal_autocheckpoint", checkpoint::PAGES_AT_MOST)
            .pragma("cache_size", cache)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            // What is taken out of a page is not left lying in it: copies of tokens above all.
            .pragma("secure_delete", "FAST")
    })
    .await
}

async fn connect_with(
    connections: u32,
    named: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new("sqlite://tokengate.db");
    // The file is named by the closure, where no `?` is special.
    options.max_connections(connections).connect_timeout(Duration::from_secs(10)).sqlx_logging(false);
    // There is no network on which a connection could get lost, and asking costs as much as a statement.
    options.test_before_acquire(false);
    // They stay: when the last one closes, SQLite copies the whole log into the database and deletes it.
    options.idle_timeout(None).max_lifetime(None);
    options.map_sqlx_sqlite_opts(named);
    Database::connect(options).await
}

async fn head_or_new(db: &DatabaseConnection, master: &MasterKey) -> Result<feed_head::Model, OpenError> {
    if let Some(head) = feed_head::Entity::find_by_id(feed_head::ID).one(db).await? {
        return Ok(head);
    }
    let head = feed_head::ActiveModel {
        id: Set(feed_head::ID),
        epoch: Set(random_number()?),
        revision: Set(0),
        tag: Set(random_number()?),
        hash_key_id: Set(master.hash_key_id()),
        standard_mode: Set(false),
    };
    Ok(feed_head::Entity::insert(head).exec_with_returning(db).await?)
}

/// The first text behind all that begin so, in the order of code points, which is that of bytes in UTF-8; `None`: there is
/// none.
pub(crate) fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The range leaves out what is no character.
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// A random number in the form in which the database keeps it.
pub(crate) fn random_number() -> Result<i64, keys::KeyError> {
    keys::random().map(|bytes| i64::from_le_bytes(*bytes)).map_err(keys::KeyError::Randomness)
}

async fn load_image(db: &DatabaseConnection, master: &MasterKey, sync_key: &SyncKey) -> Result<Image, OpenError> {
    let head = feed_head::Entity::find_by_id(feed_head::ID)
        .one(db)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the head of the feed".into()))?;
    let settings = settings::image(db, settings::in_force(db).await?, master, sync_key).await?;
    let users: HashMap<i64, users::Model> =
        users::Entity::find().all(db).await?.into_iter().map(|user| (user.id, user)).collect();
    let mut credentials: HashMap<i64, Vec<u8>> =
        credentials::Entity::find().all(db).await?.into_iter().map(|row| (row.user_id, row.sealed)).collect();
    let mut user_records = Vec::new();
    for user in users.values().filter(|user| user.name_folded.is_some()) {
        let record = users::record(user, credentials.remove(&user.id));
        user_records.extend(users::hashes(user, &settings.opened.1).into_iter().map(|hash| (hash, record.clone())));
    }
    let remembered_since = tokens::stored(clock::ago(REMEMBER_DELETED_MS));
    let (mut token_records, mut restrictions) = (Vec::new(), HashMap::new());
    // In one pass, a row at a time: of a million tokens only what the proxies are to know is kept.
    let mut rows = tokens::Entity::find()
        .filter(tokens::Column::DeletedAt.is_null().or(tokens::Column::DeletedAt.gt(remembered_since)))
        .stream(db)
        .await?;
    while let Some(token) = rows.try_next().await? {
        let owner = token.owner_id.and_then(|owner| users.get(&owner));
        if let Ok(hash) = token.hash.as_slice().try_into() {
            let record = tokens::record(&token, owner, master);
            restrictions.extend(tokens::restrictions(&token, &record));
            token_records.push((KeyedHash::from_bytes(hash), record));
        }
    }
    drop(rows);
    let (revision, tag) = (head.revision.cast_unsigned(), head.tag.cast_unsigned());
    Ok(Image::build(
        epoch(&head),
        revision,
        tag,
        settings,
        token_records,
        user_records,
        restrictions.into_iter().collect(),
    )?)
}

/// The name of the history that the proxies are told: the database's, under one key of the hashes and in one form of the
/// snapshot. With another key or form the same revision is another snapshot, and everyone gets everything anew. The release
/// is not part of it ([`SNAPSHOT_FORM`] says why).
fn epoch(head: &feed_head::Model) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(head.epoch.to_le_bytes());
    hasher.update(head.hash_key_id.to_le_bytes());
    hasher.update(SNAPSHOT_FORM);
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hasher.finalize().into();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{RestrictionsRecord, Shard};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_same_rows_make_the_snapshot_of_this_form() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("master.key");
        std::fs::write(&key, format!("{}\n", "5c".repeat(32))).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let master = MasterKey::load_or_create(&key).unwrap();
        let keys = master.filter_keys(&Settings::default(), None);

        let user = users::Model {
            id: 1,
            name: "Alice".into(),
            name_folded: Some("alice".into()),
            email: Some("alice@example.org".into()),
            email_folded: Some("alice@example.org".into()),
            sysadmin: true,
            suspended: false,
            created_at: 1,
            password_hash: None,
        };
        let token = tokens::Model {
            id: 1,
            public_id: "id".into(),
            hash: vec![1; 32],
            label: "label".into(),
            owner_id: Some(1),
            created_at: 1,
            valid_from: Some(2),
            expires_at: Some(3),
            deleted_at: None,
            read_only: true,
            imported: false,
            ip_ranges: Some(r#"["10.0.0.0/8"]"#.into()),
            restrictions: Some(".*".into()),
            recoverable: None,
        };
        let suspended = users::Model { suspended: true, ..user.clone() };
        let gone = users::Model { name_folded: None, ..user.clone() };
        let rows = [
            (token.clone(), Some(&user)),
            (token.clone(), Some(&suspended)),
            (token.clone(), Some(&gone)),
            (token.clone(), None),
            (tokens::Model { owner_id: None, read_only: false, ..token.clone() }, None),
            (tokens::Model { deleted_at: Some(5), ..token.clone() }, Some(&user)),
            (tokens::Model { ip_ranges: Some("?".into()), imported: true, ..token.clone() }, Some(&user)),
            (
                tokens::Model { ip_ranges: None, restrictions: None, valid_from: None, expires_at: None, ..token },
                Some(&user),
            ),
        ];
        let records: Vec<_> = rows.iter().map(|(token, owner)| tokens::record(token, *owner, &master)).collect();
        let numbered = (0u8..).map(|number| KeyedHash::from_bytes([number; 32]));
        let sets: Vec<(KeyedHash, RestrictionsRecord)> =
            rows.iter().zip(&records).filter_map(|((token, _), record)| tokens::restrictions(token, record)).collect();
        let users: Vec<_> = [&user, &suspended]
            .into_iter()
            .flat_map(|user| {
                users::hashes(user, &keys).into_iter().map(|hash| (hash, users::record(user, Some(vec![7]))))
            })
            .collect();
        let tokens: Vec<_> = numbered.zip(records).collect();
        let shards = [
            Shard::encode(tokens.iter().map(|(hash, record)| (hash, record))).unwrap(),
            Shard::encode(users.iter().map(|(hash, record)| (hash, record))).unwrap(),
            Shard::encode(sets.iter().map(|(hash, record)| (hash, record))).unwrap(),
        ];
        let digest: [u8; 32] = Sha256::digest(shards.concat()).into();
        assert_eq!(
            (SNAPSHOT_FORM, keys::hex(&digest).to_string().as_str()),
            ("0.1.0", "bc96fe90a8c91c094df511e2b946c31f9d2b75105c6999182ea837eff9211a4c"),
            "if the rows of a database now make another snapshot, SNAPSHOT_FORM must change with it"
        );
    }
}
