//! Convolution of quantized channels: the same tiles, four bytes to a number.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bands::Bands;
use super::{Conv, Output, Scale, Store};
use crate::simd::{Simd, Task};
use crate::{Isa, Steps};

/// A convolution of bytes (`[⌈inputs/c⌉, H, W, c]`, as [`Steps::to_bytes`] gives them) with signed bytes, as
/// [QLinearConv](https://onnx.ai/onnx/operators/onnx__QLinearConv.html) has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegerConv {
    /// The convolution. Its input is blocked.
    pub conv: Conv,
    /// The byte that zero is: what padding is made of.
    pub zero: u8,
    /// What the output is quantized to; else it is `f32`.
    pub output: Option<Steps>,
}

/// What a convolution of one item of a batch works on.
#[derive(Debug)]
pub struct IntegerOperands<'a> {
    /// `[⌈inputs/c⌉, H, W, c]`, aligned as numbers.
    pub input: &'a [u8],
    /// As `arrange` gives them.
    pub weights: &'a [f32],
    /// As `offsets` gives them.
    pub offsets: &'a [f32],
    /// What a sum of products is multiplied by, for each lane of the output's blocks: the input's scale times that of the
    /// channel's weights.
    pub factor: &'a [f32],
    /// One number for each lane.
    pub bias: &'a [f32],
    /// Added before the activation; shaped as the output.
    pub residual: Option<&'a [f32]>,
    /// `[⌈outputs/c⌉, H', W', c]`
    pub output: IntegerOutput<'a>,
    /// `scratch_len` numbers of any value.
    pub scratch: &'a mut [f32],
}

/// Where a convolution's output goes.
#[derive(Debug)]
pub enum IntegerOutput<'a> {
    /// Where it is not quantized.
    Numbers(&'a mut [f32]),
    /// Where it is.
    Bytes(&'a mut [u8]),
}

/// Channels in a number.
const QUAD: usize = 4;

impl IntegerConv {
    /// Whether this kernel can do it.
    pub fn is_supported(&self, isa: Isa) -> bool {
        let bounded = self.conv.activation.bounds().is_some();
        let steps = self.output.is_none_or(Steps::is_bytes);
        self.conv.is_supported(isa)
            && !self.conv.dense_input
            && steps
            && (bounded || self.output.is_none())
    }

    /// Numbers of scratch that a run needs.
    pub fn scratch_len(&self, isa: Isa) -> usize {
        self.bands(isa, &self.conv.lengthwise()).scratch
    }

    /// The bands of the convolution, its positions in a row.
    fn bands<'c>(&self, isa: Isa, turned: &'c Conv) -> Bands<'c> {
        let lanes = isa.lanes();
        let padding = f32::from_le_bytes([self.zero; QUAD]);
        let weights = self.weights_len(isa);
        Bands::new(turned, lanes, lanes / QUAD, weights, padding)
    }

    /// Numbers that [`IntegerConv::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        self.conv.weights_len(isa) / QUAD
    }

    /// Weights from `[outputs, inputs / groups, kernel height, kernel width]` to the kernel's order: `[output block, input
    /// block, tap, input lane / 4, output lane]`, each of four bytes, as the bits of numbers.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn arrange(&self, isa: Isa, weights: &[i8]) -> Vec<f32> {
        let numbers: Vec<f32> = weights.iter().map(|&weight| f32::from(weight)).collect();
        let lanes = isa.lanes();
        let arranged = self.conv.arrange(isa, &numbers);
        let quads = arranged.chunks_exact(QUAD * lanes);
        let quad = |four: &[f32], lane: usize| {
            let byte = |at: usize| four[at * lanes + lane] as i8 as u8;
            f32::from_le_bytes(std::array::from_fn(byte))
        };
        quads
            .flat_map(|four| (0..lanes).map(move |lane| quad(four, lane)))
            .collect()
    }

    /// What takes the input's zero from the sums, for each lane: 32-bit integers, as the bits of numbers.
    pub fn offsets(&self, isa: Isa, weights: &[i8]) -> Vec<f32> {
        let mut offsets = vec![0.0; isa.blocks(self.conv.outputs) * isa.lanes()];
        let each = weights.len() / self.conv.outputs;
        for (offset, weights) in offsets.iter_mut().zip(weights.chunks_exact(each)) {
            let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
            *offset = f32::from_bits((-i32::from(self.zero) * sum) as u32);
        }
        offsets
    }

    /// As [`Conv::part`]; offsets and factor are the part of these blocks, too.
    #[must_use]
    pub fn part(&self, isa: Isa, blocks: &Range<usize>) -> Self {
        Self {
            conv: self.conv.part(isa, blocks),
            ..self.clone()
        }
    }

    /// Convolves one item of a batch.
    ///
    /// # Panics
    /// If the convolution is not supported, a slice has another length or alignment, or this machine lacks the instruction
    /// set.
    pub fn run(&self, isa: Isa, operands: IntegerOperands<'_>) {
        let (conv, lanes) = (&self.conv, isa.blocks(self.conv.outputs) * isa.lanes());
        assert!(self.is_supported(isa), "{self:?} on {isa}");
        assert_eq!(operands.input.len(), conv.input_len(isa), "input");
        assert_eq!(operands.weights.len(), self.weights_len(isa), "weights");
        for of_lanes in [operands.offsets, operands.factor, operands.bias] {
            assert_eq!(of_lanes.len(), lanes, "offsets, factor and bias");
        }
        let output = match &operands.output {
            IntegerOutput::Numbers(numbers) if self.output.is_none() => numbers.len(),
            IntegerOutput::Bytes(bytes) if self.output.is_some() => bytes.len(),
            _ => panic!("an output of another datatype"),
        };
        assert_eq!(output, conv.output_len(isa), "output");
        let residual = operands.residual.map(<[f32]>::len);
        assert!(residual.is_none_or(|len| len == output), "residual");
        assert!(
            operands.scratch.len() >= self.scratch_len(isa),
            "scratch of {}",
            operands.scratch.len()
        );
        isa.run_integers(Run {
            conv: self,
            isa,
            operands,
        });
    }
}

/// Bytes as numbers of four.
///
/// # Panics
/// If they are not aligned as numbers, or not a multiple of four.
pub(super) fn quads(bytes: &[u8]) -> &[f32] {
    // SAFETY: any bits are a number.
    let (before, quads, after) = unsafe { bytes.align_to::<f32>() };
    assert!(before.is_empty() && after.is_empty(), "bytes of no quads");
    quads
}

struct Run<'a> {
    conv: &'a IntegerConv,
    isa: Isa,
    operands: IntegerOperands<'a>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            conv,
            isa,
            operands,
        } = self;
        let IntegerOperands {
            input,
            weights,
            offsets,
            factor,
            bias,
            residual,
            output,
            scratch,
        } = operands;
        let blocks = isa.blocks(conv.conv.outputs) / conv.conv.groups;
        let [height, width] = conv.conv.output_size();
        let store = Store {
            start: offsets,
            scale: Some(Scale { factor, bias }),
            residual,
            output: match (output, conv.output) {
                (IntegerOutput::Bytes(bytes), Some(steps)) => Output::Bytes(bytes, steps),
                (IntegerOutput::Numbers(numbers), _) => Output::Numbers(numbers),
                (IntegerOutput::Bytes(_), None) => unreachable!("bytes have steps"),
            },
            plane: height * width * S::LANES,
            row: S::LANES,
            activation: conv.conv.activation,
        };
        let turned = conv.conv.lengthwise();
        let bands = conv.bands(isa, &turned);
        bands.run::<S, true>(s, blocks, quads(input), weights, scratch, store);
    }
}
