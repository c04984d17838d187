//! Constants and sources.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{DatumType, TDim, Tensor, TypedOp, tensor1};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::tract_linalg::mmm::PackedMatrixStorage;

use super::refused;
use crate::error::{Error, Result};
use crate::ops::InPlace;
use crate::plan_file::constants::{Constants, Span, Writer};
use crate::plan_file::halves;
use crate::plan_file::packed::Matrix;
use crate::plan_file::record::{Fact, Number};
use crate::tensor;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Constant {
    Source(Fact),
    Tensor(TensorRecord),
    /// Single-precision numbers that their readers take where they lie.
    InPlace {
        shape: Vec<usize>,
        bytes: Span,
    },
    /// Packed matrices, one an item of a batch of this shape.
    Packed {
        datatype: Number,
        batch: Vec<usize>,
        matrices: Vec<Matrix>,
    },
    /// As `InPlace`, stored in half precision, which has every one of the numbers.
    HalvesInPlace {
        shape: Vec<usize>,
        bytes: Span,
    },
    /// A table whose rows are looked up where they lie; halves where they have every one of its numbers.
    Table {
        fact: Fact,
        bytes: Span,
    },
}

/// A tensor: its numbers in the constants, little-endian, in row-major order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum TensorRecord {
    Numbers {
        fact: Fact,
        bytes: Span,
    },
    Strings {
        shape: Vec<usize>,
        items: Vec<String>,
    },
    /// Dimensions whose values are known.
    Dimensions {
        shape: Vec<usize>,
        items: Vec<i64>,
    },
    /// Single-precision numbers, stored in half precision, which has every one of them.
    Halves {
        shape: Vec<usize>,
        bytes: Span,
    },
}

impl Constant {
    pub(super) fn of(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        if let Some(source) = op.downcast_ref::<TypedSource>() {
            return Some(Self::Source(Fact::of(&source.fact)?));
        }
        let tensor = op.downcast_ref::<Const>()?.val();
        if let Some(packed) = tensor.storage_as::<PackedMatrixStorage>() {
            let matrices = packed
                .values()
                .iter()
                .map(|value| Matrix::of(&**value, constants))
                .collect::<Option<_>>()?;
            return Some(Self::Packed {
                datatype: Number::of(tensor.datum_type())?,
                batch: packed.batch_shape().to_vec(),
                matrices,
            });
        }
        TensorRecord::of(tensor, constants).map(Self::Tensor)
    }

    /// The same for a constant that is only read by operators which take it where it lies.
    pub(in crate::plan_file) fn in_place(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        let tensor = op.downcast_ref::<Const>()?.val();
        let bytes = where_it_lies(tensor)?;
        if tensor.datum_type() != DatumType::F32 {
            return None;
        }
        let shape = tensor.shape().to_vec();
        Some(match halves::of(bytemuck::cast_slice(&bytes)) {
            Some(halves) => Self::HalvesInPlace {
                shape,
                bytes: constants.add(&halves),
            },
            None => Self::InPlace {
                shape,
                bytes: constants.share(&bytes),
            },
        })
    }

    /// The same for a constant that is only looked up.
    pub(in crate::plan_file) fn table(op: &dyn Op, constants: &mut Writer) -> Option<Self> {
        let tensor = op.downcast_ref::<Const>()?.val();
        let bytes = where_it_lies(tensor)?;
        let single = tensor.datum_type() == DatumType::F32;
        let halves = single
            .then(|| halves::of(bytemuck::cast_slice(&bytes)))
            .flatten();
        let datatype = match halves {
            Some(_) => Number::F16,
            None => Number::of(tensor.datum_type())?,
        };
        let shape = tensor.shape().to_vec();
        Some(Self::Table {
            fact: Fact { datatype, shape },
            bytes: match halves {
                Some(halves) => constants.add(&halves),
                None => constants.share(&bytes),
            },
        })
    }

    pub(super) fn build(&self, constants: &dyn Constants) -> Result<Box<dyn TypedOp>> {
        let single = DatumType::F32;
        match self {
            Self::InPlace { shape, bytes } => in_place(single, shape, constants.get(*bytes)?),
            Self::HalvesInPlace { shape, bytes } => {
                in_place(single, shape, widened(shape, &constants.get(*bytes)?)?)
            }
            Self::Table { fact, bytes } => {
                let datum = fact.datatype.build();
                if !datum.is_number() {
                    return Err(Error::invalid_model("no sound plan: a table of no numbers"));
                }
                in_place(datum, &fact.shape, constants.get(*bytes)?)
            }
            Self::Source(fact) => Ok(Box::new(TypedSource { fact: fact.build() })),
            Self::Tensor(tensor) => {
                let tensor = Arc::new(tensor.build(constants)?);
                Ok(Box::new(Const::new(tensor).map_err(refused)?))
            }
            Self::Packed {
                datatype,
                batch,
                matrices,
            } => {
                let items = batch
                    .iter()
                    .try_fold(1_usize, |all, &dim| all.checked_mul(dim));
                if items != Some(matrices.len()) {
                    return Err(Error::invalid_model(
                        "no sound plan: a batch has not the matrices that it says",
                    ));
                }
                let values = matrices
                    .iter()
                    .map(|matrix| matrix.build(constants))
                    .collect::<Result<Vec<_>>>()?;
                let storage = PackedMatrixStorage::new_batched(batch, values.into());
                let tensor = Arc::new(storage.into_tensor(datatype.build()));
                let exotic = tensor.exotic_fact().map_err(refused)?;
                let op = Const::new_with_opt_exotic_fact(tensor, exotic).map_err(refused)?;
                Ok(Box::new(op))
            }
        }
    }
}

impl TensorRecord {
    pub(in crate::plan_file) fn of(tensor: &Tensor, constants: &mut Writer) -> Option<Self> {
        if !tensor.has_plain_ram_storage() {
            return None;
        }
        let shape = tensor.shape().to_vec();
        let view = tensor.try_as_plain_ram().ok()?;
        match tensor.datum_type() {
            DatumType::String => Some(Self::Strings {
                shape,
                items: view.as_slice::<String>().ok()?.to_vec(),
            }),
            DatumType::TDim => {
                let dims = view.as_slice::<TDim>().ok()?.iter();
                let items = dims.map(|dim| dim.to_i64().ok()).collect::<Option<_>>()?;
                Some(Self::Dimensions { shape, items })
            }
            datum => {
                let single = view.as_slice::<f32>().ok();
                if let Some(halves) = single.and_then(halves::of) {
                    let bytes = constants.add(&halves);
                    return Some(Self::Halves { shape, bytes });
                }
                let datatype = Number::of(datum)?;
                Some(Self::Numbers {
                    fact: Fact { datatype, shape },
                    bytes: constants.add(tensor.as_bytes()),
                })
            }
        }
    }

    pub(in crate::plan_file) fn build(&self, constants: &dyn Constants) -> Result<Tensor> {
        match self {
            Self::Numbers { fact, bytes } => {
                let bytes = constants.get(*bytes)?;
                let datum = fact.datatype.build();
                if !datum.unquantized().is_copy() {
                    return Err(Error::invalid_model(
                        "no sound plan: a constant of no numbers",
                    ));
                }
                let one = datum.size_of();
                let len = fact
                    .shape
                    .iter()
                    .try_fold(one, |all, &dim| all.checked_mul(dim));
                if len != Some(bytes.len()) {
                    return Err(Error::invalid_model(
                        "no sound plan: a constant has not the bytes that its shape needs",
                    ));
                }
                tensor_of(datum, &fact.shape, &bytes)
            }
            Self::Halves { shape, bytes } => {
                let numbers = widened(shape, &constants.get(*bytes)?)?;
                tensor_of(DatumType::F32, shape, &numbers)
            }
            Self::Strings { shape, items } => tensor1(items).into_shape(shape).map_err(refused),
            Self::Dimensions { shape, items } => {
                let dims: Vec<TDim> = items.iter().map(|&dim| TDim::Val(dim)).collect();
                tensor1(&dims).into_shape(shape).map_err(refused)
            }
        }
    }
}

/// The bytes of numbers that a graph holds, shared with it.
fn where_it_lies(tensor: &Arc<Tensor>) -> Option<Bytes> {
    let plain = || (tensor.has_plain_ram_storage()).then(|| tensor::bytes(Arc::clone(tensor)));
    InPlace::bytes(tensor).cloned().or_else(plain)
}

fn in_place(datum: DatumType, shape: &[usize], numbers: Bytes) -> Result<Box<dyn TypedOp>> {
    let constant = InPlace::constant(datum, shape, numbers).map_err(refused)?;
    let other_size = || Error::invalid_model("no sound plan: weights of another size");
    Ok(Box::new(constant.ok_or_else(other_size)?))
}

/// The bytes of single-precision numbers of this shape; the shape is held against the halves before there is room made.
fn widened(shape: &[usize], halves: &Bytes) -> Result<Bytes> {
    let numbers = shape
        .iter()
        .try_fold(1_usize, |all, &dim| all.checked_mul(dim));
    numbers
        .and_then(|numbers| halves::widen(halves, numbers))
        .ok_or_else(|| Error::invalid_model("no sound plan: weights of another size"))
}

/// A tensor with these bytes, which the caller has counted and which are aligned. tract wants
/// memory of its own: what is large lies in packed matrices, which are read in place.
fn tensor_of(datum: DatumType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
    let strange = |_| Error::invalid_model("no sound plan: a boolean is neither true nor false");
    let tensor = match datum {
        DatumType::F32 => Tensor::from_shape::<f32>(shape, bytemuck::cast_slice(bytes)),
        DatumType::I64 => Tensor::from_shape::<i64>(shape, bytemuck::cast_slice(bytes)),
        DatumType::Bool => {
            let values = bytemuck::checked::try_cast_slice(bytes).map_err(strange)?;
            Tensor::from_shape::<bool>(shape, values)
        }
        datum => Tensor::zero_dt(datum, shape).map(|mut tensor| {
            tensor.as_bytes_mut().copy_from_slice(bytes);
            tensor
        }),
    };
    tensor.map_err(refused)
}
