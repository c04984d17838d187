//! Operators that take many elements to few, or normalize over an axis.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TypedOp;
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::nn::rms_norm::{RmsNorm, ScaledRmsNorm};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

use super::constant::TensorRecord;
use crate::error::Result;
use crate::plan_file::constants::{Constants, Writer};
use crate::plan_file::record::Number;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Reduction {
    Reduce {
        axes: Vec<usize>,
        by: Reducing,
    },
    Softmax {
        axes: Vec<usize>,
        quantized: Option<Number>,
        log: bool,
    },
    RmsNorm {
        axis: usize,
        epsilon: TensorRecord,
    },
    ScaledRmsNorm {
        axis: usize,
        epsilon: TensorRecord,
        result: Option<Number>,
        rounded: Option<Number>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Reducing {
    /// Of several equal ones: the last?
    ArgMax(bool),
    ArgMin(bool),
    Max,
    Min,
    Product,
    Sum,
    MeanOfSquares,
    All,
    Any,
}

impl Reduction {
    pub(super) fn of(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        if let Some(reduce) = op.downcast_ref::<Reduce>() {
            return Some(Self::Reduce {
                axes: reduce.axes.to_vec(),
                by: Reducing::of(reduce.reducer),
            });
        }
        if let Some(softmax) = op.downcast_ref::<Softmax>() {
            return Some(Self::Softmax {
                axes: softmax.axes.to_vec(),
                quantized: Number::optional(softmax.quant_output_dt).ok()?,
                log: softmax.kind == SoftmaxKind::LogSoftmax,
            });
        }
        if let Some(norm) = op.downcast_ref::<RmsNorm>() {
            return Some(Self::RmsNorm {
                axis: norm.axis,
                epsilon: TensorRecord::of(&norm.eps, constants)?,
            });
        }
        let norm = op.downcast_ref::<ScaledRmsNorm>()?;
        Some(Self::ScaledRmsNorm {
            axis: norm.axis,
            epsilon: TensorRecord::of(&norm.eps, constants)?,
            result: Number::optional(norm.out_dt).ok()?,
            rounded: Number::optional(norm.scale_dt).ok()?,
        })
    }

    pub(super) fn build(&self, constants: &dyn Constants) -> Result<Box<dyn TypedOp>> {
        Ok(match self {
            Self::Reduce { axes, by } => Box::new(Reduce {
                axes: axes.iter().copied().collect(),
                reducer: by.build(),
            }),
            Self::Softmax {
                axes,
                quantized,
                log,
            } => Box::new(Softmax {
                axes: axes.iter().copied().collect(),
                quant_output_dt: quantized.map(Number::build),
                kind: if *log {
                    SoftmaxKind::LogSoftmax
                } else {
                    SoftmaxKind::Softmax
                },
            }),
            Self::RmsNorm { axis, epsilon } => Box::new(RmsNorm {
                axis: *axis,
                eps: epsilon.build(constants)?.into(),
            }),
            Self::ScaledRmsNorm {
                axis,
                epsilon,
                result,
                rounded,
            } => Box::new(ScaledRmsNorm {
                axis: *axis,
                eps: epsilon.build(constants)?.into(),
                out_dt: result.map(Number::build),
                scale_dt: rounded.map(Number::build),
            }),
        })
    }
}

impl Reducing {
    fn of(reducer: Reducer) -> Self {
        match reducer {
            Reducer::ArgMax(last) => Self::ArgMax(last),
            Reducer::ArgMin(last) => Self::ArgMin(last),
            Reducer::Max => Self::Max,
            Reducer::Min => Self::Min,
            Reducer::Prod => Self::Product,
            Reducer::Sum => Self::Sum,
            Reducer::MeanOfSquares => Self::MeanOfSquares,
            Reducer::All => Self::All,
            Reducer::Any => Self::Any,
        }
    }

    fn build(self) -> Reducer {
        match self {
            Self::ArgMax(last) => Reducer::ArgMax(last),
            Self::ArgMin(last) => Reducer::ArgMin(last),
            Self::Max => Reducer::Max,
            Self::Min => Reducer::Min,
            Self::Product => Reducer::Prod,
            Self::Sum => Reducer::Sum,
            Self::MeanOfSquares => Reducer::MeanOfSquares,
            Self::All => Reducer::All,
            Self::Any => Reducer::Any,
        }
    }
}
