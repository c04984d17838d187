//! The second stage: the graph loaded, the transforms checked against it.

use std::time::{Duration, Instant};

use dunlin_engine::{LoadOptions, Model};
use dunlin_transforms::Pipeline;

use crate::{Candidate, Error, ErrorKind, Result};

/// How a candidate is compiled.
#[derive(Debug, Clone, Default)]
pub struct CompileOptions {
    /// How the engine loads the graph.
    pub load: LoadOptions,
    /// What a request may hold at most.
    pub limits: dunlin_transforms::Limits,
}

/// A candidate that the engine runs, with transforms that fit its graph.
///
/// The artifact is the portable ONNX file itself.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) candidate: Candidate,
    pub(crate) model: Model,
    pub(crate) pipeline: Pipeline,
    pub(crate) load_time: Duration,
}

impl Candidate {
    /// Loads the graph, and checks that the declared transforms fit it.
    pub fn compile(self, options: &CompileOptions) -> Result<Compiled> {
        let onnx = self.source.bytes()?;
        let started = Instant::now();
        let model = Model::load(self.name.as_str(), onnx, &options.load)?;
        let load_time = started.elapsed();
        let pipeline = Pipeline::new(
            &self.spec(),
            model.inputs(),
            model.outputs(),
            self.files.clone(),
            options.limits.clone(),
        )
        .map_err(|error| {
            let message = format!(
                "the transforms of {} don't fit its graph: {error}",
                self.name
            );
            Error::new(ErrorKind::Transforms(error.kind()), message).because(error)
        })?;
        Ok(Compiled {
            candidate: self,
            model,
            pipeline,
            load_time,
        })
    }
}

impl Compiled {
    /// What was read.
    pub fn candidate(&self) -> &Candidate {
        &self.candidate
    }

    /// The loaded graph.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The transforms.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }
}
