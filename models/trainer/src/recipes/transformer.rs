//! Classes of texts.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::encoder::{DROPOUT, Encoder};
use super::{Network, Tokens, outputs_of};
use crate::export::{Graph, Value};

/// The deviation of fresh vectors of tokens.
const TOKENS: f64 = 0.1;

/// The encoder's mean over the tokens; a score a class.
#[derive(Module, Debug)]
pub struct Transformer {
    encoder: Encoder,
    dropout: Dropout,
    scores: Linear,
}

/// What a network for texts is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextShape {
    /// Different tokens.
    pub vocabulary: usize,
    /// Tokens of the longest text.
    pub length: usize,
    /// How many classes there are; none where meanings are compared.
    pub classes: usize,
}

impl Transformer {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: TextShape, width: usize, device: &Device) -> Self {
        Self {
            encoder: Encoder::new(shape, width, TOKENS, device),
            dropout: DropoutConfig::new(DROPOUT).init(),
            scores: LinearConfig::new(width, shape.classes).init(device),
        }
    }
}

impl Network for Transformer {
    type Input = Tokens;

    fn forward(&self, texts: Tokens) -> Tensor<2> {
        let mean = self.encoder.forward(texts);
        self.scores.forward(self.dropout.forward(mean))
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let mean = self.encoder.draw(graph, inputs);
        graph.linear(&mean, &self.scores)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.scores)
    }
}
