//! Plans on disk: an optimized graph written down, so that a host loads it without parsing ONNX,
//! analysing a graph or running an optimization pass.
//!
//! The format is described in docs/plan-format.md. [`layout`] has the bytes of the file,
//! [`record`] what its records hold, [`ops`] how each operator is written down and made again,
//! [`packed`] matrices that the kernels read where they lie in the file.
//!
//! Writing proves itself: each operator is made again from its record at once, and must equal the
//! one that was written. A graph with an operator that can't be written down has no plan, and the
//! error names it.

mod constants;
mod graph;
mod halves;
mod layout;
mod ops;
mod packed;
mod record;
mod target;
mod unnamed;

use bytes::Bytes;
use tract_onnx::prelude::TypedModel;

pub use layout::is_plan;
pub(crate) use ops::Origins;
pub(crate) use record::Batches;
pub use target::Target;

use crate::Limits;
use crate::border::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::framework;
use crate::signature::Signature;
use record::{Header, PlanRecord};

/// What the format of a plan file is called in manifests.
pub const PLAN_FORMAT: &str = "dunlin-plan-1";

/// What makes and reads these plans. A plan of another engine is refused: kernels, layouts and operators may differ
/// between patch versions, and records between two builds of one version.
pub const ENGINE: &str = concat!(
    "dunlin ",
    env!("CARGO_PKG_VERSION"),
    "+",
    env!("DUNLIN_PLAN_REVISION"),
    ", tract 0.23.9"
);

/// A plan for a batch must not make the file larger by more than one part in so many: kernels for
/// other sizes want their own copies of the weights.
const LARGER: u64 = 8;

/// A graph and the input shapes that it was optimized for.
pub(crate) struct ShapedGraph<'a> {
    pub(crate) shapes: Vec<Vec<usize>>,
    /// The first dimension, if all inputs share it.
    pub(crate) batch: Option<u32>,
    pub(crate) graph: &'a TypedModel,
    pub(crate) origins: &'a Origins,
}

/// What a plan file holds.
#[derive(Debug)]
pub(crate) struct PlanFile {
    pub(crate) signature: Signature,
    pub(crate) batches: Batches,
    pub(crate) graphs: Vec<(Vec<Vec<usize>>, TypedModel)>,
    /// Bytes of the constants, which the graphs read where they lie.
    pub(crate) constants: u64,
}

/// Writes graphs down, those for small batches first. One for a larger batch is left out where it
/// costs more than [`LARGER`]: such batches then run in smaller parts.
pub(crate) fn write(
    signature: &Signature,
    batches: Batches,
    graphs: &[ShapedGraph<'_>],
) -> Result<Bytes> {
    guarded(ErrorKind::Unsupported, "writing a plan", || {
        let (mut batches, mut plans) = (batches, Vec::with_capacity(graphs.len()));
        let mut constants = constants::Writer::default();
        for shaped in graphs {
            let before = constants.len();
            let graph = graph::write(shaped.graph, shaped.origins, &mut constants)?;
            let part = match batches {
                Batches::Parts(size) => shaped.batch.filter(|&batch| 1 < batch && batch <= size),
                Batches::Unknown | Batches::Whole => None,
            };
            if let Some(part) = part
                && before > 0
                && constants.len() > before + before / LARGER
            {
                constants.rewind(before);
                batches = Batches::Parts(part / 2);
                continue;
            }
            plans.push(PlanRecord {
                shapes: shaped.shapes.clone(),
                graph,
            });
        }
        let header = Header {
            engine: ENGINE.to_owned(),
            target: Target::host().to_string(),
            inputs: record::tensors(&signature.inputs),
            outputs: record::tensors(&signature.outputs),
            batches,
            plans,
        };
        layout::write(&header, &constants)
    })
}

/// The graph as a host reads it.
pub(crate) fn as_read(
    graph: &TypedModel,
    origins: &Origins,
    limits: &Limits,
) -> Result<TypedModel> {
    guarded(ErrorKind::Unsupported, "writing a plan", || {
        let mut constants = constants::Writer::default();
        let record = graph::write(graph, origins, &mut constants)?;
        graph::read(&record, &constants, limits)
    })
}

/// Reads a plan that this host can run.
pub(crate) fn read(file: &Bytes, limits: &Limits) -> Result<PlanFile> {
    guarded(ErrorKind::InvalidModel, "reading a plan", || {
        framework::settle();
        let (header, constants) = layout::read(file, limits)?;
        if header.engine != ENGINE {
            return Err(Error::unsupported(format!(
                "the plan was made by {}; this engine is {ENGINE}",
                header.engine
            ))
            .with_cure("compile it again, or load the ONNX file"));
        }
        let target: Target = header.target.parse()?;
        if !target.runs_here() {
            return Err(Error::unsupported(format!(
                "the plan is for {target}; this machine is {}",
                Target::host()
            ))
            .with_cure("compile it for this target, or load the ONNX file"));
        }
        let signature = Signature {
            inputs: record::metadata(&header.inputs)?,
            outputs: record::metadata(&header.outputs)?,
            shapeless: Vec::new(),
        };
        let reader = constants::Reader::new(constants);
        let graphs = header.plans.into_iter().map(|plan| {
            let graph = graph::read(&plan.graph, &reader, limits)?;
            Ok((plan.shapes, graph))
        });
        Ok(PlanFile {
            graphs: graphs.collect::<Result<_>>()?,
            signature,
            batches: header.batches,
            constants: reader.len(),
        })
    })
}
