//! Products of a matrix with constant weights, of numbers or of bytes: pointwise convolutions whose positions are rows.

use serde::{Deserialize, Serialize};

use super::integer::quads;
use super::tile::{self, Tile};
use super::{Output, Store};
use crate::simd::{Simd, Task};
use crate::{Activation, Isa};

/// `[rows, inputs] · [inputs, outputs]` to 32-bit integers, as
/// [MatMulInteger](https://onnx.ai/onnx/operators/onnx__MatMulInteger.html) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegerProduct {
    /// Columns of the one matrix, rows of the other; a multiple of four.
    pub inputs: usize,
    /// Columns of the product.
    pub outputs: usize,
}

/// What a product works on.
#[derive(Debug)]
pub struct ProductOperands<'a> {
    /// `[rows, inputs]`, aligned as numbers.
    pub rows: &'a [u8],
    /// The byte that zero is in the rows.
    pub zero: u8,
    /// As `arrange` gives them.
    pub weights: &'a [f32],
    /// As `sums` gives them.
    pub sums: &'a [i32],
    /// `[rows, outputs]`, the bits of 32-bit integers.
    pub output: &'a mut [f32],
}

impl IntegerProduct {
    /// Whether this kernel can do it: four inputs to a number, and something to do.
    pub fn is_supported(&self) -> bool {
        self.inputs > 0 && self.outputs > 0 && self.inputs.is_multiple_of(4)
    }

    /// Numbers that [`IntegerProduct::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        isa.blocks(self.outputs) * isa.lanes() * self.inputs / 4
    }

    /// Weights from `[inputs, outputs]` to the kernel's order: `[output block, input / 4, output lane]`, each of four
    /// bytes, as the bits of numbers.
    ///
    /// # Panics
    /// If the slice has another length, or the inputs are no multiple of four.
    pub fn arrange(&self, isa: Isa, weights: &[i8]) -> Vec<f32> {
        assert_eq!(weights.len(), self.inputs * self.outputs, "weights");
        assert!(self.is_supported(), "{self:?}");
        let lanes = isa.lanes();
        let byte = |input: usize, output: usize| {
            let inside = output < self.outputs;
            if inside {
                weights[input * self.outputs + output] as u8
            } else {
                0
            }
        };
        let quad = |at: usize| {
            let (rest, lane) = (at / lanes, at % lanes);
            let (block, input) = (rest / (self.inputs / 4), rest % (self.inputs / 4) * 4);
            let output = block * lanes + lane;
            f32::from_le_bytes(std::array::from_fn(|four| byte(input + four, output)))
        };
        (0..self.weights_len(isa)).map(quad).collect()
    }

    /// The sum of each column of the weights (`[inputs, outputs]`), zeros where a lane is no column.
    pub fn sums(&self, isa: Isa, weights: &[i8]) -> Vec<i32> {
        let mut sums = vec![0; isa.blocks(self.outputs) * isa.lanes()];
        for row in weights.chunks_exact(self.outputs) {
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum += i32::from(weight);
            }
        }
        sums
    }

    /// Multiplies.
    ///
    /// # Panics
    /// If a slice has another length or alignment, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, operands: ProductOperands<'_>) {
        let ProductOperands {
            rows,
            zero,
            weights,
            sums,
            output,
        } = operands;
        assert!(self.is_supported(), "{self:?}");
        assert_eq!(weights.len(), self.weights_len(isa), "weights");
        let lanes = isa.blocks(self.outputs) * isa.lanes();
        assert_eq!(sums.len(), lanes, "sums");
        let count = rows.len() / self.inputs;
        assert_eq!(rows.len(), count * self.inputs, "rows");
        assert_eq!(output.len(), count * self.outputs, "output");
        // What takes the zero of the rows from the sums.
        let zero = i32::from(zero);
        let start = sums.iter().map(|&sum| (-zero).wrapping_mul(sum));
        let start: Vec<f32> = start.map(|start| f32::from_bits(start as u32)).collect();
        isa.run_integers(Matrices::<true> {
            rows: Rows::dense(quads(rows), self.inputs / 4),
            outputs: self.outputs,
            weights,
            start: &start,
            output,
            stride: self.outputs,
        });
    }
}

/// `[rows, inputs] · [inputs, outputs] + bias`, in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Columns of the one matrix, rows of the other.
    pub inputs: usize,
    /// Columns of the product.
    pub outputs: usize,
}

impl Product {
    /// Numbers that [`Product::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        isa.blocks(self.outputs) * isa.lanes() * self.inputs
    }

    /// Brings weights (of an input and an output) into the kernel's order: `[output block, input, output lane]`, zeros
    /// where a lane is no column.
    ///
    /// # Panics
    /// If the slice has another length than [`Self::weights_len`].
    pub fn arrange(&self, isa: Isa, weight: impl Fn(usize, usize) -> f32, arranged: &mut [f32]) {
        assert_eq!(arranged.len(), self.weights_len(isa), "weights");
        let lanes = isa.lanes();
        for (block, arranged) in arranged.chunks_exact_mut(self.inputs * lanes).enumerate() {
            let first = block * lanes;
            let width = lanes.min(self.outputs - first);
            for (input, to) in arranged.chunks_exact_mut(lanes).enumerate() {
                let (columns, none) = to.split_at_mut(width);
                for (lane, to) in columns.iter_mut().enumerate() {
                    *to = weight(input, first + lane);
                }
                none.fill(0.0);
            }
        }
    }

    /// Multiplies `rows` (`[rows, inputs]`) with arranged weights; `bias` has a number for each lane, `output` is
    /// `[rows, outputs]`.
    ///
    /// # Panics
    /// If a slice has another length, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, rows: &[f32], weights: &[f32], bias: &[f32], output: &mut [f32]) {
        assert!(self.inputs > 0 && self.outputs > 0, "{self:?}");
        assert_eq!(weights.len(), self.weights_len(isa), "weights");
        let lanes = isa.blocks(self.outputs) * isa.lanes();
        assert_eq!(bias.len(), lanes, "bias");
        let count = rows.len() / self.inputs;
        assert_eq!(rows.len(), count * self.inputs, "rows");
        assert_eq!(output.len(), count * self.outputs, "output");
        isa.run(Matrices::<false> {
            rows: Rows::dense(rows, self.inputs),
            outputs: self.outputs,
            weights,
            start: bias,
            output,
            stride: self.outputs,
        });
    }
}

/// The rows of a product, in numbers: of four bytes each where bytes are multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) count: usize,
    /// Numbers from one row to the next.
    pub(crate) step: usize,
    /// A row is so many runs of numbers.
    pub(crate) runs: usize,
    /// Numbers from one run to the next.
    pub(crate) run: usize,
    /// Numbers of a run.
    pub(crate) depth: usize,
}

impl<'a> Rows<'a> {
    /// Rows of so many numbers, one behind the other.
    fn dense(numbers: &'a [f32], depth: usize) -> Self {
        Self {
            numbers,
            count: numbers.len() / depth,
            step: depth,
            runs: 1,
            run: 0,
            depth,
        }
    }
}

/// What a product works on.
pub(crate) struct Matrices<'a, const INTEGER: bool> {
    pub(crate) rows: Rows<'a>,
    pub(crate) outputs: usize,
    pub(crate) weights: &'a [f32],
    /// What the sums start from, for each lane.
    pub(crate) start: &'a [f32],
    pub(crate) output: &'a mut [f32],
    /// Numbers from one row of the output to the next.
    pub(crate) stride: usize,
}

impl<const INTEGER: bool> Task for Matrices<'_, INTEGER> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            rows,
            outputs,
            weights,
            start,
            output: all,
            stride,
        } = self;
        let weights_stride = rows.runs * rows.depth * S::LANES;
        // The lanes of a last block that is not full have no place in the output.
        let whole = outputs / S::LANES;
        let mut tail = [0.0; 16 * tile::WIDEST];
        let mut first = 0;
        while first * S::LANES < outputs {
            let is_tail = first == whole;
            let together = if is_tail { 1 } else { 2.min(whole - first) };
            let widest = tile::widest(S::REGISTERS, together);
            for row in (0..rows.count).step_by(widest) {
                let positions = widest.min(rows.count - row);
                let (output, at, apart) = if is_tail {
                    (&mut tail[..], 0, S::LANES)
                } else {
                    (&mut all[..], row * stride + first * S::LANES, stride)
                };
                let mut store = Store {
                    start: &start[first * S::LANES..],
                    scale: None,
                    residual: None,
                    output: Output::Numbers(output),
                    plane: S::LANES,
                    row: apart,
                    activation: Activation::None,
                };
                let tile = Tile {
                    input: &rows.numbers[row * rows.step..],
                    taps: &[0],
                    blocks: rows.runs,
                    block: rows.run,
                    depth: rows.depth,
                    step: rows.step,
                    weights: &weights[first * weights_stride..],
                    weights_stride,
                    at,
                    store: &mut store,
                };
                tile::run::<S, INTEGER>(s, together, positions, tile);
                if is_tail {
                    let from = tail.chunks_exact(S::LANES).take(positions);
                    let to = all[row * stride..].chunks_mut(stride);
                    for (from, to) in from.zip(to) {
                        let to = &mut to[first * S::LANES..outputs];
                        to.copy_from_slice(&from[..to.len()]);
                    }
                }
            }
            first += together;
        }
    }
}
