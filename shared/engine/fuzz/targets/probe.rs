//! What both targets do with a model that loads. The engine catches its own panics at its border, so
//! libFuzzer sees those alone that would reach a caller.

use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{NamedTensor, Tensor};

/// Elements of an input or of a value between nodes.
const ELEMENTS: usize = 1 << 16;

/// Limits that keep one input within milliseconds and megabytes.
pub fn options() -> LoadOptions {
    let mut options = LoadOptions::default();
    options.limits.model_bytes = 1 << 20;
    options.limits.nodes = 200;
    options.limits.fields = 10_000;
    options.limits.tensor_elements = ELEMENTS;
    options
}

/// Runs the model on zeros, a dynamic dimension taken as 2; models with text or large inputs are left.
pub fn run(model: &Model) {
    let inputs = model.inputs().iter().map(|input| {
        let dims = input
            .shape
            .iter()
            .map(|&dim| usize::try_from(dim).unwrap_or(2));
        let shape: Vec<usize> = dims.collect();
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
        let size = input.datatype.size().filter(|_| count <= ELEMENTS)?;
        let tensor = Tensor::new(input.datatype, shape, vec![0; count * size].into()).ok()?;
        Some(NamedTensor::new(input.name.as_str(), tensor))
    });
    if let Some(inputs) = inputs.collect() {
        let _ = model.run(inputs);
    }
}
