//! bfloat16 held as float32, which has every value of it: tract has no bfloat16.
//!
//! So such a model is computed more precisely than its file asks. What enters is widened and what
//! leaves is rounded at the border ([`crate::tensor`]), where the signature still says BF16.

use std::mem::take;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;

use super::subgraphs_mut;

const BFLOAT16: i32 = DataType::Bfloat16 as i32;
const FLOAT: i32 = DataType::Float as i32;

/// Attributes that hold a datatype.
const DATATYPES: [&str; 4] = ["to", "dtype", "output_dtype", "softmax_precision"];

pub(super) fn pass(graph: &mut pb::GraphProto) {
    graph.initializer.iter_mut().for_each(widen);
    let declared = graph.input.iter_mut().chain(&mut graph.output);
    declared.chain(&mut graph.value_info).for_each(declare);
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
            tensors.for_each(widen);
            if attribute.i == i64::from(BFLOAT16) && DATATYPES.contains(&attribute.name.as_str()) {
                attribute.i = i64::from(FLOAT);
            }
        }
        subgraphs_mut(node).for_each(pass);
    }
}

/// A bfloat16 is the upper half of the float32 that it equals.
fn widen(tensor: &mut pb::TensorProto) {
    if tensor.data_type != BFLOAT16 {
        return;
    }
    tensor.data_type = FLOAT;
    let raw = take(&mut tensor.raw_data);
    let typed = take(&mut tensor.int32_data);
    tensor.raw_data = if raw.is_empty() {
        let widened = typed.iter().flat_map(|&bits| (bits << 16).to_le_bytes());
        widened.collect()
    } else {
        let pairs = raw.chunks_exact(2);
        pairs.flat_map(|bits| [0, 0, bits[0], bits[1]]).collect()
    };
}

fn declare(value: &mut pb::ValueInfoProto) {
    let declared = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(Value::TensorType(tensor)) = declared
        && tensor.elem_type == BFLOAT16
    {
        tensor.elem_type = FLOAT;
    }
}
