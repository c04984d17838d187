//! `dunlin inspect`: what an ONNX file takes, gives, and is made of.

use std::fmt::Write as _;

use clap::Args;
use dunlin_engine::{Limits, Report};

use super::source;
use crate::context::Context;
use crate::exit::Failure;
use crate::output;

/// `dunlin inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// An .onnx file, or a model of the store
    #[arg(value_name = "MODEL")]
    model: String,
}

pub(crate) async fn inspect(arguments: InspectArgs, context: &Context) -> Result<(), Failure> {
    let (name, onnx) = source::onnx(&arguments.model, context).await?;
    let report = dunlin_engine::inspect(&name, &onnx, &Limits::default())?;
    context.output.answer(&report, || describe(&name, &report))
}

fn describe(name: &str, report: &Report) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<12} {}", output::printable(&value));
    };
    line("model", name.to_owned());
    line("size", output::bytes(report.size));
    line("parameters", report.parameters.to_string());
    line("producer", report.producer.clone());
    line(
        "format",
        format!("ONNX IR {}, opset {}", report.ir_version, report.opset),
    );
    for tensor in &report.inputs {
        line(
            "input",
            format!("{} {}", tensor.name, output::tensor(tensor)),
        );
    }
    for tensor in &report.outputs {
        line(
            "output",
            format!("{} {}", tensor.name, output::tensor(tensor)),
        );
    }
    let mut ops: Vec<_> = report.ops.iter().collect();
    ops.sort_by_key(|&(op, count)| (std::cmp::Reverse(*count), op));
    let ops: Vec<String> = ops
        .iter()
        .map(|(op, count)| format!("{op} {count}"))
        .collect();
    line("nodes", format!("{}: {}", report.nodes, ops.join(", ")));
    for (domain, version) in report
        .domains
        .iter()
        .filter(|(domain, _)| *domain != "ai.onnx")
    {
        line("operators", format!("{domain} {version}"));
    }
    for (key, value) in &report.metadata {
        line("note", format!("{key}: {value}"));
    }
    if report.problems.is_empty() {
        line(
            "runs here",
            "yes, as far as can be told without a run".to_owned(),
        );
    }
    for problem in &report.problems {
        line("runs here", format!("no: {problem}"));
    }
    text
}
