//! A small encoder of texts (Vaswani et al., "Attention Is All You Need", 2017; layers normalized
//! before, not after: Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020).

use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{
    Dropout, DropoutConfig, Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig,
};
use burn::tensor::{Device, Tensor};

use super::{TextShape, Tokens};
use crate::export::{Graph, Value};

/// Layers of the encoder.
const LAYERS: usize = 2;

/// Units of the layer inside each, in widths.
const INNER: usize = 4;

/// Numbers that a head looks at.
const HEAD: usize = 16;

/// Share of the numbers that training leaves out where tokens come in. Inside the encoder it would cost
/// more than all the rest: as many random numbers as there are pairs of tokens.
pub(super) const DROPOUT: f64 = 0.2;

/// The deviation of fresh vectors of places.
const PLACES: f64 = 0.1;

/// Tokens and their places become vectors; encoder layers; the mean over the tokens.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    tokens: Embedding,
    places: Embedding,
    dropout: Dropout,
    layers: TransformerEncoder,
    norm: LayerNorm,
}

impl Encoder {
    /// Fresh weights; `std` is the deviation of the tokens' vectors. Of a width that no head divides,
    /// there is one head.
    pub(super) fn new(shape: TextShape, width: usize, std: f64, device: &Device) -> Self {
        let heads = if width.is_multiple_of(HEAD) {
            width / HEAD
        } else {
            1
        };
        let embedding = |count: usize, std: f64| {
            EmbeddingConfig::new(count, width)
                .with_initializer(Initializer::Normal { mean: 0.0, std })
                .init(device)
        };
        Self {
            tokens: embedding(shape.vocabulary, std),
            places: embedding(shape.length, PLACES),
            dropout: DropoutConfig::new(DROPOUT).init(),
            layers: TransformerEncoderConfig::new(width, INNER * width, heads, LAYERS)
                .with_norm_first(true)
                .with_dropout(0.0)
                .init(device),
            norm: LayerNormConfig::new(width).init(device),
        }
    }

    /// To `[batch, width]`.
    pub(super) fn forward(&self, texts: Tokens) -> Tensor<2> {
        let [_, length] = texts.ids.dims();
        let places = self.places.weight.val().slice_dim(0, 0..length).unsqueeze();
        let x = self
            .dropout
            .forward(self.tokens.forward(texts.ids.clone()) + places);
        let input = TransformerEncoderInput::new(x).mask_pad(texts.padding.clone());
        texts.mean(self.norm.forward(self.layers.forward(input)))
    }

    /// The same, in ONNX's words.
    pub(super) fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let [ids, mask] = Tokens::drawn(inputs);
        let x = graph.embedding(ids, &self.tokens);
        let places = graph.places(ids, &self.places);
        let x = graph.add(&x, &places);
        let present = graph.float_of(mask);
        let x = graph.encoder(&x, &present, &self.layers);
        let x = graph.layer_norm(&x, &self.norm);
        graph.masked_mean(&x, &present)
    }
}
