//! `DynamicQuantizeLinear`: numbers to unsigned bytes, with steps that reach over them.

use dunlin_kernels::{Isa, Steps};
use tract_onnx::prelude::{DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, args_1, as_op, op_as_typed_op, op_out_of_plan,
    tensor0, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank_of, numbers};

/// Input: `f32` of any shape. Outputs: the bytes, the scale (`f32`), and the byte that zero is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynamicQuantize {
    pub(crate) isa: Isa,
}

impl Op for DynamicQuantize {
    fn name(&self) -> StaticName {
        "DynamicQuantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for DynamicQuantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let x = numbers(&input)?;
        let steps = Steps::reaching(self.isa, x);
        let mut output = blank_of::<u8>(input.shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        steps.to_bytes(self.isa, x, view.as_slice_mut()?);
        Ok(tvec!(
            output.into_tvalue(),
            tensor0(steps.scale).into_tvalue(),
            tensor0(steps.zero_byte()).into_tvalue()
        ))
    }
}

impl TypedOp for DynamicQuantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(
            u8::fact(inputs[0].shape.clone()),
            f32::scalar_fact(),
            u8::scalar_fact()
        ))
    }

    as_op!();
}
