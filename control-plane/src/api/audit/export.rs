//! Exports: a file of any size, in as much memory as a page of it.
//!
//! The next page is read when the client has taken the one before. In between nothing is held in the database, so a slow
//! client holds up nobody, and what is older than its page is there however long it takes, unless it is forgotten
//! meanwhile.

use crate::App;
use crate::api::error::ApiError;
use crate::store::search::{Search, Searched};
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::future::ready;
use std::sync::Arc;
use utoipa::ToSchema;

/// Why a row cannot be read or written.
type Cause = Box<dyn Error + Send + Sync>;

/// Rows that are read at a time.
const ROWS: u64 = 1000;

/// In which form.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// A line of JSON a row.
    #[default]
    Jsonl,
    /// A table with a header (RFC 4180).
    Csv,
}

/// What an export has rows of.
pub(super) trait Line: Serialize {
    /// The names of the cells.
    const HEADER: &[&str];

    /// The row of a table.
    fn cells(self) -> Vec<String>;
}

/// Exports what is found. The first page is read before anything is answered, so that what is wrong by then is a refusal
/// like any other.
pub(super) async fn export<E: Searched, V: Line + 'static>(
    app: Arc<App>,
    search: Search<E>,
    format: Format,
    name: &str,
    view: fn(E::Model) -> Result<V, ApiError>,
) -> Result<Response, ApiError>
where
    Search<E>: Send + Sync + 'static,
{
    let first = search.page(&app.store.db, None, ROWS).await?;
    let mut begin = format.header::<V>().map_err(ApiError::Internal)?;
    begin.extend(format.lines(first.rows, view).map_err(ApiError::Internal)?);
    let rest = stream::try_unfold((app, search, first.next), move |(app, search, next)| async move {
        let Some(place) = next else {
            return Ok(None);
        };
        let page = async {
            let found = search.page(&app.store.db, Some(place), ROWS).await?;
            Ok((Bytes::from(format.lines(found.rows, view)?), found.next))
        };
        // An error breaks the connection, so that nobody takes what came for the whole.
        let page: Result<_, Cause> = page.await;
        if let Err(error) = &page {
            tracing::error!(%error, "an export broke off");
        }
        page.map(|(lines, next)| Some((lines, (app, search, next))))
    });
    let body = Body::from_stream(stream::once(ready(Ok(Bytes::from(begin)))).chain(rest));
    let (media_type, extension) = match format {
        Format::Jsonl => ("application/x-ndjson", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let disposition = format!("attachment; filename=\"{name}.{extension}\"");
    Ok(([(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response())
}

impl Format {
    fn header<V: Line>(self) -> Result<Vec<u8>, Cause> {
        match self {
            Self::Jsonl => Ok(Vec::new()),
            Self::Csv => table([V::HEADER.iter().map(|name| (*name).to_owned()).collect()]),
        }
    }

    fn lines<R, V: Line>(self, rows: Vec<R>, view: fn(R) -> Result<V, ApiError>) -> Result<Vec<u8>, Cause> {
        let views = rows.into_iter().map(view).collect::<Result<Vec<V>, _>>();
        let views = views.map_err(|error| format!("a row cannot be read: {error:?}"))?;
        match self {
            Self::Jsonl => {
                let mut lines = Vec::new();
                for view in views {
                    serde_json::to_writer(&mut lines, &view)?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Self::Csv => table(views.into_iter().map(|view| view.cells().into_iter().map(harmless).collect())),
        }
    }
}

fn table(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, Cause> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A cell that no spreadsheet takes for a formula, or for several of which one is: callers choose paths, and sysadmins
/// open the table. In many countries a spreadsheet takes a semicolon for the end of a cell, whatever quotes there are.
fn harmless(cell: String) -> String {
    let (mut text, mut begins) = (String::with_capacity(cell.len() + 1), true);
    for c in cell.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n') {
            text.push('\'');
        }
        text.push(c);
        begins = matches!(c, ';' | '\t' | '\r' | '\n') || (begins && matches!(c, '"' | ' '));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, i64);

    impl Line for Pair {
        const HEADER: &[&str] = &["text", "number"];

        fn cells(self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_string()]
        }
    }

    #[test]
    fn attack_a4_no_cell_of_a_table_is_a_formula_or_another_cell() {
        let texts = ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "a,b", "say \"x\"", "two\nlines", "é", "a=1"];
        let lines = Format::Csv.lines(texts.to_vec(), |text| Ok(Pair(text, 7))).unwrap();
        let expected = "'=1+1,7\r\n'+1,7\r\n'-1,7\r\n'@a,7\r\n'\tx,7\r\n\"'\rx\",7\r\n\"a,b\",7\r\n\"say \"\"x\"\"\",7\r\n\
                        \"two\nlines\",7\r\né,7\r\na=1,7\r\n";
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
        assert_eq!(Format::Csv.header::<Pair>().unwrap(), b"text,number\r\n");
    }

    #[test]
    fn attack_a4_no_part_of_a_cell_is_a_formula_where_semicolons_separate_cells() {
        for (text, expected) in [
            ("/x;=1+1", "/x;'=1+1"),
            ("{\"label\":\";\"=1\"}", "{\"label\":\";\"'=1\"}"),
            ("a; @x", "a; '@x"),
            ("a\n=1", "a\n'=1"),
            ("a;b;2026-11-24", "a;b;2026-11-24"),
        ] {
            assert_eq!(harmless(text.to_owned()), expected);
        }
    }
}
