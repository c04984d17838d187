//! Operators that change the order and number of axes alone.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TDim, TVec, TypedOp};
use tract_onnx::tract_core::internal::{AxesMapping, AxisOp, IntoShape, Op};

use super::refused;
use crate::error::{Error, Result};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Axes {
    Add(usize),
    Remove(usize),
    Move(usize, usize),
    Reshape {
        at: usize,
        from: Vec<i64>,
        to: Vec<i64>,
    },
    /// A view of the same numbers under another shape.
    IntoShape {
        /// In the notation of einsum.
        mapping: String,
        len: usize,
        dims: Vec<usize>,
        strides: Vec<isize>,
    },
}

impl Axes {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        if let Some(into) = op.downcast_ref::<IntoShape>() {
            return Some(Self::IntoShape {
                mapping: into.mapping.to_string(),
                len: into.len,
                dims: into.dims.to_vec(),
                strides: into.strides.to_vec(),
            });
        }
        Some(match op.downcast_ref::<AxisOp>()? {
            AxisOp::Add(at) => Self::Add(*at),
            AxisOp::Rm(at) => Self::Remove(*at),
            AxisOp::Move(from, to) => Self::Move(*from, *to),
            AxisOp::Reshape(at, from, to) => Self::Reshape {
                at: *at,
                from: concrete(from)?,
                to: concrete(to)?,
            },
        })
    }

    pub(super) fn build(&self) -> Result<Box<dyn TypedOp>> {
        Ok(match self {
            Self::Add(at) => Box::new(AxisOp::Add(*at)),
            Self::Remove(at) => Box::new(AxisOp::Rm(*at)),
            Self::Move(from, to) => Box::new(AxisOp::Move(*from, *to)),
            Self::Reshape { at, from, to } => {
                Box::new(AxisOp::Reshape(*at, symbolic(from), symbolic(to)))
            }
            Self::IntoShape {
                mapping,
                len,
                dims,
                strides,
            } => {
                let size = dims
                    .iter()
                    .try_fold(1_usize, |all, &dim| all.checked_mul(dim));
                let unsound = || Error::invalid_model("no sound plan: a shape of other strides");
                if size != Some(*len) || !is_row_major(dims, strides) || !mapping.is_ascii() {
                    return Err(unsound());
                }
                // tract's own parser takes an output without axes for none.
                let (input, output) = mapping.split_once("->").ok_or_else(unsound)?;
                Box::new(IntoShape {
                    mapping: AxesMapping::from_strs(&[input], &[output]).map_err(refused)?,
                    len: *len,
                    dims: dims.iter().copied().collect(),
                    strides: strides.iter().copied().collect(),
                })
            }
        })
    }
}

/// Dimensions that are numbers.
pub(super) fn concrete(dims: &[TDim]) -> Option<Vec<i64>> {
    dims.iter().map(|dim| dim.to_i64().ok()).collect()
}

pub(super) fn symbolic(dims: &[i64]) -> TVec<TDim> {
    dims.iter().map(|&dim| TDim::Val(dim)).collect()
}

/// tract takes the strides as they are told.
fn is_row_major(dims: &[usize], strides: &[isize]) -> bool {
    let mut stride = 1_isize;
    let natural = dims.iter().rev().map(|&dim| {
        let here = stride;
        stride = stride.saturating_mul(dim as isize);
        here
    });
    dims.len() == strides.len() && natural.eq(strides.iter().rev().copied())
}
