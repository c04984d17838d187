//! Rows of tables, one after the other: CSV with a first row of names, a JSON object a line, or
//! Parquet. CSV and JSON lines may be packed (`.gz`).

mod csv;
mod json;
mod parquet;

use std::io::{self, Read};

use dunlin_storage::ObjectMeta;
use flate2::read::GzDecoder;
use serde_json::Value;

use super::source::{FILE_LIMIT, ending};
use super::{Part, Source};
use crate::{Error, Result};

/// A column that is wanted, and the option that names another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) option: &'static str,
}

/// A row of a table.
#[derive(Debug)]
pub(super) struct Row {
    /// Its line; in Parquet, its number. The first is 1.
    pub(super) number: u64,
    /// The wanted cells, or why it has none.
    pub(super) cells: Result<Vec<Value>, String>,
}

/// Rows of a file. An error ends it: what follows can't be read.
pub(super) type Rows = Box<dyn Iterator<Item = Result<Row>>>;

/// Whether a file is a table, by its name.
pub(super) fn is_table(name: &str) -> bool {
    matches!(ending(name), Some("csv" | "jsonl" | "ndjson" | "parquet"))
}

/// The part that a table is of, if its name says so.
pub(super) fn part(name: &str) -> Option<Part> {
    let file = name.rsplit('/').next()?;
    Part::named(file.split('.').next()?)
}

/// The wanted cells of each row.
pub(super) fn rows(source: &Source, meta: &ObjectMeta, wanted: &[Column<'_>]) -> Result<Rows> {
    match ending(meta.key.as_str()) {
        Some("csv") => csv::rows(meta.key.as_str(), reader(source, meta), wanted),
        Some("parquet") => parquet::rows(source.file(meta), wanted),
        _ => Ok(json::rows(meta.key.as_str(), reader(source, meta), wanted)),
    }
}

/// The names of all columns; of JSON lines, those that the first sound object has.
pub(super) fn names(source: &Source, meta: &ObjectMeta) -> Result<Vec<String>> {
    match ending(meta.key.as_str()) {
        Some("csv") => csv::names(meta.key.as_str(), reader(source, meta)),
        Some("parquet") => parquet::names(source.file(meta)),
        _ => Ok(json::names(reader(source, meta))),
    }
}

/// A cell as text: that of a word or a number.
pub(super) fn text(cell: &Value, name: &str) -> Result<String, String> {
    match cell {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(cell.to_string()),
        _ => Err(format!("it has no \"{name}\"")),
    }
}

/// A cell as a label.
pub(super) fn label(cell: &Value, name: &str) -> Result<String, String> {
    let label = text(cell, name)?.trim().to_owned();
    if label.is_empty() {
        return Err("its label is empty".to_owned());
    }
    Ok(label)
}

/// A cell as a number, whatever it is written as.
pub(super) fn number(cell: &Value) -> Option<f64> {
    let number = match cell {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// The columns that examples are sliced by.
pub(super) fn slicing(names: &[String]) -> impl Iterator<Item = Column<'_>> {
    let option = "--slice-by";
    names.iter().map(move |name| Column { name, option })
}

/// Cells that examples are sliced by: one that holds nothing is one, too.
pub(super) fn slice_values(cells: &[Value]) -> Vec<String> {
    let value = |cell| text(cell, "").unwrap_or_default().trim().to_owned();
    cells.iter().map(value).collect()
}

/// The bytes of a file, unpacked.
fn reader(source: &Source, meta: &ObjectMeta) -> Box<dyn Read> {
    let file = source.file(meta).read_from(0);
    if meta.key.as_str().rsplit('.').next() != Some("gz") {
        return Box::new(file);
    }
    Box::new(Limited {
        bytes: GzDecoder::new(file),
        left: FILE_LIMIT,
    })
}

/// Fails after so many bytes: few packed ones can become very many.
struct Limited<R> {
    bytes: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.read(into)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it unpacks to more than the {FILE_LIMIT} bytes that are allowed"
            ))
        })?;
        Ok(length)
    }
}

impl Column<'_> {
    /// Its place among the names of a table.
    fn place(&self, table: &str, names: &[String]) -> Result<usize> {
        let found = names.iter().position(|known| known == self.name);
        found.ok_or_else(|| {
            Error::data(format!(
                "{table} has no column \"{}\", only {}: {} names another",
                self.name,
                names.join(", "),
                self.option
            ))
        })
    }
}

fn not_utf8(error: std::str::Utf8Error) -> String {
    format!("it is not UTF-8, at byte {}", error.valid_up_to())
}
