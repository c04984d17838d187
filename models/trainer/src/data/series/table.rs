//! A CSV file whose columns are numbers over time.

use std::ops::Range;

use bytes::Bytes;

use crate::data::{Census, Part};
use crate::{Error, Result};

/// Rows, equally far apart in time, the oldest first.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) part: Option<Part>,
    /// The columns that are seen.
    pub(super) columns: Vec<String>,
    /// The first row, with its line break.
    pub(super) header: Bytes,
    pub(super) rows: Vec<Row>,
    bytes: Bytes,
}

/// A row: its numbers, and where it stands.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    /// One for each column; not a number if the row is damaged.
    pub(super) values: Vec<f64>,
    bytes: Range<usize>,
}

impl Table {
    /// `wanted`: the columns; none are all that hold a number in the first row.
    pub(super) fn read(
        key: &str,
        bytes: &Bytes,
        wanted: &[String],
        census: &mut Census,
    ) -> Result<Self> {
        let unread = |error: csv::Error| Error::data(format!("{key} can't be read")).because(error);
        let mark = if bytes.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let bytes = bytes.slice(mark..);
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(&bytes[..]);
        let names: Vec<String> = reader
            .byte_headers()
            .map_err(unread)?
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let mut at = reader.position().byte() as usize;
        let header = bytes.slice(..at);
        let mut places = places(key, &names, wanted)?;
        let mut rows = Vec::new();
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(unread)? {
            let number = |place: usize| -> Option<f64> {
                // A row of another length is one that serving refuses.
                if record.len() != names.len() {
                    return None;
                }
                let text = std::str::from_utf8(record.get(place)?).ok()?;
                text.trim()
                    .parse()
                    .ok()
                    .filter(|value: &f64| value.is_finite())
            };
            if rows.is_empty() && wanted.is_empty() {
                places.retain(|&place| number(place).is_some());
            }
            let line = record.position().map_or(0, csv::Position::line);
            let values: Vec<Option<f64>> = places.iter().map(|&place| number(place)).collect();
            if let Some(missing) = values.iter().position(Option::is_none) {
                let column = &names[places[missing]];
                census.damage(
                    &format!("{key}:{line}"),
                    &format!("\"{column}\" is no number"),
                );
            }
            let end = reader.position().byte() as usize;
            rows.push(Row {
                line,
                values: values
                    .into_iter()
                    .map(|value| value.unwrap_or(f64::NAN))
                    .collect(),
                bytes: at..end,
            });
            at = end;
        }
        if places.is_empty() {
            return Err(Error::data(format!("{key} has no column of numbers")));
        }
        let stem = key
            .rsplit('/')
            .next()
            .and_then(|name| name.split('.').next());
        Ok(Self {
            name: key.to_owned(),
            part: stem.and_then(Part::named),
            columns: places.iter().map(|&place| names[place].clone()).collect(),
            header,
            rows,
            bytes,
        })
    }

    /// Some rows, as they lie in the file.
    pub(super) fn slice(&self, rows: Range<usize>) -> Bytes {
        self.bytes
            .slice(self.rows[rows.start].bytes.start..self.rows[rows.end - 1].bytes.end)
    }
}

/// Where the wanted columns are.
fn places(key: &str, names: &[String], wanted: &[String]) -> Result<Vec<usize>> {
    if wanted.is_empty() {
        return Ok((0..names.len()).collect());
    }
    let place = |name: &String| {
        names.iter().position(|known| known == name).ok_or_else(|| {
            let known = names.join(", ");
            Error::data(format!(
                "{key} has no column \"{name}\", only {known}: --columns names others"
            ))
        })
    };
    wanted.iter().map(place).collect()
}
