//! Which convolutions are ours: from tract's description to that of a kernel.

use dunlin_kernels::{Activation, Conv, Depthwise, GroupedPointwise, Isa, Window};
use tract_onnx::prelude::{
    Datum, IntoArcTensor, IntoTValue, OutletId, Tensor, TractResult, TypedModel, TypedNode,
};
use tract_onnx::tract_core::internal::{Arc, format_err};
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, KernelFormat, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::planes::Planes;

/// A convolution that one of our kernels does.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) input: OutletId,
    /// Of the input.
    pub(super) planes: Planes,
    pub(super) output: Planes,
    pub(super) kernel: Kernel,
    /// `[O, I / groups, taps]`
    weights: Arc<Tensor>,
    bias: Arc<Tensor>,
}

#[derive(Debug)]
pub(super) enum Kernel {
    Dense(Conv),
    Depthwise(Depthwise),
    /// Of groups that cut blocks.
    Pointwise(GroupedPointwise),
    /// So many of these, each of channels that fill no whole blocks.
    Grouped(Conv, usize),
}

impl Found {
    pub(super) fn new(model: &TypedModel, node: &TypedNode, isa: Isa) -> Option<Self> {
        let op = node.op_as::<TractConv>()?;
        let [input, weights, bias] = *node.inputs else {
            return None;
        };
        let planes = Planes::of(model.outlet_fact(input).ok()?)?;
        let output = Planes::of(&node.outputs.first()?.fact)?;
        let numbers = |outlet| {
            let constant = constant(model, outlet)?;
            (constant.datum_type() == f32::datum_type()).then_some(constant)
        };
        let (weights, bias) = (numbers(weights)?, numbers(bias)?);
        if op.q_params.is_some() || op.kernel_fmt != KernelFormat::OIHW {
            return None;
        }
        let (window, _) = window(&op.pool_spec, &planes)?;
        let (inputs, outputs) = (planes.channels, output.channels);
        let kernel = if op.group > 1 && op.group == inputs && op.group == outputs {
            Kernel::Depthwise(Depthwise {
                channels: inputs,
                size: planes.size,
                window,
                activation: Activation::None,
            })
        } else {
            let conv = Conv {
                inputs,
                outputs,
                groups: op.group,
                size: planes.size,
                window,
                dense_input: false,
                activation: Activation::None,
            };
            if conv.is_supported(isa) {
                Kernel::Dense(conv)
            } else if window.is_pointwise() {
                Kernel::Pointwise(GroupedPointwise {
                    inputs,
                    outputs,
                    groups: op.group,
                    shuffle: 1,
                    size: planes.size,
                    activation: Activation::None,
                })
            } else {
                let groups = op.group;
                let one = Conv {
                    inputs: inputs / groups,
                    outputs: outputs / groups,
                    groups: 1,
                    ..conv
                };
                one.is_supported(isa)
                    .then_some(Kernel::Grouped(one, groups))?
            }
        };
        Some(Self {
            input,
            planes,
            output,
            kernel,
            weights,
            bias,
        })
    }

    /// Products of one run, those of empty lanes too.
    pub(super) fn work(&self, isa: Isa) -> f64 {
        let lanes = |channels| isa.blocks(channels) * isa.lanes();
        let (planes, output) = (&self.planes, &self.output);
        let each = match &self.kernel {
            // The first layer's few inputs are read one by one.
            Kernel::Dense(conv) if conv.inputs <= isa.lanes() / 2 => {
                conv.inputs * lanes(conv.outputs) * conv.window.kernel[0] * conv.window.kernel[1]
            }
            Kernel::Dense(conv) => {
                let inputs = lanes(conv.inputs / conv.groups);
                inputs * lanes(conv.outputs) * conv.window.kernel[0] * conv.window.kernel[1]
            }
            Kernel::Pointwise(conv) => conv.weights_len(isa),
            Kernel::Grouped(conv, groups) => {
                let taps = conv.window.kernel[0] * conv.window.kernel[1];
                groups * lanes(conv.inputs) * lanes(conv.outputs) * taps
            }
            Kernel::Depthwise(depthwise) => {
                lanes(planes.channels) * depthwise.window.kernel[0] * depthwise.window.kernel[1]
            }
        };
        (each * output.len() * output.items) as f64
    }

    /// The same of another input, channel `order[c]` of this one standing at `c` in input and output.
    pub(super) fn reordered(self, input: OutletId, order: &[usize]) -> TractResult<Self> {
        let (weights, bias) = self.constants()?;
        let each = weights.len() / order.len();
        let weights = order
            .iter()
            .flat_map(|&from| &weights[from * each..][..each]);
        let weights: Vec<_> = weights.copied().collect();
        let bias: Vec<_> = order.iter().map(|&from| bias[from]).collect();
        Ok(Self {
            input,
            weights: Tensor::from_shape(self.weights.shape(), &weights)?.into_arc_tensor(),
            bias: Tensor::from_shape(&[order.len()], &bias)?.into_arc_tensor(),
            ..self
        })
    }

    /// Weights as the file has them, and a bias for each output channel.
    pub(super) fn constants(&self) -> TractResult<(Vec<f32>, Vec<f32>)> {
        let weights = super::blank::numbers(&self.weights)?.to_vec();
        let bias = match *super::blank::numbers(&self.bias)? {
            [bias] => vec![bias; self.output.channels],
            ref bias if bias.len() == self.output.channels => bias.to_vec(),
            ref bias => return Err(format_err!("a bias of {} numbers", bias.len())),
        };
        Ok((weights, bias))
    }
}

/// Nodes between a constant and what it is turned into, at most.
const DEPTH: usize = 6;

/// A value that depends on constants alone. tract leaves such where they grow: weights that are dequantized.
pub(super) fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    within(model, outlet, DEPTH)
}

fn within(model: &TypedModel, outlet: OutletId, depth: usize) -> Option<Arc<Tensor>> {
    let fact = model.outlet_fact(outlet).ok()?;
    if fact.konst.is_some() || depth == 0 {
        return fact.konst.clone();
    }
    let node = model.node(outlet.node);
    if node.inputs.is_empty() {
        return None;
    }
    let inputs = node
        .inputs
        .iter()
        .map(|&input| Some(within(model, input, depth - 1)?.into_tvalue()));
    let outputs = node
        .op
        .eval_out_of_plan(inputs.collect::<Option<_>>()?)
        .ok()??;
    Some(outputs.into_iter().nth(outlet.slot)?.into_arc_tensor())
}

/// The window of a convolution or pooling over these planes, and whether its padding is what the file says: rounding up
/// reaches further.
pub(super) fn window(spec: &PoolSpec, planes: &Planes) -> Option<(Window, bool)> {
    if spec.data_format != DataFormat::NCHW || spec.rank() + 2 != planes.rank {
        return None;
    }
    let spatial = &planes.size[2 - spec.rank()..];
    let padding = spec.computed_padding(spatial);
    let mut window = Window::square(1);
    let mut exact = true;
    for (axis, padding) in padding.iter().enumerate() {
        let at = 2 - spec.rank() + axis;
        window.kernel[at] = spec.kernel_shape[axis];
        window.stride[at] = spec.stride(axis);
        window.dilation[at] = spec.dilation(axis);
        window.before[at] = padding.pad_before;
        let reach = (padding.convoluted.checked_sub(1)?) * window.stride[at] + window.extent(at);
        let needed = reach.saturating_sub(planes.size[at] + padding.pad_before);
        exact &= needed <= padding.pad_after;
        window.after[at] = needed;
    }
    let fits = spec.kernel_shape.iter().all(|&taps| taps > 0);
    fits.then_some((window, exact))
}
