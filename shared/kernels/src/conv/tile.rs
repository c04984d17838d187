//! The innermost loop: a few output positions of one or two output blocks, all sums in registers.

use std::mem::MaybeUninit;

use super::{Output, Store};
use crate::simd::{Simd, Task};

/// Output positions of the widest tile.
pub(super) const WIDEST: usize = 14;

/// Numbers of the largest tile.
const LONGEST: usize = WIDEST * 2 * 16;

/// The most positions of a tile of so many blocks: beside the sums, registers hold the weights of each block and one
/// number of the input.
pub(super) const fn widest(registers: usize, blocks: usize) -> usize {
    let most = (registers - blocks - 1) / blocks;
    if most < WIDEST { most } else { WIDEST }
}

pub(super) struct Tile<'t, 's> {
    /// From the first tap of the first position on.
    pub(super) input: &'t [f32],
    pub(super) taps: &'t [usize],
    /// Input blocks, and numbers from one to the next.
    pub(super) blocks: usize,
    pub(super) block: usize,
    /// Numbers of an input position.
    pub(super) depth: usize,
    /// Numbers from one position's input to the next one's.
    pub(super) step: usize,
    /// Of the first output block; those of the next come `weights_stride` later.
    pub(super) weights: &'t [f32],
    pub(super) weights_stride: usize,
    /// Where in each output block the tile's first position lies.
    pub(super) at: usize,
    pub(super) store: &'t mut Store<'s>,
}

/// Runs a tile of `blocks` (1 or 2) output blocks and `positions` (1 to [`widest`]): of numbers, or of bytes, four to a
/// number.
#[inline(always)]
pub(super) fn run<S: Simd, const INTEGER: bool>(
    s: S,
    blocks: usize,
    positions: usize,
    tile: Tile<'_, '_>,
) {
    let vector = if INTEGER { S::LANES / 4 } else { S::LANES };
    macro_rules! widths {
        ($blocks:literal, $step:expr, $($positions:literal)*) => {
            match positions {
                $($positions if $positions <= widest(S::REGISTERS, $blocks) => {
                    s.vectorize(Sized::<$positions, $blocks, $step, INTEGER>(tile));
                })*
                _ => unreachable!("a tile of {positions} positions"),
            }
        };
    }
    macro_rules! steps {
        ($blocks:literal) => {
            if tile.step == vector {
                widths!($blocks, 1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
            } else if tile.step == 2 * vector {
                widths!($blocks, 2, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
            } else {
                widths!($blocks, 0, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
            }
        };
    }
    match blocks {
        1 => steps!(1),
        _ => steps!(2),
    }
}

/// A tile of fixed extents; `STEP` in blocks of channels, 0 where only the run knows it.
struct Sized<
    't,
    's,
    const POSITIONS: usize,
    const BLOCKS: usize,
    const STEP: usize,
    const INTEGER: bool,
>(Tile<'t, 's>);

impl<const POSITIONS: usize, const BLOCKS: usize, const STEP: usize, const INTEGER: bool> Task
    for Sized<'_, '_, POSITIONS, BLOCKS, STEP, INTEGER>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tile = self.0;
        let vector = if INTEGER { S::LANES / 4 } else { S::LANES };
        let step = if STEP == 0 { tile.step } else { STEP * vector };
        let store = tile.store;
        let reach = tile.taps.last().map_or(0, |&last| last)
            + (tile.blocks - 1) * tile.block
            + (POSITIONS - 1) * step
            + tile.depth;
        let weights = tile.blocks * tile.taps.len() * tile.depth * S::LANES;
        let end = (BLOCKS - 1) * store.plane + tile.at + (POSITIONS - 1) * store.row + S::LANES;
        let lanes = BLOCKS * S::LANES;
        assert!(
            reach <= tile.input.len()
                && (BLOCKS - 1) * tile.weights_stride + weights <= tile.weights.len()
                && lanes <= store.start.len()
                && store
                    .scale
                    .is_none_or(|scale| lanes <= scale.factor.len().min(scale.bias.len()))
                && end <= store.output.len()
                && store.residual.is_none_or(|residual| end <= residual.len())
        );
        // SAFETY: taps ascend, so `reach` is past the last number read of the input; the others are checked above alike.
        unsafe {
            let mut sums = [[s.splat(0.0); BLOCKS]; POSITIONS];
            for b in 0..BLOCKS {
                let start = s.load(store.start.as_ptr().add(b * S::LANES));
                for sum in &mut sums {
                    sum[b] = start;
                }
            }
            let mut w = tile.weights.as_ptr();
            for block in 0..tile.blocks {
                let block = tile.input.as_ptr().add(block * tile.block);
                for &tap in tile.taps {
                    let x = block.add(tap);
                    for lane in 0..tile.depth {
                        let mut weights = [s.splat(0.0); BLOCKS];
                        for (b, weights) in weights.iter_mut().enumerate() {
                            *weights = s.load(w.add(b * tile.weights_stride));
                        }
                        w = w.add(S::LANES);
                        for (p, sum) in sums.iter_mut().enumerate() {
                            let x = s.splat(*x.add(p * step + lane));
                            for b in 0..BLOCKS {
                                sum[b] = if INTEGER {
                                    s.dot4(x, weights[b], sum[b])
                                } else {
                                    s.mul_add(x, weights[b], sum[b])
                                };
                            }
                        }
                    }
                }
            }
            finish::<S, POSITIONS, BLOCKS, INTEGER>(s, sums, tile.at, store);
        }
    }
}

/// Stores the sums of a tile whose first position lies at `at` of each block.
///
/// # Safety
/// The tile lies within all slices of `store`.
#[inline(always)]
unsafe fn finish<S: Simd, const POSITIONS: usize, const BLOCKS: usize, const INTEGER: bool>(
    s: S,
    mut sums: [[S::V; BLOCKS]; POSITIONS],
    at: usize,
    store: &mut Store<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if INTEGER {
            let Some(scale) = store.scale else {
                if let Output::Numbers(output) = &mut store.output {
                    let output = output.as_mut_ptr().add(at);
                    for (p, sum) in sums.iter().enumerate() {
                        for (b, &sum) in sum.iter().enumerate() {
                            s.store(output.add(b * store.plane + p * store.row), sum);
                        }
                    }
                }
                return;
            };
            for b in 0..BLOCKS {
                let factor = s.load(scale.factor.as_ptr().add(b * S::LANES));
                let bias = s.load(scale.bias.as_ptr().add(b * S::LANES));
                for sum in &mut sums {
                    sum[b] = s.mul_add(s.numbers_of(sum[b]), factor, bias);
                }
            }
        }
        if let Some(residual) = store.residual {
            let residual = residual.as_ptr().add(at);
            for (p, sum) in sums.iter_mut().enumerate() {
                for (b, sum) in sum.iter_mut().enumerate() {
                    let residual = residual.add(b * store.plane + p * store.row);
                    *sum = s.add(*sum, s.load(residual));
                }
            }
        }
        let (low, high) = store
            .activation
            .bounds()
            .unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let (low, high) = (s.splat(low), s.splat(high));
        match &mut store.output {
            Output::Numbers(output) => {
                let output = output.as_mut_ptr().add(at);
                for (p, sum) in sums.iter().enumerate() {
                    for (b, &sum) in sum.iter().enumerate() {
                        let sum = s.min(high, s.max(low, sum));
                        s.store(output.add(b * store.plane + p * store.row), sum);
                    }
                }
            }
            Output::Bytes(output, steps) => {
                // By way of memory: a loop too long to be unrolled would keep the sums there from the start.
                let mut numbers = [const { MaybeUninit::<f32>::uninit() }; LONGEST];
                let numbers = numbers.as_mut_ptr().cast::<f32>();
                for (p, sum) in sums.iter().enumerate() {
                    for (b, &sum) in sum.iter().enumerate() {
                        let sum = s.min(high, s.max(low, sum));
                        s.store(numbers.add((p * BLOCKS + b) * S::LANES), sum);
                    }
                }
                let output = output.as_mut_ptr().add(at);
                let steps = steps.on(s);
                for p in 0..POSITIONS {
                    for b in 0..BLOCKS {
                        let sum = s.load(numbers.add((p * BLOCKS + b) * S::LANES));
                        let to = output.add(b * store.plane + p * store.row);
                        s.store_bytes(to, steps.nearest(s, sum));
                    }
                }
            }
        }
    }
}
