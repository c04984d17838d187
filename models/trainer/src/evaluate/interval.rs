//! How far a figure can be trusted.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// How often the examples are drawn again.
const DRAWS: usize = 1000;

/// The middle 95 % of what other test examples could have given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5 % are lower.
    pub low: f64,
    /// 2.5 % are higher.
    pub high: f64,
}

impl Interval {
    /// That of another figure, which grows with this one.
    #[must_use]
    pub fn map(self, figure: impl Fn(f64) -> f64) -> Self {
        Self {
            low: figure(self.low),
            high: figure(self.high),
        }
    }

    /// Of a mean, by the percentile bootstrap (Efron, 1979): as many values as there are, drawn with
    /// replacement, a thousand times; from a fixed seed.
    ///
    /// # Panics
    /// If there are no values.
    pub fn of_mean(values: &[f64]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut means: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let draw = || values[random.random_range(0..values.len())];
                std::iter::repeat_with(draw).take(values.len()).sum::<f64>() / values.len() as f64
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        Self {
            low: means[DRAWS * 25 / 1000],
            high: means[DRAWS * 975 / 1000 - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_wide_as_the_binomial_says() {
        let values: Vec<f64> = (0..1000)
            .map(|at| f64::from(u8::from(at % 10 > 0)))
            .collect();
        let Interval { low, high } = Interval::of_mean(&values);
        // 0.9 ± 1.96 × sqrt(0.9 × 0.1 / 1000)
        assert!(
            (low - 0.8814).abs() < 0.004 && (high - 0.9186).abs() < 0.004,
            "{low} {high}"
        );
        assert_eq!(
            Interval::of_mean(&[1.0; 5]),
            Interval {
                low: 1.0,
                high: 1.0
            }
        );
    }
}
