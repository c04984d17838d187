//! What each kernel reaches on the layers of two networks, beside the peaks of this core.
//!
//! `cargo run --release -p dunlin-kernels --example roofline [-- avx2]`: one line a layer: its time, GFLOP/s, and the
//! share of the bound that binds (the direct way's arithmetic, or memory traffic where the layer's tensors exceed the
//! caches). Of a layer that Winograd's algorithm can do, a second line, and the faster one counts.

use std::hint::black_box;
use std::time::Instant;

use dunlin_kernels::{Activation, Conv, Depthwise, Isa, Method, Operands, Window};

/// Kernel size, stride, channels in and out, input size, and how often the network has it. Depthwise has no `outputs`.
type Layer = (usize, usize, usize, Option<usize>, usize, usize);

const RESNET_50: &[Layer] = &[
    (7, 2, 3, Some(64), 224, 1),
    (1, 1, 64, Some(64), 56, 1),
    (3, 1, 64, Some(64), 56, 3),
    (1, 1, 64, Some(256), 56, 4),
    (1, 1, 256, Some(64), 56, 2),
    (1, 1, 256, Some(128), 56, 1),
    (3, 2, 128, Some(128), 56, 1),
    (1, 1, 128, Some(512), 28, 4),
    (1, 2, 256, Some(512), 56, 1),
    (1, 1, 512, Some(128), 28, 3),
    (3, 1, 128, Some(128), 28, 3),
    (1, 1, 512, Some(256), 28, 1),
    (3, 2, 256, Some(256), 28, 1),
    (1, 1, 256, Some(1024), 14, 6),
    (1, 2, 512, Some(1024), 28, 1),
    (1, 1, 1024, Some(256), 14, 5),
    (3, 1, 256, Some(256), 14, 5),
    (1, 1, 1024, Some(512), 14, 1),
    (3, 2, 512, Some(512), 14, 1),
    (1, 1, 512, Some(2048), 7, 3),
    (1, 2, 1024, Some(2048), 14, 1),
    (1, 1, 2048, Some(512), 7, 2),
    (3, 1, 512, Some(512), 7, 2),
];

const EFFICIENTNET_LITE0: &[Layer] = &[
    (3, 2, 3, Some(32), 224, 1),
    (3, 1, 32, None, 112, 1),
    (1, 1, 32, Some(16), 112, 1),
    (1, 1, 16, Some(96), 112, 1),
    (3, 2, 96, None, 112, 1),
    (1, 1, 96, Some(24), 56, 1),
    (1, 1, 24, Some(144), 56, 2),
    (3, 1, 144, None, 56, 1),
    (1, 1, 144, Some(24), 56, 1),
    (5, 2, 144, None, 56, 1),
    (1, 1, 144, Some(40), 28, 1),
    (1, 1, 40, Some(240), 28, 2),
    (5, 1, 240, None, 28, 1),
    (1, 1, 240, Some(40), 28, 1),
    (3, 2, 240, None, 28, 1),
    (1, 1, 240, Some(80), 14, 1),
    (1, 1, 80, Some(480), 14, 3),
    (3, 1, 480, None, 14, 2),
    (1, 1, 480, Some(80), 14, 2),
    (5, 1, 480, None, 14, 1),
    (1, 1, 480, Some(112), 14, 1),
    (1, 1, 112, Some(672), 14, 3),
    (5, 1, 672, None, 14, 2),
    (1, 1, 672, Some(112), 14, 2),
    (5, 2, 672, None, 14, 1),
    (1, 1, 672, Some(192), 7, 1),
    (1, 1, 192, Some(1152), 7, 4),
    (5, 1, 1152, None, 7, 3),
    (1, 1, 1152, Some(192), 7, 3),
    (3, 1, 1152, None, 7, 1),
    (1, 1, 1152, Some(320), 7, 1),
    (1, 1, 320, Some(1280), 7, 1),
];

/// Bytes of a core's second-level cache: what lies beyond counts as memory traffic.
const CACHE: f64 = 1e6;

fn main() {
    let given = std::env::args().nth(1);
    let isa = given.as_deref().map_or_else(Isa::best, |name| {
        Isa::parse(name).expect("portable, neon, avx2 or avx512")
    });
    let (flops, bytes) = (peak_flops(isa), peak_bytes());
    println!(
        "{isa}: peak {:.1} GFLOP/s, {:.1} GB/s read beyond the second-level cache",
        flops / 1e9,
        bytes / 1e9
    );
    for (name, layers) in [
        ("ResNet-50", RESNET_50),
        ("EfficientNet-Lite0", EFFICIENTNET_LITE0),
    ] {
        println!(
            "\n{name}\n{:<40}{:>9}{:>9}{:>8}",
            "layer", "µs", "GFLOP/s", "bound"
        );
        let mut total = 0.0;
        for layer in layers {
            let measure = |method| measure(isa, layer, method, flops, bytes);
            let mut seconds = measure(Method::Direct).expect("any convolution");
            if let Some(winograd) = measure(Method::Winograd) {
                seconds = seconds.min(winograd);
            }
            total += seconds * layer.5 as f64;
        }
        println!("all convolutions: {:.2} ms", total * 1e3);
    }
}

/// Prints a layer's line and gives its seconds, where it can be done so.
fn measure(isa: Isa, layer: &Layer, method: Method, flops: f64, bytes: f64) -> Option<f64> {
    let &(kernel, stride, inputs, outputs, size, times) = layer;
    let window = Window::square(kernel).stride(stride).pad(kernel / 2);
    let size = [size; 2];
    let [height, width] = window.output(size);
    let taps = (kernel * kernel) as f64;
    let activation = Activation::Clip(0.0, 6.0);
    let (seconds, operations, traffic) = if let Some(outputs) = outputs {
        let conv = Conv {
            inputs,
            outputs,
            groups: 1,
            size,
            window,
            dense_input: inputs == 3,
            activation,
        };
        if !conv.allows(method) {
            return None;
        }
        let input = vec![0.5; conv.input_len(isa)];
        let weights = vec![0.25; conv.weights_len(isa)];
        let bias = vec![0.1; isa.blocks(outputs) * isa.lanes()];
        let mut output = vec![0.0; conv.output_len(isa)];
        let mut scratch = vec![0.0; conv.scratch_len(isa, method)];
        let seconds = best(|| {
            conv.run(
                isa,
                method,
                Operands {
                    input: black_box(&input),
                    weights: &weights,
                    bias: &bias,
                    residual: None,
                    output: &mut output,
                    scratch: &mut scratch,
                },
            );
        });
        let traffic = input.len() + weights.len() + output.len();
        (
            seconds,
            2.0 * taps * (inputs * outputs * height * width) as f64,
            traffic,
        )
    } else if method == Method::Direct {
        let depthwise = Depthwise {
            channels: inputs,
            size,
            window,
            activation,
        };
        let input = vec![0.5; depthwise.input_len(isa)];
        let weights = vec![0.25; depthwise.weights_len(isa)];
        let bias = vec![0.1; isa.blocks(inputs) * isa.lanes()];
        let mut output = vec![0.0; depthwise.output_len(isa)];
        let seconds = best(|| {
            depthwise.run(isa, black_box(&input), &weights, &bias, &mut output);
        });
        (
            seconds,
            2.0 * taps * (inputs * height * width) as f64,
            input.len() + output.len(),
        )
    } else {
        return None;
    };
    let arithmetic = operations / flops;
    let traffic = 4.0 * traffic as f64;
    let memory = if traffic > CACHE {
        traffic / bytes
    } else {
        0.0
    };
    let bound = if memory > arithmetic { "memory" } else { "" };
    let name = match outputs {
        Some(outputs) => format!(
            "{times} × {kernel}×{kernel}/{stride} {inputs}→{outputs} at {}{}",
            size[0],
            match method {
                Method::Direct => "",
                Method::Winograd => ", Winograd",
            }
        ),
        None => format!(
            "{times} × {kernel}×{kernel}/{stride} depthwise {inputs} at {}",
            size[0]
        ),
    };
    println!(
        "{name:<34}{:>9.0}{:>9.1}{:>6.0} % {bound}",
        seconds * 1e6,
        operations / seconds / 1e9,
        arithmetic.max(memory) / seconds * 100.0
    );
    Some(seconds)
}

/// The least of enough runs: what the kernel takes where nothing else wants the core.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 9 || (begin.elapsed().as_millis() < 60 && times.len() < 500) {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.into_iter().fold(f64::INFINITY, f64::min)
}

/// Floating-point operations in a second: a pointwise convolution whose operands lie in the nearest cache, and whose
/// tile is the widest, best of many runs. A kernel with nothing but products would measure the compiler as much.
fn peak_flops(isa: Isa) -> f64 {
    let (inputs, outputs) = (128, 2 * isa.lanes());
    let conv = Conv {
        inputs,
        outputs,
        groups: 1,
        size: [1, 28],
        window: Window::square(1),
        dense_input: false,
        activation: Activation::None,
    };
    let input = vec![0.5; conv.input_len(isa)];
    let weights = vec![0.25; conv.weights_len(isa)];
    let bias = vec![0.1; outputs];
    let mut output = vec![0.0; conv.output_len(isa)];
    let mut best = f64::INFINITY;
    for _ in 0..20_000 {
        let start = Instant::now();
        for _ in 0..4 {
            conv.run(
                isa,
                Method::Direct,
                Operands {
                    input: black_box(&input),
                    weights: &weights,
                    bias: &bias,
                    residual: None,
                    output: &mut output,
                    scratch: &mut [],
                },
            );
        }
        best = best.min(start.elapsed().as_secs_f64() / 4.0);
    }
    2.0 * (inputs * outputs * 28) as f64 / best
}

/// Bytes read in a second from an array beyond the second-level cache.
fn peak_bytes() -> f64 {
    let numbers = vec![1_u64; 1 << 20];
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        black_box(black_box(&numbers).iter().fold(0, |sum, x| sum ^ x));
        best = best.min(start.elapsed().as_secs_f64());
    }
    numbers.len() as f64 * 8.0 / best
}
