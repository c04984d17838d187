//! Depthwise convolution of quantized channels: the bytes of four rows to a number.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Depthwise, tile};
use crate::simd::{Simd, Task};
use crate::{Isa, Steps, Window};

/// A depthwise convolution of bytes (`[⌈channels/c⌉, H, W, c]`, as [`Steps::to_bytes`] gives them) with signed bytes, whose
/// output is quantized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegerDepthwise {
    /// The convolution.
    pub depthwise: Depthwise,
    /// The byte that zero is: what padding is made of.
    pub zero: u8,
    /// What the output is quantized to.
    pub output: Steps,
}

/// What a depthwise convolution of one item of a batch works on.
#[derive(Debug)]
pub struct IntegerDepthwiseOperands<'a> {
    /// `[⌈channels/c⌉, H, W, c]`
    pub input: &'a [u8],
    /// As `arrange` gives them.
    pub weights: &'a [f32],
    /// As `offsets` gives them.
    pub offsets: &'a [f32],
    /// What a sum of products is multiplied by, for each lane: the input's scale times that of the channel's weights.
    pub factor: &'a [f32],
    /// One number for each lane.
    pub bias: &'a [f32],
    /// `[⌈channels/c⌉, H', W', c]`
    pub output: &'a mut [u8],
}

/// Rows in a number.
const QUAD: usize = 4;

/// Numbers in a column of taps, at most.
const QUADS: usize = 2;

impl IntegerDepthwise {
    /// Whether this kernel can do it.
    pub fn is_supported(&self) -> bool {
        self.depthwise.window.kernel[0] <= QUAD * QUADS
            && self.depthwise.activation.bounds().is_some()
            && self.output.is_bytes()
    }

    /// Numbers in a column of taps.
    fn quads(&self) -> usize {
        self.depthwise.window.kernel[0].div_ceil(QUAD)
    }

    /// Numbers that [`IntegerDepthwise::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        isa.blocks(self.depthwise.channels)
            * self.quads()
            * self.depthwise.window.kernel[1]
            * isa.lanes()
    }

    /// Weights from `[channels, 1, kernel height, kernel width]` to `[block, row / 4, column, lane]`, each of four bytes, as
    /// the bits of numbers.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn arrange(&self, isa: Isa, weights: &[i8]) -> Vec<f32> {
        let [height, width] = self.depthwise.window.kernel;
        assert_eq!(weights.len(), self.depthwise.channels * height * width);
        let lanes = isa.lanes();
        let number = |at: usize| {
            let (lane, column) = (at % lanes, at / lanes % width);
            let quad = at / lanes / width;
            let (block, first) = (quad / self.quads(), quad % self.quads() * QUAD);
            let channel = block * lanes + lane;
            f32::from_le_bytes(std::array::from_fn(|row| {
                if channel < self.depthwise.channels && first + row < height {
                    weights[(channel * height + first + row) * width + column] as u8
                } else {
                    0
                }
            }))
        };
        (0..self.weights_len(isa)).map(number).collect()
    }

    /// What takes the input's zero from the sums, for each lane: 32-bit integers, as the bits of numbers.
    pub fn offsets(&self, isa: Isa, weights: &[i8]) -> Vec<f32> {
        let mut offsets = vec![0.0; isa.blocks(self.depthwise.channels) * isa.lanes()];
        let taps = self.depthwise.window.kernel.iter().product();
        for (offset, weights) in offsets.iter_mut().zip(weights.chunks_exact(taps)) {
            let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
            *offset = f32::from_bits((-i32::from(self.zero) * sum) as u32);
        }
        offsets
    }

    /// As [`Depthwise::part`]; offsets and factor are the part of these blocks, too.
    #[must_use]
    pub fn part(&self, isa: Isa, blocks: &Range<usize>) -> Self {
        Self {
            depthwise: self.depthwise.part(isa, blocks),
            ..self.clone()
        }
    }

    /// Convolves one item of a batch.
    ///
    /// # Panics
    /// If the convolution is not supported, a slice has another length, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, operands: IntegerDepthwiseOperands<'_>) {
        let depthwise = &self.depthwise;
        let lanes = isa.blocks(depthwise.channels) * isa.lanes();
        assert!(self.is_supported(), "{self:?}");
        assert_eq!(operands.input.len(), depthwise.input_len(isa), "input");
        assert_eq!(operands.weights.len(), self.weights_len(isa), "weights");
        for of_lanes in [operands.offsets, operands.factor, operands.bias] {
            assert_eq!(of_lanes.len(), lanes, "offsets, factor and bias");
        }
        assert_eq!(operands.output.len(), depthwise.output_len(isa), "output");
        if !operands.output.is_empty() {
            isa.run_integers(Run {
                convolution: self,
                padding: &vec![self.zero; depthwise.size[1] * isa.lanes()],
                operands,
            });
        }
    }
}

struct Run<'a> {
    convolution: &'a IntegerDepthwise,
    /// A row of zeros.
    padding: &'a [u8],
    operands: IntegerDepthwiseOperands<'a>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let IntegerDepthwise {
            depthwise, output, ..
        } = self.convolution;
        // Steps ascend with the numbers, so that the activation's bounds may be put on the steps.
        let (low, high) = depthwise.activation.bounds().expect("is supported");
        let [first, last] = output.range;
        let step = |x: f32| {
            let step = (x / output.scale).round_ties_even() + output.zero;
            step.max(first).min(last)
        };
        let range = (step(low), step(high));
        tile::run(
            s,
            Planes {
                convolution: self.convolution,
                padding: self.padding,
                blocks: self.operands.bias.len() / S::LANES,
                of: self.operands,
                range,
            },
        );
    }
}

struct Planes<'p> {
    convolution: &'p IntegerDepthwise,
    padding: &'p [u8],
    of: IntegerDepthwiseOperands<'p>,
    blocks: usize,
    /// The steps that the activation leaves.
    range: (f32, f32),
}

impl tile::Planes for Planes<'_> {
    #[inline(always)]
    fn shape(&self) -> (Window, [usize; 2]) {
        let depthwise = &self.convolution.depthwise;
        (depthwise.window, depthwise.size)
    }

    #[inline(always)]
    fn blocks(&self) -> usize {
        self.blocks
    }

    #[inline(always)]
    fn is_sound(&self, lanes: usize) -> bool {
        let (window, size) = self.shape();
        let blocks = self.blocks;
        let len = |[height, width]: [usize; 2]| blocks * height * width * lanes;
        let quads = self.convolution.quads();
        let of = &self.of;
        of.input.len() == len(size)
            && self.padding.len() == size[1] * lanes
            && quads <= QUADS
            && of.weights.len() == len([quads, window.kernel[1]])
            && [of.offsets, of.factor, of.bias].map(<[f32]>::len) == [blocks * lanes; 3]
            && of.output.len() == len(window.output(size))
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(
        &mut self,
        s: S,
        block: usize,
        y: usize,
        [rows, columns]: [usize; 2],
    ) -> impl tile::Row<S> {
        let (window, [height, width]) = self.shape();
        let (of, steps) = (&mut self.of, &self.convolution.output);
        let input = |tap: usize| {
            let row = y * window.stride[0] + tap * window.dilation[0];
            let row = row.wrapping_sub(window.before[0]);
            // What multiplies rows beyond the kernel is zero.
            let rows = if row < height && tap < window.kernel[0] {
                &of.input[(block * height + row) * width * S::LANES..]
            } else {
                self.padding
            };
            rows.as_ptr()
        };
        let quad = |at: usize| {
            [
                input(QUAD * at),
                input(QUAD * at + 1),
                input(QUAD * at + 2),
                input(QUAD * at + 3),
            ]
        };
        let quads = self.convolution.quads();
        let per_step = s.splat(1.0 / steps.scale);
        let lane = block * S::LANES;
        // SAFETY: the caller's promise.
        unsafe {
            Row {
                quads,
                input: [quad(0), quad(1)],
                padding: s.load_quads([self.padding.as_ptr(); QUAD]),
                weights: of.weights.as_ptr().add(lane * quads * window.kernel[1]),
                kernel: window.kernel[1],
                offsets: s.load(of.offsets.as_ptr().add(lane)),
                factor: s.mul(s.load(of.factor.as_ptr().add(lane)), per_step),
                bias: s.mul_add(
                    s.load(of.bias.as_ptr().add(lane)),
                    per_step,
                    s.splat(steps.zero),
                ),
                range: (s.splat(self.range.0), s.splat(self.range.1)),
                output: of
                    .output
                    .as_mut_ptr()
                    .add((block * rows + y) * columns * S::LANES),
            }
        }
    }

    #[inline(always)]
    fn complete<S: Simd>(&mut self, _: S, _: usize) {}
}

struct Row<S: Simd> {
    quads: usize,
    /// The rows of each quad.
    input: [[*const u8; QUAD]; QUADS],
    padding: S::V,
    weights: *const f32,
    /// Columns of taps.
    kernel: usize,
    offsets: S::V,
    /// What makes steps of the output of sums.
    factor: S::V,
    bias: S::V,
    range: (S::V, S::V),
    output: *mut u8,
}

// SAFETY (all blocks below): the caller's promises.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<S: Simd> tile::Row<S> for Row<S> {
    #[inline(always)]
    fn lines(&self) -> usize {
        self.quads
    }
    #[inline(always)]
    unsafe fn start(&self, _: S) -> S::V {
        self.offsets
    }
    #[inline(always)]
    unsafe fn weights(&self, s: S, line: usize, tap: usize) -> S::V {
        unsafe { s.load(self.weights.add((line * self.kernel + tap) * S::LANES)) }
    }
    #[inline(always)]
    unsafe fn column(&self, s: S, line: usize, column: usize) -> S::V {
        let [a, b, c, d] = self.input[line];
        let at = column * S::LANES;
        unsafe { s.load_quads([a.add(at), b.add(at), c.add(at), d.add(at)]) }
    }
    #[inline(always)]
    fn beyond(&self, _: S) -> Option<S::V> {
        Some(self.padding)
    }
    #[inline(always)]
    fn add_product(&self, s: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        s.dot4(x, w, sum)
    }
    #[inline(always)]
    unsafe fn finish<const WIDTH: usize>(&self, s: S, x: usize, sums: [S::V; WIDTH]) {
        for (p, sum) in sums.into_iter().enumerate() {
            let step = s.mul_add(s.numbers_of(sum), self.factor, self.bias);
            let step = s.min(self.range.1, s.max(self.range.0, s.round(step)));
            unsafe { s.store_bytes(self.output.add((x + p) * S::LANES), step) };
        }
    }
}
