//! A shuffle of channels between a value and a depthwise convolution: the convolution goes before it, and the grouped
//! pointwise one that follows reads its inputs shuffled. So no number is moved.

use dunlin_kernels::GroupedPointwise;
use tract_onnx::prelude::{OutletId, TDim, TractResult, TypedModel, TypedNode};
use tract_onnx::tract_core::internal::DimLike;
use tract_onnx::tract_core::ops::change_axes::AxisOp;

use super::Blocking;
use crate::ops::chain::{Chain, only_reader};
use crate::ops::window::Kernel;

/// `[N, C, …]` as `[N, groups, C / groups, …]`, transposed, and `[N, C, …]` again.
struct Shuffle {
    groups: usize,
    end: OutletId,
    nodes: [usize; 3],
}

impl Shuffle {
    /// The shuffle that begins with this node.
    fn from(model: &TypedModel, node: &TypedNode) -> Option<Self> {
        let (whole, parts) = split(node)?;
        let ([whole], &[groups, each]) = (&*whole, &*parts) else {
            return None;
        };
        let transposed = only_reader(model, node.id.into())?;
        let joined = only_reader(model, transposed.id.into())?;
        let moves = [AxisOp::Move(1, 2), AxisOp::Move(2, 1)];
        let swaps = moves.contains(transposed.op_as::<AxisOp>()?);
        let joins = split(joined)? == (vec![each, groups], vec![*whole]);
        (swaps && joins).then_some(Self {
            groups,
            end: joined.id.into(),
            nodes: [node.id, transposed.id, joined.id],
        })
    }
}

/// What a reshape makes of the channels, and of what.
fn split(node: &TypedNode) -> Option<(Vec<usize>, Vec<usize>)> {
    let AxisOp::Reshape(1, from, to) = node.op_as::<AxisOp>()? else {
        return None;
    };
    let sizes = |dims: &[TDim]| -> Option<Vec<usize>> {
        dims.iter().map(|dim| dim.to_usize().ok()).collect()
    };
    Some((sizes(from)?, sizes(to)?))
}

impl Blocking<'_> {
    /// Does a shuffle and the depthwise convolution behind it in blocks, where a grouped pointwise one reads that.
    pub(super) fn shuffled(&mut self, node: &TypedNode) -> TractResult<bool> {
        let Some(shuffle) = Shuffle::from(self.old, node) else {
            return Ok(false);
        };
        let input = node.inputs[0];
        if !self.blocked.contains_key(&input) {
            return Ok(false);
        }
        let Some(first) = only_reader(self.old, shuffle.end) else {
            return Ok(false);
        };
        let Some(depthwise) = self.found(first).filter(|found| {
            matches!(found.kernel, Kernel::Depthwise(_)) && found.input == shuffle.end
        }) else {
            return Ok(false);
        };
        let output = &depthwise.output;
        let mut chain = Chain::follow(self.old, first.id.into(), output, None, false, &self.taken);
        let reader = only_reader(self.old, chain.end).and_then(|node| self.found(node));
        let Some(reader) = reader.filter(|found| found.input == chain.end) else {
            return Ok(false);
        };
        let Kernel::Pointwise(pointwise) = reader.kernel else {
            return Ok(false);
        };
        let pointwise = GroupedPointwise {
            shuffle: shuffle.groups,
            ..pointwise
        };
        let mut order = vec![0; pointwise.inputs];
        for channel in 0..pointwise.inputs {
            order[pointwise.place(channel)] = channel;
        }
        for numbers in [&mut chain.scale, &mut chain.shift].into_iter().flatten() {
            *numbers = order.iter().map(|&from| numbers[from]).collect();
        }
        self.taken.extend(shuffle.nodes);
        self.taken.insert(first.id);
        self.taken.extend(&chain.nodes);
        self.unshuffled.insert(chain.end, shuffle.groups);
        self.convolution(&depthwise.reordered(input, &order)?, &chain)?;
        Ok(true)
    }
}
