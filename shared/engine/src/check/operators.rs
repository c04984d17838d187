//! Operators: those the engine lacks, and those that tract would take and compute wrongly, or without end.

use tract_onnx::pb;

use crate::error::Error;
use crate::framework;
use crate::import::has_lengths;
use crate::proto::{attribute, graph, is_onnx, node_name, subgraphs, text};

/// Operators of onnxruntime's own domain that tract reads with onnxruntime's meaning.
const CONTRIB: [&str; 7] = [
    "BiasGelu",
    "FastGelu",
    "Gelu",
    "QuickGelu",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "MatMulNBits",
];

/// Why the engine can't run the model; empty where it can, as far as can be seen here.
pub(crate) fn problems(model: &pb::ModelProto) -> Vec<Error> {
    let mut search = Search { found: Vec::new() };
    search.graph(graph(model));
    search.found
}

struct Search {
    found: Vec<Error>,
}

impl Search {
    fn graph(&mut self, graph: &pb::GraphProto) {
        for node in &graph.node {
            if let Some(problem) = missing(node).or_else(|| wrong(node)) {
                self.found.push(problem.at(node_name(node), &node.op_type));
            }
            for inner in subgraphs(node) {
                self.graph(inner);
            }
        }
    }
}

/// An operator that the engine lacks.
fn missing(node: &pb::NodeProto) -> Option<Error> {
    let (domain, op) = (node.domain.as_str(), node.op_type.as_str());
    let known = framework::has_operator(op)
        && match domain {
            "com.microsoft" => CONTRIB.contains(&op),
            "ai.onnx.ml" | "ai.onnx.preview" | "ai.onnx.preview.training" => true,
            domain => is_onnx(domain),
        };
    if known {
        return None;
    }
    if is_onnx(domain) {
        return Some(
            Error::unsupported("the engine lacks this operator")
                .with_cure("export with another opset (13 to 18 are best covered), or replace it"),
        );
    }
    Some(
        Error::unsupported(format!(
            "the engine lacks this operator of domain \"{domain}\""
        ))
        .with_cure("export to standard ONNX operators (domain \"\"), unfused"),
    )
}

/// An operator that tract would take, and compute wrongly without a word, or without end.
fn wrong(node: &pb::NodeProto) -> Option<Error> {
    match node.op_type.as_str() {
        "LSTM" | "GRU" | "RNN" => recurrent(node),
        "Transpose" => transpose(node),
        _ => None,
    }
}

/// Where an axis stands twice, tract looks for the way from one order to the other without end.
fn transpose(node: &pb::NodeProto) -> Option<Error> {
    let mut axes = attribute(node, "perm")?.ints.clone();
    axes.sort_unstable();
    let each_once = axes.iter().copied().eq(0..axes.len() as i64);
    (!each_once).then(|| {
        Error::invalid_model("perm names not each axis once")
            .with_cure("export the model again: the file is damaged")
    })
}

/// The attributes of a recurrent node that tract ignores.
fn recurrent(node: &pb::NodeProto) -> Option<Error> {
    if text(node, "direction") == "reverse" && !has_lengths(node) {
        // The import stage has rewritten those it could.
        return Some(
            Error::unsupported("direction=reverse before opset 10")
                .with_cure("convert the model: onnx.version_converter.convert_version(model, 13)"),
        );
    }
    let standard: &[&str] = match node.op_type.as_str() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Tanh"],
    };
    let activations = attribute(node, "activations").map_or(&[][..], |found| &found.strings);
    let usual = activations
        .iter()
        .zip(standard.iter().cycle())
        .all(|(got, wanted)| got.eq_ignore_ascii_case(wanted.as_bytes()));
    if !usual {
        return Some(
            Error::unsupported("activations other than the operator's own")
                .with_cure("use the default activations, or unroll the recurrence"),
        );
    }
    let set = |name| attribute(node, name).is_some_and(|found| found.f != 0.0 || found.i != 0);
    ["clip", "input_forget"]
        .into_iter()
        .find(|name| set(name))
        .map(|name| {
            Error::unsupported(format!("the attribute {name}"))
                .with_cure("export the node without it")
        })
}
