//! The recipes: networks, each with the defaults that it trains well with.

mod cnn;
mod embed;
mod encoder;
mod input;
mod recurrent;
mod resnet;
mod rnn;
mod sequences;
mod transformer;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use clap::ValueEnum;

pub use cnn::Cnn;
pub use embed::Embed;
pub use input::{Input, Tokens};
pub use recurrent::Cell;
pub use resnet::Resnet;
pub use rnn::{Rnn, SeriesShape};
pub use sequences::{LabelledSeriesShape, SeriesRnn, TextRnn};
pub use transformer::{TextShape, Transformer};

use crate::data::{Augment, Task};
use crate::export::{Graph, Value};
use crate::fit::{Hyperparameters, Optimizer};

/// A network: from examples, side by side, to a score a class, a value a step, or a vector.
pub trait Network: Module + Clone + Send + 'static {
    /// What it takes.
    type Input: Input;

    /// Examples to `[batch, outputs]`: scores before any softmax; scaled values; a vector of meaning.
    fn forward(&self, input: Self::Input) -> Tensor<2>;

    /// The same as [`forward`](Self::forward), drawn into an ONNX graph.
    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value;

    /// How many numbers come of an example.
    fn outputs(&self) -> usize;
}

/// How many numbers a layer gives.
fn outputs_of(layer: &Linear) -> usize {
    layer.weight.dims()[1]
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
    /// Series: a GRU or LSTM that says by how much the values of the season before will be wrong. Or, with --task, classes of series or texts
    Rnn,
    /// Pairs of texts: the transformer's encoder, which learns to bring together what belongs together
    Embed,
}

impl Recipe {
    /// The name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cnn => "cnn",
            Self::Resnet => "resnet",
            Self::Transformer => "transformer",
            Self::Rnn => "rnn",
            Self::Embed => "embed",
        }
    }

    /// What it can learn, the usual task first.
    pub fn tasks(self) -> &'static [Task] {
        match self {
            Self::Cnn | Self::Resnet => &[Task::ImageClassification],
            Self::Transformer => &[Task::TextClassification],
            Self::Rnn => &[
                Task::Forecasting,
                Task::SeriesClassification,
                Task::TextClassification,
            ],
            Self::Embed => &[Task::SentenceSimilarity],
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
                cell: None,
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
                cell: None,
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
                cell: Some(Cell::Gru),
                ..Self::Resnet.defaults()
            },
            // Each text of a batch is a wrong answer for all others: the larger it is, the more it teaches.
            Self::Embed => Hyperparameters {
                epochs: 10,
                batch: 128,
                smoothing: 0.0,
                width: 64,
                ..Self::Transformer.defaults()
            },
        }
    }
}
