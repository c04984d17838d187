//! Convolution of blocked channels with dense weights: direct, with no copy of the input but for its padding; or, of 3×3
//! taps, by Winograd's algorithm.

mod bands;
mod grouped;
mod integer;
mod products;
mod tile;
mod weights;
mod winograd;

use std::ops::Range;

pub use grouped::{GroupedOperands, GroupedPointwise};
pub use integer::{IntegerConv, IntegerOperands, IntegerOutput};
pub use products::{IntegerProduct, Product, ProductOperands};
pub(crate) use products::{Matrices, Rows};

use serde::{Deserialize, Serialize};

use crate::simd::{Simd, Task};
use crate::{Activation, Isa, Steps, Window};
use bands::Bands;
use winograd::Winograd;

/// A convolution over two axes, for one shape of its input.
///
/// Groups must hold whole blocks of channels, in and out (see [`Conv::is_supported`]); where each channel is a group of
/// its own, [`crate::Depthwise`] is the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Groups of channels that don't see one another.
    pub groups: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// The window.
    pub window: Window,
    /// Whether the input is dense (`[C, H, W]`), as in a network's first layer; the output is always blocked.
    pub dense_input: bool,
    /// What follows the sum, the bias and the residual.
    pub activation: Activation,
}

/// How the sums of a convolution are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Each product by itself.
    Direct,
    /// By the products of transformed tiles, of which there are fewer.
    Winograd,
}

/// What a convolution of one item of a batch works on.
#[derive(Debug)]
pub struct Operands<'a> {
    /// `[⌈inputs/c⌉, H, W, c]`, or `[inputs, H, W]` where the input is dense.
    pub input: &'a [f32],
    /// As `arrange` gives them.
    pub weights: &'a [f32],
    /// One number for each lane of the output's blocks.
    pub bias: &'a [f32],
    /// Added before the activation; shaped as the output.
    pub residual: Option<&'a [f32]>,
    /// `[⌈outputs/c⌉, H', W', c]`
    pub output: &'a mut [f32],
    /// `scratch_len` numbers of any value.
    pub scratch: &'a mut [f32],
}

impl Conv {
    /// Whether this kernel can do it: groups of whole blocks, a window that fits.
    pub fn is_supported(&self, isa: Isa) -> bool {
        let lanes = isa.lanes();
        let (inputs, outputs) = (self.inputs / self.groups, self.outputs / self.groups);
        let whole = self.groups == 1
            || (!self.dense_input
                && inputs.is_multiple_of(lanes)
                && outputs.is_multiple_of(lanes)
                && inputs * self.groups == self.inputs
                && outputs * self.groups == self.outputs);
        whole && self.output_size().iter().all(|&size| size > 0)
    }

    /// Whether it can be done so, where it is supported.
    pub fn allows(&self, method: Method) -> bool {
        method == Method::Direct || Winograd::fits(self)
    }

    /// How it is done fastest on most machines: transforms pay from 16 channels and planes of 8×8 on.
    pub fn usual(&self) -> Method {
        let large = self.output_size().iter().all(|&size| size >= 8);
        if Winograd::fits(self) && large && self.inputs.min(self.outputs) >= 16 {
            Method::Winograd
        } else {
            Method::Direct
        }
    }

    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        self.window.output(self.size)
    }

    /// Numbers in the input of one item.
    pub fn input_len(&self, isa: Isa) -> usize {
        let channels = if self.dense_input {
            self.inputs
        } else {
            isa.blocks(self.inputs) * isa.lanes()
        };
        channels * self.size[0] * self.size[1]
    }

    /// Numbers in the output of one item.
    pub fn output_len(&self, isa: Isa) -> usize {
        let [height, width] = self.output_size();
        isa.blocks(self.outputs) * isa.lanes() * height * width
    }

    /// Lanes of an input position: one where the input is dense.
    fn depth(&self, isa: Isa) -> usize {
        if self.dense_input { 1 } else { isa.lanes() }
    }

    /// Numbers of scratch that a run needs.
    pub fn scratch_len(&self, isa: Isa, method: Method) -> usize {
        if method == Method::Winograd {
            return Winograd::new(self, isa).scratch();
        }
        let depth = self.depth(isa);
        Bands::new(&self.lengthwise(), depth, depth, self.weights_len(isa), 0.0).scratch
    }

    /// Weights from `[outputs, inputs / groups, kernel height, kernel width]` to the kernel's order:
    /// `[output block, input block, tap, input lane, output lane]`, zeros where a lane is no channel.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn arrange(&self, isa: Isa, weights: &[f32]) -> Vec<f32> {
        weights::arrange(self, isa, weights)
    }

    /// Numbers that [`Conv::arrange`] gives.
    pub fn weights_len(&self, isa: Isa) -> usize {
        weights::len(self, isa)
    }

    /// The same work with its positions in a row: a plane of one column would give tiles of one position. Memory is alike.
    fn lengthwise(&self) -> Self {
        let mut turned = self.clone();
        let window = &mut turned.window;
        let column = self.size[1] + window.before[1] + window.after[1] == 1;
        if column && window.kernel[1] == 1 {
            turned.size.swap(0, 1);
            for axes in [
                &mut window.kernel,
                &mut window.stride,
                &mut window.dilation,
                &mut window.before,
                &mut window.after,
            ] {
                axes.swap(0, 1);
            }
        }
        turned
    }

    /// Output blocks that [`Conv::part`] tells apart.
    pub fn parts(&self, isa: Isa) -> usize {
        if self.groups == 1 {
            isa.blocks(self.outputs)
        } else {
            1
        }
    }

    /// The convolution that makes some of the output's blocks, out of [`Conv::parts`]. Its weights, bias, residual and
    /// output are the part of these blocks of the whole's, its input is the whole's.
    #[must_use]
    pub fn part(&self, isa: Isa, blocks: &Range<usize>) -> Self {
        if blocks.len() == self.parts(isa) {
            return self.clone();
        }
        let lanes = isa.lanes();
        Self {
            outputs: self.outputs.min(blocks.end * lanes) - blocks.start * lanes,
            ..self.clone()
        }
    }

    /// Convolves one item of a batch.
    ///
    /// # Panics
    /// If the convolution is not supported or can't be done so, a slice has another length, or this machine lacks the
    /// instruction set.
    pub fn run(&self, isa: Isa, method: Method, operands: Operands<'_>) {
        assert!(self.is_supported(isa), "{self:?} on {isa}");
        assert!(self.allows(method), "{self:?} by {method:?}");
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
        assert!(
            operands.scratch.len() >= self.scratch_len(isa, method),
            "scratch of {}",
            operands.scratch.len()
        );
        isa.run(Run {
            conv: self,
            isa,
            method,
            operands,
        });
    }
}

struct Run<'a> {
    conv: &'a Conv,
    isa: Isa,
    method: Method,
    operands: Operands<'a>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            conv,
            isa,
            method,
            operands,
        } = self;
        if method == Method::Winograd {
            return Winograd::new(conv, isa).run(s, operands);
        }
        let Operands {
            input,
            weights,
            bias,
            residual,
            output,
            scratch,
        } = operands;
        let blocks = isa.blocks(conv.outputs) / conv.groups;
        let plane = output.len() / (blocks * conv.groups);
        let depth = conv.depth(isa);
        let turned = conv.lengthwise();
        let bands = Bands::new(&turned, depth, depth, weights.len(), 0.0);
        let store = Store {
            start: bias,
            scale: None,
            residual,
            output: Output::Numbers(output),
            plane,
            row: S::LANES,
            activation: conv.activation,
        };
        bands.run::<S, false>(s, blocks, input, weights, scratch, store);
    }
}

/// Where the sums of a few output blocks go, and what is done to them on the way. All slices begin with the first of
/// these blocks.
struct Store<'a> {
    /// What the sums start from, for each lane: numbers, or 32-bit integers where bytes are multiplied.
    start: &'a [f32],
    /// What makes numbers of integers. Without it they are stored as they are.
    scale: Option<Scale<'a>>,
    residual: Option<&'a [f32]>,
    output: Output<'a>,
    /// Numbers from one block to the next.
    plane: usize,
    /// Numbers from one position to the next.
    row: usize,
    activation: Activation,
}

impl Store<'_> {
    /// The same for the blocks from one on.
    fn beginning_with(&mut self, block: usize, lanes: usize) -> Store<'_> {
        let (lane, at) = (block * lanes, block * self.plane);
        Store {
            start: &self.start[lane..],
            scale: self.scale.map(|scale| Scale {
                factor: &scale.factor[lane..],
                bias: &scale.bias[lane..],
            }),
            residual: self.residual.map(|residual| &residual[at..]),
            output: match &mut self.output {
                Output::Numbers(numbers) => Output::Numbers(&mut numbers[at..]),
                Output::Bytes(bytes, steps) => Output::Bytes(&mut bytes[at..], *steps),
            },
            ..*self
        }
    }
}

/// `sum · factor + bias`, for each lane.
#[derive(Clone, Copy)]
struct Scale<'a> {
    factor: &'a [f32],
    bias: &'a [f32],
}

enum Output<'a> {
    Numbers(&'a mut [f32]),
    /// Quantized to these steps.
    Bytes(&'a mut [u8], Steps),
}

impl Output<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Bytes(bytes, _) => bytes.len(),
        }
    }
}
