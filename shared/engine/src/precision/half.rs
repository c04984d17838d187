//! Weights in half precision, widened by a `Cast` that is computed when the model is loaded.

use half::f16;
use tract_onnx::pb::tensor_proto::DataType;

use super::SMALL;
use super::edit::Edit;
use crate::import::{integer, node};

pub(super) fn pass(edit: &mut Edit) {
    let readers = edit.readers();
    let names: Vec<String> = edit
        .graph
        .initializer
        .iter()
        .map(|weight| weight.name.clone())
        .collect();
    let mut casts = Vec::new();
    for name in names {
        if edit.is_output(&name) || !readers.contains_key(&name) {
            continue;
        }
        let large = |shape: &Vec<usize>| shape.iter().product::<usize>() >= SMALL;
        if !edit.shape(&name).is_some_and(|shape| large(&shape)) {
            continue;
        }
        let Some(weights) = edit.weights(&name) else {
            continue;
        };
        let halves: Vec<f16> = weights.numbers.iter().copied().map(f16::from_f32).collect();
        if !halves.iter().all(|half| half.is_finite()) {
            continue;
        }
        let bytes = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let half = edit.add(
            &format!("{name}.f16"),
            DataType::Float16,
            &weights.shape,
            bytes,
        );
        edit.forget(&name);
        let mut cast = node("Cast", &[&half], &name);
        cast.attribute.push(integer("to", DataType::Float as i64));
        casts.push(cast);
        edit.changed += 1;
    }
    // Weights come before all that reads them.
    edit.graph.node.splice(..0, casts);
}
