//! Pictures, a little changed, so that no epoch sees the same.

use dunlin_protocol::{NamedTensor, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How far a picture may be changed; each change is drawn evenly from its range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Augment {
    /// Up, down, left, right, as a share of the side.
    pub shift: f64,
    /// To either side, in degrees.
    pub rotate: f64,
    /// Larger or smaller, as a share: 0.1 is 0.9 to 1.1 times.
    pub zoom: f64,
    /// Left and right, exchanged in half of the pictures.
    pub flip: bool,
}

impl Augment {
    /// Pictures as they are.
    pub const NONE: Self = Self {
        shift: 0.0,
        rotate: 0.0,
        zoom: 0.0,
        flip: false,
    };

    /// Changes what a network takes, a batch of one picture.
    pub(in crate::data) fn change(
        &self,
        inputs: &mut [NamedTensor],
        random: &mut impl Rng,
    ) -> Result<()> {
        if *self == Self::NONE {
            return Ok(());
        }
        let unfit = |error| Error::data("no picture can be made of the data").because(error);
        for input in inputs {
            let &[_, channels, height, width] = input.tensor.shape() else {
                return Err(Error::usage(
                    "--shift, --rotate, --zoom and --flip are for pictures",
                ));
            };
            let mut picture = input.tensor.to_vec().map_err(unfit)?;
            self.apply(&mut picture, [channels, height, width], random);
            let shape = vec![1, channels, height, width];
            input.tensor = Tensor::from_vec(shape, picture).map_err(unfit)?;
        }
        Ok(())
    }

    /// Changes a picture of `[channels, height, width]`. What comes in from outside is the colour
    /// of the nearest edge.
    pub fn apply(&self, picture: &mut Vec<f32>, shape: [usize; 3], random: &mut impl Rng) {
        let [_, height, width] = shape.map(|size| size as f32);
        let mut within = |range: f64| random.random_range(-1.0..=1.0_f32) * range as f32;
        let (down, right) = (within(self.shift) * height, within(self.shift) * width);
        let angle = within(self.rotate).to_radians();
        let scale = 1.0 / (1.0 + within(self.zoom));
        let flip = self.flip && random.random();
        let (sin, cos) = (angle.sin() * scale, angle.cos() * scale);
        let mirror = if flip { -1.0 } else { 1.0 };
        let (middle_y, middle_x) = ((height - 1.0) / 2.0, (width - 1.0) / 2.0);
        // Where the pixel at (y, x) comes from.
        let origin = |y: usize, x: usize| {
            let (y, x) = (y as f32 - middle_y - down, x as f32 - middle_x - right);
            (
                middle_y + cos * y - sin * x,
                middle_x + mirror * (sin * y + cos * x),
            )
        };
        *picture = resample(picture, shape, origin);
    }
}

/// Bilinear interpolation at the places that `origin` tells.
fn resample(
    picture: &[f32],
    [channels, height, width]: [usize; 3],
    origin: impl Fn(usize, usize) -> (f32, f32),
) -> Vec<f32> {
    let plane = height * width;
    let mut changed = vec![0.0; channels * plane];
    for y in 0..height {
        for x in 0..width {
            let (from_y, from_x) = origin(y, x);
            let from_y = from_y.clamp(0.0, (height - 1) as f32);
            let from_x = from_x.clamp(0.0, (width - 1) as f32);
            let (top, left) = (from_y as usize, from_x as usize);
            let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
            let (down, along) = (from_y - top as f32, from_x - left as f32);
            for channel in 0..channels {
                let at = |y: usize, x: usize| picture[channel * plane + y * width + x];
                let above = at(top, left) * (1.0 - along) + at(top, right) * along;
                let below = at(bottom, left) * (1.0 - along) + at(bottom, right) * along;
                changed[channel * plane + y * width + x] = above * (1.0 - down) + below * down;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn nothing_changes_nothing_and_a_flip_is_a_mirror() {
        let shape = [2, 3, 4];
        let picture: Vec<f32> = (0..24_u8).map(f32::from).collect();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let flip = Augment {
            flip: true,
            ..Augment::NONE
        };
        let mirrored: Vec<f32> = picture
            .chunks(4)
            .flat_map(|row| row.iter().rev().copied())
            .collect();
        let mut seen = [false; 2];
        for _ in 0..50 {
            let mut changed = picture.clone();
            flip.apply(&mut changed, shape, &mut random);
            assert!(changed == picture || changed == mirrored, "{changed:?}");
            seen[usize::from(changed == mirrored)] = true;
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        let all = Augment {
            shift: 0.5,
            rotate: 180.0,
            zoom: 0.5,
            flip: true,
        };
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..50 {
            let mut picture = vec![0.25; 75];
            all.apply(&mut picture, [3, 5, 5], &mut random);
            assert!(picture.iter().all(|value| (value - 0.25).abs() < 1e-6));
        }
    }
}
