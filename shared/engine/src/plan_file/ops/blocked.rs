//! Our own operators on blocked channels, on bytes, and of attention: plain data, written down as it is.

use dunlin_kernels::{
    self as kernels, Activation, Conv, Depthwise, GroupedPointwise, IntegerConv, Isa, Method, Pool,
    Steps, Window,
};
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TypedOp;
use tract_onnx::tract_core::internal::Op;

use crate::error::{Error, Result};
use crate::ops::{
    Affine, Attention, BlockedPool, Convolution, DepthwiseConvolution, DynamicQuantize,
    FakeQuantize, FromBlocked, FromBytes, GroupedConvolution, IntegerConvolution, IntegerDepthwise,
    IntegerProduct, MatrixProduct, Places, SumOfBytes, ToBlocked, ToBytes,
};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Blocked {
    isa: Isa,
    work: Work,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Work {
    Convolution {
        conv: Conv,
        residual: bool,
    },
    Depthwise(Depthwise),
    Pool(Pool),
    Affine {
        scale: bool,
        shift: bool,
        activation: Activation,
    },
    ToBlocked {
        channels: usize,
    },
    FromBlocked {
        channels: usize,
        rank: usize,
    },
    FakeQuantize(Steps),
    DynamicQuantize,
    IntegerProduct(kernels::IntegerProduct),
    IntegerConvolution {
        conv: IntegerConv,
        residual: bool,
    },
    ToBytes(Steps),
    FromBytes(Steps),
    SumOfBytes {
        terms: [Steps; 2],
        activation: Activation,
        steps: Steps,
    },
    MatrixProduct(kernels::Product),
    IntegerDepthwise(kernels::IntegerDepthwise),
    /// A convolution by Winograd's algorithm; `Convolution` is a direct one.
    Winograd {
        conv: Conv,
        residual: bool,
    },
    /// What it states is checked beside the shapes that it is for.
    Attention {
        places: [Places; 4],
        scale: f32,
        masked: bool,
    },
    /// A pointwise convolution in groups that may cut blocks.
    Grouped {
        conv: GroupedPointwise,
        residual: bool,
    },
}

impl Blocked {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        let (isa, work) = if let Some(op) = op.downcast_ref::<Convolution>() {
            let conv = op.conv.clone();
            let residual = op.residual;
            let work = match op.method {
                Method::Direct => Work::Convolution { conv, residual },
                Method::Winograd => Work::Winograd { conv, residual },
            };
            (op.isa, work)
        } else if let Some(op) = op.downcast_ref::<GroupedConvolution>() {
            let conv = op.conv.clone();
            let residual = op.residual;
            (op.isa, Work::Grouped { conv, residual })
        } else if let Some(op) = op.downcast_ref::<DepthwiseConvolution>() {
            (op.isa, Work::Depthwise(op.depthwise.clone()))
        } else if let Some(op) = op.downcast_ref::<BlockedPool>() {
            (op.isa, Work::Pool(op.pool.clone()))
        } else if let Some(op) = op.downcast_ref::<Affine>() {
            let work = Work::Affine {
                scale: op.scale,
                shift: op.shift,
                activation: op.activation,
            };
            (op.isa, work)
        } else if let Some(op) = op.downcast_ref::<FakeQuantize>() {
            (op.isa, Work::FakeQuantize(op.steps))
        } else if let Some(op) = op.downcast_ref::<DynamicQuantize>() {
            (op.isa, Work::DynamicQuantize)
        } else if let Some(op) = op.downcast_ref::<IntegerProduct>() {
            (op.isa, Work::IntegerProduct(op.product))
        } else if let Some(op) = op.downcast_ref::<IntegerConvolution>() {
            let conv = op.conv.clone();
            let residual = op.residual;
            (op.isa, Work::IntegerConvolution { conv, residual })
        } else if let Some(op) = op.downcast_ref::<IntegerDepthwise>() {
            (op.isa, Work::IntegerDepthwise(op.convolution.clone()))
        } else if let Some(op) = op.downcast_ref::<MatrixProduct>() {
            (op.isa, Work::MatrixProduct(op.product))
        } else if let Some(op) = op.downcast_ref::<ToBytes>() {
            (op.isa, Work::ToBytes(op.steps))
        } else if let Some(op) = op.downcast_ref::<FromBytes>() {
            (op.isa, Work::FromBytes(op.steps))
        } else if let Some(op) = op.downcast_ref::<SumOfBytes>() {
            let work = Work::SumOfBytes {
                terms: op.terms,
                activation: op.activation,
                steps: op.steps,
            };
            (op.isa, work)
        } else if let Some(op) = op.downcast_ref::<Attention>() {
            let work = Work::Attention {
                places: op.places,
                scale: op.scale,
                masked: op.masked,
            };
            (op.isa, work)
        } else if let Some(op) = op.downcast_ref::<ToBlocked>() {
            let channels = op.channels;
            (op.isa, Work::ToBlocked { channels })
        } else {
            let op = op.downcast_ref::<FromBlocked>()?;
            let (channels, rank) = (op.channels, op.rank);
            (op.isa, Work::FromBlocked { channels, rank })
        };
        Some(Self { isa, work })
    }

    pub(super) fn build(&self) -> Result<Box<dyn TypedOp>> {
        let isa = self.isa;
        if !isa.is_available() {
            return Err(Error::unsupported(format!("this machine has no {isa}"))
                .with_cure("compile the plan for it, or load the ONNX file"));
        }
        Ok(match &self.work {
            Work::Convolution { conv, residual } => {
                convolution(isa, conv, Method::Direct, *residual)?
            }
            Work::Winograd { conv, residual } => {
                convolution(isa, conv, Method::Winograd, *residual)?
            }
            Work::Grouped { conv, residual } => grouped(isa, conv, *residual)?,
            Work::Depthwise(depthwise) => {
                window(&depthwise.window, depthwise.size, depthwise.channels)?;
                Box::new(DepthwiseConvolution {
                    isa,
                    depthwise: depthwise.clone(),
                })
            }
            Work::Pool(pool) => {
                window(&pool.window, pool.size, pool.channels)?;
                Box::new(BlockedPool {
                    isa,
                    pool: pool.clone(),
                })
            }
            &Work::Affine {
                scale,
                shift,
                activation,
            } => Box::new(Affine {
                isa,
                scale,
                shift,
                activation,
            }),
            &Work::FakeQuantize(steps) => Box::new(FakeQuantize { isa, steps }),
            Work::DynamicQuantize => Box::new(DynamicQuantize { isa }),
            &Work::IntegerProduct(product) => {
                if !product.is_supported() || product.inputs.max(product.outputs) > LARGEST {
                    return Err(strange());
                }
                Box::new(IntegerProduct { isa, product })
            }
            Work::IntegerConvolution { conv, residual } => {
                integer_convolution(isa, conv, *residual)?
            }
            Work::IntegerDepthwise(convolution) => {
                let plain = &convolution.depthwise;
                window(&plain.window, plain.size, plain.channels)?;
                if !convolution.is_supported() {
                    return Err(strange());
                }
                Box::new(IntegerDepthwise {
                    isa,
                    convolution: convolution.clone(),
                })
            }
            &Work::MatrixProduct(product) => {
                if product.inputs.max(product.outputs) > LARGEST {
                    return Err(strange());
                }
                Box::new(MatrixProduct { isa, product })
            }
            &Work::Attention {
                places,
                scale,
                masked,
            } => Box::new(Attention {
                isa,
                places,
                scale,
                masked,
            }),
            &Work::ToBytes(steps) => Box::new(ToBytes { isa, steps }),
            &Work::FromBytes(steps) => Box::new(FromBytes { isa, steps }),
            &Work::SumOfBytes {
                terms,
                activation,
                steps,
            } => Box::new(SumOfBytes {
                isa,
                terms,
                activation,
                steps,
            }),
            &Work::ToBlocked { channels } => Box::new(ToBlocked { isa, channels }),
            &Work::FromBlocked { channels, rank } => Box::new(FromBlocked {
                isa,
                channels,
                rank,
            }),
        })
    }
}

fn convolution(isa: Isa, conv: &Conv, method: Method, residual: bool) -> Result<Box<dyn TypedOp>> {
    window(&conv.window, conv.size, conv.inputs.max(conv.outputs))?;
    if conv.groups == 0 || !conv.is_supported(isa) || !conv.allows(method) {
        return Err(strange());
    }
    Ok(Box::new(Convolution {
        isa,
        conv: conv.clone(),
        method,
        residual,
    }))
}

fn grouped(isa: Isa, conv: &GroupedPointwise, residual: bool) -> Result<Box<dyn TypedOp>> {
    window(&Window::square(1), conv.size, conv.inputs.max(conv.outputs))?;
    if !conv.is_supported() {
        return Err(strange());
    }
    Ok(Box::new(GroupedConvolution {
        isa,
        conv: conv.clone(),
        residual,
    }))
}

fn integer_convolution(isa: Isa, conv: &IntegerConv, residual: bool) -> Result<Box<dyn TypedOp>> {
    let IntegerConv { conv: plain, .. } = conv;
    window(&plain.window, plain.size, plain.inputs.max(plain.outputs))?;
    if plain.groups == 0 || !conv.is_supported(isa) {
        return Err(strange());
    }
    Ok(Box::new(IntegerConvolution {
        isa,
        conv: conv.clone(),
        residual,
    }))
}

/// A bound on channels, extents and steps: none of their products in a kernel overflows.
const LARGEST: usize = 1 << 20;

/// Numbers of a tensor.
const NUMBERS: usize = 1 << 31;

/// Checks that a window and the plane that it moves over are of a size that kernels can count.
fn window(window: &Window, size: [usize; 2], channels: usize) -> Result<()> {
    let steps = [window.kernel, window.stride, window.dilation];
    let sound = steps
        .iter()
        .flatten()
        .all(|&step| (1..=LARGEST).contains(&step))
        && [window.before, window.after, size]
            .iter()
            .flatten()
            .all(|&extent| extent <= LARGEST)
        && (1..=LARGEST).contains(&channels);
    let padded = [0, 1].map(|axis| size[axis] + window.before[axis] + window.after[axis]);
    let numbers = |plane: [usize; 2]| plane[0].checked_mul(plane[1])?.checked_mul(channels);
    let small = |plane| numbers(plane).is_some_and(|numbers| numbers <= NUMBERS);
    if sound && small(padded) && small(window.kernel) {
        return Ok(());
    }
    Err(strange())
}

fn strange() -> Error {
    Error::invalid_model("no sound plan: a window that no kernel has")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::{DatumExt, TypedFact};

    const CONV: GroupedPointwise = GroupedPointwise {
        inputs: 20,
        outputs: 36,
        groups: 4,
        shuffle: 5,
        size: [3, 7],
        activation: Activation::Relu,
    };

    fn built(conv: GroupedPointwise) -> Result<Box<dyn TypedOp>> {
        let residual = false;
        let record = Blocked {
            isa: Isa::Portable,
            work: Work::Grouped { conv, residual },
        };
        let op = record.build()?;
        assert_eq!(Blocked::of(&*op), Some(record));
        Ok(op)
    }

    #[test]
    fn groups_must_divide_the_channels() {
        for (field, conv) in [
            ("groups", GroupedPointwise { groups: 0, ..CONV }),
            ("inputs", GroupedPointwise { inputs: 30, ..CONV }),
            (
                "outputs",
                GroupedPointwise {
                    outputs: 37,
                    ..CONV
                },
            ),
            ("shuffle", GroupedPointwise { shuffle: 3, ..CONV }),
            ("shuffle", GroupedPointwise { shuffle: 0, ..CONV }),
            ("nothing", GroupedPointwise { inputs: 0, ..CONV }),
            (
                "size",
                GroupedPointwise {
                    size: [0, 7],
                    ..CONV
                },
            ),
            (
                "size",
                GroupedPointwise {
                    size: [usize::MAX; 2],
                    ..CONV
                },
            ),
            (
                "many",
                GroupedPointwise {
                    outputs: 4 * LARGEST,
                    ..CONV
                },
            ),
        ] {
            assert!(built(conv).is_err(), "{field}");
        }
    }

    #[test]
    fn groups_have_the_weights_of_their_lists() {
        let op = built(CONV).expect("an operator");
        let f32s = |shape: &[usize]| f32::fact(shape);
        let facts = |weights: usize, width: usize| -> [TypedFact; 3] {
            [f32s(&[2, 5, 3, width, 4]), f32s(&[weights]), f32s(&[36])]
        };
        let weights = CONV.weights_len(Isa::Portable);
        for (weights_, width, fits) in [
            (weights, 7, true),
            (weights - 4, 7, false),
            (weights, 6, false),
        ] {
            let facts = facts(weights_, width);
            let facts: Vec<_> = facts.iter().collect();
            assert_eq!(op.output_facts(&facts).is_ok(), fits);
        }
    }
}
