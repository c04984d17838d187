//! Comma-separated values (RFC 4180); the first record names the columns.

use std::io::{self, Read};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::Value;

use super::{Cell, Fields, Row};
use crate::{Error, Result};

/// Columns that a file may have.
const COLUMNS: usize = 10_000;

/// The records of a file.
pub(super) struct Records<R> {
    read: Reader<Bounded<R>>,
    columns: Vec<Arc<str>>,
    record: ByteRecord,
    limit: usize,
    number: u64,
    ended: bool,
}

/// Ends a record that never ends, such as one with a quote left open.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(
                "the record is longer than the limit of an input: is a quote left open?",
            ));
        }
        let read = self.inner.read(into)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl<R: Read> Records<R> {
    pub(super) fn open(inner: R, limit: usize) -> Result<Self> {
        let bounded = Bounded { inner, left: limit };
        let mut read = ReaderBuilder::new()
            .flexible(true)
            .buffer_capacity(256 << 10)
            .from_reader(bounded);
        let headers = read.headers().map_err(|error| {
            Error::invalid(format!("cannot read the names of columns: {error}"))
        })?;
        if headers.len() > COLUMNS {
            return Err(Error::invalid(format!(
                "the file has {} columns; the limit is {COLUMNS}",
                headers.len()
            )));
        }
        let names = headers
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}'));
        let columns = names.map(|name| Arc::from(name.trim())).collect();
        Ok(Self {
            read,
            columns,
            record: ByteRecord::new(),
            limit,
            number: 0,
            ended: false,
        })
    }

    fn fields(&self) -> Result<Fields, String> {
        let (has, want) = (self.record.len(), self.columns.len());
        if has != want {
            return Err(format!(
                "the record has {has} fields; the first line names {want}"
            ));
        }
        let cells = self.columns.iter().zip(&self.record);
        let cells = cells.map(|(name, field)| {
            let text =
                std::str::from_utf8(field).map_err(|_| format!("column {name:?} is not UTF-8"))?;
            let value = match text {
                "" => Value::Null,
                text => text.into(),
            };
            Ok((name.clone(), Cell::Value(value)))
        });
        cells.collect::<Result<_, String>>().map(Fields::Columns)
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.read.get_mut().left = self.limit;
        let start = self.read.position().byte();
        match self.read.read_byte_record(&mut self.record) {
            Ok(true) => {
                let number = self.number;
                self.number += 1;
                Some(Ok(Row {
                    number,
                    bytes: self.read.position().byte() - start,
                    fields: self.fields(),
                }))
            }
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                let record = self.number + 1;
                Some(Err(Error::invalid(format!(
                    "cannot read record {record} of the source: {error}"
                ))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, limit: usize) -> Vec<String> {
        let rows = Records::open(text.as_bytes(), limit).unwrap();
        rows.map(|row| match row.map(|row| row.fields) {
            Ok(Ok(Fields::Columns(cells))) => {
                let cells = cells.iter().map(|(name, cell)| match cell {
                    Cell::Value(value) => format!("{name}={value}"),
                    Cell::Bytes(bytes) => format!("{name}={bytes:?}"),
                });
                cells.collect::<Vec<_>>().join(" ")
            }
            Ok(Ok(other)) => format!("{other:?}"),
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        })
        .collect()
    }

    #[test]
    fn quotes_empty_fields_and_records_of_another_length() {
        let text = "\u{feff}id, text\n1,\"a, \"\"b\"\"\nc\"\n2,\n3\n4,d\n";
        let want = [
            "id=\"1\" text=\"a, \\\"b\\\"\\nc\"",
            "id=\"2\" text=null",
            "the record has 1 fields; the first line names 2",
            "id=\"4\" text=\"d\"",
        ];
        assert_eq!(told(text, 1000), want);
    }

    #[test]
    fn a_quote_left_open_does_not_fill_the_memory() {
        let text = format!("a\n\"{}", "x".repeat(2 << 20));
        let rows = told(&text, 300 << 10);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].contains("quote left open"), "{rows:?}");
    }
}
