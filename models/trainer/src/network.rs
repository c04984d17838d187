//! From a recipe's name to its network.

use burn::tensor::Device;

use crate::Result;
use crate::data::{Dataset, Task};
use crate::fit::Hyperparameters;
use crate::recipes::{
    Cell, Cnn, Embed, Network, Recipe, Resnet, Rnn, SeriesRnn, TextRnn, Transformer,
};

/// What is done with a network, whichever it is.
pub(crate) trait Visit {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<N: Network>(self, network: N) -> Result<Self::Output>;
}

/// Builds the network of a recipe for this data, with fresh weights.
pub(crate) fn build<V: Visit>(
    recipe: Recipe,
    hyper: &Hyperparameters,
    data: &Dataset,
    device: &Device,
    visitor: V,
) -> Result<V::Output> {
    // What the weights are drawn from.
    device.seed(hyper.seed);
    let (width, cell) = (hyper.width, hyper.cell.unwrap_or(Cell::Gru));
    match (recipe, data.task) {
        (Recipe::Cnn, _) => visitor.visit(Cnn::new(data.shape(), width, device)),
        (Recipe::Resnet, _) => visitor.visit(Resnet::new(data.shape(), width, device)),
        (Recipe::Transformer, _) => {
            visitor.visit(Transformer::new(data.text_shape()?, width, device))
        }
        (Recipe::Embed, _) => visitor.visit(Embed::new(data.text_shape()?, width, device)),
        (Recipe::Rnn, Task::TextClassification) => {
            visitor.visit(TextRnn::new(data.text_shape()?, cell, width, device))
        }
        (Recipe::Rnn, Task::SeriesClassification) => {
            let shape = data.labelled_series_shape()?;
            visitor.visit(SeriesRnn::new(shape, cell, width, device))
        }
        (Recipe::Rnn, _) => visitor.visit(Rnn::new(data.series_shape()?, cell, width, device)),
    }
}
