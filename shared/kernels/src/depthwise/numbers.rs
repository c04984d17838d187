//! Planes of numbers.

use super::tile;
use crate::activation::Apply;
use crate::simd::Simd;
use crate::{Activation, Window};

/// A depthwise convolution of numbers.
pub(super) struct Planes<'p> {
    pub(super) window: Window,
    /// Height and width of the input.
    pub(super) size: [usize; 2],
    pub(super) blocks: usize,
    pub(super) input: &'p [f32],
    pub(super) weights: &'p [f32],
    pub(super) bias: &'p [f32],
    pub(super) bounds: (f32, f32),
    /// What is done on a plane that is complete.
    pub(super) then: Option<Activation>,
    pub(super) output: &'p mut [f32],
}

impl tile::Planes for Planes<'_> {
    #[inline(always)]
    fn shape(&self) -> (Window, [usize; 2]) {
        (self.window, self.size)
    }

    #[inline(always)]
    fn blocks(&self) -> usize {
        self.blocks
    }

    #[inline(always)]
    fn is_sound(&self, lanes: usize) -> bool {
        let len = |[height, width]: [usize; 2]| self.blocks * height * width * lanes;
        self.input.len() == len(self.size)
            && self.weights.len() == len(self.window.kernel)
            && self.bias.len() == self.blocks * lanes
            && self.output.len() == len(self.window.output(self.size))
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(
        &mut self,
        _: S,
        block: usize,
        y: usize,
        [rows, columns]: [usize; 2],
    ) -> impl tile::Row<S> {
        let (window, [height, width]) = (&self.window, self.size);
        let taps = window.inside(0, y, height);
        let top = if taps.is_empty() {
            0
        } else {
            y * window.stride[0] + taps.start * window.dilation[0] - window.before[0]
        };
        let line = block * window.kernel[0] + taps.start;
        // SAFETY: `taps` lie inside; the rest is the caller's promise.
        unsafe {
            Row {
                taps: taps.len(),
                input: self
                    .input
                    .as_ptr()
                    .add((block * height + top) * width * S::LANES),
                step: width * window.dilation[0] * S::LANES,
                weights: self
                    .weights
                    .as_ptr()
                    .add(line * window.kernel[1] * S::LANES),
                kernel: window.kernel[1],
                bias: self.bias.as_ptr().add(block * S::LANES),
                bounds: self.bounds,
                output: self
                    .output
                    .as_mut_ptr()
                    .add((block * rows + y) * columns * S::LANES),
            }
        }
    }

    #[inline(always)]
    fn complete<S: Simd>(&mut self, s: S, block: usize) {
        if let Some(activation) = self.then {
            let plane = self.output.len() / self.blocks;
            s.vectorize(Apply {
                activation,
                values: &mut self.output[block * plane..][..plane],
            });
        }
    }
}

struct Row {
    /// Rows of taps that lie inside.
    taps: usize,
    /// The first of them, and numbers from one to the next.
    input: *const f32,
    step: usize,
    weights: *const f32,
    /// Taps to a row.
    kernel: usize,
    bias: *const f32,
    bounds: (f32, f32),
    output: *mut f32,
}

// SAFETY (all blocks below): the caller's promises.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<S: Simd> tile::Row<S> for Row {
    #[inline(always)]
    fn lines(&self) -> usize {
        self.taps
    }
    #[inline(always)]
    unsafe fn start(&self, s: S) -> S::V {
        unsafe { s.load(self.bias) }
    }
    #[inline(always)]
    unsafe fn weights(&self, s: S, line: usize, tap: usize) -> S::V {
        unsafe { s.load(self.weights.add((line * self.kernel + tap) * S::LANES)) }
    }
    #[inline(always)]
    unsafe fn column(&self, s: S, line: usize, column: usize) -> S::V {
        unsafe { s.load(self.input.add(line * self.step + column * S::LANES)) }
    }
    #[inline(always)]
    fn beyond(&self, _: S) -> Option<S::V> {
        None
    }
    #[inline(always)]
    fn add_product(&self, s: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        s.mul_add(x, w, sum)
    }
    #[inline(always)]
    unsafe fn finish<const WIDTH: usize>(&self, s: S, x: usize, sums: [S::V; WIDTH]) {
        let (low, high) = (s.splat(self.bounds.0), s.splat(self.bounds.1));
        for (p, sum) in sums.into_iter().enumerate() {
            let sum = s.min(high, s.max(low, sum));
            unsafe { s.store(self.output.add((x + p) * S::LANES), sum) };
        }
    }
}
