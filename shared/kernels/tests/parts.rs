//! A part of a convolution gives, bit for bit, that part of the whole's output.

use std::ops::Range;

use dunlin_kernels::{
    Activation, Conv, Depthwise, IntegerConv, IntegerDepthwise, IntegerDepthwiseOperands,
    IntegerOperands, IntegerOutput, Isa, Method, Operands, Steps, Window,
};
use fastrand::Rng;

const CONV: Conv = Conv {
    inputs: 40,
    outputs: 75,
    groups: 1,
    size: [9, 11],
    window: Window {
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        before: [1, 1],
        after: [1, 1],
    },
    dense_input: false,
    activation: Activation::Relu,
};

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

fn numbers(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.f32() - 0.5).collect()
}

fn some<'a, T>(all: &'a [T], of: usize, blocks: &Range<usize>) -> &'a [T] {
    let each = all.len() / of;
    &all[blocks.start * each..blocks.end * each]
}

/// Cuts the blocks in two, everywhere.
fn halves(blocks: usize) -> impl Iterator<Item = Range<usize>> {
    (1..blocks).flat_map(move |at| [0..at, at..blocks])
}

#[test]
fn of_numbers() {
    for method in [Method::Direct, Method::Winograd] {
        of_numbers_by(method);
    }
}

fn of_numbers_by(method: Method) {
    let mut rng = Rng::with_seed(1);
    for isa in isas() {
        let input = numbers(&mut rng, CONV.input_len(isa));
        let weights = numbers(&mut rng, CONV.outputs * CONV.inputs * 9);
        let weights = CONV.arrange(isa, &weights);
        let bias = numbers(&mut rng, isa.blocks(CONV.outputs) * isa.lanes());
        let residual = numbers(&mut rng, CONV.output_len(isa));
        let all = CONV.parts(isa);
        let run = |blocks: &Range<usize>| {
            let part = CONV.part(isa, blocks);
            let mut output = vec![0.0; part.output_len(isa)];
            let operands = Operands {
                input: &input,
                weights: some(&weights, all, blocks),
                bias: some(&bias, all, blocks),
                residual: Some(some(&residual, all, blocks)),
                output: &mut output,
                scratch: &mut vec![0.0; part.scratch_len(isa, method)],
            };
            part.run(isa, method, operands);
            output
        };
        let whole = run(&(0..all));
        for blocks in halves(all) {
            assert_eq!(
                run(&blocks),
                some(&whole, all, &blocks),
                "{isa} {method:?} {blocks:?}"
            );
        }
    }
}

#[test]
fn of_channels_by_themselves() {
    let mut rng = Rng::with_seed(2);
    for isa in isas() {
        let depthwise = Depthwise {
            channels: CONV.outputs,
            size: CONV.size,
            window: CONV.window,
            activation: CONV.activation,
        };
        let input = numbers(&mut rng, depthwise.input_len(isa));
        let weights = depthwise.arrange(isa, &numbers(&mut rng, depthwise.channels * 9));
        let all = isa.blocks(depthwise.channels);
        let bias = numbers(&mut rng, all * isa.lanes());
        let run = |blocks: &Range<usize>| {
            let part = depthwise.part(isa, blocks);
            let mut output = vec![0.0; part.output_len(isa)];
            let [input, weights, bias] =
                [&input, &weights, &bias].map(|operand| some(operand, all, blocks));
            part.run(isa, input, weights, bias, &mut output);
            output
        };
        let whole = run(&(0..all));
        for blocks in halves(all) {
            assert_eq!(run(&blocks), some(&whole, all, &blocks), "{isa} {blocks:?}");
        }
    }
}

#[test]
fn of_bytes() {
    let mut rng = Rng::with_seed(3);
    for isa in isas() {
        let steps = Steps {
            scale: 0.1,
            zero: 120.0,
            range: [0.0, 255.0],
        };
        let conv = IntegerConv {
            conv: CONV,
            zero: 128,
            output: Some(steps),
        };
        // As numbers, so that they are aligned as such.
        let input = numbers(&mut rng, CONV.input_len(isa).div_ceil(4));
        let input: Vec<u32> = input.iter().map(|x| x.to_bits()).collect();
        // SAFETY: any bits are bytes.
        let (_, input, _) = unsafe { input.align_to::<u8>() };
        let weights: Vec<i8> = (0..CONV.outputs * CONV.inputs * 9)
            .map(|_| rng.i8(..))
            .collect();
        let offsets = conv.offsets(isa, &weights);
        let weights = conv.arrange(isa, &weights);
        let all = CONV.parts(isa);
        let [factor, bias] = [0.001, 0.5].map(|scale| {
            numbers(&mut rng, all * isa.lanes())
                .iter()
                .map(|x| x * scale)
                .collect::<Vec<_>>()
        });
        let run = |blocks: &Range<usize>| {
            let part = conv.part(isa, blocks);
            let mut output = vec![0; part.conv.output_len(isa)];
            let operands = IntegerOperands {
                input,
                weights: some(&weights, all, blocks),
                offsets: some(&offsets, all, blocks),
                factor: some(&factor, all, blocks),
                bias: some(&bias, all, blocks),
                residual: None,
                output: IntegerOutput::Bytes(&mut output),
                scratch: &mut vec![0.0; part.scratch_len(isa)],
            };
            part.run(isa, operands);
            output
        };
        let whole = run(&(0..all));
        assert!(
            whole.iter().any(|&byte| byte > 130),
            "{isa}: it does something"
        );
        for blocks in halves(all) {
            assert_eq!(run(&blocks), some(&whole, all, &blocks), "{isa} {blocks:?}");
        }
    }
}

#[test]
fn of_channels_of_bytes() {
    let mut rng = Rng::with_seed(4);
    for isa in isas() {
        let convolution = IntegerDepthwise {
            depthwise: Depthwise {
                channels: CONV.outputs,
                size: CONV.size,
                window: CONV.window,
                activation: CONV.activation,
            },
            zero: 128,
            output: Steps {
                scale: 0.1,
                zero: 120.0,
                range: [0.0, 255.0],
            },
        };
        let len = convolution.depthwise.input_len(isa);
        let input: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
        let weights: Vec<i8> = (0..CONV.outputs * 9).map(|_| rng.i8(..)).collect();
        let offsets = convolution.offsets(isa, &weights);
        let weights = convolution.arrange(isa, &weights);
        let all = isa.blocks(CONV.outputs);
        let factor = vec![0.001; all * isa.lanes()];
        let bias = numbers(&mut rng, all * isa.lanes());
        let run = |blocks: &Range<usize>| {
            let part = convolution.part(isa, blocks);
            let mut output = vec![0; part.depthwise.output_len(isa)];
            let operands = IntegerDepthwiseOperands {
                input: some(&input, all, blocks),
                weights: some(&weights, all, blocks),
                offsets: some(&offsets, all, blocks),
                factor: some(&factor, all, blocks),
                bias: some(&bias, all, blocks),
                output: &mut output,
            };
            part.run(isa, operands);
            output
        };
        let whole = run(&(0..all));
        assert!(
            whole.iter().any(|&byte| byte > 130),
            "{isa}: it does something"
        );
        for blocks in halves(all) {
            assert_eq!(run(&blocks), some(&whole, all, &blocks), "{isa} {blocks:?}");
        }
    }
}
