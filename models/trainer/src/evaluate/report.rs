//! `report.json`: what was trained, on what, and how it did.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Answers, Interval, Metrics};
use crate::data::Census;
use crate::fit::{Fingerprint, Point};

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// The label of each class.
    pub labels: Vec<String>,
    /// On the test part.
    pub metrics: Metrics,
    /// Of the accuracy.
    pub accuracy_interval: Interval,
    /// The largest difference of a score between the trained network and the exported model.
    pub export_difference: f32,
    /// The data.
    pub data: Census,
    /// The recipe, and its hyperparameters.
    pub training: Fingerprint,
    /// Each epoch.
    pub history: Vec<Point>,
    /// The epoch that the weights are from.
    pub epoch: usize,
    /// Weights, one number each.
    pub parameters: usize,
    /// Seconds spent in training.
    pub seconds: f64,
    /// The device that trained.
    pub device: String,
    /// Processor and number of its threads.
    pub machine: String,
    /// This program's version, and Burn's.
    pub versions: String,
    /// The revision of the repository that it was trained in, if in any.
    pub revision: Option<String>,
}

impl Report {
    /// The interval of the accuracy of these answers.
    pub fn accuracy_interval(answers: &Answers) -> Interval {
        let right: Vec<f64> = answers
            .answers()
            .map(|(truth, answer, _)| f64::from(u8::from(truth == answer)))
            .collect();
        Interval::of_mean(&right)
    }

    /// The figures that go into the manifest.
    pub fn manifest_metrics(&self) -> Map<String, Value> {
        let metrics = &self.metrics;
        let round = |value: f64| (value * 1e5).round() / 1e5;
        let mut figures = Map::new();
        let mut add = |name: &str, value: Value| figures.insert(name.to_owned(), value);
        add("test_pictures", json!(metrics.count));
        add("accuracy", json!(round(metrics.accuracy)));
        let Interval { low, high } = self.accuracy_interval;
        add("accuracy_95", json!([round(low), round(high)]));
        if let Some(top5) = metrics.top5 {
            add("top5", json!(round(top5)));
        }
        for (name, value) in [
            ("precision", metrics.precision),
            ("recall", metrics.recall),
            ("f1", metrics.f1),
            ("roc_auc", metrics.roc_auc),
            ("ece", metrics.ece),
            ("loss", metrics.loss),
        ] {
            add(name, json!(round(value)));
        }
        add("confusion", json!(metrics.confusion));
        figures
    }

    /// Where the model comes from, for the manifest.
    pub fn provenance(&self) -> Map<String, Value> {
        let hyper = &self.training.hyperparameters;
        let [train, valid, test] = crate::data::Part::ALL.map(|part| self.data.size(part));
        let value = json!({
            "recipe": self.training.recipe,
            "dataset": { "digest": self.data.digest, "train": train, "valid": valid, "test": test },
            "hyperparameters": hyper,
            "epoch": self.epoch,
            "parameters": self.parameters,
            "seconds": self.seconds.round(),
            "device": self.device,
            "machine": self.machine,
            "trainer": self.versions,
        });
        let Value::Object(mut provenance) = value else {
            unreachable!("it is written as an object");
        };
        // TOML knows no null.
        if let Some(Value::Object(hyper)) = provenance.get_mut("hyperparameters") {
            hyper.retain(|_, value| !value.is_null());
        }
        if let Some(revision) = &self.revision {
            provenance.insert("revision".to_owned(), json!(revision));
        }
        provenance
    }
}
