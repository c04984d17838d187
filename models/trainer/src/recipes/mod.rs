//! The recipes: networks, each with the defaults that it trains well with.

mod cnn;
mod input;
mod resnet;
mod rnn;
mod transformer;

use burn::module::Module;
use burn::tensor::Tensor;
use clap::ValueEnum;

pub use cnn::Cnn;
pub use input::{Input, Tokens};
pub use resnet::Resnet;
pub use rnn::{Rnn, SeriesShape};
pub use transformer::{TextShape, Transformer};

use crate::data::Augment;
use crate::export::{Graph, Value};
use crate::fit::{Hyperparameters, Optimizer};

/// A network: from examples, side by side, to a score a class, or a value a step.
pub trait Network: Module + Clone + Send + 'static {
    /// What it takes.
    type Input: Input;

    /// Examples to `[batch, classes]`, before any softmax, or to `[batch, steps]`, scaled.
    fn forward(&self, input: Self::Input) -> Tensor<2>;

    /// The same as [`forward`](Self::forward), drawn into an ONNX graph.
    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value;
}

/// What a network for pictures is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, height and width of a picture.
    pub picture: [usize; 3],
    /// How many classes there are.
    pub classes: usize,
}

impl Shape {
    /// The least side that three halvings leave something of.
    pub const MIN_SIDE: usize = 8;
}

/// A recipe's name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Recipe {
    /// Pictures: three convolutions and a dense layer, plain SGD. The classic; large files
    Cnn,
    /// Pictures: residual blocks, Adam with weight decay, augmentation. Better, and smaller
    Resnet,
    /// Texts: an encoder with attention, over tokens that it learns from the data
    Transformer,
    /// Series: a GRU that says by how much the values of the season before will be wrong
    Rnn,
}

impl Recipe {
    /// The name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cnn => "cnn",
            Self::Resnet => "resnet",
            Self::Transformer => "transformer",
            Self::Rnn => "rnn",
        }
    }

    /// What it trains well with.
    pub fn defaults(self) -> Hyperparameters {
        match self {
            // The seed's: SGD, 0.01, batches of 32, categorical cross-entropy. Nothing else.
            Self::Cnn => Hyperparameters {
                epochs: 10,
                batch: 32,
                optimizer: Optimizer::Sgd,
                learning_rate: 0.01,
                momentum: 0.0,
                weight_decay: 0.0,
                warm_up: 0.0,
                cosine: false,
                smoothing: 0.0,
                clip: None,
                accumulate: 1,
                patience: None,
                augment: Augment::NONE,
                width: 32,
                seed: 0,
            },
            Self::Resnet => Hyperparameters {
                epochs: 15,
                batch: 64,
                optimizer: Optimizer::AdamW,
                learning_rate: 0.004,
                momentum: 0.9,
                weight_decay: 0.02,
                warm_up: 0.1,
                cosine: true,
                smoothing: 0.05,
                clip: Some(1.0),
                accumulate: 1,
                patience: None,
                augment: Augment {
                    shift: 0.08,
                    rotate: 10.0,
                    zoom: 0.1,
                    flip: false,
                },
                width: 16,
                seed: 0,
            },
            Self::Transformer => Hyperparameters {
                epochs: 8,
                batch: 32,
                learning_rate: 0.002,
                weight_decay: 0.05,
                augment: Augment::NONE,
                width: 48,
                ..Self::Resnet.defaults()
            },
            Self::Rnn => Hyperparameters {
                epochs: 20,
                batch: 64,
                learning_rate: 0.004,
                weight_decay: 0.01,
                smoothing: 0.0,
                augment: Augment::NONE,
                width: 32,
                ..Self::Resnet.defaults()
            },
        }
    }
}
