//! Convolutions in integers: what they read is put on a grid of bytes that examples have fixed, with
//! `QuantizeLinear` and `DequantizeLinear`; their weights, on a grid of signed bytes for each output channel.

use std::collections::{HashMap, HashSet};

use dunlin_protocol::NamedTensor;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::SMALL;
use super::calibrate::{Range, ranges};
use super::edit::{Edit, byte, integer_or, step};
use crate::Limits;
use crate::error::Result;
use crate::import::{integer, node};

/// With so few channels in, and with one a group, a convolution is computed in numbers all the same.
const FEW_CHANNELS: usize = 4;

/// The first operator set whose `DequantizeLinear` has a step for each channel.
const STEP_A_CHANNEL: i64 = 13;

pub(super) fn pass(
    edit: &mut Edit,
    name: &str,
    examples: &[Vec<NamedTensor>],
    limits: &Limits,
) -> Result<()> {
    let convolutions = edit
        .graph
        .node
        .iter()
        .filter(|node| is_worth_it(edit, node));
    let read: HashSet<String> = convolutions.map(|conv| conv.input[0].clone()).collect();
    if read.is_empty() {
        return Ok(());
    }
    let mut read: Vec<String> = read.into_iter().collect();
    read.sort_unstable();
    let ranges = ranges(edit, name, &read, examples, limits)?;
    let ranges: HashMap<String, Range> = read.into_iter().zip(ranges).collect();
    let mut rounded: HashMap<String, String> = HashMap::new();
    edit.rewrite(|edit, mut node, nodes| {
        let worth_it = is_worth_it(edit, &node);
        for input in &mut node.input {
            let Some(&range) = ranges.get(input) else {
                continue;
            };
            if !rounded.contains_key(input) {
                let name = round(edit, input, range, nodes);
                rounded.insert(input.clone(), name);
            }
            input.clone_from(&rounded[input]);
        }
        if worth_it {
            node.input[1] = weights(edit, &node.input[1], nodes);
        }
        nodes.push(node);
    });
    Ok(())
}

fn is_worth_it(edit: &Edit, node: &pb::NodeProto) -> bool {
    let shape = node.input.get(1).and_then(|weights| edit.shape(weights));
    let Some([outputs, inputs, height, width]) =
        shape.and_then(|shape| <[usize; 4]>::try_from(shape).ok())
    else {
        return false;
    };
    let large = outputs * inputs * height * width >= SMALL;
    node.op_type == "Conv"
        && large
        && inputs > FEW_CHANNELS
        && integer_or(node, "group", 1) >= 1
        && !edit.is_weight(&node.input[0])
}

/// A value, put on its grid; gives the name of what is to be read instead of it.
fn round(edit: &mut Edit, value: &str, range: Range, nodes: &mut Vec<pb::NodeProto>) -> String {
    let (scale, zero) = range.grid();
    let scale = edit.add_f32(&format!("{value}.step"), &[], &[scale]);
    let zero = edit.add(&format!("{value}.zero"), DataType::Uint8, &[], vec![zero]);
    let bytes = edit.fresh(&format!("{value}.bytes"));
    let rounded = edit.fresh(&format!("{value}.rounded"));
    nodes.extend([
        node("QuantizeLinear", &[value, &scale, &zero], &bytes),
        node("DequantizeLinear", &[&bytes, &scale, &zero], &rounded),
    ]);
    rounded
}

/// Weights `[outputs, …]` in signed bytes; gives the name of their numbers.
fn weights(edit: &mut Edit, name: &str, nodes: &mut Vec<pb::NodeProto>) -> String {
    let Some(weights) = edit.weights(name) else {
        return name.to_owned();
    };
    let outputs = weights.shape[0];
    let channels = weights.numbers.chunks(weights.numbers.len() / outputs);
    let steps: Vec<f32> = channels.clone().map(step).collect();
    let bytes = channels
        .zip(&steps)
        .flat_map(|(channel, &step)| channel.iter().map(move |&number| byte(number, step)));
    let bytes = bytes.collect();
    let bytes = edit.add(
        &format!("{name}.int8"),
        DataType::Int8,
        &weights.shape,
        bytes,
    );
    let numbers = edit.fresh(&format!("{name}.numbers"));
    if edit.opset() >= STEP_A_CHANNEL {
        let steps = edit.add_f32(&format!("{name}.steps"), &[outputs], &steps);
        let zeros = edit.add(
            &format!("{name}.zeros"),
            DataType::Int8,
            &[outputs],
            vec![0; outputs],
        );
        let mut dequantize = node("DequantizeLinear", &[&bytes, &steps, &zeros], &numbers);
        dequantize.attribute.push(integer("axis", 0));
        nodes.push(dequantize);
    } else {
        let steps = edit.add_f32(&format!("{name}.steps"), &[outputs, 1, 1, 1], &steps);
        let wide = edit.fresh(&format!("{name}.wide"));
        let mut cast = node("Cast", &[&bytes], &wide);
        cast.attribute.push(integer("to", DataType::Float as i64));
        nodes.extend([cast, node("Mul", &[&wide, &steps], &numbers)]);
    }
    edit.changed += 1;
    numbers
}
