//! LSTM, GRU and RNN with `direction=reverse`, which tract runs forward without a word.
//!
//! A reversed recurrence over `X` is the forward one over `X` turned round in time, its `Y` turned
//! back; the last states are the same. Where the items have lengths of their own, each is turned
//! round in its own: `ops/onnx/recurrent.rs` does that.

use tract_onnx::pb;

use super::names::{Names, constant, node};
use super::subgraphs_mut;
use crate::proto::{attribute, text};

/// The opset since when a Slice can step backwards.
const BACKWARD_SLICE: i64 = 10;

pub(super) fn pass(graph: &mut pb::GraphProto, opset: i64, names: &mut Names) {
    for node in &mut graph.node {
        subgraphs_mut(node).for_each(|inner| pass(inner, opset, names));
    }
    if opset < BACKWARD_SLICE || !graph.node.iter().any(is_reverse) {
        return;
    }
    let mut nodes = Vec::with_capacity(graph.node.len() + 2);
    for node in std::mem::take(&mut graph.node) {
        if is_reverse(&node) {
            turn(node, &mut nodes, &mut graph.initializer, names);
        } else {
            nodes.push(node);
        }
    }
    graph.node = nodes;
}

fn is_reverse(node: &pb::NodeProto) -> bool {
    matches!(node.op_type.as_str(), "LSTM" | "GRU" | "RNN")
        && text(node, "direction") == "reverse"
        && !has_lengths(node)
}

/// Writes the forward node between two that turn time round.
fn turn(
    mut rnn: pb::NodeProto,
    nodes: &mut Vec<pb::NodeProto>,
    constants: &mut Vec<pb::TensorProto>,
    names: &mut Names,
) {
    let batch_first = attribute(&rnn, "layout").is_some_and(|layout| layout.i == 1);
    let time = i64::from(batch_first);
    let base = rnn
        .output
        .iter()
        .find(|name| !name.is_empty())
        .cloned()
        .unwrap_or_default();
    let forward_x = names.fresh(&format!("{base}.reversed_x"));
    let forward_y = names.fresh(&format!("{base}.reversed_y"));
    let mut reversed = |from: &str, to: &str| {
        let mut inputs = vec![from.to_owned()];
        // starts, ends, axes, steps: from the last step to before the first.
        for (part, value) in [
            ("starts", -1),
            ("ends", i64::MIN),
            ("axes", time),
            ("steps", -1),
        ] {
            let name = names.fresh(&format!("{to}.{part}"));
            constants.push(constant(&name, &[value]));
            inputs.push(name);
        }
        node(
            "Slice",
            &inputs.iter().map(String::as_str).collect::<Vec<_>>(),
            to,
        )
    };
    rnn.attribute
        .retain(|attribute| attribute.name != "direction");
    if let Some(x) = rnn.input.first_mut() {
        nodes.push(reversed(x, &forward_x));
        x.clone_from(&forward_x);
    }
    let y = rnn.output.first_mut().filter(|y| !y.is_empty());
    let back = y.map(|y| {
        let back = reversed(&forward_y, y);
        y.clone_from(&forward_y);
        back
    });
    nodes.push(rnn);
    nodes.extend(back);
}

/// Whether a recurrent node is given `sequence_lens`.
pub(crate) fn has_lengths(node: &pb::NodeProto) -> bool {
    node.input.get(4).is_some_and(|name| !name.is_empty())
}
