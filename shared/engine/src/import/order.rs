//! Nodes in the order of their evaluation.
//!
//! ONNX asks for it and onnxruntime forgives its lack; tract takes a node that reads a later one
//! for a node that reads an unknown input.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use tract_onnx::pb;

use super::subgraphs_mut;
use crate::error::{Error, Result};
use crate::proto::{node_name, subgraphs};

pub(super) fn sort(graph: &mut pb::GraphProto) -> Result<()> {
    graph
        .node
        .iter_mut()
        .flat_map(subgraphs_mut)
        .try_for_each(sort)?;
    let order = order(graph)?;
    if order.is_sorted() {
        return Ok(());
    }
    let mut nodes: Vec<_> = std::mem::take(&mut graph.node)
        .into_iter()
        .map(Some)
        .collect();
    graph.node = order
        .into_iter()
        .filter_map(|index| nodes[index].take())
        .collect();
    Ok(())
}

/// The earliest order in which each node comes after those it reads.
fn order(graph: &pb::GraphProto) -> Result<Vec<usize>> {
    let nodes = &graph.node;
    let mut giver = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            giver.entry(name.as_str()).or_insert(index);
        }
    }
    let mut readers = vec![Vec::new(); nodes.len()];
    let mut waits = vec![0_usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let mut reads: HashSet<usize> = HashSet::new();
        read(node, &mut |name| reads.extend(giver.get(name)));
        for from in reads {
            readers[from].push(index);
            waits[index] += 1;
        }
    }
    let ready = (0..nodes.len())
        .filter(|&index| waits[index] == 0)
        .map(Reverse);
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if let Some(stuck) = waits.iter().position(|&waits| waits > 0) {
        let node = &nodes[stuck];
        return Err(
            Error::invalid_model("the graph has a cycle through this node or before it")
                .at(node_name(node), &node.op_type),
        );
    }
    Ok(order)
}

/// Tells every name that a node reads, those its subgraphs take from around them included.
fn read<'a>(node: &'a pb::NodeProto, tell: &mut impl FnMut(&'a str)) {
    node.input.iter().for_each(|name| tell(name));
    for inner in subgraphs(node) {
        captured(inner).into_iter().for_each(&mut *tell);
    }
}

/// The names that a graph reads and does not give itself.
fn captured(graph: &pb::GraphProto) -> HashSet<&str> {
    let mut names: HashSet<&str> = graph
        .output
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    for node in &graph.node {
        names.extend(node.input.iter().map(String::as_str));
        names.extend(subgraphs(node).flat_map(captured));
    }
    let given = graph.node.iter().flat_map(|node| &node.output);
    let given = given.chain(graph.input.iter().map(|input| &input.name));
    for name in given.chain(graph.initializer.iter().map(|weight| &weight.name)) {
        names.remove(name.as_str());
    }
    names
}
