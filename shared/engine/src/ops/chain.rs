//! What follows a value in a graph, reader after reader, and can be done where the value is made: an affine map of each
//! channel, a residual, an activation.

use std::collections::HashSet;

use dunlin_kernels::Activation;
use tract_onnx::prelude::{Datum, OutletId, TypedModel, TypedNode};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul, Sub, Tanh};
use tract_onnx::tract_core::ops::nn::{HardSwish, LeakyRelu, Sigmoid, Silu};

use super::planes::Planes;

/// `activation(x · scale + shift + residual)`
#[derive(Debug)]
pub(super) struct Chain {
    /// A number for each channel.
    pub(super) scale: Option<Vec<f32>>,
    /// A number for each channel.
    pub(super) shift: Option<Vec<f32>>,
    pub(super) residual: Option<OutletId>,
    pub(super) activation: Activation,
    /// What the chain gives.
    pub(super) end: OutletId,
    /// The nodes that it stands for.
    pub(super) nodes: Vec<usize>,
}

impl Chain {
    /// The chain that begins at `from`, a tensor of these planes. `first` begins it where `from` has other readers too;
    /// a residual is taken where `residual` says so; no node of `taken` is.
    pub(super) fn follow(
        model: &TypedModel,
        from: OutletId,
        planes: &Planes,
        first: Option<&TypedNode>,
        residual: bool,
        taken: &HashSet<usize>,
    ) -> Self {
        let mut chain = Self {
            scale: None,
            shift: None,
            residual: None,
            activation: Activation::None,
            end: from,
            nodes: Vec::new(),
        };
        let free = |node: &TypedNode| !taken.contains(&node.id);
        let mut first = first;
        loop {
            let reader = first.take().or_else(|| only_reader(model, chain.end));
            let affine = reader
                .filter(|node| free(node))
                .is_some_and(|node| chain.residual.is_none() && chain.affine(model, node, planes));
            if affine {
                continue;
            }
            let summand = reader
                .filter(|node| free(node) && residual && chain.residual.is_none())
                .and_then(|node| summand(model, node, chain.end));
            if let (Some(node), Some(summand)) = (reader, summand) {
                chain.residual = Some(summand);
                chain.absorb(node);
                continue;
            }
            let found = activation(model, chain.end, reader);
            if let Some(found) =
                found.filter(|found| found.nodes.iter().all(|id| !taken.contains(id)))
            {
                chain.activation = found.activation;
                chain.end = found.end;
                chain.nodes.extend(found.nodes);
            }
            return chain;
        }
    }

    /// Takes up a sum, difference, product or quotient with a constant.
    fn affine(&mut self, model: &TypedModel, node: &TypedNode, planes: &Planes) -> bool {
        let Some(op) = node.op_as::<TypedBinOp>().filter(|op| op.1.is_none()) else {
            return false;
        };
        let Some((constant, slot)) = constant(model, node, self.end, planes) else {
            return false;
        };
        let ones = || vec![1.0; planes.channels];
        let zeros = || vec![0.0; planes.channels];
        let each = |numbers: &mut Vec<f32>, f: fn(f32, f32) -> f32| {
            numbers
                .iter_mut()
                .zip(&constant)
                .for_each(|(x, &c)| *x = f(*x, c));
        };
        if op.0.is::<Add>() {
            each(self.shift.get_or_insert_with(zeros), |x, c| x + c);
        } else if op.0.is::<Sub>() && slot == 1 {
            each(self.shift.get_or_insert_with(zeros), |x, c| x - c);
        } else if op.0.is::<Mul>() || (op.0.is::<Div>() && slot == 1) {
            let by: fn(f32, f32) -> f32 = if op.0.is::<Mul>() {
                |x, c| x * c
            } else {
                |x, c| x / c
            };
            each(self.scale.get_or_insert_with(ones), by);
            if let Some(shift) = &mut self.shift {
                each(shift, by);
            }
        } else {
            return false;
        }
        self.absorb(node);
        true
    }

    fn absorb(&mut self, node: &TypedNode) {
        self.nodes.push(node.id);
        self.end = node.id.into();
    }
}

/// An activation in a graph, of one node or many.
struct Found {
    activation: Activation,
    end: OutletId,
    nodes: Vec<usize>,
}

/// The activation that is the only reader of `x` (`reader`), or whose nodes are the only ones.
fn activation(model: &TypedModel, x: OutletId, reader: Option<&TypedNode>) -> Option<Found> {
    let found = |activation, nodes: &[&TypedNode]| {
        Some(Found {
            activation,
            end: nodes.last()?.id.into(),
            nodes: nodes.iter().map(|node| node.id).collect(),
        })
    };
    let Some(node) = reader else {
        return gated(model, x);
    };
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let op = &*op.0;
        let activation = if op.is::<Sigmoid>() {
            Activation::Sigmoid
        } else if op.is::<Silu>() {
            Activation::Silu
        } else if op.is::<HardSwish>() {
            Activation::HardSwish
        } else if op.is::<Tanh>() {
            Activation::Tanh
        } else {
            Activation::LeakyRelu(op.downcast_ref::<LeakyRelu>()?.alpha)
        };
        return found(activation, &[node]);
    }
    let (is_max, bound) = bound(model, node, x)?;
    let next = only_reader(model, node.id.into());
    let other = next.and_then(|next| Some((next, self::bound(model, next, node.id.into())?)));
    match other.filter(|(_, (other_is_max, _))| *other_is_max != is_max) {
        // Where the bounds contradict each other, the later one wins: `Clip` has the upper one win.
        Some((next, (_, other))) if is_max => found(Activation::Clip(bound, other), &[node, next]),
        Some((next, (_, other))) if other <= bound => {
            found(Activation::Clip(other, bound), &[node, next])
        }
        _ if is_max && bound == 0.0 => found(Activation::Relu, &[node]),
        _ if is_max => found(Activation::Clip(bound, f32::INFINITY), &[node]),
        _ => found(Activation::Clip(f32::NEG_INFINITY, bound), &[node]),
    }
}

/// x · g(x), where g is a sigmoid, or a line between bounds that makes it `HardSwish`.
fn gated(model: &TypedModel, x: OutletId) -> Option<Found> {
    let readers = readers(model, x)?;
    let [one, other] = *readers else { return None };
    let product = |node: &TypedNode| {
        node.op_as::<TypedBinOp>()
            .is_some_and(|op| op.0.is::<Mul>())
    };
    // The one that is not the product, or not the last one, begins the gate.
    let other_first = product(one) && (!product(other) || one.inputs.contains(&other.id.into()));
    let (mut node, last) = if other_first {
        (other, one)
    } else {
        (one, other)
    };
    if !product(last) {
        return None;
    }
    let mut nodes = Vec::new();
    let mut at = x;
    // k · clip(a · x + b, low, high)
    let (mut a, mut b, mut low, mut high, mut k) =
        (1.0_f32, 0.0_f32, f32::NEG_INFINITY, f32::INFINITY, 1.0_f32);
    let mut sigmoid = false;
    while node.id != last.id {
        if sigmoid || nodes.len() > 6 {
            return None;
        }
        nodes.push(node.id);
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            sigmoid = op.0.is::<Sigmoid>() && at == x;
            if !sigmoid {
                return None;
            }
        } else if let Some((is_max, bound)) = bound(model, node, at) {
            let bound = bound / k;
            if is_max { low = bound } else { high = bound }
        } else {
            let (number, slot) = scalar(model, node, at)?;
            let op = &node.op_as::<TypedBinOp>()?.0;
            let clipped = low.is_finite() || high.is_finite();
            if op.is::<Mul>() || (op.is::<Div>() && slot == 1) {
                let factor = if op.is::<Mul>() { number } else { 1.0 / number };
                if clipped {
                    k *= factor;
                } else {
                    (a, b) = (a * factor, b * factor);
                }
            } else if op.is::<Add>() && !clipped {
                b += number;
            } else {
                return None;
            }
        }
        at = node.id.into();
        node = only_reader(model, at)?;
    }
    let mut inputs = [x, at];
    inputs.sort();
    let mut of = [last.inputs[0], last.inputs[1]];
    of.sort();
    if inputs != of {
        return None;
    }
    nodes.push(last.id);
    let mut end = OutletId::from(last.id);
    if sigmoid {
        return Some(Found {
            activation: Activation::Silu,
            end,
            nodes,
        });
    }
    let near = |x: f32, y: f32| (x - y).abs() < 1e-6;
    if !near(k * high, 1.0)
        && let Some(node) = only_reader(model, end)
        && let Some((number, slot)) = scalar(model, node, end)
        && let Some(op) = node.op_as::<TypedBinOp>()
        && (op.0.is::<Mul>() || (op.0.is::<Div>() && slot == 1))
    {
        k *= if op.0.is::<Mul>() {
            number
        } else {
            1.0 / number
        };
        nodes.push(node.id);
        end = node.id.into();
    }
    let hard_swish =
        near(k * a, 1.0 / 6.0) && near(k * b, 0.5) && near(k * low, 0.0) && near(k * high, 1.0);
    hard_swish.then_some(Found {
        activation: Activation::HardSwish,
        end,
        nodes,
    })
}

/// The nodes that read a value; none where the graph gives it out.
fn readers(model: &TypedModel, outlet: OutletId) -> Option<Vec<&TypedNode>> {
    if model.outputs.contains(&outlet) {
        return None;
    }
    let successors = &model.node(outlet.node).outputs[outlet.slot].successors;
    Some(
        successors
            .iter()
            .map(|inlet| model.node(inlet.node))
            .collect(),
    )
}

/// The only reader of a value.
pub(super) fn only_reader(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    match *readers(model, outlet)? {
        [reader] if reader.outputs.len() == 1 => Some(reader),
        _ => None,
    }
}

/// The other summand, where the node adds two tensors of one shape.
fn summand(model: &TypedModel, node: &TypedNode, outlet: OutletId) -> Option<OutletId> {
    let op = node.op_as::<TypedBinOp>()?;
    if !op.0.is::<Add>() || op.1.is_some() || node.inputs[0] == node.inputs[1] {
        return None;
    }
    let other = node.inputs[usize::from(node.inputs[0] == outlet)];
    let fact = model.outlet_fact(other).ok()?;
    let same = model.outlet_fact(outlet).ok()?.shape == fact.shape;
    (same && fact.konst.is_none()).then_some(other)
}

/// The constant operand of a binary node as a number for each channel, and its slot.
fn constant(
    model: &TypedModel,
    node: &TypedNode,
    outlet: OutletId,
    planes: &Planes,
) -> Option<(Vec<f32>, usize)> {
    let slot = usize::from(node.inputs[0] == outlet);
    let tensor = model
        .outlet_fact(*node.inputs.get(slot)?)
        .ok()?
        .konst
        .as_ref()?;
    if tensor.datum_type() != f32::datum_type() {
        return None;
    }
    let view = tensor.try_as_plain_ram().ok()?;
    let numbers = view.as_slice::<f32>().ok()?;
    if let [number] = *numbers {
        return (tensor.rank() <= planes.rank).then(|| (vec![number; planes.channels], slot));
    }
    let shape = tensor.shape();
    // Ranks differ where trailing axes alone are given: [C, 1, 1] beside [N, C, H, W].
    let at = (shape.len() + 1).checked_sub(planes.rank)?;
    let lanes = *shape.get(at)? == planes.channels && numbers.len() == planes.channels;
    lanes.then(|| (numbers.to_vec(), slot))
}

/// The constant operand of a binary node, where it is one number, and its slot.
pub(super) fn scalar(
    model: &TypedModel,
    node: &TypedNode,
    outlet: OutletId,
) -> Option<(f32, usize)> {
    node.op_as::<TypedBinOp>().filter(|op| op.1.is_none())?;
    let slot = usize::from(node.inputs[0] == outlet);
    let tensor = model.outlet_fact(node.inputs[slot]).ok()?.konst.as_ref()?;
    let number = tensor.len() == 1 && tensor.datum_type() == f32::datum_type();
    let view = number.then(|| tensor.try_as_plain_ram().ok())??;
    Some((*view.as_slice::<f32>().ok()?.first()?, slot))
}

/// Whether the node is a maximum (else a minimum) with one number, and the number.
fn bound(model: &TypedModel, node: &TypedNode, outlet: OutletId) -> Option<(bool, f32)> {
    let op = node.op_as::<TypedBinOp>()?;
    let is_max = op.0.is::<Max>();
    if !is_max && !op.0.is::<Min>() {
        return None;
    }
    let (number, _) = scalar(model, node, outlet)?;
    (!number.is_nan()).then_some((is_max, number))
}
