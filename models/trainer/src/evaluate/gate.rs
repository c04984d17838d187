//! Conditions that a model must meet to be published: `accuracy>=0.9`, `accuracy>=production+0.01 (p<0.05)`,
//! `accuracy[lang=de]>=0.8`.

mod form;

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{Evaluation, significance};
use crate::data::Slicing;

/// Figures of two models that differ by less than this share are the same: outputs are of single precision.
const SAME: f64 = 1e-5;

/// One condition.
#[derive(Debug, Clone)]
pub struct Gate {
    figure: &'static str,
    /// The column and the value of the test examples that are asked about; else all are.
    slice: Option<[String; 2]>,
    least: bool,
    bound: Bound,
    /// The condition must not hold by chance: p must be less.
    p: Option<f64>,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Number(f64),
    /// The same figure of the version that serves, and so much more.
    Production(f64),
}

/// A version that serves, and how it did on the same test part.
#[derive(Debug, Clone, Serialize)]
pub struct Production {
    /// As in `flowers@3`.
    pub version: String,
    /// How it did.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// What became of a gate.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The gate, as it was given.
    pub gate: String,
    /// Whether it holds.
    pub met: bool,
    /// What the new model has; absent if that is not measured.
    pub value: Option<f64>,
    /// What the version that serves has, if that was asked for and there is one.
    pub production: Option<f64>,
    /// How often chance alone would have it so, if that was asked for.
    pub p: Option<f64>,
    /// The same in words.
    pub why: String,
}

impl Gate {
    /// Whether the version that serves is asked, too.
    pub fn asks_production(&self) -> bool {
        matches!(self.bound, Bound::Production(_))
    }

    /// Why it can't be judged on data that is parted so, if it can't.
    pub fn fault(&self, slicings: &[Slicing]) -> Option<String> {
        let [column, value] = self.slice.as_ref()?;
        match self.places(slicings) {
            Some(_) => None,
            None => Some(format!(
                "{self}: no test example has {value} in {column}, or --slice-by {column} is not given"
            )),
        }
    }

    /// The test examples of its slice.
    fn places<'a>(&self, slicings: &'a [Slicing]) -> Option<&'a [usize]> {
        let [column, value] = self.slice.as_ref()?;
        let slicing = slicings.iter().find(|slicing| slicing.by == *column)?;
        let slice = slicing.slices.iter().find(|(of, _)| of == value);
        slice.map(|(_, places)| &places[..])
    }

    /// Judges a model. Without a version that serves, what is held against it is met. A slice that is not
    /// among these has no figures.
    pub fn judge(
        &self,
        own: &Evaluation,
        production: Option<&Production>,
        slicings: &[Slicing],
    ) -> Verdict {
        let name = self.figure;
        let places: Vec<usize> = match &self.slice {
            None => (0..own.count()).collect(),
            Some(_) => self.places(slicings).unwrap_or_default().to_vec(),
        };
        let measured = |evaluation: &Evaluation| {
            let there = !places.is_empty();
            there.then(|| evaluation.figure_of(name, &places)).flatten()
        };
        let mut verdict = Verdict {
            gate: self.to_string(),
            met: false,
            value: measured(own),
            production: None,
            p: None,
            why: String::new(),
        };
        let Some(value) = verdict.value else {
            verdict.why = format!("{name} is not measured here");
            return verdict;
        };
        // Writing to a string can't fail.
        verdict.why = format!("{name} is {value:.4}");
        let other = match self.bound {
            Bound::Number(_) => None,
            Bound::Production(_) => {
                let Some(production) = production else {
                    verdict.met = true;
                    verdict.why += ", and no version serves yet";
                    return verdict;
                };
                verdict.production = measured(&production.evaluation);
                let has = verdict.production.unwrap_or(f64::NAN);
                let _ = write!(verdict.why, ", {} has {has:.4}", production.version);
                Some(&production.evaluation)
            }
        };
        // By how much the condition holds; less than 0: it does not.
        let gain = |figure: &dyn Fn(&Evaluation) -> Option<f64>| {
            let bound = match self.bound {
                Bound::Number(number) => Some(number),
                Bound::Production(plus) => other.and_then(figure).map(|value| value + plus),
            };
            let gain = figure(own).zip(bound).map(|(value, bound)| value - bound);
            gain.map_or(f64::NAN, |gain| if self.least { gain } else { -gain })
        };
        let noise = other.map_or(0.0, |_| SAME * value.abs());
        verdict.met = gain(&measured) >= -noise;
        if let Some(limit) = self.p {
            let p = significance::p(places.len(), |drawn| {
                let drawn: Vec<usize> = drawn.iter().map(|&at| places[at]).collect();
                gain(&|evaluation| evaluation.figure_of(name, &drawn)) - noise
            });
            verdict.p = Some(p);
            let _ = write!(verdict.why, ", p is {p:.4}");
            verdict.met &= p < limit;
        }
        verdict
    }
}

impl Verdict {
    /// Why it is not met, if it isn't.
    pub fn fault(&self) -> Option<String> {
        (!self.met).then(|| format!("{}, and {} is required", self.why, self.gate))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.met { "met" } else { "not met" };
        write!(f, "{} is {met}: {}", self.gate, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Answers, Forecasts};

    /// Of two classes in turn, one answer each: whether it is right.
    fn classifier(right: impl Iterator<Item = bool>) -> Evaluation {
        let (mut scores, mut truth) = (Vec::new(), Vec::new());
        for (class, right) in [0, 1].into_iter().cycle().zip(right) {
            truth.push(class);
            scores.extend(if right == (class == 0) {
                [1.0, 0.0]
            } else {
                [0.0, 1.0]
            });
        }
        let answers = Answers::from_scores(scores, truth, 2);
        Evaluation::Classes {
            labels: vec!["no".to_owned(), "yes".to_owned()],
            metrics: answers.measure(),
            accuracy_interval: answers.accuracy_interval(),
            answers,
        }
    }

    fn judge(gate: &str, own: &Evaluation, production: Option<Evaluation>) -> Verdict {
        let production = production.map(|evaluation| Production {
            version: "m@1".to_owned(),
            evaluation,
        });
        let gate: Gate = gate.parse().expect(gate);
        let slicing = Slicing {
            by: "half".to_owned(),
            slices: vec![
                ("first".to_owned(), (0..own.count() / 2).collect()),
                (
                    "the second".to_owned(),
                    (own.count() / 2..own.count()).collect(),
                ),
            ],
        };
        gate.judge(own, production.as_ref(), &[slicing])
    }

    #[test]
    fn gates_open_and_close() {
        let own = classifier([true, true, true, false].into_iter());
        for (gate, want) in [
            ("accuracy>=0.75", None),
            (
                "accuracy >= 0.76",
                Some("accuracy is 0.7500, and accuracy>=0.76 is required"),
            ),
            ("ece<=1", None),
            ("ece<=0", Some("ece is ")),
            ("top5>=0.1", Some("top5 is not measured")),
            ("mase<=0.8", Some("mase is not measured")),
            ("accuracy>=production+0.5 (p<0.05)", None),
            ("accuracy[half=first]>=1", None),
            ("accuracy[half=the second]>=0.6", Some("accuracy is 0.5000")),
            ("accuracy[half=third]>=0", Some("accuracy is not measured")),
            ("accuracy[third=first]>=0", Some("accuracy is not measured")),
        ] {
            let fault = judge(gate, &own, None).fault();
            assert_eq!(fault.is_some(), want.is_some(), "{gate}: {fault:?}");
            assert!(
                fault
                    .unwrap_or_default()
                    .starts_with(want.unwrap_or_default()),
                "{gate}"
            );
        }
    }

    #[test]
    fn a_model_is_held_against_the_one_that_serves() {
        // Of 200, production has 160 right; the new one gains so many of its faults, and loses others.
        let production = || classifier((0..200).map(|at| at < 160));
        let other = |gained: usize, lost: usize| {
            classifier((0..200).map(move |at| (lost..160 + gained).contains(&at)))
        };
        for (gate, gained, lost, met) in [
            ("accuracy>=production", 0, 0, true),
            ("accuracy>=production+0.1", 20, 0, true),
            ("accuracy>=production+0.1", 19, 0, false),
            ("accuracy>=production-0.1", 0, 20, true),
            ("accuracy<=production", 1, 0, false),
            // The same is not shown to be better.
            ("accuracy>=production (p<0.05)", 0, 0, false),
            ("accuracy>=production (p<0.05)", 15, 5, true),
            ("accuracy>=production (p<0.05)", 8, 6, false),
            ("accuracy>=production+0.05 (p<0.05)", 15, 5, false),
            ("f1>=production+0.05 (p<0.05)", 30, 2, true),
            ("roc_auc>=production (p<0.05)", 30, 2, true),
            ("ece<=production (p<0.05)", 0, 0, false),
            ("accuracy>=0.8 (p<0.05)", 2, 0, false),
            ("accuracy>=0.8 (p<0.05)", 20, 0, true),
            // What was lost lies in the first half, what was gained in the second.
            ("accuracy[half=first]>=production", 30, 1, false),
            (
                "accuracy[half=the second]>=production (p<0.05)",
                10,
                30,
                true,
            ),
        ] {
            let verdict = judge(gate, &other(gained, lost), Some(production()));
            assert_eq!(verdict.met, met, "{gate}, {gained} and {lost}: {verdict}");
        }
        // 15 against 5: the exact sign test has 0.0207, its normal approximation 0.0127.
        let verdict = judge(
            "accuracy>=production (p<0.05)",
            &other(15, 5),
            Some(production()),
        );
        let p = verdict.p.unwrap();
        assert!((0.005..0.025).contains(&p), "{p}");
        assert!(verdict.why.contains("m@1 has 0.8000"), "{verdict}");
    }

    #[test]
    fn of_errors_less_is_better() {
        let forecast = |error: f64| {
            let came: Vec<f64> = (0..60).map(f64::from).collect();
            // Off by the error, and a little more here and there.
            let off = |(at, value): (usize, &f64)| value + error + 0.1 * (at % 3) as f64;
            let forecasts = Forecasts {
                foretold: came.iter().enumerate().map(off).collect(),
                naive: vec![0.0; came.len()],
                came,
                steps: 2,
                seasonal: 1.0,
            };
            Evaluation::Forecast {
                forecasting: crate::data::Forecasting {
                    columns: vec!["x".to_owned()],
                    target: 0,
                    length: 4,
                    steps: 2,
                    season: 2,
                    mean: 0.0,
                    std: 1.0,
                    seasonal: 1.0,
                    unit: None,
                    step: None,
                },
                metrics: forecasts.measure(),
                forecasts,
            }
        };
        for (gate, met) in [
            ("mae<=production", true),
            ("mae<=production-0.4", true),
            ("mae<=production-0.6", false),
            ("rmse<=production (p<0.01)", true),
            ("mase<=production-0.6 (p<0.01)", false),
        ] {
            let verdict = judge(gate, &forecast(0.5), Some(forecast(1.0)));
            assert_eq!(verdict.met, met, "{verdict}");
        }
    }
}
