//! Activations: on whole slices, and as the end of another kernel.

use serde::{Deserialize, Serialize};

use crate::Isa;
use crate::simd::{Simd, Task};

/// A function of one number that follows a convolution or a product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// x
    None,
    /// max(x, 0)
    Relu,
    /// min(max(x, low), high); `ReLU6` is `Clip(0.0, 6.0)`.
    Clip(f32, f32),
    /// x where x ≥ 0, else αx
    LeakyRelu(f32),
    /// min(max(αx + β, 0), 1)
    HardSigmoid(f32, f32),
    /// x · min(max(x / 6 + 1/2, 0), 1)
    HardSwish,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// x / (1 + e⁻ˣ)
    Silu,
    /// tanh x
    Tanh,
    /// x · Φ(x), with the error function; Hendrycks and Gimpel, arXiv:1606.08415.
    Gelu,
}

// Parameters are never NaN: the constructors of graphs refuse that.
impl Eq for Activation {}

impl Activation {
    /// Applies it to every number, in place.
    ///
    /// # Panics
    /// If this machine lacks the instruction set.
    pub fn apply(self, isa: Isa, values: &mut [f32]) {
        if self != Self::None {
            isa.run(Apply {
                activation: self,
                values,
            });
        }
    }

    /// Whether it does no more than to keep numbers between bounds.
    pub fn is_bounded(self) -> bool {
        self.bounds().is_some()
    }

    /// Its bounds, where it is no more than that: those are applied in registers.
    pub(crate) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clip(low, high) => Some((low, high)),
            _ => None,
        }
    }
}

pub(crate) struct Apply<'a> {
    pub(crate) activation: Activation,
    pub(crate) values: &'a mut [f32],
}

impl Task for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let values = self.values;
        match self.activation {
            Activation::None => {}
            Activation::Relu => each(s, values, |x| s.max(s.splat(0.0), x)),
            Activation::Clip(low, high) => {
                each(s, values, |x| s.min(s.splat(high), s.max(s.splat(low), x)));
            }
            Activation::LeakyRelu(alpha) => each(s, values, |x| {
                let zero = s.splat(0.0);
                s.mul_add(s.splat(alpha), s.min(zero, x), s.max(zero, x))
            }),
            Activation::HardSigmoid(alpha, beta) => {
                each(s, values, |x| hard_sigmoid(s, x, alpha, beta));
            }
            Activation::HardSwish => {
                each(s, values, |x| s.mul(x, hard_sigmoid(s, x, 1.0 / 6.0, 0.5)));
            }
            Activation::Sigmoid => each(s, values, |x| sigmoid(s, x)),
            Activation::Silu => each(s, values, |x| s.mul(x, sigmoid(s, x))),
            Activation::Tanh => each(s, values, |x| tanh(s, x)),
            Activation::Gelu => each(s, values, |x| gelu(s, x)),
        }
    }
}

/// Replaces every number by `f` of it; the rest that fills no vector goes through a copy.
#[inline(always)]
pub(crate) fn each<S: Simd>(s: S, values: &mut [f32], f: impl Fn(S::V) -> S::V) {
    let mut vectors = values.chunks_exact_mut(S::LANES);
    for vector in &mut vectors {
        // SAFETY: the chunk is one vector long.
        unsafe { s.store(vector.as_mut_ptr(), f(s.load(vector.as_ptr()))) };
    }
    let rest = vectors.into_remainder();
    if !rest.is_empty() {
        let mut vector = [0.0; 16];
        vector[..rest.len()].copy_from_slice(rest);
        // SAFETY: no set has more than 16 lanes.
        unsafe { s.store(vector.as_mut_ptr(), f(s.load(vector.as_ptr()))) };
        rest.copy_from_slice(&vector[..rest.len()]);
    }
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, x: S::V, alpha: f32, beta: f32) -> S::V {
    let line = s.mul_add(s.splat(alpha), x, s.splat(beta));
    s.min(s.splat(1.0), s.max(s.splat(0.0), line))
}

/// eˣ to about 1 ulp: x = n ln 2 + r, and the Taylor-like polynomial of Cephes' `expf` for eʳ. Clamped to ±87.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.splat(87.0), s.max(s.splat(-87.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, so that the product with n is exact.
    let r = s.mul_add(n, s.splat(-0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for c in [
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_6e-1,
        5e-1,
    ] {
        p = s.mul_add(p, r, s.splat(c));
    }
    let p = s.mul_add(s.mul(p, r), r, s.add(r, s.splat(1.0)));
    s.mul(p, s.pow2(n))
}

#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// tanh |x| = (1 − t) / (1 + t) with t = e^(−2|x|); near zero, where that cancels, x − x³/3 + 2x⁵/15.
#[inline(always)]
fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let t = exp(s, s.mul(a, s.splat(-2.0)));
    let far = s.div(s.sub(one, t), s.add(one, t));
    // The lesser of both up to the bound: the series bends away below tanh beyond it, so blend by the clamped argument.
    let near = s.min(s.splat(0.1), a);
    let square = s.mul(near, near);
    let series = s.mul_add(s.splat(2.0 / 15.0), square, s.splat(-1.0 / 3.0));
    let series = s.mul_add(s.mul(series, square), near, near);
    s.copysign(s.max(series, far), x)
}

/// erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7.
#[inline(always)]
fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let t = s.div(one, s.mul_add(a, s.splat(0.327_591_1), one));
    let mut p = s.splat(1.061_405_4);
    for c in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        p = s.mul_add(p, t, s.splat(c));
    }
    let tail = s.mul(s.mul(p, t), exp(s, s.mul(s.sub(s.splat(0.0), a), a)));
    s.copysign(s.sub(one, tail), x)
}

#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    let half = s.mul(x, s.splat(0.5));
    let phi = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    s.mul_add(half, phi, half)
}
