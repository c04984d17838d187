//! What must hold of a decoded model before tract sees it. Everything here assumes a hostile file.

mod growth;
mod names;
mod operators;
mod tensors;

use tract_onnx::pb;
use tract_onnx::prelude::{ShapeFact, TDim};

use crate::Limits;
use crate::error::{Error, Result};
use crate::proto::{graph, opset};

pub(crate) use operators::problems;
pub(crate) use tensors::{data_type, dims, elements};

/// The soundness of the file: names resolve, values are given once, weights fit their shapes.
/// Nodes must already be in the order of their evaluation.
pub(crate) fn structure(model: &pb::ModelProto, limits: &Limits) -> Result<()> {
    if opset(model).is_none() {
        return Err(Error::invalid_model(
            "the model imports no version of the ONNX operator set",
        ));
    }
    names::check(graph(model))?;
    tensors::check(graph(model), limits)?;
    growth::check(graph(model), limits)
}

/// A dimension that no inputs could give: two sizes that contradict each other.
pub(crate) fn contradiction(shape: &ShapeFact) -> Option<&TDim> {
    shape
        .iter()
        .find(|dim| dim.to_i64().is_err() && dim.symbols().is_empty())
}
