//! uint32 and uint64 weights in `uint64_data`, where ONNX puts them: tract looks elsewhere.

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::subgraphs_mut;

pub(super) fn pass(graph: &mut pb::GraphProto) {
    graph.initializer.iter_mut().for_each(raw);
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            attribute
                .t
                .iter_mut()
                .chain(&mut attribute.tensors)
                .for_each(raw);
        }
        subgraphs_mut(node).for_each(pass);
    }
}

fn raw(tensor: &mut pb::TensorProto) {
    let values = std::mem::take(&mut tensor.uint64_data);
    if tensor.data_type == DataType::Uint32 as i32 {
        tensor.raw_data.extend(
            values
                .iter()
                .flat_map(|&value| (value as u32).to_le_bytes()),
        );
    } else if tensor.data_type == DataType::Uint64 as i32 {
        tensor
            .raw_data
            .extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}
