//! Conditions that a model must meet to be published: `accuracy>=0.9`.

use std::fmt;
use std::str::FromStr;

use super::Evaluation;
use super::evaluation::FIGURES;

/// One condition.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    figure: &'static str,
    least: bool,
    bound: f64,
}

impl Gate {
    /// Why it is not met, if it isn't.
    pub fn fault(&self, evaluation: &Evaluation) -> Option<String> {
        let name = self.figure;
        let figures = evaluation.figures();
        let Some((_, value)) = figures.into_iter().find(|(known, _)| *known == name) else {
            return Some(format!(
                "{name} is not measured here, and {self} is required"
            ));
        };
        let met = if self.least {
            value >= self.bound
        } else {
            value <= self.bound
        };
        (!met).then(|| format!("{name} is {value:.4}, and {self} is required"))
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || FIGURES.join(", ");
        let parts = text
            .split_once(">=")
            .map(|parts| (parts, true))
            .or_else(|| text.split_once("<=").map(|parts| (parts, false)));
        let Some(((name, bound), least)) = parts else {
            return Err(format!(
                "a gate is METRIC>=NUMBER or METRIC<=NUMBER; metrics: {}",
                names()
            ));
        };
        let figure = FIGURES
            .into_iter()
            .find(|known| *known == name.trim())
            .ok_or_else(|| {
                format!(
                    "there is no metric \"{}\"; there are {}",
                    name.trim(),
                    names()
                )
            })?;
        let bound = bound
            .trim()
            .parse()
            .ok()
            .filter(|bound: &f64| bound.is_finite());
        let bound = bound.ok_or_else(|| "what follows >= or <= must be a number".to_owned())?;
        Ok(Self {
            figure,
            least,
            bound,
        })
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.least { ">=" } else { "<=" };
        write!(f, "{}{sign}{}", self.figure, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Answers;

    #[test]
    fn gates_open_and_close() {
        // Right, right, right, wrong.
        let scores = vec![1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let answers = Answers::from_scores(scores, vec![0, 0, 1, 0], 2);
        let evaluation = Evaluation::Classes {
            labels: vec!["no".to_owned(), "yes".to_owned()],
            metrics: answers.measure(),
            accuracy_interval: answers.accuracy_interval(),
            answers,
        };
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
        ] {
            let fault = gate.parse::<Gate>().unwrap().fault(&evaluation);
            assert_eq!(fault.is_some(), want.is_some(), "{gate}: {fault:?}");
            assert!(
                fault
                    .unwrap_or_default()
                    .starts_with(want.unwrap_or_default()),
                "{gate}"
            );
        }
        for gate in [
            "accuracy",
            "accuracy>0.9",
            "speed>=1",
            "accuracy>=x",
            "accuracy>=NaN",
        ] {
            assert!(gate.parse::<Gate>().is_err(), "{gate}");
        }
    }
}
