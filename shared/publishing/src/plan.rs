//! The plan of a model: written down, loaded as a host loads it, and held against the graph that
//! it came from.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_engine::{ENGINE, LoadOptions, Model, Target};
use dunlin_protocol::{NamedTensor, Tensor, TensorMetadata};
use dunlin_registry::Measured;
use dunlin_registry::examples::{ExamplePack, Failure};

use crate::ask::{inputs, latency, run};
use crate::prove::milliseconds;
use crate::{Compiled, Error, ErrorKind, ProveOptions, Result, seeded};

/// Items of the batch on which the way to run batches is found out.
const BATCH: u64 = 8;

/// A batch is not tried where its single items take longer together.
const BATCH_MS: f64 = 2_000.0;

/// A plan that gave the answers of the graph it came from.
#[derive(Debug, Clone)]
pub struct ProvenPlan {
    bytes: Bytes,
    target: Target,
    pub(crate) measured: Measured,
}

/// What came of writing a plan.
pub(crate) enum Written {
    Plan(Box<ProvenPlan>),
    /// The reason why there is none, as a note.
    Not(String),
}

impl ProvenPlan {
    /// The file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The class of processors that it is for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// The engine that it is for.
    pub fn engine(&self) -> &'static str {
        ENGINE
    }

    /// Latency, load time, memory, and the largest difference from the graph's answers.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }
}

impl Compiled {
    /// Writes the plan for the shapes of these examples, which the graph has answered, and proves
    /// it on them.
    pub(crate) fn plan(&self, pack: &ExamplePack, options: &ProveOptions) -> Result<Written> {
        if !options.measure.is_zero() {
            self.try_batches(pack)?;
            self.tune(pack, options.measure)?;
        }
        let bytes = match self.model.compile() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == dunlin_engine::ErrorKind::Unsupported => {
                return Ok(Written::Not(format!(
                    "no plan, so hosts load the ONNX file: {error}"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let started = Instant::now();
        let name = self.candidate.name.as_str();
        let planned = Model::load_plan(name, &bytes, None, &LoadOptions::default())?;
        let load = started.elapsed();
        let replay = pack.replay(None, |example| run(&planned, &self.pipeline, example));
        let replay = replay.map_err(|failed| {
            let why = |failure: Failure| Failure {
                why: format!("the plan differs from the graph: {}", failure.why),
                ..failure
            };
            let failures = failed.failures.into_iter().map(why).collect();
            Error::unproven(name, failures, failed.replayed)
        })?;
        let latency = latency(&planned, &self.pipeline, &pack.examples, options.measure)?;
        Ok(Written::Plan(Box::new(ProvenPlan {
            bytes,
            target: Target::host(),
            measured: Measured {
                latency_ms: latency.map(milliseconds),
                load_ms: Some(milliseconds(load)),
                memory_bytes: Some(planned.memory_bytes()),
                max_difference: Some(replay.max_difference),
                ..Measured::default()
            },
        })))
    }

    /// Lets the engine find out which kernels are the fastest on this machine, for each shape among the examples.
    fn tune(&self, pack: &ExamplePack, time: Duration) -> Result<()> {
        let mut known: Vec<Vec<Vec<usize>>> = Vec::new();
        let mut examples = Vec::new();
        for example in &pack.examples {
            let inputs = inputs(&self.pipeline, example).map_err(|error| {
                Error::new(ErrorKind::Unproven, format!("{}: {error}", example.name)).because(error)
            })?;
            let shapes = inputs.iter().map(|input| input.tensor.shape().to_vec());
            let shapes = shapes.collect();
            if !known.contains(&shapes) {
                examples.push(inputs);
                known.push(shapes);
            }
        }
        self.model
            .tune(self.candidate.source.held(), examples, time)?;
        Ok(())
    }

    /// Runs a batch of seeded items as large as the first example's, so that the engine finds out
    /// how batches run fastest and the plan tells it.
    fn try_batches(&self, pack: &ExamplePack) -> Result<()> {
        let batched = |tensor: &TensorMetadata| tensor.shape.first() == Some(&-1);
        let Some(example) = pack.examples.first() else {
            return Ok(());
        };
        if !self.model.inputs().iter().all(batched) {
            return Ok(());
        }
        let started = Instant::now();
        let first = inputs(&self.pipeline, example).and_then(|inputs| {
            self.model.run(inputs.clone())?;
            Ok(inputs)
        });
        let first = first.map_err(|error| {
            Error::new(ErrorKind::Unproven, format!("{}: {error}", example.name)).because(error)
        })?;
        if started.elapsed().as_secs_f64() * 1e3 * BATCH as f64 > BATCH_MS {
            return Ok(());
        }
        let one = first.iter().map(|input| {
            let shape = input.tensor.shape().iter().map(|&size| size as i64);
            TensorMetadata {
                name: input.name.clone(),
                datatype: input.tensor.datatype(),
                shape: std::iter::once(1).chain(shape.skip(1)).collect(),
            }
        });
        let one: Vec<TensorMetadata> = one.collect();
        let items = (0..BATCH).map(|seed| seeded::inputs(&one, 1, seed));
        let items = items.collect::<Result<Vec<_>>>()?;
        if let Some(batch) = join(&items) {
            // Only how fast it is matters here; what a batch answers is the engine's own concern.
            let _ = self.model.run(batch);
        }
        Ok(())
    }
}

/// One batch of several items; none where an input has no numbers of one size.
fn join(items: &[Vec<NamedTensor>]) -> Option<Vec<NamedTensor>> {
    let first = items.first()?.iter().enumerate();
    let joined = first.map(|(at, input)| {
        input.tensor.datatype().size()?;
        let mut shape = input.tensor.shape().to_vec();
        *shape.first_mut()? = items.len();
        let parts: Vec<&[u8]> = items
            .iter()
            .map(|item| &item[at].tensor.data()[..])
            .collect();
        let tensor = Tensor::new(input.tensor.datatype(), shape, parts.concat().into()).ok()?;
        Some(NamedTensor::new(&input.name, tensor))
    });
    joined.collect()
}
