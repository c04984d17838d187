use std::arch::aarch64::{
    float32x4_t, int8x16_t, int32x4_t, uint8x16_t, vabsq_f32, vaddq_f32, vaddq_s32, vbslq_f32,
    vcvtnq_s32_f32, vcvtq_f32_s32, vdivq_f32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u8, vdupq_n_u32,
    veorq_u8, vfmaq_f32, vget_low_s8, vld1q_f32, vld1q_u8, vld1q_u32, vmaxq_f32, vminq_f32,
    vmull_high_s8, vmull_s8, vmulq_f32, vpaddlq_s8, vpaddlq_s16, vpaddq_s32, vqtbl1q_u8,
    vreinterpretq_f32_s32, vreinterpretq_f32_u8, vreinterpretq_s8_f32, vreinterpretq_s8_u8,
    vreinterpretq_s32_f32, vreinterpretq_u8_f32, vreinterpretq_u8_u32, vrndnq_f32, vshlq_n_s32,
    vst1q_f32, vsubq_f32,
};
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Simd, Task};

/// Bytes are multiplied in pairs.
pub(crate) const SMULL: u8 = 0;
/// Four products of signed bytes are one instruction: Armv8.2's `dotprod`, as Graviton 2 has it.
pub(crate) const SDOT: u8 = 1;
/// Four products of unsigned bytes with signed ones are one instruction: `i8mm`, as Graviton 3 has it.
pub(crate) const USDOT: u8 = 2;

/// NEON, which every 64-bit Arm processor has: 32 registers of 4 numbers. `DOT` is how bytes are multiplied.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const DOT: u8 = SMULL>(());

impl<const DOT: u8> Neon<DOT> {
    pub(crate) fn new() -> Option<Self> {
        let found = match DOT {
            USDOT => is_aarch64_feature_detected!("i8mm"),
            SDOT => is_aarch64_feature_detected!("dotprod"),
            _ => true,
        };
        found.then_some(Self(()))
    }
}

#[inline(never)]
fn compiled<T: Task>(task: T, simd: Neon) -> T::Output {
    task.run(simd)
}

#[target_feature(enable = "dotprod")]
#[inline(never)]
fn compiled_sdot<T: Task>(task: T, simd: Neon<SDOT>) -> T::Output {
    task.run(simd)
}

#[target_feature(enable = "i8mm")]
#[inline(never)]
fn compiled_usdot<T: Task>(task: T, simd: Neon<USDOT>) -> T::Output {
    task.run(simd)
}

/// `c` and four products a lane. The intrinsics are not stable yet.
#[target_feature(enable = "dotprod")]
#[inline]
fn sdot(c: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = c;
    // SAFETY: it reads and writes registers alone.
    unsafe {
        asm!("sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b", sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// The same with unsigned bytes in `a`.
#[target_feature(enable = "i8mm")]
#[inline]
fn usdot(c: int32x4_t, a: uint8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = c;
    // SAFETY: it reads and writes registers alone.
    unsafe {
        asm!("usdot {sum:v}.4s, {a:v}.16b, {b:v}.16b", sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

// SAFETY (all blocks below): NEON is part of the architecture's baseline, a token of more exists only where `new` has found
// it, and pointers are the caller's.
#[allow(clippy::undocumented_unsafe_blocks, unused_unsafe)]
impl<const DOT: u8> Simd for Neon<DOT> {
    type V = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        unsafe {
            match DOT {
                USDOT => compiled_usdot(task, Neon(())),
                SDOT => compiled_sdot(task, Neon(())),
                _ => compiled(task, Neon(())),
            }
        }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    fn copysign(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vdupq_n_u32(1 << 31), b, a) }
    }
    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    fn pow2(self, n: float32x4_t) -> float32x4_t {
        unsafe {
            let biased = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        }
    }
    // Without `usdot` signed bytes are multiplied, and what that takes from the unsigned ones (128 of each) is given back by
    // the sum of the weights.
    #[inline(always)]
    fn dot4(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe {
            let (a, b) = (vreinterpretq_u8_f32(a), vreinterpretq_s8_f32(b));
            let c = vreinterpretq_s32_f32(c);
            if DOT == USDOT {
                return vreinterpretq_f32_s32(usdot(c, a, b));
            }
            let a = vreinterpretq_s8_u8(veorq_u8(a, vdupq_n_u8(0x80)));
            let c = vaddq_s32(c, vshlq_n_s32::<7>(vpaddlq_s16(vpaddlq_s8(b))));
            if DOT == SDOT {
                return vreinterpretq_f32_s32(sdot(c, a, b));
            }
            let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            let high = vpaddlq_s16(vmull_high_s8(a, b));
            vreinterpretq_f32_s32(vaddq_s32(c, vpaddq_s32(low, high)))
        }
    }
    #[inline(always)]
    fn numbers_of(self, a: float32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(vreinterpretq_s32_f32(a)) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> float32x4_t {
        unsafe {
            let numbers = from.cast::<[u8; 4]>().read().map(f32::from);
            vld1q_f32(numbers.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn load_quads(self, from: [*const u8; 4]) -> float32x4_t {
        unsafe {
            let rows = from.map(|from| from.cast::<u32>().read_unaligned());
            let order = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];
            let rows = vreinterpretq_u8_u32(vld1q_u32(rows.as_ptr()));
            vreinterpretq_f32_u8(vqtbl1q_u8(rows, vld1q_u8(order.as_ptr())))
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: float32x4_t) {
        unsafe {
            let mut numbers = [0.0; 4];
            vst1q_f32(numbers.as_mut_ptr(), v);
            to.cast::<[u8; 4]>().write(numbers.map(|x| x as u8));
        }
    }
}
