//! A folder of pictures for each class.

use std::collections::BTreeMap;

use super::source::Source;
use super::{Content, Found, Part};
use crate::{Error, Result};

/// The endings of picture files, lower case.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

pub(super) fn find(source: &Source) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut loose = 0_usize;
    for file in source.files() {
        let key = file.key.as_str();
        let ending = key.rsplit('.').next().unwrap_or_default();
        if !ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
            continue;
        }
        let folders: Vec<&str> = key.split('/').collect();
        let (part, label) = match folders[..] {
            [first, label, _, ..] if part(first).is_some() => (part(first), label),
            [label, _, ..] if part(label).is_none() => (None, label),
            _ => {
                loose += 1;
                continue;
            }
        };
        found.push(Found {
            name: key.to_owned(),
            label: label.to_owned(),
            part,
            content: Content::Stored(file.key.clone()),
        });
    }
    if found.is_empty() {
        let url = source.url();
        return Err(Error::data(format!(
            "{url} holds no folder of pictures ({loose} lie outside one): each class is a folder, its name is the label"
        )));
    }
    let mut by_part = BTreeMap::new();
    for picture in &found {
        *by_part
            .entry(picture.part.map(Part::name))
            .or_insert(0_usize) += 1;
    }
    if by_part.len() > 1 && by_part.contains_key(&None) {
        let url = source.url();
        return Err(Error::data(format!(
            "{url} has folders of classes both beside and inside `train` and `test`: put all of them inside"
        )));
    }
    Ok(found)
}

/// The part that a folder's name stands for.
fn part(name: &str) -> Option<Part> {
    match name {
        "train" | "training" => Some(Part::Train),
        "valid" | "val" | "validation" => Some(Part::Valid),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}
