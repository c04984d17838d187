//! Picture files to pixels.

use std::io::{Cursor, ErrorKind as IoErrorKind};

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader};

use super::Picture;
use super::orient::orient;
use crate::{Error, Limits, Result};

/// What a refused body is told.
const ACCEPTED: &str = "JPEG, PNG, WebP, GIF, BMP";

/// Decodes a picture file, upright; to one channel if `grey`, else to one or three.
///
/// The header is held against the limits before anything is decoded.
pub(super) fn decode(file: &[u8], grey: bool, limits: &Limits) -> Result<Picture> {
    let format = recognize(file, limits)?;
    let name = name(format);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(allocations(limits));
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| damaged(name, error))?;
    let (width, height) = decoder.dimensions();
    check_pixels(&format!("the {name} is"), width, height, limits)?;
    if format == ImageFormat::Jpeg && !jpeg_is_whole(file) {
        return Err(Error::input(
            "the JPEG is cut short: the file ends before its end marker",
        ));
    }
    // A damaged EXIF block is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let color = decoder.color_type();
    let mut pixels = vec![0; decoder.total_bytes() as usize];
    decoder
        .read_image(&mut pixels)
        .map_err(|error| damaged(name, error))?;
    let (channels, pixels) = to_8_bits(color, pixels, grey)?;
    let picture = Picture {
        width,
        height,
        channels,
        pixels,
    };
    Ok(orient(picture, orientation))
}

/// Refuses a picture of too many pixels; `what` says which one, with its verb.
pub(super) fn check_pixels(what: &str, width: u32, height: u32, limits: &Limits) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels {
        return Err(Error::too_large(format!(
            "{what} {width}×{height}, {pixels} pixels; the limit is {}",
            limits.pixels
        )));
    }
    Ok(())
}

fn recognize(file: &[u8], limits: &Limits) -> Result<ImageFormat> {
    if file.is_empty() {
        return Err(Error::input(format!(
            "the body is empty; send a picture ({ACCEPTED})"
        )));
    }
    if file.len() > limits.picture_bytes {
        return Err(Error::too_large(format!(
            "the picture has {} bytes; the limit is {}",
            file.len(),
            limits.picture_bytes
        )));
    }
    match image::guess_format(file) {
        Ok(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::WebP
            | ImageFormat::Gif
            | ImageFormat::Bmp),
        ) => Ok(format),
        Ok(other) => Err(Error::media(format!(
            "{other:?} pictures are not taken; send one of {ACCEPTED}"
        ))),
        Err(_) => Err(Error::media(format!(
            "the body is not a picture: {}; send one of {ACCEPTED}",
            looks_like(file)
        ))),
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        _ => "BMP",
    }
}

/// What a body seems to be that is no picture.
fn looks_like(file: &[u8]) -> &'static str {
    let is_at =
        |at: usize, magic: &[u8]| file.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if is_at(0, b"%PDF") {
        "it looks like PDF"
    } else if is_at(4, b"ftyp") {
        "it looks like HEIC or video"
    } else if is_at(0, b"PK\x03\x04") {
        "it looks like a ZIP archive"
    } else if is_at(0, b"--")
        && file
            .windows(8)
            .take(512)
            .any(|window| window == b"Content-")
    {
        "it looks like a multipart form (send the picture itself: curl --data-binary @FILE)"
    } else if std::str::from_utf8(&file[..file.len().min(64)]).is_ok() {
        "it looks like text"
    } else {
        "no known format begins like it"
    }
}

/// Bounds on what a decoder may allocate for a picture within our limits.
fn allocations(limits: &Limits) -> image::Limits {
    // The largest pixel is RGBA of 16 bits; the rest is tables, profiles, one row more.
    let bytes = limits.pixels.saturating_mul(8).saturating_add(16 << 20);
    let mut allocations = image::Limits::no_limits();
    allocations.max_alloc = Some(bytes);
    allocations
}

fn damaged(name: &str, error: ImageError) -> Error {
    let cut_short = |error: &std::io::Error| error.kind() == IoErrorKind::UnexpectedEof;
    match &error {
        ImageError::IoError(io) if cut_short(io) => {
            Error::input(format!("the {name} is cut short")).because(error)
        }
        ImageError::Limits(_) => {
            Error::too_large(format!("the {name} needs too much memory: {error}")).because(error)
        }
        ImageError::Unsupported(_) => {
            Error::media(format!("the {name} uses what is not supported: {error}")).because(error)
        }
        _ => Error::input(format!("the {name} is damaged or cut short: {error}")).because(error),
    }
}

/// Whether a JPEG goes on to its end marker. The decoder fills up what is missing with grey.
fn jpeg_is_whole(file: &[u8]) -> bool {
    const END: u8 = 0xD9;
    const SCAN: u8 = 0xDA;
    let mut at = 2;
    let mut in_scan = false;
    loop {
        let Some(rest) = file.get(at..) else {
            return false;
        };
        let Some(found) = rest
            .windows(2)
            .position(|pair| pair[0] == 0xFF && pair[1] != 0xFF)
        else {
            return false;
        };
        let marker = rest[found + 1];
        at += found + 2;
        match marker {
            END => return true,
            // Escaped bytes and restarts are part of a scan; the others stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ if in_scan && !(0xC0..=0xFE).contains(&marker) => {}
            _ => {
                let Some(length) = file.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([length[0], length[1]]));
                in_scan = marker == SCAN;
            }
        }
    }
}

/// Drops alpha, the lower half of 16-bit channels and, if `grey`, colour.
fn to_8_bits(color: ColorType, pixels: Vec<u8>, grey: bool) -> Result<(usize, Vec<u8>)> {
    // 16-bit channels are in the machine's order, which the protocol crate holds to be little.
    let (step, channels, high) = match color {
        ColorType::L8 => (1, 1, 0),
        ColorType::La8 => (2, 1, 0),
        ColorType::Rgb8 => (3, 3, 0),
        ColorType::Rgba8 => (4, 3, 0),
        ColorType::L16 => (2, 1, 1),
        ColorType::La16 => (4, 1, 1),
        ColorType::Rgb16 => (6, 3, 1),
        ColorType::Rgba16 => (8, 3, 1),
        other => {
            return Err(Error::media(format!(
                "pictures with {other:?} pixels are not supported"
            )));
        }
    };
    let pixel = pixels.chunks_exact(step);
    let width = high + 1;
    Ok(match (channels, grey) {
        (1, _) if step == 1 => (1, pixels),
        (1, _) => (1, pixel.map(|pixel| pixel[high]).collect()),
        (_, true) => {
            let at = |pixel: &[u8], channel: usize| u32::from(pixel[channel * width + high]);
            let luma = pixel.map(|pixel| luma(at(pixel, 0), at(pixel, 1), at(pixel, 2)));
            (1, luma.collect())
        }
        (_, false) if step == 3 => (3, pixels),
        (_, false) => {
            let mut rgb = Vec::with_capacity(pixels.len() / step * 3);
            for pixel in pixel {
                rgb.extend_from_slice(&[pixel[high], pixel[width + high], pixel[2 * width + high]]);
            }
            (3, rgb)
        }
    })
}

/// ITU-R 601 luma in 16-bit fixed point, rounded, as Pillow's `convert("L")`.
fn luma(red: u32, green: u32, blue: u32) -> u8 {
    ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8
}
