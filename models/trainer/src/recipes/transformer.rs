//! A small encoder for texts (Vaswani et al., "Attention Is All You Need", 2017; layers normalized
//! before, not after: Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020).

use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig,
    Linear, LinearConfig,
};
use burn::tensor::{Device, Tensor};

use super::{Network, Tokens};
use crate::export::{Graph, Value};

/// Layers of the encoder.
const LAYERS: usize = 2;

/// Units of the layer inside each, in widths.
const INNER: usize = 4;

/// Numbers that a head looks at.
const HEAD: usize = 16;

/// Share of the numbers that training leaves out, at both ends. Inside the encoder it would cost more
/// than all the rest: as many random numbers as there are pairs of tokens.
const DROPOUT: f64 = 0.2;

/// Tokens and their places become vectors; encoder layers; the mean over the tokens; a score a class.
#[derive(Module, Debug)]
pub struct Transformer {
    tokens: Embedding,
    places: Embedding,
    dropout: Dropout,
    encoder: TransformerEncoder,
    norm: LayerNorm,
    scores: Linear,
}

/// What a network for texts is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextShape {
    /// Different tokens.
    pub vocabulary: usize,
    /// Tokens of the longest text.
    pub length: usize,
    /// How many classes there are.
    pub classes: usize,
}

impl Transformer {
    /// Fresh weights, drawn from the device's random numbers. Of a width that no head divides, there
    /// is one head.
    pub fn new(shape: TextShape, width: usize, device: &Device) -> Self {
        let heads = if width.is_multiple_of(HEAD) {
            width / HEAD
        } else {
            1
        };
        let embedding = |count: usize| {
            EmbeddingConfig::new(count, width)
                .with_initializer(Initializer::Normal {
                    mean: 0.0,
                    std: 0.1,
                })
                .init(device)
        };
        Self {
            tokens: embedding(shape.vocabulary),
            places: embedding(shape.length),
            dropout: DropoutConfig::new(DROPOUT).init(),
            encoder: TransformerEncoderConfig::new(width, INNER * width, heads, LAYERS)
                .with_norm_first(true)
                .with_dropout(0.0)
                .init(device),
            norm: LayerNormConfig::new(width).init(device),
            scores: LinearConfig::new(width, shape.classes).init(device),
        }
    }
}

impl Network for Transformer {
    type Input = Tokens;

    fn forward(&self, Tokens { ids, padding }: Tokens) -> Tensor<2> {
        let [_, length] = ids.dims();
        let places = self.places.weight.val().slice_dim(0, 0..length).unsqueeze();
        let x = self.dropout.forward(self.tokens.forward(ids) + places);
        let input = TransformerEncoderInput::new(x).mask_pad(padding.clone());
        let x = self.norm.forward(self.encoder.forward(input));
        let present: Tensor<3> = padding.bool_not().float().unsqueeze_dim(2);
        let mean = (x * present.clone()).sum_dim(1) / present.sum_dim(1);
        self.scores
            .forward(self.dropout.forward(mean).flatten(1, 2))
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let [ids, mask] = inputs else {
            panic!("tokens are two inputs, not {}", inputs.len());
        };
        let x = graph.embedding(ids, &self.tokens);
        let places = graph.places(ids, &self.places);
        let x = graph.add(&x, &places);
        let present = graph.float_of(mask);
        let x = graph.encoder(&x, &present, &self.encoder);
        let x = graph.layer_norm(&x, &self.norm);
        let mean = graph.masked_mean(&x, &present);
        graph.linear(&mean, &self.scores)
    }
}
