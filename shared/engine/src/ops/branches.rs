//! `If` on a condition that is known only when the model runs: two graphs, of which one runs. tract's own operator makes
//! the graph anew at each run.

use std::sync::Arc;

use tract_onnx::prelude::{Datum, TValue, TractResult, TypedFact, TypedModel, TypedRunnableModel};
use tract_onnx::tract_core::internal::{
    EvalContext, EvalOp, Op, StaticName, TVec, as_op, ensure, op_as_typed_op, op_out_of_plan,
};
use tract_onnx::tract_core::ops::TypedOp;

/// Inputs: the condition, and what the branches read. Outputs: those of the branch that runs.
#[derive(Debug, Clone)]
pub(crate) struct Branches {
    pub(crate) yes: Branch,
    pub(crate) no: Branch,
}

/// A graph, and which inputs of the node it reads.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    graph: Arc<TypedRunnableModel>,
    inputs: Vec<usize>,
}

// Graphs are not compared.
impl PartialEq for Branches {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Branches {}

impl Branch {
    /// A branch of an optimized graph that reads these inputs, one for each of its own.
    pub(crate) fn new(graph: TypedModel, inputs: Vec<usize>) -> TractResult<Self> {
        ensure!(graph.inputs.len() == inputs.len());
        Ok(Self {
            graph: TypedRunnableModel::new(graph)?,
            inputs,
        })
    }

    /// The graph, and the inputs that it reads.
    pub(crate) fn parts(&self) -> (&TypedModel, &[usize]) {
        (self.graph.model(), &self.inputs)
    }

    /// What the branch gives for inputs of these facts.
    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let graph = self.graph.model();
        for (slot, &input) in self.inputs.iter().enumerate() {
            let wanted = graph.input_fact(slot)?;
            let fits = inputs.get(input).is_some_and(|given| {
                given.datum_type == wanted.datum_type && given.shape == wanted.shape
            });
            ensure!(fits, "a branch reads {wanted:?} as its input {slot}");
        }
        let outputs = 0..graph.outputs.len();
        outputs
            .map(|output| Ok(graph.output_fact(output)?.without_value()))
            .collect()
    }
}

impl Op for Branches {
    fn name(&self) -> StaticName {
        "Branches".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Branches {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let branch = if inputs[0].cast_to_scalar::<bool>()? {
            &self.yes
        } else {
            &self.no
        };
        let read = branch.inputs.iter().map(|&input| inputs[input].clone());
        branch.graph.run(read.collect())
    }
}

impl TypedOp for Branches {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.first().is_some_and(
            |fact| fact.datum_type == bool::datum_type() && fact.shape.volume() == 1.into()
        ));
        let (yes, no) = (self.yes.facts(inputs)?, self.no.facts(inputs)?);
        ensure!(yes == no, "branches that give {yes:?} and {no:?}");
        Ok(yes)
    }

    as_op!();
}
