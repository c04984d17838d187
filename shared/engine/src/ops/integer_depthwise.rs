//! Depthwise convolution of quantized channels with quantized weights.

use dunlin_kernels::{self as kernels, IntegerDepthwiseOperands, Isa};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank_of, numbers};
use super::parts::{Work, of_blocks};

/// Inputs: blocked bytes, the weights and the offsets as `convolution` arranges them, a factor and a bias for each lane.
/// The output is blocked bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntegerDepthwise {
    pub(crate) isa: Isa,
    pub(crate) convolution: kernels::IntegerDepthwise,
}

impl Op for IntegerDepthwise {
    fn name(&self) -> StaticName {
        "IntegerDepthwise".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.convolution)])
    }

    op_as_typed_op!();
}

impl IntegerDepthwise {
    fn shape(&self, items: usize) -> TVec<usize> {
        let depthwise = &self.convolution.depthwise;
        let [height, width] = depthwise.output_size();
        let blocks = self.isa.blocks(depthwise.channels);
        tvec!(items, blocks, height, width, self.isa.lanes())
    }

    /// Products of an item.
    fn products(&self) -> usize {
        let depthwise = &self.convolution.depthwise;
        let positions: usize = depthwise.output_size().iter().product();
        let taps: usize = depthwise.window.kernel.iter().product();
        positions * taps * depthwise.channels
    }
}

impl EvalOp for IntegerDepthwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (convolution, isa) = (&self.convolution, self.isa);
        let items = inputs[0].shape()[0];
        let mut output = blank_of::<u8>(&self.shape(items))?;
        let mut view = output.try_as_plain_ram_mut()?;
        let bytes = inputs[0].try_as_plain_ram()?;
        let (input, len) = (
            bytes.as_slice::<u8>()?,
            convolution.depthwise.input_len(isa),
        );
        let [weights, offsets, factor, bias] =
            [1, 2, 3, 4].map(|slot: usize| numbers(&inputs[slot]));
        let (weights, offsets, factor, bias) = (weights?, offsets?, factor?, bias?);
        let all = isa.blocks(convolution.depthwise.channels);
        let work = Work {
            items,
            blocks: all,
            products: self.products(),
        };
        work.share(view.as_slice_mut::<u8>()?, |item, blocks, output| {
            let operands = IntegerDepthwiseOperands {
                input: of_blocks(&input[item * len..][..len], all, &blocks),
                weights: of_blocks(weights, all, &blocks),
                offsets: of_blocks(offsets, all, &blocks),
                factor: of_blocks(factor, all, &blocks),
                bias: of_blocks(bias, all, &blocks),
                output,
            };
            convolution.part(isa, &blocks).run(isa, operands);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for IntegerDepthwise {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 5);
        let input = super::concrete(inputs[0])?;
        let len: usize = input[1..].iter().product();
        ensure!(
            inputs[0].datum_type == u8::datum_type()
                && len == self.convolution.depthwise.input_len(self.isa),
            "{input:?} for {self:?}"
        );
        Ok(tvec!(u8::fact(&*self.shape(input[0]))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let products = super::concrete(inputs[0])?[0] * self.products();
        Ok(tvec!((Cost::FMA(i8::datum_type()), TDim::from(products))))
    }

    as_op!();
}
