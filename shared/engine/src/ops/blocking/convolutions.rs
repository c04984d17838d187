//! Convolutions: the kernel that does one, its constants, and what follows it.

use dunlin_kernels::{Conv, GroupedPointwise};
use tract_onnx::prelude::TractResult;
use tract_onnx::tract_core::internal::tvec;
use tract_onnx::tract_core::ops::array::{Slice, TypedConcat};

use super::Blocking;
use crate::ops::chain::Chain;
use crate::ops::convolution::Convolution;
use crate::ops::depthwise::DepthwiseConvolution;
use crate::ops::grid::Grid;
use crate::ops::grouped_convolution::GroupedConvolution;
use crate::ops::reorder::{FromBlocked, ToBlocked};
use crate::ops::window::{Found, Kernel};

impl Blocking<'_> {
    pub(super) fn convolution(&mut self, found: &Found, chain: &Chain) -> TractResult<()> {
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
                    method: conv.usual(),
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
            Kernel::Pointwise(conv) => {
                let shuffle = self.unshuffled.get(&found.input).copied();
                let conv = GroupedPointwise {
                    shuffle: shuffle.unwrap_or(1),
                    activation: chain.activation,
                    ..conv.clone()
                };
                let weights = conv.arrange(isa, &weights);
                let weights = self.constant(&format!("{name}.weights"), &weights)?;
                let mut inputs = tvec!(input(self, false)?, weights, bias);
                if let Some(residual) = chain.residual {
                    inputs.push(self.blocked(residual, channels)?);
                }
                let residual = chain.residual.is_some();
                let op = GroupedConvolution {
                    isa,
                    conv,
                    residual,
                };
                self.wire(name, op, &inputs)?
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
                method: conv.usual(),
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
}
