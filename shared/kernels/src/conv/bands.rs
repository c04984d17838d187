//! The order of the work: bands of output lines, so that a band's input stays in the second-level cache while all
//! output blocks pass over it; padding is added to a band's copy, never to the whole input.
//!
//! A number here is four bytes: an `f32`, or four channels where bytes are multiplied.

use std::ops::Range;

use super::tile::{self, Tile};
use super::{Conv, Output, Store};
use crate::activation::Apply;
use crate::simd::Simd;

/// Numbers of a band's input that may lie in the second-level cache beside the weights (256 KiB of them).
const BAND: usize = 64 << 10;
/// Weights beyond so many numbers are read from further away for each band: then one band is best.
const RESIDENT: usize = 128 << 10;

/// A convolution cut into bands.
pub(super) struct Bands<'a> {
    conv: &'a Conv,
    /// Numbers of an input position.
    depth: usize,
    /// What padding is made of.
    padding: f32,
    /// Input blocks of a group.
    blocks: usize,
    /// Output lines: rows, or runs of positions where the window reads one position each.
    lines: usize,
    /// Output positions of a line; the last one of a run may be shorter.
    width: usize,
    /// Output positions in all.
    positions: usize,
    /// Lines to a band.
    band: usize,
    /// Numbers of scratch.
    pub(super) scratch: usize,
}

/// One line of output positions: the first of them, how many, and its place in the band.
pub(super) struct Line {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) index: usize,
}

impl<'a> Bands<'a> {
    /// For weights of so many numbers. `channels` are those of an input position, in `depth` numbers.
    pub(super) fn new(
        conv: &'a Conv,
        channels: usize,
        depth: usize,
        weights: usize,
        padding: f32,
    ) -> Self {
        let blocks = (conv.inputs / conv.groups).div_ceil(channels);
        let [height, width] = conv.output_size();
        let window = &conv.window;
        let heavy = weights / conv.groups > RESIDENT;
        let mut bands = Self {
            conv,
            depth,
            padding,
            blocks,
            lines: height,
            width,
            positions: height * width,
            band: height,
            scratch: 0,
        };
        if window.is_pointwise() {
            let fit = (BAND / (blocks * depth)).next_multiple_of(tile::WIDEST);
            let run = if heavy { usize::MAX } else { fit };
            bands.width = run.clamp(1, bands.positions);
            bands.lines = bands.positions.div_ceil(bands.width);
            bands.band = 1;
        } else {
            let row = blocks * depth * bands.padded_width();
            // A band is worth its weights' way from the second-level cache only if it is not too small.
            let least = (4 * tile::WIDEST).div_ceil(width);
            let fit = (BAND / (row * window.stride[0])).max(least);
            bands.band = if heavy { height } else { fit.min(height) };
            if window.is_padded() {
                bands.scratch =
                    blocks * bands.input_rows(bands.band) * depth * bands.padded_width();
            }
        }
        bands
    }

    /// Does the convolution, of `blocks` output blocks a group.
    #[inline(always)]
    pub(super) fn run<S: Simd, const INTEGER: bool>(
        &self,
        s: S,
        blocks: usize,
        input: &[f32],
        weights: &[f32],
        scratch: &mut [f32],
        mut store: Store<'_>,
    ) {
        let weights_stride = weights.len() / (blocks * self.conv.groups);
        for group in 0..self.conv.groups {
            for band in 0..self.lines.div_ceil(self.band) {
                let source = self.source(band, group, input, scratch);
                for block in (0..blocks).step_by(2) {
                    let together = 2.min(blocks - block);
                    let first = group * blocks + block;
                    let mut store = store.beginning_with(first, S::LANES);
                    let weights = &weights[first * weights_stride..];
                    for line in self.lines(band) {
                        source.line::<S, INTEGER>(
                            s,
                            &line,
                            together,
                            weights,
                            weights_stride,
                            &mut store,
                        );
                    }
                }
            }
        }
    }

    fn lines(&self, band: usize) -> impl Iterator<Item = Line> {
        let first = band * self.band;
        let last = (first + self.band).min(self.lines);
        (first..last).map(move |line| {
            let start = line * self.width;
            Line {
                start,
                len: self.width.min(self.positions - start),
                index: line - first,
            }
        })
    }

    fn padded_width(&self) -> usize {
        self.conv.size[1] + self.conv.window.before[1] + self.conv.window.after[1]
    }

    /// Input rows that so many output lines read.
    fn input_rows(&self, lines: usize) -> usize {
        (lines - 1) * self.conv.window.stride[0] + self.conv.window.extent(0)
    }

    /// What the lines of a band read: the input itself, or a padded copy of their part of it.
    fn source<'s>(
        &self,
        band: usize,
        group: usize,
        input: &'s [f32],
        scratch: &'s mut [f32],
    ) -> Source<'s> {
        let window = &self.conv.window;
        let [height, width] = self.conv.size;
        let plane = height * width * self.depth;
        let input = &input[group * self.blocks * plane..][..self.blocks * plane];
        let first = band * self.band;
        let (data, row, block) = if window.is_pointwise() {
            let start = first * self.width * self.depth;
            (&input[start..], self.width * self.depth, plane)
        } else if window.is_padded() {
            let lines = self.band.min(self.lines - first);
            let rows = self.input_rows(lines);
            let row = self.padded_width() * self.depth;
            let copy = &mut scratch[..self.blocks * rows * row];
            let top = (first * window.stride[0]) as isize - window.before[0] as isize;
            for (from, to) in input
                .chunks_exact(plane)
                .zip(copy.chunks_exact_mut(rows * row))
            {
                self.pad(from, to, top, row);
            }
            (&*copy, row, rows * row)
        } else {
            let start = first * window.stride[0] * width * self.depth;
            (&input[start..], width * self.depth, plane)
        };
        let taps = (0..window.kernel[0]).flat_map(|y| {
            (0..window.kernel[1])
                .map(move |x| y * window.dilation[0] * row + x * window.dilation[1] * self.depth)
        });
        Source {
            data,
            taps: taps.collect(),
            blocks: self.blocks,
            block,
            depth: self.depth,
            line: if window.is_pointwise() {
                row
            } else {
                row * window.stride[0]
            },
            step: window.stride[1] * self.depth,
        }
    }

    /// Copies the rows of a plane from `top` on, with padding where there is no plane.
    fn pad(&self, from: &[f32], to: &mut [f32], top: isize, row: usize) {
        let [height, width] = self.conv.size;
        let left = self.conv.window.before[1] * self.depth;
        let len = width * self.depth;
        for (at, to) in to.chunks_exact_mut(row).enumerate() {
            match usize::try_from(top + at as isize) {
                Ok(y) if y < height => {
                    to[..left].fill(self.padding);
                    to[left..left + len].copy_from_slice(&from[y * len..][..len]);
                    to[left + len..].fill(self.padding);
                }
                _ => to.fill(self.padding),
            }
        }
    }
}

/// The input of a band.
pub(super) struct Source<'a> {
    pub(super) data: &'a [f32],
    /// Offset of each tap from the first.
    pub(super) taps: Vec<usize>,
    pub(super) blocks: usize,
    /// Numbers from one input block to the next.
    pub(super) block: usize,
    pub(super) depth: usize,
    /// Numbers from what one line reads first to what the next does.
    pub(super) line: usize,
    /// Numbers from what one output position reads first to what the next does.
    pub(super) step: usize,
}

impl Source<'_> {
    /// Computes one line of `together` output blocks.
    #[inline(always)]
    pub(super) fn line<S: Simd, const INTEGER: bool>(
        &self,
        s: S,
        line: &Line,
        together: usize,
        weights: &[f32],
        weights_stride: usize,
        store: &mut Store<'_>,
    ) {
        for part in parts(line.len, tile::widest(S::REGISTERS, together)) {
            let tile = Tile {
                input: &self.data[line.index * self.line + part.start * self.step..],
                taps: &self.taps,
                blocks: self.blocks,
                block: self.block,
                depth: self.depth,
                step: self.step,
                weights,
                weights_stride,
                at: (line.start + part.start) * store.row,
                store,
            };
            tile::run::<S, INTEGER>(s, together, part.len(), tile);
        }
        if store.activation.bounds().is_none()
            && let Output::Numbers(output) = &mut store.output
        {
            for block in 0..together {
                let start = block * store.plane + line.start * S::LANES;
                s.vectorize(Apply {
                    activation: store.activation,
                    values: &mut output[start..start + line.len * S::LANES],
                });
            }
        }
    }
}

/// Cuts a line into parts of equal length, as nearly as may be, none longer than `widest`.
pub(super) fn parts(len: usize, widest: usize) -> impl Iterator<Item = Range<usize>> {
    let count = len.div_ceil(widest);
    (0..count).map(move |part| part * len / count..(part + 1) * len / count)
}
