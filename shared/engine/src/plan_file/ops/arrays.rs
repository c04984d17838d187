//! Operators that move elements and compute none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TDim, TypedOp};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::Downsample;
use tract_onnx::tract_core::ops::array::{
    CumSum, DynSlice, FiniteReshape, Gather, GatherElements, GatherNd, MultiBroadcastTo, OneHot,
    Pad, PadMode, ScatterElements, ScatterNd, ScatterReduction, Slice, StridedSlice, Tile, Topk,
    Trilu, TypedConcat,
};

use super::axes::{concrete, symbolic};
use super::constant::TensorRecord;
use crate::error::Result;
use crate::ops::Lookup;
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::record::Number;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Array {
    Broadcast(Vec<usize>),
    Concat(usize),
    CumSum {
        axis: usize,
        exclusive: bool,
        reverse: bool,
    },
    Downsample {
        axis: usize,
        stride: isize,
        modulo: usize,
    },
    DynSlice {
        axis: usize,
        len: i64,
    },
    Gather {
        axis: usize,
        datatype: Option<Number>,
    },
    GatherElements(usize),
    GatherNd(usize),
    OneHot {
        axis: usize,
        depth: usize,
        off: TensorRecord,
        on: TensorRecord,
    },
    Pad {
        pads: Vec<(usize, usize)>,
        mode: Padding,
    },
    Reshape(Vec<usize>),
    ScatterElements(usize, Scatter),
    ScatterNd(Scatter),
    Slice {
        axis: usize,
        start: i64,
        end: i64,
    },
    StridedSlice {
        axes_input: Option<usize>,
        steps_input: Option<usize>,
        begin_mask: i64,
        end_mask: i64,
        shrink_axis_mask: i64,
    },
    Tile(Vec<i64>),
    Topk {
        axis: usize,
        largest: bool,
        k: i64,
    },
    Trilu {
        upper: bool,
    },
    Lookup(usize),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Padding {
    Constant(TensorRecord),
    Reflect,
    Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Scatter {
    None,
    Add,
    Mul,
    Min,
    Max,
}

impl Array {
    #[allow(clippy::too_many_lines)] // One arm an operator.
    pub(super) fn of(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        if let Some(op) = op.downcast_ref::<MultiBroadcastTo>() {
            return Some(Self::Broadcast(op.shape.as_concrete()?.to_vec()));
        }
        if let Some(op) = op.downcast_ref::<TypedConcat>() {
            return Some(Self::Concat(op.axis));
        }
        if let Some(op) = op.downcast_ref::<CumSum>() {
            return Some(Self::CumSum {
                axis: op.axis,
                exclusive: op.exclusive,
                reverse: op.reverse,
            });
        }
        if let Some(op) = op.downcast_ref::<Downsample>() {
            return Some(Self::Downsample {
                axis: op.axis,
                stride: op.stride,
                modulo: op.modulo,
            });
        }
        if let Some(op) = op.downcast_ref::<DynSlice>() {
            return Some(Self::DynSlice {
                axis: op.axis,
                len: op.len.to_i64().ok()?,
            });
        }
        if let Some(op) = op.downcast_ref::<Gather>() {
            let datatype = Number::optional(op.output_type).ok()?;
            return Some(Self::Gather {
                axis: op.axis,
                datatype,
            });
        }
        if let Some(op) = op.downcast_ref::<Lookup>() {
            return Some(Self::Lookup(op.axis));
        }
        if let Some(op) = op.downcast_ref::<GatherElements>() {
            return Some(Self::GatherElements(op.axis));
        }
        if let Some(op) = op.downcast_ref::<GatherNd>() {
            return Some(Self::GatherNd(op.batch_dims));
        }
        if let Some(op) = op.downcast_ref::<OneHot>() {
            return Some(Self::OneHot {
                axis: op.axis,
                depth: op.dim,
                off: TensorRecord::of(&op.off, constants)?,
                on: TensorRecord::of(&op.on, constants)?,
            });
        }
        if let Some(op) = op.downcast_ref::<Pad>() {
            let mode = match &op.mode {
                PadMode::Constant(value) => Padding::Constant(TensorRecord::of(value, constants)?),
                PadMode::Reflect => Padding::Reflect,
                PadMode::Edge => Padding::Edge,
            };
            return Some(Self::Pad {
                pads: op.pads.clone(),
                mode,
            });
        }
        if let Some(op) = op.downcast_ref::<FiniteReshape>() {
            return Some(Self::Reshape(op.shape.to_vec()));
        }
        if let Some(op) = op.downcast_ref::<ScatterElements>() {
            return Some(Self::ScatterElements(op.axis, Scatter::of(op.reduction)));
        }
        if let Some(op) = op.downcast_ref::<ScatterNd>() {
            return Some(Self::ScatterNd(Scatter::of(op.reduction)));
        }
        if let Some(op) = op.downcast_ref::<Slice>() {
            return Some(Self::Slice {
                axis: op.axis,
                start: op.start.to_i64().ok()?,
                end: op.end.to_i64().ok()?,
            });
        }
        if let Some(op) = op.downcast_ref::<StridedSlice>() {
            return Some(Self::StridedSlice {
                axes_input: op.optional_axes_input,
                steps_input: op.optional_steps_input,
                begin_mask: op.begin_mask,
                end_mask: op.end_mask,
                shrink_axis_mask: op.shrink_axis_mask,
            });
        }
        if let Some(op) = op.downcast_ref::<Tile>() {
            return Some(Self::Tile(concrete(&op.multipliers)?));
        }
        if let Some(op) = op.downcast_ref::<Topk>() {
            return Some(Self::Topk {
                axis: op.axis,
                largest: op.largest,
                k: op.fallback_k.to_i64().ok()?,
            });
        }
        let trilu = op.downcast_ref::<Trilu>()?;
        let upper = trilu.upper;
        Some(Self::Trilu { upper })
    }

    pub(super) fn build(&self, constants: &dyn Constants) -> Result<Box<dyn TypedOp>> {
        Ok(match self {
            Self::Broadcast(shape) => Box::new(MultiBroadcastTo {
                shape: shape.iter().copied().collect(),
            }),
            &Self::Concat(axis) => Box::new(TypedConcat { axis }),
            &Self::CumSum {
                axis,
                exclusive,
                reverse,
            } => Box::new(CumSum {
                axis,
                exclusive,
                reverse,
            }),
            &Self::Downsample {
                axis,
                stride,
                modulo,
            } => Box::new(Downsample {
                axis,
                stride,
                modulo,
            }),
            &Self::DynSlice { axis, len } => Box::new(DynSlice {
                axis,
                len: TDim::Val(len),
            }),
            Self::Gather { axis, datatype } => Box::new(Gather {
                axis: *axis,
                output_type: datatype.map(Number::build),
            }),
            &Self::Lookup(axis) => Box::new(Lookup { axis }),
            &Self::GatherElements(axis) => Box::new(GatherElements { axis }),
            &Self::GatherNd(batch_dims) => Box::new(GatherNd { batch_dims }),
            Self::OneHot {
                axis,
                depth,
                off,
                on,
            } => Box::new(OneHot {
                axis: *axis,
                dim: *depth,
                off: Arc::new(off.build(constants)?),
                on: Arc::new(on.build(constants)?),
            }),
            Self::Pad { pads, mode } => Box::new(Pad {
                pads: pads.clone(),
                mode: match mode {
                    Padding::Constant(value) => {
                        PadMode::Constant(Arc::new(value.build(constants)?))
                    }
                    Padding::Reflect => PadMode::Reflect,
                    Padding::Edge => PadMode::Edge,
                },
            }),
            Self::Reshape(shape) => Box::new(FiniteReshape {
                shape: shape.iter().copied().collect(),
            }),
            &Self::ScatterElements(axis, scatter) => Box::new(ScatterElements {
                axis,
                reduction: scatter.build(),
            }),
            &Self::ScatterNd(scatter) => Box::new(ScatterNd {
                reduction: scatter.build(),
            }),
            &Self::Slice { axis, start, end } => Box::new(Slice {
                axis,
                start: TDim::Val(start),
                end: TDim::Val(end),
            }),
            &Self::StridedSlice {
                axes_input,
                steps_input,
                begin_mask,
                end_mask,
                shrink_axis_mask,
            } => Box::new(StridedSlice {
                optional_axes_input: axes_input,
                optional_steps_input: steps_input,
                begin_mask,
                end_mask,
                shrink_axis_mask,
            }),
            Self::Tile(multipliers) => Box::new(Tile {
                multipliers: symbolic(multipliers),
            }),
            &Self::Topk { axis, largest, k } => Box::new(Topk {
                axis,
                largest,
                fallback_k: TDim::Val(k),
            }),
            &Self::Trilu { upper } => Box::new(Trilu { upper }),
        })
    }
}

impl Scatter {
    fn of(reduction: ScatterReduction) -> Self {
        match reduction {
            ScatterReduction::None => Self::None,
            ScatterReduction::Add => Self::Add,
            ScatterReduction::Mul => Self::Mul,
            ScatterReduction::Min => Self::Min,
            ScatterReduction::Max => Self::Max,
        }
    }

    fn build(self) -> ScatterReduction {
        match self {
            Self::None => ScatterReduction::None,
            Self::Add => ScatterReduction::Add,
            Self::Mul => ScatterReduction::Mul,
            Self::Min => ScatterReduction::Min,
            Self::Max => ScatterReduction::Max,
        }
    }
}
