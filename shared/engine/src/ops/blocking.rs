//! The pass: convolutions become ours, and their tensors stay blocked as far as our operators reach.
//!
//! The graph is translated node by node, in the order of evaluation. A value has a dense form, a blocked form, or both;
//! a form that is wanted and not there is made once. So layouts change only where a reader needs another one. A value
//! that was quantized may have a form in blocked bytes too, which convolutions with quantized weights read.

use std::collections::{HashMap, HashSet};

use dunlin_kernels::{Activation, Conv, IntegerConv, Isa, Pool, Pooling, Steps};
use tract_onnx::prelude::{OutletId, Tensor, TractResult, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::tvec;
use tract_onnx::tract_core::model::{InletId, SpecialOps};
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv as TractConv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul, Sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_core::optim::Optimizer;

use super::affine::Affine;
use super::chain::{Chain, only_reader};
use super::convolution::Convolution;
use super::depthwise::DepthwiseConvolution;
use super::fake_quantize::{self, FakeQuantize};
use super::grid::Grid;
use super::integer_convolution::IntegerConvolution;
use super::planes::Planes;
use super::pooling::BlockedPool;
use super::reorder::{FromBlocked, ToBlocked};
use super::steps::{FromBytes, SumOfBytes, ToBytes};
use super::window::{Found, Kernel, window};

/// Puts our operators into a graph with concrete shapes, before tract simplifies it: later, tract has turned pointwise
/// convolutions into products and moved axes.
pub(crate) fn block(mut model: TypedModel, isa: Isa) -> TractResult<TypedModel> {
    if !model.nodes.iter().any(TypedNode::op_is::<TractConv>) {
        return Ok(model);
    }
    // Weights may be made by nodes of constants.
    Optimizer::prop_consts().optimize(&mut model)?;
    let isa = fitting(&model, isa);
    let mut blocking = Blocking {
        old: &model,
        new: TypedModel {
            symbols: model.symbols.clone(),
            properties: model.properties.clone(),
            ..TypedModel::default()
        },
        isa,
        dense: HashMap::new(),
        blocked: HashMap::new(),
        bytes: HashMap::new(),
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
    /// Where a value of the old graph has its forms in the new one.
    dense: HashMap<OutletId, OutletId>,
    blocked: HashMap<OutletId, OutletId>,
    bytes: HashMap<OutletId, (OutletId, Steps)>,
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
        if let Some(found) = Found::new(self.old, node, self.isa) {
            let from = node.id.into();
            let residual = matches!(found.kernel, Kernel::Dense(_));
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
        if !self.in_blocks(node)? {
            self.copy(node)?;
        }
        Ok(())
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

    /// Makes the blocked form of a value that has one in bytes.
    fn unpack(&mut self, outlet: OutletId) -> TractResult<()> {
        let Some(&(bytes, steps)) = self.bytes.get(&outlet) else {
            return Ok(());
        };
        if !self.blocked.contains_key(&outlet) {
            let isa = self.isa;
            let name = format!("{}.numbers", self.old.node(outlet.node).name);
            let numbers = self.wire(&name, FromBytes { isa, steps }, &[bytes])?;
            self.blocked.insert(outlet, numbers);
        }
        Ok(())
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

    fn convolution(&mut self, found: &Found, chain: &Chain) -> TractResult<()> {
        let isa = self.isa;
        let name = &*self.old.node(chain.end.node).name;
        let channels = found.output.channels;
        let (mut weights, mut bias) = found.constants()?;
        let grid = self
            .bytes
            .contains_key(&found.input)
            .then(|| Grid::of(&weights, channels))
            .flatten();
        if let Some(scale) = &chain.scale {
            let each = weights.len() / channels;
            for ((weights, bias), scale) in weights.chunks_exact_mut(each).zip(&mut bias).zip(scale)
            {
                for weight in weights {
                    *weight *= scale;
                }
                *bias *= scale;
            }
        }
        if let Some(shift) = &chain.shift {
            bias.iter_mut()
                .zip(shift)
                .for_each(|(bias, shift)| *bias += shift);
        }
        if let Kernel::Grouped(conv, groups) = &found.kernel {
            return self.grouped(found, chain, (conv, *groups), [&weights, &bias]);
        }
        let bias = self.lanes(&format!("{name}.bias"), &bias)?;
        if let Some(grid) = grid
            && self.integer_convolution(found, chain, grid, bias)?
        {
            return Ok(());
        }
        let input = |blocking: &mut Self, dense: bool| {
            if dense {
                blocking.dense(found.input)
            } else {
                blocking.blocked(found.input, found.planes.channels)
            }
        };
        let output = match &found.kernel {
            Kernel::Dense(conv) => {
                let mut conv = conv.clone();
                conv.activation = chain.activation;
                // So few channels leave most of a block empty, and are read as well where they lie.
                conv.dense_input = conv.groups == 1
                    && conv.inputs <= isa.lanes() / 2
                    && !self.blocked.contains_key(&found.input);
                let weights = conv.arrange(isa, &weights);
                let weights = self.constant(&format!("{name}.weights"), &weights)?;
                let mut inputs = tvec!(input(self, conv.dense_input)?, weights, bias);
                if let Some(residual) = chain.residual {
                    inputs.push(self.blocked(residual, channels)?);
                }
                let residual = chain.residual.is_some();
                let op = Convolution {
                    isa,
                    conv,
                    residual,
                };
                self.wire(name, op, &inputs)?
            }
            Kernel::Depthwise(depthwise) => {
                let mut depthwise = depthwise.clone();
                depthwise.activation = chain.activation;
                let weights = depthwise.arrange(isa, &weights);
                let weights = self.constant(&format!("{name}.weights"), &weights)?;
                let input = input(self, false)?;
                let op = DepthwiseConvolution { isa, depthwise };
                self.wire(name, op, &[input, weights, bias])?
            }
            Kernel::Grouped(..) => unreachable!("returned above"),
        };
        self.blocked.insert(chain.end, output);
        Ok(())
    }

    /// Groups of channels that fill no whole blocks: a convolution each, their results joined.
    fn grouped(
        &mut self,
        found: &Found,
        chain: &Chain,
        (conv, groups): (&Conv, usize),
        [weights, bias]: [&[f32]; 2],
    ) -> TractResult<()> {
        let isa = self.isa;
        let name = &*self.old.node(chain.end.node).name;
        let conv = Conv {
            activation: chain.activation,
            ..conv.clone()
        };
        let input = self.dense(found.input)?;
        let (channels, rank) = (conv.inputs, found.output.rank);
        let mut parts = Vec::with_capacity(groups);
        let weights = weights.chunks_exact(weights.len() / groups);
        for (group, (weights, bias)) in weights.zip(bias.chunks_exact(conv.outputs)).enumerate() {
            let name = format!("{name}.{group}");
            let slice = Slice::new(1, group * channels, (group + 1) * channels);
            let part = self.wire(&format!("{name}.part"), slice, &[input])?;
            let part = self.wire(
                &format!("{name}.blocked"),
                ToBlocked { isa, channels },
                &[part],
            )?;
            let weights = conv.arrange(isa, weights);
            let weights = self.constant(&format!("{name}.weights"), &weights)?;
            let bias = self.lanes(&format!("{name}.bias"), bias)?;
            let op = Convolution {
                isa,
                conv: conv.clone(),
                residual: false,
            };
            let part = self.wire(&name, op, &[part, weights, bias])?;
            let op = FromBlocked {
                isa,
                channels: conv.outputs,
                rank,
            };
            parts.push(self.wire(&format!("{name}.dense"), op, &[part])?);
        }
        let output = self.wire(name, TypedConcat::new(1), &parts)?;
        self.dense.insert(chain.end, output);
        Ok(())
    }

    /// The same on bytes, where the kernel can; what follows is quantized at once if it is.
    fn integer_convolution(
        &mut self,
        found: &Found,
        chain: &Chain,
        mut grid: Grid,
        bias: OutletId,
    ) -> TractResult<bool> {
        let (Kernel::Dense(conv), Some(&(input, steps))) =
            (&found.kernel, self.bytes.get(&found.input))
        else {
            return Ok(false);
        };
        let isa = self.isa;
        let mut conv = IntegerConv {
            conv: conv.clone(),
            zero: steps.zero_byte(),
            output: None,
        };
        conv.conv.activation = chain.activation;
        if !conv.is_supported(isa) {
            return Ok(false);
        }
        let quantizer = only_reader(self.old, chain.end).and_then(|node| {
            let steps = fake_quantize::steps(self.old, node)?.bytes()?;
            chain.activation.is_bounded().then_some((node, steps))
        });
        conv.output = quantizer.map(|(_, steps)| steps);
        let name = &*self.old.node(chain.end.node).name;
        let weights = conv.arrange(isa, &grid.steps);
        let offsets = conv.offsets(isa, &grid.steps);
        for (at, scale) in grid.scales.iter_mut().enumerate() {
            *scale *= steps.scale * chain.scale.as_ref().map_or(1.0, |scale| scale[at]);
        }
        let mut inputs = tvec!(
            input,
            self.constant(&format!("{name}.weights"), &weights)?,
            self.constant(&format!("{name}.offsets"), &offsets)?,
            self.lanes(&format!("{name}.factor"), &grid.scales)?,
            bias,
        );
        if let Some(residual) = chain.residual {
            inputs.push(self.blocked(residual, found.output.channels)?);
        }
        let residual = chain.residual.is_some();
        let op = IntegerConvolution {
            isa,
            conv,
            residual,
        };
        let output = self.wire(name, op, &inputs)?;
        if let Some((node, steps)) = quantizer {
            self.taken.insert(node.id);
            self.quantized(node, output, steps);
        } else {
            self.blocked.insert(chain.end, output);
        }
        Ok(true)
    }

    /// What a node quantized is there in bytes; all that reads it gives it back as numbers.
    fn quantized(&mut self, node: &TypedNode, bytes: OutletId, steps: Steps) {
        for reader in &node.outputs[0].successors {
            self.bytes.insert(reader.node.into(), (bytes, steps));
            self.taken.insert(reader.node);
        }
    }

    /// Quantizes a value to blocked bytes, where that serves a reader.
    fn pack(&mut self, node: &TypedNode, steps: Steps) -> TractResult<bool> {
        let Some(steps) = steps.bytes() else {
            return Ok(false);
        };
        if let Some((terms, activation)) = self.sum_of_bytes(node) {
            let [a, b] = terms;
            let op = SumOfBytes {
                isa: self.isa,
                terms: [a.1, b.1],
                activation,
                steps,
            };
            let sum = self.wire(&node.name, op, &[a.0, b.0])?;
            self.quantized(node, sum, steps);
            return Ok(true);
        }
        let readers = node.outputs[0].successors.iter();
        let mut values = readers.flat_map(|reader| &self.old.node(reader.node).outputs);
        let multiplied = values.any(|value| {
            let mut readers = value.successors.iter();
            readers.any(|reader| {
                let node = reader.node;
                (reader.slot == 0 && self.multiplies_bytes(node)) || self.adds_bytes(node)
            })
        });
        let Some(planes) = self.planes(node.inputs[0]).filter(|_| multiplied) else {
            return Ok(false);
        };
        let from = self.blocked(node.inputs[0], planes.channels)?;
        let isa = self.isa;
        let bytes = self.wire(&node.name, ToBytes { isa, steps }, &[from])?;
        self.quantized(node, bytes, steps);
        Ok(true)
    }

    /// Whether a node is a convolution that reads bytes if it can.
    fn multiplies_bytes(&self, node: usize) -> bool {
        let found = Found::new(self.old, self.old.node(node), self.isa);
        let Some(found) = found else { return false };
        let Kernel::Dense(conv) = &found.kernel else {
            return false;
        };
        // So few channels are read where they lie, as numbers.
        let few = conv.groups == 1 && conv.inputs <= self.isa.lanes() / 2;
        let weights = found.constants().ok().filter(|_| !few);
        weights.is_some_and(|(weights, _)| Grid::of(&weights, conv.outputs).is_some())
    }

    /// Whether a node adds to a value that is there in bytes.
    fn adds_bytes(&self, node: usize) -> bool {
        let node = self.old.node(node);
        let adds = node.op_as::<TypedBinOp>();
        adds.is_some_and(|op| op.0.is::<Add>())
            && node
                .inputs
                .iter()
                .any(|input| self.bytes.contains_key(input))
    }

    /// The terms and the activation, where a node quantizes a sum of two values in bytes.
    #[allow(clippy::type_complexity)] // Two terms, each a value and its steps.
    fn sum_of_bytes(&self, node: &TypedNode) -> Option<([(OutletId, Steps); 2], Activation)> {
        let sum = |outlet: OutletId| {
            let node = self.old.node(outlet.node);
            let op = node.op_as::<TypedBinOp>()?;
            let [a, b] = *node.inputs else { return None };
            let terms = [*self.bytes.get(&a)?, *self.bytes.get(&b)?];
            let same = self.planes(a)? == self.planes(b)?;
            (same && op.0.is::<Add>() && op.1.is_none()).then_some(terms)
        };
        let value = node.inputs[0];
        if let Some(terms) = sum(value) {
            return Some((terms, Activation::None));
        }
        let first = self.old.node(value.node).inputs.first().copied()?;
        let terms = sum(first)?;
        let planes = self.planes(first)?;
        let taken = HashSet::new();
        let chain = Chain::follow(self.old, first, &planes, None, false, &taken);
        let whole = chain.end == value && chain.scale.is_none() && chain.shift.is_none();
        (whole && chain.activation.is_bounded()).then_some((terms, chain.activation))
    }

    /// Quantizes and dequantizes a value in the form that it has.
    fn fake_quantize(&mut self, node: &TypedNode, steps: Steps) -> TractResult<()> {
        if self.pack(node, steps)? {
            return Ok(());
        }
        let input = node.inputs[0];
        self.unpack(input)?;
        let blocked = self.blocked.get(&input).copied();
        let from = blocked.map_or_else(|| self.dense(input), Ok)?;
        let isa = self.isa;
        let output = self.wire(&node.name, FakeQuantize { isa, steps }, &[from])?;
        let forms = if blocked.is_some() {
            &mut self.blocked
        } else {
            &mut self.dense
        };
        for reader in &node.outputs[0].successors {
            forms.insert(reader.node.into(), output);
            self.taken.insert(reader.node);
        }
        Ok(())
    }

    /// Does a node's work on blocked tensors, where an input of it is blocked and that can be.
    fn in_blocks(&mut self, node: &TypedNode) -> TractResult<bool> {
        for &input in &node.inputs {
            self.unpack(input)?;
        }
        let is_blocked = |input: &OutletId| self.blocked.contains_key(input);
        let Some(&input) = node.inputs.iter().find(|input| is_blocked(input)) else {
            return Ok(false);
        };
        let Some(planes) = self.planes(input) else {
            return Ok(false);
        };
        if node.op_is::<Identity>() {
            self.blocked.insert(node.id.into(), self.blocked[&input]);
            return Ok(true);
        }
        if let Some(pool) = self.pool(node, &planes) {
            return self.give(
                node.id.into(),
                BlockedPool {
                    isa: self.isa,
                    pool,
                },
                &[input],
            );
        }
        if let Some(concat) = node.op_as::<TypedConcat>() {
            return self.concat(node, concat);
        }
        let element_wise = node.op_as::<ElementWiseOp>();
        if element_wise.is_none() && !node.op_is::<TypedBinOp>() {
            return Ok(false);
        }
        let chain = Chain::follow(self.old, input, &planes, Some(node), false, &self.taken);
        if !chain.nodes.is_empty() {
            return self.affine(input, &chain);
        }
        let full = planes.channels.is_multiple_of(self.isa.lanes());
        if let Some(op) = element_wise {
            // Where there are empty lanes, a function might make infinities of them.
            return if full && op.1.is_none() {
                self.give(node.id.into(), op.clone(), &[input])
            } else {
                Ok(false)
            };
        }
        self.binary(node, full)
    }

    /// Adds the node of an operator on the blocked forms of `inputs`, which are there; it stands for `of`.
    fn give(
        &mut self,
        of: OutletId,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<bool> {
        let inputs: Vec<_> = inputs.iter().map(|input| self.blocked[input]).collect();
        let name = &*self.old.node(of.node).name;
        let output = self.wire(name, op, &inputs)?;
        self.blocked.insert(of, output);
        Ok(true)
    }

    fn pool(&self, node: &TypedNode, planes: &Planes) -> Option<Pool> {
        let pool = |pooling, window| Pool {
            channels: planes.channels,
            size: planes.size,
            window,
            pooling,
        };
        if let Some(op) = node.op_as::<MaxPool>() {
            let unread = |output: usize| {
                node.outputs
                    .get(output)
                    .is_none_or(|output| output.successors.is_empty())
            };
            let (window, _) = window(&op.pool_spec, planes)?;
            let given = self.old.outputs.contains(&OutletId::new(node.id, 1));
            return (unread(1) && !given).then(|| pool(Pooling::Max, window));
        }
        if let Some(op) = node.op_as::<SumPool>() {
            let (window, exact) = window(&op.pool_spec, planes)?;
            let padding = op.count_include_pad;
            let pooling = Pooling::Mean { padding };
            return (op.normalize && (exact || !padding)).then(|| pool(pooling, window));
        }
        let op = node.op_as::<Reduce>()?;
        let spatial = op.axes.iter().copied().eq(2..planes.rank);
        let window = dunlin_kernels::Window {
            kernel: planes.size,
            ..dunlin_kernels::Window::square(1)
        };
        (op.reducer == Reducer::Sum && spatial).then(|| pool(Pooling::Sum, window))
    }

    /// Joins channels, where all but the last input fill their blocks and most of them are blocked.
    fn concat(&mut self, node: &TypedNode, concat: &TypedConcat) -> TractResult<bool> {
        let planes: Option<Vec<_>> = node
            .inputs
            .iter()
            .map(|&input| self.planes(input))
            .collect();
        let Some(planes) = planes.filter(|_| concat.axis == 1) else {
            return Ok(false);
        };
        let (_, firsts) = planes.split_last().expect("an input");
        let whole = |planes: &Planes| planes.channels.is_multiple_of(self.isa.lanes());
        let blocked = node
            .inputs
            .iter()
            .filter(|input| self.blocked.contains_key(input));
        if !firsts.iter().all(whole) || 2 * blocked.count() < node.inputs.len() {
            return Ok(false);
        }
        for (&input, planes) in node.inputs.iter().zip(&planes) {
            self.blocked(input, planes.channels)?;
        }
        self.give(node.id.into(), concat.clone(), &node.inputs)
    }

    fn affine(&mut self, input: OutletId, chain: &Chain) -> TractResult<bool> {
        let name = &*self.old.node(chain.end.node).name;
        let mut inputs = tvec!(self.blocked[&input]);
        if let Some(scale) = &chain.scale {
            inputs.push(self.lanes(&format!("{name}.scale"), scale)?);
        }
        if let Some(shift) = &chain.shift {
            inputs.push(self.lanes(&format!("{name}.shift"), shift)?);
        }
        let op = Affine {
            isa: self.isa,
            scale: chain.scale.is_some(),
            shift: chain.shift.is_some(),
            activation: chain.activation,
        };
        let output = self.wire(name, op, &inputs)?;
        self.taken.extend(&chain.nodes);
        self.blocked.insert(chain.end, output);
        Ok(true)
    }

    /// Two tensors of one shape, or one and a number for each of its channels.
    fn binary(&mut self, node: &TypedNode, full: bool) -> TractResult<bool> {
        let Some(op) = node.op_as::<TypedBinOp>().filter(|op| op.1.is_none()) else {
            return Ok(false);
        };
        let [one, other] = [node.inputs[0], node.inputs[1]];
        let (Some(a), Some(b)) = (self.planes(one), self.planes(other)) else {
            return Ok(false);
        };
        if a.channels != b.channels || a.rank != b.rank || a.items != b.items {
            return Ok(false);
        }
        let is_safe = op.0.is::<Add>()
            || op.0.is::<Sub>()
            || op.0.is::<Mul>()
            || op.0.is::<Max>()
            || op.0.is::<Min>();
        if !full && !is_safe {
            return Ok(false);
        }
        if a.size == b.size {
            self.blocked(one, a.channels)?;
            self.blocked(other, b.channels)?;
            return self.give(node.id.into(), op.clone(), &node.inputs);
        }
        let (tensor, lanes) = match (a.size, b.size) {
            (_, [1, 1]) => (one, other),
            ([1, 1], _) => (other, one),
            _ => return Ok(false),
        };
        let (scale, shift) = (op.0.is::<Mul>(), op.0.is::<Add>());
        if !(scale || shift) || !self.blocked.contains_key(&tensor) {
            return Ok(false);
        }
        self.blocked(lanes, a.channels)?;
        let op = Affine {
            isa: self.isa,
            scale,
            shift,
            activation: Activation::None,
        };
        self.give(node.id.into(), op, &[tensor, lanes])
    }
}
