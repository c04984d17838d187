//! Tensors of the wire ↔ tensors of tract, with one copy on the way in and none on the way out.

use std::sync::Arc;

use bytes::Bytes;
use dunlin_protocol::{Datatype, Element, Tensor};
use half::bf16;
use tract_onnx::prelude::{
    Datum, DatumType, IntoArcTensor, IntoTensor, TDim, TValue, Tensor as TractTensor, tensor1,
};
use tract_onnx::tract_hir::internal::DimLike;

use crate::error::{Error, ErrorKind, Result};

/// A tensor of the wire for tract.
pub(crate) fn to_tract(tensor: &Tensor) -> Result<TractTensor> {
    match tensor.datatype() {
        Datatype::Bool => plain::<bool>(tensor),
        Datatype::Uint8 => plain::<u8>(tensor),
        Datatype::Uint16 => plain::<u16>(tensor),
        Datatype::Uint32 => plain::<u32>(tensor),
        Datatype::Uint64 => plain::<u64>(tensor),
        Datatype::Int8 => plain::<i8>(tensor),
        Datatype::Int16 => plain::<i16>(tensor),
        Datatype::Int32 => plain::<i32>(tensor),
        Datatype::Int64 => plain::<i64>(tensor),
        Datatype::Fp16 => plain::<half::f16>(tensor),
        Datatype::Fp32 => plain::<f32>(tensor),
        Datatype::Fp64 => plain::<f64>(tensor),
        Datatype::Bytes => strings(tensor),
        Datatype::Bf16 => widened(tensor),
    }
}

fn plain<T: Element + Datum + Copy>(tensor: &Tensor) -> Result<TractTensor> {
    let values = tensor.values::<T>().map_err(refused)?;
    TractTensor::from_shape(tensor.shape(), &values).map_err(refused_by_tract)
}

/// bfloat16 is held as float32.
fn widened(tensor: &Tensor) -> Result<TractTensor> {
    let values = tensor.values::<bf16>().map_err(refused)?;
    let wide: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
    TractTensor::from_shape(tensor.shape(), &wide).map_err(refused_by_tract)
}

/// An output as the model declares it: a bfloat16, held as float32 until here, is rounded.
pub(crate) fn as_declared(tensor: Tensor, declared: Datatype) -> Result<Tensor> {
    if declared != Datatype::Bf16 || tensor.datatype() != Datatype::Fp32 {
        return Ok(tensor);
    }
    let values = tensor.values::<f32>().map_err(malformed)?;
    let rounded: Vec<bf16> = values.iter().copied().map(bf16::from_f32).collect();
    Tensor::from_vec(tensor.shape().to_vec(), rounded).map_err(malformed)
}

/// tract's strings are UTF-8.
fn strings(tensor: &Tensor) -> Result<TractTensor> {
    let strings = tensor.strings().map_err(refused)?;
    let strings = strings
        .into_iter()
        .map(|string| String::from_utf8(string.into()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::invalid_input("a string is no UTF-8").caused_by(error))?;
    tensor1(&strings)
        .into_shape(tensor.shape())
        .map_err(refused_by_tract)
}

fn refused(error: dunlin_protocol::Error) -> Error {
    Error::invalid_input("the tensor is not what it says").caused_by(error)
}

fn refused_by_tract(error: tract_onnx::prelude::TractError) -> Error {
    Error::from_tract(
        ErrorKind::InvalidInput,
        "the tensor is not what it says",
        error,
    )
}

/// A result of tract for the wire. Shapes come as i64, whatever tract counts them in; a quantized
/// datatype loses its scale, which the graph's output does not declare.
pub(crate) fn from_tract(value: TValue) -> Result<Tensor> {
    let tensor: Arc<TractTensor> = value.into_arc_tensor();
    let shape = tensor.shape().to_vec();
    let datatype = match tensor.datum_type().unquantized() {
        DatumType::TDim => return dimensions(&tensor),
        DatumType::String => {
            let view = tensor.try_as_plain_ram().map_err(unreadable)?;
            let strings = view.as_slice::<String>().map_err(unreadable)?;
            return Tensor::from_strings(shape, strings).map_err(malformed);
        }
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        DatumType::I64 => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        other => {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("a result of datatype {other:?}"),
            ));
        }
    };
    // What lies elsewhere than in plain memory comes here; what is here is not copied.
    let tensor = if tensor.has_plain_ram_storage() {
        tensor
    } else {
        Arc::new(tensor.into_tensor().into_plain_ram().map_err(unreadable)?)
    };
    Tensor::new(datatype, shape, bytes(tensor)).map_err(malformed)
}

/// The bytes of a tensor in plain memory, where they lie.
pub(crate) fn bytes(tensor: Arc<TractTensor>) -> Bytes {
    Bytes::from_owner(Owner(tensor))
}

fn dimensions(tensor: &TractTensor) -> Result<Tensor> {
    let view = tensor.try_as_plain_ram().map_err(unreadable)?;
    let dims = view.as_slice::<TDim>().map_err(unreadable)?;
    let dims = dims.iter().map(DimLike::to_i64);
    let dims = dims
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(error.into()))?;
    Tensor::from_vec(tensor.shape().to_vec(), dims).map_err(malformed)
}

fn unreadable(error: tract_onnx::prelude::TractError) -> Error {
    Error::from_tract(ErrorKind::Failed, "a result can't be read", error)
}

fn malformed(error: dunlin_protocol::Error) -> Error {
    Error::new(ErrorKind::Failed, "a result is malformed").caused_by(error)
}

/// Lets [`Bytes`] own a tensor.
struct Owner(Arc<TractTensor>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
