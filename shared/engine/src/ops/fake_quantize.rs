//! `QuantizeLinear` and `DequantizeLinear` in one pass: between them there is nothing to do in integers.

use dunlin_kernels::{Isa, Steps};
use tract_onnx::prelude::{
    IntoTValue, IntoTensor, OutletId, TValue, TractResult, TypedFact, TypedModel, TypedNode,
};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, args_1, as_op, op_as_typed_op, op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, QuantizeLinearI8, QuantizeLinearU8};

/// Input and output: a tensor of any shape, blocked or dense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FakeQuantize {
    pub(crate) isa: Isa,
    pub(crate) steps: Steps,
}

impl Op for FakeQuantize {
    fn name(&self) -> StaticName {
        "FakeQuantize".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.steps)])
    }

    op_as_typed_op!();
}

impl EvalOp for FakeQuantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = args_1!(inputs).into_tensor();
        let mut view = output.try_as_plain_ram_mut()?;
        self.steps.round(self.isa, view.as_slice_mut::<f32>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for FakeQuantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// The steps, where the node quantizes and all that read it give back what it quantized.
pub(super) fn steps(model: &TypedModel, node: &TypedNode) -> Option<Steps> {
    let op = &node.op_as::<ElementWiseOp>()?.0;
    let (recip, zero_point, range) = if let Some(op) = op.downcast_ref::<QuantizeLinearU8>() {
        (op.scale, i32::from(op.zero_point), [0.0, 255.0])
    } else {
        let op = op.downcast_ref::<QuantizeLinearI8>()?;
        (op.scale, i32::from(op.zero_point), [-128.0, 127.0])
    };
    let mut readers = node.outputs[0].successors.iter().map(|reader| {
        let reader = model.node(reader.node);
        reader.op_as::<DequantizeLinearF32>()
    });
    let inverse = readers.next()??;
    // tract keeps the reciprocal of the one and the scale of the other.
    let fits = inverse.zero_point == zero_point
        && (inverse.scale * recip - 1.0).abs() < 1e-6
        && readers.all(|reader| reader == Some(inverse))
        && !model.outputs.contains(&OutletId::from(node.id));
    fits.then_some(Steps {
        scale: inverse.scale,
        zero: zero_point as f32,
        range,
    })
}
