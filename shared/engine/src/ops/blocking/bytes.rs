//! Quantized values: their form in blocked bytes, and what is done on it.

use std::collections::HashSet;

use dunlin_kernels::{self as kernels, Activation, IntegerConv, Steps};
use tract_onnx::prelude::{OutletId, TractResult, TypedNode};
use tract_onnx::tract_core::internal::tvec;
use tract_onnx::tract_core::ops::TypedOp;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::math::Add;

use super::Blocking;
use crate::ops::chain::{Chain, only_reader};
use crate::ops::fake_quantize::{self, FakeQuantize};
use crate::ops::grid::Grid;
use crate::ops::integer_convolution::IntegerConvolution;
use crate::ops::integer_depthwise::IntegerDepthwise;
use crate::ops::steps::{FromBytes, SumOfBytes, ToBytes};
use crate::ops::window::{Found, Kernel};

impl Blocking<'_> {
    /// Makes the blocked form of a value that has one in bytes.
    pub(super) fn unpack(&mut self, outlet: OutletId) -> TractResult<()> {
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

    /// The same on bytes, where the kernel can; what follows is quantized at once if it is.
    pub(super) fn integer_convolution(
        &mut self,
        found: &Found,
        chain: &Chain,
        mut grid: Grid,
        bias: OutletId,
    ) -> TractResult<bool> {
        let Some(&(input, steps)) = self.bytes.get(&found.input) else {
            return Ok(false);
        };
        let isa = self.isa;
        let quantizer = only_reader(self.old, chain.end).and_then(|node| {
            let steps = fake_quantize::steps(self.old, node)?.bytes()?;
            chain.activation.is_bounded().then_some((node, steps))
        });
        let zero = steps.zero_byte();
        let residual = chain.residual.is_some();
        let op: Box<dyn TypedOp>;
        let (weights, offsets);
        match (&found.kernel, quantizer) {
            (Kernel::Dense(conv), _) => {
                let mut conv = IntegerConv {
                    conv: conv.clone(),
                    zero,
                    output: quantizer.map(|(_, steps)| steps),
                };
                conv.conv.activation = chain.activation;
                if !conv.is_supported(isa) {
                    return Ok(false);
                }
                (weights, offsets) = (
                    conv.arrange(isa, &grid.steps),
                    conv.offsets(isa, &grid.steps),
                );
                op = Box::new(IntegerConvolution {
                    isa,
                    conv,
                    residual,
                });
            }
            (Kernel::Depthwise(depthwise), Some((_, output))) => {
                let mut convolution = kernels::IntegerDepthwise {
                    depthwise: depthwise.clone(),
                    zero,
                    output,
                };
                convolution.depthwise.activation = chain.activation;
                if !convolution.is_supported() {
                    return Ok(false);
                }
                (weights, offsets) = (
                    convolution.arrange(isa, &grid.steps),
                    convolution.offsets(isa, &grid.steps),
                );
                op = Box::new(IntegerDepthwise { isa, convolution });
            }
            _ => return Ok(false),
        }
        let name = &*self.old.node(chain.end.node).name;
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
        let Some(found) = self.found(self.old.node(node)) else {
            return false;
        };
        let reads = match &found.kernel {
            // So few channels are read where they lie, as numbers.
            Kernel::Dense(conv) => conv.groups > 1 || conv.inputs > self.isa.lanes() / 2,
            Kernel::Depthwise(_) => true,
            Kernel::Pointwise(_) | Kernel::Grouped(..) => false,
        };
        let weights = found.constants().ok().filter(|_| reads);
        weights.is_some_and(|(weights, _)| Grid::of(&weights, found.output.channels).is_some())
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
    pub(super) fn fake_quantize(&mut self, node: &TypedNode, steps: Steps) -> TractResult<()> {
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
}
