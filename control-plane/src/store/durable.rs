//! Group commit: what was committed is on the disk before anybody is told of it, by one `fdatasync` for all who wait.
//!
//! With `synchronous=NORMAL`, a commit in WAL mode appends to the write-ahead log and does not wait for the disk: a program
//! that is killed loses nothing, a power cut may take back the last commits
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>). Whoever answers therefore waits here, until the log was
//! synced after its commit. That is enough, and is what `synchronous=FULL` does once a commit, because of what
//! <https://www.sqlite.org/wal.html> and <https://www.sqlite.org/walformat.html> say:
//!
//! - A commit is either in the log or, once a checkpoint is complete, in the database's file. A checkpoint syncs the log
//!   before it writes to the database, and the database before the log may be written from its beginning again. So a sync of
//!   the log covers each commit before it, wherever that is by then.
//! - Frames only go to the end, each with the salt of this round of the log and a checksum over all before it. What the
//!   disk has of the log after a power cut is thus read as a beginning of the history, and never with a gap in it.
//! - The header of a new round, and with it the directory's entry of a new log, is synced by SQLite itself.
//!
//! Nobody is told of what is not synced: neither who asked for a change, nor a proxy (the feed waits here, too), nor one that
//! reported calls. A power cut can take back the changes and reports of the last milliseconds, of which no one has heard.
//! Reads of the API and the program's own judgement do not wait; what they show may be as young as that.
//!
//! After a sync has failed nobody knows what is on the disk: the kernel may have dropped what it could not write, and a
//! later sync says nothing of it (<https://wiki.postgresql.org/wiki/Fsync_Errors>). So from then on nothing is confirmed
//! any more, and the program ends. Its next start goes by what the log's checksums prove, and moves all that into the
//! database's file before it serves anybody ([`super::Store::open`]).

use crate::fault;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use tokio::sync::{Mutex, watch};

/// It is not known to be on the disk.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the disk does not confirm what was written")]
pub(crate) struct NotDurable;

/// What brings to the disk all that was committed before.
type Sync = dyn Fn() -> io::Result<()> + Send + std::marker::Sync;

/// Commits, and up to which of them the disk has them.
pub(crate) struct Durable {
    sync: Arc<Sync>,
    /// How many commits there were.
    committed: AtomicU64,
    /// How many of them are on the disk.
    synced: AtomicU64,
    /// Held by the one who syncs, for all who wait for it.
    turn: Mutex<()>,
    /// Held while it is synced until its outcome is noted: whoever waits for it may go, and the next one begin.
    syncing: Arc<StdMutex<()>>,
    broken: watch::Sender<bool>,
}

impl Durable {
    /// For the write-ahead log of this database.
    pub(crate) fn of(database: &std::path::Path) -> Self {
        let log = WriteAheadLog::of(database);
        Self::new(move || log.sync())
    }

    fn new(sync: impl Fn() -> io::Result<()> + Send + std::marker::Sync + 'static) -> Self {
        let (committed, synced) = (AtomicU64::new(0), AtomicU64::new(0));
        let (turn, syncing, broken) = (Mutex::default(), Arc::default(), watch::Sender::new(false));
        Self { sync: Arc::new(sync), committed, synced, turn, syncing, broken }
    }

    /// Something was committed of which somebody is to be told: to be called before [`Self::settle`].
    pub(crate) fn committed(&self) {
        self.committed.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until all that was committed before is on the disk.
    pub(crate) async fn settle(&self) -> Result<(), NotDurable> {
        let wanted = self.committed.load(Ordering::SeqCst);
        if self.is_settled(wanted)? {
            return Ok(());
        }
        // Whoever comes while a sync runs waits for its end, and then one of them syncs for all the others.
        let _turn = self.turn.lock().await;
        if self.is_settled(wanted)? {
            return Ok(());
        }
        let covered = self.committed.load(Ordering::SeqCst);
        let (sync, syncing, broken) = (self.sync.clone(), self.syncing.clone(), self.broken.clone());
        let outcome = tokio::task::spawn_blocking(move || {
            let _syncing = syncing.lock().unwrap_or_else(PoisonError::into_inner);
            if *broken.borrow() {
                return Err(io::Error::other("a sync before this one has failed"));
            }
            // Noted here, since the one who waits may be gone by then.
            sync().inspect_err(|error| {
                tracing::error!(%error, "the database's log could not be written to the disk: nothing is confirmed any more");
                broken.send_replace(true);
            })
        });
        match outcome.await {
            Ok(Ok(())) => {
                self.synced.fetch_max(covered, Ordering::SeqCst);
                Ok(())
            }
            Ok(Err(_)) => Err(NotDurable),
            Err(_) => {
                self.break_now();
                Err(NotDurable)
            }
        }
    }

    /// Confirms nothing any more: what is on the disk, nobody knows.
    pub(crate) fn break_now(&self) {
        self.broken.send_replace(true);
    }

    /// Waits until a sync has failed.
    pub(crate) async fn breaks(&self) {
        // The sender is here: there is no error.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }

    fn is_settled(&self, wanted: u64) -> Result<bool, NotDurable> {
        if *self.broken.borrow() { Err(NotDurable) } else { Ok(self.synced.load(Ordering::SeqCst) >= wanted) }
    }
}

/// SQLite's write-ahead log. It is kept open: an error in writing it back is told once to each that had it open by then, also
/// if it was SQLite's own sync, before a checkpoint, that met with it.
struct WriteAheadLog {
    path: PathBuf,
    file: StdMutex<Option<File>>,
}

impl WriteAheadLog {
    fn of(database: &std::path::Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into(), file: StdMutex::default() }
    }

    fn sync(&self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_some() && fault::is_wanted("sync-fails-after-the-first") {
            return Err(io::Error::other("TOKENGATE_FAULT wants it"));
        }
        // SQLite deletes the log when its last connection closes, after everything went into the database's file, and
        // makes a new one.
        let open = match file.take() {
            Some(open) if open.metadata()?.nlink() > 0 => open,
            _ => File::open(&self.path)?,
        };
        file.insert(open).sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A disk whose syncs end when the test says so, and how often one was begun.
    fn disk() -> (Arc<Durable>, mpsc::Sender<io::Result<()>>, watch::Receiver<u32>) {
        let (end, ends) = mpsc::channel::<io::Result<()>>();
        let (begun, begins) = watch::channel(0);
        let ends = StdMutex::new(ends);
        let durable = Durable::new(move || {
            begun.send_modify(|begun| *begun += 1);
            ends.lock().unwrap().recv().unwrap()
        });
        (Arc::new(durable), end, begins)
    }

    fn change(durable: &Arc<Durable>) -> tokio::task::JoinHandle<Result<(), NotDurable>> {
        durable.committed();
        let durable = durable.clone();
        tokio::spawn(async move { durable.settle().await })
    }

    #[tokio::test]
    async fn a_change_is_answered_after_a_sync_that_began_after_its_commit_and_many_share_one() {
        let (durable, end, mut begins) = disk();
        let first = change(&durable);
        begins.wait_for(|begun| *begun == 1).await.unwrap();
        // These were committed while that sync was under way already: it says nothing of them.
        let others: Vec<_> = (0..16).map(|_| change(&durable)).collect();
        tokio::task::yield_now().await;
        assert!(!first.is_finished(), "nobody is answered before the disk has it");
        end.send(Ok(())).unwrap();
        first.await.unwrap().unwrap();
        begins.wait_for(|begun| *begun == 2).await.unwrap();
        assert!(others.iter().all(|other| !other.is_finished()), "the sync before theirs is not theirs");
        end.send(Ok(())).unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(*begins.borrow(), 2, "one sync for all sixteen");
        durable.settle().await.unwrap(); // there is nothing new: no sync, which nobody would end
    }

    #[tokio::test]
    async fn after_a_sync_has_failed_nothing_is_confirmed_any_more() {
        let (durable, end, _begins) = disk();
        end.send(Err(io::Error::other("no disk"))).unwrap();
        assert!(change(&durable).await.unwrap().is_err());
        durable.breaks().await;
        end.send(Ok(())).unwrap();
        assert!(change(&durable).await.unwrap().is_err(), "a later sync proves nothing");
        assert!(durable.settle().await.is_err());
    }

    #[tokio::test]
    async fn a_failure_is_known_though_the_one_who_waited_for_it_has_gone() {
        let (durable, end, mut begins) = disk();
        let waiting = change(&durable);
        begins.wait_for(|begun| *begun == 1).await.unwrap();
        waiting.abort();
        let _ = waiting.await;
        end.send(Err(io::Error::other("no disk"))).unwrap();
        durable.breaks().await;
        assert!(durable.settle().await.is_err());
    }

    #[tokio::test]
    async fn attack_a_sync_right_after_one_that_failed_with_nobody_waiting_for_it_confirms_nothing() {
        let (durable, end, mut begins) = disk();
        let first = change(&durable);
        begins.wait_for(|begun| *begun == 1).await.unwrap();
        first.abort(); // such as a question of a proxy, whose connection broke
        let _ = first.await;
        let second = change(&durable);
        tokio::task::yield_now().await; // it has got its turn
        end.send(Err(io::Error::other("no disk"))).unwrap();
        end.send(Ok(())).unwrap();
        assert!(second.await.unwrap().is_err(), "the kernel tells of what it lost only once");
    }

    #[test]
    fn a_log_that_was_made_anew_is_the_one_that_is_synced() {
        let directory = tempfile::tempdir().unwrap();
        let log = WriteAheadLog::of(&directory.path().join("x.db"));
        assert!(log.sync().is_err(), "there is none");
        let inode = || log.file.lock().unwrap().as_ref().map(|file| file.metadata().unwrap().ino());
        std::fs::write(&log.path, "1").unwrap();
        log.sync().unwrap();
        let first = inode();
        log.sync().unwrap();
        assert_eq!(inode(), first, "it stays open");
        std::fs::rename(&log.path, directory.path().join("kept")).unwrap();
        std::fs::remove_file(directory.path().join("kept")).unwrap();
        std::fs::write(&log.path, "2").unwrap();
        log.sync().unwrap();
        assert_eq!(inode(), Some(std::fs::metadata(&log.path).unwrap().ino()));
    }
}
