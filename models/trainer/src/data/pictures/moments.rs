//! Mean and deviation of pictures.

/// Sums that mean and deviation follow from: of each channel, its values and their squares.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    pictures: usize,
    sums: Vec<[f64; 2]>,
}

impl Moments {
    pub(super) fn of(picture: &[f32], channels: usize) -> Self {
        let sums = |channel: &[f32]| {
            channel.iter().fold([0.0, 0.0], |[sum, squares], &value| {
                let value = f64::from(value);
                [sum + value, squares + value * value]
            })
        };
        Self {
            pictures: 1,
            sums: picture.chunks(picture.len() / channels).map(sums).collect(),
        }
    }

    pub(super) fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        all.fold(Self::default(), |mut total, one| {
            total.pictures += one.pictures;
            total.sums.resize(one.sums.len(), [0.0; 2]);
            for (total, one) in total.sums.iter_mut().zip(&one.sums) {
                total[0] += one[0];
                total[1] += one[1];
            }
            total
        })
    }

    /// Mean and deviation of each channel, to four digits: they are written into `model.toml`.
    pub(super) fn normalization(&self, pixels: usize) -> (Vec<f64>, Vec<f64>) {
        let count = (self.pictures * pixels).max(1) as f64;
        let round = |value: f64| (value * 1e4).round() / 1e4;
        let mean_and_std = |&[sum, squares]: &[f64; 2]| {
            let mean = sum / count;
            let variance = (squares / count - mean * mean).max(0.0);
            // A channel of one value: nothing to divide by.
            let std = if variance < 1e-6 {
                1.0
            } else {
                variance.sqrt()
            };
            (round(mean), round(std))
        };
        self.sums.iter().map(mean_and_std).unzip()
    }
}
