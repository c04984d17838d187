//! One pass over blocked channels: a factor and a summand for each channel, and an activation.

use crate::simd::{Simd, Task};
use crate::{Activation, Isa, activation};

/// `activation(x · scale + shift)` for one item of a batch, in place: `values` is `[blocks, plane, lanes]`, `scale` and
/// `shift` have a number for each lane of each block.
///
/// # Panics
/// If a slice has another length, or this machine lacks the instruction set.
pub fn affine(
    isa: Isa,
    values: &mut [f32],
    scale: Option<&[f32]>,
    shift: Option<&[f32]>,
    activation: Activation,
) {
    let lanes = scale.or(shift).map_or(isa.lanes(), <[f32]>::len);
    assert!(shift.is_none_or(|shift| shift.len() == lanes), "shift");
    assert!(lanes > 0 && lanes.is_multiple_of(isa.lanes()), "lanes");
    assert!(values.len().is_multiple_of(lanes), "values");
    if !values.is_empty() {
        isa.run(Affine {
            values,
            scale,
            shift,
            activation,
            blocks: lanes / isa.lanes(),
        });
    }
}

struct Affine<'a> {
    values: &'a mut [f32],
    scale: Option<&'a [f32]>,
    shift: Option<&'a [f32]>,
    activation: Activation,
    blocks: usize,
}

/// Numbers that an activation follows while they are in the nearest cache.
const NEAR: usize = 2 << 10;

impl Task for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let plane = self.values.len() / self.blocks;
        let bounds = self.activation.bounds();
        let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let (low, high) = (s.splat(low), s.splat(high));
        for (block, values) in self.values.chunks_exact_mut(plane).enumerate() {
            let of = |lanes: Option<&[f32]>, default: f32| match lanes {
                // SAFETY: the slice is one vector long.
                Some(lanes) => unsafe { s.load(lanes[block * S::LANES..][..S::LANES].as_ptr()) },
                None => s.splat(default),
            };
            let (scale, shift) = (of(self.scale, 1.0), of(self.shift, 0.0));
            for values in values.chunks_mut(NEAR) {
                for x in values.chunks_exact_mut(S::LANES) {
                    // SAFETY: the chunk is one vector long.
                    unsafe {
                        let y = s.mul_add(s.load(x.as_ptr()), scale, shift);
                        s.store(x.as_mut_ptr(), s.min(high, s.max(low, y)));
                    }
                }
                if bounds.is_none() {
                    activation::Apply {
                        activation: self.activation,
                        values,
                    }
                    .run(s);
                }
            }
        }
    }
}
