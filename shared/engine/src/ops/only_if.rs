//! What stands for an `If` on data of which one branch can't run on the shapes at hand: the other one, and the condition
//! that it needs.

use tract_onnx::prelude::{Datum, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op, op_out_of_plan,
    tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

/// Inputs: a condition and a value. The output is the value; an error where the condition is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnlyIf {
    pub(crate) wanted: bool,
    /// Why the other branch can't run.
    pub(crate) otherwise: String,
}

impl Op for OnlyIf {
    fn name(&self) -> StaticName {
        "OnlyIf".into()
    }

    op_as_typed_op!();
}

impl EvalOp for OnlyIf {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let condition = inputs[0].cast_to_scalar::<bool>()?;
        ensure!(
            condition == self.wanted,
            "the inputs take the branch that can't run on their shapes: {}",
            self.otherwise
        );
        Ok(tvec!(inputs.remove(1)))
    }
}

impl TypedOp for OnlyIf {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 2);
        ensure!(
            inputs[0].datum_type == bool::datum_type() && inputs[0].shape.volume() == TDim::Val(1)
        );
        Ok(tvec!(inputs[1].without_value()))
    }

    as_op!();
}
