//! CSV: a first row of names, then a row a line.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::Value;

use super::{Column, Row, Rows, not_utf8};
use crate::{Error, Result};

pub(super) fn rows(table: &str, bytes: Box<dyn Read>, wanted: &[Column<'_>]) -> Result<Rows> {
    let (reader, names) = open(table, bytes)?;
    let places = wanted.iter().map(|column| column.place(table, &names));
    let places = places.collect::<Result<Vec<usize>>>()?;
    let table = table.to_owned();
    Ok(Box::new(reader.into_byte_records().map(move |record| {
        let record = record.map_err(|error| unread(&table, error))?;
        Ok(Row {
            number: record.position().map_or(0, csv::Position::line),
            cells: cells(&record, names.len(), &places),
        })
    })))
}

pub(super) fn names(table: &str, bytes: Box<dyn Read>) -> Result<Vec<String>> {
    Ok(open(table, bytes)?.1)
}

/// A file after its first row, and the names in that.
type Opened = (Reader<Box<dyn Read>>, Vec<String>);

fn open(table: &str, bytes: Box<dyn Read>) -> Result<Opened> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bytes);
    let names = reader
        .byte_headers()
        .map_err(|error| unread(table, error))?;
    let names = names
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    let names = names.collect();
    Ok((reader, names))
}

fn cells(record: &ByteRecord, want: usize, places: &[usize]) -> Result<Vec<Value>, String> {
    if record.len() != want {
        return Err(format!("it has {} fields, not {want}", record.len()));
    }
    let cell = |&place: &usize| {
        let text = std::str::from_utf8(&record[place]).map_err(not_utf8)?;
        Ok(Value::String(text.to_owned()))
    };
    places.iter().map(cell).collect()
}

fn unread(table: &str, error: csv::Error) -> Error {
    Error::data(format!("{table} can't be read")).because(error)
}
