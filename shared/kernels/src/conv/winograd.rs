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
/// Transformed weights up to so many numbers are kept until the run's end.
const KEPT: usize = 1 << 20;
/// Between the numbers of two places: lines of one set of a cache would drive each other out of it.
const APART: usize = 16;

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
    /// Numbers from one place to the next: of inputs, of products, of two output blocks' weights.
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
        let weights = 2 * depth * lanes + APART;
        Self {
            conv,
            lanes,
            blocks,
            across,
            tiles,
            together,
            inputs: together * depth + APART,
            products: 2 * together * lanes + APART,
            weights,
            kept: together < tiles && PLACES * weights * blocks[1].div_ceil(2) <= KEPT,
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
        let pairs = if self.kept {
            self.blocks[1].div_ceil(2)
        } else {
            1
        };
        PLACES * (self.inputs + self.products + pairs * self.weights)
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
        let (products, transformed) = scratch.split_at_mut(PLACES * self.products);
        let pair = PLACES * self.weights;
        let plane = output.len() / self.blocks[1];
        for first in (0..self.tiles).step_by(self.together) {
            let tiles = first..self.tiles.min(first + self.together);
            self.transform_input(s, input, &tiles, inputs);
            for block in (0..self.blocks[1]).step_by(2) {
                let blocks = block..self.blocks[1].min(block + 2);
                let at = if self.kept { block / 2 * pair } else { 0 };
                let transformed = &mut transformed[at..at + pair];
                if first == 0 || !self.kept {
                    self.transform_weights(s, weights, &blocks, transformed);
                }
                self.multiply(s, inputs, transformed, tiles.len(), blocks.len(), products);
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

    /// Of some output blocks, to `[place, output block, input lane, output lane]`.
    #[inline(always)]
    fn transform_weights<S: Simd>(
        &self,
        s: S,
        weights: &[f32],
        blocks: &Range<usize>,
        to: &mut [f32],
    ) {
        let tap = S::LANES * S::LANES;
        let (from, len) = (blocks.start * self.blocks[0], blocks.len() * self.blocks[0]);
        let weights = weights.chunks_exact(9 * tap).skip(from).take(len);
        for (weights, at) in weights.zip((0..).step_by(tap)) {
            for lane in (0..tap).step_by(S::LANES) {
                // Of the next input block: processors foresee fewer than nine streams.
                for next in 9..18 {
                    s.prefetch(weights.as_ptr().wrapping_add(next * tap + lane));
                }
                transform::weights(s, &weights[lane..], tap, &mut to[at + lane..], self.weights);
            }
        }
    }

    /// Of so many tiles and output blocks, to `[place, output block, tile, lane]`.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        s: S,
        inputs: &[f32],
        weights: &[f32],
        tiles: usize,
        blocks: usize,
        products: &mut [f32],
    ) {
        let matrices = inputs.chunks_exact(self.inputs);
        let matrices = matrices.zip(weights.chunks_exact(self.weights));
        for ((inputs, weights), products) in matrices.zip(products.chunks_exact_mut(self.products))
        {
            let mut store = Store {
                start: &ZEROS,
                scale: None,
                residual: None,
                output: Output::Numbers(products),
                plane: tiles * S::LANES,
                row: S::LANES,
                activation: Activation::None,
            };
            for part in parts(tiles, tile::widest(S::REGISTERS, blocks)) {
                let tile = Tile {
                    input: &inputs[part.start * S::LANES..],
                    taps: &[0],
                    blocks: self.blocks[0],
                    block: tiles * S::LANES,
                    depth: S::LANES,
                    step: S::LANES,
                    weights,
                    weights_stride: self.blocks[0] * S::LANES * S::LANES,
                    at: part.start * S::LANES,
                    store: &mut store,
                };
                tile::run::<S, false>(s, blocks, part.len(), tile);
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

/// What is done to the sums of a block, and where they go.
struct End<'e> {
    /// A vector of it.
    bias: &'e [f32],
    residual: Option<&'e [f32]>,
    activation: Activation,
    output: &'e mut [f32],
}
