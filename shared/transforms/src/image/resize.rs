//! Resampling with Pillow's results.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::Picture;
use super::exact::convolve;
use super::fit::Region;
use crate::{Error, Resample, Result};

/// From this scale on, `shrink` stays within one step of 255 of Pillow.
///
/// Its weights have 16 bits, Pillow's 22: each pass moves a few pixels in a hundred by one. Where
/// a result pixel is made of many, that does not add up; where one weight is near 1, it can.
const SHRINKS_FROM: f32 = 2.0;

/// Resizes a part of a picture to `[width, height]`.
pub(super) fn resize(
    picture: Picture,
    region: Region,
    to: [u32; 2],
    resample: Resample,
) -> Result<Picture> {
    if region == Region::whole([picture.width, picture.height])
        && to == [picture.width, picture.height]
    {
        return Ok(picture);
    }
    let scale = [
        (region.right - region.left) / to[0] as f32,
        (region.bottom - region.top) / to[1] as f32,
    ];
    let filter = match resample {
        Resample::Nearest => return Ok(nearest(&picture, region, to)),
        Resample::Bilinear => FilterType::Bilinear,
        Resample::Bicubic => FilterType::CatmullRom,
        Resample::Lanczos => FilterType::Lanczos3,
    };
    if scale.iter().all(|&scale| scale >= SHRINKS_FROM) {
        let shrunk = match picture.channels {
            1 => shrink::<U8>(&picture, region, to, filter),
            _ => shrink::<U8x3>(&picture, region, to, filter),
        };
        return shrunk
            .map_err(|error| Error::input("the picture cannot be resized").because(error));
    }
    Ok(match picture.channels {
        1 => convolve::<1>(&picture, region, to, resample),
        _ => convolve::<3>(&picture, region, to, resample),
    })
}

/// The fast way to a much smaller picture: the vector instructions of `fast_image_resize`, pass
/// by pass, for by itself it takes the vertical pass first.
///
/// Over the pixel's type: the library's untyped call would compile all of its thirteen.
fn shrink<P: PixelTrait>(
    picture: &Picture,
    region: Region,
    [width, height]: [u32; 2],
    filter: FilterType,
) -> Result<Picture, ShrinkFailed> {
    // In single precision left + width can come to lie past right: the library refuses that.
    let left = f64::from(region.left);
    let region_width = f64::from(region.right - region.left).min(f64::from(region.right) - left);
    let top = f64::from(region.top);
    let region_height = f64::from(region.bottom - region.top).min(f64::from(region.bottom) - top);
    // Only these rows reach the result; the widest filter reaches over three result pixels.
    let reach = 3.0 * region_height / f64::from(height) + 1.0;
    let first = (top - reach).max(0.0) as u32;
    let end = (f64::from(region.bottom) + reach).ceil() as u32;
    let rows = end.min(picture.height) - first;
    let row = picture.width as usize * picture.channels;
    let pixels = &picture.pixels[first as usize * row..][..rows as usize * row];

    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    let across = options.crop(left, 0.0, region_width, f64::from(rows));
    let down = options.crop(0.0, top - f64::from(first), f64::from(width), region_height);

    let mut resizer = Resizer::new();
    let source = TypedImageRef::<P>::from_buffer(picture.width, rows, pixels)?;
    let mut narrow = vec![0; width as usize * rows as usize * picture.channels];
    let mut narrow = TypedImage::<P>::from_buffer(width, rows, &mut narrow)?;
    resizer.resize_typed(&source, &mut narrow, &across)?;
    let mut small = vec![0; width as usize * height as usize * picture.channels];
    let mut view = TypedImage::<P>::from_buffer(width, height, &mut small)?;
    resizer.resize_typed(&narrow, &mut view, &down)?;
    Ok(Picture {
        width,
        height,
        channels: picture.channels,
        pixels: small,
    })
}

/// A buffer or a region that does not fit its picture.
#[derive(Debug, thiserror::Error)]
enum ShrinkFailed {
    #[error(transparent)]
    Buffer(#[from] fast_image_resize::ImageBufferError),
    #[error(transparent)]
    Resize(#[from] fast_image_resize::ResizeError),
}

/// The source pixel under the middle of each result pixel.
fn nearest(picture: &Picture, region: Region, [width, height]: [u32; 2]) -> Picture {
    let columns = positions(region.left, region.right, width, picture.width);
    let rows = positions(region.top, region.bottom, height, picture.height);
    let channels = picture.channels;
    let mut pixels = Vec::with_capacity(columns.len() * rows.len() * channels);
    for row in rows {
        let row = &picture.pixels[row * picture.width as usize * channels..];
        for &column in &columns {
            pixels.extend_from_slice(&row[column * channels..][..channels]);
        }
    }
    Picture {
        width,
        height,
        channels,
        pixels,
    }
}

/// Positions are added up, as Pillow does: a product rounds otherwise.
fn positions(from: f32, to: f32, count: u32, sources: u32) -> Vec<usize> {
    let step = f64::from(to - from) / f64::from(count);
    let last = sources as usize - 1;
    let mut position = f64::from(from) + step * 0.5;
    let mut positions = Vec::with_capacity(count as usize);
    for _ in 0..count {
        positions.push((position as usize).min(last));
        position += step;
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_fast_is_within_one_of_exact() {
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for round in 0..60 {
            let [width, height] = [next(200) as u32 + 8, next(200) as u32 + 8];
            let channels = if round % 2 == 0 { 3 } else { 1 };
            // Noise, or hard edges only: those overshoot most.
            let pixels = (0..width * height * channels as u32).map(|_| match round % 3 {
                0 => next(256) as u8,
                _ => 255 * (next(2) as u8),
            });
            let picture = Picture {
                width,
                height,
                channels,
                pixels: pixels.collect(),
            };
            let mut region = Region::whole([width, height]);
            region.left += next(100) as f32 / 70.0;
            region.bottom -= next(100) as f32 / 70.0;
            let to = [
                ((region.right - region.left) / (2.0 + next(300) as f32 / 100.0)) as u32,
                ((region.bottom - region.top) / (2.0 + next(300) as f32 / 100.0)) as u32,
            ];
            for (resample, filter) in [
                (Resample::Bilinear, FilterType::Bilinear),
                (Resample::Bicubic, FilterType::CatmullRom),
                (Resample::Lanczos, FilterType::Lanczos3),
            ] {
                let (fast, exact) = match channels {
                    1 => (
                        shrink::<U8>(&picture, region, to, filter),
                        convolve::<1>(&picture, region, to, resample),
                    ),
                    _ => (
                        shrink::<U8x3>(&picture, region, to, filter),
                        convolve::<3>(&picture, region, to, resample),
                    ),
                };
                let fast = fast.unwrap();
                let pairs = fast.pixels.iter().zip(&exact.pixels);
                let most = pairs.map(|(&a, &b)| a.abs_diff(b)).max();
                assert!(
                    most <= Some(1),
                    "{resample:?} {width}×{height} to {to:?}: {most:?}"
                );
            }
        }
    }
}
