//! What exporters write and tract refuses, or computes wrongly, made right on the protobuf.
//!
//! One pass a file. A pass takes a whole model, knows nothing of the others, and leaves a graph
//! that means the same. To add one: a file here, a line in [`apply`], a case in `tests/data`.

mod bfloat16;
mod contrib;
mod functions;
mod half_weights;
mod names;
mod order;
mod reverse_rnn;
mod space_to_depth;
mod typed_data;

pub(crate) use names::{Names, integer, node};
pub(crate) use reverse_rnn::has_lengths;
use tract_onnx::pb;

use crate::Limits;
use crate::error::Result;
use crate::proto::opset;

/// Inlines functions and puts the nodes in the order of their evaluation; a cycle is an error.
/// The checks of [`crate::check::structure`] read all nodes in that order, so this comes before.
pub(crate) fn flatten(model: &mut pb::ModelProto, limits: &Limits) -> Result<()> {
    functions::pass(model, limits)?;
    model.graph.as_mut().map_or(Ok(()), order::sort)
}

/// Applies every other pass to a model that passed the checks.
pub(crate) fn apply(model: &mut pb::ModelProto) {
    let opset = opset(model).unwrap_or(0);
    let Some(graph) = model.graph.as_mut() else {
        return;
    };
    let mut names = names::Names::of(graph);
    contrib::pass(graph);
    bfloat16::pass(graph);
    half_weights::pass(graph);
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
