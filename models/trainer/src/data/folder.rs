//! A folder of examples for each class.

use std::collections::BTreeMap;

use super::{Content, Found, Part, Source};
use crate::{Error, Result};

/// The files that are examples; `unit` is what they are called.
pub(super) fn find(
    source: &Source,
    unit: &str,
    is_example: impl Fn(&str) -> bool,
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut loose = 0_usize;
    for file in source.files() {
        let key = file.key.as_str();
        if !is_example(key) {
            continue;
        }
        let folders: Vec<&str> = key.split('/').collect();
        let (part, label) = match folders[..] {
            [first, label, _, ..] if Part::named(first).is_some() => (Part::named(first), label),
            [label, _, ..] if Part::named(label).is_none() => (None, label),
            _ => {
                loose += 1;
                continue;
            }
        };
        found.push(Found {
            name: key.to_owned(),
            label: Some(label.to_owned()),
            part,
            values: Vec::new(),
            content: Content::Stored(file.key.clone()),
        });
    }
    let url = source.url();
    if found.is_empty() {
        return Err(Error::data(format!(
            "{url} holds no folder of {unit} ({loose} lie outside one): each class is a folder, its name is the label"
        )));
    }
    let mut by_part = BTreeMap::new();
    for example in &found {
        let count = by_part.entry(example.part.map(Part::name)).or_insert(0);
        *count += 1;
    }
    if by_part.len() > 1 && by_part.contains_key(&None) {
        return Err(Error::data(format!(
            "{url} has folders of classes both beside and inside `train` and `test`: put all of them inside"
        )));
    }
    Ok(found)
}
