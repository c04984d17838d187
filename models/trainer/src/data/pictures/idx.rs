//! MNIST's files: <https://yann.lecun.com/exdb/mnist>, "file formats for the MNIST database".

use bytes::Bytes;
use dunlin_registry::Digest;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use rayon::prelude::*;

use crate::data::source::{Source, label};
use crate::data::{Content, Found, Part};
use crate::{Error, ErrorKind, Result};

/// The files' names, but for `.gz`, and what they are for.
const PARTS: [(&str, &str, Part); 2] = [
    (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        Part::Train,
    ),
    (
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
        Part::Test,
    ),
];

pub(super) fn is_part(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    PARTS.iter().any(|(images, ..)| *images == name)
}

pub(super) fn find(source: &Source) -> Result<Vec<Found>> {
    let names = source.class_names("labels.txt")?;
    let mut found = Vec::new();
    for (images_name, labels_name, part) in PARTS {
        let Some(images) = file(source, images_name)? else {
            continue;
        };
        let labels = file(source, labels_name)?.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("{labels_name} is missing beside {images_name}"),
            )
        })?;
        let (shape, pixels) = parse::<3>(images_name, &images)?;
        let ([count], classes) = parse::<1>(labels_name, &labels)?;
        let [pictures, height, width] = shape;
        if pictures != count {
            return Err(Error::data(format!(
                "{images_name} has {pictures} pictures, {labels_name} has {count} labels"
            )));
        }
        if height * width == 0 {
            return Err(Error::data(format!(
                "{images_name} has pictures of {height}×{width} pixels"
            )));
        }
        let pictures = pixels.par_chunks(height * width).zip(classes).enumerate();
        let pictures = pictures.map(|(at, (pixels, class))| {
            let file = png(pixels, [height, width], ExtendedColorType::L8)?;
            Ok(Found {
                name: format!("{images_name}[{at}]"),
                label: Some(label(&names, *class)?),
                part: Some(part),
                values: Vec::new(),
                content: Content::Held(file, Digest::of(pixels)),
            })
        });
        found.extend(pictures.collect::<Result<Vec<_>>>()?);
    }
    Ok(found)
}

fn file(source: &Source, name: &str) -> Result<Option<Bytes>> {
    let known = source.files().iter().find(|file| {
        let key = file.key.as_str();
        key.strip_suffix(".gz").unwrap_or(key) == name
    });
    known
        .map(|file| source.read_unpacked(&file.key))
        .transpose()
}

/// The dimensions and the bytes of a file of unsigned bytes with `D` dimensions.
fn parse<'a, const D: usize>(name: &str, file: &'a [u8]) -> Result<([usize; D], &'a [u8])> {
    let wrong =
        |why: String| Error::data(format!("{name} is no IDX file of {D} dimensions: {why}"));
    let header = 4 + 4 * D;
    if file.len() < header {
        return Err(wrong(format!("it has {} bytes", file.len())));
    }
    if file[..4] != [0, 0, 8, D as u8] {
        return Err(wrong(format!(
            "it begins with {:?}, not {:?}",
            &file[..4],
            [0, 0, 8, D]
        )));
    }
    let shape: [usize; D] = std::array::from_fn(|at| {
        let at = 4 + 4 * at;
        u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize
    });
    let want = shape
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size));
    let got = file.len() - header;
    if want != Some(got) {
        return Err(wrong(format!(
            "{shape:?} values are announced, {got} are there"
        )));
    }
    Ok((shape, &file[header..]))
}

/// Pixels as a file that serving takes; not compressed, since each is read once an epoch, and few are stored.
pub(super) fn png(
    pixels: &[u8],
    [height, width]: [usize; 2],
    color: ExtendedColorType,
) -> Result<Bytes> {
    let mut file = Vec::new();
    PngEncoder::new_with_quality(
        &mut file,
        CompressionType::Uncompressed,
        FilterType::NoFilter,
    )
    .write_image(pixels, width as u32, height as u32, color)
    .map_err(|error| Error::data("pixels that are no picture").because(error))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_file_is_what_it_announces() {
        let file = [0, 0, 8, 1, 0, 0, 0, 2, 7, 9];
        assert_eq!(parse::<1>("x", &file).unwrap(), ([2], &[7, 9][..]));
        let huge = [
            0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
        ];
        let cases: [(&[u8], &str); 5] = [
            (&[], "0 bytes"),
            (&file[..7], "7 bytes"),
            (&file[..9], "[2] values are announced, 1 are there"),
            (&[0, 0, 9, 1, 0, 0, 0, 0], "begins with [0, 0, 9, 1]"),
            (b"<html>404", "begins with"),
        ];
        for (file, want) in cases {
            let error = parse::<1>("x", file).unwrap_err().to_string();
            assert!(error.contains(want), "{want}: {error}");
        }
        assert!(parse::<3>("x", &huge).is_err());
    }
}
