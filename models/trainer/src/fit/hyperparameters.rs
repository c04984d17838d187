//! The numbers that somebody chooses.

use std::f64::consts::PI;

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamWConfig, ModuleOptimizer, SgdConfig};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::data::Augment;
use crate::recipes::Cell;
use crate::{Error, Result};

/// How weights follow from gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum if it is more than 0.
    Sgd,
    /// Adam with decoupled weight decay.
    #[value(name = "adamw")]
    AdamW,
}

/// All that decides how a network is trained, beside the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// How often every picture is seen.
    pub epochs: usize,
    /// Pictures that a gradient is computed from at once.
    pub batch: usize,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// SGD's momentum; `AdamW`'s first beta.
    pub momentum: f64,
    /// Weight decay: SGD's is coupled (L2), `AdamW`'s is not.
    pub weight_decay: f64,
    /// Share of the steps in which the rate rises from 0, 0 to 1.
    pub warm_up: f64,
    /// Whether the rate then falls to 0 along half a cosine; else it stays.
    pub cosine: bool,
    /// Share of each label that is spread over all classes, 0 to 1.
    pub smoothing: f64,
    /// The largest norm of a layer's gradient.
    pub clip: Option<f64>,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// Epochs without a lower validation loss after which training stops.
    pub patience: Option<usize>,
    /// What is done to training pictures.
    pub augment: Augment,
    /// Channels of the network's first convolution; all others follow from it.
    pub width: usize,
    /// The kind of the recurrent layer, in networks that have one.
    pub cell: Option<Cell>,
    /// Of all random numbers.
    pub seed: u64,
}

impl Hyperparameters {
    /// Finds what makes no sense.
    pub fn check(&self) -> Result<()> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let Augment {
            shift,
            rotate,
            zoom,
            ..
        } = self.augment;
        let rules = [
            (self.epochs >= 1, "--epochs must be at least 1"),
            (self.batch >= 1, "--batch must be at least 1"),
            (
                (1..=1024).contains(&self.width),
                "--width must be 1 to 1024",
            ),
            (self.accumulate >= 1, "--accumulate must be at least 1"),
            (
                self.learning_rate > 0.0 && self.learning_rate <= 100.0,
                "--learning-rate must be more than 0, at most 100",
            ),
            (
                share(self.momentum),
                "--momentum must be 0 or more, less than 1",
            ),
            (
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "--weight-decay must be 0 or more",
            ),
            (
                share(self.warm_up),
                "--warm-up must be 0 or more, less than 1",
            ),
            (
                share(self.smoothing),
                "--smoothing must be 0 or more, less than 1",
            ),
            (
                self.clip.is_none_or(|clip| clip > 0.0 && clip.is_finite()),
                "--clip must be more than 0",
            ),
            (self.patience != Some(0), "--patience must be at least 1"),
            (
                (0.0..=1.0).contains(&shift) && (0.0..1.0).contains(&zoom),
                "--shift and --zoom must be 0 or more, less than 1",
            ),
            ((0.0..=180.0).contains(&rotate), "--rotate must be 0 to 180"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(Error::usage(*rule)),
        }
    }

    /// The learning rate of a step, counted from 0, of so many: up in a line, down along a cosine
    /// (Loshchilov and Hutter, "SGDR", 2016, without restarts).
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let warm_up = (self.warm_up * steps as f64).ceil();
        let step = step as f64;
        if step < warm_up {
            return self.learning_rate * (step + 1.0) / warm_up;
        }
        if !self.cosine {
            return self.learning_rate;
        }
        let done = (step - warm_up) / (steps as f64 - warm_up).max(1.0);
        self.learning_rate * 0.5 * (1.0 + (PI * done).cos())
    }

    /// The optimizer, fresh.
    pub fn optimizer(&self) -> ModuleOptimizer {
        let clip = self
            .clip
            .map(|clip| GradientClippingConfig::Norm(clip as f32));
        match self.optimizer {
            Optimizer::Sgd => {
                let momentum = (self.momentum > 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(self.momentum)
                        .with_dampening(0.0)
                });
                let decay = (self.weight_decay > 0.0)
                    .then(|| WeightDecayConfig::new(self.weight_decay as f32));
                SgdConfig::new()
                    .with_momentum(momentum)
                    .with_weight_decay(decay)
                    .with_gradient_clipping(clip)
                    .init()
            }
            Optimizer::AdamW => AdamWConfig::new()
                .with_beta_1(self.momentum as f32)
                .with_weight_decay(self.weight_decay as f32)
                .with_grad_clipping(clip)
                .init(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::recipes::Recipe;

    #[test]
    fn the_rate_rises_and_falls() {
        let mut hyper = Recipe::Resnet.defaults();
        (hyper.learning_rate, hyper.warm_up) = (1.0, 0.1);
        let rates: Vec<f64> = (0..100).map(|step| hyper.rate(step, 100)).collect();
        let close =
            |at: usize, want: f64| assert!((rates[at] - want).abs() < 1e-9, "{at}: {}", rates[at]);
        close(0, 0.1);
        close(9, 1.0);
        close(10, 1.0);
        close(55, 0.5);
        assert!(rates[99] > 0.0 && rates[99] < 0.001);
        assert!(rates[10..].windows(2).all(|pair| pair[0] > pair[1]));
        // Without either, it is what it is.
        let plain = Recipe::Cnn.defaults();
        assert_eq!(
            [plain.rate(0, 10), plain.rate(9, 10)].map(f64::to_bits),
            [0.01_f64.to_bits(); 2]
        );
    }
}
