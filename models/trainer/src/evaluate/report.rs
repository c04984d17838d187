//! `report.json`: what was trained, on what, and how it did.

use dunlin_publishing::{Fate, Precision, Trial};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Evaluation, Production, Slice, Verdict};
use crate::data::Census;
use crate::fit::{Fingerprint, Point, Spent};

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// How it did.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// How it did on parts of the test data.
    pub slices: Vec<Slice>,
    /// What became of the gates.
    pub gates: Vec<Verdict>,
    /// The version that serves, if a gate asked for it and there is one.
    pub production: Option<Production>,
    /// What its precision was chosen from, the source first; empty where nothing was to be chosen. All the
    /// figures here are those of the one that was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub precisions: Vec<Trial>,
    /// The largest difference of an output between the trained network and the model that was exported from it,
    /// before it was published at another precision.
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
    /// The time it took.
    #[serde(flatten)]
    pub spent: Spent,
    /// Watt hours that it took, an estimate.
    pub energy_wh: Option<f64>,
    /// What it cost, if the price of an hour was told.
    pub cost: Option<f64>,
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
    /// The precision that was chosen, if not the source's.
    pub fn precision(&self) -> Option<Precision> {
        let mut trials = self.precisions.iter();
        let chosen = trials.find(|trial| trial.fate == Fate::Chosen)?;
        (chosen.precision != Precision::Source).then_some(chosen.precision)
    }

    /// The figures that go into the manifest.
    pub fn manifest_metrics(&self) -> Map<String, Value> {
        let mut figures = self.evaluation.manifest();
        let count = self.data.size(crate::data::Part::Test);
        figures.insert(format!("test_{}", self.data.unit), json!(count));
        if !self.gates.is_empty() {
            let gates = self.gates.iter().map(ToString::to_string);
            figures.insert("gates".to_owned(), gates.collect());
        }
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
            "seconds": self.spent.seconds.round(),
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
        let round = |value: f64| json!((value * 1e4).round() / 1e4);
        let known = [
            ("energy_wh", self.energy_wh.map(round)),
            ("cost", self.cost.map(round)),
            ("revision", self.revision.as_ref().map(|name| json!(name))),
        ];
        let known = known.into_iter();
        provenance.extend(known.filter_map(|(name, value)| Some((name.to_owned(), value?))));
        provenance
    }
}
