//! Convolution with dense weights.

use dunlin_kernels::{Conv, Isa, Method, Operands};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers, with_scratch};
use super::parts::{Work, of_blocks};

/// Inputs: the tensor (blocked, or dense where `conv` says so), the weights as `conv` arranges them, the bias with a
/// number for each lane, and the residual (blocked) where there is one. The output is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Convolution {
    pub(crate) isa: Isa,
    pub(crate) conv: Conv,
    pub(crate) method: Method,
    pub(crate) residual: bool,
}

impl Op for Convolution {
    fn name(&self) -> StaticName {
        "Convolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!(
            "{} {:?} {:?}",
            self.isa, self.method, self.conv
        )])
    }

    op_as_typed_op!();
}

impl Convolution {
    fn shape(&self, items: usize) -> TVec<usize> {
        let [height, width] = self.conv.output_size();
        tvec!(
            items,
            self.isa.blocks(self.conv.outputs),
            height,
            width,
            self.isa.lanes()
        )
    }

    /// Products of an item.
    fn products(&self) -> usize {
        let conv = &self.conv;
        let positions: usize = conv.output_size().iter().product();
        let taps: usize = conv.window.kernel.iter().product();
        positions * taps * conv.outputs * conv.inputs / conv.groups
    }
}

impl EvalOp for Convolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (conv, isa) = (&self.conv, self.isa);
        let items = inputs[0].shape()[0];
        let mut output = blank(&self.shape(items))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let (input, input_len) = (numbers(&inputs[0])?, conv.input_len(isa));
        let (len, all) = (conv.output_len(isa), conv.parts(isa));
        let (weights, bias) = (numbers(&inputs[1])?, numbers(&inputs[2])?);
        let residual = match inputs.get(3) {
            Some(residual) => Some(numbers(residual)?),
            None => None,
        };
        let work = Work {
            items,
            blocks: all,
            products: self.products(),
        };
        work.share(view.as_slice_mut::<f32>()?, |item, blocks, output| {
            let part = conv.part(isa, &blocks);
            with_scratch(part.scratch_len(isa, self.method), |scratch| {
                let operands = Operands {
                    input: &input[item * input_len..][..input_len],
                    weights: of_blocks(weights, all, &blocks),
                    bias: of_blocks(bias, all, &blocks),
                    residual: residual
                        .map(|residual| of_blocks(&residual[item * len..][..len], all, &blocks)),
                    output,
                    scratch,
                };
                part.run(isa, self.method, operands);
            });
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Convolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 3 + usize::from(self.residual));
        let input = super::concrete(inputs[0])?;
        let len: usize = input[1..].iter().product();
        ensure!(
            len == self.conv.input_len(self.isa),
            "{input:?} for {self:?}"
        );
        let shape = self.shape(input[0]);
        ensure!(
            inputs
                .get(3)
                .is_none_or(|residual| residual.shape.as_concrete() == Some(&*shape))
        );
        Ok(tvec!(f32::fact(&*shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let products = super::concrete(inputs[0])?[0] * self.products();
        Ok(tvec!((Cost::FMA(f32::datum_type()), TDim::from(products))))
    }

    as_op!();
}
