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
pub(crate) use neon::{Neon, SDOT, SMULL, USDOT};
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
    /// Says that this will be read soon; does nothing where the set has no way to.
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
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

    /// Four products a lane: the unsigned bytes of `a` times the signed bytes of `b`, exactly, added to the 32-bit
    /// integers of `c`. Vectors are patterns of bits here.
    fn dot4(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The number of each 32-bit integer.
    fn numbers_of(self, a: Self::V) -> Self::V;
    /// The numbers of so many unsigned bytes.
    ///
    /// # Safety
    /// `LANES` bytes can be read at `from`.
    unsafe fn load_bytes(self, from: *const u8) -> Self::V;
    /// Four bytes a lane, one from each place: what [`Simd::dot4`] multiplies.
    ///
    /// # Safety
    /// `LANES` bytes can be read at each of `from`.
    unsafe fn load_quads(self, from: [*const u8; 4]) -> Self::V;
    /// Numbers as unsigned bytes: integers from 0 to 255.
    ///
    /// # Safety
    /// `LANES` bytes can be written at `to`.
    unsafe fn store_bytes(self, to: *mut u8, v: Self::V);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dot4` of every lane, on bytes drawn at random and at their bounds.
    #[derive(Clone, Copy)]
    struct Dots;

    impl Task for Dots {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            let mut rng = fastrand::Rng::with_seed(3);
            for round in 0..200 {
                let mut quads = || -> [f32; 16] {
                    std::array::from_fn(|_| {
                        let bytes: [u8; 4] = std::array::from_fn(|_| match round {
                            0 => 0x80,
                            1 => 0xff,
                            2 => 0x7f,
                            _ => rng.u8(..),
                        });
                        f32::from_le_bytes(bytes)
                    })
                };
                let (a, b) = (quads(), quads());
                let start = [f32::from_bits(1_000_000); 16];
                let mut got = [0.0; 16];
                // SAFETY: no set has more than 16 lanes.
                unsafe {
                    let sum = s.dot4(
                        s.load(a.as_ptr()),
                        s.load(b.as_ptr()),
                        s.load(start.as_ptr()),
                    );
                    s.store(got.as_mut_ptr(), sum);
                }
                for lane in 0..S::LANES {
                    let (a, b) = (a[lane].to_le_bytes(), b[lane].to_le_bytes());
                    let products = a
                        .iter()
                        .zip(b)
                        .map(|(&a, b)| i32::from(a) * i32::from(b as i8));
                    let wanted = 1_000_000 + products.sum::<i32>();
                    assert_eq!(got[lane].to_bits() as i32, wanted, "{round}: {a:?} {b:?}");
                }
            }
        }
    }

    /// The bytes of every number, there and back.
    #[derive(Clone, Copy)]
    struct Bytes;

    impl Task for Bytes {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            for first in 0..=240_u8 {
                let bytes: [u8; 16] = std::array::from_fn(|lane| first + lane as u8 % 16);
                let (mut numbers, mut again) = ([0.0; 16], [0; 16]);
                // SAFETY: no set has more than 16 lanes.
                unsafe {
                    let v = s.load_bytes(bytes.as_ptr());
                    s.store(numbers.as_mut_ptr(), v);
                    s.store_bytes(again.as_mut_ptr(), v);
                }
                assert_eq!(again[..S::LANES], bytes[..S::LANES]);
                assert!(
                    numbers
                        .iter()
                        .zip(bytes)
                        .take(S::LANES)
                        .all(|(&x, byte)| x.to_bits() == f32::from(byte).to_bits())
                );
            }
        }
    }

    /// Four bytes to a lane, in the order of their places.
    #[derive(Clone, Copy)]
    struct Quads;

    impl Task for Quads {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            let bytes: [u8; 64] = std::array::from_fn(|at| at as u8 * 3);
            let mut got = [0.0; 16];
            // SAFETY: no set has more than 16 lanes.
            unsafe {
                let places = [0, 16, 32, 48].map(|place| bytes[place..].as_ptr());
                s.store(got.as_mut_ptr(), s.load_quads(places));
            }
            for lane in 0..S::LANES {
                let wanted = [0, 16, 32, 48].map(|place| bytes[place + lane]);
                assert_eq!(got[lane].to_le_bytes(), wanted);
            }
        }
    }

    fn everywhere(task: impl Task<Output = ()> + Copy) {
        Portable.vectorize(task);
        #[cfg(target_arch = "aarch64")]
        {
            Neon::<SMULL>::new().inspect(|s| s.vectorize(task));
            Neon::<SDOT>::new().inspect(|s| s.vectorize(task));
            Neon::<USDOT>::new().inspect(|s| s.vectorize(task));
        }
        #[cfg(target_arch = "x86_64")]
        {
            Avx2::<false>::new().inspect(|s| s.vectorize(task));
            Avx2::<true>::new().inspect(|s| s.vectorize(task));
            Avx512::<false>::new().inspect(|s| s.vectorize(task));
            Avx512::<true>::new().inspect(|s| s.vectorize(task));
        }
    }

    #[test]
    fn dots_are_exact() {
        everywhere(Dots);
    }

    #[test]
    fn bytes_are_numbers() {
        everywhere(Bytes);
    }

    #[test]
    fn quads_are_in_order() {
        everywhere(Quads);
    }
}
