//! Bringing the write-ahead log into the database's file, beside the changes instead of within one of them.
//!
//! By itself SQLite does this in the commit that makes the log too long, every 1000 pages: that change, and all that wait
//! for its turn, wait for two syncs. And with so short a log, a page that is written a hundred times a second (the end of
//! a table, the indexes of tokens in use) goes into the file as often.
//!
//! So the log may grow longer, and is emptied here: passes without any lock, while changes go on, until little is left,
//! and a last one in the turn of a change, since the log can only begin anew when nothing was added behind the
//! checkpoint (<https://www.sqlite.org/wal.html#ckpt>). Someone who reads for long keeps the log from being emptied beyond
//! what they see; then it is tried again later.

use super::Store;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement};
use std::time::Duration;

/// How often it is looked how long the log is.
const EVERY: Duration = Duration::from_millis(500);

/// Pages of 4 KiB in the log from which on it is emptied: 16 MiB.
const PAGES: i64 = 4096;

/// As many may be left for the pass in the turn of a change: a few milliseconds.
const PAGES_LEFT: i64 = 512;

/// Passes without the lock: each has only to do what came during the one before.
const PASSES: usize = 4;

/// At which length SQLite does it by itself all the same, pages.
pub(super) const PAGES_AT_MOST: &str = "65536";

/// What is in the log, and how much of that is in the database's file, too.
#[derive(Clone, Copy, Debug)]
struct Log {
    pages: i64,
    copied: i64,
}

impl Log {
    fn left(self) -> i64 {
        self.pages - self.copied
    }
}

impl Store {
    /// Empties the log whenever it is long; never returns.
    pub(crate) async fn keep_log_short(&self) {
        let mut times = tokio::time::interval(EVERY);
        times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            if let Err(error) = self.shorten_log().await {
                tracing::error!(%error, "the database's log could not be brought into its file");
                if is_of_the_disk(&error) {
                    // What the file could not take was perhaps dropped, and the next checkpoint would not hear of it.
                    self.durable.break_now();
                }
            }
        }
    }

    async fn shorten_log(&self) -> Result<(), DbErr> {
        let mut log = checkpoint(&self.db, "NOOP").await?;
        if log.left() < PAGES {
            return Ok(());
        }
        for _ in 0..PASSES {
            checkpoint(&self.db, "PASSIVE").await?;
            // A pass behind which something was added leaves its pages to be synced by the last one: not while changes
            // wait.
            let file = self.file.clone();
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            if !matches!(synced, Ok(Ok(()))) {
                tracing::error!(?synced, "the database's file could not be written to the disk");
                self.durable.break_now();
            }
            log = checkpoint(&self.db, "NOOP").await?;
            if log.left() <= PAGES_LEFT {
                let _turn = self.turn_to_record().await;
                checkpoint(&self.db, "PASSIVE").await?;
                break;
            }
        }
        Ok(())
    }
}

/// A checkpoint of this kind, and what is so after it.
async fn checkpoint(db: &DatabaseConnection, kind: &str) -> Result<Log, DbErr> {
    let pragma = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA wal_checkpoint({kind})"));
    let row = db.query_one_raw(pragma).await?.ok_or_else(|| DbErr::Custom("a checkpoint says nothing".into()))?;
    Ok(Log { pages: row.try_get_by_index(1)?, copied: row.try_get_by_index(2)? })
}

/// Whether the operating system failed us, not only SQLite's patience or the room on the disk.
fn is_of_the_disk(error: &DbErr) -> bool {
    let (DbErr::Query(RuntimeErr::SqlxError(cause)) | DbErr::Exec(RuntimeErr::SqlxError(cause))) = error else {
        return false;
    };
    let code = cause.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == IO_ERROR)
}

/// `SQLITE_IOERR`, the last byte of the codes of all such errors.
const IO_ERROR: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    #[tokio::test]
    async fn a_long_log_is_emptied_and_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let master = MasterKey::load_or_create(&directory.path().join("master.key")).unwrap();
        let store = Store::open(directory.path(), master).await.unwrap();
        let write = async |rows: u32| {
            let insert = format!(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) \
                 insert into calls (at, calls, outcome, path, proxy) select i, 1, 'x', hex(randomblob(200)), '' from n"
            );
            store.db.execute_unprepared(&insert).await.unwrap();
        };
        write(100).await;
        store.shorten_log().await.unwrap();
        assert!(checkpoint(&store.db, "NOOP").await.unwrap().left() > 0, "a short one is left alone");
        write(50_000).await;
        assert!(checkpoint(&store.db, "NOOP").await.unwrap().left() > PAGES, "SQLite leaves it to us");
        store.shorten_log().await.unwrap();
        assert_eq!(checkpoint(&store.db, "NOOP").await.unwrap().left(), 0);
        write(1).await;
        let log = checkpoint(&store.db, "NOOP").await.unwrap();
        assert!(log.pages < 100, "it is written from its beginning again: {log:?}");
    }
}
