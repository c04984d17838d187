//! Huge pages for what is large.

use std::sync::atomic::{AtomicU64, Ordering};

/// A huge page of the processors that we run on.
const HUGE: usize = 2 << 20;
/// Less than this is left to the allocator: a small model's process stays small.
const LARGE: usize = 512 << 10;

/// A bit for each huge page of the last gigabytes that were asked for: the same memory comes back run after run, and a
/// call to the kernel takes longer than some nodes.
static ASKED: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Asks for huge pages where `len` bytes at `start` lie, which are about to be written: one fault for each, where there
/// would be one for every 4 KiB. The pages reach beyond the bytes, into what the allocator will give next. A kernel that
/// has none goes on as before.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn huge(start: *const u8, len: usize) {
    if len < LARGE {
        return;
    }
    let (first, last) = (start.addr() / HUGE, (start.addr() + len - 1) / HUGE);
    for page in first..=last {
        let (word, bit) = (page / 64 % ASKED.len(), 1 << (page % 64));
        if ASKED[word].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let at = std::ptr::without_provenance_mut(page * HUGE);
            // SAFETY: the advice changes no byte, wherever it points; what isn't mapped is refused.
            unsafe { libc::madvise(at, HUGE, libc::MADV_HUGEPAGE) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn huge(_: *const u8, _: usize) {}
