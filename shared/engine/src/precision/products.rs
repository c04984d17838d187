//! Products with constant weights in integers, their rows quantized when they come: each tensor has the grid that it
//! needs. The operators are those that `onnxruntime.quantization.quantize_dynamic` writes.

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::SMALL;
use super::edit::{Edit, Weights, byte, float_or, integer_or, step};
use crate::import::{integer, node};

/// The engine's integer products take their inputs by so many.
const INPUTS: usize = 4;

/// What a value was quantized to: bytes, step, and the byte that zero is.
type Quantized = [String; 3];

pub(super) fn pass(edit: &mut Edit) {
    let mut rows: HashMap<String, Quantized> = HashMap::new();
    edit.rewrite(|edit, product, nodes| {
        let Some(weights) = weights(edit, &product) else {
            return nodes.push(product);
        };
        let x = &product.input[0];
        let quantized = rows.entry(x.clone()).or_insert_with(|| {
            let names = ["bytes", "step", "zero"].map(|part| edit.fresh(&format!("{x}.{part}")));
            let mut quantize = node("DynamicQuantizeLinear", &[x], &names[0]);
            quantize.output.extend_from_slice(&names[1..]);
            nodes.push(quantize);
            names
        });
        let [bytes, row_step, zero] = &*quantized;
        let name = &product.input[1];
        let (matrix, steps) = columns(&weights);
        let matrix = edit.add(
            &format!("{name}.int8"),
            DataType::Int8,
            &weights.shape,
            matrix,
        );
        let steps = edit.add_f32(&format!("{name}.steps"), &[steps.len()], &steps);
        let y = &product.output[0];
        let bias = product.input.get(2).filter(|bias| !bias.is_empty());
        let names =
            ["sums", "wide", "factors", "scaled"].map(|part| edit.fresh(&format!("{y}.{part}")));
        let [sums, wide, factors, scaled] = &names;
        let scaled = if bias.is_some() { scaled } else { y };
        let mut cast = node("Cast", &[sums], wide);
        cast.attribute.push(integer("to", DataType::Float as i64));
        nodes.extend([
            node("MatMulInteger", &[bytes, &matrix, zero], sums),
            cast,
            node("Mul", &[row_step, &steps], factors),
            node("Mul", &[wide, factors], scaled),
        ]);
        nodes.extend(bias.map(|bias| node("Add", &[scaled, bias], y)));
        edit.changed += 1;
    });
}

/// The weights `[inputs, outputs]` of a node that multiplies rows with them, if it does nothing that integers could not.
fn weights(edit: &Edit, product: &pb::NodeProto) -> Option<Weights> {
    let gemm = match product.op_type.as_str() {
        "MatMul" => false,
        "Gemm" => true,
        _ => return None,
    };
    let plain = !gemm
        || (integer_or(product, "transA", 0) == 0
            && float_or(product, "alpha", 1.0).to_bits() == 1_f32.to_bits()
            && float_or(product, "beta", 1.0).to_bits() == 1_f32.to_bits());
    let (x, name) = (product.input.first()?, product.input.get(1)?);
    let [first, second] = <[usize; 2]>::try_from(edit.shape(name)?).ok()?;
    product.output.first()?;
    let transposed = gemm && integer_or(product, "transB", 0) != 0;
    let inputs = if transposed { second } else { first };
    let whole = inputs.is_multiple_of(INPUTS);
    if !plain || !whole || first * second < SMALL || edit.is_weight(x) {
        return None;
    }
    let weights = edit.weights(name)?;
    if !transposed {
        return Some(weights);
    }
    let column = |column: usize| weights.numbers[column..].iter().step_by(second).copied();
    Some(Weights {
        shape: vec![second, first],
        numbers: (0..second).flat_map(column).collect(),
    })
}

/// Bytes in the same order, and the step of each column.
fn columns(weights: &Weights) -> (Vec<u8>, Vec<f32>) {
    let outputs = weights.shape[1];
    let column = |at: usize| step(weights.numbers[at..].iter().step_by(outputs));
    let steps: Vec<f32> = (0..outputs).map(column).collect();
    let rows = weights.numbers.chunks(outputs);
    let bytes = rows.flat_map(|row| {
        row.iter()
            .zip(&steps)
            .map(|(&number, &step)| byte(number, step))
    });
    (bytes.collect(), steps)
}
