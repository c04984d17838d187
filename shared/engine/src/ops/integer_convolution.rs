//! Convolution of quantized channels with quantized weights.

use std::ops::Range;

use dunlin_kernels::{IntegerConv, IntegerOperands, IntegerOutput, Isa};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, blank_of, numbers, with_scratch};
use super::parts::{Work, of_blocks};

/// Inputs: blocked bytes, the weights and the offsets as `conv` arranges them, a factor and a bias for each lane, and the
/// residual (blocked `f32`) where there is one. The output is blocked, bytes where `conv` quantizes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntegerConvolution {
    pub(crate) isa: Isa,
    pub(crate) conv: IntegerConv,
    pub(crate) residual: bool,
}

impl Op for IntegerConvolution {
    fn name(&self) -> StaticName {
        "IntegerConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} {:?}", self.isa, self.conv)])
    }

    op_as_typed_op!();
}

impl IntegerConvolution {
    fn shape(&self, items: usize) -> TVec<usize> {
        let conv = &self.conv.conv;
        let [height, width] = conv.output_size();
        let blocks = self.isa.blocks(conv.outputs);
        tvec!(items, blocks, height, width, self.isa.lanes())
    }

    /// Products of an item.
    fn products(&self) -> usize {
        let conv = &self.conv.conv;
        let positions: usize = conv.output_size().iter().product();
        let taps: usize = conv.window.kernel.iter().product();
        positions * taps * conv.outputs * conv.inputs / conv.groups
    }
}

impl EvalOp for IntegerConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (conv, isa) = (&self.conv, self.isa);
        let items = inputs[0].shape()[0];
        let shape = self.shape(items);
        let quantized = conv.output.is_some();
        let mut output = if quantized {
            blank_of::<u8>(&shape)?
        } else {
            blank(&shape)?
        };
        let mut view = output.try_as_plain_ram_mut()?;
        let bytes = inputs[0].try_as_plain_ram()?;
        let (input, input_len) = (bytes.as_slice::<u8>()?, conv.conv.input_len(isa));
        let (len, all) = (conv.conv.output_len(isa), conv.conv.parts(isa));
        let [weights, offsets, factor, bias] =
            [1, 2, 3, 4].map(|slot: usize| numbers(&inputs[slot]));
        let (weights, offsets, factor, bias) = (weights?, offsets?, factor?, bias?);
        let residual = match inputs.get(5) {
            Some(residual) => Some(numbers(residual)?),
            None => None,
        };
        let part = |item: usize, blocks: Range<usize>, output: IntegerOutput<'_>| {
            let part = conv.part(isa, &blocks);
            with_scratch(part.scratch_len(isa), |scratch| {
                let operands = IntegerOperands {
                    input: &input[item * input_len..][..input_len],
                    weights: of_blocks(weights, all, &blocks),
                    offsets: of_blocks(offsets, all, &blocks),
                    factor: of_blocks(factor, all, &blocks),
                    bias: of_blocks(bias, all, &blocks),
                    residual: residual
                        .map(|residual| of_blocks(&residual[item * len..][..len], all, &blocks)),
                    output,
                    scratch,
                };
                part.run(isa, operands);
            });
        };
        let work = Work {
            items,
            blocks: all,
            products: self.products(),
        };
        if quantized {
            work.share(view.as_slice_mut::<u8>()?, |item, blocks, output| {
                part(item, blocks, IntegerOutput::Bytes(output));
            });
        } else {
            work.share(view.as_slice_mut::<f32>()?, |item, blocks, output| {
                part(item, blocks, IntegerOutput::Numbers(output));
            });
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for IntegerConvolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 5 + usize::from(self.residual));
        let input = super::concrete(inputs[0])?;
        let len: usize = input[1..].iter().product();
        ensure!(
            inputs[0].datum_type == u8::datum_type() && len == self.conv.conv.input_len(self.isa),
            "{input:?} for {self:?}"
        );
        let shape = self.shape(input[0]);
        ensure!(
            inputs
                .get(5)
                .is_none_or(|residual| residual.shape.as_concrete() == Some(&*shape))
        );
        Ok(tvec!(match self.conv.output {
            Some(_) => u8::fact(&*shape),
            None => f32::fact(&*shape),
        }))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let products = super::concrete(inputs[0])?[0] * self.products();
        Ok(tvec!((Cost::FMA(i8::datum_type()), TDim::from(products))))
    }

    as_op!();
}
