//! The last rows of a table.

use std::collections::VecDeque;

use bytes::Bytes;
use csv::StringRecord;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Error, Limits, Result};

/// What is wanted of a table.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    /// Columns by name; none: all that hold numbers.
    pub(crate) columns: Option<&'a [String]>,
    /// How many columns.
    pub(crate) count: usize,
    /// How many rows, the last ones.
    pub(crate) length: usize,
}

/// The window of a CSV file, row by row.
pub(crate) fn from_csv(body: &Bytes, window: &Window<'_>, limits: &Limits) -> Result<Vec<f64>> {
    check_bytes(body.len(), limits)?;
    let unread = |error: csv::Error| {
        let message = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "the table is not UTF-8 text".to_owned(),
            _ => format!("the table can't be read: {error}"),
        };
        Error::input(message).because(error)
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(&body[..]);
    let mut records = reader.records();
    let Some(first) = records.next().transpose().map_err(unread)? else {
        return Err(Error::input("the table is empty"));
    };
    // A table without names starts with a row of numbers.
    let header = first
        .iter()
        .any(|cell| number(cell).is_none())
        .then_some(&first);
    let mut rows = VecDeque::new();
    let mut seen = 0;
    if header.is_none() {
        rows.push_back(first.clone());
        seen = 1;
    }
    for record in records {
        seen += 1;
        check_rows(seen, limits)?;
        if rows.len() == window.length {
            rows.pop_front();
        }
        rows.push_back(record.map_err(unread)?);
    }
    check_length(seen, window)?;
    let columns = choose(header, &rows, window)?;
    let skipped = seen - rows.len();
    let mut values = Vec::with_capacity(rows.len() * columns.len());
    for (at, row) in rows.iter().enumerate() {
        for &column in &columns {
            let cell = &row[column];
            values.push(number(cell).ok_or_else(|| {
                let name = name_of(header, column);
                let what = if cell.is_empty() {
                    "is empty".to_owned()
                } else {
                    format!("is {cell:?}, which is no finite number")
                };
                Error::input(format!("row {}, column {name}: {what}", skipped + at + 1))
                    .advise("fill gaps before sending the series")
            })?);
        }
    }
    Ok(values)
}

/// The window of rows in JSON: `[[1, 2], …]`, or `[1, …]` for one column.
pub(crate) fn from_json(
    series: &RawValue,
    window: &Window<'_>,
    limits: &Limits,
) -> Result<Vec<f64>> {
    type Cell = Option<f64>;
    let text = series.get();
    check_bytes(text.len(), limits)?;
    let inner = text.strip_prefix('[').unwrap_or_default().trim_start();
    let rows: Vec<Vec<Cell>> = if inner.starts_with('[') {
        read(text)?
    } else {
        read::<Vec<Cell>>(text)?
            .into_iter()
            .map(|cell| vec![cell])
            .collect()
    };
    check_rows(rows.len(), limits)?;
    check_length(rows.len(), window)?;
    let skipped = rows.len() - window.length;
    let mut values = Vec::with_capacity(window.length * window.count);
    for (at, row) in rows[skipped..].iter().enumerate() {
        let at = skipped + at + 1;
        if row.len() != window.count {
            return Err(Error::input(format!(
                "row {at} has {} values; the model takes {} columns",
                row.len(),
                window.count
            )));
        }
        for (column, cell) in row.iter().enumerate() {
            values.push(cell.ok_or_else(|| {
                Error::input(format!("row {at}, column {}: null", column + 1))
                    .advise("fill gaps before sending the series")
            })?);
        }
    }
    Ok(values)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::input(format!(
            "`series` is a list of numbers, or of rows of numbers: {error}"
        ))
        .because(error)
    })
}

/// The places of the columns.
fn choose(
    header: Option<&StringRecord>,
    rows: &VecDeque<StringRecord>,
    window: &Window<'_>,
) -> Result<Vec<usize>> {
    let width = rows.front().map_or(0, StringRecord::len);
    let Some((header, names)) = header.zip(window.columns) else {
        // Of a column with gaps the first cell that is none tells.
        let numbers = |&column: &usize| {
            let mut cells = rows.iter().map(|row| &row[column]);
            cells
                .find(|cell| !cell.is_empty())
                .is_some_and(|cell| number(cell).is_some())
        };
        let columns: Vec<usize> = (0..width).filter(numbers).collect();
        if columns.len() == window.count {
            return Ok(columns);
        }
        let names: Vec<String> = columns.iter().map(|&at| name_of(header, at)).collect();
        return Err(Error::input(format!(
            "the table has {} columns of numbers ({}); the model takes {}",
            columns.len(),
            names.join(", "),
            window.count
        )));
    };
    let place = |name: &String| {
        let found = header.iter().position(|known| known == name);
        found.ok_or_else(|| {
            let known: Vec<String> = header.iter().map(|name| format!("{name:?}")).collect();
            Error::input(format!(
                "the table has no column {name:?}; its first row names {}",
                known.join(", ")
            ))
        })
    };
    names.iter().map(place).collect()
}

fn name_of(header: Option<&StringRecord>, column: usize) -> String {
    match header.and_then(|header| header.get(column)) {
        Some(name) => format!("{name:?}"),
        None => (column + 1).to_string(),
    }
}

fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

fn check_bytes(bytes: usize, limits: &Limits) -> Result<()> {
    if bytes <= limits.series_bytes {
        return Ok(());
    }
    Err(Error::too_large(format!(
        "the series has {bytes} bytes; the limit is {}",
        limits.series_bytes
    )))
}

fn check_rows(rows: usize, limits: &Limits) -> Result<()> {
    if rows <= limits.series_rows {
        return Ok(());
    }
    Err(Error::too_large(format!(
        "the series has more than {} rows, the limit",
        limits.series_rows
    ))
    .advise("send the last ones: the model sees no others"))
}

fn check_length(rows: usize, window: &Window<'_>) -> Result<()> {
    if rows >= window.length {
        return Ok(());
    }
    Err(Error::input(format!(
        "the series has {rows} rows; the model looks at the last {}",
        window.length
    )))
}
