//! A file of tokens, read as it arrives: bytes in, lines out, in as much memory as one line.
//!
//! Lines hold secrets, so what is wrong is said with line and column, and never with what stands there.

use super::row::{Cell, Column, Wrong};
use crate::api::error::ApiError;
use crate::api::plain_json;
use csv_core::ReadRecordResult;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that a line may have: the longest set of restrictions (64 kB), with as much again for escapes and the rest.
pub(super) const LINE_LEN_MAX: usize = 128 * 1024;

/// Cells of a line: more than there are columns, so that one too many is told by its name.
const CELLS_MAX: usize = 32;

/// A line of the file that says something. In a table it may go over several: the first counts.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) cells: Result<Vec<(Column, Cell)>, Wrong>,
}

/// Makes lines of bytes.
pub(super) enum Lines {
    Csv(Box<Table>),
    Json(JsonLines),
}

impl Lines {
    /// For a table, whose first line names the columns (RFC 4180).
    pub(super) fn of_csv() -> Self {
        Self::Csv(Box::new(Table {
            reader: csv_core::Reader::new(),
            cells: Zeroizing::new(vec![0; LINE_LEN_MAX]),
            filled: 0,
            ends: [0; CELLS_MAX],
            ended: 0,
            number: 1,
            began_at: None,
            overflow: None,
            columns: None,
        }))
    }

    /// For an object of JSON a line.
    pub(super) fn of_json() -> Self {
        Self::Json(JsonLines { line: Zeroizing::new(Vec::with_capacity(LINE_LEN_MAX)), number: 1, overflow: false })
    }

    /// Takes bytes, and gives what lines they end. An error is one of the whole file.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Line>, ApiError> {
        let mut lines = Vec::new();
        match self {
            Self::Csv(table) => table.push(bytes, &mut lines)?,
            Self::Json(json) => json.push(bytes, &mut lines),
        }
        Ok(lines)
    }

    /// The file has ended; gives a last line without an end.
    pub(super) fn end(&mut self) -> Result<Vec<Line>, ApiError> {
        let mut lines = Vec::new();
        match self {
            Self::Csv(table) => table.end(&mut lines)?,
            Self::Json(json) => json.finish_line(&mut lines),
        }
        Ok(lines)
    }
}

/// A table under way.
pub(super) struct Table {
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

impl Table {
    fn push(&mut self, mut bytes: &[u8], lines: &mut Vec<Line>) -> Result<(), ApiError> {
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

    fn end(&mut self, lines: &mut Vec<Line>) -> Result<(), ApiError> {
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
        return wrong(format!("must name the columns: {}", Column::names()));
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

/// Lines of JSON under way.
pub(super) struct JsonLines {
    line: Zeroizing<Vec<u8>>,
    number: u64,
    /// The line is too long: the rest of it is passed over.
    overflow: bool,
}

impl JsonLines {
    fn push(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_LEN_MAX {
                self.overflow = true;
            } else {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.finish_line(lines);
                self.number += 1;
            }
        }
    }

    fn finish_line(&mut self, lines: &mut Vec<Line>) {
        let begin = if self.number == 1 { self.line.strip_prefix(b"\xef\xbb\xbf") } else { None };
        let line = begin.unwrap_or(&self.line).trim_ascii();
        let cells = match std::mem::take(&mut self.overflow) {
            true => Some(Err(Wrong::of_line("is longer than a line may be (128 KiB)"))),
            false if line.is_empty() => None,
            false => Some(object(line).and_then(|Object(fields)| columns_and(fields))),
        };
        self.line.zeroize(); // it stays as large as it is
        lines.extend(cells.map(|cells| Line { number: self.number, cells }));
    }
}

fn object(line: &[u8]) -> Result<Object, Wrong> {
    // Looked at here, since serde would repeat what stands there instead.
    if !line.starts_with(b"{") {
        return Err(Wrong::of_line("must be a JSON object"));
    }
    plain_json::read(line).map_err(|error| {
        let told = error.to_string();
        let reason = told.split(" at line ").next().unwrap_or_default();
        Wrong::of_line(format!("cannot be read: column {}: {reason}", error.column()))
    })
}

fn columns_and(fields: Vec<(String, Cell)>) -> Result<Vec<(Column, Cell)>, Wrong> {
    let some_known = fields.iter().any(|(name, _)| Column::named(name).is_some());
    let column = |(name, cell): (String, Cell)| match Column::named(&name) {
        Some(column) => Ok((column, cell)),
        None if some_known => Err(Wrong::of_line(format!("has a field that there is not: {}", Column::unknown(&name)))),
        None => Err(Wrong::of_line(format!("has none of the fields that there are: {}", Column::names()))),
    };
    fields.into_iter().map(column).collect()
}

/// An object as it stands there; [`plain_json`] has seen that no field stands there twice.
struct Object(Vec<(String, Cell)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

/// Numbers and objects are refused here, and not by serde, which would repeat what stands there.
fn no_cell<E: de::Error>() -> Result<Cell, E> {
    Err(E::custom("a field must be a text, a list of texts, true, false or null"))
}

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, a list of texts, true, false or null")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Cell, E> {
        Ok(Cell::Flag(flag))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Cell, E> {
        no_cell()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Cell, E> {
        no_cell()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Cell, E> {
        no_cell()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Cell, A::Error> {
        no_cell()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = items.next_element()? {
            match item {
                Cell::Text(text) => texts.push(text.to_string()),
                Cell::Nothing | Cell::Flag(_) | Cell::List(_) => return no_cell(),
            }
        }
        Ok(Cell::List(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a file, however it is cut into pieces: number and outcome of each line.
    fn read(lines: fn() -> Lines, file: &[u8]) -> Vec<String> {
        let told = |piece: usize| {
            let mut decoder = lines();
            let mut all = Vec::new();
            for bytes in file.chunks(piece) {
                all.extend(decoder.push(bytes).map_err(said)?);
            }
            all.extend(decoder.end().map_err(said)?);
            Ok(all.into_iter().map(|line| format!("{}: {}", line.number, outcome(line.cells))).collect())
        };
        let whole = told(usize::MAX).unwrap_or_else(|error| vec![error]);
        let pieces: &[usize] = if file.len() > 1 << 20 { &[4_099] } else { &[5, 7, 64] };
        for &piece in pieces {
            assert_eq!(told(piece).unwrap_or_else(|error: String| vec![error]), whole, "in pieces of {piece}");
        }
        whole
    }

    fn said(error: ApiError) -> String {
        let ApiError::BadRequest(sentence) = error else { panic!("{error:?}") };
        sentence
    }

    fn outcome(cells: Result<Vec<(Column, Cell)>, Wrong>) -> String {
        match cells {
            Ok(cells) => cells.iter().map(|(column, cell)| format!("{}={cell:?} ", column.name())).collect(),
            Err(wrong) => wrong.detail,
        }
    }

    #[test]
    fn m6_a_table_is_read_by_the_names_of_its_columns_and_lines_are_counted_as_an_editor_does() {
        let file = "\u{feff}label, owner\r\none,\"a, b\"\n\n\r\n\"two\nlines\",\nthree\n\"\"\"=1+1\"\"\", x \nlast,y";
        let lines = read(Lines::of_csv, file.as_bytes());
        let expected = [
            "2: label=\"one\" owner=\"a, b\" ",
            "5: label=\"two\\nlines\" owner=\"\" ",
            "7: has 1 cells where the first line names 2 columns",
            "8: label=\"\\\"=1+1\\\"\" owner=\"x\" ",
            "9: label=\"last\" owner=\"y\" ",
        ];
        assert_eq!(lines, expected);
        assert_eq!(read(Lines::of_csv, b"label,token\na\xff,b\n"), ["2: is not UTF-8, or holds the character NUL"]);
    }

    #[test]
    fn m6_the_first_line_names_columns_that_there_are_each_once() {
        for (file, told) in [
            ("", "nothing in the file"),
            ("\n\n", "nothing in the file"),
            ("label,mail\nx,y\n", "names a column that there is not: \"mail\""),
            ("label,label\nx,y\n", "names label twice"),
        ] {
            let error = read(Lines::of_csv, file.as_bytes()).concat();
            assert!(error.contains(told), "{file:?}: {error}");
        }
    }

    #[test]
    fn attack_m6_a_file_without_names_of_columns_is_not_repeated_in_the_error() {
        let error = read(Lines::of_csv, b"sesameopensesame,alice\n").concat();
        assert!(error.contains("must name the columns") && !error.contains("sesame"), "{error}");
        let error = read(Lines::of_json, b"{\"sesameopensesame\":\"alice\"}\n").concat();
        assert!(error.contains("has none of the fields") && !error.contains("sesame"), "{error}");
    }

    #[test]
    fn m6_lines_of_json_are_objects_of_known_fields() {
        let file =
            "{\"label\":\"x\",\"unbound\":true,\"owner\":null,\"restrictions\":[\"a\",\"b\"]}\r\n\n{\"label\":\"y\"}";
        let expected = ["1: label=\"x\" unbound=true owner=nothing restrictions=[\"a\", \"b\"] ", "3: label=\"y\" "];
        assert_eq!(read(Lines::of_json, file.as_bytes()), expected);
        for (line, told) in [
            ("[1]", "must be a JSON object"),
            ("{\"label\":\"x\",\"label\":\"y\"}", "twice"),
            ("{\"label\":\"x\"", "EOF"),
            ("{\"label\":\"x\",\"mail\":\"y\"}", "a field that there is not: \"mail\""),
        ] {
            let error = read(Lines::of_json, line.as_bytes()).concat();
            assert!(error.contains(told), "{line:?}: {error}");
        }
    }

    #[test]
    fn attack_m6_what_is_no_text_is_refused_without_being_repeated() {
        for line in
            ["{\"token\":4711471147114711}", "{\"token\":{\"s3cret\":1}}", "{\"token\":[[\"s3cret\"]]}", "\"s3cret\""]
        {
            let error = read(Lines::of_json, line.as_bytes()).concat();
            assert!(!error.contains("4711") && !error.contains("s3cret"), "{line}: {error}");
        }
    }

    #[test]
    fn attack_m6_a_line_of_10_mb_or_of_a_million_cells_is_passed_over_and_the_next_one_is_read() {
        let long = "x".repeat(10 << 20);
        let lines = read(Lines::of_csv, format!("label,owner\n{long},a\n\"{long}\nb,c\",\ngood,d\n").as_bytes());
        let too_long = "is longer than a line may be (128 KiB)";
        assert_eq!(
            lines,
            [format!("2: {too_long}"), format!("3: {too_long}"), "5: label=\"good\" owner=\"d\" ".into()]
        );
        let lines = read(Lines::of_csv, format!("label\n{}\ngood\n", ",".repeat(1_000_000)).as_bytes());
        assert_eq!(lines, ["2: has too many cells", "3: label=\"good\" "]);
        let lines = read(Lines::of_json, format!("{{\"label\":\"{long}\"}}\n{{\"label\":\"y\"}}\n").as_bytes());
        assert_eq!(lines, [format!("1: {too_long}"), "2: label=\"y\" ".into()]);
        let Lines::Json(json) = Lines::of_json() else { panic!() };
        assert_eq!(json.line.capacity(), LINE_LEN_MAX);
    }
}
