//! Meanings of texts, to be compared: texts that belong together come to lie near one another.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::encoder::Encoder;
use super::{Network, TextShape, Tokens};
use crate::export::{Graph, Value};

/// The encoder's mean over the tokens, as it is. How long a vector is has no meaning: training
/// compares directions, and serving makes it 1 long.
#[derive(Module, Debug)]
pub struct Embed {
    encoder: Encoder,
    width: usize,
}

impl Embed {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: TextShape, width: usize, device: &Device) -> Self {
        Self {
            encoder: Encoder::new(shape, width, device),
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
