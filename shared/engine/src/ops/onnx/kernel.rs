//! Operators that are computed here, on whole tensors.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{
    Datum, DatumType, DatumTypeExt, EvalContext, EvalOp, InferenceFact, InferenceModel,
    InferenceNode, InferenceOp, IntoTValue, Op, OutletId, SpecialOps, StaticName, TDim, TValue,
    TVec, Tensor, TractErrorContext, TractResult, TypedFact, TypedModel, TypedOp, as_op,
    op_as_typed_op, op_out_of_plan,
};

use super::ports::{Given, Port, Slots, port};

/// An operator's arithmetic.
pub(crate) trait Kernel: fmt::Debug + Send + Sync + 'static {
    /// Datatype and shape of each output that the operator can give, in ONNX's order.
    fn outputs(&self, inputs: &Given<Port>) -> TractResult<Vec<(DatumType, Vec<usize>)>>;

    /// Their values.
    fn eval(&self, inputs: &Given<&Tensor>) -> TractResult<Vec<Tensor>>;
}

/// A node whose operator is a [`Kernel`].
#[derive(Clone, Debug)]
pub(crate) struct Own {
    name: String,
    kernel: Arc<dyn Kernel>,
    inputs: Slots,
    /// Which outputs the graph reads.
    outputs: Vec<usize>,
}

/// A node as tract's parser wants it.
#[allow(clippy::unnecessary_wraps)] // The parsers of a register all give a result.
pub(crate) fn own(
    node: &NodeProto,
    kernel: impl Kernel,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let named = |(index, name): (usize, &String)| (!name.is_empty()).then_some(index);
    let own = Own {
        name: node.op_type.clone(),
        kernel: Arc::new(kernel),
        inputs: Slots::of(node),
        outputs: node.output.iter().enumerate().filter_map(named).collect(),
    };
    Ok((Box::new(own), vec![]))
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel)
    }
}

impl Eq for Own {}

impl Op for Own {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Own {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs = inputs
            .into_iter()
            .map(|input| {
                let counted = input.datum_type() == TDim::datum_type();
                Ok(if counted {
                    input.cast_to::<i64>()?.into_owned().into_tvalue()
                } else {
                    input
                })
            })
            .collect::<TractResult<Vec<TValue>>>()?;
        let given: Vec<&Tensor> = inputs.iter().map(|input| &**input).collect();
        let mut all: Vec<Option<Tensor>> = self
            .kernel
            .eval(&self.inputs.place(&given))?
            .into_iter()
            .map(Some)
            .collect();
        let output = |&index: &usize| {
            let output = all.get_mut(index).and_then(Option::take);
            output
                .map(IntoTValue::into_tvalue)
                .with_context(|| format!("there is no output {index}"))
        };
        self.outputs.iter().map(output).collect()
    }
}

impl Own {
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        let ports = inputs
            .iter()
            .map(port)
            .collect::<TractResult<Vec<Port>>>()?;
        let all = self.kernel.outputs(&self.inputs.place(&ports))?;
        let fact = |&index: &usize| {
            let (datatype, shape) = all
                .get(index)
                .with_context(|| format!("there is no output {index}"))?;
            Ok(datatype.fact(shape))
        };
        self.outputs.iter().map(fact).collect()
    }
}

impl TypedOp for Own {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.facts(&inputs.iter().copied().cloned().collect::<Vec<_>>())
    }

    as_op!();
}

impl InferenceOp for Own {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(
        TVec<InferenceFact>,
        TVec<InferenceFact>,
        TVec<InferenceFact>,
    )> {
        let known: Option<Vec<TypedFact>> = inputs
            .iter()
            .map(|&fact| TypedFact::try_from(fact).ok())
            .filter(|fact| {
                let concrete = |fact: &TypedFact| fact.shape.as_concrete().is_some();
                fact.as_ref().is_none_or(concrete)
            })
            .collect();
        let all_known = known.filter(|known| known.len() == inputs.len());
        let cloned = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect::<TVec<_>>();
        let outputs = match all_known {
            Some(known) => self
                .facts(&known)?
                .iter()
                .map(InferenceFact::from)
                .collect(),
            None => cloned(outputs),
        };
        Ok((cloned(inputs), outputs, cloned(observed)))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
    }

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: Vec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        target.wire_node(&node.name, self.clone(), &inputs)
    }

    as_op!();
}
