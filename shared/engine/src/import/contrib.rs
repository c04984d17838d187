//! onnxruntime's own operators under names of their own: tract looks at the name alone, and takes
//! com.microsoft's Attention for ONNX's.

use tract_onnx::pb;

use super::subgraphs_mut;
use crate::framework;

/// Their domain, and what their names begin with in the engine.
const DOMAIN: &str = "com.microsoft";

pub(super) fn pass(graph: &mut pb::GraphProto) {
    for node in &mut graph.node {
        subgraphs_mut(node).for_each(pass);
        if node.domain != DOMAIN {
            continue;
        }
        let name = format!("{DOMAIN}.{}", node.op_type);
        if framework::has_operator(&name) {
            node.op_type = name;
            node.domain.clear();
        }
    }
}
