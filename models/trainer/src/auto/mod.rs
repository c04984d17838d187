//! `auto`: the recipe by the kind of data, the width by how much there is of it, the epochs by the time.

mod compare;
mod ladder;
mod stored;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::Device;

use crate::Result;
use crate::cli::Cli;
use crate::data::{Dataset, Part};
use crate::fit::{self, Fingerprint, Hyperparameters, Plan, duration};
use crate::network::{self, Visit};
use crate::recipes::{Network, Recipe};
use ladder::Rung;
pub(crate) use ladder::recipe;

/// The rest of the time is for what is slower than it was measured.
const USED: f64 = 0.9;

/// Work of an example that is only looked at, beside one that is learned from.
const LOOKED_AT: f64 = 1.0 / 3.0;

/// What a choice follows from.
pub(crate) struct Auto<'a> {
    pub(crate) cli: &'a Cli,
    pub(crate) data: &'a Arc<Dataset>,
    pub(crate) device: &'a Device,
    pub(crate) stop: &'a AtomicBool,
}

/// A network, and for how long it is trained.
pub(crate) struct Chosen {
    pub(crate) recipe: Recipe,
    width: usize,
    epochs: usize,
}

impl Chosen {
    /// The recipe's, but for what was chosen.
    pub(crate) fn defaults(&self) -> Hyperparameters {
        Hyperparameters {
            width: self.width,
            epochs: self.epochs,
            ..self.recipe.defaults()
        }
    }
}

/// A network that may be chosen.
struct Candidate {
    rung: Rung,
    hyper: Hyperparameters,
    /// How long an epoch takes.
    epoch: Duration,
}

impl Auto<'_> {
    /// Chooses a network that takes what this recipe takes, and says why.
    pub(crate) fn choose(&self, recipe: Recipe, compare: bool) -> Result<Chosen> {
        let (examples, unit) = (self.data.part(Part::Train).len(), self.data.census.unit);
        let budget = self.cli.auto.budget();
        self.say(&format!(
            "auto       {examples} {unit} to train, {} to train in",
            duration(budget)
        ));
        self.row(&format!("{:<16} an epoch   what fits", "network"));
        if compare {
            return self.compare(recipe);
        }
        let mut chosen = None;
        for rung in ladder::rungs(recipe, self.cli.training.width) {
            if chosen.is_some() && examples < rung.from {
                self.row(&format!(
                    "{rung:<16}        –   is for {} {unit} and more",
                    rung.from
                ));
                continue;
            }
            let candidate = self.measure(rung)?;
            self.row(&candidate.tell(budget));
            // One that is cut short learns less than a narrower one that isn't.
            if candidate.epochs_in(budget) * 2 < candidate.hyper.epochs {
                chosen = chosen.or(Some(candidate));
                break;
            }
            chosen = Some(candidate);
        }
        let chosen = chosen.expect("each recipe has a network for any number of examples");
        let why = format!("the widest for {examples} {unit} that has at least half of its epochs");
        Ok(self.settle(&chosen, budget, &why))
    }

    /// With as many epochs as there is time for, and one at least.
    fn settle(&self, candidate: &Candidate, time: Duration, why: &str) -> Chosen {
        let (rung, epochs) = (candidate.rung, candidate.epochs_in(time).max(1));
        self.say(&format!("chosen     {rung}, epochs: {epochs}; {why}"));
        Chosen {
            recipe: rung.recipe,
            width: rung.width,
            epochs,
        }
    }

    fn measure(&self, rung: Rung) -> Result<Candidate> {
        let hyper = self.cli.training.over(rung.defaults())?;
        let step = self.build(rung, &hyper, Pace(self.plan(rung, &hyper), self.data))?;
        let [train, valid] = [Part::Train, Part::Valid].map(|part| self.data.part(part).len());
        let steps = train.div_ceil(hyper.batch) as f64;
        let looked_at = LOOKED_AT * valid as f64 / train as f64;
        Ok(Candidate {
            rung,
            hyper,
            epoch: step.mul_f64(steps * (1.0 + looked_at)),
        })
    }

    fn build<V: Visit>(
        &self,
        rung: Rung,
        hyper: &Hyperparameters,
        visitor: V,
    ) -> Result<V::Output> {
        network::build(rung.recipe, hyper, self.data, self.device, visitor)
    }

    /// Nothing is kept: the time is short, and known.
    fn plan(&self, rung: Rung, hyper: &Hyperparameters) -> Plan<'_> {
        Plan {
            device: self.device.clone(),
            fingerprint: Fingerprint {
                recipe: rung.recipe.name().to_owned(),
                data: self.data.census.digest.clone(),
                shape: self.data.sizes(),
                hyperparameters: hyper.clone(),
            },
            checkpoints: None,
            checkpoint_every: usize::MAX,
            workers: self.cli.workers,
            stop: self.stop,
            quiet: true,
        }
    }

    fn say(&self, line: &str) {
        if !self.cli.quiet {
            eprintln!("{line}");
        }
    }

    fn row(&self, row: &str) {
        self.say(&format!("           {row}"));
    }
}

impl Candidate {
    /// How many epochs fit into this time, of those that are wanted.
    fn epochs_in(&self, time: Duration) -> usize {
        let fit = time.as_secs_f64() * USED / self.epoch.as_secs_f64().max(1e-9);
        (fit as usize).min(self.hyper.epochs)
    }

    fn tell(&self, time: Duration) -> String {
        let (rung, fit, wanted) = (self.rung, self.epochs_in(time), self.hyper.epochs);
        format!(
            "{rung:<16} {:>8}   {fit} of {wanted} epochs",
            duration(self.epoch)
        )
    }
}

/// The time that a step takes.
struct Pace<'a>(Plan<'a>, &'a Arc<Dataset>);

impl Visit for Pace<'_> {
    type Output = Duration;

    fn visit<N: Network>(self, network: N) -> Result<Duration> {
        fit::pace(network, self.1, &self.0)
    }
}
