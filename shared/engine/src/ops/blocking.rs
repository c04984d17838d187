//! The pass: convolutions become ours, and their tensors stay blocked as far as our operators reach.
//!
//! The graph is translated node by node, in the order of evaluation. A value has a dense form, a blocked form, or both;
//! a form that is wanted and not there is made once. So layouts change only where a reader needs another one. A value
//! that was quantized may have a form in blocked bytes too, which convolutions with quantized weights read.

mod bytes;
mod convolutions;
mod elements;
mod shuffle;

use std::collections::{HashMap, HashSet};

use dunlin_kernels::{Isa, Steps};
use tract_onnx::prelude::{OutletId, Tensor, TractResult, TypedModel, TypedNode};
use tract_onnx::tract_core::model::{InletId, SpecialOps};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::optim::Optimizer;

use super::chain::Chain;
use super::fake_quantize;
use super::lowering::{Kind, Lowering};
use super::planes::Planes;
use super::reorder::{FromBlocked, ToBlocked};
use super::window::{Found, Kernel};

/// Puts our operators into a graph with concrete shapes, before tract simplifies it: later, tract has turned pointwise
/// convolutions into products and moved axes.
pub(crate) fn block(
    mut model: TypedModel,
    isa: Isa,
    lowering: &mut Lowering<'_>,
) -> TractResult<TypedModel> {
    if !model.nodes.iter().any(TypedNode::op_is::<Conv>) {
        return Ok(model);
    }
    // Weights may be made by nodes of constants.
    Optimizer::prop_consts().optimize(&mut model)?;
    let isa = lowering.blocks.unwrap_or_else(|| fitting(&model, isa));
    let left = model.nodes.iter().filter(|node| {
        Found::new(&model, node, isa).is_some_and(|found| {
            let kind = match found.kernel {
                Kernel::Grouped(..) => Kind::Dense,
                Kernel::Dense(_) | Kernel::Depthwise(_) | Kernel::Pointwise(_) => Kind::Blocked,
            };
            (lowering.leaves)(kind, &model, node)
        })
    });
    let left = left.map(|node| node.id).collect();
    let mut blocking = Blocking {
        old: &model,
        new: TypedModel {
            symbols: model.symbols.clone(),
            properties: model.properties.clone(),
            ..TypedModel::default()
        },
        isa,
        left,
        dense: HashMap::new(),
        blocked: HashMap::new(),
        bytes: HashMap::new(),
        unshuffled: HashMap::new(),
        taken: HashSet::new(),
        waiting: HashMap::new(),
    };
    // A graph's inputs are given by position, so all are there, in order.
    for input in &model.inputs {
        blocking.copy(model.node(input.node))?;
    }
    for id in model.eval_order()? {
        blocking.node(model.node(id))?;
    }
    let forms = |outlets: &[OutletId], blocking: &mut Blocking<'_>| {
        let dense = outlets.iter().map(|&outlet| blocking.dense(outlet));
        dense.collect::<TractResult<Vec<_>>>()
    };
    let inputs = forms(&model.inputs, &mut blocking)?;
    let outputs = forms(&model.outputs, &mut blocking)?;
    let mut new = blocking.new;
    for (old, new_) in model
        .inputs
        .iter()
        .chain(&model.outputs)
        .zip(inputs.iter().chain(&outputs))
    {
        if let Some(label) = model.outlet_label(*old) {
            new.set_outlet_label(*new_, label.to_owned())?;
        }
    }
    new.set_input_outlets(&inputs)?;
    new.select_output_outlets(&outputs)?;
    Ok(new)
}

/// The instruction set for this graph: the narrower one where wide blocks would stay half empty. Both reach about the
/// same peak on processors that do a wide product in two halves.
fn fitting(model: &TypedModel, best: Isa) -> Isa {
    if best != Isa::Avx512 {
        return best;
    }
    let work = |isa: Isa| -> f64 {
        let found = model
            .nodes
            .iter()
            .filter_map(|node| Found::new(model, node, isa));
        found.map(|found| found.work(isa)).sum()
    };
    if work(Isa::Avx2) < 0.8 * work(best) {
        Isa::Avx2
    } else {
        best
    }
}

struct Blocking<'m> {
    old: &'m TypedModel,
    new: TypedModel,
    isa: Isa,
    /// Convolutions that stay tract's.
    left: HashSet<usize>,
    /// Where a value of the old graph has its forms in the new one.
    dense: HashMap<OutletId, OutletId>,
    blocked: HashMap<OutletId, OutletId>,
    bytes: HashMap<OutletId, (OutletId, Steps)>,
    /// Blocked values whose channels the only reader has still to shuffle, of so many groups.
    unshuffled: HashMap<OutletId, usize>,
    /// Nodes that stand in a chain with another one.
    taken: HashSet<usize>,
    /// Convolutions by the last node of their chain, where all that they read is there.
    waiting: HashMap<usize, (Found, Chain)>,
}

impl Blocking<'_> {
    fn node(&mut self, node: &TypedNode) -> TractResult<()> {
        if let Some((found, chain)) = self.waiting.remove(&node.id) {
            return self.convolution(&found, &chain);
        }
        let known = |slot: usize, forms: &HashMap<OutletId, OutletId>| {
            forms.contains_key(&OutletId::new(node.id, slot))
        };
        // Constants are copied when they are read.
        if self.taken.contains(&node.id) || node.op_is::<Const>() || known(0, &self.dense) {
            return Ok(());
        }
        if let Some(found) = self.found(node) {
            let from = node.id.into();
            let residual = matches!(found.kernel, Kernel::Dense(_) | Kernel::Pointwise(_));
            let chain = Chain::follow(self.old, from, &found.output, None, residual, &self.taken);
            self.taken.extend(&chain.nodes);
            if chain.end.node == node.id {
                return self.convolution(&found, &chain);
            }
            self.waiting.insert(chain.end.node, (found, chain));
            return Ok(());
        }
        if let Some(steps) = fake_quantize::steps(self.old, node) {
            return self.fake_quantize(node, steps);
        }
        if !self.shuffled(node)? && !self.in_blocks(node)? {
            self.copy(node)?;
        }
        Ok(())
    }

    /// The convolution that a node is, if it is to be ours.
    fn found(&self, node: &TypedNode) -> Option<Found> {
        let ours = !self.left.contains(&node.id);
        ours.then(|| Found::new(self.old, node, self.isa))?
    }

    /// Copies a node as it is; its inputs are dense.
    fn copy(&mut self, node: &TypedNode) -> TractResult<()> {
        if self.dense.contains_key(&node.id.into()) {
            return Ok(());
        }
        let inputs = node.inputs.iter().map(|&input| self.dense(input));
        let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
        let facts = node.outputs.iter().map(|output| output.fact.clone());
        let id = self
            .new
            .add_node(&*node.name, node.op.clone(), facts.collect())?;
        for (slot, input) in inputs.into_iter().enumerate() {
            self.new.add_edge(input, InletId::new(id, slot))?;
        }
        for slot in 0..node.outputs.len() {
            let outlet = OutletId::new(id, slot);
            self.dense.insert(OutletId::new(node.id, slot), outlet);
        }
        Ok(())
    }

    /// The dense form of a value.
    fn dense(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(&dense) = self.dense.get(&outlet) {
            return Ok(dense);
        }
        let node = self.old.node(outlet.node);
        self.unpack(outlet)?;
        let (Some(&blocked), Some(planes)) = (self.blocked.get(&outlet), self.planes(outlet))
        else {
            self.copy(node)?;
            return self.dense(outlet);
        };
        let op = FromBlocked {
            isa: self.isa,
            channels: planes.channels,
            rank: planes.rank,
        };
        let dense = self.wire(&format!("{}.dense", node.name), op, &[blocked])?;
        self.dense.insert(outlet, dense);
        Ok(dense)
    }

    /// The blocked form of a value of these channels.
    fn blocked(&mut self, outlet: OutletId, channels: usize) -> TractResult<OutletId> {
        self.unpack(outlet)?;
        if let Some(&blocked) = self.blocked.get(&outlet) {
            return Ok(blocked);
        }
        let op = ToBlocked {
            isa: self.isa,
            channels,
        };
        let dense = self.dense(outlet)?;
        let name = format!("{}.blocked", self.old.node(outlet.node).name);
        let blocked = self.wire(&name, op, &[dense])?;
        self.blocked.insert(outlet, blocked);
        Ok(blocked)
    }

    fn planes(&self, outlet: OutletId) -> Option<Planes> {
        Planes::of(self.old.outlet_fact(outlet).ok()?)
    }

    fn wire(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = self.new.unique_name(name).into_owned();
        Ok(self.new.wire_node(name, op, inputs)?[0])
    }

    /// A constant with a number for each lane, zeros where there is no channel.
    fn lanes(&mut self, name: &str, numbers: &[f32]) -> TractResult<OutletId> {
        let mut lanes = numbers.to_vec();
        lanes.resize(self.isa.blocks(numbers.len()) * self.isa.lanes(), 0.0);
        self.constant(name, &lanes)
    }

    fn constant(&mut self, name: &str, numbers: &[f32]) -> TractResult<OutletId> {
        let tensor = Tensor::from_shape(&[numbers.len()], numbers)?;
        self.new.add_const(name, tensor)
    }
}
