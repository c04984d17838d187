//! Where a picture of one shape lands in a tensor of another.
//!
//! Every number is computed as Pillow and torchvision compute it, down to the rounding of halves
//! to even, so that borders fall on the same pixel.

use crate::{Fit, Size};

/// A part of the source, resized, on a canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    /// The part of the source that is resized.
    pub(super) region: Region,
    /// The size it is resized to.
    pub(super) resized: [u32; 2],
    /// Where its upper left corner lies on the canvas: left and top.
    pub(super) offset: [u32; 2],
    /// The canvas: width and height. What the resized part leaves free is padding.
    pub(super) canvas: [u32; 2],
}

/// A rectangle in the source's pixels; single precision, as Pillow hands it to its C code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
}

impl Region {
    /// All of a picture of `[width, height]`.
    pub(super) fn whole([width, height]: [u32; 2]) -> Self {
        Self {
            left: 0.0,
            top: 0.0,
            right: width as f32,
            bottom: height as f32,
        }
    }
}

/// Places a picture of `[width, height]`.
pub(super) fn place(source: [u32; 2], size: Size, fit: Fit) -> Placement {
    let canvas = match size {
        Size::Exact([height, width]) => [width, height],
        Size::Shorter(shorter) => shorter_side(source, shorter),
    };
    let exact = matches!(size, Size::Exact(_));
    let stretched = Placement {
        region: Region::whole(source),
        resized: canvas,
        offset: [0, 0],
        canvas,
    };
    match fit {
        Fit::Cover if exact => Placement {
            region: cover(source, canvas),
            ..stretched
        },
        Fit::Contain if exact => {
            let resized = contain(source, canvas);
            let middle = |side: usize| half_to_even(f64::from(canvas[side] - resized[side]) * 0.5);
            Placement {
                resized,
                offset: [middle(0), middle(1)],
                ..stretched
            }
        }
        _ => stretched,
    }
}

/// Where torchvision's `center_crop` begins: left and top.
pub(super) fn center_crop(from: [u32; 2], crop: [u32; 2]) -> [u32; 2] {
    let middle = |side: usize| half_to_even(f64::from(from[side] - crop[side]) / 2.0);
    [middle(0), middle(1)]
}

/// `torchvision.transforms.functional.resize` with one number.
fn shorter_side([width, height]: [u32; 2], side: u32) -> [u32; 2] {
    let longer = |long: u32, short: u32| {
        (u64::from(side) * u64::from(long) / u64::from(short)).min(u64::from(u32::MAX)) as u32
    };
    if width <= height {
        [side, longer(height, width)]
    } else {
        [longer(width, height), side]
    }
}

/// `PIL.ImageOps.fit`, centred.
fn cover(source: [u32; 2], canvas: [u32; 2]) -> Region {
    let [width, height] = source.map(f64::from);
    let wanted = f64::from(canvas[0]) / f64::from(canvas[1]);
    let got = width / height;
    #[expect(clippy::float_cmp, reason = "Pillow compares so")]
    let (crop_width, crop_height) = if got == wanted {
        (width, height)
    } else if got >= wanted {
        (wanted * height, height)
    } else {
        (width, width / wanted)
    };
    let left = (width - crop_width) * 0.5;
    let top = (height - crop_height) * 0.5;
    Region {
        left: left as f32,
        top: top as f32,
        right: (left + crop_width).min(width) as f32,
        bottom: (top + crop_height).min(height) as f32,
    }
}

/// `PIL.ImageOps.contain`; a side never vanishes.
fn contain(source: [u32; 2], canvas: [u32; 2]) -> [u32; 2] {
    let [width, height] = source.map(f64::from);
    let got = width / height;
    let wanted = f64::from(canvas[0]) / f64::from(canvas[1]);
    if got > wanted {
        let side = half_to_even(height / width * f64::from(canvas[0]));
        [canvas[0], side.clamp(1, canvas[1])]
    } else if got < wanted {
        let side = half_to_even(width / height * f64::from(canvas[1]));
        [side.clamp(1, canvas[0]), canvas[1]]
    } else {
        canvas
    }
}

/// Python's `round`.
fn half_to_even(value: f64) -> u32 {
    value.round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_fall_where_pillow_and_torchvision_put_them() {
        // ImageOps.contain and the offset of ImageOps.pad.
        let cases = [
            ([100, 50], [224, 224], [224, 112], [0, 56]),
            ([50, 100], [224, 224], [112, 224], [56, 0]),
            ([3, 1], [10, 10], [10, 3], [0, 4]),
            ([1000, 1], [10, 10], [10, 1], [0, 4]),
            ([10, 10], [10, 10], [10, 10], [0, 0]),
        ];
        for (source, [width, height], resized, offset) in cases {
            let got = place(source, Size::Exact([height, width]), Fit::Contain);
            assert_eq!((got.resized, got.offset), (resized, offset), "{source:?}");
        }
        // torchvision's resize(256) of 500×375 and 375×500, then center_crop.
        assert_eq!(shorter_side([500, 375], 256), [341, 256]);
        assert_eq!(shorter_side([375, 500], 256), [256, 341]);
        assert_eq!(center_crop([341, 256], [224, 224]), [58, 16]);
        assert_eq!(center_crop([227, 225], [224, 224]), [2, 0]);
    }

    #[test]
    fn cover_keeps_inside_the_picture() {
        for width in 1..60 {
            for height in 1..60 {
                let got = cover([width, height], [7, 5]);
                assert!(got.left >= 0.0 && got.top >= 0.0, "{width} {height}");
                assert!(got.right <= width as f32, "{width} {height}");
                assert!(got.bottom <= height as f32, "{width} {height}");
            }
        }
    }
}
