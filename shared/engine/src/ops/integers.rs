//! The pass that puts our operators on bytes into a graph: dynamic quantization, and products with constant weights.

use dunlin_kernels::{IntegerProduct, Isa};
use tract_onnx::prelude::{Datum, SpecialOps, TractResult, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::{InOut, TypedModelPatch, tensor1};
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::dynamic_quantize::DynamicQuantize;
use super::integer_product::Product;
use super::window::constant;

/// Puts them into a graph with concrete shapes, before tract takes integer products apart.
pub(crate) fn multiply_integers(mut model: TypedModel, isa: Isa) -> TractResult<TypedModel> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let patch = if node.op().name() == "DynamicQuantizeLinearU8" {
            Some(quantization(&model, node, isa)?)
        } else {
            product(&model, node, isa)?
        };
        if let Some(patch) = patch {
            patch.apply(&mut model)?;
        }
    }
    Ok(model)
}

fn quantization(model: &TypedModel, node: &TypedNode, isa: Isa) -> TractResult<TypedModelPatch> {
    TypedModelPatch::replace_single_op(model, node, &node.inputs, DynamicQuantize { isa })
}

/// `[…, rows, inputs] · [inputs, outputs]`, where the node is such a product of bytes with constant weights.
fn product(model: &TypedModel, node: &TypedNode, isa: Isa) -> TractResult<Option<TypedModelPatch>> {
    let Some(einsum) = node.op_as::<EinSum>() else {
        return Ok(None);
    };
    // Rows, weights, bias, zero and scale of each side, zero and scale of the result.
    let [
        rows,
        weights,
        bias,
        zero,
        scale,
        w_zero,
        w_scale,
        y_zero,
        y_scale,
    ] = *node.inputs
    else {
        return Ok(None);
    };
    let whole = einsum.q_params == Some(i32::datum_type()) && is_product(einsum, model, node)?;
    let neutral = |outlet, number: f32| {
        let constant = constant(model, outlet)?;
        let numbers = constant.cast_to::<f32>().ok()?;
        let view = numbers.try_as_plain_ram().ok()?;
        let all = view.as_slice::<f32>().ok()?.iter().all(|&x| x == number);
        all.then_some(())
    };
    let plain = [bias, w_zero, y_zero].map(|outlet| neutral(outlet, 0.0));
    let unscaled = [scale, w_scale, y_scale].map(|outlet| neutral(outlet, 1.0));
    if !whole || plain.contains(&None) || unscaled.contains(&None) {
        return Ok(None);
    }
    let (x, z) = (model.outlet_fact(rows)?, model.outlet_fact(zero)?);
    let bytes = |datum| datum == u8::datum_type();
    let Some(weights) = constant(model, weights).filter(|weights| {
        weights.datum_type() == i8::datum_type() && bytes(x.datum_type) && bytes(z.datum_type)
    }) else {
        return Ok(None);
    };
    let [.., inputs, outputs] = *weights.shape() else {
        return Ok(None);
    };
    let product = IntegerProduct { inputs, outputs };
    if !product.is_supported() || z.shape.volume() != 1.into() || x.shape.volume() == 0.into() {
        return Ok(None);
    }
    let numbers = weights.try_as_plain_ram()?.as_slice::<i8>()?;
    let mut patch = TypedModelPatch::default();
    let name = &*node.name;
    let arranged = tensor1(&product.arrange(isa, numbers));
    let inputs = [
        patch.tap_model(model, rows)?,
        patch.add_const(format!("{name}.weights"), arranged)?,
        patch.add_const(format!("{name}.sums"), tensor1(&product.sums(isa, numbers)))?,
        patch.tap_model(model, zero)?,
    ];
    let output = patch.wire_node(name, Product { isa, product }, &inputs)?;
    patch.shunt_outside(model, node.id.into(), output[0])?;
    Ok(Some(patch))
}

/// Whether the axes are those of a product of a stack of matrices with one matrix.
fn is_product(einsum: &EinSum, model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let [x, w] = [0, 1].map(|slot| model.outlet_fact(node.inputs[slot]));
    let (x, w) = (x?, w?);
    let rank = x.rank();
    if rank < 2 || w.rank() != rank {
        return Ok(false);
    }
    let ones = w.shape[..rank - 2].iter().all(|dim| *dim == 1.into());
    let at = |slot: InOut, axis: usize| einsum.axes.axis((slot, axis));
    let inner = at(InOut::In(0), rank - 1)?;
    let outer = at(InOut::In(1), rank - 1)?;
    let mut is = ones
        && inner.inputs[1][..] == [rank - 2]
        && inner.outputs[0].is_empty()
        && outer.inputs[0].is_empty()
        && outer.outputs[0][..] == [rank - 1];
    for axis in 0..rank - 1 {
        is &= at(InOut::In(0), axis)?.outputs[0][..] == [axis];
    }
    Ok(is)
}
