//! Pictures upright, as Pillow's `ImageOps.exif_transpose`.

use image::metadata::Orientation;

use super::Picture;

/// Rows that are written side by side, so that a turn by 90° reads whole cache lines.
const BLOCK: usize = 16;

/// Applies the orientation that a picture's EXIF data states.
pub(super) fn orient(picture: Picture, orientation: Orientation) -> Picture {
    if orientation == Orientation::NoTransforms {
        return picture;
    }
    let pixels = match picture.channels {
        1 => remap::<1>(&picture, orientation),
        _ => remap::<3>(&picture, orientation),
    };
    let (width, height) = if turns(orientation) {
        (picture.height, picture.width)
    } else {
        (picture.width, picture.height)
    };
    Picture {
        width,
        height,
        pixels,
        ..picture
    }
}

fn turns(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

/// The pixel at (x, y) of the result is that at `start + x * across + y * down` of the source.
fn remap<const N: usize>(picture: &Picture, orientation: Orientation) -> Vec<u8> {
    let (width, height) = (picture.width as isize, picture.height as isize);
    let last = width * height - 1;
    let (start, across, down) = match orientation {
        Orientation::NoTransforms => (0, 1, width),
        Orientation::FlipHorizontal => (width - 1, -1, width),
        Orientation::Rotate180 => (last, -1, -width),
        Orientation::FlipVertical => (last + 1 - width, 1, -width),
        Orientation::Rotate90FlipH => (0, width, 1),
        Orientation::Rotate90 => (last + 1 - width, -width, 1),
        Orientation::Rotate270FlipH => (last, -width, -1),
        Orientation::Rotate270 => (width - 1, width, -1),
    };
    let columns = if turns(orientation) { height } else { width } as usize;
    let source = picture.pixels.as_chunks::<N>().0;
    let mut pixels = vec![0; picture.pixels.len()];
    let target = pixels.as_chunks_mut::<N>().0;
    for (block, rows) in target.chunks_mut(columns * BLOCK).enumerate() {
        for x in 0..columns {
            for (y, row) in rows.chunks_mut(columns).enumerate() {
                let y = (block * BLOCK + y) as isize;
                row[x] = source[(start + x as isize * across + y * down) as usize];
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_orientation_turns_as_exif_says() {
        // 1 2 3
        // 4 5 6
        let cases: [(u8, [u32; 2], [u8; 6]); 8] = [
            (1, [3, 2], [1, 2, 3, 4, 5, 6]),
            (2, [3, 2], [3, 2, 1, 6, 5, 4]),
            (3, [3, 2], [6, 5, 4, 3, 2, 1]),
            (4, [3, 2], [4, 5, 6, 1, 2, 3]),
            (5, [2, 3], [1, 4, 2, 5, 3, 6]),
            (6, [2, 3], [4, 1, 5, 2, 6, 3]),
            (7, [2, 3], [6, 3, 5, 2, 4, 1]),
            (8, [2, 3], [3, 6, 2, 5, 1, 4]),
        ];
        for (exif, [width, height], want) in cases {
            for channels in [1, 3] {
                let repeat = |pixels: &[u8]| -> Vec<u8> {
                    let copies = pixels.iter().map(|&pixel| [pixel; 3]);
                    copies
                        .flat_map(|copy| copy.into_iter().take(channels))
                        .collect()
                };
                let picture = Picture {
                    width: 3,
                    height: 2,
                    channels,
                    pixels: repeat(&[1, 2, 3, 4, 5, 6]),
                };
                let got = orient(picture, Orientation::from_exif(exif).unwrap());
                assert_eq!((got.width, got.height), (width, height), "{exif}");
                assert_eq!(got.pixels, repeat(&want), "{exif}");
            }
        }
    }
}
