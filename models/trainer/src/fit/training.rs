//! The loop itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;

use super::checkpoint::{Checkpoint, State};
use super::objective::{Objective, numbers, right_of, score};
use super::weights::{burn_bytes, damaged, load, record};
use super::{Fitted, Plan, Point, Progress, Score, Spent};
use crate::data::{Batch, Batches, Dataset, Epoch, Part};
use crate::recipes::{Input, Network};
use crate::{Error, ErrorKind, Result, machine};

/// Examples in a batch where nothing is learned.
const PLAIN_BATCH: usize = 128;

/// Steps are measured for so long.
const MEASURED: Duration = Duration::from_secs(1);

/// Trains a network, from the last checkpoint of the run if there is one.
///
/// Ends with [`ErrorKind::Stopped`] when it is told to stop, and with [`ErrorKind::Diverged`] when
/// the loss is no number.
pub fn fit<N: Network>(fresh: N, data: &Arc<Dataset>, plan: &Plan) -> Result<Fitted<N>> {
    Run::start(fresh, data, plan)?.go()
}

/// How long a step takes, with the reading of its data: as measured over a second, or an epoch.
pub fn pace<N: Network>(fresh: N, data: &Arc<Dataset>, plan: &Plan) -> Result<Duration> {
    let mut run = Run::start(fresh, data, plan)?;
    let objective = run.objective();
    let mut gradients = GradientsAccumulator::new();
    let steps = run.steps();
    let mut ends = vec![Instant::now()];
    for batch in run.batches(0, 0) {
        run.step(&batch?, &objective, &mut gradients, steps)?;
        ends.push(Instant::now());
        if ends.len() > 2 && ends[1].elapsed() >= MEASURED {
            break;
        }
    }
    // The first step is left out: a GPU compiles its kernels in it.
    let first = usize::from(ends.len() > 2);
    let count = ends.len() - 1 - first;
    Ok((ends[first + count] - ends[first]) / count as u32)
}

/// What the network gives for the first examples of a part: `[examples × outputs]`.
pub fn outputs<N: Network>(
    network: &N,
    data: &Arc<Dataset>,
    part: Part,
    limit: usize,
    plan: &Plan,
) -> Result<Vec<f32>> {
    let (mut all, mut examples) = (Vec::new(), 0);
    for batch in Batches::plain(data, part, PLAIN_BATCH, plan.workers) {
        if examples >= limit {
            break;
        }
        let batch = batch?;
        let input = N::Input::on(&plan.device, &batch.inputs)?;
        all.extend(numbers(network.forward(input))?);
        examples += batch.targets.len();
    }
    all.truncate(all.len() / examples.max(1) * limit);
    Ok(all)
}

struct Run<'a, N> {
    data: &'a Arc<Dataset>,
    plan: &'a Plan<'a>,
    training: Device,
    network: N,
    optimizer: ModuleOptimizer,
    state: State,
    best: Option<Vec<u8>>,
    /// The step that the same command would go on after.
    stored: usize,
    /// Why the last checkpoint can't be stored, if it can't.
    unstored: Option<Error>,
    started: Instant,
    steps_an_epoch: usize,
}

impl<'a, N: Network> Run<'a, N> {
    fn start(fresh: N, data: &'a Arc<Dataset>, plan: &'a Plan) -> Result<Self> {
        let hyper = &plan.fingerprint.hyperparameters;
        let training = plan.device.clone().autodiff();
        let mut run = Self {
            data,
            plan,
            network: fresh.train(),
            optimizer: hyper.optimizer(),
            state: State {
                fingerprint: plan.fingerprint.clone(),
                step: 0,
                spent: Spent::default(),
                loss: 0.0,
                right: 0,
                examples: 0,
                history: Vec::new(),
                best: None,
            },
            best: None,
            stored: 0,
            unstored: None,
            started: Instant::now(),
            steps_an_epoch: data.part(Part::Train).len().div_ceil(hyper.batch),
            training,
        };
        let last = plan.checkpoints.map(|kept| kept.last(&plan.fingerprint));
        if let Some(checkpoint) = last.transpose()?.flatten() {
            let Checkpoint {
                state,
                network,
                optimizer,
                best,
            } = checkpoint;
            run.network = load(run.network, network)?;
            run.optimizer = run
                .optimizer
                .from_bytes(burn_bytes(optimizer))
                .map_err(damaged)?;
            (run.stored, run.state, run.best) = (state.step, state, best);
        }
        Ok(run)
    }

    fn go(mut self) -> Result<Fitted<N>> {
        let steps = self.steps();
        let mut progress = Progress::new(self.state.step, steps, self.plan.quiet);
        if self.state.step > 0 {
            progress.say(&format!(
                "goes on after step {} of {steps}",
                self.state.step
            ));
        }
        while self.state.step < steps && !self.is_stale() {
            let epoch = self.state.step / self.steps_an_epoch;
            self.epoch(epoch, steps, &mut progress)?;
        }
        let spent = self.spent();
        let State { history, best, .. } = self.state;
        let last = history.last().map_or(0, |point| point.epoch);
        let (network, epoch) = match (self.best, best) {
            (Some(bytes), Some(point)) => (load(self.network, bytes)?, point.epoch),
            _ => (self.network, last),
        };
        Ok(Fitted {
            network: network.valid(),
            history,
            epoch,
            spent,
            unstored: self.unstored,
        })
    }

    /// All steps, done or not.
    fn steps(&self) -> usize {
        self.plan.fingerprint.hyperparameters.epochs * self.steps_an_epoch
    }

    fn objective(&self) -> Objective {
        let smoothing = self.plan.fingerprint.hyperparameters.smoothing;
        Objective::new(smoothing, &self.training)
    }

    /// The batches of an epoch, the first epoch and the first batch being 0.
    fn batches(&self, number: usize, first: usize) -> Batches {
        let hyper = &self.plan.fingerprint.hyperparameters;
        let epoch = Epoch {
            batch: hyper.batch,
            number,
            seed: hyper.seed,
            augment: hyper.augment,
        };
        Batches::train(self.data, epoch, first, self.plan.workers)
    }

    /// The rest of an epoch, the first being 0.
    fn epoch(&mut self, number: usize, steps: usize, progress: &mut Progress) -> Result<()> {
        let plan = self.plan;
        let hyper = &plan.fingerprint.hyperparameters;
        let objective = self.objective();
        let first = self.state.step % self.steps_an_epoch;
        let mut gradients = GradientsAccumulator::new();
        for batch in self.batches(number, first) {
            let batch = batch?;
            let score = self.step(&batch, &objective, &mut gradients, steps)?;
            progress.step(self.state.step, number + 1, hyper.epochs, score);
            let ends = self.state.step.is_multiple_of(self.steps_an_epoch);
            if ends {
                let best = self.end_epoch(number)?;
                let point = self.state.history.last().expect("just added");
                progress.epoch(point, best);
            }
            let told = self.plan.stop.load(Ordering::Relaxed);
            // Gradients that are being summed up are not stored: a checkpoint follows a whole step.
            let whole = ends || self.state.step.is_multiple_of(hyper.accumulate);
            let due = self.state.step.is_multiple_of(self.plan.checkpoint_every)
                || self.state.step == steps;
            if whole && (due || told) {
                self.checkpoint(told, steps, progress)?;
            }
            if whole && told && self.state.step < steps {
                let message = format!(
                    "stopped after step {} of {steps}; the same command goes on",
                    self.state.step
                );
                return Err(Error::new(ErrorKind::Stopped, message));
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        batch: &Batch,
        objective: &Objective,
        gradients: &mut GradientsAccumulator<N>,
        steps: usize,
    ) -> Result<Score> {
        let plan = self.plan;
        let hyper = &plan.fingerprint.hyperparameters;
        // What the network itself draws, as for dropout, follows from the step alone.
        self.training
            .seed(hyper.seed.wrapping_add(1 + self.state.step as u64));
        let input = N::Input::on(&self.training, &batch.inputs)?;
        let outputs = self.network.forward(input);
        let mean = objective.loss(outputs.clone(), &batch.targets);
        let value = f64::from(numbers(mean.clone())?[0]);
        if !value.is_finite() {
            let (epoch, step, rate) = (
                self.state.step / self.steps_an_epoch + 1,
                self.state.step + 1,
                hyper.rate(self.state.step, steps),
            );
            return Err(Error::new(
                ErrorKind::Diverged,
                format!(
                    "the loss of step {step} (epoch {epoch}) is {value}, at a learning rate of {rate:.2e}: \
                     try a lower one, or --clip 1; the last checkpoint stays"
                ),
            ));
        }
        let right = right_of(&numbers(outputs.detach())?, &batch.targets);
        let mean = mean.div_scalar(hyper.accumulate as f64);
        let grads = GradientsParams::from_grads(mean.backward(), &self.network);
        gradients.accumulate(&self.network, grads);
        self.state.step += 1;
        let ends = self.state.step.is_multiple_of(self.steps_an_epoch);
        if ends || self.state.step.is_multiple_of(hyper.accumulate) {
            let rate = hyper.rate(self.state.step - 1, steps);
            self.network = self
                .optimizer
                .step(rate, self.network.clone(), gradients.grads());
        }
        let count = batch.targets.len();
        self.state.loss += value * count as f64;
        self.state.right += right.unwrap_or(0);
        self.state.examples += count;
        Ok(Score {
            loss: value,
            accuracy: right.map(|right| right as f64 / count as f64),
        })
    }

    /// Validates; whether this epoch is the best so far.
    fn end_epoch(&mut self, number: usize) -> Result<bool> {
        let examples = self.state.examples.max(1) as f64;
        let accuracy = self.state.right as f64 / examples;
        let train = Score {
            loss: self.state.loss / examples,
            accuracy: self.data.forecasting.is_none().then_some(accuracy),
        };
        (self.state.loss, self.state.right, self.state.examples) = (0.0, 0, 0);
        let valid = self.validate()?;
        let point = Point {
            epoch: number + 1,
            step: self.state.step,
            train,
            valid,
        };
        self.state.history.push(point);
        let Some(valid) = valid else {
            return Ok(false);
        };
        let lowest = self
            .state
            .best
            .and_then(|best| best.valid)
            .map_or(f64::INFINITY, |best| best.loss);
        let best = valid.loss < lowest;
        if best {
            self.state.best = Some(point);
            self.best = Some(record(&self.network)?);
        }
        Ok(best)
    }

    fn validate(&self) -> Result<Option<Score>> {
        let part = self.data.part(Part::Valid);
        if part.is_empty() {
            return Ok(None);
        }
        let network = self.network.valid();
        let outputs = outputs(&network, self.data, Part::Valid, part.len(), self.plan)?;
        Ok(Some(score(&outputs, part)))
    }

    /// Whether validation has not got better for too long.
    fn is_stale(&self) -> bool {
        let patience = self.plan.fingerprint.hyperparameters.patience;
        match (patience, self.state.best, self.state.history.last()) {
            (Some(patience), Some(best), Some(last)) => last.epoch - best.epoch >= patience,
            _ => false,
        }
    }

    /// Stores where the run is. A store that takes nothing ends only a run that was `told` to stop: else the next
    /// checkpoint may be taken, and what is trained to the end needs none.
    fn checkpoint(&mut self, told: bool, steps: usize, progress: &Progress) -> Result<()> {
        let Some(checkpoints) = self.plan.checkpoints else {
            return Ok(());
        };
        let state = State {
            spent: self.spent(),
            ..self.state.clone()
        };
        let stored = checkpoints.store(&Checkpoint {
            state,
            network: record(&self.network)?,
            optimizer: self.optimizer.into_bytes().map_err(damaged)?.to_vec(),
            best: self.best.clone(),
        });
        let step = self.state.step;
        let Err(error) = stored else {
            self.stored = step;
            return Ok(());
        };
        let cause = error.chain();
        if step == steps {
            let message =
                format!("the checkpoint after step {step}, the last one, can't be stored");
            progress.warn(&format!(
                "{message} ({cause}); the network is kept as a model"
            ));
            self.unstored = Some(Error::new(ErrorKind::Store, message).because(error));
        } else if told {
            let message = format!(
                "the checkpoint after step {step}, the last one, can't be stored: what came after step {} is lost. \
                 See that the place of --run can be written to, and give the same command again",
                self.stored
            );
            return Err(Error::new(ErrorKind::Store, message).because(error));
        } else {
            progress.warn(&format!(
                "the checkpoint after step {step} can't be stored ({cause}); the training goes on, and tries again"
            ));
        }
        Ok(())
    }

    fn spent(&self) -> Spent {
        let before = self.state.spent;
        Spent {
            seconds: before.seconds + self.started.elapsed().as_secs_f64(),
            processor_seconds: before.processor_seconds + machine::processor_seconds(),
        }
    }
}
