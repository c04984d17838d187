//! Weights that stay where they lie: in the file of a plan, which a tensor of tract's can't share.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use tract_onnx::prelude::{DatumType, TVec, Tensor, TractResult, TypedNode, tvec};
use tract_onnx::tract_core::internal::{ExoticFact, PlainStorage, TDim, TensorStorage};
use tract_onnx::tract_core::ops::konst::Const;

use super::convolution::Convolution;
use super::depthwise::DepthwiseConvolution;
use super::integer_convolution::IntegerConvolution;
use super::integer_depthwise::IntegerDepthwise;
use super::integer_product::IntegerProduct;
use super::matrix_product::MatrixProduct;

/// Numbers in memory that somebody else owns, aligned as they must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct InPlace(Bytes);

/// What marks a tensor whose numbers lie elsewhere: how many bytes they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Elsewhere(usize);

/// Whether a node reads this input through [`super::blank::numbers`], wherever the numbers lie.
pub(crate) fn reads_in_place(node: &TypedNode, slot: usize) -> bool {
    slot == 1
        && (node.op_is::<Convolution>()
            || node.op_is::<DepthwiseConvolution>()
            || node.op_is::<IntegerConvolution>()
            || node.op_is::<IntegerDepthwise>()
            || node.op_is::<IntegerProduct>()
            || node.op_is::<MatrixProduct>())
}

impl InPlace {
    /// A constant of these numbers; none where they are not aligned or not as many as the shape.
    pub(crate) fn constant(
        datum: DatumType,
        shape: &[usize],
        bytes: Bytes,
    ) -> TractResult<Option<Const>> {
        let wanted = shape
            .iter()
            .try_fold(datum.size_of(), |all, &dim| all.checked_mul(dim));
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(datum.size_of());
        if wanted != Some(bytes.len()) || !aligned {
            return Ok(None);
        }
        let fact = Box::new(Elsewhere(bytes.len()));
        let tensor = Tensor::from_storage(datum, shape, Self(bytes));
        Const::new_with_exotic_fact(tensor.into(), fact).map(Some)
    }

    /// The numbers, in single precision.
    pub(super) fn numbers(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }

    /// The tensor's bytes, if they lie elsewhere.
    pub(crate) fn bytes(tensor: &Tensor) -> Option<&Bytes> {
        tensor.storage_as::<Self>().map(|here| &here.0)
    }
}

impl TensorStorage for InPlace {
    fn byte_len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        Box::new(self.clone())
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        None
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        None
    }

    fn into_plain_ram(self: Box<Self>) -> Option<PlainStorage> {
        None
    }

    fn dyn_hash(&self, mut state: &mut dyn Hasher) {
        self.0.hash(&mut state);
    }

    fn exotic_fact(&self, _shape: &[usize]) -> TractResult<Option<Box<dyn ExoticFact>>> {
        Ok(Some(Box::new(Elsewhere(self.0.len()))))
    }
}

impl ExoticFact for Elsewhere {
    fn buffer_sizes(&self) -> TVec<TDim> {
        tvec!(TDim::Val(self.0 as i64))
    }
}

impl fmt::Display for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes elsewhere", self.0.len())
    }
}
