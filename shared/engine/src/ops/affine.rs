//! A factor and a summand for each channel, and an activation, in one pass over a blocked tensor.

use dunlin_kernels::{Activation, Isa, affine};
use tract_onnx::prelude::{IntoTValue, IntoTensor, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, as_op, ensure, op_as_typed_op, op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::numbers;

/// Inputs: the blocked tensor, then the factors and the summands where there are such: a number for each lane, of each
/// item of the batch or of all alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) isa: Isa,
    pub(crate) scale: bool,
    pub(crate) shift: bool,
    pub(crate) activation: Activation,
}

impl Op for Affine {
    fn name(&self) -> StaticName {
        "Affine".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{self:?}")])
    }

    op_as_typed_op!();
}

impl EvalOp for Affine {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = inputs.remove(0).into_tensor();
        let [items, blocks] = [output.shape()[0], output.shape()[1]];
        let (item, lanes) = (output.len() / items, blocks * self.isa.lanes());
        let mut operands = inputs.iter().map(|operand| numbers(operand));
        let mut next = |is: bool| {
            if is {
                operands.next().transpose()
            } else {
                Ok(None)
            }
        };
        let (scale, shift) = (next(self.scale)?, next(self.shift)?);
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        for (at, values) in values.chunks_exact_mut(item).enumerate() {
            let scale = scale.map(|all| part(all, at, lanes));
            let shift = shift.map(|all| part(all, at, lanes));
            affine(self.isa, values, scale, shift, self.activation);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Affine {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 1 + usize::from(self.scale) + usize::from(self.shift));
        let shape = super::concrete(inputs[0])?;
        let lanes = shape[1] * self.isa.lanes();
        for lanes_of in &inputs[1..] {
            let len: usize = super::concrete(lanes_of)?.iter().product();
            ensure!(
                len == lanes || len == shape[0] * lanes,
                "{len} numbers for {shape:?}"
            );
        }
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// The numbers of one item of the batch, where items don't share them.
fn part(all: &[f32], item: usize, lanes: usize) -> &[f32] {
    let start = if all.len() == lanes { 0 } else { item * lanes };
    &all[start..start + lanes]
}
