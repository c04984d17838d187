//! A product of matrices with constant weights, and a bias.

use dunlin_kernels::{Isa, Product};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers};
use super::parts::{Work, of_blocks};

/// Inputs: `[…, rows, inputs]`, the weights as `product` arranges them, and a bias for each lane. The output is
/// `[…, rows, outputs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MatrixProduct {
    pub(crate) isa: Isa,
    pub(crate) product: Product,
}

impl MatrixProduct {
    fn shape(&self, rows: &[usize]) -> TVec<usize> {
        let mut shape: TVec<usize> = rows.into();
        if let Some(last) = shape.last_mut() {
            *last = self.product.outputs;
        }
        shape
    }
}

impl Op for MatrixProduct {
    fn name(&self) -> StaticName {
        "MatrixProduct".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.product)])
    }

    op_as_typed_op!();
}

impl EvalOp for MatrixProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = blank(&self.shape(inputs[0].shape()))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let [input, weights, bias] = [0, 1, 2].map(|slot: usize| numbers(&inputs[slot]));
        let (input, weights, bias) = (input?, weights?, bias?);
        let rows = input.len() / self.product.inputs;
        let work = Work {
            items: 1,
            blocks: rows,
            products: input.len() * self.product.outputs,
        };
        work.share(view.as_slice_mut::<f32>()?, |_, part, output| {
            let input = of_blocks(input, rows, &part);
            self.product.run(self.isa, input, weights, bias, output);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for MatrixProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 3);
        let shape = super::concrete(inputs[0])?;
        let Product {
            inputs: columns,
            outputs,
        } = self.product;
        ensure!(
            inputs[0].datum_type == f32::datum_type()
                && shape.last() == Some(&columns)
                && columns > 0
                && outputs > 0,
            "{shape:?} for {self:?}"
        );
        Ok(tvec!(f32::fact(&*self.shape(&shape))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let numbers: usize = super::concrete(inputs[0])?.iter().product();
        let products = TDim::from(numbers * self.product.outputs);
        Ok(tvec!((Cost::FMA(f32::datum_type()), products)))
    }

    as_op!();
}
