//! The window that slides over a plane in a convolution or a pooling.

use serde::{Deserialize, Serialize};

/// Extents and steps in height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Taps: rows and columns.
    pub kernel: [usize; 2],
    /// Input positions from one output position to the next.
    pub stride: [usize; 2],
    /// Input positions from one tap to the next.
    pub dilation: [usize; 2],
    /// Positions beyond the plane above and left of it.
    pub before: [usize; 2],
    /// Positions beyond the plane below and right of it.
    pub after: [usize; 2],
}

impl Window {
    /// A square window of this many taps that moves by one, with no padding.
    pub const fn square(kernel: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [1; 2],
            dilation: [1; 2],
            before: [0; 2],
            after: [0; 2],
        }
    }

    /// The same with this stride.
    #[must_use]
    pub const fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }

    /// The same with so much padding on each side.
    #[must_use]
    pub const fn pad(mut self, pad: usize) -> Self {
        self.before = [pad; 2];
        self.after = [pad; 2];
        self
    }

    /// Input positions from the first tap to the last, in one axis.
    pub const fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// The size of the output plane; zero where the window does not fit.
    pub fn output(&self, input: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            let padded = input[axis] + self.before[axis] + self.after[axis];
            match padded.checked_sub(self.extent(axis)) {
                Some(room) => room / self.stride[axis] + 1,
                None => 0,
            }
        })
    }

    /// Whether it reads one position for each output position, all of them, in order.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2] && !self.is_padded()
    }

    /// Whether it reaches beyond the plane.
    pub fn is_padded(&self) -> bool {
        self.before != [0; 2] || self.after != [0; 2]
    }

    /// The taps of output position `at` that lie inside a plane of `size`, in one axis.
    pub(crate) fn inside(&self, axis: usize, at: usize, size: usize) -> std::ops::Range<usize> {
        let start = at * self.stride[axis];
        let (before, dilation) = (self.before[axis], self.dilation[axis]);
        // A row of a small plane is soon done, and division slow.
        let steps = |positions: usize| match dilation {
            1 => positions,
            _ => positions.div_ceil(dilation),
        };
        let first = steps(before.saturating_sub(start));
        let last = steps((size + before).saturating_sub(start));
        let last = last.min(self.kernel[axis]);
        first.min(last)..last
    }
}
