//! Layers for texts and series: what is computed along a sequence.

use burn::module::Param;
use burn::nn::attention::MultiHeadAttention;
use burn::nn::transformer::{TransformerEncoder, TransformerEncoderLayer};
use burn::nn::{Embedding, LayerNorm, Linear};
use burn::tensor::Tensor;
use tract_onnx::pb::AttributeProto;

use super::graph::{Graph, Value, int, ints};

/// Which states of a recurrent layer are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// That after the last row: `[batch, width]`.
    Last,
    /// That after each row: `[batch, length, width]`.
    Each,
}

impl Graph {
    /// `[batch, tokens]`, whole numbers, to `[batch, tokens, width]`.
    pub fn embedding(&mut self, ids: &Value, layer: &Embedding) -> Value {
        let weight = self.weight(layer.weight.val());
        self.node("Gather", &[&weight, ids], vec![int("axis", 0)])
    }

    /// The vectors of the first places, as many as there are tokens: `[tokens, width]`.
    pub fn places(&mut self, ids: &Value, layer: &Embedding) -> Value {
        let weight = self.weight(layer.weight.val());
        let shape = self.node("Shape", &[ids], Vec::new());
        let [zero, one, two] = [0, 1, 2].map(|number| self.whole(&[number]));
        let length = self.node("Slice", &[&shape, &one, &two], Vec::new());
        self.node("Slice", &[&weight, &zero, &length, &zero], Vec::new())
    }

    /// Normalizes along the last dimension, with the epsilon that is ONNX's default and Burn's.
    pub fn layer_norm(&mut self, x: &Value, layer: &LayerNorm) -> Value {
        let mut inputs = vec![x.clone(), self.weight(layer.gamma.val())];
        if let Some(beta) = &layer.beta {
            inputs.push(self.weight(beta.val()));
        }
        let inputs: Vec<&Value> = inputs.iter().collect();
        self.node("LayerNormalization", &inputs, vec![int("axis", -1)])
    }

    /// `[…, in]` to `[…, out]`.
    pub fn dense(&mut self, x: &Value, layer: &Linear) -> Value {
        let weight = self.weight(layer.weight.val());
        let product = self.node("MatMul", &[x, &weight], Vec::new());
        match &layer.bias {
            Some(bias) => {
                let bias = self.weight(bias.val());
                self.add(&product, &bias)
            }
            None => product,
        }
    }

    /// The exact form, `x / 2 × (1 + erf(x / √2))`: the operator set has no operator for it yet.
    pub fn gelu(&mut self, x: &Value) -> Value {
        let inner = self.scale(x, std::f64::consts::FRAC_1_SQRT_2);
        let erf = self.node("Erf", &[&inner], Vec::new());
        let one = self.number(1.0);
        let erf = self.add(&erf, &one);
        let half = self.scale(x, 0.5);
        self.multiply(&half, &erf)
    }

    /// `[batch, tokens, width]` to the same; `present` is 1 for a token, 0 for padding.
    pub fn encoder(&mut self, x: &Value, present: &Value, encoder: &TransformerEncoder) -> Value {
        let absent = self.number(1.0);
        let absent = self.subtract(present, &absent);
        // What padding is given by Burn: so low that softmax makes 0 of it.
        let low = encoder
            .layers
            .first()
            .map_or(0.0, |layer| layer.mha.min_float);
        let low = self.scale(&absent, -low);
        let axes = self.whole(&[1, 2]);
        let low = self.node("Unsqueeze", &[&low, &axes], Vec::new());
        let mut x = x.clone();
        for layer in &encoder.layers {
            x = self.encoder_layer(&x, &low, layer);
        }
        x
    }

    /// Burn calls the normalization before the attention `norm_2`, that before the layers `norm_1`.
    fn encoder_layer(&mut self, x: &Value, low: &Value, layer: &TransformerEncoderLayer) -> Value {
        assert!(
            layer.norm_first,
            "layers that normalize afterwards are not drawn"
        );
        let normed = self.layer_norm(x, &layer.norm_2);
        let attended = self.attention(&normed, low, &layer.mha);
        let x = self.add(x, &attended);
        let normed = self.layer_norm(&x, &layer.norm_1);
        let inner = self.dense(&normed, &layer.pwff.linear_inner);
        let inner = self.gelu(&inner);
        let outer = self.dense(&inner, &layer.pwff.linear_outer);
        self.add(&x, &outer)
    }

    /// Each token looks at all others; `low` is added to the scores, `[batch, 1, 1, tokens]`.
    fn attention(&mut self, x: &Value, low: &Value, layer: &MultiHeadAttention) -> Value {
        let heads = |graph: &mut Self, linear: &Linear, order: [usize; 4]| {
            let x = graph.dense(x, linear);
            // 0: as it was.
            let shape = graph.whole(&[0, 0, layer.n_heads as i64, layer.d_k as i64]);
            let x = graph.node("Reshape", &[&x, &shape], Vec::new());
            graph.node("Transpose", &[&x], vec![ints("perm", order)])
        };
        let query = heads(self, &layer.query, [0, 2, 1, 3]);
        let key = heads(self, &layer.key, [0, 2, 3, 1]);
        let value = heads(self, &layer.value, [0, 2, 1, 3]);
        let scores = self.node("MatMul", &[&query, &key], Vec::new());
        let scores = self.scale(&scores, 1.0 / (layer.d_k as f64).sqrt());
        let scores = self.add(&scores, low);
        let weights = self.node("Softmax", &[&scores], vec![int("axis", -1)]);
        let context = self.node("MatMul", &[&weights, &value], Vec::new());
        let context = self.node("Transpose", &[&context], vec![ints("perm", [0, 2, 1, 3])]);
        let shape = self.whole(&[0, 0, layer.d_model as i64]);
        let context = self.node("Reshape", &[&context, &shape], Vec::new());
        self.dense(&context, &layer.output)
    }

    /// `[batch, tokens, width]` to `[batch, width]`: the mean over what is present.
    pub fn masked_mean(&mut self, x: &Value, present: &Value) -> Value {
        let [one, two] = [1, 2].map(|axis| self.whole(&[axis]));
        let present = self.node("Unsqueeze", &[present, &two], Vec::new());
        let x = self.multiply(x, &present);
        let sum = self.node("ReduceSum", &[&x, &one], vec![int("keepdims", 0)]);
        let count = self.node("ReduceSum", &[&present, &one], vec![int("keepdims", 0)]);
        self.node("Div", &[&sum, &count], Vec::new())
    }

    /// `[batch, length, in]` to states. The gates stand side by side: update, reset, new.
    pub fn gru(&mut self, x: &Value, input: &Linear, hidden: &Linear, states: States) -> Value {
        let [width, _] = hidden.weight.dims();
        let begin = self.nothing(x, width);
        let reset = vec![int("linear_before_reset", 1)];
        self.recurrent("GRU", x, [input, hidden], &[&begin], reset, states)
    }

    /// `[batch, length, in]` to states. The gates stand side by side: input, output, forget, new.
    pub fn lstm(&mut self, x: &Value, input: &Linear, hidden: &Linear, states: States) -> Value {
        let [width, _] = hidden.weight.dims();
        let begin = self.nothing(x, width);
        self.recurrent("LSTM", x, [input, hidden], &[&begin; 2], Vec::new(), states)
    }

    fn recurrent(
        &mut self,
        op: &str,
        x: &Value,
        layers: [&Linear; 2],
        begin: &[&Value],
        mut attributes: Vec<AttributeProto>,
        states: States,
    ) -> Value {
        let [width, gates] = layers[1].weight.dims();
        let [mut of_input, of_hidden] = layers.map(|linear| linear.weight.val());
        let mut x = x.clone();
        if of_input.dims()[0] == 1 {
            // Of rows of one number the engine's GRU fails ("xw not contiguous"): there are two, the
            // second without weight.
            x = self.concat(&[&x, &x], 2);
            of_input = Tensor::cat(vec![of_input.clone(), of_input.zeros_like()], 0);
        }
        let rows = self.node("Transpose", &[&x], vec![ints("perm", [1, 0, 2])]);
        let [of_input, of_hidden] =
            [of_input, of_hidden].map(|weight| self.weight::<3>(weight.transpose().unsqueeze()));
        let bias = |linear: &Linear| {
            let none = || Tensor::zeros([gates], &linear.weight.val().device());
            linear.bias.as_ref().map_or_else(none, Param::val)
        };
        let biases = self.weight::<2>(Tensor::cat(layers.map(bias).to_vec(), 0).unsqueeze());
        let lengths = Value::absent();
        let inputs = [&rows, &of_input, &of_hidden, &biases, &lengths];
        let inputs: Vec<&Value> = inputs.into_iter().chain(begin.iter().copied()).collect();
        attributes.push(int("hidden_size", width as i64));
        match states {
            States::Each => {
                // `[length, 1, batch, width]`
                let each = self.node(op, &inputs, attributes);
                let one = self.whole(&[1]);
                let each = self.node("Squeeze", &[&each, &one], Vec::new());
                self.node("Transpose", &[&each], vec![ints("perm", [1, 0, 2])])
            }
            States::Last => {
                let last = self.node_with_output(1, op, &inputs, attributes);
                let zero = self.whole(&[0]);
                self.node("Squeeze", &[&last, &zero], Vec::new())
            }
        }
    }

    /// The state to begin with, `[1, batch, width]`: without one, the engine does not know the batch's
    /// size.
    fn nothing(&mut self, x: &Value, width: usize) -> Value {
        let shape = self.node("Shape", &[x], Vec::new());
        let [zero, one] = [0, 1].map(|number| self.whole(&[number]));
        let batch = self.node("Slice", &[&shape, &zero, &one], Vec::new());
        let size = self.whole(&[width as i64]);
        let shape = self.node("Concat", &[&one, &batch, &size], vec![int("axis", 0)]);
        let nothing = self.number(0.0);
        self.node("Expand", &[&nothing, &shape], Vec::new())
    }

    /// `[batch, length, width]` to `[batch, width]`: the mean over so many rows.
    pub fn mean_of_rows(&mut self, x: &Value, length: usize) -> Value {
        let one = self.whole(&[1]);
        let sum = self.node("ReduceSum", &[x, &one], vec![int("keepdims", 0)]);
        self.scale(&sum, 1.0 / length as f64)
    }
}
