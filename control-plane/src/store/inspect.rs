//! Looks at a database and changes nothing, for `tokengate doctor`: not its schema, and not even a file beside it.

use super::migration::Migrator;
use super::{connect_with, feed_head};
use crate::keys;
use futures_util::TryStreamExt as _;
use policy::restrictions::Set;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, EntityTrait as _, Statement, StreamTrait as _};
use sea_orm_migration::MigratorTrait as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// What is broken in it; none: nothing.
    pub(crate) broken: Vec<String>,
    /// Steps of the schema that it does not have yet.
    pub(crate) missing_steps: Vec<String>,
    /// Steps of the schema that this program does not know.
    pub(crate) unknown_steps: Vec<String>,
    /// Under which key its tokens are hashed.
    pub(crate) hash_key_id: Option<i64>,
    /// Tokens whose restrictions a proxy cannot judge whole: some of those that share them, by their ids.
    pub(crate) too_costly: Vec<String>,
}

/// Looks at the database in this file, which somebody else may be serving.
pub(crate) async fn inspect(file: &Path, is_served: bool) -> Result<Found, DbErr> {
    if is_served {
        return look(file, false).await;
    }
    // Where nobody serves it, SQLite must not even be the one to close it: it would make files beside it, which may then
    // be another user's, or take away a log that it cannot read. So it is told that the file does not change; and if a
    // log was left, by a program that was killed, it looks at copies.
    let log = file.with_extension("db-wal");
    if fs::metadata(&log).map_or(true, |log| log.len() == 0) {
        return look(file, true).await;
    }
    let failed = |error: io::Error| DbErr::Custom(format!("it cannot be copied to look at it: {error}"));
    let copies = Copies::of(&[file, &log]).map_err(failed)?;
    look(&copies.0.join(file.file_name().unwrap_or_default()), false).await
}

/// Copies of files that vanish again.
struct Copies(PathBuf);

impl Copies {
    fn of(files: &[&Path]) -> io::Result<Self> {
        let unique = keys::random::<8>().map_err(io::Error::other)?;
        let directory = std::env::temp_dir().join(format!("tokengate-doctor-{}", *keys::hex(&*unique)));
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let copies = Self(directory);
        for file in files {
            fs::copy(file, copies.0.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(copies)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn look(file: &Path, never_changes: bool) -> Result<Found, DbErr> {
    let path = file.to_owned();
    let read_only = move |options: SqliteConnectOptions| {
        options.filename(&path).create_if_missing(false).read_only(true).immutable(never_changes)
    };
    let db = connect_with(1, read_only).await?;
    let broken = texts(&db, "PRAGMA quick_check(10)").await?;
    let applied = texts(&db, "SELECT version FROM seaql_migrations ORDER BY version").await?;
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let missing = |from: &[String], of: &[String]| -> Vec<String> {
        from.iter().filter(|step| !of.contains(step)).cloned().collect()
    };
    let head = feed_head::Entity::find_by_id(feed_head::ID).one(&db).await?;
    // A schema that lacks steps may have no such columns.
    let too_costly = match missing(&known, &applied).is_empty() {
        true => too_costly(&db).await?,
        false => Vec::new(),
    };
    db.close().await?;
    Ok(Found {
        too_costly,
        broken: broken.into_iter().filter(|line| line != "ok").collect(),
        missing_steps: missing(&known, &applied),
        unknown_steps: missing(&applied, &known),
        hash_key_id: head.map(|head| head.hash_key_id),
    })
}

/// Each set of restrictions is looked at once, however many tokens share it.
async fn too_costly(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    const QUERY: &str = "SELECT restrictions, MIN(public_id) FROM tokens \
                         WHERE restrictions IS NOT NULL AND deleted_at IS NULL GROUP BY restrictions";
    let mut rows = db.stream_raw(Statement::from_string(db.get_database_backend(), QUERY)).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let (text, token): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if Set::saved(&text).is_some_and(|set| set.is_too_costly()) {
            found.push(token);
        }
    }
    Ok(found)
}

async fn texts(db: &DatabaseConnection, query: &str) -> Result<Vec<String>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), query)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Whether somebody serves this directory. The lock is held for a moment only, and shared, since a `serve` that starts in
/// this very moment would take us for another one.
pub(crate) fn is_served(lock: &Path) -> io::Result<bool> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
