//! Figures of meanings: whether a text finds the one that belongs to it, among all of the test part.

use rayon::prelude::*;
use serde::Serialize;

use super::Interval;

/// Where each first text of a pair finds the second, among those of all pairs: 1 is the nearest.
#[derive(Debug, Clone)]
pub struct Ranks(Vec<usize>);

/// Everything that is measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetrievalMetrics {
    /// How many pairs.
    pub count: usize,
    /// Share that is found first.
    pub recall_at_1: f64,
    /// Its interval.
    pub recall_at_1_interval: Interval,
    /// Share that is found among the first ten.
    pub recall_at_10: f64,
    /// Its interval.
    pub recall_at_10_interval: Interval,
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// Its interval.
    pub mrr_interval: Interval,
}

impl Ranks {
    /// Of vectors, those of a pair one after the other. Of equally near ones the own is taken.
    pub fn from_vectors(vectors: &[f32], pairs: usize) -> Self {
        let units = units(vectors, pairs);
        let rank = |own: usize| {
            let row = row(&units, own);
            1 + row.iter().filter(|other| **other > row[own]).count()
        };
        Self((0..pairs).into_par_iter().map(rank).collect())
    }

    /// These pairs, in this order, each as often as its place is there.
    #[must_use]
    pub(super) fn pick(&self, pairs: &[usize]) -> Self {
        Self(pairs.iter().map(|&at| self.0[at]).collect())
    }

    /// The figures, by their names.
    pub fn figures(&self) -> [(&'static str, f64); 3] {
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        [
            ("recall_at_1", mean(self.hits(1))),
            ("recall_at_10", mean(self.hits(10))),
            ("mrr", mean(self.reciprocal())),
        ]
    }

    /// Measures.
    ///
    /// # Panics
    /// If there are no pairs.
    pub fn measure(&self) -> RetrievalMetrics {
        let [recall_at_1, recall_at_10, mrr] = self.figures().map(|(_, value)| value);
        RetrievalMetrics {
            count: self.0.len(),
            recall_at_1,
            recall_at_1_interval: Interval::of_mean(&self.hits(1)),
            recall_at_10,
            recall_at_10_interval: Interval::of_mean(&self.hits(10)),
            mrr,
            mrr_interval: Interval::of_mean(&self.reciprocal()),
        }
    }

    /// Whether each pair is found among so many: 1, or 0.
    pub(super) fn hits(&self, among: usize) -> Vec<f64> {
        let hit = |&rank: &usize| f64::from(u8::from(rank <= among));
        self.0.iter().map(hit).collect()
    }

    fn reciprocal(&self) -> Vec<f64> {
        self.0.iter().map(|&rank| 1.0 / rank as f64).collect()
    }
}

/// The cosines of each first text of a pair with all second ones. `vectors`: those of a pair one after
/// the other.
pub(crate) fn similarities(vectors: &[f32], pairs: usize) -> Vec<Vec<f32>> {
    let units = units(vectors, pairs);
    (0..pairs)
        .into_par_iter()
        .map(|own| row(&units, own))
        .collect()
}

fn row(units: &[Vec<f32>], own: usize) -> Vec<f32> {
    let first = &units[2 * own];
    let product = |second: &Vec<f32>| {
        first
            .iter()
            .zip(second)
            .map(|(one, other)| one * other)
            .sum()
    };
    units.iter().skip(1).step_by(2).map(product).collect()
}

/// Vectors of length 1.
fn units(vectors: &[f32], pairs: usize) -> Vec<Vec<f32>> {
    let width = (vectors.len() / (2 * pairs.max(1))).max(1);
    let unit = |vector: &[f32]| {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let length = length.max(f32::MIN_POSITIVE);
        vector.iter().map(|value| value / length).collect()
    };
    vectors.chunks(width).map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_by_hand() {
        // The second text of each pair: the own direction; a little off, with two nearer; opposite.
        let vectors = [
            [1.0, 0.0],
            [2.0, 0.0],
            [1.0, 0.1],
            [0.5, 0.3],
            [0.0, 1.0],
            [0.0, -3.0],
        ];
        let ranks = Ranks::from_vectors(&vectors.concat(), 3);
        assert_eq!(ranks.0, [1, 2, 3]);
        let metrics = ranks.measure();
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got}, not {want}");
        close(metrics.recall_at_1, 1.0 / 3.0);
        close(metrics.recall_at_10, 1.0);
        close(metrics.mrr, (1.0 + 0.5 + 1.0 / 3.0) / 3.0);
        assert!(metrics.mrr_interval.low < metrics.mrr && metrics.mrr < metrics.mrr_interval.high);
        let rows = similarities(&vectors.concat(), 3);
        close(f64::from(rows[2][2]), -1.0);
    }
}
