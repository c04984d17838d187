//! A small residual network (He et al., "Deep Residual Learning for Image Recognition", 2015).

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{Network, Shape, outputs_of};
use crate::export::{Graph, Value};

/// Channels of each stage, in widths: 32, 64 and 96 by default. The stem has one width.
const STAGES: [usize; 3] = [2, 4, 6];

/// A stem, one residual block a stage, the mean over the picture, one score a class.
#[derive(Module, Debug)]
pub struct Resnet {
    stem: Normed,
    blocks: Vec<Block>,
    scores: Linear,
}

impl Resnet {
    /// Fresh weights, drawn from the device's random numbers.
    pub fn new(shape: Shape, width: usize, device: &Device) -> Self {
        let mut before = width;
        let mut blocks = Vec::new();
        for channels in STAGES.map(|widths| widths * width) {
            blocks.push(Block::new(before, channels, device));
            before = channels;
        }
        Self {
            stem: Normed::new([shape.picture[0], width], 3, 1, device),
            blocks,
            scores: LinearConfig::new(before, shape.classes).init(device),
        }
    }
}

impl Network for Resnet {
    type Input = Tensor<4>;

    fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.stem.forward(pictures));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = x.mean_dim(2).mean_dim(3).flatten(1, 3);
        self.scores.forward(x)
    }

    fn draw(&self, graph: &mut Graph, inputs: &[Value]) -> Value {
        let x = self.stem.draw(graph, &inputs[0]);
        let mut x = graph.relu(&x);
        for block in &self.blocks {
            x = block.draw(graph, &x);
        }
        let x = graph.global_average_pool(&x);
        let x = graph.flatten(&x);
        graph.linear(&x, &self.scores)
    }

    fn outputs(&self) -> usize {
        outputs_of(&self.scores)
    }
}

/// Two convolutions 3×3 beside a shortcut of one 1×1; all halve the picture once.
#[derive(Module, Debug)]
struct Block {
    first: Normed,
    second: Normed,
    shortcut: Normed,
}

impl Block {
    fn new(before: usize, channels: usize, device: &Device) -> Self {
        Self {
            first: Normed::new([before, channels], 3, 2, device),
            second: Normed::new([channels, channels], 3, 1, device),
            shortcut: Normed::new([before, channels], 1, 2, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = self.shortcut.forward(x.clone());
        let x = relu(self.first.forward(x));
        relu(self.second.forward(x) + shortcut)
    }

    fn draw(&self, graph: &mut Graph, x: &Value) -> Value {
        let shortcut = self.shortcut.draw(graph, x);
        let x = self.first.draw(graph, x);
        let x = graph.relu(&x);
        let x = self.second.draw(graph, &x);
        let x = graph.add(&x, &shortcut);
        graph.relu(&x)
    }
}

/// A convolution without bias, and the normalization that has one.
#[derive(Module, Debug)]
struct Normed {
    convolution: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let pad = kernel / 2;
        Self {
            convolution: Conv2dConfig::new(channels, [kernel, kernel])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(channels[1]).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.convolution.forward(x))
    }

    fn draw(&self, graph: &mut Graph, x: &Value) -> Value {
        let x = graph.conv2d(x, &self.convolution);
        graph.batch_norm(&x, &self.norm)
    }
}
