//! Weights and declared shapes: datatypes the engine has, sizes that are true and within limits.

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{self, tensor_shape_proto::dimension::Value as Dim};

use crate::Limits;
use crate::error::{Error, Result};
use crate::proto::{node_name, subgraphs};

/// Checks the tensors of `graph` and of the graphs below it.
pub(crate) fn check(graph: &pb::GraphProto, limits: &Limits) -> Result<()> {
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |values| &values.name);
        return Err(
            Error::unsupported(format!("initializer \"{name}\" is sparse"))
                .with_cure("store it as a dense tensor"),
        );
    }
    for weight in &graph.initializer {
        tensor("initializer", weight, limits)?;
    }
    for input in &graph.input {
        declared(input, limits)?;
    }
    for node in &graph.node {
        let here = |error: Error| error.at(node_name(node), &node.op_type);
        for attribute in &node.attribute {
            for value in attribute.t.iter().chain(&attribute.tensors) {
                tensor("attribute", value, limits).map_err(here)?;
            }
        }
        subgraphs(node)
            .try_for_each(|inner| check(inner, limits))
            .map_err(here)?;
    }
    Ok(())
}

/// The datatype behind a number of the file, if the engine has it.
pub(crate) fn data_type(number: i32) -> Result<DataType> {
    let Ok(datatype) = DataType::try_from(number) else {
        return Err(Error::invalid_model(format!(
            "datatype {number} is unknown"
        )));
    };
    match datatype {
        DataType::Undefined => Err(Error::invalid_model("the datatype is missing")),
        DataType::String => Ok(datatype),
        _ if size(datatype).is_some() => Ok(datatype),
        _ => Err(
            Error::unsupported(format!("datatype {}", datatype.as_str_name()))
                .with_cure("export the model in float32, float16 or int8"),
        ),
    }
}

/// Bytes of an element, for datatypes of a fixed size that the engine has.
fn size(datatype: DataType) -> Option<usize> {
    use DataType as D;
    Some(match datatype {
        D::Bool | D::Uint8 | D::Int8 => 1,
        D::Uint16 | D::Int16 | D::Float16 | D::Bfloat16 => 2,
        D::Uint32 | D::Int32 | D::Float => 4,
        D::Uint64 | D::Int64 | D::Double => 8,
        _ => return None,
    })
}

/// The elements of a shape, checked against the limit.
pub(crate) fn elements(shape: impl IntoIterator<Item = usize>, limits: &Limits) -> Result<usize> {
    let mut rank = 0;
    let mut count = Some(1_usize);
    for dim in shape {
        rank += 1;
        count = count.and_then(|count| count.checked_mul(dim));
    }
    if rank > limits.rank {
        return Err(Error::too_large(format!(
            "{rank} dimensions; the limit is {}",
            limits.rank
        )));
    }
    let limit = limits.tensor_elements;
    count.filter(|&count| count <= limit).ok_or_else(|| {
        let got = count.map_or("too many elements to count".into(), |n| {
            format!("{n} elements")
        });
        Error::too_large(format!("{got}; the limit is {limit}"))
    })
}

/// The dimensions that a value declares: `None` where any size goes.
/// `None` as a whole where the value declares no shape.
pub(crate) fn dims(value: &pb::ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let pb::type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let shape = tensor.shape.as_ref()?;
    Some(
        shape
            .dim
            .iter()
            .map(|dim| match dim.value {
                Some(Dim::DimValue(value)) => usize::try_from(value).ok(),
                _ => None,
            })
            .collect(),
    )
}

/// An input's declaration: static dimensions alone must stay within the limit.
fn declared(input: &pb::ValueInfoProto, limits: &Limits) -> Result<()> {
    let fixed = dims(input).unwrap_or_default();
    elements(fixed.iter().map(|dim| dim.unwrap_or(1)), limits)
        .map(drop)
        .map_err(|error| error.at(&input.name, "input"))
}

/// A tensor in the file: `what` it is, for the message.
fn tensor(what: &str, tensor: &pb::TensorProto, limits: &Limits) -> Result<()> {
    content(tensor, limits).map_err(|error| {
        let op = if what == "attribute" {
            "tensor attribute"
        } else {
            what
        };
        error.at(&tensor.name, op)
    })
}

fn content(tensor: &pb::TensorProto, limits: &Limits) -> Result<()> {
    let external = tensor.data_location == Some(DataLocation::External as i32);
    if external || !tensor.external_data.is_empty() {
        return Err(Error::unsupported("its data lies in another file").with_cure(
            "merge all into one file: onnx.save_model(onnx.load(\"model.onnx\"), \"merged.onnx\")",
        ));
    }
    if tensor.segment.is_some() {
        return Err(Error::unsupported("its data comes in segments").with_cure("store it whole"));
    }
    let datatype = data_type(tensor.data_type)?;
    let mut shape = Vec::with_capacity(tensor.dims.len().min(limits.rank + 1));
    for &dim in &tensor.dims {
        shape.push(
            usize::try_from(dim)
                .map_err(|_| Error::invalid_model(format!("dimension {dim} is negative")))?,
        );
    }
    let wanted = elements(shape, limits)?;
    let (got, unit) = match size(datatype) {
        Some(size) if !tensor.raw_data.is_empty() => {
            let bytes = tensor.raw_data.len();
            if !bytes.is_multiple_of(size) {
                return Err(Error::invalid_model(format!(
                    "{bytes} bytes of {size}-byte elements"
                )));
            }
            (bytes / size, "raw")
        }
        _ => (typed(tensor, datatype), "typed"),
    };
    if got == wanted {
        return Ok(());
    }
    let dims = &tensor.dims;
    Err(Error::invalid_model(format!(
        "{got} elements of {unit} data; shape {dims:?} takes {wanted}"
    ))
    .with_cure("the file is damaged: export or download it again"))
}

/// How many elements stand in the field that ONNX gives to this datatype.
fn typed(tensor: &pb::TensorProto, datatype: DataType) -> usize {
    match datatype {
        DataType::Float => tensor.float_data.len(),
        DataType::Double => tensor.double_data.len(),
        DataType::Int64 => tensor.int64_data.len(),
        DataType::Uint32 | DataType::Uint64 => tensor.uint64_data.len(),
        DataType::String => tensor.string_data.len(),
        _ => tensor.int32_data.len(),
    }
}
