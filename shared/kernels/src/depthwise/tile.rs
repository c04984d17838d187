//! The innermost loops: one plane of one block, a few columns of a row of its output at a time.
//!
//! Nothing is copied for padding: taps beyond the plane are left out.

use crate::Window;
use crate::simd::{Simd, Task};

/// Output columns of the widest tile.
const WIDEST: usize = 8;

const fn widest(registers: usize) -> usize {
    if registers < 32 { 6 } else { WIDEST }
}

/// One block of a depthwise convolution.
pub(super) struct Plane<'p> {
    pub(super) window: &'p Window,
    /// Height and width of the input.
    pub(super) size: [usize; 2],
    pub(super) input: &'p [f32],
    pub(super) weights: &'p [f32],
    pub(super) bias: &'p [f32],
    pub(super) bounds: (f32, f32),
    /// Not empty.
    pub(super) output: &'p mut [f32],
}

/// Convolves a plane, in tiles of equal width, as nearly as may be.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, plane: Plane<'_>) {
    let window = plane.window;
    let columns = window.output(plane.size)[1];
    let width = columns.div_ceil(columns.div_ceil(widest(S::REGISTERS)));
    macro_rules! widths {
        ($kernel:literal, $stride:literal, $($width:literal)*) => {
            match width {
                $($width if $width <= widest(S::REGISTERS) => {
                    s.vectorize(Tiles::<$width, $kernel, $stride>(plane));
                })*
                _ => unreachable!("a tile of {width} columns"),
            }
        };
    }
    match (window.kernel[1], window.stride[1], window.dilation[1]) {
        (3, 1, 1) => widths!(3, 1, 1 2 3 4 5 6 7 8),
        (3, 2, 1) => widths!(3, 2, 1 2 3 4 5 6 7 8),
        (5, 1, 1) => widths!(5, 1, 1 2 3 4 5 6 7 8),
        (5, 2, 1) => widths!(5, 2, 1 2 3 4 5 6 7 8),
        _ => widths!(0, 0, 1 2 3 4 5 6 7 8),
    }
}

/// A plane in tiles of fixed extents; the kernel's width and the stride are 0 where only the run knows them.
struct Tiles<'p, const WIDTH: usize, const KERNEL: usize, const STRIDE: usize>(Plane<'p>);

impl<const WIDTH: usize, const KERNEL: usize, const STRIDE: usize> Task
    for Tiles<'_, WIDTH, KERNEL, STRIDE>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let plane = self.0;
        let window = *plane.window;
        let [height, width] = plane.size;
        let [rows, columns] = window.output(plane.size);
        let taps = window.kernel[0] * window.kernel[1];
        assert!(
            plane.input.len() == height * width * S::LANES
                && plane.weights.len() == taps * S::LANES
                && plane.bias.len() == S::LANES
                && plane.output.len() == rows * columns * S::LANES
                && columns >= WIDTH
        );
        let reach = (WIDTH - 1) * window.stride[1] + window.extent(1);
        let is_inner = |&x: &usize| {
            let left = (x * window.stride[1]).wrapping_sub(window.before[1]);
            left < width && width - left >= reach
        };
        // The last tile may do a few columns again.
        let starts = (0..columns.div_ceil(WIDTH)).map(|tile| (tile * WIDTH).min(columns - WIDTH));
        let first = starts.clone().take_while(|x| !is_inner(x)).count();
        let inner = starts.clone().skip(first).take_while(is_inner).count();
        for y in 0..rows {
            let taps = window.inside(0, y, height);
            let top = if taps.is_empty() {
                0
            } else {
                y * window.stride[0] + taps.start * window.dilation[0] - window.before[0]
            };
            let weights = taps.start * window.kernel[1] * S::LANES;
            // SAFETY: the slices are as long as was asserted, `taps` lie inside, and `is_inner` has looked at columns.
            unsafe {
                let row = Row {
                    window,
                    width,
                    taps: taps.len(),
                    input: plane.input.as_ptr().add(top * width * S::LANES),
                    weights: plane.weights.as_ptr().add(weights),
                    bias: plane.bias.as_ptr(),
                    bounds: plane.bounds,
                    output: plane.output.as_mut_ptr().add(y * columns * S::LANES),
                };
                // Three loops: one with two ways through it would keep the sums in memory where they meet.
                for x in starts.clone().take(first) {
                    row.tile::<S, WIDTH, KERNEL, STRIDE, true>(s, x);
                }
                for x in starts.clone().skip(first).take(inner) {
                    row.tile::<S, WIDTH, KERNEL, STRIDE, false>(s, x);
                }
                for x in starts.clone().skip(first + inner) {
                    row.tile::<S, WIDTH, KERNEL, STRIDE, true>(s, x);
                }
            }
        }
    }
}

/// What the tiles of a row of output work on.
struct Row {
    window: Window,
    /// Columns of the input.
    width: usize,
    /// Rows of taps that lie inside.
    taps: usize,
    /// The first of them, in the input and in the weights.
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    bounds: (f32, f32),
    output: *mut f32,
}

impl Row {
    /// The tile from column `x` of the output on.
    ///
    /// # Safety
    /// The pointers reach as far as the sizes say; where it is not `BORDERING`, all columns of its taps lie inside.
    #[inline(always)]
    unsafe fn tile<
        S: Simd,
        const WIDTH: usize,
        const KERNEL: usize,
        const STRIDE: usize,
        const BORDERING: bool,
    >(
        &self,
        s: S,
        x: usize,
    ) {
        let window = &self.window;
        let stride = if KERNEL == 0 {
            window.stride[1]
        } else {
            STRIDE
        };
        let kernel = if KERNEL == 0 {
            window.kernel[1]
        } else {
            KERNEL
        };
        let step = self.width * window.dilation[0] * S::LANES;
        // Wraps below zero.
        let left = (x * stride).wrapping_sub(window.before[1]);
        let is_inside = |column: usize| !BORDERING || column < self.width;
        // SAFETY: only columns that are inside are loaded; the rest is the caller's promise.
        unsafe {
            let mut sums = [s.load(self.bias); WIDTH];
            for tap in 0..self.taps {
                let row = self.input.add(tap * step);
                let load = |column: usize| s.load(row.add(column * S::LANES));
                let weights = self.weights.add(tap * kernel * S::LANES);
                if KERNEL == 0 {
                    for tap in 0..kernel {
                        let w = s.load(weights.add(tap * S::LANES));
                        let left = left.wrapping_add(tap * window.dilation[1]);
                        for (p, sum) in sums.iter_mut().enumerate() {
                            let column = left.wrapping_add(p * stride);
                            if is_inside(column) {
                                *sum = s.mul_add(load(column), w, *sum);
                            }
                        }
                    }
                    continue;
                }
                let mut w = [s.splat(0.0); KERNEL];
                for (tap, w) in w.iter_mut().enumerate() {
                    *w = s.load(weights.add(tap * S::LANES));
                }
                // Each column is loaded once, for all outputs that see it. They are named: a loop over them is not
                // always unrolled, and the sums would lie in memory.
                macro_rules! columns {
                    ($($at:literal)*) => {$(
                        let column = left.wrapping_add($at);
                        if $at < (WIDTH - 1) * STRIDE + KERNEL && is_inside(column) {
                            let x = load(column);
                            for (p, sum) in sums.iter_mut().enumerate() {
                                if $at >= p * STRIDE && $at - p * STRIDE < KERNEL {
                                    *sum = s.mul_add(x, w[$at - p * STRIDE], *sum);
                                }
                            }
                        }
                    )*};
                }
                columns!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
            }
            let (low, high) = (s.splat(self.bounds.0), s.splat(self.bounds.1));
            for (p, &sum) in sums.iter().enumerate() {
                let sum = s.min(high, s.max(low, sum));
                s.store(self.output.add((x + p) * S::LANES), sum);
            }
        }
    }
}
