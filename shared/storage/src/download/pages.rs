//! Huge pages for what is large.

use bytes::BytesMut;

/// A huge page of the processors that we run on.
const HUGE: usize = 2 << 20;

/// Asks for huge pages in `room`, which has not been written yet: one fault for each, where there would be one for every
/// 4 KiB. A kernel that has none goes on as before.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn huge(room: &mut BytesMut) {
    let room = room.spare_capacity_mut();
    let skip = room.as_ptr().align_offset(HUGE).min(room.len());
    let pages = &mut room[skip..];
    let length = pages.len() / HUGE * HUGE;
    if length > 0 {
        // SAFETY: the range lies within memory that is ours alone, and the advice changes no byte of it.
        unsafe { libc::madvise(pages.as_mut_ptr().cast(), length, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn huge(_: &mut BytesMut) {}
