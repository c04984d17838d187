//! JSON lines: an object a line.

use std::io::{BufRead as _, BufReader, Read};

use serde_json::{Map, Value};

use super::{Column, Row, Rows, not_utf8};
use crate::Error;

pub(super) fn rows(table: &str, bytes: Box<dyn Read>, wanted: &[Column<'_>]) -> Rows {
    let table = table.to_owned();
    let wanted: Vec<String> = wanted.iter().map(|column| column.name.to_owned()).collect();
    let lines = BufReader::new(bytes).split(b'\n').zip(1..);
    let blank = |line: &[u8]| line.trim_ascii().is_empty();
    let lines = lines.filter(move |(line, _)| !line.as_ref().is_ok_and(|line| blank(line)));
    Box::new(lines.map(move |(line, number)| {
        let unread = |error| Error::data(format!("{table} can't be read")).because(error);
        let cells = object(&line.map_err(unread)?).map(|fields| {
            let cell = |name: &String| fields.get(name).cloned().unwrap_or(Value::Null);
            wanted.iter().map(cell).collect()
        });
        Ok(Row { number, cells })
    }))
}

/// Those of the first sound object.
pub(super) fn names(bytes: Box<dyn Read>) -> Vec<String> {
    let mut lines = BufReader::new(bytes).split(b'\n').map_while(Result::ok);
    let first = lines.find_map(|line| object(&line).ok());
    first.map_or(Vec::new(), |fields| {
        fields.into_iter().map(|(name, _)| name).collect()
    })
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = std::str::from_utf8(line).map_err(not_utf8)?;
    serde_json::from_str(line).map_err(|error| format!("it is no JSON object: {error}"))
}
