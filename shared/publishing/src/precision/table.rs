//! The table that a precision is chosen from.

use std::fmt::{self, Write as _};

use dunlin_registry::Measured;
use serde::Serialize;

use super::Precision;
use super::answers::Answers;
use crate::{Error, Verified};

/// Faster or smaller by less than one part in twenty is no gain: runs differ by as much.
const GAIN: f64 = 0.95;

/// What was measured of a model at one precision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The precision.
    pub precision: Precision,
    /// Bytes of what a host loads: the plan, or ONNX where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Latency, load time, memory, and the largest difference from the source, of what a host loads.
    pub measured: Measured,
    /// Of the inputs with a label, the share that got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// With the source: the share of inputs with the same class first, or the mean cosine of all numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// How many inputs that was measured on.
    pub inputs: usize,
    /// What becomes of it, and why.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of a model at one precision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", content = "why", rename_all = "lowercase")]
pub enum Fate {
    /// It could be published.
    Fit,
    /// It is published.
    Chosen,
    /// It is no gain, or loses too much.
    Refused(String),
    /// It could not be made, or not be proven.
    Failed(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fit => f.write_str("fit"),
            Self::Chosen => f.write_str("chosen"),
            Self::Refused(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Trial {
    /// The table for people, a row a precision; empty where nothing was to be chosen.
    pub fn table(trials: &[Self]) -> String {
        let mut text = String::new();
        let Some(source) = trials.first() else {
            return text;
        };
        let judged = if source.accuracy.is_some() {
            "accuracy"
        } else {
            "agreement"
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{:<10} {:>10} {:>10} {:>10} {judged:>10} {:>12}",
            "precision", "size MB", "load ms", "run ms", "difference"
        );
        for trial in trials {
            let measured = &trial.measured;
            let known = |number: Option<f64>| number.unwrap_or(f64::NAN);
            // What failed may name a node, and a model names its nodes as it likes.
            let fate = trial.fate.to_string().replace(char::is_control, " ");
            let _ = writeln!(
                text,
                "{:<10} {:>10.2} {:>10.2} {:>10.2} {:>10.4} {:>12.1e}  {fate}",
                trial.precision,
                known(trial.size.map(|bytes| bytes as f64 / 1e6)),
                known(measured.load_ms),
                known(measured.latency_ms),
                known(trial.accuracy.or(trial.agreement)),
                known(measured.max_difference),
            );
        }
        let _ = writeln!(text, "compared on {} inputs", source.inputs);
        text
    }

    pub(super) fn of(
        precision: Precision,
        verified: &Verified,
        answers: &Answers,
        source: &Answers,
    ) -> Self {
        let (size, measured) = match verified.plan() {
            Some(plan) => (plan.bytes().len() as u64, plan.measured()),
            None => (verified.candidate().report().size, verified.measured()),
        };
        Self {
            precision,
            size: Some(size),
            measured: measured.clone(),
            accuracy: answers.accuracy,
            agreement: Some(answers.agreement(source)),
            inputs: answers.len(),
            fate: Fate::Fit,
        }
    }

    pub(super) fn source(verified: &Verified, answers: &Answers) -> Self {
        Self::of(Precision::Source, verified, answers, answers)
    }

    pub(super) fn failed(precision: Precision, error: &Error) -> Self {
        Self {
            precision,
            size: None,
            measured: Measured::default(),
            accuracy: None,
            agreement: None,
            inputs: 0,
            fate: Fate::Failed(error.to_string()),
        }
    }

    /// Refused where it is neither faster nor smaller than the source, or loses too much.
    pub(super) fn judged(mut self, source: &Self, max_loss: f64) -> Self {
        let (what, loss) = match (source.accuracy, self.accuracy) {
            (Some(source), Some(here)) => ("accuracy", source - here),
            _ => ("agreement", 1.0 - self.agreement.unwrap_or(0.0)),
        };
        let gain = self.latency() < GAIN * source.latency() || self.bytes() < GAIN * source.bytes();
        if loss > max_loss {
            self.fate = Fate::Refused(format!(
                "it loses {loss:.4} of {what} on {} inputs; at most {max_loss} may be lost",
                self.inputs
            ));
        } else if !gain {
            self.fate = Fate::Refused("it is neither faster nor smaller than the source".into());
        }
        self
    }

    fn latency(&self) -> f64 {
        self.measured.latency_ms.unwrap_or(f64::INFINITY)
    }

    fn bytes(&self) -> f64 {
        self.size.map_or(f64::INFINITY, |bytes| bytes as f64)
    }
}

/// The fastest of those that are fit; of those about as fast, the smallest.
pub(super) fn choose(trials: &[Trial]) -> usize {
    let fit = trials
        .iter()
        .enumerate()
        .filter(|(_, trial)| trial.fate == Fate::Fit);
    let fastest = fit
        .clone()
        .map(|(_, trial)| trial.latency())
        .fold(f64::INFINITY, f64::min);
    let as_fast = fit.filter(|(_, trial)| trial.latency() * GAIN <= fastest);
    let smallest = as_fast.min_by(|(_, one), (_, other)| one.bytes().total_cmp(&other.bytes()));
    smallest.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(precision: Precision, latency: f64, size: u64, agreement: f64) -> Trial {
        Trial {
            precision,
            size: Some(size),
            measured: Measured {
                latency_ms: Some(latency),
                ..Measured::default()
            },
            accuracy: None,
            agreement: Some(agreement),
            inputs: 10,
            fate: Fate::Fit,
        }
    }

    #[test]
    fn the_fastest_that_keeps_the_answers() {
        let source = trial(Precision::Source, 10.0, 1000, 1.0);
        let cases = [
            ("int8 is faster", (9.9, 500, 1.0), (4.0, 260, 0.995), 2),
            ("int8 loses too much", (9.9, 500, 1.0), (4.0, 260, 0.98), 1),
            (
                "int8 is as fast, and smaller",
                (9.9, 500, 1.0),
                (9.8, 260, 0.995),
                2,
            ),
            ("half is slower", (11.0, 500, 1.0), (12.0, 1000, 1.0), 0),
        ];
        for (name, half, int8, wanted) in cases {
            let mut trials = vec![source.clone()];
            for (precision, (latency, size, agreement)) in
                [(Precision::F16, half), (Precision::Int8, int8)]
            {
                let trial = trial(precision, latency, size, agreement);
                trials.push(trial.judged(&source, 0.01));
            }
            assert_eq!(choose(&trials), wanted, "{name}: {trials:?}");
        }
    }

    #[test]
    fn accuracy_counts_where_there_are_labels() {
        let mut source = trial(Precision::Source, 10.0, 1000, 1.0);
        source.accuracy = Some(0.90);
        let mut better = trial(Precision::Int8, 5.0, 300, 0.95);
        better.accuracy = Some(0.91);
        assert_eq!(better.clone().judged(&source, 0.01).fate, Fate::Fit);
        better.accuracy = Some(0.88);
        let refused = better.judged(&source, 0.01).fate.to_string();
        assert!(
            refused.contains("0.0200 of accuracy on 10 inputs"),
            "{refused}"
        );
    }

    #[test]
    fn a_row_a_precision_whatever_a_node_is_called() {
        assert_eq!(Trial::table(&[]), "");
        let source = trial(Precision::Source, 10.0, 1_000_000, 1.0);
        let failed = Trial {
            fate: Fate::Failed("no node \u{1b}[2J\nsource".into()),
            size: None,
            measured: Measured::default(),
            agreement: None,
            ..trial(Precision::Int8, 0.0, 0, 0.0)
        };
        let text = Trial::table(&[source, failed]);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        let nan = "NaN";
        assert_eq!(
            rows[1..],
            [
                &["source", "1.00", nan, "10.00", "1.0000", nan, "fit"][..],
                &[
                    "int8", nan, nan, nan, nan, nan, "no", "node", "[2J", "source"
                ],
                &["compared", "on", "10", "inputs"],
            ]
        );
        assert!(text.contains("agreement") && !text.contains('\u{1b}'));
    }
}
