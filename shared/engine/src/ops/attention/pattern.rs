//! The pass that finds attention in a graph.
//!
//! It runs once tract has simplified: transposes are axes of its products then, and scale and mask are two nodes.

use dunlin_kernels::Isa;
use tract_onnx::prelude::{Datum, OutletId, TractResult, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::{InOut, TypedModelPatch};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math::{Add, Div, Mul};
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

use super::{Attention, Places};
use crate::ops::chain::{only_reader, scalar};

/// Puts [`Attention`] into a simplified graph with concrete shapes.
pub(crate) fn attend(mut model: TypedModel, isa: Isa) -> TractResult<TypedModel> {
    for id in model.eval_order()? {
        let Some(found) = Found::of(&model, model.node(id), isa) else {
            continue;
        };
        let mut patch = TypedModelPatch::default();
        let taps = found.inputs.iter();
        let taps: Vec<_> = taps
            .map(|&input| patch.tap_model(&model, input))
            .collect::<TractResult<_>>()?;
        let name = &*model.node(found.end).name;
        let output = patch.wire_node(name, found.op, &taps)?;
        patch.shunt_outside(&model, found.end.into(), output[0])?;
        patch.apply(&mut model)?;
    }
    Ok(model)
}

struct Found {
    op: Attention,
    inputs: Vec<OutletId>,
    /// The node that gives what attention gives.
    end: usize,
}

impl Found {
    /// Attention around a softmax.
    fn of(model: &TypedModel, node: &TypedNode, isa: Isa) -> Option<Self> {
        let softmax = node.op_as::<Softmax>()?;
        let over_keys = softmax.axes[..] == [3] && softmax.kind == SoftmaxKind::Softmax;
        if !over_keys || softmax.quant_output_dt.is_some() {
            return None;
        }
        let from = node.inputs[0];
        let scores = Scores::of(model, from, node.id, true)?;
        let end = only_reader(model, node.id.into())?;
        let shares = end.inputs.iter().position(|&input| input.node == node.id)?;
        let (values, [of_values, output]) = weighted(end, shares)?;
        let op = Attention {
            isa,
            places: [scores.places[0], scores.places[1], of_values, output],
            scale: scores.scale,
            masked: scores.mask.is_some(),
        };
        let inputs = [scores.queries, scores.keys, values];
        let inputs: Vec<_> = inputs.into_iter().chain(scores.mask).collect();
        let facts: Vec<_> = inputs
            .iter()
            .map(|&input| model.outlet_fact(input))
            .collect::<TractResult<_>>()
            .ok()?;
        let given = op.output_facts(&facts).ok()?;
        let fits = given[0].shape == end.outputs[0].fact.shape;
        // Queries are the lanes of a vector: fewer would leave most of it empty.
        let queries = facts[0].shape.as_concrete()?[op.places[0][2]];
        let filled = 2 * queries >= isa.lanes();
        (fits && filled).then_some(Self {
            op,
            inputs,
            end: end.id,
        })
    }
}

/// What a softmax is taken of.
struct Scores {
    queries: OutletId,
    keys: OutletId,
    places: [Places; 2],
    scale: f32,
    mask: Option<OutletId>,
}

impl Scores {
    /// Those at an outlet whose only reader is `reader`: products, times a number, plus a mask where one may be.
    fn of(model: &TypedModel, at: OutletId, reader: usize, maskable: bool) -> Option<Self> {
        if only_reader(model, at)?.id != reader {
            return None;
        }
        let node = model.node(at.node);
        if node.op_is::<EinSum>() {
            return Self::products(node);
        }
        let TypedBinOp(function, None) = node.op_as::<TypedBinOp>()? else {
            return None;
        };
        if function.is::<Add>() && maskable {
            return (0..2).find_map(|slot| {
                let (from, mask) = (node.inputs[slot], node.inputs[1 - slot]);
                let scores = Self::of(model, from, node.id, false)?;
                Some(Self {
                    mask: Some(mask),
                    ..scores
                })
            });
        }
        (0..2).find_map(|slot| {
            let from = node.inputs[slot];
            let (number, _) = scalar(model, node, from)?;
            let by = if function.is::<Mul>() {
                number
            } else {
                (function.is::<Div>() && slot == 0).then_some(1.0 / number)?
            };
            let scores = Self::of(model, from, node.id, false)?;
            Some(Self {
                scale: scores.scale * by,
                ..scores
            })
        })
    }

    /// Products of queries and keys, as `[batch, head, query, key]`.
    fn products(node: &TypedNode) -> Option<Self> {
        let einsum = product(node)?;
        let outer = |axis: usize| einsum.axes.axis((InOut::Out(0), axis)).ok();
        let keys = outer(3)?.inputs.iter().position(|axes| axes.len() == 1)?;
        let inputs = [1 - keys, keys];
        let inner = einsum
            .axes
            .iter_all_axes()
            .find(|axis| axis.outputs[0].is_empty())?;
        let mut places = [[0; 4]; 2];
        for (side, places) in places.iter_mut().enumerate() {
            for (role, axis) in [outer(0)?, outer(1)?, outer(2 + side)?, inner]
                .into_iter()
                .enumerate()
            {
                places[role] = only(&axis.inputs[inputs[side]])?;
            }
        }
        // A query has no place among the keys, nor a key among the queries.
        let apart = outer(2)?.inputs[keys].is_empty() && outer(3)?.inputs[1 - keys].is_empty();
        apart.then(|| Self {
            queries: node.inputs[1 - keys],
            keys: node.inputs[keys],
            places,
            scale: 1.0,
            mask: None,
        })
    }
}

/// What shares (`[batch, head, query, key]`, the input of this slot) are multiplied with, and where values and the
/// output have their axes.
fn weighted(node: &TypedNode, shares: usize) -> Option<(OutletId, [Places; 2])> {
    let einsum = product(node)?;
    let of_shares = |axis: usize| einsum.axes.axis((InOut::In(shares), axis)).ok();
    let width = einsum
        .axes
        .iter_all_axes()
        .find(|axis| axis.inputs[shares].is_empty())?;
    let [batch, head, query, key] = [0, 1, 2, 3].map(of_shares);
    let (batch, head, query, key) = (batch?, head?, query?, key?);
    let values = 1 - shares;
    let apart = query.inputs[values].is_empty() && key.outputs[0].is_empty();
    let places = |axes: [&[usize]; 4]| {
        let [a, b, c, d] = axes.map(only);
        Some([a?, b?, c?, d?])
    };
    let of_values = [batch, head, key, width].map(|axis| &axis.inputs[values][..]);
    let of_output = [batch, head, query, width].map(|axis| &axis.outputs[0][..]);
    let places = [places(of_values)?, places(of_output)?];
    apart.then_some((node.inputs[values], places))
}

/// A product of two tensors of numbers, each with four axes.
fn product(node: &TypedNode) -> Option<&EinSum> {
    let einsum = node.op_as::<EinSum>()?;
    let fits = einsum.q_params.is_none()
        && einsum.operating_dt == f32::datum_type()
        && node.inputs.len() == 2
        && einsum.axes.iter_all_axes().count() == 5
        && [InOut::In(0), InOut::In(1), InOut::Out(0)]
            .iter()
            .all(|&io| einsum.axes.rank(io) == 4);
    fits.then_some(einsum)
}

fn only(axes: &[usize]) -> Option<usize> {
    match *axes {
        [axis] => Some(axis),
        _ => None,
    }
}
