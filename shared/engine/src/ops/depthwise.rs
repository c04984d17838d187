//! Convolution in which each channel is a group of its own.

use dunlin_kernels::{Depthwise, Isa};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, args_3, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers};
use super::parts::{Work, of_blocks};

/// Inputs: the blocked tensor, the weights as `depthwise` arranges them, the bias with a number for each lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DepthwiseConvolution {
    pub(crate) isa: Isa,
    pub(crate) depthwise: Depthwise,
}

impl Op for DepthwiseConvolution {
    fn name(&self) -> StaticName {
        "DepthwiseConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.depthwise)])
    }

    op_as_typed_op!();
}

impl DepthwiseConvolution {
    fn shape(&self, items: usize) -> TVec<usize> {
        let [height, width] = self.depthwise.output_size();
        tvec!(
            items,
            self.isa.blocks(self.depthwise.channels),
            height,
            width,
            self.isa.lanes()
        )
    }

    /// Products of an item.
    fn products(&self) -> usize {
        let positions: usize = self.depthwise.output_size().iter().product();
        let taps: usize = self.depthwise.window.kernel.iter().product();
        positions * taps * self.depthwise.channels
    }
}

impl EvalOp for DepthwiseConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (depthwise, isa) = (&self.depthwise, self.isa);
        let (input, weights, bias) = args_3!(inputs);
        let (weights, bias) = (numbers(&weights)?, numbers(&bias)?);
        let items = input.shape()[0];
        let mut output = blank(&self.shape(items))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let (input, len) = (numbers(&input)?, depthwise.input_len(isa));
        let all = isa.blocks(depthwise.channels);
        let work = Work {
            items,
            blocks: all,
            products: self.products(),
        };
        work.share(view.as_slice_mut::<f32>()?, |item, blocks, output| {
            let input = of_blocks(&input[item * len..][..len], all, &blocks);
            let weights = of_blocks(weights, all, &blocks);
            let bias = of_blocks(bias, all, &blocks);
            let part = depthwise.part(isa, &blocks);
            part.run(isa, input, weights, bias, output);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for DepthwiseConvolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = super::concrete(inputs[0])?;
        let len: usize = input[1..].iter().product();
        ensure!(
            len == self.depthwise.input_len(self.isa),
            "{input:?} for {self:?}"
        );
        Ok(tvec!(f32::fact(&*self.shape(input[0]))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let products = super::concrete(inputs[0])?[0] * self.products();
        Ok(tvec!((Cost::FMA(f32::datum_type()), TDim::from(products))))
    }

    as_op!();
}
