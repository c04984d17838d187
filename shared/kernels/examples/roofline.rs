//! What each kernel reaches on the layers of two networks, beside the peaks of this core.
//!
//! `cargo run --release -p dunlin-kernels --example roofline [-- avx2]`: one line a layer: its time, GFLOP/s, and the
//! share of the bound that binds: the direct way's arithmetic, or memory, which is measured too: one pass that reads the
//! layer's input and weights and writes its output, where they lie, in whatever cache that is. Of a layer that Winograd's
//! algorithm can do, a second line, and the faster one counts.

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

fn main() {
    let given = std::env::args().nth(1);
    let isa = given.as_deref().map_or_else(Isa::best, |name| {
        Isa::parse(name).expect("portable, neon, avx2 or avx512")
    });
    let flops = peak_flops(isa);
    println!("{isa}: peak {:.1} GFLOP/s", flops / 1e9);
    for (name, layers) in [
        ("ResNet-50", RESNET_50),
        ("EfficientNet-Lite0", EFFICIENTNET_LITE0),
    ] {
        println!(
            "\n{name}\n{:<40}{:>9}{:>9}{:>8}{:>8}",
            "layer", "µs", "GFLOP/s", "GB/s", "bound"
        );
        let mut total = 0.0;
        for layer in layers {
            let measure = |method| measure(isa, layer, method, flops);
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
fn measure(isa: Isa, layer: &Layer, method: Method, flops: f64) -> Option<f64> {
    let &(kernel, stride, inputs, outputs, size, times) = layer;
    let window = Window::square(kernel).stride(stride).pad(kernel / 2);
    let size = [size; 2];
    let [height, width] = window.output(size);
    let taps = (kernel * kernel) as f64;
    let activation = Activation::Clip(0.0, 6.0);
    let (seconds, operations, memory, traffic) = if let Some(outputs) = outputs {
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
        let input = aligned(0.5, conv.input_len(isa));
        let weights = aligned(0.25, conv.weights_len(isa));
        let bias = aligned(0.1, isa.blocks(outputs) * isa.lanes());
        let output = aligned(0.0, conv.output_len(isa));
        let scratch = aligned(0.0, conv.scratch_len(isa, method));
        let seconds = best(|| {
            conv.run(
                isa,
                method,
                Operands {
                    input: black_box(input),
                    weights,
                    bias,
                    residual: None,
                    output,
                    scratch,
                },
            );
        });
        (
            seconds,
            2.0 * taps * (inputs * outputs * height * width) as f64,
            best(|| pass(isa, [input, weights], output)),
            input.len() + weights.len() + output.len(),
        )
    } else if method == Method::Direct {
        // Taps of all outputs that lie inside the plane, in one axis: others are left out.
        let inside = |axis: usize| {
            let taps = |y: usize| {
                let input = |tap: usize| (y * stride + tap).wrapping_sub(window.before[axis]);
                (0..kernel).filter(|&tap| input(tap) < size[axis]).count()
            };
            [height, width].map(|len| (0..len).map(taps).sum::<usize>())[axis]
        };
        let depthwise = Depthwise {
            channels: inputs,
            size,
            window,
            activation,
        };
        let input = aligned(0.5, depthwise.input_len(isa));
        let weights = aligned(0.25, depthwise.weights_len(isa));
        let bias = aligned(0.1, isa.blocks(inputs) * isa.lanes());
        let output = aligned(0.0, depthwise.output_len(isa));
        let seconds = best(|| {
            depthwise.run(isa, black_box(input), weights, bias, output);
        });
        (
            seconds,
            2.0 * (inputs * inside(0) * inside(1)) as f64,
            best(|| pass(isa, [input, weights], output)),
            input.len() + weights.len() + output.len(),
        )
    } else {
        return None;
    };
    let arithmetic = operations / flops;
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
        "{name:<34}{:>9.1}{:>9.1}{:>8.1}{:>6.0} % {bound}",
        seconds * 1e6,
        operations / seconds / 1e9,
        4.0 * traffic as f64 / seconds / 1e9,
        arithmetic.max(memory) / seconds * 100.0
    );
    Some(seconds)
}

/// So many numbers from the beginning of a line of the cache on, as tensors and scratch have them. A vector across two
/// lines takes twice the time. They are leaked: the example holds a few layers and ends.
fn aligned(x: f32, len: usize) -> &'static mut [f32] {
    let numbers = vec![x; len + 16].leak();
    let start = numbers.as_ptr().align_offset(64);
    &mut numbers[start..][..len]
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
    let input = aligned(0.5, conv.input_len(isa));
    let weights = aligned(0.25, conv.weights_len(isa));
    let bias = aligned(0.1, outputs);
    let output = aligned(0.0, conv.output_len(isa));
    let mut best = f64::INFINITY;
    for _ in 0..20_000 {
        let start = Instant::now();
        for _ in 0..4 {
            conv.run(
                isa,
                Method::Direct,
                Operands {
                    input: black_box(input),
                    weights,
                    bias,
                    residual: None,
                    output,
                    scratch: &mut [],
                },
            );
        }
        best = best.min(start.elapsed().as_secs_f64() / 4.0);
    }
    2.0 * (inputs * outputs * 28) as f64 / best
}

/// Reads and writes all numbers once, front to back, by turns and in step: the least that a kernel does to memory.
fn pass(isa: Isa, reads: [&[f32]; 2], writes: &mut [f32]) {
    match isa {
        // SAFETY: kernels have run with this set, so the machine has it.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { pass_avx512(reads, writes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { pass_avx2(reads, writes) },
        _ => pass_plain(reads, writes),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn pass_avx512(reads: [&[f32]; 2], writes: &mut [f32]) {
    pass_plain(reads, writes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn pass_avx2(reads: [&[f32]; 2], writes: &mut [f32]) {
    pass_plain(reads, writes);
}

#[inline(always)]
fn pass_plain([input, weights]: [&[f32]; 2], writes: &mut [f32]) {
    /// Four of the widest vectors.
    const LINE: usize = 64;
    let mut sum = [0; LINE];
    let mut read = |numbers: &[f32]| {
        for line in numbers.as_chunks::<LINE>().0 {
            for (sum, x) in sum.iter_mut().zip(line) {
                *sum ^= x.to_bits();
            }
        }
        sum.map(f32::from_bits)
    };
    read(weights);
    // As many turns as the fewer numbers have pieces of four kilobytes.
    let turns = input.len().min(writes.len()).div_ceil(16 * LINE);
    let piece = |len: usize, turn: usize| {
        let cut = |turn| turn * len / turns / LINE * LINE;
        cut(turn)..cut(turn + 1)
    };
    for turn in 0..turns {
        let sum = read(black_box(&input[piece(input.len(), turn)]));
        let writing = piece(writes.len(), turn);
        let writes = &mut writes[writing];
        for line in writes.as_chunks_mut::<LINE>().0 {
            *line = sum;
        }
    }
}
