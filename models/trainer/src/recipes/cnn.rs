//! The network that Dunlin began with: Conv32-pool-Conv64-pool-Conv128-pool-Dense512.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{Network, Shape, outputs_of};
use crate::export::{Graph, Value};

/// Filters of each convolution, in widths: 32, 64 and 128 by default.
const FILTERS: [usize; 3] = [1, 2, 4];

/// Units of the dense layer, in widths: 512 by default.
const DENSE: usize = 16;

/// Three times convolution 3×3, `ReLU`, max-pool 2×2; then a dense layer and one score a class.
#[derive(Module, Debug)]
pub struct Cnn {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    dense: Linear,
    scores: Linear,
}

impl Cnn {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: Shape, width: usize, device: &Device) -> Self {
        let [channels, rows, columns] = shape.picture;
        let mut convolutions = Vec::new();
        let mut before = channels;
        for filters in FILTERS.map(|widths| widths * width) {
            let convolution = Conv2dConfig::new([before, filters], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
            convolutions.push(convolution.init(device));
            before = filters;
        }
        // Each pool halves, rounding down.
        let halvings = FILTERS.len();
        let flat = before * (rows >> halvings) * (columns >> halvings);
        Self {
            convolutions,
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dense: LinearConfig::new(flat, DENSE * width).init(device),
            scores: LinearConfig::new(DENSE * width, shape.classes).init(device),
        }
    }
}

impl Network for Cnn {
    type Input = Tensor<4>;

    fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let mut x = pictures;
        for convolution in &self.convolutions {
            x = self.pool.forward(relu(convolution.forward(x)));
        }
        let x = relu(self.dense.forward(x.flatten(1, 3)));
        self.scores.forward(x)
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let mut x = inputs[0].clone();
        for convolution in &self.convolutions {
            x = graph.conv2d(&x, convolution);
            x = graph.relu(&x);
            x = graph.max_pool2d(&x, &self.pool);
        }
        let x = graph.flatten(&x);
        let x = graph.linear(&x, &self.dense);
        let x = graph.relu(&x);
        graph.linear(&x, &self.scores)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.scores)
    }
}
