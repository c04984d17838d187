//! `dunlin push`: the publish road, told step by step.

use std::fmt::Write as _;

use dunlin_publishing::{Candidate, CompileOptions, ProveOptions};
use dunlin_registry::{Alias, Manifest, Registry, Version};
use serde::Serialize;

use crate::cli::PushArgs;
use crate::context::Context;
use crate::exit::Failure;
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
    let registry = context.registry().await?;
    let (path, name) = (arguments.path, arguments.name);
    let candidate = move || Candidate::read(&path, name.as_deref());
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

/// Reads, compiles, proves and publishes; gives the manifest, and notes on what was inferred.
pub(crate) async fn publish(
    registry: &Registry,
    output: Output,
    candidate: impl FnOnce() -> dunlin_publishing::Result<Candidate> + Send + 'static,
) -> Result<(Manifest, Vec<String>), Failure> {
    let task = Task::start(output, "checking and proving the model");
    let verified = tokio::task::spawn_blocking(move || {
        candidate()?
            .compile(&CompileOptions::default())?
            .prove(&ProveOptions::default())
    })
    .await
    .map_err(|error| Failure::failed(format!("the proof broke off: {error}")))??;
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
