//! `MatMulInteger` with constant weights.

use dunlin_kernels::{self as kernels, Isa, ProductOperands};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank_of, numbers};
use super::parts::{Work, of_blocks};

/// Inputs: bytes `[…, rows, inputs]`, the weights and their sums as `product` arranges them, and the byte that zero is
/// in the rows. The output is `[…, rows, outputs]`, 32-bit integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntegerProduct {
    pub(crate) isa: Isa,
    pub(crate) product: kernels::IntegerProduct,
}

impl IntegerProduct {
    fn shape(&self, rows: &[usize]) -> TVec<usize> {
        let mut shape: TVec<usize> = rows.into();
        if let Some(last) = shape.last_mut() {
            *last = self.product.outputs;
        }
        shape
    }
}

impl Op for IntegerProduct {
    fn name(&self) -> StaticName {
        "IntegerProduct".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.product)])
    }

    op_as_typed_op!();
}

impl EvalOp for IntegerProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = blank_of::<i32>(&self.shape(inputs[0].shape()))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let input = inputs[0].try_as_plain_ram()?.as_slice::<u8>()?;
        let zero = *inputs[3].try_as_plain_ram()?.to_scalar::<u8>()?;
        let weights = numbers(&inputs[1])?;
        let sums = inputs[2].try_as_plain_ram()?.as_slice::<i32>()?;
        let rows = input.len() / self.product.inputs;
        let work = Work {
            items: 1,
            blocks: rows,
            products: input.len() * self.product.outputs,
        };
        work.share(view.as_slice_mut::<i32>()?, |_, part, output| {
            let operands = ProductOperands {
                rows: of_blocks(input, rows, &part),
                zero,
                weights,
                sums,
                output: bytemuck::cast_slice_mut(output),
            };
            self.product.run(self.isa, operands);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for IntegerProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 4);
        let [rows, .., zero] = inputs else {
            unreachable!("four inputs")
        };
        let shape = super::concrete(rows)?;
        ensure!(
            rows.datum_type == u8::datum_type()
                && zero.datum_type == u8::datum_type()
                && zero.shape.volume() == TDim::Val(1)
                && shape.last() == Some(&self.product.inputs)
                && self.product.is_supported(),
            "{inputs:?} for {self:?}"
        );
        let sums = self.isa.blocks(self.product.outputs) * self.isa.lanes();
        ensure!(
            inputs[2].datum_type == i32::datum_type()
                && inputs[2].shape.volume() == TDim::Val(sums as i64)
        );
        Ok(tvec!(i32::fact(&*self.shape(&shape))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let bytes: usize = super::concrete(inputs[0])?.iter().product();
        let products = TDim::from(bytes * self.product.outputs);
        Ok(tvec!((Cost::FMA(i8::datum_type()), products)))
    }

    as_op!();
}
