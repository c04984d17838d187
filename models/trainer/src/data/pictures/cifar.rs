//! CIFAR-10's binary version: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use dunlin_registry::Digest;
use image::ExtendedColorType;

use super::idx::png;
use crate::data::source::{Source, label};
use crate::data::{Content, Found, Part};
use crate::{Error, Result};

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;

/// A label, and a plane each of red, green and blue.
const RECORD: usize = 1 + 3 * PIXELS;

const CLASSES: u8 = 10;

fn part(name: &str) -> Option<Part> {
    let name = name.rsplit('/').next().unwrap_or_default();
    match name.strip_suffix(".bin")? {
        "test_batch" => Some(Part::Test),
        batch if batch.starts_with("data_batch_") => Some(Part::Train),
        _ => None,
    }
}

pub(super) fn is_part(name: &str) -> bool {
    part(name).is_some()
}

pub(super) fn find(source: &Source) -> Result<Vec<Found>> {
    let names = source.class_names("batches.meta.txt")?;
    let mut found = Vec::new();
    for file in source.files() {
        let key = &file.key;
        let Some(part) = part(key.as_str()) else {
            continue;
        };
        let bytes = source.read(key)?;
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            let len = bytes.len();
            return Err(Error::data(format!(
                "{key} is damaged: {len} bytes are no whole number of records of {RECORD}"
            )));
        }
        for (at, record) in bytes.chunks(RECORD).enumerate() {
            let (class, planes) = (record[0], &record[1..]);
            if class >= CLASSES {
                return Err(Error::data(format!(
                    "{key}, record {at}: label {class} is out of range, 0 to {}",
                    CLASSES - 1
                )));
            }
            let pixels: Vec<u8> = (0..PIXELS)
                .flat_map(|at| [planes[at], planes[at + PIXELS], planes[at + 2 * PIXELS]])
                .collect();
            found.push(Found {
                name: format!("{key}[{at}]"),
                label: Some(label(&names, class)?),
                part: Some(part),
                values: Vec::new(),
                content: Content::Held(
                    png(&pixels, [SIDE, SIDE], ExtendedColorType::Rgb8)?,
                    Digest::of(planes),
                ),
            });
        }
    }
    Ok(found)
}
