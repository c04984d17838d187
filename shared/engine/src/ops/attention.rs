//! Attention in one operator: products of queries and keys, a softmax, products with the values. No scores of a whole
//! head, and no operand in another order of its axes, are ever in memory.

mod pattern;
#[cfg(test)]
mod tests;

pub(crate) use pattern::attend;

use dunlin_kernels::{self as kernels, AttentionOperands, Isa, Strided};
use tract_onnx::prelude::{Datum, DatumExt, IntoTValue, TValue, TractResult, TypedFact};
use tract_onnx::tract_core::internal::{
    Cost, EvalContext, EvalOp, Op, StaticName, TDim, TVec, as_op, bail, ensure, op_as_typed_op,
    op_out_of_plan, tvec,
};
use tract_onnx::tract_core::ops::TypedOp;

use super::blank::{blank, numbers, with_scratch};
use super::parts::Work;

/// Where a tensor has batch, head, token, and number of the token.
pub(crate) type Places = [usize; 4];

/// Inputs: queries, keys, values, each with four axes; where `masked`, what is added to the scaled products:
/// `[batch, heads, queries, keys]`, each of them or 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attention {
    pub(crate) isa: Isa,
    /// Of queries, keys, values, and of the output, whose first axis is the batch and whose last one the number.
    pub(crate) places: [Places; 4],
    /// A factor of the products; finite.
    pub(crate) scale: f32,
    pub(crate) masked: bool,
}

impl Eq for Attention {}

/// Numbers of the scratch, at most: as many as a tensor may have.
const LARGEST: usize = 1 << 29;

/// The extents, for some shapes of the inputs.
struct Extents {
    batch: usize,
    attention: kernels::Attention,
    output: TVec<usize>,
}

impl Extents {
    fn products(&self) -> usize {
        let kernels::Attention {
            heads,
            queries,
            keys,
            depth,
            width,
            ..
        } = self.attention;
        heads * queries * keys * (depth + width)
    }
}

impl Attention {
    fn extents(&self, inputs: &[&[usize]]) -> TractResult<Extents> {
        ensure!(
            inputs.len() == 3 + usize::from(self.masked) && inputs.iter().all(|of| of.len() == 4),
            "inputs of {inputs:?} for {self:?}"
        );
        for places in self.places {
            ensure!(
                (0..4).all(|axis| places.contains(&axis)),
                "{places:?} are no four axes"
            );
        }
        ensure!(self.scale.is_finite() && self.places[3][0] == 0 && self.places[3][3] == 3);
        let of = |input: usize| self.places[input].map(|axis| inputs[input][axis]);
        let [batch, heads, queries, depth] = of(0);
        let [_, _, keys, width] = of(2);
        ensure!(
            of(1) == [batch, heads, keys, depth]
                && of(2) == [batch, heads, keys, width]
                && [batch, heads, queries, keys, depth, width]
                    .iter()
                    .all(|&n| n > 0),
            "no queries, keys and values: {inputs:?}"
        );
        if self.masked {
            let whole = [batch, heads, queries, keys];
            let mut axes = inputs[3].iter().zip(whole);
            ensure!(
                axes.all(|(&len, whole)| len == whole || len == 1),
                "a mask of {:?} for {whole:?}",
                inputs[3]
            );
        }
        let mut output: TVec<usize> = tvec!(0; 4);
        for (axis, len) in self.places[3]
            .into_iter()
            .zip([batch, heads, queries, width])
        {
            output[axis] = len;
        }
        let attention = kernels::Attention {
            heads,
            queries,
            keys,
            depth,
            width,
            scale: self.scale,
        };
        ensure!(
            attention.scratch_len(self.isa) <= LARGEST,
            "{attention:?} takes too much memory"
        );
        Ok(Extents {
            batch,
            attention,
            output,
        })
    }
}

/// Numbers from one place of each axis to the next.
fn strides(shape: &[usize], places: Places) -> [usize; 4] {
    places.map(|axis| shape[axis + 1..].iter().product())
}

/// The same of a mask: 0 where all places share one.
fn strides_of_mask(shape: &[usize]) -> [usize; 4] {
    let mut strides = strides(shape, [0, 1, 2, 3]);
    for (stride, &len) in strides.iter_mut().zip(shape) {
        *stride *= usize::from(len > 1);
    }
    strides
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} × {}", self.isa, self.scale)])
    }

    op_as_typed_op!();
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shapes: TVec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let extents = self.extents(&shapes)?;
        let mut output = blank(&extents.output)?;
        let mut operands = Vec::with_capacity(inputs.len());
        for (slot, input) in inputs.iter().enumerate() {
            let strides = match slot {
                3 => strides_of_mask(input.shape()),
                _ => strides(input.shape(), self.places[slot]),
            };
            operands.push((numbers(input)?, strides));
        }
        let heads_first = self.places[3][1] == 1;
        let whole = &extents.attention;
        let work = Work {
            items: extents.batch,
            blocks: if heads_first {
                whole.heads
            } else {
                whole.queries
            },
            products: extents.products(),
        };
        let mut view = output.try_as_plain_ram_mut()?;
        work.share(view.as_slice_mut::<f32>()?, |item, blocks, output| {
            // Which head and which query a part begins with.
            let (mut part, mut first) = (*whole, [0; 2]);
            let strides = if heads_first {
                (part.heads, first[0]) = (blocks.len(), blocks.start);
                [whole.queries * whole.width, whole.width]
            } else {
                (part.queries, first[1]) = (blocks.len(), blocks.start);
                [whole.width, whole.heads * whole.width]
            };
            let operand = |slot: usize| {
                let (numbers, [batch, head, token, number]) = operands[slot];
                // Keys and values have no queries to begin with.
                let query = if slot == 1 || slot == 2 { 0 } else { first[1] };
                Strided {
                    numbers: &numbers[item * batch + first[0] * head + query * token..],
                    strides: [head, token, number],
                }
            };
            with_scratch(part.scratch_len(self.isa), |scratch| {
                let operands = AttentionOperands {
                    queries: operand(0),
                    keys: operand(1),
                    values: operand(2),
                    mask: self.masked.then(|| operand(3)),
                    output,
                    strides,
                    scratch,
                };
                part.run(self.isa, operands);
            });
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Attention {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shapes = TVec::new();
        for fact in inputs {
            if fact.datum_type != f32::datum_type() {
                bail!("{fact:?} for {self:?}");
            }
            shapes.push(super::concrete(fact)?);
        }
        let shapes: TVec<&[usize]> = shapes.iter().map(|shape| &shape[..]).collect();
        Ok(tvec!(f32::fact(&*self.extents(&shapes)?.output)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let shapes: TractResult<TVec<TVec<usize>>> =
            inputs.iter().map(|fact| super::concrete(fact)).collect();
        let shapes = shapes?;
        let shapes: TVec<&[usize]> = shapes.iter().map(|shape| &shape[..]).collect();
        let extents = self.extents(&shapes)?;
        let products = TDim::from(extents.batch * extents.products());
        Ok(tvec!((Cost::FMA(f32::datum_type()), products)))
    }

    as_op!();
}
