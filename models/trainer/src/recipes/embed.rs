//! Meanings of texts, to be compared: texts that belong together come to lie near one another.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::encoder::Encoder;
use super::{Network, TextShape, Tokens};
use crate::export::{Graph, Value};

/// The deviation of fresh vectors of tokens: so large that, before anything is learned, texts are near
/// one another if they have tokens in common.
const TOKENS: f64 = 1.0;

/// The encoder's mean over the tokens, as it is. Nothing of it is left out in training: cosines are
/// divided by so small a temperature that the noise would drown them, and all texts would come to lie
/// in one place. How long a vector is has no meaning: training compares directions, and serving makes
/// it 1 long.
#[derive(Module, Debug)]
pub struct Embed {
    encoder: Encoder,
    width: usize,
}

impl Embed {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: TextShape, width: usize, device: &Device) -> Self {
        Self {
            encoder: Encoder::new(shape, width, TOKENS, device),
            width,
        }
    }
}

impl Network for Embed {
    type Input = Tokens;

    fn forward(&self, texts: Tokens) -> Tensor<2> {
        self.encoder.forward(texts)
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        self.encoder.draw(graph, inputs)
    }

    fn outputs(&self) -> usize {
        self.width
    }
}
