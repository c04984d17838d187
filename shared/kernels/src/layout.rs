//! Between dense channels (`[N, C, H·W]`) and channels in blocks (`[N, ⌈C/c⌉, H·W, c]`).
//!
//! A last block that is not full has lanes beyond the channels: [`to_blocked`] fills them with zeros; kernels may
//! leave any finite number there, and multiply what they read of it by zero weights.

use crate::Isa;

/// `[channels, plane]` to `[blocks, plane, lanes]`, for one item of a batch.
///
/// # Panics
/// If a slice has another length.
pub fn to_blocked(isa: Isa, channels: usize, plane: usize, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), channels * plane);
    assert_eq!(to.len(), isa.blocks(channels) * plane * isa.lanes());
    match isa.lanes() {
        16 => pack::<16>(channels, plane, from, to),
        8 => pack::<8>(channels, plane, from, to),
        _ => pack::<4>(channels, plane, from, to),
    }
}

/// `[blocks, plane, lanes]` to `[channels, plane]`, for one item of a batch.
///
/// # Panics
/// If a slice has another length.
pub fn from_blocked(isa: Isa, channels: usize, plane: usize, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), isa.blocks(channels) * plane * isa.lanes());
    assert_eq!(to.len(), channels * plane);
    match isa.lanes() {
        16 => unpack::<16>(channels, plane, from, to),
        8 => unpack::<8>(channels, plane, from, to),
        _ => unpack::<4>(channels, plane, from, to),
    }
}

fn pack<const LANES: usize>(channels: usize, plane: usize, from: &[f32], to: &mut [f32]) {
    if plane == 0 {
        return;
    }
    for (block, to) in to.chunks_exact_mut(plane * LANES).enumerate() {
        let first = block * LANES;
        let rows = LANES.min(channels - first);
        let from = &from[first * plane..(first + rows) * plane];
        let (to, _) = to.as_chunks_mut::<LANES>();
        if rows == LANES {
            let rows: [&[f32]; LANES] = std::array::from_fn(|lane| &from[lane * plane..][..plane]);
            for (at, to) in to.iter_mut().enumerate() {
                for (to, row) in to.iter_mut().zip(rows) {
                    *to = row[at];
                }
            }
        } else {
            for (at, to) in to.iter_mut().enumerate() {
                *to = [0.0; LANES];
                for (to, row) in to.iter_mut().zip(from.chunks_exact(plane)) {
                    *to = row[at];
                }
            }
        }
    }
}

fn unpack<const LANES: usize>(channels: usize, plane: usize, from: &[f32], to: &mut [f32]) {
    if plane == 0 {
        return;
    }
    for (block, from) in from.chunks_exact(plane * LANES).enumerate() {
        let first = block * LANES;
        let rows = LANES.min(channels - first);
        let to = &mut to[first * plane..(first + rows) * plane];
        let (from, _) = from.as_chunks::<LANES>();
        // A few positions of all rows at a time: what is read stays in the nearest cache.
        for (start, from) in (0..plane).step_by(LANES).zip(from.chunks(LANES)) {
            for (lane, row) in to.chunks_exact_mut(plane).enumerate() {
                for (to, from) in row[start..].iter_mut().zip(from) {
                    *to = from[lane];
                }
            }
        }
    }
}
