//! Which files of a version a host loads.

use dunlin_engine::{ENGINE, PLAN_FORMAT, Target};
use dunlin_registry::examples::FORMAT;
use dunlin_registry::{Artifact, Manifest, Role};

use crate::{Error, ErrorKind};

/// What a load fetches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    pub(crate) graph: &'a Artifact,
    pub(crate) labels: Option<&'a Artifact>,
    pub(crate) tokenizer: Option<&'a Artifact>,
    pub(crate) examples: Option<&'a Artifact>,
}

impl<'a> Files<'a> {
    /// Those that this host chooses of a version's artifacts.
    pub(crate) fn of(artifacts: &'a [Artifact]) -> Result<Self, Error> {
        Ok(Self {
            graph: runnable(artifacts)?,
            labels: find(artifacts, &Role::Labels, "text"),
            tokenizer: find(artifacts, &Role::Tokenizer, "json"),
            examples: find(artifacts, &Role::Examples, FORMAT),
        })
    }

    pub(crate) fn each(self) -> impl Iterator<Item = &'a Artifact> {
        let others = [self.labels, self.tokenizer, self.examples];
        others.into_iter().flatten().chain([self.graph])
    }
}

/// The best plan that this host can run, or where none fits, the portable ONNX file.
pub fn runnable(artifacts: &[Artifact]) -> Result<&Artifact, Error> {
    let fits = plans(artifacts).filter_map(|artifact| {
        let target: Target = artifact.target.as_deref()?.parse().ok()?;
        let fits = artifact.engine.as_deref() == Some(ENGINE) && target.runs_here();
        fits.then_some((target.rank(), artifact))
    });
    let best = fits.max_by_key(|(rank, _)| *rank);
    best.map_or_else(|| onnx(artifacts), |(_, artifact)| Ok(artifact))
}

/// The portable artifact.
pub(crate) fn onnx(artifacts: &[Artifact]) -> Result<&Artifact, Error> {
    find(artifacts, &Role::Model, "onnx").ok_or_else(|| {
        Error::new(
            ErrorKind::ModelUnusable,
            "its manifest names no artifact of format onnx",
        )
    })
}

/// Says in the log why the portable artifact is loaded where there are plans.
pub(crate) fn explain(manifest: &Manifest, loaded: &Artifact) {
    if loaded.format == PLAN_FORMAT || plans(&manifest.artifacts).next().is_none() {
        return;
    }
    let made = plans(&manifest.artifacts).map(|plan| {
        let of = |what: &Option<String>| what.clone().unwrap_or_default();
        format!("{} by {}", of(&plan.target), of(&plan.engine))
    });
    tracing::info!(
        model = %manifest.name, version = %manifest.version, host = %Target::host(),
        engine = ENGINE, plans = made.collect::<Vec<_>>().join("; "),
        "no plan fits this host: loading the ONNX file"
    );
}

fn plans(artifacts: &[Artifact]) -> impl Iterator<Item = &Artifact> {
    let plan =
        |artifact: &&Artifact| artifact.role == Role::Model && artifact.format == PLAN_FORMAT;
    artifacts.iter().filter(plan)
}

/// The first of this role and format.
fn find<'a>(artifacts: &'a [Artifact], role: &Role, format: &str) -> Option<&'a Artifact> {
    let is = |artifact: &&Artifact| artifact.role == *role && artifact.format == format;
    artifacts.iter().find(is)
}
