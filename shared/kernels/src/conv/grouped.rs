//! Pointwise convolution in groups of any number of channels, and of channels that were shuffled.

use serde::{Deserialize, Serialize};

use super::bands::{Line, Source};
use super::{Output, Store};
use crate::simd::{Simd, Task};
use crate::{Activation, Isa};

/// A convolution of one tap, for one shape of its input. Groups may cut blocks of channels: an output block multiplies
/// the inputs of each group that it holds channels of, with zeros where a channel is not of that group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupedPointwise {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Groups of channels that don't see one another.
    pub groups: usize,
    /// Inputs are read as if shuffled: as `[shuffle, inputs / shuffle]`, transposed. One leaves them in order.
    pub shuffle: usize,
    /// Height and width of input and output.
    pub size: [usize; 2],
    /// What follows the sum, the bias and the residual.
    pub activation: Activation,
}

/// What a grouped pointwise convolution of one item of a batch works on.
#[derive(Debug)]
pub struct GroupedOperands<'a> {
    /// `[⌈inputs/c⌉, H, W, c]`
    pub input: &'a [f32],
    /// As `arrange` gives them.
    pub weights: &'a [f32],
    /// One number for each lane of the output's blocks.
    pub bias: &'a [f32],
    /// Added before the activation; shaped as the output.
    pub residual: Option<&'a [f32]>,
    /// `[⌈outputs/c⌉, H, W, c]`
    pub output: &'a mut [f32],
}

/// One or two output blocks that see the same inputs.
struct Panel {
    block: usize,
    blocks: usize,
    /// Channels in the order of their places.
    inputs: Vec<usize>,
}

impl GroupedPointwise {
    /// Whether groups and shuffle divide the channels, and there are some.
    pub fn is_supported(&self) -> bool {
        let divides =
            |part: usize, whole: usize| part > 0 && whole > 0 && whole.is_multiple_of(part);
        divides(self.groups, self.inputs)
            && divides(self.groups, self.outputs)
            && divides(self.shuffle, self.inputs)
            && self.positions() > 0
    }

    fn positions(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers in the input of one item.
    pub fn input_len(&self, isa: Isa) -> usize {
        isa.blocks(self.inputs) * isa.lanes() * self.positions()
    }

    /// Numbers in the output of one item.
    pub fn output_len(&self, isa: Isa) -> usize {
        isa.blocks(self.outputs) * isa.lanes() * self.positions()
    }

    /// Numbers that [`GroupedPointwise::arrange`] gives: products of a position, those with zeros too.
    pub fn weights_len(&self, isa: Isa) -> usize {
        let inputs = self.inputs / self.groups;
        let seen = (0..isa.blocks(self.outputs)).map(|block| self.seen(isa, block).len() * inputs);
        seen.sum::<usize>() * isa.lanes()
    }

    /// The groups that an output block has channels of.
    fn seen(&self, isa: Isa, block: usize) -> std::ops::Range<usize> {
        let each = self.outputs / self.groups;
        let first = block * isa.lanes();
        let last = (first + isa.lanes()).min(self.outputs) - 1;
        first / each..last / each + 1
    }

    /// Where an input, as groups see them, lies among the channels.
    pub fn place(&self, input: usize) -> usize {
        input % self.shuffle * (self.inputs / self.shuffle) + input / self.shuffle
    }

    fn panels(&self, isa: Isa) -> Vec<Panel> {
        let all = isa.blocks(self.outputs);
        let each = self.inputs / self.groups;
        let mut panels = Vec::with_capacity(all);
        let mut block = 0;
        while block < all {
            let groups = self.seen(isa, block);
            let pair = block + 1 < all && self.seen(isa, block + 1) == groups;
            let blocks = 1 + usize::from(pair);
            let inputs = groups.start * each..groups.end * each;
            let mut inputs: Vec<_> = inputs.map(|input| self.place(input)).collect();
            inputs.sort_unstable();
            panels.push(Panel {
                block,
                blocks,
                inputs,
            });
            block += blocks;
        }
        panels
    }

    /// Weights from `[outputs, inputs / groups]` to the kernel's order: for each output block the inputs that it sees,
    /// in the order of their places, and a number for each of its lanes.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn arrange(&self, isa: Isa, weights: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs / self.groups, self.outputs / self.groups);
        assert_eq!(weights.len(), self.outputs * inputs, "weights");
        let lanes = isa.lanes();
        // Which input of the file's order lies at each place.
        let mut order = vec![0; self.inputs];
        for input in 0..self.inputs {
            order[self.place(input)] = input;
        }
        let mut arranged = Vec::with_capacity(self.weights_len(isa));
        for panel in self.panels(isa) {
            for block in panel.block..panel.block + panel.blocks {
                for &place in &panel.inputs {
                    let input = order[place];
                    arranged.extend((block * lanes..(block + 1) * lanes).map(|output| {
                        let sees = output < self.outputs && output / outputs == input / inputs;
                        if sees {
                            weights[output * inputs + input % inputs]
                        } else {
                            0.0
                        }
                    }));
                }
            }
        }
        arranged
    }

    /// Convolves one item of a batch.
    ///
    /// # Panics
    /// If the convolution is not supported, a slice has another length, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, operands: GroupedOperands<'_>) {
        assert!(self.is_supported(), "{self:?}");
        assert_eq!(operands.input.len(), self.input_len(isa), "input");
        assert_eq!(operands.weights.len(), self.weights_len(isa), "weights");
        let lanes = isa.blocks(self.outputs) * isa.lanes();
        assert_eq!(operands.bias.len(), lanes, "bias");
        assert_eq!(operands.output.len(), self.output_len(isa), "output");
        let residual = operands.residual.map(<[f32]>::len);
        assert!(
            residual.is_none_or(|len| len == operands.output.len()),
            "residual"
        );
        isa.run(Run {
            conv: self,
            isa,
            operands,
        });
    }
}

struct Run<'a> {
    conv: &'a GroupedPointwise,
    isa: Isa,
    operands: GroupedOperands<'a>,
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
        let positions = conv.positions();
        let plane = positions * S::LANES;
        let mut store = Store {
            start: operands.bias,
            scale: None,
            residual: operands.residual,
            output: Output::Numbers(operands.output),
            plane,
            row: S::LANES,
            activation: conv.activation,
        };
        let mut weights = operands.weights;
        for panel in conv.panels(isa) {
            let stride = panel.inputs.len() * S::LANES;
            let (here, behind) = weights.split_at(panel.blocks * stride);
            weights = behind;
            // Each input is a tap of one number, so that a list of any of them can be read.
            let place = |&input: &usize| input / S::LANES * plane + input % S::LANES;
            let source = Source {
                data: operands.input,
                taps: panel.inputs.iter().map(place).collect(),
                blocks: 1,
                block: 0,
                depth: 1,
                line: 0,
                step: S::LANES,
            };
            let line = Line {
                start: 0,
                len: positions,
                index: 0,
            };
            let mut store = store.beginning_with(panel.block, S::LANES);
            source.line::<S, false>(s, &line, panel.blocks, here, stride, &mut store);
        }
    }
}
