//! Every kernel on every instruction set of this machine against a naive reference, over shapes drawn at random.

use dunlin_kernels::{
    Activation, Conv, Depthwise, GroupedOperands, GroupedPointwise, Isa, Method, Operands, Pool,
    Pooling, Steps, Window, affine, from_blocked, to_blocked,
};
use fastrand::Rng;

/// A convolution over dense tensors, in `f64`.
struct Reference<'a> {
    groups: usize,
    size: [usize; 2],
    window: Window,
    input: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: Activation,
}

impl Reference<'_> {
    fn run(&self, inputs: usize, outputs: usize) -> Vec<f32> {
        let [rows, columns] = self.window.output(self.size);
        let [height, width] = self.size;
        let (inputs, outputs_) = (inputs / self.groups, outputs / self.groups);
        let [kernel_height, kernel_width] = self.window.kernel;
        let mut result = Vec::with_capacity(outputs * rows * columns);
        for output in 0..outputs {
            for y in 0..rows {
                for x in 0..columns {
                    let mut sum = f64::from(self.bias[output]);
                    for input in 0..inputs {
                        let plane = (output / outputs_ * inputs + input) * height * width;
                        for tap in 0..kernel_height * kernel_width {
                            let (ty, tx) = (tap / kernel_width, tap % kernel_width);
                            let at = position(&self.window, self.size, [y, x], [ty, tx]);
                            let Some(at) = at else { continue };
                            let weight = (output * inputs + input) * kernel_height * kernel_width;
                            sum += f64::from(self.input[plane + at])
                                * f64::from(self.weights[weight + tap]);
                        }
                    }
                    if let Some(residual) = self.residual {
                        sum += f64::from(residual[result.len()]);
                    }
                    result.push(activate(self.activation, sum));
                }
            }
        }
        result
    }
}

/// The index in the plane that a tap reads, if it lies inside.
fn position(window: &Window, size: [usize; 2], at: [usize; 2], tap: [usize; 2]) -> Option<usize> {
    let [y, x] = [0, 1].map(|axis| {
        (at[axis] * window.stride[axis] + tap[axis] * window.dilation[axis])
            .checked_sub(window.before[axis])
            .filter(|&at| at < size[axis])
    });
    Some(y? * size[1] + x?)
}

fn activate(activation: Activation, x: f64) -> f32 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let line = |x: f64, a: f32, b: f32| (f64::from(a) * x + f64::from(b)).clamp(0.0, 1.0);
    let y = match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clip(low, high) => x.clamp(f64::from(low), f64::from(high)),
        Activation::LeakyRelu(alpha) => x.max(0.0) + f64::from(alpha) * x.min(0.0),
        Activation::HardSigmoid(alpha, beta) => line(x, alpha, beta),
        Activation::HardSwish => x * line(x, 1.0 / 6.0, 0.5),
        Activation::Sigmoid => sigmoid(x),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
    };
    y as f32
}

/// erf by Simpson's rule.
fn erf(x: f64) -> f64 {
    let steps = 2000;
    let step = x / f64::from(steps);
    let sum: f64 = (0..=steps)
        .map(|at| {
            let weight = match at {
                0 => 1.0,
                at if at == steps => 1.0,
                at if at % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * (-(step * f64::from(at)).powi(2)).exp()
        })
        .sum();
    sum * step / 3.0 * std::f64::consts::FRAC_2_SQRT_PI
}

const ACTIVATIONS: [Activation; 10] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip(-0.25, 0.5),
    Activation::LeakyRelu(0.1),
    Activation::HardSigmoid(0.2, 0.5),
    Activation::HardSwish,
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Tanh,
    Activation::Gelu,
];

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

fn numbers(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect()
}

/// A window that fits the plane, often odd.
fn window(rng: &mut Rng, size: [usize; 2]) -> Window {
    loop {
        let kernel = rng.choice([1, 1, 2, 3, 3, 3, 5, 5, 7]).expect("some");
        let stride = rng.choice([1, 1, 1, 2, 2, 3]).expect("some");
        let mut window = Window::square(kernel).stride(stride);
        if rng.u8(..3) == 0 {
            window.kernel[rng.usize(..2)] = rng.usize(1..5);
            window.stride[rng.usize(..2)] = rng.usize(1..4);
        }
        if rng.u8(..4) == 0 {
            window.dilation = [rng.usize(1..4), rng.usize(1..4)];
        }
        if rng.bool() {
            window.before = [rng.usize(..4), rng.usize(..4)];
            window.after = [rng.usize(..4), rng.usize(..4)];
        } else {
            window = window.pad(kernel / 2);
        }
        if window.output(size).iter().all(|&size| size > 0) {
            return window;
        }
    }
}

fn blocked(isa: Isa, channels: usize, plane: usize, dense: &[f32]) -> Vec<f32> {
    let mut blocked = vec![f32::NAN; isa.blocks(channels) * plane * isa.lanes()];
    to_blocked(isa, channels, plane, dense, &mut blocked);
    blocked
}

fn dense(isa: Isa, channels: usize, plane: usize, blocked: &[f32]) -> Vec<f32> {
    let mut dense = vec![f32::NAN; channels * plane];
    from_blocked(isa, channels, plane, blocked, &mut dense);
    dense
}

fn padded(isa: Isa, channels: usize, bias: &[f32]) -> Vec<f32> {
    let mut bias = bias.to_vec();
    bias.resize(isa.blocks(channels) * isa.lanes(), 0.0);
    bias
}

/// Equal within `tolerance` of the greatest magnitude.
fn assert_close(got: &[f32], wanted: &[f32], tolerance: f32, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), wanted.len(), "{what:?}");
    let scale = wanted.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
    for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (got - wanted).abs() <= tolerance * scale,
            "{what:?}: {got} instead of {wanted} at {at}"
        );
    }
}

#[test]
fn convolutions() {
    let mut rng = Rng::with_seed(7);
    for case in 0..400 {
        let column = case % 8 == 7;
        let width = if column { 1 } else { rng.usize(1..36) };
        let size = [rng.usize(1..20), width];
        let mut window = window(&mut rng, size);
        if column {
            (window.kernel[1], window.before[1], window.after[1]) = (1, 0, 0);
        }
        let dense_input = rng.u8(..5) == 0;
        let groups = if dense_input {
            1
        } else {
            rng.choice([1, 1, 1, 2, 3]).expect("some")
        };
        let channels = |rng: &mut Rng| match groups {
            1 => rng.usize(1..70),
            _ => 16 * groups * rng.usize(1..3),
        };
        let (inputs, outputs) = (channels(&mut rng), channels(&mut rng));
        let conv = Conv {
            inputs,
            outputs,
            groups,
            size,
            window,
            dense_input,
            activation: ACTIVATIONS[case % ACTIVATIONS.len()],
        };
        assert_convolves(&mut rng, &conv);
    }
}

#[test]
fn convolutions_of_tiles() {
    let mut rng = Rng::with_seed(12);
    for case in 0..100 {
        let size = [rng.usize(1..40), rng.usize(1..40)];
        let mut window = Window::square(3).pad(1);
        if rng.bool() {
            window.before = [rng.usize(..9), rng.usize(..9)];
            window.after = [rng.usize(..9), rng.usize(..9)];
        }
        if window.output(size).contains(&0) {
            continue;
        }
        let conv = Conv {
            inputs: rng.usize(1..70),
            outputs: rng.usize(1..70),
            groups: 1,
            size,
            window,
            dense_input: false,
            activation: ACTIVATIONS[case % ACTIVATIONS.len()],
        };
        assert!(conv.allows(Method::Winograd));
        assert_convolves(&mut rng, &conv);
    }
}

/// So many inputs that Winograd's algorithm cuts them with every instruction set; once and again in a run.
#[test]
fn convolutions_of_many_inputs() {
    let mut rng = Rng::with_seed(13);
    for (size, outputs) in [([7, 7], 40), ([28, 20], 20), ([20, 28], 40)] {
        let conv = Conv {
            inputs: 600,
            outputs,
            groups: 1,
            size,
            window: Window::square(3).pad(1),
            dense_input: false,
            activation: Activation::Relu,
        };
        assert!(conv.allows(Method::Winograd));
        assert_convolves(&mut rng, &conv);
    }
}

/// Does a convolution by all methods and instruction sets that there are.
fn assert_convolves(rng: &mut Rng, conv: &Conv) {
    let &Conv {
        inputs,
        outputs,
        groups,
        size,
        window,
        dense_input,
        activation,
    } = conv;
    let [rows, columns] = conv.output_size();
    let input = numbers(rng, inputs * size[0] * size[1]);
    let taps = window.kernel[0] * window.kernel[1];
    let weights = numbers(rng, outputs * inputs / groups * taps);
    let bias = numbers(rng, outputs);
    let residual = rng.bool().then(|| numbers(rng, outputs * rows * columns));
    let wanted = Reference {
        groups,
        size,
        window,
        input: &input,
        weights: &weights,
        bias: &bias,
        residual: residual.as_deref(),
        activation,
    }
    .run(inputs, outputs);
    for isa in isas() {
        assert!(conv.is_supported(isa));
        let residual = residual
            .as_deref()
            .map(|residual| blocked(isa, outputs, rows * columns, residual));
        let input = if dense_input {
            input.clone()
        } else {
            blocked(isa, inputs, size[0] * size[1], &input)
        };
        let weights = conv.arrange(isa, &weights);
        let bias = padded(isa, outputs, &bias);
        for method in [Method::Direct, Method::Winograd] {
            if !conv.allows(method) {
                continue;
            }
            let mut output = vec![f32::NAN; conv.output_len(isa)];
            conv.run(
                isa,
                method,
                Operands {
                    input: &input,
                    weights: &weights,
                    bias: &bias,
                    residual: residual.as_deref(),
                    output: &mut output,
                    scratch: &mut vec![f32::NAN; conv.scratch_len(isa, method)],
                },
            );
            let what = (isa, method, &conv);
            assert!(output.iter().all(|x| x.is_finite()), "{what:?}");
            let got = dense(isa, outputs, rows * columns, &output);
            assert_close(&got, &wanted, 5e-5, &what);
        }
    }
}

#[test]
fn grouped_pointwise_convolutions() {
    let mut rng = Rng::with_seed(14);
    for case in 0..200 {
        let groups = rng.usize(1..7);
        let shuffle = if rng.bool() { groups } else { 1 };
        let conv = GroupedPointwise {
            inputs: groups * rng.usize(1..40),
            outputs: groups * rng.usize(1..40),
            groups,
            shuffle,
            size: [rng.usize(1..9), rng.usize(1..9)],
            activation: ACTIVATIONS[case % ACTIVATIONS.len()],
        };
        let plane = conv.size[0] * conv.size[1];
        let input = numbers(&mut rng, conv.inputs * plane);
        let shuffled: Vec<_> = (0..conv.inputs)
            .flat_map(|at| {
                let from = at % shuffle * (conv.inputs / shuffle) + at / shuffle;
                input[from * plane..][..plane].to_vec()
            })
            .collect();
        let weights = numbers(&mut rng, conv.outputs * conv.inputs / groups);
        let bias = numbers(&mut rng, conv.outputs);
        let residual = rng.bool().then(|| numbers(&mut rng, conv.outputs * plane));
        let wanted = Reference {
            groups,
            size: conv.size,
            window: Window::square(1),
            input: &shuffled,
            weights: &weights,
            bias: &bias,
            residual: residual.as_deref(),
            activation: conv.activation,
        }
        .run(conv.inputs, conv.outputs);
        for isa in isas() {
            let residual = residual
                .as_deref()
                .map(|residual| blocked(isa, conv.outputs, plane, residual));
            let arranged = conv.arrange(isa, &weights);
            assert_eq!(arranged.len(), conv.weights_len(isa));
            let mut output = vec![f32::NAN; conv.output_len(isa)];
            let operands = GroupedOperands {
                input: &blocked(isa, conv.inputs, plane, &input),
                weights: &arranged,
                bias: &padded(isa, conv.outputs, &bias),
                residual: residual.as_deref(),
                output: &mut output,
            };
            conv.run(isa, operands);
            assert!(output.iter().all(|x| x.is_finite()), "{isa} {conv:?}");
            let got = dense(isa, conv.outputs, plane, &output);
            assert_close(&got, &wanted, 5e-5, &(isa, &conv));
        }
    }
}

#[test]
fn depthwise_convolutions() {
    let mut rng = Rng::with_seed(8);
    for case in 0..400 {
        let mut size = [rng.usize(1..40), rng.usize(1..60)];
        let mut window = window(&mut rng, size);
        if case % 8 == 0 {
            // As wide as a tile, or nearly.
            size[1] = rng.usize(1..10);
            window = Window::square(rng.choice([3, 5]).expect("some"));
            window = window.pad(window.kernel[1] / 2);
        }
        let channels = rng.usize(1..40);
        let depthwise = Depthwise {
            channels,
            size,
            window,
            activation: ACTIVATIONS[case % ACTIVATIONS.len()],
        };
        let [rows, columns] = depthwise.output_size();
        let input = numbers(&mut rng, channels * size[0] * size[1]);
        let weights = numbers(&mut rng, channels * window.kernel[0] * window.kernel[1]);
        let bias = numbers(&mut rng, channels);
        let wanted = Reference {
            groups: channels,
            size,
            window,
            input: &input,
            weights: &weights,
            bias: &bias,
            residual: None,
            activation: depthwise.activation,
        }
        .run(channels, channels);
        for isa in isas() {
            let mut output = vec![f32::NAN; depthwise.output_len(isa)];
            depthwise.run(
                isa,
                &blocked(isa, channels, size[0] * size[1], &input),
                &depthwise.arrange(isa, &weights),
                &padded(isa, channels, &bias),
                &mut output,
            );
            assert!(output.iter().all(|x| x.is_finite()), "{depthwise:?} {isa}");
            let got = dense(isa, channels, rows * columns, &output);
            assert_close(&got, &wanted, 3e-5, &(isa, &depthwise));
        }
    }
}

#[test]
fn poolings() {
    let mut rng = Rng::with_seed(9);
    for case in 0..300 {
        let size = [rng.usize(1..20), rng.usize(1..20)];
        let window = window(&mut rng, size);
        // A window that lies in the padding alone has no greatest number and no mean.
        if (0..2).any(|axis| window.before[axis].max(window.after[axis]) >= window.kernel[axis]) {
            continue;
        }
        let pooling = match case % 4 {
            0 => Pooling::Max,
            3 => Pooling::Sum,
            1 => Pooling::Mean { padding: true },
            _ => Pooling::Mean { padding: false },
        };
        let channels = rng.usize(1..40);
        let pool = Pool {
            channels,
            size,
            window,
            pooling,
        };
        let input = numbers(&mut rng, channels * size[0] * size[1]);
        let wanted = reference_pool(&pool, &input);
        let plane = pool.output_size().iter().product();
        for isa in isas() {
            let mut output = vec![f32::NAN; isa.blocks(channels) * plane * isa.lanes()];
            let input = blocked(isa, channels, size[0] * size[1], &input);
            pool.run(isa, &input, &mut output);
            let got = dense(isa, channels, plane, &output);
            assert_close(&got, &wanted, 1e-6, &(isa, &pool));
        }
    }
}

fn reference_pool(pool: &Pool, input: &[f32]) -> Vec<f32> {
    let [rows, columns] = pool.output_size();
    let [kernel_height, kernel_width] = pool.window.kernel;
    let mut result = Vec::new();
    for input in input.chunks_exact(pool.size[0] * pool.size[1]) {
        for at in 0..rows * columns {
            let at = [at / columns, at % columns];
            let taps = (0..kernel_height * kernel_width).filter_map(|tap| {
                let tap = [tap / kernel_width, tap % kernel_width];
                position(&pool.window, pool.size, at, tap).map(|at| input[at])
            });
            let (mut sum, mut most, mut count) = (0.0, f32::NEG_INFINITY, 0);
            for x in taps {
                sum += x;
                most = most.max(x);
                count += 1;
            }
            result.push(match pool.pooling {
                Pooling::Max => most,
                Pooling::Sum => sum,
                Pooling::Mean { padding: true } => sum / (kernel_height * kernel_width) as f32,
                Pooling::Mean { padding: false } => sum / count as f32,
            });
        }
    }
    result
}

#[test]
fn activations() {
    let mut rng = Rng::with_seed(10);
    for activation in ACTIVATIONS {
        let values: Vec<f32> = (0..1003).map(|_| rng.f32() * 30.0 - 15.0).collect();
        for isa in isas() {
            let mut got = values.clone();
            activation.apply(isa, &mut got);
            for (&x, got) in values.iter().zip(got) {
                let wanted = activate(activation, f64::from(x));
                let close = (got - wanted).abs() <= 2e-6 * wanted.abs().max(0.2);
                assert!(
                    close,
                    "{activation:?}({x}) on {isa}: {got} instead of {wanted}"
                );
            }
        }
    }
    for activation in [
        Activation::Relu,
        Activation::Clip(0.0, 6.0),
        Activation::Silu,
    ] {
        for isa in isas() {
            let mut got = [f32::NAN];
            activation.apply(isa, &mut got);
            assert!(got[0].is_nan(), "{activation:?} hides NaN on {isa}");
        }
    }
}

#[test]
fn affine_passes() {
    let mut rng = Rng::with_seed(11);
    for case in 0..100 {
        let (channels, plane) = (rng.usize(1..40), rng.usize(1..300));
        let activation = ACTIVATIONS[case % ACTIVATIONS.len()];
        let input = numbers(&mut rng, channels * plane);
        let some = |rng: &mut Rng| rng.bool().then(|| numbers(rng, channels));
        let (scale, shift) = (some(&mut rng), some(&mut rng));
        let of = |lanes: &Option<Vec<f32>>, channel: usize, default: f32| {
            f64::from(lanes.as_ref().map_or(default, |lanes| lanes[channel]))
        };
        let wanted: Vec<f32> = input
            .iter()
            .enumerate()
            .map(|(at, &x)| {
                let channel = at / plane;
                let y = f64::from(x) * of(&scale, channel, 1.0) + of(&shift, channel, 0.0);
                activate(activation, y)
            })
            .collect();
        for isa in isas() {
            let mut got = blocked(isa, channels, plane, &input);
            let lanes =
                |numbers: &Option<Vec<f32>>| numbers.as_ref().map(|n| padded(isa, channels, n));
            let (scale, shift) = (lanes(&scale), lanes(&shift));
            affine(
                isa,
                &mut got,
                scale.as_deref(),
                shift.as_deref(),
                activation,
            );
            let got = dense(isa, channels, plane, &got);
            assert_close(&got, &wanted, 2e-6, &(isa, activation));
        }
    }
}

#[test]
fn steps_are_rounded_to() {
    let steps = Steps {
        scale: 0.25,
        zero: 3.0,
        range: [0.0, 255.0],
    };
    for isa in isas() {
        let mut values = [0.0, 0.25, 0.3, 0.375, 0.125, -0.75, -9.0, 63.0, 64.0];
        steps.round(isa, &mut values);
        let wanted = [0.0, 0.25, 0.25, 0.5, 0.0, -0.75, -0.75, 63.0, 63.0];
        assert_close(&values, &wanted, 0.0, &isa);
    }
}
