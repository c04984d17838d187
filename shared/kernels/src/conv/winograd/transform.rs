//! The three transforms, of one tile and one vector of channels each. A matrix of 6×6 is asked for its places alone, so
//! `y` and `x` below are below 6, or 3 for weights and 4 for outputs.
//!
//! The points are 0, ±√½, ±√2 and ∞: with 0, ±1, ±2 and ∞ the numbers between would differ more in size, and so would the
//! results.

use std::f32::consts::SQRT_2;

use super::{End, IN, OUT, PLACES};
use crate::activation::Apply;
use crate::simd::Simd;

/// `BᵀdB` of the 6×6 inputs from the first of `patch` on, `row` numbers from one row to the next. What belongs to each
/// place goes `stride` numbers beyond the place before.
#[inline(always)]
pub(super) fn input<S: Simd>(s: S, patch: &[f32], row: usize, to: &mut [f32], stride: usize) {
    assert!((IN - 1) * row + IN * S::LANES <= patch.len());
    assert!((PLACES - 1) * stride + S::LANES <= to.len());
    // SAFETY: what is read lies in the patch and what is written in `to`, as was checked.
    unsafe {
        Input::both_ways(
            s,
            |y, x| s.load(patch.as_ptr().add(y * row + x * S::LANES)),
            |y, x, v| s.store(to.as_mut_ptr().add((y * IN + x) * stride), v),
        );
    }
}

/// `GgGᵀ` of the 3×3 taps from the first of `weights` on, `tap` numbers from one to the next.
#[inline(always)]
pub(super) fn weights<S: Simd>(s: S, weights: &[f32], tap: usize, to: &mut [f32], stride: usize) {
    assert!(8 * tap + S::LANES <= weights.len());
    assert!((PLACES - 1) * stride + S::LANES <= to.len());
    // SAFETY: as above.
    unsafe {
        Weights::both_ways(
            s,
            |y, x| s.load(weights.as_ptr().add((y * 3 + x) * tap)),
            |y, x, v| s.store(to.as_mut_ptr().add((y * IN + x) * stride), v),
        );
    }
}

/// `AᵀmA` of the sums of a tile, with what follows it, to those of the 4×4 outputs that lie within `size`; the first is
/// at `at`, `row` numbers from one row to the next.
#[inline(always)]
pub(super) fn products<S: Simd>(
    s: S,
    sums: &[f32],
    stride: usize,
    end: &mut End<'_>,
    [at, row]: [usize; 2],
    size: [usize; 2],
) {
    let last = at + (size[0] - 1) * row + size[1] * S::LANES;
    assert!((PLACES - 1) * stride + S::LANES <= sums.len());
    assert!(last <= end.output.len() && S::LANES <= end.bias.len());
    assert!(end.residual.is_none_or(|residual| last <= residual.len()));
    let bounds = end.activation.bounds();
    let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let (low, high) = (s.splat(low), s.splat(high));
    // SAFETY: what is read lies in `sums` and what is written, and added, before `last`, as was checked.
    unsafe {
        let bias = s.load(end.bias.as_ptr());
        let output = end.output.as_mut_ptr().add(at);
        Products::both_ways(
            s,
            |y, x| s.load(sums.as_ptr().add((y * IN + x) * stride)),
            |y, x, v| {
                if y < size[0] && x < size[1] {
                    let mut v = s.add(bias, v);
                    if let Some(residual) = end.residual {
                        let residual = residual.as_ptr().add(at);
                        v = s.add(v, s.load(residual.add(y * row + x * S::LANES)));
                    }
                    let v = s.min(high, s.max(low, v));
                    s.store(output.add(y * row + x * S::LANES), v);
                }
            },
        );
    }
    if bounds.is_none() {
        for line in end.output[at..last].chunks_mut(row) {
            s.vectorize(Apply {
                activation: end.activation,
                values: &mut line[..size[1] * S::LANES],
            });
        }
    }
}

/// A matrix.
trait Matrix<const FROM: usize, const TO: usize> {
    /// Its product with a column.
    fn times<S: Simd>(s: S, column: [S::V; FROM]) -> [S::V; TO];

    /// `M d Mᵀ`.
    #[inline(always)]
    fn both_ways<S: Simd>(
        s: S,
        d: impl Fn(usize, usize) -> S::V,
        mut to: impl FnMut(usize, usize, S::V),
    ) {
        let mut half = [[s.splat(0.0); FROM]; TO];
        for y in 0..FROM {
            let mut row = [s.splat(0.0); FROM];
            for (x, v) in row.iter_mut().enumerate() {
                *v = d(y, x);
            }
            let row = Self::times(s, row);
            for (column, v) in half.iter_mut().zip(row) {
                column[y] = v;
            }
        }
        for (x, column) in half.iter().enumerate() {
            for (y, v) in Self::times(s, *column).into_iter().enumerate() {
                to(y, x, v);
            }
        }
    }
}

/// Bᵀ
struct Input;

impl Matrix<IN, IN> for Input {
    #[inline(always)]
    fn times<S: Simd>(s: S, [a, b, c, d, e, f]: [S::V; IN]) -> [S::V; IN] {
        let (near, far) = (s.splat(SQRT_2 / 2.0), s.splat(SQRT_2));
        let (near_, far_) = (s.splat(-SQRT_2 / 2.0), s.splat(-SQRT_2));
        let (half, two) = (s.splat(-0.5), s.splat(-2.0));
        let (even, odd) = (s.mul_add(two, c, e), s.mul_add(two, b, d));
        let (even_, odd_) = (s.mul_add(half, c, e), s.mul_add(half, b, d));
        let ends = s.splat(-2.5);
        [
            s.mul_add(ends, c, s.add(a, e)),
            s.mul_add(near, odd, even),
            s.mul_add(near_, odd, even),
            s.mul_add(far, odd_, even_),
            s.mul_add(far_, odd_, even_),
            s.mul_add(ends, d, s.add(b, f)),
        ]
    }
}

/// G
struct Weights;

impl Matrix<3, IN> for Weights {
    #[inline(always)]
    fn times<S: Simd>(s: S, [a, b, c]: [S::V; 3]) -> [S::V; IN] {
        let part = |of: f32| s.splat(1.0 / of);
        let (odd, odd_) = (s.splat(SQRT_2 / 3.0), s.splat(-SQRT_2 / 3.0));
        let even = s.mul_add(part(-1.5), a, s.mul(part(-3.0), c));
        let even_ = s.mul_add(part(6.0), a, s.mul(part(3.0), c));
        let (far, far_) = (s.splat(SQRT_2 / 6.0), s.splat(-SQRT_2 / 6.0));
        [
            a,
            s.mul_add(odd_, b, even),
            s.mul_add(odd, b, even),
            s.mul_add(far, b, even_),
            s.mul_add(far_, b, even_),
            c,
        ]
    }
}

/// Aᵀ
struct Products;

impl Matrix<IN, OUT> for Products {
    #[inline(always)]
    fn times<S: Simd>(s: S, [a, b, c, d, e, f]: [S::V; IN]) -> [S::V; OUT] {
        let (sum, sum_) = (s.add(b, c), s.add(d, e));
        let difference = s.mul(s.splat(SQRT_2 / 2.0), s.sub(b, c));
        let difference_ = s.mul(s.splat(SQRT_2), s.sub(d, e));
        let (half, two) = (s.splat(0.5), s.splat(2.0));
        [
            s.add(a, s.add(sum, sum_)),
            s.add(difference, difference_),
            s.mul_add(half, sum, s.mul(two, sum_)),
            s.mul_add(half, difference, s.mul_add(two, difference_, f)),
        ]
    }
}
