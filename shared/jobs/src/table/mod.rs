//! Rows of a file, one after the other, whatever its format.

mod csv;
mod jsonl;
#[cfg(feature = "parquet")]
mod parquet;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ::bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::source::Source;
use crate::{Error, Result};

/// How a file of rows is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON document a line.
    Jsonl,
    /// Comma-separated values; the first record names the columns.
    Csv,
    /// Parquet; needs the feature `parquet`.
    Parquet,
}

/// A row, and what of the file it was.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// Its bytes in the file, for progress: a share of the file where they are not known.
    pub(crate) bytes: u64,
    /// What it holds, or why it can't be read.
    pub(crate) fields: Result<Fields, String>,
}

/// What a row holds.
#[derive(Debug)]
pub(crate) enum Fields {
    /// One JSON document, as it was written.
    Json(Bytes),
    /// Values by column.
    Columns(Vec<(Arc<str>, Cell)>),
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Null, a number, text, or a list of them.
    Value(Value),
    /// Bytes as they are.
    #[cfg_attr(
        not(feature = "parquet"),
        allow(dead_code, reason = "other formats carry text alone")
    )]
    Bytes(Bytes),
}

/// Rows of a file. An error ends it: what follows can't be read.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row>>>;

impl Format {
    /// By the ending of a name.
    pub fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Its word, which is also its ending.
    pub fn word(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Refuses what this program is built without.
    pub(crate) fn check(self) -> Result<()> {
        if self == Self::Parquet && !cfg!(feature = "parquet") {
            return Err(Error::invalid(
                "this program is built without Parquet; use `dunlin batch`, or JSONL or CSV",
            ));
        }
        Ok(())
    }

    /// Opens a file. No row may be longer than `limit` bytes.
    pub(crate) fn open(self, source: &Source, limit: usize) -> Result<Rows> {
        match self {
            Self::Jsonl => Ok(Box::new(jsonl::Lines::new(source.read(), limit))),
            Self::Csv => Ok(Box::new(csv::Records::open(source.read(), limit)?)),
            #[cfg(feature = "parquet")]
            Self::Parquet => parquet::open(source, limit),
            #[cfg(not(feature = "parquet"))]
            Self::Parquet => Err(Error::internal("Parquet was not refused")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Jsonl, Self::Csv, Self::Parquet]
            .into_iter()
            .find(|format| format.word() == text)
            .ok_or_else(|| "one of jsonl, csv and parquet".to_owned())
    }
}
