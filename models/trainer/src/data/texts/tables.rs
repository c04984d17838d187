//! Texts in tables, each beside a label or beside another text.

use bytes::Bytes;
use serde_json::Value;

use super::{Beside, TextOptions, held, held_pair};
use crate::data::source::known_label;
use crate::data::tables::{self, Column};
use crate::data::{Census, Content, Found, Source};
use crate::{Error, Result};

pub(super) fn find(
    source: &Source,
    options: &TextOptions,
    slice_by: &[String],
    census: &mut Census,
) -> Result<Vec<Found>> {
    let names = source.class_names("labels.txt")?;
    let (beside, option) = match &options.beside {
        Beside::Label(name) => (name, "--label"),
        Beside::Pair(name) => (name, "--pair"),
    };
    let wanted = [(&options.text, "--text"), (beside, option)];
    let mut columns = wanted
        .map(|(name, option)| Column { name, option })
        .to_vec();
    columns.extend(tables::slicing(slice_by));
    let mut found = Vec::new();
    for file in source.tables() {
        let key = file.key.as_str();
        let part = tables::part(key);
        for row in tables::rows(source, file, &columns)? {
            let row = row?;
            let name = format!("{key}:{}", row.number);
            let read =
                |cells: Vec<Value>| Ok((read(&cells, options)?, tables::slice_values(&cells[2..])));
            match row.cells.and_then(read) {
                Err(why) => census.damage(&name, &why),
                Ok(((content, label), values)) => found.push(Found {
                    label: label
                        .map(|label| known_label(&names, label, &name))
                        .transpose()?,
                    name,
                    part,
                    values,
                    content,
                }),
            }
        }
    }
    if found.is_empty() {
        let (url, [text, beside]) = (source.url(), wanted.map(|(name, _)| name));
        let damaged = census.damaged_files.join("\n  ");
        return Err(Error::data(format!(
            "{url} holds no row with a \"{text}\" and a \"{beside}\"\n  {damaged}"
        )));
    }
    Ok(found)
}

/// A text and its label, or two texts.
fn read(cells: &[Value], options: &TextOptions) -> Result<(Content, Option<String>), String> {
    let text = tables::text(&cells[0], &options.text)?;
    match &options.beside {
        Beside::Label(name) => {
            let label = tables::label(&cells[1], name)?;
            Ok((held(Bytes::from(text)), Some(label)))
        }
        Beside::Pair(name) => {
            let pair = tables::text(&cells[1], name)?;
            Ok((held_pair([text, pair].map(Bytes::from)), None))
        }
    }
}
