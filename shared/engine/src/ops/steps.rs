//! Between numbers and the bytes that they are quantized to, and sums of such bytes.

use dunlin_kernels::{Activation, Isa, Steps};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, args_1, args_2, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, blank_of, numbers};

/// `f32` of any shape to bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToBytes {
    pub(crate) isa: Isa,
    pub(crate) steps: Steps,
}

/// Bytes of any shape to `f32`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FromBytes {
    pub(crate) isa: Isa,
    pub(crate) steps: Steps,
}

/// The sum of two tensors of bytes, after an activation between bounds, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SumOfBytes {
    pub(crate) isa: Isa,
    pub(crate) terms: [Steps; 2],
    pub(crate) activation: Activation,
    pub(crate) steps: Steps,
}

impl Op for ToBytes {
    fn name(&self) -> StaticName {
        "ToBytes".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToBytes {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let mut output = blank_of::<u8>(input.shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        self.steps
            .to_bytes(self.isa, numbers(&input)?, view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for ToBytes {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type() && self.steps.is_bytes());
        Ok(tvec!(u8::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl Op for FromBytes {
    fn name(&self) -> StaticName {
        "FromBytes".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FromBytes {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let mut output = blank(input.shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let bytes = input.try_as_plain_ram()?;
        self.steps
            .from_bytes(self.isa, bytes.as_slice()?, view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for FromBytes {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == u8::datum_type());
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl Op for SumOfBytes {
    fn name(&self) -> StaticName {
        "SumOfBytes".into()
    }

    op_as_typed_op!();
}

impl EvalOp for SumOfBytes {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let mut output = blank_of::<u8>(a.shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let (a, b) = (a.try_as_plain_ram()?, b.try_as_plain_ram()?);
        let [of_a, of_b] = self.terms;
        let terms = [(a.as_slice()?, of_a), (b.as_slice()?, of_b)];
        self.steps
            .sum(self.isa, terms, self.activation, view.as_slice_mut()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for SumOfBytes {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 2);
        let (a, b) = (inputs[0], inputs[1]);
        ensure!(
            a.datum_type == u8::datum_type()
                && b.datum_type == u8::datum_type()
                && a.shape == b.shape
                && self.steps.is_bytes()
                && self.activation.is_bounded()
        );
        Ok(tvec!(a.without_value()))
    }

    as_op!();
}
