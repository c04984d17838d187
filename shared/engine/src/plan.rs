//! A model optimized for one shape of its inputs.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_kernels::{Isa, Method};
use dunlin_protocol::{Tensor, TensorMetadata};
use tract_onnx::prelude::{
    InferenceFact, InferenceModelExt, TValue, TractResult, TypedModel, TypedRunnableModel,
};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_core::plan::eval;

use crate::Limits;
use crate::border::guarded;
use crate::check;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{self, Convolution, Lowering};
use crate::plan_file::{self, Origins};
use crate::portable::Opened;
use crate::signature::datum_type;
use crate::tensor::{from_tract, to_tract};

/// What a node of an optimized graph takes beside its tensors: operator, facts, edges.
const NODE_BYTES: u64 = 2048;

/// An optimized graph, ready to run from many threads.
#[derive(Debug)]
pub(crate) struct Plan {
    runnable: Arc<TypedRunnableModel>,
    /// What its operators were made from; empty for a plan that was read.
    origins: Arc<Origins>,
    bytes: u64,
    /// Whether threads would share any of its nodes.
    pub(crate) shared: bool,
}

/// How long each node took, in the order of the runs: node and time.
pub(crate) type Times = Vec<(usize, Duration)>;

impl Plan {
    /// Optimizes a graph for inputs of these shapes. An error is of kind `kind`, unless a limit was passed.
    pub(crate) fn make(
        opened: &Opened,
        inputs: &[TensorMetadata],
        shapes: &[Vec<usize>],
        limits: &Limits,
        kind: ErrorKind,
        lowering: &mut Lowering<'_>,
    ) -> Result<Self> {
        guarded(kind, "optimizing the graph", || {
            let failed = |error| Error::from_tract(kind, says(shapes), error);
            let mut model = opened.graph.clone();
            for (index, (input, shape)) in inputs.iter().zip(shapes).enumerate() {
                let fact = InferenceFact::dt_shape(datum_type(input.datatype), shape);
                model.set_input_fact(index, fact).map_err(failed)?;
            }
            let typed = model.into_typed().map_err(failed)?;
            sizes(&typed, shapes, limits, kind)?;
            let mut origins = Origins::default();
            let graph = optimized(typed, &mut origins, lowering).map_err(failed)?;
            let runnable = TypedRunnableModel::new(graph).map_err(failed)?;
            let bytes = bytes(&runnable, opened.weights);
            let shared = ops::has_shared_work(runnable.model());
            Ok(Self {
                runnable,
                origins: Arc::new(origins),
                bytes,
                shared,
            })
        })
    }

    /// A plan of a graph that was optimized before. Its constants are counted elsewhere.
    pub(crate) fn read(graph: TypedModel) -> Result<Self> {
        guarded(ErrorKind::InvalidModel, "reading a plan", || {
            let failed = |error| Error::from_tract(ErrorKind::InvalidModel, "no sound plan", error);
            let runnable = TypedRunnableModel::new(graph).map_err(failed)?;
            let bytes = bytes(&runnable, 0);
            let shared = ops::has_shared_work(runnable.model());
            Ok(Self {
                runnable,
                origins: Arc::default(),
                bytes,
                shared,
            })
        })
    }

    /// The same as a host gets it: some operators of tract's run faster, or slower, once they were written down and read.
    pub(crate) fn as_read(&self) -> Result<Self> {
        let (graph, origins) = self.graph();
        Self::read(plan_file::as_read(graph, origins, &Limits::default())?)
    }

    /// The same with each convolution done as `method` says.
    pub(crate) fn by(&self, method: impl Fn(&Convolution) -> Method) -> Result<Self> {
        guarded(ErrorKind::Failed, "choosing kernels", || {
            let mut graph = self.runnable.model().clone();
            for node in &mut graph.nodes {
                if let Some(op) = node.op_as_mut::<Convolution>() {
                    op.method = method(op);
                }
            }
            let failed = |error| Error::from_tract(ErrorKind::Failed, "no sound plan", error);
            Ok(Self {
                runnable: TypedRunnableModel::new(graph).map_err(failed)?,
                origins: Arc::clone(&self.origins),
                ..*self
            })
        })
    }

    /// The convolutions of the graph itself, with their nodes.
    pub(crate) fn convolutions(&self) -> impl Iterator<Item = (usize, &Convolution)> {
        let nodes = self.runnable.model().nodes.iter();
        nodes.filter_map(|node| Some((node.id, node.op_as::<Convolution>()?)))
    }

    /// Whose vectors the blocks of its convolutions are; none where it has none of ours.
    pub(crate) fn blocks(&self) -> Option<Isa> {
        self.runnable.model().nodes.iter().find_map(ops::blocks)
    }

    /// The optimized graph, and what its operators were made from.
    pub(crate) fn graph(&self) -> (&TypedModel, &Origins) {
        (self.runnable.model(), &self.origins)
    }

    /// Runs the plan. Each run has its own state, so that runs share nothing but the weights;
    /// `times` gets the time of each node where asked for.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        mut times: Option<&mut Times>,
    ) -> Result<Vec<Tensor>> {
        let inputs = inputs
            .iter()
            .map(|input| to_tract(input).map(TValue::from))
            .collect::<Result<_>>()?;
        let current = Cell::new(None);
        let ran = guarded(ErrorKind::Failed, "running", || {
            let failed = |error| Error::from_tract(ErrorKind::Failed, "the run failed", error);
            let mut state = self.runnable.spawn().map_err(failed)?;
            let outputs = state.run_plan_with_eval(inputs, |context, state, node, inputs| {
                current.set(Some(node.id));
                let Some(times) = times.as_deref_mut() else {
                    return eval(context, state, node, inputs);
                };
                let start = Instant::now();
                let outputs = eval(context, state, node, inputs);
                times.push((node.id, start.elapsed()));
                outputs
            });
            outputs
                .map_err(failed)?
                .into_iter()
                .map(from_tract)
                .collect()
        });
        ran.map_err(|error| match current.get() {
            Some(id) => {
                let (node, op) = self.node(id);
                error.at(&node, &op)
            }
            None => error,
        })
    }

    /// Name and operator of a node.
    pub(crate) fn node(&self, id: usize) -> (String, String) {
        let node = self.runnable.model().node(id);
        (node.name.clone(), node.op().name().into_owned())
    }

    /// An estimate of what the plan holds beyond the graph it was made from, and of what a run
    /// of it needs at its peak.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The graph with operators of ours, optimized; what tract's were made from is added to `origins`.
fn optimized(
    typed: TypedModel,
    origins: &mut Origins,
    lowering: &mut Lowering<'_>,
) -> TractResult<TypedModel> {
    let isa = Isa::best();
    let typed = ops::drop_identities(typed)?;
    let typed = ops::multiply(typed, isa, lowering)?;
    let typed = ops::block(typed, isa, lowering)?;
    let mut graph = ops::attend(typed.into_decluttered()?, isa)?;
    origins.add(&graph);
    for node in &mut graph.nodes {
        if let Some(op) = node.op_as::<IfThenElse>() {
            let mut branch = |body: &TypedModel, inputs: &[usize]| {
                ops::Branch::new(optimized(body.clone(), origins, lowering)?, inputs.to_vec())
            };
            let branches = ops::Branches {
                yes: branch(&op.then_body, &op.then_input_mapping)?,
                no: branch(&op.else_body, &op.else_input_mapping)?,
            };
            node.op = Box::new(branches);
        }
    }
    graph.optimize()?;
    ops::adopt(&mut graph)?;
    ops::spread(&mut graph)?;
    ops::look_up(&mut graph);
    Ok(graph)
}

fn says(shapes: &[Vec<usize>]) -> String {
    format!("the graph can't be run on inputs of shape {shapes:?}")
}

/// Checks what lies between the nodes: its size against the limit, and that it can be at all.
/// tract keeps sizes that contradict each other (2 spread against 3) until the run.
fn sizes(
    model: &TypedModel,
    shapes: &[Vec<usize>],
    limits: &Limits,
    kind: ErrorKind,
) -> Result<()> {
    for node in model.nodes() {
        let here = |error: Error| error.at(&node.name, &node.op().name());
        for output in &node.outputs {
            let shape = &output.fact.shape;
            if let Some(shape) = shape.as_concrete() {
                check::elements(shape.iter().copied(), limits).map_err(here)?;
                continue;
            }
            if let Some(dim) = check::contradiction(shape) {
                let says = says(shapes);
                return Err(here(Error::new(
                    kind,
                    format!("{says}: sizes contradict: {dim}"),
                )));
            }
        }
    }
    Ok(())
}

/// What a plan holds and a run of it needs. Its operators keep packed copies of the weights where
/// no one can see them: together about as large as the weights themselves.
fn bytes(plan: &TypedRunnableModel, weights: u64) -> u64 {
    weights + peak(plan) + plan.model().nodes().len() as u64 * NODE_BYTES
}

/// The most bytes of values alive at once: each lives from its node to its last reader.
fn peak(plan: &TypedRunnableModel) -> u64 {
    let model = plan.model();
    let size = |id: usize| -> u64 {
        let outputs = model.node(id).outputs.iter();
        outputs
            .filter_map(|output| {
                let len: usize = output.fact.shape.as_concrete()?.iter().product();
                Some((len * output.fact.datum_type.size_of()) as u64)
            })
            .sum()
    };
    let order = plan.order_without_consts();
    let mut last_reader = vec![usize::MAX; model.nodes().len()];
    for (step, &id) in order.iter().enumerate() {
        for input in &model.node(id).inputs {
            last_reader[input.node] = step;
        }
    }
    let (mut alive, mut most) = (0_u64, 0_u64);
    for (step, &id) in order.iter().enumerate() {
        alive += size(id);
        most = most.max(alive);
        let inputs: HashSet<usize> = model
            .node(id)
            .inputs
            .iter()
            .map(|input| input.node)
            .collect();
        let dying = inputs.into_iter().filter(|&from| last_reader[from] == step);
        alive = alive.saturating_sub(
            dying
                .filter(|&from| !model.node(from).op_is::<Const>())
                .map(size)
                .sum(),
        );
    }
    most
}
