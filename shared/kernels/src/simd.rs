//! Vectors of `f32`: one trait, so that one source of a kernel serves every instruction set.
//!
//! A value of a type that implements [`Simd`] is a token: it exists only where the processor has the instruction set,
//! so its arithmetic is safe. A kernel is a [`Task`]; [`Simd::vectorize`] runs it in a function compiled for the set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// Work that can be compiled for any instruction set. `run` must be `#[inline(always)]`, and all that it calls with
/// vectors too: only so do they end in a function that may use the set's instructions.
pub(crate) trait Task {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set with vectors of `LANES` numbers.
pub(crate) trait Simd: Copy {
    type V: Copy;
    const LANES: usize;
    /// How many vectors a kernel may keep at once.
    const REGISTERS: usize;

    /// Runs the task in a function compiled for this instruction set.
    fn vectorize<T: Task>(self, task: T) -> T::Output;

    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `LANES` numbers can be read at `from`, aligned as `f32`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` numbers can be written at `to`, aligned as `f32`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// `a · b + c`, rounded once where the set can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The greater one; NaN where `b` is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The lesser one; NaN where `b` is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer.
    fn round(self, a: Self::V) -> Self::V;
    /// 2ⁿ for integral n in -126..=127.
    fn pow2(self, n: Self::V) -> Self::V;
}
