//! Texts and labels in tables: CSV with a first row of names, or a JSON object a line.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{TextOptions, held};
use crate::data::source::{ending, is_table};
use crate::data::{Census, Found, Part, Source};
use crate::{Error, Result};

/// A row that is sound has a text and a label.
type Row = std::result::Result<[String; 2], String>;

pub(super) fn find(
    source: &Source,
    options: &TextOptions,
    census: &mut Census,
) -> Result<Vec<Found>> {
    let names = source.class_names("labels.txt")?;
    let mut found = Vec::new();
    for file in source.files() {
        let key = file.key.as_str();
        if !is_table(key) {
            continue;
        }
        let bytes = source.read_unpacked(&file.key)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let stem = key
            .rsplit('/')
            .next()
            .and_then(|name| name.split('.').next());
        let part = stem.and_then(Part::named);
        let rows = if ending(key) == Some("csv") {
            csv_rows(key, bytes, options)?
        } else {
            json_rows(bytes, options)
        };
        for (line, row) in rows {
            let name = format!("{key}:{line}");
            match row {
                Err(why) => census.damage(&name, &why),
                Ok([text, label]) => found.push(Found {
                    label: known(&names, label, &name)?,
                    name,
                    part,
                    content: held(Bytes::from(text)),
                }),
            }
        }
    }
    if found.is_empty() {
        let url = source.url();
        let damaged = census.damaged_files.join("\n  ");
        return Err(Error::data(format!(
            "{url} holds no row with a text and a label\n  {damaged}"
        )));
    }
    Ok(found)
}

/// The label as `labels.txt` has it: that name, or the name of that number.
fn known(names: &[String], label: String, place: &str) -> Result<String> {
    if names.is_empty() || names.contains(&label) {
        return Ok(label);
    }
    let number = label.parse::<usize>().ok();
    number.and_then(|number| names.get(number)).cloned().ok_or_else(|| {
        let last = names.len() - 1;
        Error::data(format!(
            "{place}: label \"{label}\" is out of range: labels.txt has no such name, and numbers are 0 to {last}"
        ))
    })
}

fn csv_rows(key: &str, bytes: &[u8], options: &TextOptions) -> Result<Vec<(u64, Row)>> {
    let unread = |error: csv::Error| Error::data(format!("{key} can't be read")).because(error);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(unread)?.clone();
    let column = |name: &str, option: &str| {
        let found = header.iter().position(|known| known == name.as_bytes());
        found.ok_or_else(|| {
            let known: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
            let known = known.join(", ");
            Error::data(format!(
                "{key} has no column \"{name}\", only {known}: {option} names another"
            ))
        })
    };
    let columns = [
        column(&options.text, "--text")?,
        column(&options.label, "--label")?,
    ];
    let mut rows = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(unread)? {
        let line = record.position().map_or(0, csv::Position::line);
        let (got, want) = (record.len(), header.len());
        let row = if got == want {
            columns.map(|at| String::from_utf8(record[at].to_vec()).map_err(|e| not_utf8(&e)))
        } else {
            [0; 2].map(|_| Err(format!("it has {got} fields, not {want}")))
        };
        let [text, label] = row;
        rows.push((line, text.and_then(|text| Ok([text, checked(&label?)?]))));
    }
    Ok(rows)
}

fn json_rows(bytes: &[u8], options: &TextOptions) -> Vec<(u64, Row)> {
    let lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines
        .map(|(line, number)| (number, json_row(line, options)))
        .collect()
}

fn json_row(line: &[u8], options: &TextOptions) -> Row {
    if let Err(error) = std::str::from_utf8(line) {
        return Err(format!("it is not UTF-8, at byte {}", error.valid_up_to()));
    }
    let fields: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("it is no JSON object: {error}"))?;
    let field = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        _ => Err(format!("it has no \"{name}\"")),
    };
    Ok([field(&options.text)?, checked(&field(&options.label)?)?])
}

fn checked(label: &str) -> std::result::Result<String, String> {
    let label = label.trim();
    if label.is_empty() {
        return Err("its label is empty".to_owned());
    }
    Ok(label.to_owned())
}

fn not_utf8(error: &std::string::FromUtf8Error) -> String {
    let at = error.utf8_error().valid_up_to();
    format!("it is not UTF-8, at byte {at}")
}
