//! Lists of the API, page by page: of a million rows one page at a time is in memory.

use super::client::{Api, Connection};
use super::{CommandError, Query, print};
use serde_json::Value;
use std::process::ExitCode;

/// Rows of a page: the most that the API gives of most lists.
pub(super) const PAGE: u64 = 1000;

/// How much of a list is wanted.
#[derive(clap::Args)]
pub(crate) struct Limit {
    /// Stop after so many; without it, everything is listed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Rows under their heads, which come in pages.
pub(super) struct Table<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with these heads.
    pub(super) fn new(heads: [&'static str; N]) -> Self {
        Self { heads, widths: heads.map(str::len) }
    }

    /// The heads and the first rows, each column as wide as it must be.
    pub(super) fn head_and(&mut self, rows: &[[String; N]]) -> String {
        self.fit(rows);
        let heads = self.line(&self.heads);
        heads + &self.lines(rows)
    }

    /// More rows. A column only grows: what was printed cannot be moved any more.
    fn and(&mut self, rows: &[[String; N]]) -> String {
        self.fit(rows);
        self.lines(rows)
    }

    fn fit(&mut self, rows: &[[String; N]]) {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
    }

    fn lines(&self, rows: &[[String; N]]) -> String {
        rows.iter().map(|row| self.line(&row.each_ref().map(String::as_str))).collect()
    }

    fn line(&self, cells: &[&str; N]) -> String {
        let cells: Vec<String> = cells.iter().zip(self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    }
}

/// A page of a list as it came.
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    next: Value,
}

impl Page {
    /// Asks for the page after this cursor, of at most so many rows.
    pub(super) fn get(
        connection: &Connection<'_>,
        path: &str,
        query: &Query,
        rows: u64,
        after: Option<&str>,
    ) -> Result<Self, CommandError> {
        let mut query = query.clone();
        query.push(("limit", rows.to_string()));
        query.extend(after.map(|after| ("after", after.to_owned())));
        let mut answer = connection.get(path, &query)?;
        let Value::Array(items) = answer["items"].take() else {
            return Err(CommandError::NotOurs);
        };
        let page = Self { items, next: answer["next"].take() };
        // One that gives the same page again and again is none of ours.
        if after.is_some() && page.next().as_deref() == after {
            return Err(CommandError::NotOurs);
        }
        Ok(page)
    }

    /// Where the next page begins: the API's to say, whatever it is. There may be one although this one is empty.
    pub(super) fn next(&self) -> Option<String> {
        match &self.next {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// Prints a list, page after page, each of at most so many rows: as a table of these columns, or as one JSON document.
pub(super) fn list<const N: usize>(
    api: &Api,
    (path, most): (&str, u64),
    query: &Query,
    limit: &Limit,
    heads: [&'static str; N],
    row: impl Fn(&Value) -> [String; N],
) -> Result<ExitCode, CommandError> {
    let connection = api.connect()?;
    let mut table = Table::new(heads);
    let (mut shown, mut after, mut first) = (0_u64, None::<String>, true);
    loop {
        let wanted = limit.limit.map_or(most, |limit| (limit - shown).min(most));
        let page = Page::get(&connection, path, query, wanted, after.as_deref())?;
        let next = page.next();
        let last = next.is_none() || limit.limit.is_some_and(|limit| shown + page.items.len() as u64 >= limit);
        if api.json {
            let mut text = String::from(if first { "{\"items\":[" } else { "" });
            for item in &page.items {
                text += if shown == 0 { "\n" } else { ",\n" };
                text += &item.to_string();
                shown += 1;
            }
            if last {
                text += &format!("\n],\"next\":{}}}\n", page.next);
            }
            print(&text)?;
        } else {
            shown += page.items.len() as u64;
            let rows: Vec<_> = page.items.iter().map(&row).collect();
            print(&if first { table.head_and(&rows) } else { table.and(&rows) })?;
        }
        if last {
            return Ok(ExitCode::SUCCESS);
        }
        (after, first) = (next, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_it_must_be_and_never_narrower_again() {
        let mut table = Table::new(["A", "LONG"]);
        let row = |a: &str, b: &str| [[a.to_owned(), b.to_owned()]];
        assert_eq!(table.head_and(&row("Jürg", "x")), "A     LONG\nJürg  x\n");
        assert_eq!(table.and(&row("a", "y")), "a     y\n");
    }
}
