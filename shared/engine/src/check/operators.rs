//! Operators: those the engine lacks, and those that tract would take and compute wrongly.

use std::collections::HashSet;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use crate::error::Error;
use crate::framework;
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
    let functions = model
        .functions
        .iter()
        .map(|function| {
            (
                function.domain.as_deref().unwrap_or(""),
                function.name.as_deref().unwrap_or(""),
            )
        })
        .collect();
    let mut search = Search {
        functions,
        half: false,
        found: Vec::new(),
    };
    search.half = holds_half(graph(model));
    search.graph(graph(model));
    search.found
}

struct Search<'a> {
    functions: HashSet<(&'a str, &'a str)>,
    /// Whether a float16 tensor is anywhere in sight.
    half: bool,
    found: Vec<Error>,
}

impl Search<'_> {
    fn graph(&mut self, graph: &pb::GraphProto) {
        for node in &graph.node {
            if let Some(problem) = self.missing(node).or_else(|| self.wrong(node)) {
                self.found.push(problem.at(node_name(node), &node.op_type));
            }
            for inner in subgraphs(node) {
                self.graph(inner);
            }
        }
    }

    /// An operator that the engine lacks.
    fn missing(&self, node: &pb::NodeProto) -> Option<Error> {
        let (domain, op) = (node.domain.as_str(), node.op_type.as_str());
        if self.functions.contains(&(domain, op)) {
            return Some(
                Error::unsupported("the operator is a function of the model")
                    .with_cure("inline it: onnx.inliner.inline_local_functions(model)"),
            );
        }
        let known = framework::has_operator(op)
            && match domain {
                "com.microsoft" => CONTRIB.contains(&op),
                "ai.onnx.ml" => true,
                domain => is_onnx(domain),
            };
        if known {
            return None;
        }
        if is_onnx(domain) {
            return Some(
                Error::unsupported("the engine lacks this operator").with_cure(
                    "export with another opset (13 to 18 are best covered), or replace it",
                ),
            );
        }
        Some(
            Error::unsupported(format!(
                "the engine lacks this operator of domain \"{domain}\""
            ))
            .with_cure("export to standard ONNX operators (domain \"\"), unfused"),
        )
    }

    /// An operator that tract would take, and compute wrongly without a word.
    fn wrong(&self, node: &pb::NodeProto) -> Option<Error> {
        match node.op_type.as_str() {
            "LSTM" | "GRU" | "RNN" => recurrent(node),
            "Celu" if self.half => Some(
                Error::unsupported("Celu is wrong in float16")
                    .with_cure("keep this node in float32"),
            ),
            _ => None,
        }
    }
}

/// The attributes of a recurrent node that tract ignores.
fn recurrent(node: &pb::NodeProto) -> Option<Error> {
    if text(node, "direction") == "reverse" {
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

fn holds_half(graph: &pb::GraphProto) -> bool {
    let half = DataType::Float16 as i32;
    let declared = |value: &pb::ValueInfoProto| {
        let value = value
            .r#type
            .as_ref()
            .and_then(|declared| declared.value.as_ref());
        value.is_some_and(|pb::type_proto::Value::TensorType(tensor)| tensor.elem_type == half)
    };
    graph
        .initializer
        .iter()
        .any(|weight| weight.data_type == half)
        || graph
            .input
            .iter()
            .chain(&graph.output)
            .chain(&graph.value_info)
            .any(declared)
        || graph.node.iter().any(|node| {
            node.op_type == "Cast"
                && attribute(node, "to").is_some_and(|to| to.i == i64::from(half))
                || subgraphs(node).any(holds_half)
        })
}
