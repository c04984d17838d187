//! Where a tile of a product is stored.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::tract_linalg::mmm::{MatMatMul, OutputStoreSpec};

use super::step::Place;

/// How a tile of the result lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Stored {
    View {
        m_axis: Option<usize>,
        n_axis: Option<usize>,
        mr: usize,
        nr: usize,
    },
    Strides {
        row: isize,
        column: isize,
        mr: usize,
        nr: usize,
    },
}

impl Stored {
    pub(super) fn of(spec: &OutputStoreSpec) -> Self {
        match *spec {
            OutputStoreSpec::View {
                m_axis,
                n_axis,
                mr,
                nr,
            } => Self::View {
                m_axis,
                n_axis,
                mr,
                nr,
            },
            OutputStoreSpec::Strides {
                row_byte_stride,
                col_byte_stride,
                mr,
                nr,
            } => Self::Strides {
                row: row_byte_stride,
                column: col_byte_stride,
                mr,
                nr,
            },
        }
    }

    /// Whether all tiles of a kernel lie in a tensor of this shape, whose products begin at their place along the axes
    /// of the `batch`.
    pub(super) fn fits(
        self,
        place: &Place<'_>,
        kernel: &dyn MatMatMul,
        shape: &[usize],
        batch: &[usize],
        item: usize,
    ) -> bool {
        let (Self::View { mr, nr, .. } | Self::Strides { mr, nr, .. }) = self;
        if [mr, nr] != [kernel.mr(), kernel.nr()] {
            return false;
        }
        match self {
            Self::View { m_axis, n_axis, .. } => {
                let along = |axis: Option<usize>, size| match axis {
                    Some(axis) => {
                        shape.get(axis).is_some_and(|&dim| dim >= size) && !batch.contains(&axis)
                    }
                    None => size == 1,
                };
                along(m_axis, place.m)
                    && along(n_axis, place.n)
                    && (m_axis.is_none() || m_axis != n_axis)
            }
            Self::Strides { row, column, .. } => {
                let mut stride = item;
                let mut last = 0_usize;
                for (axis, &dim) in shape.iter().enumerate().rev() {
                    if batch.contains(&axis) {
                        last = last.saturating_add(stride.saturating_mul(dim.saturating_sub(1)));
                    }
                    stride = stride.saturating_mul(dim);
                }
                let reach = |steps: usize, stride: isize| {
                    let stride = usize::try_from(stride).ok()?;
                    steps.saturating_sub(1).checked_mul(stride)
                };
                let (Some(rows), Some(columns)) = (reach(place.m, row), reach(place.n, column))
                else {
                    return false;
                };
                let end = last
                    .saturating_add(rows)
                    .saturating_add(columns)
                    .saturating_add(item);
                end <= stride
            }
        }
    }

    pub(super) fn build(self) -> OutputStoreSpec {
        match self {
            Self::View {
                m_axis,
                n_axis,
                mr,
                nr,
            } => OutputStoreSpec::View {
                m_axis,
                n_axis,
                mr,
                nr,
            },
            Self::Strides {
                row,
                column,
                mr,
                nr,
            } => OutputStoreSpec::Strides {
                row_byte_stride: row,
                col_byte_stride: column,
                mr,
                nr,
            },
        }
    }
}
