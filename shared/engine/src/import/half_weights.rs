//! Weights of half precision that a `Cast` widens: widened here. tract leaves a large one to every run.

use std::collections::HashMap;

use half::f16;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::subgraphs_mut;
use crate::proto::attribute;

pub(super) fn pass(graph: &mut pb::GraphProto) {
    for node in &mut graph.node {
        subgraphs_mut(node).for_each(pass);
    }
    let is_half = |weight: &pb::TensorProto| weight.data_type == DataType::Float16 as i32;
    let weights = graph.initializer.iter().enumerate();
    let halves = weights.filter(|(_, weight)| is_half(weight));
    let halves: HashMap<String, usize> = halves
        .map(|(at, weight)| (weight.name.clone(), at))
        .collect();
    if halves.is_empty() {
        return;
    }
    let mut wide = Vec::new();
    graph.node.retain(|node| {
        let widens = node.op_type == "Cast"
            && attribute(node, "to").is_some_and(|to| to.i == DataType::Float as i64);
        let weight = node.input.first().and_then(|weight| halves.get(weight));
        let (Some(&at), [output], true) = (weight, &node.output[..], widens) else {
            return true;
        };
        if graph.output.iter().any(|declared| declared.name == *output) {
            return true;
        }
        wide.push(widened(&graph.initializer[at], output));
        false
    });
    graph.initializer.extend(wide);
}

/// The same numbers in single precision, by another name.
fn widened(weight: &pb::TensorProto, name: &str) -> pb::TensorProto {
    let wide = |half: f16| half.to_f32().to_le_bytes();
    let raw_data = if weight.raw_data.is_empty() {
        // Each in the lower half of an int32.
        let halves = weight
            .int32_data
            .iter()
            .map(|&bits| f16::from_bits(bits as u16));
        halves.flat_map(wide).collect()
    } else {
        let halves = weight.raw_data.chunks_exact(2);
        let halves = halves.map(|bits| f16::from_le_bytes([bits[0], bits[1]]));
        halves.flat_map(wide).collect()
    };
    pb::TensorProto {
        name: name.to_owned(),
        dims: weight.dims.clone(),
        data_type: DataType::Float as i32,
        raw_data,
        ..pb::TensorProto::default()
    }
}
