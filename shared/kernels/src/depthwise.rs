//! Convolution in which each channel is a group of its own.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::simd::{Simd, Task};
use crate::{Activation, Isa, Window};

mod integer;
mod numbers;
mod tile;

pub use integer::{IntegerDepthwise, IntegerDepthwiseOperands};

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
    /// each lane.
    ///
    /// # Panics
    /// If a slice has another length, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, input: &[f32], weights: &[f32], bias: &[f32], output: &mut [f32]) {
        assert_eq!(input.len(), self.input_len(isa), "input");
        assert_eq!(weights.len(), self.weights_len(isa), "weights");
        assert_eq!(bias.len(), isa.blocks(self.channels) * isa.lanes(), "bias");
        assert_eq!(output.len(), self.output_len(isa), "output");
        if output.is_empty() {
            return;
        }
        isa.run(Run {
            depthwise: self,
            input,
            weights,
            bias,
            output,
        });
    }
}

struct Run<'a> {
    depthwise: &'a Depthwise,
    input: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    output: &'a mut [f32],
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let activation = self.depthwise.activation;
        let bounds = activation.bounds();
        tile::run(
            s,
            numbers::Planes {
                window: self.depthwise.window,
                size: self.depthwise.size,
                blocks: self.bias.len() / S::LANES,
                input: self.input,
                weights: self.weights,
                bias: self.bias,
                bounds: bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)),
                then: bounds.is_none().then_some(activation),
                output: self.output,
            },
        );
    }
}
