//! Which file of a version a host loads.

use dunlin_engine::{ENGINE, PLAN_FORMAT, Target};
use dunlin_registry::{Artifact, Manifest, Role};

use crate::{Error, ErrorKind};

/// The best plan that this host can run, or where none fits, the portable ONNX file.
pub fn runnable(manifest: &Manifest) -> Result<&Artifact, Error> {
    let fits = plans(manifest).filter_map(|artifact| {
        let target: Target = artifact.target.as_deref()?.parse().ok()?;
        let fits = artifact.engine.as_deref() == Some(ENGINE) && target.runs_here();
        fits.then_some((target.rank(), artifact))
    });
    let best = fits.max_by_key(|(rank, _)| *rank);
    best.map_or_else(|| onnx(manifest), |(_, artifact)| Ok(artifact))
}

/// The portable artifact.
pub(crate) fn onnx(manifest: &Manifest) -> Result<&Artifact, Error> {
    manifest.artifact(&Role::Model, "onnx").ok_or_else(|| {
        Error::new(
            ErrorKind::ModelUnusable,
            "its manifest names no artifact of format onnx",
        )
    })
}

/// Says in the log why the portable artifact is loaded where there are plans.
pub(crate) fn explain(manifest: &Manifest, loaded: &Artifact) {
    if loaded.format == PLAN_FORMAT || plans(manifest).next().is_none() {
        return;
    }
    let made = plans(manifest).map(|plan| {
        let of = |what: &Option<String>| what.clone().unwrap_or_default();
        format!("{} by {}", of(&plan.target), of(&plan.engine))
    });
    tracing::info!(
        model = %manifest.name, version = %manifest.version, host = %Target::host(),
        engine = ENGINE, plans = made.collect::<Vec<_>>().join("; "),
        "no plan fits this host: loading the ONNX file"
    );
}

fn plans(manifest: &Manifest) -> impl Iterator<Item = &Artifact> {
    let plan =
        |artifact: &&Artifact| artifact.role == Role::Model && artifact.format == PLAN_FORMAT;
    manifest.artifacts.iter().filter(plan)
}
