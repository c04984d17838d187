//! Pooling, joins, and operators on elements: done on blocked tensors where their inputs are blocked.

use dunlin_kernels::{Activation, Pool, Pooling};
use tract_onnx::prelude::{OutletId, TractResult, TypedNode};
use tract_onnx::tract_core::internal::tvec;
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::math::{Add, Max, Min, Mul, Sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::Blocking;
use crate::ops::affine::Affine;
use crate::ops::chain::Chain;
use crate::ops::planes::Planes;
use crate::ops::pooling::BlockedPool;
use crate::ops::window::window;

impl Blocking<'_> {
    /// Does a node's work on blocked tensors, where an input of it is blocked and that can be.
    pub(super) fn in_blocks(&mut self, node: &TypedNode) -> TractResult<bool> {
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
