//! The kernels on bytes, and products of matrices, on every instruction set of this machine, against a naive reference.

#![allow(clippy::float_cmp)] // Steps and scales are told by a formula, to the bit.

use dunlin_kernels::{
    Activation, Conv, Depthwise, IntegerConv, IntegerDepthwise, IntegerDepthwiseOperands,
    IntegerOperands, IntegerOutput, IntegerProduct, Isa, Product, ProductOperands, Steps, Window,
};
use fastrand::Rng;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

fn weights(rng: &mut Rng, len: usize) -> Vec<i8> {
    (0..len).map(|_| rng.i8(..)).collect()
}

fn numbers(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.f32() - 0.5).collect()
}

/// `[channels, plane]` to `[blocks, plane, lanes]`; what is in no channel is `rest`.
fn blocked<T: Copy>(isa: Isa, channels: usize, plane: usize, dense: &[T], rest: T) -> Vec<T> {
    let lanes = isa.lanes();
    let at = |at: usize| {
        let (block, place, lane) = (at / lanes / plane, at / lanes % plane, at % lanes);
        let channel = block * lanes + lane;
        if channel < channels {
            dense[channel * plane + place]
        } else {
            rest
        }
    };
    (0..isa.blocks(channels) * plane * lanes).map(at).collect()
}

/// The sums of products of one output channel, at every position, without the zero of the input.
fn sums(conv: &IntegerConv, input: &[u8], weights: &[i8], output: usize) -> Vec<i64> {
    let IntegerConv { conv, zero, .. } = conv;
    let Window {
        kernel,
        stride,
        dilation,
        before,
        ..
    } = conv.window;
    let [height, width] = conv.size;
    let [rows, columns] = conv.output_size();
    let inputs = conv.inputs / conv.groups;
    let group = output / (conv.outputs / conv.groups);
    let mut all = Vec::new();
    for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let mut sum = 0;
        for (at, &weight) in weights
            .chunks_exact(inputs * kernel[0] * kernel[1])
            .nth(output)
            .expect("a channel")
            .iter()
            .enumerate()
        {
            let (channel, tap) = (at / (kernel[0] * kernel[1]), at % (kernel[0] * kernel[1]));
            let from = |at: usize, axis: usize, tap: usize| {
                (at * stride[axis] + tap * dilation[axis])
                    .checked_sub(before[axis])
                    .filter(|&at| at < [height, width][axis])
            };
            if let (Some(y), Some(x)) = (from(y, 0, tap / kernel[1]), from(x, 1, tap % kernel[1])) {
                let byte = input[((group * inputs + channel) * height + y) * width + x];
                sum += (i64::from(byte) - i64::from(*zero)) * i64::from(weight);
            }
        }
        all.push(sum);
    }
    all
}

#[test]
#[allow(clippy::too_many_lines)] // What is drawn, what is wanted, what is got.
fn convolutions() {
    let mut rng = Rng::with_seed(5);
    for case in 0..300 {
        let groups = rng.choice([1, 1, 1, 2]).expect("some");
        let channels = |rng: &mut Rng| {
            if groups == 1 {
                rng.usize(1..70)
            } else {
                32 * rng.usize(1..3)
            }
        };
        let kernel = rng.choice([1, 1, 3, 3, 5]).expect("some");
        let mut window = Window::square(kernel).stride(rng.usize(1..3));
        if rng.bool() {
            window = window.pad(kernel / 2);
        }
        let activation = [
            Activation::None,
            Activation::Relu,
            Activation::Clip(-3.0, 4.0),
            Activation::Silu,
        ][case % 4];
        let conv = Conv {
            inputs: channels(&mut rng),
            outputs: channels(&mut rng),
            groups,
            size: [rng.usize(5..20), rng.usize(5..30)],
            window,
            dense_input: false,
            activation,
        };
        let quantized = rng.bool() && activation != Activation::Silu;
        let steps = Steps {
            scale: 0.05,
            zero: f32::from(rng.u8(..)),
            range: [0.0, 255.0],
        };
        let conv = IntegerConv {
            conv,
            zero: rng.u8(..),
            output: quantized.then_some(steps),
        };
        let (inputs, outputs) = (conv.conv.inputs, conv.conv.outputs);
        let plane: usize = conv.conv.output_size().iter().product();
        let in_plane = conv.conv.size[0] * conv.conv.size[1];
        let input = bytes(&mut rng, inputs * in_plane);
        let all_weights = weights(&mut rng, outputs * inputs / groups * kernel * kernel);
        let (factor, bias) = (numbers(&mut rng, outputs), numbers(&mut rng, outputs));
        let factor: Vec<f32> = factor.iter().map(|x| x * 1e-3).collect();
        let residual = rng.bool().then(|| numbers(&mut rng, outputs * plane));
        let mut wanted = Vec::new();
        for output in 0..outputs {
            for (at, sum) in sums(&conv, &input, &all_weights, output)
                .into_iter()
                .enumerate()
            {
                let residual = residual
                    .as_ref()
                    .map_or(0.0, |all| all[output * plane + at]);
                let x = sum as f64 * f64::from(factor[output])
                    + f64::from(bias[output])
                    + f64::from(residual);
                wanted.push(match activation {
                    Activation::Relu => x.max(0.0),
                    Activation::Clip(low, high) => x.clamp(f64::from(low), f64::from(high)),
                    Activation::Silu => x / (1.0 + (-x).exp()),
                    _ => x,
                });
            }
        }
        for isa in isas() {
            assert!(conv.is_supported(isa), "{conv:?}");
            let lanes = |of: &[f32]| blocked(isa, outputs, 1, of, 0.0);
            let residual = residual
                .as_ref()
                .map(|all| blocked(isa, outputs, plane, all, 0.0));
            let len = conv.conv.output_len(isa);
            let (mut output, mut steps_out) = (vec![f32::NAN; len], vec![7; len]);
            conv.run(
                isa,
                IntegerOperands {
                    // A lane of no channel holds anything: its weights are zero.
                    input: &blocked(isa, inputs, in_plane, &input, 200),
                    weights: &conv.arrange(isa, &all_weights),
                    offsets: &conv.offsets(isa, &all_weights),
                    factor: &lanes(&factor),
                    bias: &lanes(&bias),
                    residual: residual.as_deref(),
                    output: if quantized {
                        IntegerOutput::Bytes(&mut steps_out)
                    } else {
                        IntegerOutput::Numbers(&mut output)
                    },
                    scratch: &mut vec![f32::NAN; conv.scratch_len(isa)],
                },
            );
            if quantized {
                let wanted: Vec<f64> = wanted
                    .iter()
                    .map(|x| (x / 0.05 + f64::from(steps.zero)).clamp(0.0, 255.0))
                    .collect();
                let wanted = blocked(isa, outputs, plane, &wanted, f64::NAN);
                // Halfway between two steps, either is right.
                let right = steps_out.iter().zip(&wanted).all(|(&got, wanted)| {
                    wanted.is_nan() || (f64::from(got) - wanted).abs() < 0.501
                });
                assert!(right, "{isa} {conv:?}");
            } else {
                let wanted = blocked(isa, outputs, plane, &wanted, f64::NAN);
                let right = output.iter().zip(&wanted).all(|(&got, wanted)| {
                    wanted.is_nan()
                        || (f64::from(got) - wanted).abs() <= 1e-5 * wanted.abs().max(100.0)
                });
                assert!(right, "{isa} {conv:?}");
            }
        }
    }
}

#[test]
fn depthwise_convolutions() {
    let mut rng = Rng::with_seed(11);
    for case in 0..400 {
        let mut window = Window::square(rng.choice([1, 2, 3, 3, 5, 5, 7]).expect("some"));
        window = window.stride(rng.usize(1..3)).pad(window.kernel[0] / 2);
        if rng.u8(..3) == 0 {
            window.kernel = [rng.usize(1..9), rng.usize(1..6)];
            window.stride[1] = rng.usize(1..4);
            window.dilation = [rng.usize(1..3), rng.usize(1..3)];
            window.before = [rng.usize(..4), rng.usize(..9)];
            window.after = [rng.usize(..4), rng.usize(..4)];
        }
        let size = [rng.usize(1..20), rng.usize(1..40)];
        if window.output(size).contains(&0) {
            continue;
        }
        let channels = rng.usize(1..40);
        let activation = [
            Activation::None,
            Activation::Relu,
            Activation::Clip(-3.0, 4.0),
        ][case % 3];
        let steps = Steps {
            scale: 0.05,
            zero: f32::from(rng.u8(..)),
            range: [0.0, 255.0],
        };
        let convolution = IntegerDepthwise {
            depthwise: Depthwise {
                channels,
                size,
                window,
                activation,
            },
            zero: rng.u8(..),
            output: steps,
        };
        let reference = IntegerConv {
            conv: Conv {
                inputs: channels,
                outputs: channels,
                groups: channels,
                size,
                window,
                dense_input: false,
                activation,
            },
            zero: convolution.zero,
            output: None,
        };
        let input = bytes(&mut rng, channels * size[0] * size[1]);
        let all_weights = weights(&mut rng, channels * window.kernel[0] * window.kernel[1]);
        let (factor, bias) = (numbers(&mut rng, channels), numbers(&mut rng, channels));
        let factor: Vec<f32> = factor.iter().map(|x| x * 1e-3).collect();
        let (low, high) = match activation {
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Clip(low, high) => (low, high),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let wanted = (0..channels).flat_map(|channel| {
            let (factor, bias) = (f64::from(factor[channel]), f64::from(bias[channel]));
            let sums = sums(&reference, &input, &all_weights, channel);
            sums.into_iter().map(move |sum| {
                let x = (sum as f64 * factor + bias).clamp(f64::from(low), f64::from(high));
                (x / f64::from(steps.scale) + f64::from(steps.zero)).clamp(0.0, 255.0)
            })
        });
        let wanted: Vec<f64> = wanted.collect();
        let plane: usize = window.output(size).iter().product();
        for isa in isas() {
            assert!(convolution.is_supported(), "{convolution:?}");
            let lanes = |of: &[f32]| blocked(isa, channels, 1, of, 0.0);
            let mut output = vec![7; convolution.depthwise.output_len(isa)];
            convolution.run(
                isa,
                IntegerDepthwiseOperands {
                    input: &blocked(isa, channels, size[0] * size[1], &input, 200),
                    weights: &convolution.arrange(isa, &all_weights),
                    offsets: &convolution.offsets(isa, &all_weights),
                    factor: &lanes(&factor),
                    bias: &lanes(&bias),
                    output: &mut output,
                },
            );
            let wanted = blocked(isa, channels, plane, &wanted, f64::NAN);
            // Halfway between two steps, either is right.
            let right = output
                .iter()
                .zip(&wanted)
                .all(|(&got, wanted)| wanted.is_nan() || (f64::from(got) - wanted).abs() < 0.501);
            assert!(right, "{isa} {convolution:?}");
        }
    }
}

#[test]
fn products() {
    let mut rng = Rng::with_seed(6);
    for _ in 0..200 {
        let product = IntegerProduct {
            inputs: 4 * rng.usize(1..40),
            outputs: rng.usize(1..80),
        };
        let IntegerProduct { inputs, outputs } = product;
        let (count, zero) = (rng.usize(1..40), rng.u8(..));
        let rows = bytes(&mut rng, count * inputs);
        let weights = weights(&mut rng, inputs * outputs);
        let sum = |row: usize, column: usize| {
            let terms = (0..inputs).map(|at| {
                (i32::from(rows[row * inputs + at]) - i32::from(zero))
                    * i32::from(weights[at * outputs + column])
            });
            terms.sum::<i32>()
        };
        let wanted: Vec<i32> = (0..count * outputs)
            .map(|at| sum(at / outputs, at % outputs))
            .collect();
        for isa in isas() {
            let mut output = vec![f32::NAN; count * outputs];
            product.run(
                isa,
                ProductOperands {
                    rows: &rows,
                    zero,
                    weights: &product.arrange(isa, &weights),
                    sums: &product.sums(isa, &weights),
                    output: &mut output,
                },
            );
            let got: Vec<i32> = output.iter().map(|x| x.to_bits() as i32).collect();
            assert_eq!(got, wanted, "{isa} {product:?} {count}");
        }
    }
}

#[test]
fn products_of_numbers() {
    let mut rng = Rng::with_seed(9);
    for _ in 0..200 {
        let (inputs, outputs) = (rng.usize(1..100), rng.usize(1..80));
        let product = Product { inputs, outputs };
        let count = rng.usize(1..40);
        let rows = numbers(&mut rng, count * inputs);
        let weights = numbers(&mut rng, inputs * outputs);
        let bias = numbers(&mut rng, outputs);
        let sum = |row: usize, column: usize| {
            let term =
                |at| f64::from(rows[row * inputs + at]) * f64::from(weights[at * outputs + column]);
            (0..inputs).map(term).sum::<f64>() + f64::from(bias[column])
        };
        for isa in isas() {
            let mut output = vec![f32::NAN; count * outputs];
            let bias = blocked(isa, outputs, 1, &bias, 0.0);
            let mut arranged = vec![f32::NAN; product.weights_len(isa)];
            let weight = |input, output| weights[input * outputs + output];
            product.arrange(isa, weight, &mut arranged);
            product.run(isa, &rows, &arranged, &bias, &mut output);
            for (at, &got) in output.iter().enumerate() {
                let wanted = sum(at / outputs, at % outputs);
                assert!(
                    (f64::from(got) - wanted).abs() < 1e-4,
                    "{isa} {product:?} {count}"
                );
            }
        }
    }
}

#[test]
fn steps() {
    let mut rng = Rng::with_seed(7);
    for _ in 0..100 {
        let len = rng.usize(1..100);
        let signed = rng.bool();
        let range = if signed {
            [-128.0, 127.0]
        } else {
            [0.0, 255.0]
        };
        let zero = (range[0] + f32::from(rng.u8(..))).min(range[1]);
        let steps = |scale| {
            Steps { scale, zero, range }
                .bytes()
                .expect("steps of bytes")
        };
        let (a, b, sum) = (steps(0.02), steps(0.03), steps(0.05));
        assert!((0.0..=255.0).contains(&a.zero));
        let (x, y) = (numbers(&mut rng, len), numbers(&mut rng, len));
        for isa in isas() {
            let (mut x_bytes, mut y_bytes, mut both) = (vec![0; len], vec![0; len], vec![0; len]);
            a.to_bytes(isa, &x, &mut x_bytes);
            b.to_bytes(isa, &y, &mut y_bytes);
            let mut back = vec![f32::NAN; len];
            a.from_bytes(isa, &x_bytes, &mut back);
            let mut rounded = x.clone();
            a.round(isa, &mut rounded);
            for at in 0..len {
                assert_eq!(back[at], rounded[at], "{isa}");
                let clipped = |bound: f32| (bound - a.zero) * a.scale;
                let inside = x[at].clamp(clipped(0.0), clipped(255.0));
                assert!((back[at] - inside).abs() <= a.scale * 0.5001, "{isa}");
            }
            sum.sum(
                isa,
                [(&x_bytes, a), (&y_bytes, b)],
                Activation::Relu,
                &mut both,
            );
            for at in 0..len {
                let number = |byte: u8, steps: Steps| (f32::from(byte) - steps.zero) * steps.scale;
                let wanted = (number(x_bytes[at], a) + number(y_bytes[at], b)).max(0.0) / sum.scale
                    + sum.zero;
                assert!(
                    (f32::from(both[at]) - wanted.clamp(0.0, 255.0)).abs() < 0.501,
                    "{isa}"
                );
            }
        }
    }
}

#[test]
fn steps_reach_over_the_numbers() {
    let mut rng = Rng::with_seed(8);
    for _ in 0..100 {
        let len = rng.usize(0..100);
        let shift = rng.f32() * 4.0 - 2.0;
        let all: Vec<f32> = numbers(&mut rng, len).iter().map(|x| x + shift).collect();
        let (low, high) = all.iter().fold((0.0_f32, 0.0_f32), |(low, high), &x| {
            (low.min(x), high.max(x))
        });
        for isa in isas() {
            let steps = Steps::reaching(isa, &all);
            let wanted = if len == 0 { 1.0 } else { (high - low) / 255.0 };
            assert_eq!(steps.scale, wanted, "{isa}");
            assert_eq!(steps.zero, (-low / wanted).round_ties_even(), "{isa}");
        }
    }
}
