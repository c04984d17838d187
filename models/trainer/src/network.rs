//! From a recipe's name to its network.

use burn::tensor::Device;

use crate::data::{Dataset, Task};
use crate::fit::{Hyperparameters, weights};
use crate::recipes::{
    Cell, Cnn, Embed, Network, Recipe, Resnet, Rnn, SeriesRnn, TextRnn, Transformer,
};
use crate::{Result, device};

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
    let (width, cell) = (hyper.width, hyper.cell.unwrap_or(Cell::Gru));
    let place = Place {
        seed: hyper.seed,
        device,
    };
    match (recipe, data.task) {
        (Recipe::Cnn, _) => visitor.visit(place.draw(|at| Cnn::new(data.shape(), width, at))?),
        (Recipe::Resnet, _) => {
            visitor.visit(place.draw(|at| Resnet::new(data.shape(), width, at))?)
        }
        (Recipe::Transformer, _) => {
            let shape = data.text_shape()?;
            visitor.visit(place.draw(|at| Transformer::new(shape, width, at))?)
        }
        (Recipe::Embed, _) => {
            let shape = data.text_shape()?;
            visitor.visit(place.draw(|at| Embed::new(shape, width, at))?)
        }
        (Recipe::Rnn, Task::TextClassification) => {
            let shape = data.text_shape()?;
            visitor.visit(place.draw(|at| TextRnn::new(shape, cell, width, at))?)
        }
        (Recipe::Rnn, Task::SeriesClassification) => {
            let shape = data.labelled_series_shape()?;
            visitor.visit(place.draw(|at| SeriesRnn::new(shape, cell, width, at))?)
        }
        (Recipe::Rnn, _) => {
            let shape = data.series_shape()?;
            visitor.visit(place.draw(|at| Rnn::new(shape, cell, width, at))?)
        }
    }
}

/// Where a network will be, and what its weights are drawn from.
struct Place<'a> {
    seed: u64,
    device: &'a Device,
}

impl Place<'_> {
    /// A network with fresh weights. A seed gives the same ones on every device: the processor draws them, where the
    /// build knows it.
    fn draw<N: Network>(&self, make: impl Fn(&Device) -> N) -> Result<N> {
        let drawing = device::open("cpu").unwrap_or_else(|_| self.device.clone());
        drawing.seed(self.seed);
        let network = make(&drawing);
        if drawing == *self.device {
            return Ok(network);
        }
        weights::load(make(self.device), weights::record(&network)?)
    }
}
