//! Lists of the API, page by page: of a million rows one page at a time is in memory.

use super::client::Api;
use super::{CommandError, Query, print};
use serde_json::Value;
use std::process::ExitCode;

/// Rows of a page: as many as every list gives.
const PAGE: u64 = 100;

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

/// Prints a list, page after page: as a table of these columns, or as one JSON document.
pub(super) fn list<const N: usize>(
    api: &Api,
    path: &str,
    query: &Query,
    limit: &Limit,
    heads: [&'static str; N],
    row: impl Fn(&Value) -> [String; N],
) -> Result<ExitCode, CommandError> {
    let connection = api.connect()?;
    let mut table = Table::new(heads);
    let (mut shown, mut after, mut first) = (0, None, true);
    loop {
        let wanted = limit.limit.map_or(PAGE, |most| (most - shown).min(PAGE));
        let mut query = query.clone();
        query.push(("limit", wanted.to_string()));
        query.extend(after.clone().map(|after| ("after", after)));
        let answer = connection.get(path, &query)?;
        let items = answer["items"].as_array().ok_or(CommandError::NotOurs)?;
        shown += items.len() as u64;
        let next = cursor(&answer["next"]);
        // One that gives the same page again and again is none of ours.
        if next.is_some() && next == after {
            return Err(CommandError::NotOurs);
        }
        let last = next.is_none() || limit.limit.is_some_and(|most| shown >= most);
        if api.json {
            let mut text = String::from(if first { "{\"items\":[" } else { "" });
            for (index, item) in items.iter().enumerate() {
                text += if first && index == 0 { "\n" } else { ",\n" };
                text += &item.to_string();
            }
            if last {
                text += &format!("\n],\"next\":{}}}\n", answer["next"]);
            }
            print(&text)?;
        } else {
            let rows: Vec<_> = items.iter().map(&row).collect();
            print(&if first { table.head_and(&rows) } else { table.and(&rows) })?;
        }
        if last {
            return Ok(ExitCode::SUCCESS);
        }
        (after, first) = (next, false);
    }
}

/// Where the next page begins: the API's to say, whatever it is.
fn cursor(next: &Value) -> Option<String> {
    match next {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
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
