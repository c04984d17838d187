use std::array::from_fn;

use super::{Simd, Task};

/// Plain Rust: four numbers that the compiler may or may not keep in one register.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(never)]
fn compiled<T: Task>(task: T, simd: Portable) -> T::Output {
    task.run(simd)
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        compiled(task, self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's promise; an array is aligned as its elements.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller's promise; an array is aligned as its elements.
        unsafe { *to.cast() = v }
    }
    // Not `f32::mul_add`, which is a library call where the processor lacks the instruction.
    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn abs(self, a: [f32; 4]) -> [f32; 4] {
        a.map(f32::abs)
    }
    #[inline(always)]
    fn copysign(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        from_fn(|i| a[i].copysign(b[i]))
    }
    #[inline(always)]
    fn round(self, a: [f32; 4]) -> [f32; 4] {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    fn pow2(self, n: [f32; 4]) -> [f32; 4] {
        n.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn dot4(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        from_fn(|i| {
            let (a, b) = (a[i].to_le_bytes(), b[i].to_le_bytes());
            let product = |at: usize| i32::from(a[at]) * i32::from(b[at] as i8);
            let sum = product(0) + product(1) + product(2) + product(3);
            f32::from_bits((c[i].to_bits() as i32).wrapping_add(sum) as u32)
        })
    }
    #[inline(always)]
    fn numbers_of(self, a: [f32; 4]) -> [f32; 4] {
        a.map(|x| x.to_bits() as i32 as f32)
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> [f32; 4] {
        // SAFETY: the caller's promise; bytes are aligned anywhere.
        unsafe { from.cast::<[u8; 4]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn load_quads(self, from: [*const u8; 4]) -> [f32; 4] {
        // SAFETY: the caller's promise; bytes are aligned anywhere.
        let rows = from.map(|from| unsafe { from.cast::<[u8; 4]>().read() });
        from_fn(|lane| f32::from_le_bytes(rows.map(|row| row[lane])))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: [f32; 4]) {
        // SAFETY: the caller's promise; bytes are aligned anywhere.
        unsafe { to.cast::<[u8; 4]>().write(v.map(|x| x as u8)) };
    }
}
