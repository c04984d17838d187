//! Little pictures that are easy to tell apart: a bar that lies, a bar that stands, a square.

use std::fs;
use std::path::Path;

use image::GrayImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const CLASSES: [&str; 3] = ["lying", "square", "standing"];

const SIDE: u32 = 12;

/// A folder a class below `folder`, with so many pictures each.
pub(crate) fn write(folder: &Path, count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for (class, label) in CLASSES.iter().enumerate() {
        let folder = folder.join(label);
        fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            picture(class, &mut random)
                .save(folder.join(format!("{number}.png")))
                .unwrap();
        }
    }
}

fn picture(class: usize, random: &mut impl Rng) -> GrayImage {
    let (height, width) = [(2, 8), (5, 5), (8, 2)][class];
    let (top, left) = (
        random.random_range(0..=SIDE - height),
        random.random_range(0..=SIDE - width),
    );
    GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let ink = (top..top + height).contains(&y) && (left..left + width).contains(&x);
        let noise = random.random_range(0..60_u8);
        image::Luma([if ink { 255 - noise } else { noise }])
    })
}
