//! Pillow's convolution, bit for bit (`Resample.c` of its C library).
//!
//! Each pass rounds its weights to 22 bits and its result to 8, the horizontal one first:
//! bicubic and Lanczos overshoot at edges and are clipped between the passes, so the order shows.

use super::Picture;
use super::fit::Region;
use crate::Resample;

/// Bits behind the point of a weight: 8 for the pixel and 2 for overshoot are left of 32.
const PRECISION: u32 = 32 - 8 - 2;

const ROUND: i32 = 1 << (PRECISION - 1);

/// The source pixels that one result pixel is made of.
struct Kernel {
    first: usize,
    weights: Vec<i32>,
}

/// Resizes a part of a picture to `[width, height]`; `N` is its number of channels.
pub(super) fn convolve<const N: usize>(
    picture: &Picture,
    region: Region,
    [width, height]: [u32; 2],
    resample: Resample,
) -> Picture {
    let columns = kernels(picture.width, region.left, region.right, width, resample);
    let mut rows = kernels(picture.height, region.top, region.bottom, height, resample);
    // Only these rows reach the result.
    let first = rows.first().map_or(0, |kernel| kernel.first);
    let end = rows
        .last()
        .map_or(0, |kernel| kernel.first + kernel.weights.len());
    for kernel in &mut rows {
        kernel.first -= first;
    }
    let row = picture.width as usize * N;
    let narrow = across::<N>(&picture.pixels[first * row..end * row], row, &columns);
    Picture {
        width,
        height,
        channels: N,
        pixels: down(&narrow, columns.len() * N, &rows),
    }
}

fn across<const N: usize>(source: &[u8], row: usize, columns: &[Kernel]) -> Vec<u8> {
    let mut result = vec![0; source.len() / row * columns.len() * N];
    let rows = result.chunks_exact_mut(columns.len() * N);
    for (target, source) in rows.zip(source.chunks_exact(row)) {
        let source = source.as_chunks::<N>().0;
        for (kernel, target) in columns.iter().zip(target.as_chunks_mut::<N>().0) {
            let mut sums = [ROUND; N];
            for (&weight, pixel) in kernel.weights.iter().zip(&source[kernel.first..]) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(value);
                }
            }
            *target = sums.map(clip);
        }
    }
    result
}

fn down(source: &[u8], row: usize, rows: &[Kernel]) -> Vec<u8> {
    let mut result = Vec::with_capacity(row * rows.len());
    let mut sums = vec![0; row];
    for kernel in rows {
        sums.fill(ROUND);
        let source = source[kernel.first * row..].chunks_exact(row);
        for (&weight, source) in kernel.weights.iter().zip(source) {
            for (sum, &value) in sums.iter_mut().zip(source) {
                *sum += weight * i32::from(value);
            }
        }
        result.extend(sums.iter().map(|&sum| clip(sum)));
    }
    result
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The kernels of `count` result pixels over the part `from..to` of `sources` source pixels.
fn kernels(sources: u32, from: f32, to: f32, count: u32, resample: Resample) -> Vec<Kernel> {
    let scale = f64::from(to - from) / f64::from(count);
    let stretch = scale.max(1.0);
    let (weigh, support): (fn(f64) -> f64, f64) = match resample {
        Resample::Bicubic => (bicubic, 2.0),
        Resample::Lanczos => (lanczos, 3.0),
        Resample::Bilinear | Resample::Nearest => (bilinear, 1.0),
    };
    let reach = support * stretch;
    let kernel = |at: u32| {
        let center = f64::from(from) + (f64::from(at) + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as u32;
        let end = ((center + reach + 0.5) as u32).min(sources);
        let weights = (first..end).map(|x| weigh((f64::from(x) - center + 0.5) / stretch));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1 << PRECISION)).round() as i32;
        Kernel {
            first: first as usize,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    (0..count).map(kernel).collect()
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The sinc in a window of three lobes.
fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}
