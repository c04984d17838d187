//! Arithmetic of a tensor with a smaller one that is spread over it.
//!
//! tract is fast where the smaller one has the inner dimensions alone, or the outer ones. It walks element by element
//! where those lie between others: in a batch whose items share a number a channel, or have a mask each.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{
    Datum, DatumExt, IntoTValue, IntoTensor, TValue, TVec, TractResult, TypedFact, TypedModel, tvec,
};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, as_op, bail, ensure, op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::math;

/// Inputs: a tensor and one of equal rank, each of whose dimensions is 1 or the first's. The output is as the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Spread {
    Add,
    Mul,
    Sub,
    /// The second less the first.
    SubFrom,
}

/// Puts [`Spread`] in the place of tract's operators that would walk.
pub(crate) fn spread(graph: &mut TypedModel) -> TractResult<()> {
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        let Some(TypedBinOp(function, None)) = node.op_as::<TypedBinOp>() else {
            continue;
        };
        let Some(op) = Spread::of(&**function) else {
            continue;
        };
        let mut facts = graph.node_input_facts(id)?;
        let fits = op.output_facts(&facts).is_ok();
        facts.swap(0, 1);
        let fits_swapped = op.swapped().output_facts(&facts).is_ok();
        drop(facts);
        let node = &mut graph.nodes[id];
        if fits {
            node.op = Box::new(op);
        } else if fits_swapped {
            node.op = Box::new(op.swapped());
            node.inputs.swap(0, 1);
        }
    }
    Ok(())
}

impl Spread {
    fn of(function: &dyn BinMiniOp) -> Option<Self> {
        if function.is::<math::Add>() {
            Some(Self::Add)
        } else if function.is::<math::Mul>() {
            Some(Self::Mul)
        } else if function.is::<math::Sub>() {
            Some(Self::Sub)
        } else {
            function.is::<math::SubF>().then_some(Self::SubFrom)
        }
    }

    /// The same with the tensors in the other order.
    fn swapped(self) -> Self {
        match self {
            Self::Add | Self::Mul => self,
            Self::Sub => Self::SubFrom,
            Self::SubFrom => Self::Sub,
        }
    }
}

/// Neighbouring dimensions in one: how many elements of the first tensor they have, and whether the second has as many.
type Run = (usize, bool);

fn runs(whole: &[usize], part: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (&whole, &part) in whole.iter().zip(part).filter(|(whole, _)| **whole > 1) {
        let shared = whole == part;
        match runs.last_mut() {
            Some((len, same)) if *same == shared => *len *= whole,
            _ => runs.push((whole, shared)),
        }
    }
    runs
}

fn walk(runs: &[Run], whole: &mut [f32], part: &[f32], function: impl Fn(&mut f32, f32) + Copy) {
    match *runs {
        [(_, true)] => {
            for (x, y) in whole.iter_mut().zip(part) {
                function(x, *y);
            }
        }
        [] | [(_, false)] => whole.iter_mut().for_each(|x| function(x, part[0])),
        [(len, shared), ref inner @ ..] => {
            let (step, size) = if shared {
                (part.len() / len, part.len() / len)
            } else {
                (0, part.len())
            };
            let inner_len = whole.len() / len;
            for (at, whole) in whole.chunks_exact_mut(inner_len).enumerate() {
                walk(inner, whole, &part[at * step..][..size], function);
            }
        }
    }
}

impl Op for Spread {
    fn name(&self) -> StaticName {
        format!("Spread{self:?}").into()
    }

    op_as_typed_op!();
}

impl EvalOp for Spread {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut output = inputs.remove(0).into_tensor();
        let runs = runs(output.shape(), inputs[0].shape());
        let part = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let mut view = output.try_as_plain_ram_mut()?;
        let whole = view.as_slice_mut::<f32>()?;
        if !whole.is_empty() {
            match self {
                Self::Add => walk(&runs, whole, part, |x, y| *x += y),
                Self::Mul => walk(&runs, whole, part, |x, y| *x *= y),
                Self::Sub => walk(&runs, whole, part, |x, y| *x -= y),
                Self::SubFrom => walk(&runs, whole, part, |x, y| *x = y - *x),
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Spread {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [whole, part] = inputs else {
            bail!("{} inputs, two are wanted", inputs.len());
        };
        let (shape, part_shape) = (super::concrete(whole)?, super::concrete(part)?);
        let numbers = [whole, part].map(|fact| fact.datum_type == f32::datum_type());
        ensure!(numbers == [true; 2] && shape.len() == part_shape.len());
        let mut fits = shape.iter().zip(&part_shape);
        ensure!(
            fits.all(|(whole, part)| part == whole || *part == 1),
            "{part_shape:?} is not spread over {shape:?}"
        );
        Ok(tvec!(f32::fact(&*shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::Tensor;

    use super::*;

    #[test]
    fn it_gives_what_tract_gives() {
        let whole: &[usize] = &[2, 3, 1, 4, 5];
        let numbers = |shape: &[usize], from: u8| {
            let len = shape.iter().product();
            let numbers: Vec<f32> = (from..).take(len).map(f32::from).collect();
            Tensor::from_shape(shape, &numbers).expect("a tensor")
        };
        let functions: [(Box<dyn BinMiniOp>, Spread); 4] = [
            (Box::new(math::Add), Spread::Add),
            (Box::new(math::Mul), Spread::Mul),
            (Box::new(math::Sub), Spread::Sub),
            (Box::new(math::SubF), Spread::SubFrom),
        ];
        for spread_over in 0..1_usize << whole.len() {
            let part: Vec<usize> = whole
                .iter()
                .enumerate()
                .map(|(at, &dim)| if spread_over >> at & 1 == 1 { 1 } else { dim })
                .collect();
            let inputs = tvec!(
                numbers(whole, 1).into_tvalue(),
                numbers(&part, 7).into_tvalue()
            );
            for (function, op) in &functions {
                let context = EvalContext::out_of_plan();
                let wanted = TypedBinOp(function.clone(), None).eval(&context, inputs.clone());
                let given = op.eval(&context, inputs.clone()).expect("an answer");
                assert_eq!(given, wanted.expect("an answer"), "{op:?} of {part:?}");
            }
        }
    }
}
