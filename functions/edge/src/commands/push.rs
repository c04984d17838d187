//! `dunlin push`: the publish road, told step by step.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use dunlin_publishing::{Candidate, Precision, Trial, WeighOptions, Weighed};
use dunlin_registry::{Alias, Manifest, PemSource, Registry, Version};
use serde::Serialize;

use super::precision::{self, PrecisionArgs};
use crate::context::Context;
use crate::exit::Failure;
use crate::npz;
use crate::output::{self, Output};
use crate::progress::Task;

/// `dunlin push`
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// An .onnx file, or a directory with a model.toml
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The model's name [default: from the model.toml, else from the file]
    #[arg(long)]
    name: Option<String>,
    /// Inputs to prove the model on and to compile it for, as `numpy.savez` writes them
    #[arg(long = "example", value_name = "FILE.npz")]
    examples: Vec<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Point this alias to the new version
    #[arg(long, value_name = "ALIAS")]
    alias: Option<Alias>,
    /// Sign the version with this secret key: a PEM file, or its text
    #[arg(
        long,
        value_name = "KEY",
        env = "DUNLIN_SIGN_KEY",
        hide_env_values = true
    )]
    sign_key: Option<PemSource>,
}

#[derive(Serialize)]
struct Pushed {
    model: String,
    version: Version,
    alias: Option<Alias>,
    /// What was inferred rather than declared.
    notes: Vec<String>,
    /// What the precision was chosen from, if it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    precisions: Vec<Trial>,
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
    let weigh = arguments.precision.options()?;
    let (manifest, notes, trials) = publish(&registry, context.output, candidate, weigh).await?;
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
        precisions: trials,
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

/// Reads, compiles and proves at the precision that is asked for, on a thread that may block.
pub(crate) async fn prove(
    output: Output,
    candidate: impl FnOnce() -> Result<Candidate, Failure> + Send + 'static,
    options: WeighOptions,
) -> Result<Weighed, Failure> {
    let proof = move || -> Result<Weighed, Failure> {
        let task = RefCell::new(None::<Task>);
        let begin = |precision| {
            let what = match precision {
                Precision::Source => "compiling and proving the model".to_owned(),
                other => format!("compiling and proving the model at {other}"),
            };
            let before = task.replace(Some(Task::start(output, what)));
            if let Some(before) = before {
                before.done();
            }
        };
        let weighed = candidate()?.weigh(&options, begin)?;
        if let Some(last) = task.take() {
            last.done();
        }
        Ok(weighed)
    };
    tokio::task::spawn_blocking(proof)
        .await
        .map_err(|error| Failure::failed(format!("the proof broke off: {error}")))?
}

/// Reads, compiles, proves and publishes; gives the manifest, notes on what was inferred, and what the precision was
/// chosen from.
pub(crate) async fn publish(
    registry: &Registry,
    output: Output,
    candidate: impl FnOnce() -> Result<Candidate, Failure> + Send + 'static,
    options: WeighOptions,
) -> Result<(Manifest, Vec<String>, Vec<Trial>), Failure> {
    let Weighed { verified, trials } = prove(output, candidate, options).await?;
    let notes = verified.candidate().notes().to_vec();
    let what = format!("publishing {}", verified.candidate().name());
    let task = Task::bytes(output, what, verified.size());
    let published = verified.publish(registry, Some(task.callback())).await?;
    task.done();
    Ok((published.manifest, notes, trials))
}

impl Pushed {
    fn describe(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", output::printable(note));
        }
        text.push_str(&precision::table(&self.precisions));
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
