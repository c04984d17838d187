//! What a model file says of itself, without running it.

use std::collections::BTreeMap;

use dunlin_protocol::TensorMetadata;
use serde::Serialize;

/// What [`crate::inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The graph's own name.
    pub graph: String,
    /// What a run takes.
    pub inputs: Vec<TensorMetadata>,
    /// What a run gives; a dynamic dimension is -1.
    pub outputs: Vec<TensorMetadata>,
    /// Nodes of each operator, subgraphs included; `domain::Op` outside ONNX's own domain.
    pub ops: BTreeMap<String, usize>,
    /// Nodes, subgraphs included.
    pub nodes: usize,
    /// Elements of all initializers: the weights.
    pub parameters: u64,
    /// The version of ONNX's own operator set.
    pub opset: i64,
    /// The version of the file format.
    pub ir_version: i64,
    /// The exporter: name and version.
    pub producer: String,
    /// Operator sets the model imports, by domain (`ai.onnx` is ONNX's own).
    pub domains: BTreeMap<String, i64>,
    /// The exporter's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Bytes of the file.
    pub size: u64,
    /// Why the engine can't run this model, where it can't: one line a reason.
    pub problems: Vec<String>,
}
