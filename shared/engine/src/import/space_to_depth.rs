//! `SpaceToDepth` in CRD mode, which tract runs as DCR without a word.
//!
//! With one channel both modes are the same. So the channels join the batch, `[N, C, H, W]` →
//! `[N·C, 1, H, W]`, and part from it afterwards.

use tract_onnx::pb;

use super::names::{Names, constant, integer, node};
use super::subgraphs_mut;
use crate::proto::{attribute, text};

pub(super) fn pass(graph: &mut pb::GraphProto, names: &mut Names) {
    for node in &mut graph.node {
        subgraphs_mut(node).for_each(|inner| pass(inner, names));
    }
    if !graph.node.iter().any(is_crd) {
        return;
    }
    let mut nodes = Vec::with_capacity(graph.node.len() + 5);
    for node in std::mem::take(&mut graph.node) {
        if is_crd(&node) {
            split(&node, &mut nodes, &mut graph.initializer, names);
        } else {
            nodes.push(node);
        }
    }
    graph.node = nodes;
}

fn is_crd(node: &pb::NodeProto) -> bool {
    node.op_type == "SpaceToDepth" && text(node, "mode") == "CRD"
}

fn split(
    old: &pb::NodeProto,
    nodes: &mut Vec<pb::NodeProto>,
    constants: &mut Vec<pb::TensorProto>,
    names: &mut Names,
) {
    let (Some(x), Some(y)) = (old.input.first(), old.output.first()) else {
        return;
    };
    let mut name = |part: &str| names.fresh(&format!("{y}.{part}"));
    let (planes, spread, shape, batch, target) = (
        name("planes"),
        name("spread"),
        name("shape"),
        name("batch"),
        name("target"),
    );
    let (to_planes, first, rest) = (name("to_planes"), name("first"), name("rest"));
    // In a Reshape, 0 keeps a dimension and -1 takes what is left.
    constants.push(constant(&to_planes, &[-1, 1, 0, 0]));
    constants.push(constant(&first, &[0]));
    constants.push(constant(&rest, &[-1, 0, 0]));
    let blocksize = attribute(old, "blocksize").map_or(1, |size| size.i);
    let mut blocks = node("SpaceToDepth", &[&planes], &spread);
    blocks.attribute.push(integer("blocksize", blocksize));
    let mut joined = node("Concat", &[&batch, &rest], &target);
    joined.attribute.push(integer("axis", 0));
    let mut gather = node("Gather", &[&shape, &first], &batch);
    gather.attribute.push(integer("axis", 0));
    nodes.extend([
        node("Reshape", &[x, &to_planes], &planes),
        blocks,
        node("Shape", &[x], &shape),
        gather,
        joined,
        node("Reshape", &[&spread, &target], y),
    ]);
}
