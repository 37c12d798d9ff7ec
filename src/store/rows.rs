//! Reading rows without trust: a value that cannot be read costs its row, not the run, and is told.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;

use super::sqlite::Row;
use crate::base::redact::redact;

/// What a table holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    /// Rows that could not be read; each deserves a warning.
    pub ignored: Vec<Ignored>,
}

/// A row that could not be read. It stays in the store until something new is written in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    pub table: &'static str,
    /// The row's key, as far as it can be read.
    pub key: String,
    /// Column and cause.
    pub why: String,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store's row `{}` in `{}` is unreadable and ignored: {}", self.key, self.table, self.why)
    }
}

/// Reads all `rows`; `key` are the columns that name one.
pub(super) fn read_all<T>(
    table: &'static str,
    key: &[&str],
    rows: &[Row],
    read: impl Fn(&Columns<'_>) -> Result<T, String>,
) -> Rows<T> {
    let mut found = Rows { rows: Vec::with_capacity(rows.len()), ignored: Vec::new() };
    for row in rows {
        let columns = Columns(row);
        match read(&columns) {
            Ok(value) => found.rows.push(value),
            Err(why) => {
                let key: Vec<String> = key.iter().map(|column| columns.lossy(column)).collect();
                found.ignored.push(Ignored { table, key: redact(&key.join(" ")), why: redact(&why) });
            }
        }
    }
    found
}

/// One row's values, each checked when it is read; an error names the column.
pub(super) struct Columns<'r>(&'r Row);

impl Columns<'_> {
    pub fn text(&self, column: &str) -> Result<String, String> {
        self.0.try_get(column).map_err(|error| error.to_string())
    }

    pub fn optional_text(&self, column: &str) -> Result<Option<String>, String> {
        self.0.try_get(column).map_err(|error| error.to_string())
    }

    pub fn flag(&self, column: &str) -> Result<bool, String> {
        self.0.try_get(column).map_err(|error| error.to_string())
    }

    /// A whole number that fits its type.
    pub fn number<N: TryFrom<i64>>(&self, column: &str) -> Result<N, String> {
        self.optional_number(column)?.ok_or_else(|| format!("column `{column}` is empty"))
    }

    pub fn optional_number<N: TryFrom<i64>>(&self, column: &str) -> Result<Option<N>, String> {
        let value: Option<i64> = self.0.try_get(column).map_err(|error| error.to_string())?;
        let convert =
            |value: i64| N::try_from(value).map_err(|_| format!("column `{column}`: {value} is out of range"));
        value.map(convert).transpose()
    }

    /// A text that something is parsed from: a time, a path.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, column: &str) -> Result<Option<T>, String> {
        let parse = |text: String| text.parse().map_err(|error| format!("column `{column}`: {error}"));
        self.optional_text(column)?.map(parse).transpose()
    }

    pub fn json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, String> {
        let parse = |text: String| serde_json::from_str(&text).map_err(|error| format!("column `{column}`: {error}"));
        self.optional_text(column)?.map(parse).transpose()
    }

    fn lossy(&self, column: &str) -> String {
        self.text(column).or_else(|_| self.number::<i64>(column).map(|n| n.to_string())).unwrap_or_else(|_| "?".into())
    }
}

/// A count as SQL databases keep it: signed. Nothing real is over `i64::MAX` bytes or refs.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
