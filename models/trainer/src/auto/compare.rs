//! `--compare`: networks are tried, and the best goes on.

use std::sync::Arc;
use std::time::Duration;

use super::{Auto, Candidate, Chosen, ladder};
use crate::data::{Dataset, Part};
use crate::fit::{self, Plan, Score};
use crate::network::Visit;
use crate::recipes::{Network, Recipe};
use crate::{Error, ErrorKind, Result};

impl Auto<'_> {
    /// Half of the time is for trials, by successive halving (Jamieson and Talwalkar, "Non-stochastic
    /// Best Arm Identification and Hyperparameter Optimization", 2016): each round has as much of it as
    /// the others, which its networks share; the better half of them is in the next. A trial is a whole
    /// training, of as many epochs as fit; the validation loss decides.
    pub(super) fn compare(&self, recipe: Recipe) -> Result<Chosen> {
        if self.data.part(Part::Valid).is_empty() {
            let message = "--compare needs a validation part: --valid 0.1";
            return Err(Error::usage(message));
        }
        let budget = self.cli.auto.budget();
        let mut left = Vec::new();
        for rung in ladder::all(recipe, self.cli.training.width) {
            let candidate = self.measure(rung)?;
            self.row(&candidate.tell(budget / 2));
            left.push(candidate);
        }
        let rounds = left.len().next_power_of_two().ilog2();
        for round in 1..=rounds {
            let share = budget / 2 / rounds / left.len() as u32;
            self.say(&format!(
                "compare    round {round} of {rounds}, {} networks",
                left.len()
            ));
            left = self.round(left, share)?;
        }
        let best = left.first().ok_or_else(too_short)?;
        Ok(self.settle(best, budget / 2, "the lowest validation loss"))
    }

    /// The better half, best first.
    fn round(&self, candidates: Vec<Candidate>, share: Duration) -> Result<Vec<Candidate>> {
        let mut tried = Vec::new();
        for candidate in candidates {
            let epochs = candidate.epochs_in(share);
            let rung = candidate.rung;
            if epochs == 0 {
                self.row(&format!(
                    "{rung:<16} an epoch takes longer than its share of the time"
                ));
                continue;
            }
            let mut hyper = candidate.hyper.clone();
            hyper.epochs = epochs;
            let trial = Trial(self.plan(rung, &hyper), self.data);
            match self.build(rung, &hyper, trial) {
                Ok(Score { loss, accuracy }) => {
                    let accuracy = accuracy.map_or_else(String::new, |accuracy| {
                        format!(", accuracy {:.2} %", accuracy * 100.0)
                    });
                    self.row(&format!(
                        "{rung:<16} {epochs:>3} epochs   valid: loss {loss:.4}{accuracy}"
                    ));
                    tried.push((loss, candidate));
                }
                Err(error) if error.kind() == ErrorKind::Diverged => {
                    self.row(&format!("{rung:<16} its loss is no number"));
                }
                Err(error) => return Err(error),
            }
        }
        tried.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        tried.truncate(tried.len().div_ceil(2));
        Ok(tried.into_iter().map(|(_, candidate)| candidate).collect())
    }
}

fn too_short() -> Error {
    Error::usage("no network has finished a trial: give --budget more time, or leave --compare out")
}

/// The score on the validation part after a short training.
struct Trial<'a>(Plan<'a>, &'a Arc<Dataset>);

impl Visit for Trial<'_> {
    type Output = Score;

    fn visit<N: Network>(self, network: N) -> Result<Score> {
        let fitted = fit::fit(network, self.1, &self.0)?;
        let best = fitted
            .history
            .iter()
            .find(|point| point.epoch == fitted.epoch);
        best.and_then(|point| point.valid).ok_or_else(too_short)
    }
}
