//! Where a graph may be lowered in more than one way.

use dunlin_kernels::Isa;
use tract_onnx::prelude::{TypedModel, TypedNode};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;

use super::chain::only_reader;

/// What the passes ask.
pub(crate) struct Lowering<'a> {
    /// Whose vectors the blocks of a convolution are; none where the rule decides.
    pub(crate) blocks: Option<Isa>,
    /// Whether a node that an operator of ours could do is left to tract.
    pub(crate) leaves: &'a mut dyn FnMut(Kind, &TypedModel, &TypedNode) -> bool,
}

/// What a node is that an operator of ours can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A product or a convolution that lies between dense tensors in our way too: nothing else changes with it.
    Dense,
    /// A convolution on blocks: who does it decides in which form its neighbours' values are.
    Blocked,
}

/// A node, and those after it that tract may do together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// What does the work is named after one of these nodes, the first of which is the node itself.
    pub(crate) names: Vec<String>,
    /// Nodes with equal work take the same time.
    pub(crate) work: String,
}

/// Nodes of a stretch, at most.
const LONGEST: usize = 6;

impl Stretch {
    pub(crate) fn from(model: &TypedModel, node: &TypedNode) -> Self {
        let inputs = node.inputs.iter().take(2);
        let facts = inputs.filter_map(|&input| model.outlet_fact(input).ok());
        let facts = facts.map(|fact| format!("{:?} {:?}", fact.datum_type, fact.shape));
        let facts: Vec<_> = facts.collect();
        let mut names = vec![node.name.clone()];
        let mut at = node;
        while names.len() < LONGEST
            && let Some(reader) = only_reader(model, at.id.into())
            && (reader.op_is::<TypedBinOp>()
                || reader.op_is::<ElementWiseOp>()
                || reader.op_is::<AxisOp>()
                || reader.op_is::<Cast>())
        {
            names.push(reader.name.clone());
            at = reader;
        }
        Self {
            names,
            work: format!("{} {}", node.op().name(), facts.join(" × ")),
        }
    }
}
