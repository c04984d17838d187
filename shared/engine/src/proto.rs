//! From bytes to the protobuf message of a model.

use bytes::Bytes;
use prost::Message;
use tract_onnx::pb;

use crate::error::{Error, Result};
use crate::{Limits, wire};

/// Decodes a model file. What comes back is sound protobuf within the limits, nothing more.
pub(crate) fn decode(onnx: &Bytes, limits: &Limits) -> Result<pb::ModelProto> {
    if onnx.is_empty() {
        return Err(Error::invalid_model("the file is empty"));
    }
    if onnx.len() > limits.model_bytes {
        let (len, limit) = (onnx.len(), limits.model_bytes);
        return Err(Error::too_large(format!(
            "{len} bytes; the limit is {limit}"
        )));
    }
    wire::walk(onnx, limits)?;
    // Of a slice, prost copies each tensor twice.
    let model = pb::ModelProto::decode(onnx.clone())
        .map_err(|error| Error::invalid_model("no ONNX file").caused_by(error))?;
    if model.graph.is_none() {
        return Err(Error::invalid_model("no ONNX file: it holds no graph"));
    }
    Ok(model)
}

/// The graph of a decoded model.
pub(crate) fn graph(model: &pb::ModelProto) -> &pb::GraphProto {
    model
        .graph
        .as_ref()
        .expect("`decode` refuses a model without a graph")
}

/// Every graph below this one: those in the attributes of its nodes.
pub(crate) fn subgraphs(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute
        .iter()
        .flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// A node's attribute.
pub(crate) fn attribute<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a pb::AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

/// A node's string attribute, empty where it is missing or no text.
pub(crate) fn text<'a>(node: &'a pb::NodeProto, name: &str) -> &'a str {
    attribute(node, name)
        .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
        .unwrap_or("")
}

/// Whether `domain` is ONNX's own.
pub(crate) fn is_onnx(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The version of ONNX's own operator set that the model imports.
pub(crate) fn opset(model: &pb::ModelProto) -> Option<i64> {
    model
        .opset_import
        .iter()
        .find(|set| is_onnx(&set.domain))
        .map(|set| set.version)
}

/// What a message calls a node: its name, or its first output's.
pub(crate) fn node_name(node: &pb::NodeProto) -> &str {
    if node.name.is_empty() {
        node.output.first().map_or("", String::as_str)
    } else {
        &node.name
    }
}
