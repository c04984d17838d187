//! What exporters write and tract refuses, or computes wrongly, made right on the protobuf.
//!
//! One pass a file. A pass takes a whole model, knows nothing of the others, and leaves a graph
//! that means the same. To add one: a file here, a line in [`apply`], a case in `tests/data`.

mod names;
mod order;
mod reverse_rnn;
mod space_to_depth;
mod typed_data;

use tract_onnx::pb;

use crate::error::Result;
use crate::proto::opset;

/// Puts the nodes in the order of their evaluation; a cycle is an error.
/// The checks of [`crate::check::structure`] read that order, so this comes before them.
pub(crate) fn sort(model: &mut pb::ModelProto) -> Result<()> {
    model.graph.as_mut().map_or(Ok(()), order::sort)
}

/// Applies every other pass to a model that passed the checks.
pub(crate) fn apply(model: &mut pb::ModelProto) {
    let opset = opset(model).unwrap_or(0);
    let Some(graph) = model.graph.as_mut() else {
        return;
    };
    let mut names = names::Names::of(graph);
    typed_data::pass(graph);
    reverse_rnn::pass(graph, opset, &mut names);
    space_to_depth::pass(graph, &mut names);
}

/// The graphs in a node's attributes, to be changed.
fn subgraphs_mut(node: &mut pb::NodeProto) -> impl Iterator<Item = &mut pb::GraphProto> {
    node.attribute
        .iter_mut()
        .flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
}
