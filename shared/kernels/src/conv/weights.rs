//! The order of weights: as a tile reads them, front to back.

use crate::{Conv, Isa};

/// Input lanes to a block, input blocks of a group, output blocks of a group.
fn blocks(conv: &Conv, isa: Isa) -> (usize, usize, usize) {
    let inputs = conv.inputs / conv.groups;
    let depth = if conv.dense_input { 1 } else { isa.lanes() };
    let outputs = isa.blocks(conv.outputs / conv.groups);
    (depth, inputs.div_ceil(depth), outputs)
}

pub(super) fn len(conv: &Conv, isa: Isa) -> usize {
    let (depth, inputs, outputs) = blocks(conv, isa);
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    conv.groups * outputs * inputs * taps * depth * isa.lanes()
}

pub(super) fn arrange(conv: &Conv, isa: Isa, weights: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    assert_eq!(weights.len(), conv.outputs * inputs * taps, "weights");
    let (depth, input_blocks, output_blocks) = blocks(conv, isa);
    let lanes = isa.lanes();
    let mut arranged = vec![0.0; len(conv, isa)];
    for output in 0..conv.outputs {
        let (group, output_) = (output / outputs, output % outputs);
        let block = group * output_blocks + output_ / lanes;
        let lane = output_ % lanes;
        for input in 0..inputs {
            let from = &weights[(output * inputs + input) * taps..][..taps];
            let rows = (block * input_blocks + input / depth) * taps;
            for (tap, &weight) in from.iter().enumerate() {
                arranged[((rows + tap) * depth + input % depth) * lanes + lane] = weight;
            }
        }
    }
    arranged
}
