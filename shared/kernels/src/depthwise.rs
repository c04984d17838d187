//! Convolution in which each channel is a group of its own.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::activation::Apply;
use crate::simd::{Simd, Task};
use crate::{Activation, Isa, Window};

mod tile;

/// A depthwise convolution, for one shape of its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depthwise {
    /// Channels in and out.
    pub channels: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// The window.
    pub window: Window,
    /// What follows the sum and the bias.
    pub activation: Activation,
}

/// Numbers of a plane's padded copy that may lie in the nearest cache (24 KiB of them).
const NEAR: usize = 6 << 10;

impl Depthwise {
    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        self.window.output(self.size)
    }

    /// Numbers in the input of one item.
    pub fn input_len(&self, isa: Isa) -> usize {
        isa.blocks(self.channels) * isa.lanes() * self.size[0] * self.size[1]
    }

    /// Numbers in the output of one item.
    pub fn output_len(&self, isa: Isa) -> usize {
        let [height, width] = self.output_size();
        isa.blocks(self.channels) * isa.lanes() * height * width
    }

    /// Numbers that [`Depthwise::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        isa.blocks(self.channels) * isa.lanes() * self.window.kernel[0] * self.window.kernel[1]
    }

    /// Numbers of scratch that a run needs.
    pub fn scratch_len(&self, isa: Isa) -> usize {
        let [height, width] = self.padded();
        let plane = height * width * isa.lanes();
        if plane <= NEAR {
            plane
        } else {
            self.window.extent(0) * self.patch_width() * isa.lanes()
        }
    }

    /// Weights from `[channels, 1, kernel height, kernel width]` to `[block, tap, lane]`.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn arrange(&self, isa: Isa, weights: &[f32]) -> Vec<f32> {
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let mut arranged = vec![0.0; self.weights_len(isa)];
        crate::to_blocked(isa, self.channels, taps, weights, &mut arranged);
        arranged
    }

    /// The convolution of some of the blocks of channels: input, weights, bias and output are their part of the whole's.
    #[must_use]
    pub fn part(&self, isa: Isa, blocks: &Range<usize>) -> Self {
        let lanes = isa.lanes();
        Self {
            channels: self.channels.min(blocks.end * lanes) - blocks.start * lanes,
            ..self.clone()
        }
    }

    /// Convolves one item of a batch: `[⌈channels/c⌉, H, W, c]` to `[⌈channels/c⌉, H', W', c]`. `bias` has a number for
    /// each lane, `scratch` at least [`Depthwise::scratch_len`] of any value.
    ///
    /// # Panics
    /// If a slice has another length, or this machine lacks the instruction set.
    pub fn run(
        &self,
        isa: Isa,
        input: &[f32],
        weights: &[f32],
        bias: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        assert_eq!(input.len(), self.input_len(isa), "input");
        assert_eq!(weights.len(), self.weights_len(isa), "weights");
        assert_eq!(bias.len(), isa.blocks(self.channels) * isa.lanes(), "bias");
        assert_eq!(output.len(), self.output_len(isa), "output");
        assert!(scratch.len() >= self.scratch_len(isa), "scratch");
        if output.is_empty() {
            return;
        }
        isa.run(Run {
            depthwise: self,
            input,
            weights,
            bias,
            output,
            scratch,
        });
    }

    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis] + self.window.before[axis] + self.window.after[axis])
    }

    /// Columns that one tile reads at most.
    fn patch_width(&self) -> usize {
        (tile::WIDEST - 1) * self.window.stride[1] + self.window.extent(1)
    }
}

struct Run<'a> {
    depthwise: &'a Depthwise,
    input: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let depthwise = self.depthwise;
        let window = &depthwise.window;
        let [height, width] = depthwise.size;
        let [rows, columns] = depthwise.output_size();
        let padded = depthwise.padded();
        let near = padded[0] * padded[1] * S::LANES <= NEAR && window.is_padded();
        // Output columns that read no padding.
        let inner = if near {
            0..columns
        } else {
            let first = window.before[1].div_ceil(window.stride[1]).min(columns);
            let room = (width + window.before[1]).saturating_sub(window.extent(1));
            let fits = width + window.before[1] >= window.extent(1);
            let last = if fits { room / window.stride[1] + 1 } else { 0 };
            first..last.clamp(first, columns)
        };
        let taps = window.kernel[0] * window.kernel[1];
        let unbounded = (f32::NEG_INFINITY, f32::INFINITY);
        let bounds = depthwise.activation.bounds().unwrap_or(unbounded);
        let blocks = self.output.chunks_exact_mut(rows * columns * S::LANES);
        for (block, output) in blocks.enumerate() {
            let plane = height * width * S::LANES;
            let input = &self.input[block * plane..][..plane];
            let weights = &self.weights[block * taps * S::LANES..][..taps * S::LANES];
            let bias = &self.bias[block * S::LANES..][..S::LANES];
            if near {
                let copy = &mut self.scratch[..padded[0] * padded[1] * S::LANES];
                let rows = padded[0];
                patch::<S>(
                    window,
                    depthwise.size,
                    input,
                    [0, 0],
                    [rows, padded[1]],
                    copy,
                );
            }
            for (y, output) in output.chunks_exact_mut(columns * S::LANES).enumerate() {
                let inside = window.inside(0, y, height);
                for part in cut(columns, &inner, tile::widest(S::REGISTERS)) {
                    let bordering = !inner.contains(&part.start);
                    let top = y * window.stride[0];
                    let left = part.start * window.stride[1];
                    let all = 0..window.kernel[0];
                    let (input, row, taps) = if near {
                        let from = (top * padded[1] + left) * S::LANES;
                        (&self.scratch[from..], padded[1], all)
                    } else if bordering {
                        let columns = (part.len() - 1) * window.stride[1] + window.extent(1);
                        let extents = [window.extent(0), columns];
                        let copy = &mut self.scratch[..extents[0] * columns * S::LANES];
                        patch::<S>(window, depthwise.size, input, [top, left], extents, copy);
                        (&*copy, columns, all)
                    } else if inside.is_empty() {
                        (&input[..0], width, 0..0)
                    } else {
                        // From the first row that is inside: the tile skips the taps above it.
                        let top = top + inside.start * window.dilation[0] - window.before[0];
                        let from = (top * width + left - window.before[1]) * S::LANES;
                        (&input[from..], width, inside.clone())
                    };
                    let tile = tile::Tile {
                        window,
                        weights,
                        bias,
                        bounds,
                        input,
                        row: row * S::LANES,
                        taps,
                        output: &mut output[part.start * S::LANES..part.end * S::LANES],
                    };
                    tile::run(s, part.len(), tile);
                }
                if depthwise.activation.bounds().is_none() {
                    s.vectorize(Apply {
                        activation: depthwise.activation,
                        values: output,
                    });
                }
            }
        }
    }
}

/// Copies `extents` of the padded plane from `from` on, with zeros where there is no plane.
#[inline(always)]
fn patch<S: Simd>(
    window: &Window,
    size: [usize; 2],
    input: &[f32],
    from: [usize; 2],
    extents: [usize; 2],
    to: &mut [f32],
) {
    let [height, width] = size;
    for (row, to) in to.chunks_exact_mut(extents[1] * S::LANES).enumerate() {
        let y = (from[0] + row).wrapping_sub(window.before[0]);
        if y >= height {
            to.fill(0.0);
            continue;
        }
        let input = &input[y * width * S::LANES..][..width * S::LANES];
        // Columns of the plane that lie in the patch.
        let start = from[1].saturating_sub(window.before[1]).min(width);
        let skip = window.before[1].saturating_sub(from[1]).min(extents[1]);
        let len = (extents[1] - skip).min(width - start);
        to[..skip * S::LANES].fill(0.0);
        to[skip * S::LANES..(skip + len) * S::LANES]
            .copy_from_slice(&input[start * S::LANES..(start + len) * S::LANES]);
        to[(skip + len) * S::LANES..].fill(0.0);
    }
}

/// Cuts a row into parts: those that border on padding, and those that don't.
fn cut(
    columns: usize,
    inner: &std::ops::Range<usize>,
    widest: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    [0..inner.start, inner.clone(), inner.end..columns]
        .into_iter()
        .flat_map(move |range| {
            let count = range.len().div_ceil(widest);
            (0..count).map(move |part| {
                range.start + part * range.len() / count
                    ..range.start + (part + 1) * range.len() / count
            })
        })
}
