//! Figures that follow from probabilities and true classes.

use serde::Serialize;

use super::Interval;

/// Bins of the reliability curve.
const BINS: usize = 15;

/// What a model answered to examples whose class is known.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Probabilities, `[examples × classes]`.
    probabilities: Vec<f32>,
    /// The true class of each example.
    truth: Vec<usize>,
    classes: usize,
}

/// Everything that is measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// How many examples.
    pub count: usize,
    /// Share whose likeliest class is the true one.
    pub accuracy: f64,
    /// Share whose true class is among the five likeliest; absent with five classes or fewer.
    pub top5: Option<f64>,
    /// Mean of the classes' precisions; classes without examples have no part in means.
    pub precision: f64,
    /// Mean of the classes' recalls.
    pub recall: f64,
    /// Mean of the classes' F1 scores (macro F1).
    pub f1: f64,
    /// Mean of the classes' areas under the ROC curve, each against the rest.
    pub roc_auc: f64,
    /// Expected calibration error with 15 bins (Guo et al., "On Calibration of Modern Neural
    /// Networks", 2017): the mean distance of confidence from accuracy.
    pub ece: f64,
    /// Cross-entropy in nats.
    pub loss: f64,
    /// Each class.
    pub classes: Vec<ClassMetrics>,
    /// Rows: the true class. Columns: the answer.
    pub confusion: Vec<Vec<usize>>,
    /// The reliability curve; bins without examples are left out.
    pub reliability: Vec<Bin>,
}

/// How well one class is told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Examples of it.
    pub count: usize,
    /// Share of right answers among those that name it; 0 if none does.
    pub precision: f64,
    /// Share of its examples that are named right; 0 if there are none.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Area under the ROC curve; absent if all examples, or none, are of this class.
    pub roc_auc: Option<f64>,
}

/// Answers of about the same confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// How many.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

impl Metrics {
    /// The figures, by their names.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let top5 = self.top5.map(|top5| ("top5", top5));
        let figures = [
            ("accuracy", self.accuracy),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("roc_auc", self.roc_auc),
            ("ece", self.ece),
            ("loss", self.loss),
        ];
        figures.into_iter().chain(top5).collect()
    }
}

impl Answers {
    /// Scores before softmax, `[examples × classes]`, beside the true classes.
    ///
    /// # Panics
    /// If there are no examples, or the numbers don't fit together.
    pub fn from_scores(mut scores: Vec<f32>, truth: Vec<usize>, classes: usize) -> Self {
        assert!(!truth.is_empty() && scores.len() == truth.len() * classes);
        for row in scores.chunks_mut(classes) {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row.iter().map(|score| (score - highest).exp()).sum();
            for score in row {
                *score = (*score - highest).exp() / sum;
            }
        }
        Self {
            probabilities: scores,
            truth,
            classes,
        }
    }

    /// These examples, in this order, each as often as its place is there.
    #[must_use]
    pub(super) fn pick(&self, examples: &[usize]) -> Self {
        let row = |&at: &usize| &self.probabilities[at * self.classes..(at + 1) * self.classes];
        Self {
            probabilities: examples.iter().flat_map(row).copied().collect(),
            truth: examples.iter().map(|&at| self.truth[at]).collect(),
            classes: self.classes,
        }
    }

    /// True class and probabilities of each example.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.truth
            .iter()
            .copied()
            .zip(self.probabilities.chunks(self.classes))
    }

    /// True class, answer, and the confidence in it, of each example.
    pub fn answers(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        self.rows().map(|(truth, row)| {
            let answer = highest(row);
            (truth, answer, row[answer])
        })
    }

    /// The interval of the accuracy.
    pub fn accuracy_interval(&self) -> Interval {
        Interval::of_mean(&self.right())
    }

    /// Whether each answer is right: 1, or 0.
    pub(super) fn right(&self) -> Vec<f64> {
        let right = |(truth, answer, _)| f64::from(u8::from(truth == answer));
        self.answers().map(right).collect()
    }

    /// Measures.
    pub fn measure(&self) -> Metrics {
        self.measure_some(true)
    }

    /// Measures; the ROC curves, which take most of the time, only if they are wanted.
    pub(super) fn measure_some(&self, curves: bool) -> Metrics {
        let confusion = self.confusion();
        let classes: Vec<ClassMetrics> = (0..self.classes)
            .map(|class| {
                let roc_auc = curves.then(|| self.roc_auc(class)).flatten();
                Self::class(class, &confusion, roc_auc)
            })
            .collect();
        let mean = |value: fn(&ClassMetrics) -> f64| {
            let there = || classes.iter().filter(|class| class.count > 0);
            there().map(value).sum::<f64>() / there().count().max(1) as f64
        };
        let curves: Vec<f64> = classes.iter().filter_map(|class| class.roc_auc).collect();
        let reliability = self.reliability();
        let count = self.truth.len() as f64;
        let ece = reliability
            .iter()
            .map(|bin| bin.count as f64 * (bin.confidence - bin.accuracy).abs())
            .sum::<f64>();
        let loss = self
            .rows()
            .map(|(truth, row)| -f64::from(row[truth].max(f32::MIN_POSITIVE)).ln())
            .sum::<f64>();
        let right = (0..self.classes)
            .map(|class| confusion[class][class])
            .sum::<usize>();
        Metrics {
            count: self.truth.len(),
            accuracy: right as f64 / count,
            top5: (self.classes > 5).then(|| self.among_the_first(5)),
            precision: mean(|class| class.precision),
            recall: mean(|class| class.recall),
            f1: mean(|class| class.f1),
            roc_auc: curves.iter().sum::<f64>() / curves.len().max(1) as f64,
            ece: ece / count,
            loss: loss / count,
            classes,
            confusion,
            reliability,
        }
    }

    fn confusion(&self) -> Vec<Vec<usize>> {
        let mut confusion = vec![vec![0; self.classes]; self.classes];
        for (truth, answer, _) in self.answers() {
            confusion[truth][answer] += 1;
        }
        confusion
    }

    fn class(class: usize, confusion: &[Vec<usize>], roc_auc: Option<f64>) -> ClassMetrics {
        let right = confusion[class][class];
        let count: usize = confusion[class].iter().sum();
        let named: usize = confusion.iter().map(|row| row[class]).sum();
        let share = |of: usize| {
            if of == 0 {
                0.0
            } else {
                right as f64 / of as f64
            }
        };
        let (precision, recall) = (share(named), share(count));
        let sum = precision + recall;
        ClassMetrics {
            count,
            precision,
            recall,
            f1: if sum == 0.0 {
                0.0
            } else {
                2.0 * precision * recall / sum
            },
            roc_auc,
        }
    }

    /// By ranks, ties sharing theirs: the probability that an example of the class scores higher
    /// than one of another (Hanley and `McNeil`, 1982).
    fn roc_auc(&self, class: usize) -> Option<f64> {
        let mut scored: Vec<(f32, bool)> = self
            .rows()
            .map(|(truth, row)| (row[class], truth == class))
            .collect();
        scored.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let mut below = 0_usize;
        let mut rank_sum = 0.0;
        for ties in scored.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
            let rank = below as f64 + (ties.len() + 1) as f64 / 2.0;
            rank_sum += rank * ties.iter().filter(|(_, own)| *own).count() as f64;
            below += ties.len();
        }
        let own = self.truth.iter().filter(|&&truth| truth == class).count() as f64;
        let others = self.truth.len() as f64 - own;
        (own > 0.0 && others > 0.0).then(|| (rank_sum - own * (own + 1.0) / 2.0) / (own * others))
    }

    fn among_the_first(&self, first: usize) -> f64 {
        let hit = |(truth, row): &(usize, &[f32])| {
            row.iter().filter(|&&other| other > row[*truth]).count() < first
        };
        self.rows().filter(hit).count() as f64 / self.truth.len() as f64
    }

    fn reliability(&self) -> Vec<Bin> {
        let mut bins = vec![(0_usize, 0.0_f64, 0_usize); BINS];
        for (truth, answer, confidence) in self.answers() {
            let bin = &mut bins[((confidence * BINS as f32) as usize).min(BINS - 1)];
            bin.0 += 1;
            bin.1 += f64::from(confidence);
            bin.2 += usize::from(truth == answer);
        }
        let filled = bins.into_iter().filter(|(count, ..)| *count > 0);
        filled
            .map(|(count, confidence, right)| Bin {
                count,
                confidence: confidence / count as f64,
                accuracy: right as f64 / count as f64,
            })
            .collect()
    }
}

/// The first of the highest.
fn highest(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_by_hand() {
        // Three pictures of class 0, two of class 1, one of class 2.
        let probabilities = [
            [0.7_f32, 0.2, 0.1],
            [0.5, 0.4, 0.1],
            [0.1, 0.8, 0.1],
            [0.2, 0.6, 0.2],
            [0.6, 0.3, 0.1],
            [0.1, 0.1, 0.8],
        ];
        let scores = probabilities.iter().flatten().map(|p| p.ln()).collect();
        let metrics = Answers::from_scores(scores, vec![0, 0, 0, 1, 1, 2], 3).measure();
        assert_eq!(metrics.confusion, [[2, 1, 0], [1, 1, 0], [0, 0, 1]]);
        let close = |name: &str, got: f64, want: f64| {
            assert!((got - want).abs() < 1e-6, "{name}: {got}, not {want}");
        };
        close("accuracy", metrics.accuracy, 4.0 / 6.0);
        close(
            "precision",
            metrics.precision,
            (2.0 / 3.0 + 0.5 + 1.0) / 3.0,
        );
        close("recall", metrics.recall, (2.0 / 3.0 + 0.5 + 1.0) / 3.0);
        // Class 0: of nine pairs, 0.7 beats three, 0.5 two, 0.1 ties with one.
        close("auc 0", metrics.classes[0].roc_auc.unwrap(), 5.5 / 9.0);
        close("auc 2", metrics.classes[2].roc_auc.unwrap(), 1.0);
        // Confidences 0.7 right; 0.5 right; 0.8 wrong and right; 0.6 right and wrong.
        close(
            "ece",
            metrics.ece,
            (0.3 + 0.5 + 2.0 * 0.3 + 2.0 * 0.1) / 6.0,
        );
        assert_eq!(metrics.top5, None);
        let loss = -[0.7_f64, 0.5, 0.1, 0.6, 0.3, 0.8]
            .iter()
            .map(|p| p.ln())
            .sum::<f64>()
            / 6.0;
        close("loss", metrics.loss, loss);
    }

    #[test]
    fn a_class_that_nobody_names_scores_nothing() {
        let metrics = Answers::from_scores(vec![1.0, 0.0, 2.0, 0.0], vec![0, 1], 2).measure();
        let class = metrics.classes[1];
        assert_eq!(
            [class.precision, class.recall, class.f1].map(f64::to_bits),
            [0; 3]
        );
    }

    #[test]
    fn the_five_likeliest_count() {
        let row = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let metrics = Answers::from_scores([row, row].concat(), vec![4, 5], 6).measure();
        assert_eq!(metrics.top5, Some(0.5));
    }
}
