//! Memory for what a kernel writes.

use std::cell::RefCell;

use tract_onnx::prelude::{Datum, Tensor, TractResult};
use tract_onnx::tract_core::internal::ensure;

use super::in_place::InPlace;
use super::pages;

/// A tensor whose numbers the caller is about to write, every one.
pub(super) fn blank(shape: &[usize]) -> TractResult<Tensor> {
    blank_of::<f32>(shape)
}

/// The same of other numbers, any bit pattern of which is one.
#[allow(unsafe_code)]
pub(super) fn blank_of<T: Datum + bytemuck::AnyBitPattern>(shape: &[usize]) -> TractResult<Tensor> {
    // SAFETY: kernels write each number of their output and read none of it before; any bit pattern is a number.
    let tensor = unsafe { Tensor::uninitialized::<T>(shape) }?;
    let bytes = tensor.try_as_plain_ram()?.as_bytes();
    pages::huge(bytes.as_ptr(), bytes.len());
    Ok(tensor)
}

/// The numbers of a tensor, wherever they lie.
pub(super) fn numbers(tensor: &Tensor) -> TractResult<&[f32]> {
    if let Some(here) = tensor.storage_as::<InPlace>() {
        ensure!(tensor.datum_type() == f32::datum_type());
        return Ok(here.numbers());
    }
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

/// Runs `work` with so many numbers of scratch, aligned as a cache line; their values are whatever was left there.
/// Each thread keeps its scratch, as large as the largest was.
pub(super) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    const LINE: usize = 64;
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let room = len + LINE / size_of::<f32>();
        if scratch.len() < room {
            *scratch = vec![0.0; room];
        }
        let start = scratch.as_ptr().align_offset(LINE);
        work(&mut scratch[start..start + len])
    })
}
