//! One method a layer: what Burn computes, in ONNX's words.

use std::ops::Range;

use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};

use tract_onnx::pb::tensor_proto;

use super::graph::{Graph, Value, float, int, ints};

impl Graph {
    /// `[batch, in, height, width]` to `[batch, out, height', width']`.
    ///
    /// # Panics
    /// On padding `Same` with a stride or an even kernel: its size depends on that of the picture.
    pub fn conv2d(&mut self, x: &Value, layer: &Conv2d) -> Value {
        let mut inputs = vec![x.clone(), self.weight(layer.weight.val())];
        if let Some(bias) = &layer.bias {
            inputs.push(self.weight(bias.val()));
        }
        let attributes = vec![
            ints("kernel_shape", layer.kernel_size),
            ints("strides", layer.stride),
            ints("dilations", layer.dilation),
            int("group", layer.groups as i64),
            ints(
                "pads",
                pads(&layer.padding, layer.kernel_size, layer.stride),
            ),
        ];
        self.node("Conv", &inputs.iter().collect::<Vec<_>>(), attributes)
    }

    /// `[batch, channels, height, width]` to the same, smaller.
    ///
    /// # Panics
    /// As [`conv2d`](Self::conv2d).
    pub fn max_pool2d(&mut self, x: &Value, layer: &MaxPool2d) -> Value {
        let attributes = vec![
            ints("kernel_shape", layer.kernel_size),
            ints("strides", layer.stride),
            ints("dilations", layer.dilation),
            int("ceil_mode", i64::from(layer.ceil_mode)),
            ints(
                "pads",
                pads(&layer.padding, layer.kernel_size, layer.stride),
            ),
        ];
        self.node("MaxPool", &[x], attributes)
    }

    /// Normalizes each channel (dimension 1) by its running statistics.
    pub fn batch_norm(&mut self, x: &Value, layer: &BatchNorm) -> Value {
        let gamma = self.weight(layer.gamma.val());
        let beta = self.weight(layer.beta.val());
        let mean = self.weight(layer.running_mean.value_sync());
        let variance = self.weight(layer.running_var.value_sync());
        let inputs = [x, &gamma, &beta, &mean, &variance];
        self.node(
            "BatchNormalization",
            &inputs,
            vec![float("epsilon", layer.epsilon)],
        )
    }

    /// `[batch, in]` to `[batch, out]`. Burn's weights are `[in, out]`, as `Gemm` takes them.
    pub fn linear(&mut self, x: &Value, layer: &Linear) -> Value {
        let weight = self.weight(layer.weight.val());
        match &layer.bias {
            Some(bias) => {
                let bias = self.weight(bias.val());
                self.node("Gemm", &[x, &weight, &bias], Vec::new())
            }
            None => self.node("MatMul", &[x, &weight], Vec::new()),
        }
    }

    /// Each channel (dimension 1 of 4) minus its mean, divided by its deviation.
    pub fn normalize(&mut self, x: &Value, mean: &[f64], std: &[f64]) -> Value {
        let mut constant = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            let shape = [1, values.len(), 1, 1];
            self.weight::<4>(Tensor::from_data(
                TensorData::new(values, shape),
                &Device::default(),
            ))
        };
        let (mean, std) = (constant(mean), constant(std));
        let x = self.node("Sub", &[x, &mean], Vec::new());
        self.node("Div", &[&x, &std], Vec::new())
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], Vec::new())
    }

    /// Adds two values, of one shape or of shapes that fit.
    pub fn add(&mut self, one: &Value, other: &Value) -> Value {
        self.node("Add", &[one, other], Vec::new())
    }

    /// Subtracts the other from the one.
    pub fn subtract(&mut self, one: &Value, other: &Value) -> Value {
        self.node("Sub", &[one, other], Vec::new())
    }

    /// Multiplies two values, element by element.
    pub fn multiply(&mut self, one: &Value, other: &Value) -> Value {
        self.node("Mul", &[one, other], Vec::new())
    }

    /// Multiplies by a number.
    pub fn scale(&mut self, x: &Value, factor: f64) -> Value {
        let factor = self.number(factor);
        self.multiply(x, &factor)
    }

    /// Whole numbers as FP32.
    pub fn float_of(&mut self, x: &Value) -> Value {
        let float = i64::from(tensor_proto::DataType::Float as i32);
        self.node("Cast", &[x], vec![int("to", float)])
    }

    /// A range of one dimension.
    pub fn slice(&mut self, x: &Value, dimension: usize, range: Range<usize>) -> Value {
        let [start, end, axis] =
            [range.start, range.end, dimension].map(|number| self.whole(&[number as i64]));
        self.node("Slice", &[x, &start, &end, &axis], Vec::new())
    }

    /// These places of one dimension.
    pub fn select(&mut self, x: &Value, dimension: usize, places: &[i64]) -> Value {
        let places = self.whole(places);
        self.node("Gather", &[x, &places], vec![int("axis", dimension as i64)])
    }

    /// Values side by side along one dimension.
    pub fn concat(&mut self, values: &[&Value], dimension: usize) -> Value {
        self.node("Concat", values, vec![int("axis", dimension as i64)])
    }

    /// `[batch, channels, height, width]` to `[batch, channels × height × width]`.
    pub fn flatten(&mut self, x: &Value) -> Value {
        self.node("Flatten", &[x], vec![int("axis", 1)])
    }

    /// `[batch, channels, height, width]` to `[batch, channels, 1, 1]`: the mean of each channel.
    pub fn global_average_pool(&mut self, x: &Value) -> Value {
        self.node("GlobalAveragePool", &[x], Vec::new())
    }
}

/// Top, left, bottom, right.
fn pads(padding: &PaddingConfig2d, kernel: [usize; 2], stride: [usize; 2]) -> [usize; 4] {
    match padding {
        PaddingConfig2d::Valid => [0; 4],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [*top, *left, *bottom, *right],
        PaddingConfig2d::Same => {
            let fixed = stride == [1, 1] && kernel.iter().all(|size| size % 2 == 1);
            assert!(
                fixed,
                "padding `Same` depends on the size of the picture here"
            );
            let [height, width] = kernel.map(|size| size / 2);
            [height, width, height, width]
        }
    }
}
