//! `dunlin push`: the publish road, told step by step.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dunlin_publishing::{Candidate, CompileOptions, ProveOptions, Verified};
use dunlin_registry::{Alias, Manifest, Registry, Version};
use serde::Serialize;

use crate::cli::PushArgs;
use crate::context::Context;
use crate::exit::Failure;
use crate::npz;
use crate::output::{self, Output};
use crate::progress::Task;

#[derive(Serialize)]
struct Pushed {
    model: String,
    version: Version,
    alias: Option<Alias>,
    /// What was inferred rather than declared.
    notes: Vec<String>,
    manifest: Manifest,
}

pub(crate) async fn push(arguments: PushArgs, context: &Context) -> Result<(), Failure> {
    // First of all the store: a long proof is for nothing when there is none.
    let mut registry = context.registry().await?;
    if let Some(key) = &arguments.sign_key {
        registry = registry.signing(Arc::new(key.signing_key()?));
    }
    let (path, name, examples) = (arguments.path, arguments.name, arguments.examples);
    let candidate = move || read(&path, name.as_deref(), &examples);
    let (manifest, notes) = publish(&registry, context.output, candidate).await?;
    if let Some(alias) = &arguments.alias {
        registry
            .set_alias(&manifest.name, alias, vec![(manifest.version, 1)])
            .await?;
    }
    let pushed = Pushed {
        model: manifest.name.to_string(),
        version: manifest.version,
        alias: arguments.alias,
        notes,
        manifest,
    };
    context.output.answer(&pushed, || pushed.describe())
}

/// Reads a candidate, with the arrays of these archives as examples.
pub(crate) fn read(
    path: &Path,
    name: Option<&str>,
    examples: &[PathBuf],
) -> Result<Candidate, Failure> {
    let mut candidate = Candidate::read(path, name)?;
    for example in examples {
        let inputs = npz::read(example)?;
        candidate.add_example(&example.display().to_string(), inputs)?;
    }
    Ok(candidate)
}

/// Reads, compiles and proves, on a thread that may block.
pub(crate) async fn prove(
    candidate: impl FnOnce() -> Result<Candidate, Failure> + Send + 'static,
) -> Result<Verified, Failure> {
    let proof = move || -> Result<Verified, Failure> {
        let compiled = candidate()?.compile(&CompileOptions::default())?;
        Ok(compiled.prove(&ProveOptions::default())?)
    };
    tokio::task::spawn_blocking(proof)
        .await
        .map_err(|error| Failure::failed(format!("the proof broke off: {error}")))?
}

/// Reads, compiles, proves and publishes; gives the manifest, and notes on what was inferred.
pub(crate) async fn publish(
    registry: &Registry,
    output: Output,
    candidate: impl FnOnce() -> Result<Candidate, Failure> + Send + 'static,
) -> Result<(Manifest, Vec<String>), Failure> {
    let task = Task::start(output, "checking and proving the model");
    let verified = prove(candidate).await?;
    task.done();
    let notes = verified.candidate().notes().to_vec();
    let what = format!("publishing {}", verified.candidate().name());
    let task = Task::bytes(output, what, verified.size());
    let published = verified.publish(registry, Some(task.callback())).await?;
    task.done();
    Ok((published.manifest, notes))
}

impl Pushed {
    fn describe(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", output::printable(note));
        }
        let _ = write!(text, "published {} version {}", self.model, self.version);
        if let Some(alias) = &self.alias {
            let _ = write!(text, ", now {alias}");
        }
        let _ = writeln!(
            text,
            "\n\nTry:\n  dunlin show {}\n  dunlin serve",
            self.model
        );
        text
    }
}
