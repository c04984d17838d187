//! Pooling of blocked channels.

use dunlin_kernels::{Isa, Pool};
use tract_onnx::prelude::{DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, args_1, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers};

/// Input and output: a blocked tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockedPool {
    pub(crate) isa: Isa,
    pub(crate) pool: Pool,
}

impl Op for BlockedPool {
    fn name(&self) -> StaticName {
        "BlockedPool".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.pool)])
    }

    op_as_typed_op!();
}

impl BlockedPool {
    fn shape(&self, items: usize) -> TVec<usize> {
        let [height, width] = self.pool.output_size();
        tvec!(
            items,
            self.isa.blocks(self.pool.channels),
            height,
            width,
            self.isa.lanes()
        )
    }
}

impl EvalOp for BlockedPool {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let shape = self.shape(input.shape()[0]);
        let mut output = blank(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let inputs = numbers(&input)?.chunks_exact(input.shape()[1..].iter().product());
        let outputs = view
            .as_slice_mut::<f32>()?
            .chunks_exact_mut(shape[1..].iter().product());
        for (input, output) in inputs.zip(outputs) {
            self.pool.run(self.isa, input, output);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for BlockedPool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = super::concrete(inputs[0])?;
        let blocks = self.isa.blocks(self.pool.channels);
        let [height, width] = self.pool.size;
        ensure!(
            input[1..] == [blocks, height, width, self.isa.lanes()],
            "{input:?} for {self:?}"
        );
        Ok(tvec!(f32::fact(&*self.shape(input[0]))))
    }

    as_op!();
}
