//! Matrices in the layout of a kernel, read where they lie.

use std::alloc::Layout;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TractResult;
use tract_onnx::tract_core::internal::Blob;
use tract_onnx::tract_core::internal::{DimLike, ExoticFact, ToDim};
use tract_onnx::tract_core::tract_data::half::f16;
use tract_onnx::tract_core::tract_linalg::MmmDispatch;
use tract_onnx::tract_core::tract_linalg::mmm::{
    EagerPackedInput, MMMInputFormat, MMMInputValue, MatMatMul, PackedExoticFact,
};

use super::constants::{Constants, Span, Writer};
use crate::error::{Error, Result};

/// A kernel by the name it has in the engine.
pub(super) fn kernel(name: &str) -> Result<Box<dyn MatMatMul>> {
    let runnable = MmmDispatch::native().runnable();
    let kernel = runnable.iter().find(|kernel| kernel.name() == name);
    kernel.cloned().ok_or_else(|| {
        Error::unsupported(format!("this machine doesn't run the kernel \"{name}\""))
            .with_cure("compile the plan on a machine of this class, or load the ONNX file")
    })
}

/// The layout of one side of a kernel's product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Format {
    kernel: String,
    packing: u32,
    right: bool,
}

impl Format {
    /// A kernel that has this layout.
    pub(super) fn of(format: &dyn MMMInputFormat) -> Option<Self> {
        MmmDispatch::native().runnable().iter().find_map(|kernel| {
            kernel
                .packings()
                .iter()
                .enumerate()
                .find_map(|(packing, (left, right))| {
                    let is_left = left.dyn_eq(format);
                    (is_left || right.dyn_eq(format)).then(|| Self {
                        kernel: kernel.name().to_owned(),
                        packing: packing as u32,
                        right: !is_left,
                    })
                })
        })
    }

    pub(super) fn build(&self) -> Result<Box<dyn MMMInputFormat>> {
        let kernel = kernel(&self.kernel)?;
        let (left, right) = kernel
            .packings()
            .get(self.packing as usize)
            .ok_or_else(|| {
                Error::invalid_model(format!("kernel \"{}\" has no such layout", self.kernel))
            })?;
        Ok(if self.right {
            right.clone()
        } else {
            left.clone()
        })
    }
}

/// A packed matrix of `mn` rows (or columns) of `k` numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Matrix {
    format: Format,
    k: usize,
    mn: usize,
    panel_bytes: usize,
    bytes: Span,
}

impl Matrix {
    pub(super) fn of(value: &dyn MMMInputValue, constants: &mut Writer) -> Option<Self> {
        let packed = value.downcast_ref::<EagerPackedInput>()?;
        Some(Self {
            format: Format::of(packed.format())?,
            k: packed.k(),
            mn: packed.mn(),
            panel_bytes: packed.panel_bytes,
            bytes: constants.share(&Bytes::from_owner(Panels(packed.packed.clone()))),
        })
    }

    /// Whether it has these sizes.
    pub(super) fn is(&self, [k, mn]: [usize; 2]) -> bool {
        self.k == k && self.mn == mn
    }

    pub(super) fn layout(&self) -> Result<Box<dyn MMMInputFormat>> {
        self.format.build()
    }

    /// The matrix, in the constants' own memory.
    pub(super) fn build(&self, constants: &dyn Constants) -> Result<Box<dyn MMMInputValue>> {
        Ok(Box::new(self.view(constants)?))
    }

    /// A copy, for the operators that take nothing else.
    pub(super) fn copy(&self, constants: &dyn Constants) -> Result<EagerPackedInput> {
        let view = self.view(constants)?;
        let blob = Blob::from_bytes_alignment(&view.bytes, super::layout::ALIGN);
        let blob = blob.map_err(|error| {
            Error::from_tract(crate::ErrorKind::Failed, "no memory for a plan", error)
        })?;
        Ok(EagerPackedInput {
            fact: view.fact,
            packed: Arc::new(blob),
            panel_bytes: self.panel_bytes,
            mn: self.mn,
        })
    }

    fn view(&self, constants: &dyn Constants) -> Result<View> {
        let format = self.format.build()?;
        let bytes = constants.get(self.bytes)?;
        // A kernel reads whole panels of `r` by `k` numbers, and nothing stops it at the end.
        let one = format.mem_size(self.k.to_dim(), format.r().to_dim());
        let panels = self.mn.div_ceil(format.r());
        let least = one.to_usize().ok();
        let fits = least.is_some_and(|least| {
            let all = self.panel_bytes.checked_mul(panels);
            self.panel_bytes >= least && all.is_some_and(|all| all <= bytes.len())
        });
        if !fits {
            return Err(Error::invalid_model(
                "no sound plan: a matrix is shorter than it says",
            ));
        }
        Ok(View {
            fact: PackedExoticFact {
                format,
                mn: self.mn.to_dim(),
                k: self.k,
            },
            bytes,
            panel_bytes: self.panel_bytes,
            mn: self.mn,
        })
    }
}

/// Lets [`Bytes`] own packed panels.
struct Panels(Arc<Blob>);

impl AsRef<[u8]> for Panels {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A packed matrix in memory that somebody else owns.
#[derive(Clone, PartialEq, Eq, Hash)]
struct View {
    fact: PackedExoticFact,
    bytes: Bytes,
    panel_bytes: usize,
    mn: usize,
}

impl MMMInputValue for View {
    fn format(&self) -> &dyn MMMInputFormat {
        &*self.fact.format
    }

    fn scratch_panel_buffer_layout(&self) -> Option<Layout> {
        None
    }

    fn panel_bytes(&self, i: usize, _buffer: Option<*mut u8>) -> TractResult<*const u8> {
        Ok(self.bytes.as_ptr().wrapping_add(i * self.panel_bytes))
    }

    fn mn(&self) -> usize {
        self.mn
    }

    fn k(&self) -> usize {
        self.fact.k
    }

    fn exotic_fact(&self) -> &dyn ExoticFact {
        &self.fact
    }

    fn extract_at_mn_f16(&self, _mn: usize, _slice: &mut [f16]) -> TractResult<()> {
        Err(unpackable())
    }

    fn extract_at_mn_f32(&self, _mn: usize, _slice: &mut [f32]) -> TractResult<()> {
        Err(unpackable())
    }
}

/// No operator that plans hold takes single rows out of a packed matrix.
fn unpackable() -> tract_onnx::prelude::TractError {
    tract_onnx::tract_core::internal::format_err!("a matrix of a plan can't be unpacked")
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fact.fmt(f)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
