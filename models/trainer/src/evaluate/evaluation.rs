//! How a model did on the test part: as one that names classes, that foretells, or that compares.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Answers, ForecastMetrics, Forecasts, Interval, Metrics, Ranks, RetrievalMetrics};
use crate::data::{Dataset, Forecasting, Part, Target, Task};

/// How a model did.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Evaluation {
    /// It names classes.
    Classes {
        /// The label of each class.
        labels: Vec<String>,
        /// On the test part.
        metrics: Metrics,
        /// Of the accuracy.
        accuracy_interval: Interval,
        /// Each answer.
        #[serde(skip)]
        answers: Answers,
    },
    /// It foretells values.
    Forecast {
        /// What from what.
        forecasting: Forecasting,
        /// On the test part.
        metrics: ForecastMetrics,
        /// Each forecast.
        #[serde(skip)]
        forecasts: Forecasts,
    },
    /// It tells which texts belong together.
    Retrieval {
        /// On the test part.
        metrics: RetrievalMetrics,
        /// Where each text of a pair finds the other.
        #[serde(skip)]
        ranks: Ranks,
    },
}

/// The names of what is measured, and can be required.
pub(super) const FIGURES: [&str; 15] = [
    "accuracy",
    "top5",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "ece",
    "loss",
    "mae",
    "rmse",
    "mase",
    "mae_to_naive",
    "recall_at_1",
    "recall_at_10",
    "mrr",
];

impl Evaluation {
    /// `outputs`: what the model gave for the test part.
    pub fn new(data: &Dataset, outputs: Vec<f32>) -> Self {
        let test = data.part(Part::Test);
        if data.task == Task::SentenceSimilarity {
            let ranks = Ranks::from_vectors(&outputs, test.len());
            return Self::Retrieval {
                metrics: ranks.measure(),
                ranks,
            };
        }
        let Some(forecasting) = &data.forecasting else {
            let class = |target: &Target| match target {
                Target::Class(class) => Some(*class),
                Target::Values { .. } | Target::Pair => None,
            };
            let truth = test.iter().filter_map(|example| class(&example.target));
            let answers = Answers::from_scores(outputs, truth.collect(), data.labels.len());
            return Self::Classes {
                labels: data.labels.clone(),
                metrics: answers.measure(),
                accuracy_interval: answers.accuracy_interval(),
                answers,
            };
        };
        let (mut came, mut naive) = (Vec::new(), Vec::new());
        let measured = |value: &f32| f64::from(*value) * forecasting.std + forecasting.mean;
        for example in test {
            if let Target::Values {
                values,
                naive: before,
            } = &example.target
            {
                came.extend(values.iter().map(measured));
                naive.extend(before.iter().map(measured));
            }
        }
        let forecasts = Forecasts {
            foretold: outputs.iter().map(measured).collect(),
            came,
            naive,
            steps: forecasting.steps,
            seasonal: forecasting.seasonal * forecasting.std,
        };
        Self::Forecast {
            forecasting: forecasting.clone(),
            metrics: forecasts.measure(),
            forecasts,
        }
    }

    /// What was answered, if classes were asked for.
    pub fn answers(&self) -> Option<&Answers> {
        match self {
            Self::Classes { answers, .. } => Some(answers),
            Self::Forecast { .. } | Self::Retrieval { .. } => None,
        }
    }

    /// The figures, by their names.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Classes { metrics, .. } => metrics.figures(),
            Self::Forecast { forecasts, .. } => forecasts.figures().to_vec(),
            Self::Retrieval { ranks, .. } => ranks.figures().to_vec(),
        }
    }

    /// One figure; `None` if it isn't measured here.
    pub fn figure(&self, name: &str) -> Option<f64> {
        find(name, &self.figures())
    }

    /// The same figure, had these test examples come, each as often as its place is there.
    pub(super) fn figure_of(&self, name: &str, examples: &[usize]) -> Option<f64> {
        match self {
            Self::Classes { answers, .. } => {
                let curves = name == "roc_auc";
                find(name, &answers.pick(examples).measure_some(curves).figures())
            }
            Self::Forecast { forecasts, .. } => find(name, &forecasts.pick(examples).figures()),
            Self::Retrieval { ranks, .. } => find(name, &ranks.pick(examples).figures()),
        }
    }

    /// The figures that slices are told by, the first of which decides, and what each test example has of that:
    /// its mean is the figure.
    pub(super) fn by_example(&self) -> (&'static [&'static str], Vec<f64>) {
        match self {
            Self::Classes { answers, .. } => (&["accuracy", "f1"], answers.right()),
            Self::Forecast { forecasts, .. } => (&["mae", "mase"], forecasts.of_windows(1)),
            Self::Retrieval { ranks, .. } => {
                (&["recall_at_1", "recall_at_10", "mrr"], ranks.hits(1))
            }
        }
    }

    /// How many test examples there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Classes { metrics, .. } => metrics.count,
            Self::Forecast { metrics, .. } => metrics.count,
            Self::Retrieval { metrics, .. } => metrics.count,
        }
    }

    /// The figures that go into the manifest, with what belongs to them.
    pub(super) fn manifest(&self) -> Map<String, Value> {
        let round = |value: f64| (value * 1e5).round() / 1e5;
        let pair = |of: &Interval| json!([round(of.low), round(of.high)]);
        let figures = self.figures().into_iter();
        let mut all: Map<String, Value> = figures
            .map(|(name, value)| (name.to_owned(), json!(round(value))))
            .collect();
        let mut add = |name: &str, value: Value| all.insert(name.to_owned(), value);
        match self {
            Self::Classes {
                metrics,
                accuracy_interval,
                ..
            } => {
                add("accuracy_95", pair(accuracy_interval));
                add("confusion", json!(metrics.confusion));
            }
            Self::Forecast { metrics, .. } => {
                add("mae_95", pair(&metrics.mae_interval));
                add("rmse_95", pair(&metrics.rmse_interval));
                add("mase_95", pair(&metrics.mase_interval));
            }
            Self::Retrieval { metrics, .. } => {
                add("recall_at_1_95", pair(&metrics.recall_at_1_interval));
                add("recall_at_10_95", pair(&metrics.recall_at_10_interval));
                add("mrr_95", pair(&metrics.mrr_interval));
            }
        }
        all
    }

    /// The figures in a line.
    pub fn summary(&self) -> String {
        match self {
            Self::Classes {
                metrics,
                accuracy_interval: Interval { low, high },
                ..
            } => format!(
                "accuracy {:.2} % (95 %: {:.2} to {:.2}), F1 {:.4}, ECE {:.4}, ROC AUC {:.4}",
                metrics.accuracy * 100.0,
                low * 100.0,
                high * 100.0,
                metrics.f1,
                metrics.ece,
                metrics.roc_auc,
            ),
            Self::Forecast {
                metrics,
                forecasting,
                ..
            } => {
                let Interval { low, high } = metrics.mase_interval;
                let unit = forecasting.unit.as_deref().unwrap_or_default();
                format!(
                    "MASE {:.3} (95 %: {low:.3} to {high:.3}), MAE {:.4} {unit}, RMSE {:.4} {unit}; naive: MAE {:.4} {unit}",
                    metrics.mase, metrics.mae, metrics.rmse, metrics.naive_mae
                )
            }
            Self::Retrieval { metrics, .. } => {
                let Interval { low, high } = metrics.recall_at_1_interval;
                format!(
                    "found first {:.2} % (95 %: {:.2} to {:.2}), among ten {:.2} %, MRR {:.4}",
                    metrics.recall_at_1 * 100.0,
                    low * 100.0,
                    high * 100.0,
                    metrics.recall_at_10 * 100.0,
                    metrics.mrr
                )
            }
        }
    }
}

fn find(name: &str, figures: &[(&'static str, f64)]) -> Option<f64> {
    let found = figures.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}
