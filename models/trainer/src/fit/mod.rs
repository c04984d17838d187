//! The training loop: steps, validation, checkpoints.
//!
//! All that happens follows from the data, the hyperparameters and the number of the step: random
//! numbers are drawn anew for each step, so a run that is taken up from a checkpoint goes on as it
//! would have without the break.

mod checkpoint;
mod hyperparameters;
mod objective;
mod plan;
mod progress;
mod training;
pub(crate) mod weights;

pub use checkpoint::{Checkpoints, Fingerprint};
pub use hyperparameters::{Hyperparameters, Optimizer};
pub use plan::{Fitted, Plan};
pub use progress::Progress;
pub(crate) use progress::duration;
pub use training::{fit, outputs, pace};

use serde::{Deserialize, Serialize};

/// Time that a run has taken, in all its processes; what was lost with a kill is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of the processor, all its cores together, with the reading of the data; 0 where the system
    /// doesn't tell.
    pub processor_seconds: f64,
}

/// What was seen at the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its number, from 1.
    pub epoch: usize,
    /// Steps done so far.
    pub step: usize,
    /// Mean loss and share of right answers over the epoch's training examples, as they were
    /// changed, with the weights of the moment.
    pub train: Score,
    /// The same over the validation part, unchanged; absent where there is none.
    pub valid: Option<Score>,
}

/// How well a network did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Of classes and pairs the cross-entropy, in nats; of values the mean absolute error, in deviations.
    pub loss: f64,
    /// Share of right answers, 0 to 1: classes, or texts that find the other of their pair; of values
    /// there is none.
    pub accuracy: Option<f64>,
}
