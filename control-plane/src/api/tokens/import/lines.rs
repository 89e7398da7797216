//! A file of tokens, read as it arrives: bytes in, lines out, in as much memory as one line.
//!
//! Lines hold secrets, so what is wrong is said with line and column, and never with what stands there.

mod json;
mod table;

use super::row::{Cell, Column, Wrong};
use crate::api::error::ApiError;
use json::JsonLines;
use table::Table;

/// Bytes that a line may have: the longest set of restrictions (64 kB), with as much again for escapes and the rest.
pub(super) const LINE_LEN_MAX: usize = 128 * 1024;

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
        Self::Csv(Box::default())
    }

    /// For an object of JSON a line.
    pub(super) fn of_json() -> Self {
        Self::Json(JsonLines::default())
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
            Self::Json(json) => json.end(&mut lines)?,
        }
        Ok(lines)
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
        for file in ["", "\n \r\n"] {
            assert_eq!(read(Lines::of_json, file.as_bytes()), ["There is nothing in the file."], "{file:?}");
        }
    }

    #[test]
    fn attack_m6_a_file_without_names_of_columns_is_not_repeated_in_the_error() {
        let error = read(Lines::of_csv, b"sesameopensesame,alice\n").concat();
        assert!(error.contains("must name the columns") && !error.contains("sesame"), "{error}");
        // Not even if one of its cells happens to be the name of a column.
        let error = read(Lines::of_csv, b"sesameopensesame,label,alice\n").concat();
        assert!(error.contains("that there is not") && !error.contains("sesame"), "{error}");
        let error = read(Lines::of_json, b"{\"label\":\"x\",\"sesameopensesame\":\"alice\"}\n").concat();
        assert!(error.contains("that there is not") && !error.contains("sesame"), "{error}");
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
    }
}
