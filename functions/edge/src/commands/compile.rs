//! `dunlin compile`: the publish road without its last step.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use dunlin_publishing::{Trial, Verified, Weighed};
use dunlin_registry::Measured;
use serde::Serialize;

use super::precision::{self, PrecisionArgs};
use super::push;
use crate::context::Context;
use crate::exit::Failure;
use crate::output;

/// `dunlin compile`
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// An .onnx file, or a directory with a model.toml
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Inputs to prove the model on and to compile it for, as `numpy.savez` writes them
    #[arg(long = "example", value_name = "FILE.npz")]
    examples: Vec<PathBuf>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Write the plan to this file; the graph at its precision where the name ends in .onnx
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Compiled {
    model: String,
    notes: Vec<String>,
    /// The ONNX file first, then the plan where there is one.
    artifacts: Vec<Artifact>,
    /// What the precision was chosen from, if it was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    precisions: Vec<Trial>,
    /// The file that the plan, or the graph, was written to.
    written: Option<String>,
}

#[derive(Serialize)]
struct Artifact {
    format: &'static str,
    engine: Option<&'static str>,
    target: Option<String>,
    size: u64,
    measured: Measured,
}

pub(crate) async fn compile(arguments: CompileArgs, context: &Context) -> Result<(), Failure> {
    let (path, examples) = (arguments.path, arguments.examples);
    let weigh = arguments.precision.options()?;
    let candidate = move || push::read(&path, None, &examples);
    let Weighed { verified, trials } = push::prove(context.output, candidate, weigh).await?;
    let mut compiled = Compiled::of(&verified, trials);
    if let Some(file) = &arguments.output {
        let is_onnx = file.extension().is_some_and(|ending| ending == "onnx");
        let bytes = match verified.plan() {
            _ if is_onnx => verified.candidate().onnx()?,
            Some(plan) => plan.bytes().clone(),
            None => {
                return Err(Failure::failed(format!(
                    "there is no plan to write: {}",
                    compiled.notes.join("; ")
                )));
            }
        };
        tokio::fs::write(file, bytes)
            .await
            .map_err(|error| Failure::file(file, &error))?;
        compiled.written = Some(file.display().to_string());
    }
    context.output.answer(&compiled, || compiled.describe())
}

impl Compiled {
    fn of(verified: &Verified, precisions: Vec<Trial>) -> Self {
        let candidate = verified.candidate();
        let mut artifacts = vec![Artifact {
            format: "onnx",
            engine: None,
            target: None,
            size: candidate.report().size,
            measured: verified.measured().clone(),
        }];
        artifacts.extend(verified.plan().map(|plan| Artifact {
            format: dunlin_engine::PLAN_FORMAT,
            engine: Some(plan.engine()),
            target: Some(plan.target().to_string()),
            size: plan.bytes().len() as u64,
            measured: plan.measured().clone(),
        }));
        Self {
            model: candidate.name().to_string(),
            notes: candidate.notes().to_vec(),
            artifacts,
            precisions,
            written: None,
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", output::printable(note));
        }
        text.push_str(&precision::table(&self.precisions));
        let _ = writeln!(
            text,
            "{:<14} {:<16} {:>10} {:>10} {:>10} {:>10} {:>12}",
            "format", "target", "size MB", "load ms", "run ms", "memory MB", "difference"
        );
        for artifact in &self.artifacts {
            let measured = &artifact.measured;
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let _ = writeln!(
                text,
                "{:<14} {:<16} {:>10.2} {:>10.2} {:>10.2} {:>10.1} {:>12.1e}",
                artifact.format,
                artifact.target.as_deref().unwrap_or("any"),
                megabytes(artifact.size),
                measured.load_ms.unwrap_or(f64::NAN),
                measured.latency_ms.unwrap_or(f64::NAN),
                measured.memory_bytes.map_or(f64::NAN, megabytes),
                measured.max_difference.unwrap_or(f64::NAN),
            );
        }
        if let Some(file) = &self.written {
            let _ = writeln!(text, "written to {file}");
        }
        text
    }
}
