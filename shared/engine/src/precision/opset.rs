//! Older graphs under the first operator set that has quantization, where their operators mean the same there.

use super::edit::{Edit, float_or};
use crate::proto::{attribute, is_onnx, subgraphs};

/// The first operator set that has `DynamicQuantizeLinear`.
pub(super) const QUANTIZATION: i64 = 11;

/// The oldest one that is raised: `BatchNormalization` as it is now.
const OLDEST: i64 = 9;

/// Operators that mean the same from [`OLDEST`] to [`QUANTIZATION`], by the change log of ONNX's operators. `Clip` is
/// rewritten.
#[rustfmt::skip] // One a line would be a page.
const SAME: [&str; 65] = [
    "Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp",
    "Expand", "Flatten", "Floor", "Gather", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "HardSigmoid",
    "Identity", "InstanceNormalization", "LRN", "LeakyRelu", "Less", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool",
    "Min", "Mul", "Neg", "Not", "PRelu", "Pow", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "Relu", "Reshape", "Shape", "Sigmoid", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sum", "Tanh", "Tile",
    "Transpose", "Unsqueeze", "Where",
];

/// Whether the graph is now under an operator set that has quantization.
pub(super) fn raise(edit: &mut Edit) -> bool {
    let opset = edit.opset();
    if opset >= QUANTIZATION {
        return true;
    }
    let same = edit.graph.node.iter().all(|node| {
        let known = is_onnx(&node.domain) && SAME.contains(&node.op_type.as_str());
        known && subgraphs(node).next().is_none()
    });
    if opset < OLDEST || !same {
        return false;
    }
    edit.set_opset(QUANTIZATION);
    // Its bounds became inputs.
    edit.rewrite(|edit, mut node, nodes| {
        if node.op_type == "Clip" {
            for (bound, open) in [("min", f32::MIN), ("max", f32::MAX)] {
                let number = float_or(&node, bound, open);
                let given = attribute(&node, bound).is_some();
                let name =
                    given.then(|| edit.add_f32(&format!("{}.{bound}", node.name), &[], &[number]));
                node.input.push(name.unwrap_or_default());
            }
            node.attribute.clear();
        }
        nodes.push(node);
    });
    true
}
