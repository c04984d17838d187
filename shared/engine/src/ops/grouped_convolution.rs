//! Pointwise convolution in groups that may cut blocks.

use dunlin_kernels::{GroupedOperands, GroupedPointwise, Isa};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers};
use super::parts::Work;

/// Inputs: the blocked tensor, the weights as `conv` arranges them, the bias with a number for each lane, and the
/// residual (blocked) where there is one. The output is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupedConvolution {
    pub(crate) isa: Isa,
    pub(crate) conv: GroupedPointwise,
    pub(crate) residual: bool,
}

impl Op for GroupedConvolution {
    fn name(&self) -> StaticName {
        "GroupedConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.conv)])
    }

    op_as_typed_op!();
}

impl GroupedConvolution {
    fn shape(&self, items: usize, channels: usize) -> TVec<usize> {
        let [height, width] = self.conv.size;
        let isa = self.isa;
        tvec!(items, isa.blocks(channels), height, width, isa.lanes())
    }

    /// Products of an item, those with zeros too.
    fn products(&self) -> usize {
        self.conv.weights_len(self.isa) * self.conv.size[0] * self.conv.size[1]
    }
}

impl EvalOp for GroupedConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (conv, isa) = (&self.conv, self.isa);
        let items = inputs[0].shape()[0];
        let mut output = blank(&self.shape(items, conv.outputs))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let (input, input_len, len) = (
            numbers(&inputs[0])?,
            conv.input_len(isa),
            conv.output_len(isa),
        );
        let (weights, bias) = (numbers(&inputs[1])?, numbers(&inputs[2])?);
        let residual = match inputs.get(3) {
            Some(residual) => Some(numbers(residual)?),
            None => None,
        };
        let work = Work {
            items,
            blocks: 1,
            products: self.products(),
        };
        work.share(view.as_slice_mut::<f32>()?, |item, _, output| {
            let operands = GroupedOperands {
                input: &input[item * input_len..][..input_len],
                weights,
                bias,
                residual: residual.map(|residual| &residual[item * len..][..len]),
                output,
            };
            conv.run(isa, operands);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for GroupedConvolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 3 + usize::from(self.residual));
        let input = super::concrete(inputs[0])?;
        ensure!(
            input.len() == 5 && input == self.shape(input[0], self.conv.inputs),
            "{input:?} for {self:?}"
        );
        // So the lists of inputs that a run makes are no longer than the weights.
        let weights: usize = super::concrete(inputs[1])?.iter().product();
        ensure!(
            weights == self.conv.weights_len(self.isa),
            "{weights} weights for {self:?}"
        );
        let shape = self.shape(input[0], self.conv.outputs);
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
