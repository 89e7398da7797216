//! Takes a file in: reads its lines as they come, judges them by what can be seen by then, and lets those that fit wait.

use super::judge::Judge;
use super::lines::{Line, Lines};
use super::row::{Row, Wrong};
use super::spool::Spool;
use super::{BATCH, Refused, unspooled};
use crate::api::error::ApiError;
use crate::{App, clock};
use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use policy::KeyedHash;
use std::collections::HashMap;
use std::time::Duration;

/// Lines that a file may have: their hashes are kept, to find those that come twice (about 10 MB), and one change of so many
/// holds others up for long enough.
const LINES_MAX: usize = 200_000;

/// Bytes that a file may have: so many lines of more than a kilobyte each. Their rows wait on the disk.
const FILE_LEN_MAX: usize = 256 * 1024 * 1024;

/// How long nothing may come of a file that is not whole.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long it may take to come: 256 MiB at less than half a megabyte a second.
const TIME_MAX: Duration = Duration::from_secs(600);

/// A file that is coming in.
pub(super) struct Intake<'a> {
    app: &'a App,
    lines: Lines,
    keep_going: bool,
    judge: Judge,
    /// The tokens of the file, each with its first line.
    seen: HashMap<KeyedHash, u64>,
    batch: Vec<Row>,
    /// What waits to be taken over.
    pub(super) spool: Spool,
    pub(super) refused: Refused,
    count: usize,
}

impl<'a> Intake<'a> {
    pub(super) fn new(app: &'a App, lines: Lines, keep_going: bool) -> Result<Self, ApiError> {
        let spool = Spool::in_directory(app.store.directory()).map_err(unspooled)?;
        let (judge, seen, batch) = (Judge::at(clock::now()), HashMap::new(), Vec::with_capacity(BATCH));
        Ok(Self { app, lines, keep_going, judge, seen, batch, spool, refused: Refused::default(), count: 0 })
    }

    /// Takes the whole file in. One that cannot be is read to its end all the same: many clients hear nothing before they
    /// have sent everything.
    pub(super) async fn take(&mut self, body: Body) -> Result<(), ApiError> {
        let took = tokio::time::timeout(TIME_MAX, self.take_whole(body)).await;
        took.map_err(|_| ApiError::BodyTimeout)?
    }

    async fn take_whole(&mut self, body: Body) -> Result<(), ApiError> {
        let (mut stream, mut length, mut failed) = (body.into_data_stream(), 0, None);
        loop {
            let bytes: Bytes = match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
                Err(_) => return Err(ApiError::BodyTimeout),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(ApiError::BadRequest("The body broke off.".into())),
                Ok(Some(Ok(bytes))) => bytes,
            };
            length += bytes.len();
            if length > FILE_LEN_MAX {
                return Err(ApiError::TooMuchToImport);
            }
            if failed.is_none() {
                failed = self.take_bytes(&bytes).await.err();
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                let last = self.lines.end()?;
                self.take_lines(last).await?;
                self.flush().await
            }
        }
    }

    async fn take_bytes(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        // In pieces, so that the lines of one are few, whatever the size in which they come.
        for piece in bytes.chunks(16 * 1024) {
            let lines = self.lines.push(piece)?;
            self.take_lines(lines).await?;
        }
        Ok(())
    }

    async fn take_lines(&mut self, lines: Vec<Line>) -> Result<(), ApiError> {
        for Line { number, cells } in lines {
            self.count += 1;
            if self.count > LINES_MAX {
                let sentence = format!("The file has more than {LINES_MAX} lines: send it in parts.");
                return Err(ApiError::BadRequest(sentence));
            }
            let row = cells.map_err(|wrong| vec![wrong]).and_then(|cells| Row::read(self.app, number, cells));
            match row {
                Err(wrong) => self.refused.note(number, wrong),
                Ok(row) => match self.seen.insert(row.hash, number) {
                    Some(first) => {
                        self.seen.insert(row.hash, first);
                        let same = Wrong::of_line(format!("is the same token as line {first}"));
                        self.refused.note(number, vec![same]);
                    }
                    None => self.batch.push(row),
                },
            }
            if self.batch.len() == BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ApiError> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        let settings = self.app.store.settings();
        let judged = self.judge.judge(&self.app.store.db, &settings.0, &batch).await?;
        let mut good = Vec::with_capacity(batch.len());
        for (row, fit) in batch.into_iter().zip(judged) {
            match fit {
                Ok(_) => good.push(row),
                Err(wrong) => self.refused.note(row.line, vec![wrong]),
            }
        }
        // Where nothing will come of it, nothing need wait for it.
        if self.refused.count == 0 || self.keep_going {
            self.spool.put(&good).await.map_err(unspooled)?;
        }
        Ok(())
    }
}
