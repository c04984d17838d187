//! Pooling of blocked channels.

use serde::{Deserialize, Serialize};

use crate::simd::{Simd, Task};
use crate::{Isa, Window};

/// What is made of the positions under a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pooling {
    /// The greatest number.
    Max,
    /// The mean; positions of the padding count, as zeros, where `padding` says so.
    Mean {
        /// Whether the padding counts.
        padding: bool,
    },
    /// The sum.
    Sum,
}

/// A pooling, for one shape of its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Channels in and out.
    pub channels: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// The window.
    pub window: Window,
    /// What it does.
    pub pooling: Pooling,
}

impl Pool {
    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        self.window.output(self.size)
    }

    /// Pools one item of a batch: `[⌈channels/c⌉, H, W, c]` to `[⌈channels/c⌉, H', W', c]`.
    ///
    /// # Panics
    /// If a slice has another length, or this machine lacks the instruction set.
    pub fn run(&self, isa: Isa, input: &[f32], output: &mut [f32]) {
        let lanes = isa.blocks(self.channels) * isa.lanes();
        let [height, width] = self.output_size();
        assert_eq!(input.len(), lanes * self.size[0] * self.size[1], "input");
        assert_eq!(output.len(), lanes * height * width, "output");
        if !output.is_empty() {
            isa.run(Run {
                pool: self,
                input,
                output,
            });
        }
    }
}

struct Run<'a> {
    pool: &'a Pool,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pool = self.pool;
        let [height, width] = pool.size;
        let [rows, columns] = pool.output_size();
        let inputs = self.input.chunks_exact(height * width * S::LANES);
        let outputs = self.output.chunks_exact_mut(rows * columns * S::LANES);
        for (input, output) in inputs.zip(outputs) {
            for (y, output) in output.chunks_exact_mut(columns * S::LANES).enumerate() {
                for (x, output) in output.chunks_exact_mut(S::LANES).enumerate() {
                    position(s, pool, [y, x], input, output);
                }
            }
        }
    }
}

#[inline(always)]
fn position<S: Simd>(s: S, pool: &Pool, at: [usize; 2], input: &[f32], output: &mut [f32]) {
    let window = &pool.window;
    let ranges = [0, 1].map(|axis| window.inside(axis, at[axis], pool.size[axis]));
    let from = |axis: usize, tap: usize| {
        at[axis] * window.stride[axis] + tap * window.dilation[axis] - window.before[axis]
    };
    let max = pool.pooling == Pooling::Max;
    let mut sum = s.splat(if max { f32::NEG_INFINITY } else { 0.0 });
    for y in ranges[0].clone() {
        let row = &input[from(0, y) * pool.size[1] * S::LANES..][..pool.size[1] * S::LANES];
        for x in ranges[1].clone() {
            let x = &row[from(1, x) * S::LANES..][..S::LANES];
            // SAFETY: the slice is one vector long.
            let x = unsafe { s.load(x.as_ptr()) };
            sum = if max { s.max(sum, x) } else { s.add(sum, x) };
        }
    }
    if let Pooling::Mean { padding } = pool.pooling {
        let count = if padding {
            window.kernel[0] * window.kernel[1]
        } else {
            ranges[0].len() * ranges[1].len()
        };
        sum = s.mul(sum, s.splat(1.0 / count as f32));
    }
    assert_eq!(output.len(), S::LANES);
    // SAFETY: the slice is one vector long.
    unsafe { s.store(output.as_mut_ptr(), sum) };
}
