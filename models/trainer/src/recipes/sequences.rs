//! Classes of sequences: a recurrent layer reads texts or series, and the mean of its states is
//! judged. The mean, and not the last state: what was said first is not forgotten, and the padding at
//! a text's end has no part in it.

use burn::module::Module;
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig,
};
use burn::tensor::{Device, Tensor};

use super::recurrent::{Cell, Recurrent};
use super::{Network, TextShape, Tokens, outputs_of};
use crate::export::{Graph, States, Value};

/// Share of the numbers that training leaves out, before the layer and after it.
const DROPOUT: f64 = 0.2;

/// Texts: tokens become vectors; the mean of the states; a score a class.
#[derive(Module, Debug)]
pub struct TextRnn {
    tokens: Embedding,
    dropout: Dropout,
    layer: Recurrent,
    scores: Linear,
}

impl TextRnn {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: TextShape, cell: Cell, width: usize, device: &Device) -> Self {
        Self {
            tokens: EmbeddingConfig::new(shape.vocabulary, width)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: 0.1,
                })
                .init(device),
            dropout: DropoutConfig::new(DROPOUT).init(),
            layer: Recurrent::new(cell, width, width, device),
            scores: LinearConfig::new(width, shape.classes).init(device),
        }
    }
}

impl Network for TextRnn {
    type Input = Tokens;

    fn forward(&self, texts: Tokens) -> Tensor<2> {
        let x = self.dropout.forward(self.tokens.forward(texts.ids.clone()));
        let mean = texts.mean(self.layer.each(x));
        self.scores.forward(self.dropout.forward(mean))
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let [ids, mask] = Tokens::drawn(inputs);
        let x = graph.embedding(ids, &self.tokens);
        let states = self.layer.draw(graph, &x, States::Each);
        let present = graph.float_of(mask);
        let mean = graph.masked_mean(&states, &present);
        graph.linear(&mean, &self.scores)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.scores)
    }
}

/// Series: the mean of the states after each row; a score a class.
#[derive(Module, Debug)]
pub struct SeriesRnn {
    layer: Recurrent,
    scores: Linear,
    length: usize,
}

/// What a network that names series is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelledSeriesShape {
    /// Rows that are seen.
    pub length: usize,
    /// Columns that are seen.
    pub columns: usize,
    /// How many classes there are.
    pub classes: usize,
}

impl SeriesRnn {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: LabelledSeriesShape, cell: Cell, width: usize, device: &Device) -> Self {
        Self {
            layer: Recurrent::new(cell, shape.columns, width, device),
            scores: LinearConfig::new(width, shape.classes).init(device),
            length: shape.length,
        }
    }
}

impl Network for SeriesRnn {
    type Input = Tensor<3>;

    fn forward(&self, series: Tensor<3>) -> Tensor<2> {
        let mean = self.layer.each(series).mean_dim(1).squeeze_dim(1);
        self.scores.forward(mean)
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let states = self.layer.draw(graph, &inputs[0], States::Each);
        let mean = graph.mean_of_rows(&states, self.length);
        graph.linear(&mean, &self.scores)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.scores)
    }
}
