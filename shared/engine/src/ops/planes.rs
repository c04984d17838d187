//! Tensors of channels and planes: which they are, and their blocked shape.

use tract_onnx::prelude::{Datum, TypedFact};

/// `[N, C, H, W]`, or `[N, C, W]` with a height of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) items: usize,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    /// Of the dense tensor: 4 or 3.
    pub(super) rank: usize,
}

impl Planes {
    /// The planes of a tensor of `f32` with a concrete shape and nothing empty.
    pub(super) fn of(fact: &TypedFact) -> Option<Self> {
        if fact.datum_type != f32::datum_type() || fact.exotic_fact.is_some() {
            return None;
        }
        let planes = match *fact.shape.as_concrete()? {
            [items, channels, height, width] => Self {
                items,
                channels,
                size: [height, width],
                rank: 4,
            },
            [items, channels, width] => Self {
                items,
                channels,
                size: [1, width],
                rank: 3,
            },
            _ => return None,
        };
        (planes.items * planes.channels * planes.len() > 0).then_some(planes)
    }

    /// Numbers of a plane.
    pub(super) fn len(&self) -> usize {
        self.size[0] * self.size[1]
    }
}
