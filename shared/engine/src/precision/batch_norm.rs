//! `BatchNormalization` after a convolution becomes part of its weights: after quantization it could not.

use std::collections::HashMap;

use tract_onnx::pb;

use super::edit::{Edit, float_or, integer_or};

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + shift`, a channel ([paper], equation at inference).
///
/// [paper]: https://arxiv.org/abs/1502.03167
struct Affine {
    factor: Vec<f32>,
    shift: Vec<f32>,
}

pub(super) fn fold(edit: &mut Edit) {
    let readers = edit.readers();
    let mut norms: HashMap<String, pb::NodeProto> = HashMap::new();
    for node in &edit.graph.node {
        if node.op_type != "Conv" {
            continue;
        }
        let [y] = &node.output[..] else { continue };
        let Some(&[reader]) = readers.get(y).map(Vec::as_slice) else {
            continue;
        };
        let norm = &edit.graph.node[reader];
        let follows = norm.op_type == "BatchNormalization" && norm.input.first() == Some(y);
        let trains = integer_or(norm, "training_mode", 0) != 0
            || norm.output.len() != 1
            || norm.input.len() != 5;
        if follows && !trains && !edit.is_output(y) {
            norms.insert(y.clone(), norm.clone());
        }
    }
    let mut folded: HashMap<String, String> = HashMap::new();
    edit.rewrite(|edit, mut node, nodes| {
        if node.op_type == "BatchNormalization"
            && node.input.first().is_some_and(|x| folded.contains_key(x))
        {
            return;
        }
        if node.op_type == "Conv"
            && let Some(norm) = node.output.first().and_then(|y| norms.get(y))
            && let Some((weights, bias)) = into_weights(edit, &node, norm)
        {
            folded.insert(node.output[0].clone(), norm.output[0].clone());
            node.input.truncate(1);
            node.input.extend([weights, bias]);
            node.output[0].clone_from(&norm.output[0]);
        }
        nodes.push(node);
    });
}

/// The names of the convolution's new weights and bias.
fn into_weights(
    edit: &mut Edit,
    conv: &pb::NodeProto,
    norm: &pb::NodeProto,
) -> Option<(String, String)> {
    let name = conv.input.get(1)?;
    let mut weights = edit.weights(name)?;
    let channels = *weights.shape.first()?;
    let Affine { factor, shift } = affine(edit, norm, channels)?;
    let mut bias = match conv.input.get(2).filter(|bias| !bias.is_empty()) {
        Some(bias) => edit.weights(bias)?.numbers,
        None => vec![0.0; channels],
    };
    let each = weights.numbers.len() / channels.max(1);
    for (channel, factor) in factor.iter().enumerate() {
        weights.numbers[channel * each..][..each]
            .iter_mut()
            .for_each(|weight| *weight *= factor);
        *bias.get_mut(channel)? = bias.get(channel)? * factor + shift[channel];
    }
    let shape = weights.shape;
    Some((
        edit.add_f32(&format!("{name}.normalized"), &shape, &weights.numbers),
        edit.add_f32(&format!("{name}.shift"), &[channels], &bias),
    ))
}

fn affine(edit: &Edit, norm: &pb::NodeProto, channels: usize) -> Option<Affine> {
    let [_, scale, shift, mean, variance] = &norm.input[..] else {
        return None;
    };
    let numbers = |name: &str| {
        let numbers = edit.weights(name)?.numbers;
        (numbers.len() == channels).then_some(numbers)
    };
    let (scale, shift, mean, variance) = (
        numbers(scale)?,
        numbers(shift)?,
        numbers(mean)?,
        numbers(variance)?,
    );
    let epsilon = float_or(norm, "epsilon", 1e-5);
    let factor: Vec<f32> = scale
        .iter()
        .zip(&variance)
        .map(|(s, v)| s / (v + epsilon).sqrt())
        .collect();
    let shift = shift
        .iter()
        .zip(&mean)
        .zip(&factor)
        .map(|((b, m), f)| b - m * f)
        .collect();
    Some(Affine { factor, shift })
}
