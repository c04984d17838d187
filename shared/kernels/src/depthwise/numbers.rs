//! Planes of numbers.

use super::tile;
use crate::Window;
use crate::simd::Simd;

/// One block of a depthwise convolution of numbers.
pub(super) struct Plane<'p> {
    pub(super) window: Window,
    /// Height and width of the input.
    pub(super) size: [usize; 2],
    pub(super) input: &'p [f32],
    pub(super) weights: &'p [f32],
    pub(super) bias: &'p [f32],
    pub(super) bounds: (f32, f32),
    pub(super) output: &'p mut [f32],
}

impl tile::Plane for Plane<'_> {
    #[inline(always)]
    fn shape(&self) -> (Window, [usize; 2]) {
        (self.window, self.size)
    }

    #[inline(always)]
    fn is_sound(&self, lanes: usize) -> bool {
        let len = |[height, width]: [usize; 2]| height * width * lanes;
        self.input.len() == len(self.size)
            && self.weights.len() == len(self.window.kernel)
            && self.bias.len() == lanes
            && self.output.len() == len(self.window.output(self.size))
    }

    #[inline(always)]
    unsafe fn row<S: Simd>(&mut self, _: S, y: usize, columns: usize) -> impl tile::Row<S> {
        let (window, [height, width]) = (&self.window, self.size);
        let taps = window.inside(0, y, height);
        let top = if taps.is_empty() {
            0
        } else {
            y * window.stride[0] + taps.start * window.dilation[0] - window.before[0]
        };
        // SAFETY: `taps` lie inside; the rest is the caller's promise.
        unsafe {
            Row {
                taps: taps.len(),
                input: self.input.as_ptr().add(top * width * S::LANES),
                step: width * window.dilation[0] * S::LANES,
                weights: self
                    .weights
                    .as_ptr()
                    .add(taps.start * window.kernel[1] * S::LANES),
                kernel: window.kernel[1],
                bias: self.bias.as_ptr(),
                bounds: self.bounds,
                output: self.output.as_mut_ptr().add(y * columns * S::LANES),
            }
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
