//! A table (RFC 4180), whose first line names the columns.

use super::super::row::{Cell, Column, Wrong};
use super::{LINE_LEN_MAX, Line};
use crate::api::error::ApiError;
use csv_core::ReadRecordResult;
use zeroize::Zeroizing;

/// Cells of a line: more than there are columns, so that one too many is told by its name.
const CELLS_MAX: usize = 32;

/// A table under way.
pub(crate) struct Table {
    reader: csv_core::Reader,
    /// The cells of this record, one behind the other, where each ends, and how far that has come.
    cells: Zeroizing<Vec<u8>>,
    filled: usize,
    ends: [usize; CELLS_MAX],
    ended: usize,
    /// The line at which we are, and the one at which the record began, if one has.
    number: u64,
    began_at: Option<u64>,
    /// Why the record is none: the rest of it is passed over.
    overflow: Option<&'static str>,
    columns: Option<Vec<Column>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            reader: csv_core::Reader::new(),
            cells: Zeroizing::new(vec![0; LINE_LEN_MAX]),
            filled: 0,
            ends: [0; CELLS_MAX],
            ended: 0,
            number: 1,
            began_at: None,
            overflow: None,
            columns: None,
        }
    }
}

impl Table {
    pub(super) fn push(&mut self, mut bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), ApiError> {
        loop {
            if self.began_at.is_none() {
                // Between records: a blank line is none.
                let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                bytes = self.count(bytes, blank);
            }
            if bytes.is_empty() {
                return Ok(());
            }
            self.began_at.get_or_insert(self.number);
            bytes = self.step(bytes, lines)?;
        }
    }

    pub(super) fn end(&mut self, lines: &mut Vec<Line>) -> Result<(), ApiError> {
        while self.began_at.is_some() {
            self.step(&[], lines)?;
        }
        match self.columns {
            Some(_) => Ok(()),
            None => Err(ApiError::BadRequest("There is nothing in the file: its first line names the columns.".into())),
        }
    }

    /// Reads on, at most to the end of the record; gives what is left.
    fn step<'b>(&mut self, bytes: &'b [u8], lines: &mut Vec<Line>) -> Result<&'b [u8], ApiError> {
        let (cells, ends) = (&mut self.cells[self.filled..], &mut self.ends[self.ended..]);
        let (outcome, read, written, ended) = self.reader.read_record(bytes, cells, ends);
        (self.filled, self.ended) = (self.filled + written, self.ended + ended);
        let rest = self.count(bytes, read);
        match outcome {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => self.pass_over("is longer than a line may be (128 KiB)"),
            ReadRecordResult::OutputEndsFull => self.pass_over("has too many cells"),
            ReadRecordResult::Record => self.finish_record(lines)?,
            ReadRecordResult::End => self.began_at = None,
        }
        Ok(rest)
    }

    fn pass_over(&mut self, why: &'static str) {
        self.overflow.get_or_insert(why);
        (self.filled, self.ended) = (0, 0);
    }

    fn finish_record(&mut self, lines: &mut Vec<Line>) -> Result<(), ApiError> {
        let number = self.began_at.take().unwrap_or(self.number);
        let texts = match self.overflow.take() {
            Some(why) => Err(Wrong::of_line(why)),
            None => self.texts(),
        };
        (self.filled, self.ended) = (0, 0);
        let Some(columns) = &self.columns else {
            self.columns = Some(columns_of(&texts.map_err(|wrong| ApiError::BadRequest(wrong.of_first_line()))?)?);
            return Ok(());
        };
        let cells = texts.and_then(|texts| match texts.len() == columns.len() {
            true => Ok(columns.iter().copied().zip(texts.into_iter().map(Cell::Text)).collect()),
            false => {
                let (there, named) = (texts.len(), columns.len());
                Err(Wrong::of_line(format!("has {there} cells where the first line names {named} columns")))
            }
        });
        lines.push(Line { number, cells });
        Ok(())
    }

    /// The cells of the record, without white space at their ends.
    fn texts(&self) -> Result<Vec<Zeroizing<String>>, Wrong> {
        let mut begin = 0;
        let text = |end: &usize| {
            let cell = self.cells.get(begin..*end).and_then(|cell| std::str::from_utf8(cell).ok());
            begin = *end;
            match cell {
                Some(cell) if !cell.contains('\0') => Ok(Zeroizing::new(cell.trim().to_owned())),
                _ => Err(Wrong::of_line("is not UTF-8, or holds the character NUL")),
            }
        };
        self.ends[..self.ended].iter().map(text).collect()
    }

    fn count<'b>(&mut self, bytes: &'b [u8], read: usize) -> &'b [u8] {
        let (read, rest) = bytes.split_at(read);
        self.number += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        rest
    }
}

/// The columns that the first line names. If none of them is one, the file has no such line, and what stands there may be
/// a token: so it is not repeated.
fn columns_of(names: &[Zeroizing<String>]) -> Result<Vec<Column>, ApiError> {
    let wrong = |sentence: String| Err(ApiError::BadRequest(format!("The first line of the file {sentence}.")));
    let known: Vec<Option<Column>> = names.iter().map(|name| Column::named(name)).collect();
    if known.iter().all(Option::is_none) {
        return wrong(format!("must name the columns, with commas in between: {}", Column::names()));
    }
    let mut columns = Vec::new();
    for (name, column) in names.iter().zip(known) {
        match column {
            None => return wrong(format!("names a column that there is not: {}", Column::unknown(name))),
            Some(column) if columns.contains(&column) => return wrong(format!("names {} twice", column.name())),
            Some(column) => columns.push(column),
        }
    }
    Ok(columns)
}
