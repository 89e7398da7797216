//! Where checked rows wait until the whole file has come: a client that sends slowly, or goes, must not hold up others'
//! changes, and however many rows there are, memory has room for some.
//!
//! A file without a name in the data directory, for this program alone, gone with it however that ends. It holds what the
//! database is to hold, so no token either.

use super::row::Row;
use std::io::{self, SeekFrom};
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader};

/// Rows that come in.
pub(super) struct Spool {
    file: File,
    pub(super) rows: usize,
}

impl Spool {
    pub(super) fn in_directory(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: File::from_std(tempfile::tempfile_in(directory)?), rows: 0 })
    }

    pub(super) async fn put(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row)?;
            lines.push(b'\n');
        }
        self.rows += rows.len();
        self.file.write_all(&lines).await
    }

    /// All of them, from the first on.
    pub(super) async fn read(self) -> io::Result<Spooled> {
        let mut file = self.file;
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await?;
        Ok(Spooled(BufReader::new(file)))
    }
}

/// Rows that go out.
pub(super) struct Spooled(BufReader<File>);

impl Spooled {
    /// The next ones, at most so many; none: that was all.
    pub(super) async fn next(&mut self, most: usize) -> io::Result<Vec<Row>> {
        let (mut rows, mut line) = (Vec::new(), Vec::new());
        while rows.len() < most && self.0.read_until(b'\n', &mut line).await? > 0 {
            rows.push(serde_json::from_slice(&line)?);
            line.clear();
        }
        Ok(rows)
    }
}
