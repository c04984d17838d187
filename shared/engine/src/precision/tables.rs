//! Tables of embeddings: each row of signed bytes with a step of its own.

use tract_onnx::pb::tensor_proto::DataType;

use super::SMALL;
use super::edit::{Edit, byte, integer_or, step};
use crate::import::{integer, node};

pub(super) fn pass(edit: &mut Edit) {
    edit.rewrite(|edit, gather, nodes| {
        let table = gather.input.first().and_then(|table| edit.shape(table));
        let whole = gather.input.len() == 2 && gather.output.len() == 1;
        let Some([rows, width]) = table.and_then(|shape| <[usize; 2]>::try_from(shape).ok()) else {
            return nodes.push(gather);
        };
        let rows_apart = integer_or(&gather, "axis", 0) == 0;
        let weights = edit.weights(&gather.input[0]);
        let Some(weights) = weights
            .filter(|_| gather.op_type == "Gather" && whole && rows_apart && rows * width >= SMALL)
        else {
            return nodes.push(gather);
        };
        let steps: Vec<f32> = weights.numbers.chunks(width).map(step).collect();
        let numbers = weights.numbers.chunks(width).zip(&steps);
        let bytes =
            numbers.flat_map(|(row, &step)| row.iter().map(move |&number| byte(number, step)));
        let bytes = bytes.collect();
        let name = gather.input[0].clone();
        let bytes = edit.add(
            &format!("{name}.int8"),
            DataType::Int8,
            &[rows, width],
            bytes,
        );
        let steps = edit.add_f32(&format!("{name}.steps"), &[rows, 1], &steps);
        let y = &gather.output[0];
        let (picked, wide, step) = (
            edit.fresh(&format!("{y}.bytes")),
            edit.fresh(&format!("{y}.wide")),
            edit.fresh(&format!("{y}.steps")),
        );
        let mut cast = node("Cast", &[&picked], &wide);
        cast.attribute.push(integer("to", DataType::Float as i64));
        nodes.extend([
            node("Gather", &[&bytes, &gather.input[1]], &picked),
            cast,
            node("Gather", &[&steps, &gather.input[1]], &step),
            node("Mul", &[&wide, &step], y),
        ]);
        edit.changed += 1;
    });
}
