//! Between dense and blocked tensors.

use dunlin_kernels::{Isa, from_blocked, to_blocked};
use tract_onnx::prelude::{DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, args_1, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers};

/// `[N, C, H, W]` or `[N, C, W]` to `[N, ⌈C/c⌉, H, W, c]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToBlocked {
    pub(crate) isa: Isa,
    pub(crate) channels: usize,
}

/// `[N, ⌈C/c⌉, H, W, c]` to `[N, C, H, W]`, or to `[N, C, W]` where `rank` is 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FromBlocked {
    pub(crate) isa: Isa,
    pub(crate) channels: usize,
    pub(crate) rank: usize,
}

impl ToBlocked {
    fn shape(&self, dense: &[usize]) -> TractResult<TVec<usize>> {
        ensure!(
            matches!(dense.len(), 3 | 4) && dense[1] == self.channels,
            "{dense:?}"
        );
        let [height, width] = [
            dense[2..dense.len() - 1].iter().product(),
            dense[dense.len() - 1],
        ];
        Ok(tvec!(
            dense[0],
            self.isa.blocks(self.channels),
            height,
            width,
            self.isa.lanes()
        ))
    }
}

impl FromBlocked {
    fn shape(&self, blocked: &[usize]) -> TractResult<TVec<usize>> {
        ensure!(
            matches!(*blocked, [_, blocks, height, _, lanes] if blocks == self.isa.blocks(self.channels)
                && lanes == self.isa.lanes() && (height == 1 || self.rank == 4)),
            "{blocked:?}"
        );
        let mut dense = tvec!(blocked[0], self.channels, blocked[2], blocked[3]);
        if self.rank == 3 {
            dense.remove(2);
        }
        Ok(dense)
    }
}

impl Op for ToBlocked {
    fn name(&self) -> StaticName {
        "ToBlocked".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToBlocked {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let shape = self.shape(input.shape())?;
        let plane = shape[2] * shape[3];
        let mut output = blank(&shape)?;
        let item = shape[1..].iter().product();
        let mut view = output.try_as_plain_ram_mut()?;
        let items = numbers(&input)?.chunks_exact(self.channels * plane);
        for (from, to) in items.zip(view.as_slice_mut::<f32>()?.chunks_exact_mut(item)) {
            to_blocked(self.isa, self.channels, plane, from, to);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for ToBlocked {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.shape(&super::concrete(inputs[0])?)?;
        Ok(tvec!(f32::fact(&*shape)))
    }

    as_op!();
}

impl Op for FromBlocked {
    fn name(&self) -> StaticName {
        "FromBlocked".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FromBlocked {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let shape = self.shape(input.shape())?;
        let plane = input.shape()[2] * input.shape()[3];
        let mut output = blank(&shape)?;
        let item = input.shape()[1..].iter().product();
        let mut view = output.try_as_plain_ram_mut()?;
        let items = view
            .as_slice_mut::<f32>()?
            .chunks_exact_mut(self.channels * plane);
        for (from, to) in numbers(&input)?.chunks_exact(item).zip(items) {
            from_blocked(self.isa, self.channels, plane, from, to);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for FromBlocked {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.shape(&super::concrete(inputs[0])?)?;
        Ok(tvec!(f32::fact(&*shape)))
    }

    as_op!();
}
