//! Convolution of 3×3 taps by fewer products: F(4×4, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", arXiv:1509.09308.
//!
//! A tile of 4×4 outputs comes from 6×6 inputs. Both ends and the weights transformed, it takes 36 products for each pair
//! of channels instead of 144. Those of one place of the 6×6 are a product of matrices whose rows are tiles, so the
//! direct kernel's innermost loop does them. Transformed weights are four times as many numbers: they are made anew in
//! each run while those of two output blocks are at hand, so that a model takes no more memory and no longer to load.

mod transform;

use std::ops::Range;

use super::bands::parts;
use super::tile::{self, Tile};
use super::{Conv, Operands, Output, Store};
use crate::simd::Simd;
use crate::{Activation, Isa};

/// Outputs along a tile's edge, and inputs.
const OUT: usize = 4;
const IN: usize = OUT + 3 - 1;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;

/// Numbers of transformed inputs that are worked on together: they stay in the second-level cache.
const TOGETHER: usize = 96 << 10;
/// Tiles together at least: weights are transformed for so many.
const LEAST: usize = 2 * tile::WIDEST;
/// Numbers of transformed weights that are multiplied at a time, of a part of the inputs: they stay in that cache, too.
const PART: usize = 80 << 10;
/// Transformed weights up to so many numbers are kept until the run's end.
const KEPT: usize = 1 << 20;
/// Between the numbers of two places: lines of one set of a cache would drive each other out of it.
const APART: usize = 16;

/// Numbers in a line of the cache.
const LINE: usize = 16;

/// What product sums start from.
const ZEROS: [f32; 32] = [0.0; 32];

/// A convolution cut into tiles.
pub(super) struct Winograd<'a> {
    conv: &'a Conv,
    lanes: usize,
    /// Blocks in and out.
    blocks: [usize; 2],
    /// Tiles in a row, in all, and those worked on together.
    across: usize,
    tiles: usize,
    together: usize,
    /// Input blocks whose weights are transformed at a time.
    part: usize,
    /// Numbers from one place to the next: of inputs, of products, of a part's and two output blocks' weights.
    inputs: usize,
    products: usize,
    weights: usize,
    /// Whether the weights of all output blocks are kept.
    kept: bool,
}

impl<'a> Winograd<'a> {
    pub(super) fn new(conv: &'a Conv, isa: Isa) -> Self {
        let lanes = isa.lanes();
        let blocks = [isa.blocks(conv.inputs), isa.blocks(conv.outputs)];
        let depth = blocks[0] * lanes;
        let [down, across] = conv.output_size().map(|size| size.div_ceil(OUT));
        let tiles = down * across;
        let most = (TOGETHER / (PLACES * depth)).max(LEAST);
        let together = tiles.div_ceil(tiles.div_ceil(most));
        // Up to twice as many are not worth the sums' way to memory and back.
        let most = (PART / (PLACES * 2 * lanes * lanes)).max(1);
        let parts = if blocks[0] <= 2 * most {
            1
        } else {
            blocks[0].div_ceil(most)
        };
        let part = blocks[0].div_ceil(parts);
        let weights = 2 * part * lanes * lanes + APART;
        Self {
            conv,
            lanes,
            blocks,
            across,
            tiles,
            together,
            inputs: together * depth + APART,
            products: 2 * together * lanes + APART,
            part,
            weights,
            kept: together < tiles
                && PLACES * weights * blocks[0].div_ceil(part) * blocks[1].div_ceil(2) <= KEPT,
        }
    }

    /// Whether the algorithm is one for this convolution.
    pub(super) fn fits(conv: &Conv) -> bool {
        let window = &conv.window;
        let plain = window.stride == [1; 2] && window.dilation == [1; 2];
        window.kernel == [3; 2] && plain && conv.groups == 1 && !conv.dense_input
    }

    /// Numbers of scratch that a run needs.
    pub(super) fn scratch(&self) -> usize {
        let parts = if self.kept {
            self.blocks[1].div_ceil(2) * self.blocks[0].div_ceil(self.part)
        } else {
            1
        };
        PLACES * (self.inputs + 2 * self.products + parts * self.weights)
    }

    #[inline(always)]
    pub(super) fn run<S: Simd>(&self, s: S, operands: Operands<'_>) {
        let Operands {
            input,
            weights,
            bias,
            residual,
            output,
            scratch,
        } = operands;
        let (inputs, scratch) = scratch.split_at_mut(PLACES * self.inputs);
        let (mut products, scratch) = scratch.split_at_mut(PLACES * self.products);
        let (mut sums, transformed) = scratch.split_at_mut(PLACES * self.products);
        let len = PLACES * self.weights;
        let plane = output.len() / self.blocks[1];
        for first in (0..self.tiles).step_by(self.together) {
            let tiles = first..self.tiles.min(first + self.together);
            self.transform_input(s, input, &tiles, inputs);
            let mut kept = 0;
            for block in (0..self.blocks[1]).step_by(2) {
                let blocks = block..self.blocks[1].min(block + 2);
                for start in (0..self.blocks[0]).step_by(self.part) {
                    let part = start..self.blocks[0].min(start + self.part);
                    let transformed = &mut transformed[kept..kept + len];
                    if self.kept {
                        kept += len;
                    }
                    let anew = first == 0 || !self.kept;
                    if anew {
                        self.transform_weights(s, weights, &blocks, &part, transformed);
                    }
                    let next = if part.end < self.blocks[0] {
                        (blocks.start, part.end)
                    } else {
                        (blocks.end, 0)
                    };
                    // To the sums of the parts before.
                    std::mem::swap(&mut products, &mut sums);
                    let matrices = Matrices {
                        inputs: &inputs[part.start * tiles.len() * S::LANES..],
                        weights: transformed,
                        size: [tiles.len(), part.len(), blocks.len()],
                        sums: (start > 0).then_some(&*sums),
                        soon: if anew {
                            self.soon(weights, next)
                        } else {
                            [&[]; 2]
                        },
                    };
                    self.multiply(s, &matrices, products);
                }
                for (at, block) in blocks.enumerate() {
                    let place = block * plane..(block + 1) * plane;
                    let end = End {
                        bias: &bias[block * S::LANES..][..S::LANES],
                        residual: residual.map(|residual| &residual[place.clone()]),
                        activation: self.conv.activation,
                        output: &mut output[place],
                    };
                    let products = &products[at * tiles.len() * S::LANES..];
                    self.transform_products(s, products, &tiles, end);
                }
            }
        }
    }

    /// To `[place, input block, tile, lane]`.
    #[inline(always)]
    fn transform_input<S: Simd>(&self, s: S, input: &[f32], tiles: &Range<usize>, to: &mut [f32]) {
        let [height, width] = self.conv.size;
        let before = self.conv.window.before;
        let row = width * S::LANES;
        let mut bordered = [0.0; PLACES * 16];
        for (block, plane) in input.chunks_exact(height * row).enumerate() {
            for (at, tile) in tiles.clone().enumerate() {
                let to = &mut to[(block * tiles.len() + at) * S::LANES..];
                let [y, x] = [tile / self.across * OUT, tile % self.across * OUT];
                let inside = |at: usize, before: usize, size: usize| {
                    before <= at && at + IN <= size + before
                };
                if inside(y, before[0], height) && inside(x, before[1], width) {
                    let patch = &plane[(y - before[0]) * row + (x - before[1]) * S::LANES..];
                    transform::input(s, patch, row, to, self.inputs);
                } else {
                    let patch = &mut bordered[..PLACES * S::LANES];
                    self.copy_bordered(plane, [y, x], patch);
                    transform::input(s, patch, IN * S::LANES, to, self.inputs);
                }
            }
        }
    }

    /// Copies the inputs of the tile at this output position, zeros where there is no plane.
    fn copy_bordered(&self, plane: &[f32], [y, x]: [usize; 2], to: &mut [f32]) {
        let [height, width] = self.conv.size;
        let before = self.conv.window.before;
        to.fill(0.0);
        let columns = before[1].saturating_sub(x)..(width + before[1]).saturating_sub(x).min(IN);
        for (at, to) in to.chunks_exact_mut(IN * self.lanes).enumerate() {
            let row = (y + at).checked_sub(before[0]).filter(|&row| row < height);
            let (Some(row), false) = (row, columns.is_empty()) else {
                continue;
            };
            let from = row * width + x + columns.start - before[1];
            to[columns.start * self.lanes..columns.end * self.lanes]
                .copy_from_slice(&plane[from * self.lanes..][..columns.len() * self.lanes]);
        }
    }

    /// Of some output blocks and a part of the input blocks, to `[place, output block, input lane, output lane]`.
    #[inline(always)]
    fn transform_weights<S: Simd>(
        &self,
        s: S,
        weights: &[f32],
        blocks: &Range<usize>,
        part: &Range<usize>,
        to: &mut [f32],
    ) {
        let tap = S::LANES * S::LANES;
        let pairs = blocks.clone().flat_map(|block| {
            let first = block * self.blocks[0];
            first + part.start..first + part.end
        });
        for (pair, at) in pairs.zip((0..).step_by(tap)) {
            let weights = &weights[pair * 9 * tap..][..9 * tap];
            for lane in (0..tap).step_by(S::LANES) {
                // Of the next input block: processors foresee fewer than nine streams.
                for next in 9..18 {
                    s.prefetch(weights.as_ptr().wrapping_add(next * tap + lane));
                }
                transform::weights(s, &weights[lane..], tap, &mut to[at + lane..], self.weights);
            }
        }
    }

    /// The weights of a part that begins with this input block, of this output block and the next.
    fn soon<'w>(&self, weights: &'w [f32], (output, input): (usize, usize)) -> [&'w [f32]; 2] {
        let pair = 9 * self.lanes * self.lanes;
        [output, output + 1].map(|output| {
            let weights = weights.get((output * self.blocks[0] + input) * pair..);
            let weights = weights.unwrap_or_default();
            &weights[..weights.len().min(self.part * pair)]
        })
    }

    /// To `[place, output block, tile, lane]`.
    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, of: &Matrices<'_>, products: &mut [f32]) {
        let [tiles, inputs, outputs] = of.size;
        for (place, products) in products.chunks_exact_mut(self.products).enumerate() {
            // Memory is at work while the processor multiplies.
            for soon in of.soon {
                let lines = soon.len() / LINE;
                for line in place * lines / PLACES..(place + 1) * lines / PLACES {
                    s.prefetch(&raw const soon[line * LINE]);
                }
            }
            let mut store = Store {
                start: &ZEROS,
                scale: None,
                residual: of
                    .sums
                    .map(|sums| &sums[place * self.products..][..self.products]),
                output: Output::Numbers(products),
                plane: tiles * S::LANES,
                row: S::LANES,
                activation: Activation::None,
            };
            for run in parts(tiles, tile::widest(S::REGISTERS, outputs)) {
                let tile = Tile {
                    input: &of.inputs[place * self.inputs + run.start * S::LANES..],
                    taps: &[0],
                    blocks: inputs,
                    block: tiles * S::LANES,
                    depth: S::LANES,
                    step: S::LANES,
                    weights: &of.weights[place * self.weights..],
                    weights_stride: inputs * S::LANES * S::LANES,
                    at: run.start * S::LANES,
                    store: &mut store,
                };
                tile::run::<S, false>(s, outputs, run.len(), tile);
            }
        }
    }

    /// To the output of a block.
    #[inline(always)]
    fn transform_products<S: Simd>(
        &self,
        s: S,
        products: &[f32],
        tiles: &Range<usize>,
        mut end: End<'_>,
    ) {
        let [height, width] = self.conv.output_size();
        for (at, tile) in tiles.clone().enumerate() {
            let [y, x] = [tile / self.across * OUT, tile % self.across * OUT];
            let size = [OUT.min(height - y), OUT.min(width - x)];
            let at = &products[at * S::LANES..];
            let place = (y * width + x) * S::LANES;
            let place = [place, width * S::LANES];
            transform::products(s, at, self.products, &mut end, place, size);
        }
    }
}

/// Products of a part of the input blocks.
struct Matrices<'m> {
    /// `[place, input block, tile, lane]`
    inputs: &'m [f32],
    /// `[place, output block, input lane, output lane]`
    weights: &'m [f32],
    /// Tiles, input blocks, output blocks.
    size: [usize; 3],
    /// What the products are added to.
    sums: Option<&'m [f32]>,
    /// What will be transformed next.
    soon: [&'m [f32]; 2],
}

/// What is done to the sums of a block, and where they go.
struct End<'e> {
    /// A vector of it.
    bias: &'e [f32],
    residual: Option<&'e [f32]>,
    activation: Activation,
    output: &'e mut [f32],
}
