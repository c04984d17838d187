//! What a model takes and gives.

use std::collections::HashSet;

use dunlin_protocol::{Datatype, TensorMetadata};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::DatumType;

use crate::check;
use crate::error::{Error, Result};

/// The inputs and outputs of a model, in the graph's order.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) inputs: Vec<TensorMetadata>,
    pub(crate) outputs: Vec<TensorMetadata>,
    /// Outputs whose shape the file does not tell, by index: their metadata has no dimensions.
    pub(crate) shapeless: Vec<usize>,
}

impl Signature {
    /// Reads it from a checked graph. An input that is also an initializer is a weight.
    pub(crate) fn of(graph: &pb::GraphProto) -> Result<Self> {
        let weights: HashSet<&str> = graph
            .initializer
            .iter()
            .map(|weight| weight.name.as_str())
            .collect();
        let mut inputs = Vec::new();
        for value in graph
            .input
            .iter()
            .filter(|value| !weights.contains(value.name.as_str()))
        {
            let here = |error: Error| error.at(&value.name, "input");
            let shape = check::dims(value).ok_or_else(|| {
                here(Error::unsupported("the input declares no shape"))
                    .with_cure("declare its rank, with names for dynamic dimensions")
            })?;
            inputs.push(TensorMetadata {
                name: value.name.clone(),
                datatype: datatype(value).map_err(here)?,
                shape: declared(&shape),
            });
        }
        let mut outputs = Vec::new();
        let mut shapeless = Vec::new();
        for (index, value) in graph.output.iter().enumerate() {
            let shape = check::dims(value);
            if shape.is_none() {
                shapeless.push(index);
            }
            outputs.push(TensorMetadata {
                name: value.name.clone(),
                datatype: datatype(value).map_err(|error| error.at(&value.name, "output"))?,
                shape: declared(&shape.unwrap_or_default()),
            });
        }
        Ok(Self {
            inputs,
            outputs,
            shapeless,
        })
    }

    /// The shapes of all inputs, if every dimension is fixed once a dynamic first one is `batch`.
    pub(crate) fn shapes(&self, batch: usize) -> Option<Vec<Vec<usize>>> {
        let concrete = |input: &TensorMetadata| {
            let dims = input.shape.iter().enumerate();
            dims.map(|(axis, &dim)| match dim {
                -1 if axis == 0 => Some(batch),
                dim => usize::try_from(dim).ok(),
            })
            .collect()
        };
        self.inputs.iter().map(concrete).collect()
    }

    /// Whether nothing about the inputs is dynamic.
    pub(crate) fn is_fixed(&self) -> bool {
        self.inputs
            .iter()
            .all(|input| input.shape.iter().all(|&dim| dim >= 0))
    }

    /// Whether each input and output has a dynamic first dimension, as a batch has.
    /// An output of unknown shape may have one.
    pub(crate) fn may_be_batched(&self) -> bool {
        let batched = |tensor: &TensorMetadata| tensor.shape.first() == Some(&-1);
        let known = |index: &usize| !self.shapeless.contains(index);
        !self.inputs.is_empty()
            && self.inputs.iter().all(batched)
            && (0..self.outputs.len())
                .filter(known)
                .all(|index| batched(&self.outputs[index]))
    }
}

fn declared(dims: &[Option<usize>]) -> Vec<i64> {
    let dim = |dim: &Option<usize>| dim.and_then(|dim| i64::try_from(dim).ok()).unwrap_or(-1);
    dims.iter().map(dim).collect()
}

fn datatype(value: &pb::ValueInfoProto) -> Result<Datatype> {
    let Some(pb::type_proto::Value::TensorType(tensor)) = value
        .r#type
        .as_ref()
        .and_then(|declared| declared.value.as_ref())
    else {
        return Err(Error::unsupported("it is no tensor")
            .with_cure("export a model whose inputs and outputs are tensors"));
    };
    let datatype = check::data_type(tensor.elem_type)?;
    Ok(match datatype {
        DataType::Bool => Datatype::Bool,
        DataType::Uint8 => Datatype::Uint8,
        DataType::Uint16 => Datatype::Uint16,
        DataType::Uint32 => Datatype::Uint32,
        DataType::Uint64 => Datatype::Uint64,
        DataType::Int8 => Datatype::Int8,
        DataType::Int16 => Datatype::Int16,
        DataType::Int32 => Datatype::Int32,
        DataType::Int64 => Datatype::Int64,
        DataType::Float16 => Datatype::Fp16,
        DataType::Bfloat16 => Datatype::Bf16,
        DataType::Float => Datatype::Fp32,
        DataType::Double => Datatype::Fp64,
        DataType::String => Datatype::Bytes,
        other => {
            return Err(Error::unsupported(format!(
                "datatype {}",
                other.as_str_name()
            )));
        }
    })
}

/// The datatype in which tract computes. It has no bfloat16: that is held as FP32.
pub(crate) fn datum_type(datatype: Datatype) -> DatumType {
    match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Bf16 | Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bytes => DatumType::String,
    }
}
