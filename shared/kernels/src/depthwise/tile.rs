//! The innermost loop: a few output positions of one block.

use std::ops::Range;

use crate::Window;
use crate::simd::{Simd, Task};

/// Output positions of the widest tile.
pub(super) const WIDEST: usize = 8;

pub(super) const fn widest(registers: usize) -> usize {
    if registers < 32 { 6 } else { WIDEST }
}

pub(super) struct Tile<'t> {
    pub(super) window: &'t Window,
    pub(super) weights: &'t [f32],
    pub(super) bias: &'t [f32],
    pub(super) bounds: (f32, f32),
    /// From the first tap (of the rows in `taps`) of the first position on.
    pub(super) input: &'t [f32],
    /// Numbers from one input row to the next.
    pub(super) row: usize,
    /// Rows of the kernel that are applied.
    pub(super) taps: Range<usize>,
    pub(super) output: &'t mut [f32],
}

/// Runs a tile of `positions` (1 to [`widest`]).
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, positions: usize, tile: Tile<'_>) {
    macro_rules! widths {
        ($kernel:literal, $stride:literal) => {
            match positions {
                1 => s.vectorize(Sized::<1, $kernel, $stride>(tile)),
                2 => s.vectorize(Sized::<2, $kernel, $stride>(tile)),
                3 => s.vectorize(Sized::<3, $kernel, $stride>(tile)),
                4 => s.vectorize(Sized::<4, $kernel, $stride>(tile)),
                5 => s.vectorize(Sized::<5, $kernel, $stride>(tile)),
                6 => s.vectorize(Sized::<6, $kernel, $stride>(tile)),
                7 if S::REGISTERS >= 32 => s.vectorize(Sized::<7, $kernel, $stride>(tile)),
                8 if S::REGISTERS >= 32 => s.vectorize(Sized::<8, $kernel, $stride>(tile)),
                _ => unreachable!("a tile of {positions} positions"),
            }
        };
    }
    let window = tile.window;
    match (window.kernel[1], window.stride[1], window.dilation[1]) {
        (3, 1, 1) => widths!(3, 1),
        (3, 2, 1) => widths!(3, 2),
        (5, 1, 1) => widths!(5, 1),
        (5, 2, 1) => widths!(5, 2),
        _ => widths!(0, 0),
    }
}

/// A tile of fixed extents; the kernel's width and the stride are 0 where only the run knows them.
struct Sized<'t, const POSITIONS: usize, const KERNEL: usize, const STRIDE: usize>(Tile<'t>);

impl<const POSITIONS: usize, const KERNEL: usize, const STRIDE: usize> Task
    for Sized<'_, POSITIONS, KERNEL, STRIDE>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tile = self.0;
        let window = tile.window;
        let (kernel, stride, dilation) = if KERNEL == 0 {
            (window.kernel[1], window.stride[1], window.dilation[1])
        } else {
            (KERNEL, STRIDE, 1)
        };
        let row = tile.row * window.dilation[0];
        let rows = tile.taps.len();
        let columns = (POSITIONS - 1) * stride + (kernel - 1) * dilation + 1;
        assert!(
            (rows == 0 || (rows - 1) * row + columns * S::LANES <= tile.input.len())
                && tile.taps.end * kernel * S::LANES <= tile.weights.len()
                && tile.bias.len() == S::LANES
                && tile.output.len() == POSITIONS * S::LANES
        );
        // SAFETY: each slice is as long as is read and written of it, by the assertion above.
        unsafe {
            let mut sums = [s.load(tile.bias.as_ptr()); POSITIONS];
            for (at, tap) in tile.taps.clone().enumerate() {
                let x = tile.input.as_ptr().add(at * row);
                let w = tile.weights.as_ptr().add(tap * kernel * S::LANES);
                if KERNEL == 0 {
                    for tap in 0..kernel {
                        let w = s.load(w.add(tap * S::LANES));
                        for (p, sum) in sums.iter_mut().enumerate() {
                            let x = x.add((p * stride + tap * dilation) * S::LANES);
                            *sum = s.mul_add(s.load(x), w, *sum);
                        }
                    }
                    continue;
                }
                let mut weights = [s.splat(0.0); KERNEL];
                for (tap, weight) in weights.iter_mut().enumerate() {
                    *weight = s.load(w.add(tap * S::LANES));
                }
                // Each input position is loaded once, for all outputs that see it.
                let mut column = 0;
                while column < (POSITIONS - 1) * STRIDE + KERNEL {
                    let x = s.load(x.add(column * S::LANES));
                    for (p, sum) in sums.iter_mut().enumerate() {
                        if column >= p * STRIDE && column - p * STRIDE < KERNEL {
                            *sum = s.mul_add(x, weights[column - p * STRIDE], *sum);
                        }
                    }
                    column += 1;
                }
            }
            let (low, high) = (s.splat(tile.bounds.0), s.splat(tile.bounds.1));
            for (p, &sum) in sums.iter().enumerate() {
                let sum = s.min(high, s.max(low, sum));
                s.store(tile.output.as_mut_ptr().add(p * S::LANES), sum);
            }
        }
    }
}
