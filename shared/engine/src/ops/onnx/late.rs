//! Operators that become a graph of others once a plan knows their inputs.
//!
//! A plan is made for concrete shapes, so datatypes, shapes and many values of an operator's
//! inputs are known before its graph is needed. That makes short work of what ONNX leaves open:
//! branches of different rank, loops, functions whose body depends on the rank of an input.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::{
    EvalOp, InferenceFact, InferenceModel, InferenceModelExt, InferenceNode, InferenceOp, Op,
    OutletId, SpecialOps, StaticName, TValue, TVec, TractResult, TypedFact, TypedModel, TypedOp,
    as_op, ensure, not_a_typed_op, not_out_of_plan, tvec,
};
use tract_onnx::tract_hir::ops::konst::Const as InferenceConst;

/// An operator that is written as a graph.
pub(crate) trait Rewrite: fmt::Debug + Send + Sync + 'static {
    /// The graph for inputs of these facts, as many as the node has.
    fn graph(&self, inputs: &[TypedFact]) -> TractResult<Made>;
}

/// A graph in an operator's place.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) model: TypedModel,
    /// The source of each input; none for those whose value stands in the graph as a constant.
    pub(crate) sources: Vec<Option<OutletId>>,
}

impl Made {
    /// A graph with the inputs alone, and where each of them is.
    pub(crate) fn start(inputs: &[TypedFact]) -> TractResult<(Self, Vec<OutletId>)> {
        let mut model = TypedModel::default();
        let mut sources = Vec::with_capacity(inputs.len());
        let mut outlets = Vec::with_capacity(inputs.len());
        for (index, fact) in inputs.iter().enumerate() {
            let name = format!("input.{index}");
            let outlet = match &fact.konst {
                Some(value) => model.add_const(name, Arc::clone(value))?,
                None => model.add_source(name, fact.without_value())?,
            };
            sources.push(fact.konst.is_none().then_some(outlet));
            outlets.push(outlet);
        }
        Ok((Self { model, sources }, outlets))
    }

    /// Copies the graph into another, reading `inputs` there.
    pub(crate) fn splice(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut mapping: HashMap<OutletId, OutletId> = HashMap::new();
        for (source, &input) in self.sources.iter().zip(inputs) {
            mapping.extend(source.map(|source| (source, input)));
        }
        for id in self.model.eval_order()? {
            if mapping.contains_key(&id.into()) {
                continue;
            }
            let node = self.model.node(id);
            let name = format!("{prefix}.{}", node.name);
            let made = if let Some(constant) = node.op_as::<Const>() {
                tvec!(target.add_const(name, Arc::clone(constant.val()))?)
            } else {
                let inputs: TVec<OutletId> =
                    node.inputs.iter().map(|input| mapping[input]).collect();
                target.wire_node(name, node.op.clone(), &inputs)?
            };
            for (slot, outlet) in made.into_iter().enumerate() {
                mapping.insert(OutletId::new(id, slot), outlet);
            }
        }
        let outputs = self.model.output_outlets()?.iter();
        Ok(outputs.map(|outlet| mapping[outlet]).collect())
    }
}

/// The typed graph of a parsed one whose inputs have these facts, in their order; an input whose
/// value is known becomes a constant.
pub(crate) fn bound(mut model: InferenceModel, facts: &[TypedFact]) -> TractResult<Made> {
    let inputs = std::mem::take(&mut model.inputs);
    ensure!(
        inputs.len() == facts.len(),
        "{} values for {} inputs",
        facts.len(),
        inputs.len()
    );
    let mut open = vec![];
    for (number, (outlet, fact)) in inputs.into_iter().zip(facts).enumerate() {
        if let Some(value) = &fact.konst {
            model.node_mut(outlet.node).op = Box::new(InferenceConst::new(Arc::clone(value))?);
            model.set_outlet_fact(outlet, InferenceFact::try_from(value)?)?;
        } else {
            model.set_outlet_fact(outlet, fact.without_value().into())?;
            model.inputs.push(outlet);
            open.push(number);
        }
    }
    let model = model.into_typed()?;
    let mut sources = vec![None; facts.len()];
    for (number, &source) in open.into_iter().zip(model.input_outlets()?) {
        sources[number] = Some(source);
    }
    Ok(Made { model, sources })
}

/// A node whose operator is a [`Rewrite`].
#[derive(Clone, Debug)]
pub(crate) struct Late {
    name: String,
    rewrite: Arc<dyn Rewrite>,
    outputs: usize,
    /// The graph of the last analysis, with the inputs that it is for.
    made: Option<(Vec<TypedFact>, Made)>,
}

/// A node as tract's parser wants it; `closures` are values from around it, added to its inputs.
#[allow(clippy::unnecessary_wraps)] // The parsers of a register all give a result.
pub(crate) fn late(
    node: &NodeProto,
    rewrite: impl Rewrite,
    closures: Vec<String>,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let named = |name: &&String| !name.is_empty();
    let late = Late {
        name: node.op_type.clone(),
        rewrite: Arc::new(rewrite),
        outputs: node.output.iter().filter(named).count(),
        made: None,
    };
    Ok((Box::new(late), closures))
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rewrite, &other.rewrite)
    }
}

impl Eq for Late {}

impl Op for Late {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    not_a_typed_op!();
}

impl EvalOp for Late {
    not_out_of_plan!();
}

impl Late {
    fn make(&self, inputs: &[TypedFact]) -> TractResult<Made> {
        if let Some((known, made)) = &self.made
            && known == inputs
        {
            return Ok(made.clone());
        }
        let made = self.rewrite.graph(inputs)?;
        let got = made.model.output_outlets()?.len();
        ensure!(
            got == self.outputs,
            "{got} outputs instead of {}",
            self.outputs
        );
        Ok(made)
    }
}

impl InferenceOp for Late {
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
            .collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        if let Some(known) = known {
            let made = self.make(&known)?;
            for (output, outlet) in outputs.iter_mut().zip(made.model.output_outlets()?) {
                *output = made.model.outlet_fact(*outlet)?.into();
            }
            self.made = Some((known, made));
        }
        let cloned = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect();
        Ok((cloned(inputs), outputs, cloned(observed)))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: Vec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        let facts = inputs
            .iter()
            .map(|&input| target.outlet_fact(input).cloned());
        let made = self.make(&facts.collect::<TractResult<Vec<_>>>()?)?;
        made.splice(&node.name, target, &inputs)
    }

    as_op!();
}
