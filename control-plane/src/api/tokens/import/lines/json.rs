//! An object of JSON a line.

use super::super::row::{Cell, Column, Wrong};
use super::{LINE_LEN_MAX, Line};
use crate::api::error::ApiError;
use crate::api::plain_json;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Lines of JSON under way.
pub(crate) struct JsonLines {
    line: Zeroizing<Vec<u8>>,
    number: u64,
    /// The line is too long: the rest of it is passed over.
    overflow: bool,
    /// Some line says something.
    is_something: bool,
}

impl Default for JsonLines {
    fn default() -> Self {
        Self { line: Zeroizing::new(Vec::with_capacity(LINE_LEN_MAX)), number: 1, overflow: false, is_something: false }
    }
}

impl JsonLines {
    pub(super) fn push(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
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

    /// The last line needs no end. An empty file is refused as an empty table is: a program that failed has written it.
    pub(super) fn end(&mut self, lines: &mut Vec<Line>) -> Result<(), ApiError> {
        self.finish_line(lines);
        match self.is_something {
            true => Ok(()),
            false => Err(ApiError::BadRequest("There is nothing in the file.".into())),
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
        self.is_something |= cells.is_some();
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
