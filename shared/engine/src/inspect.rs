//! A report on a model file.

use std::collections::BTreeMap;

use bytes::Bytes;
use tract_onnx::pb;

use crate::error::Result;
use crate::proto::{graph, is_onnx, opset, subgraphs};
use crate::source::Decoded;
use crate::{Limits, Report};

/// What a model file says of itself, and whether the engine has what it needs; nothing is run.
///
/// Fails where the file is unsound or passes a limit; a sound model that the engine can't run is
/// told by [`Report::problems`].
pub fn inspect(name: &str, onnx: &Bytes, limits: &Limits) -> Result<Report> {
    report(onnx, limits).map_err(|error| error.in_model(name))
}

fn report(onnx: &Bytes, limits: &Limits) -> Result<Report> {
    let decoded = Decoded::new(onnx, limits)?;
    let proto = &decoded.proto;
    let graph = graph(proto);
    let mut count = Count::default();
    count.graph(graph);
    let domain = |domain: &str| {
        if is_onnx(domain) {
            "ai.onnx".into()
        } else {
            domain.to_owned()
        }
    };
    let sets = &proto.opset_import;
    let mut report = Report {
        graph: graph.name.clone(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        nodes: count.ops.values().sum(),
        ops: count.ops,
        parameters: count.parameters,
        opset: opset(proto).unwrap_or(0),
        ir_version: proto.ir_version,
        producer: format!("{} {}", proto.producer_name, proto.producer_version)
            .trim()
            .to_owned(),
        domains: sets
            .iter()
            .map(|set| (domain(&set.domain), set.version))
            .collect(),
        metadata: proto
            .metadata_props
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect(),
        size: onnx.len() as u64,
        problems: Vec::new(),
    };
    let checked = decoded.check(limits)?;
    report.problems = checked.problems.iter().map(ToString::to_string).collect();
    report.inputs = checked.signature.inputs;
    report.outputs = checked.signature.outputs;
    Ok(report)
}

#[derive(Default)]
struct Count {
    ops: BTreeMap<String, usize>,
    parameters: u64,
}

impl Count {
    fn graph(&mut self, graph: &pb::GraphProto) {
        for weight in &graph.initializer {
            let dims = weight
                .dims
                .iter()
                .map(|&dim| u64::try_from(dim).unwrap_or(0));
            let elements = dims.fold(1_u64, u64::saturating_mul);
            self.parameters = self.parameters.saturating_add(elements);
        }
        for node in &graph.node {
            let op = if is_onnx(&node.domain) {
                node.op_type.clone()
            } else {
                format!("{}::{}", node.domain, node.op_type)
            };
            *self.ops.entry(op).or_default() += 1;
            subgraphs(node).for_each(|inner| self.graph(inner));
        }
    }
}
