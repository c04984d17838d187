//! The declaration: what `model.toml` and a manifest's `transforms` say.
//!
//! These types hold what was written, no more. [`Pipeline::new`](crate::Pipeline::new) fills in
//! defaults and finds contradictions, for it knows the model.

use serde::{Deserialize, Serialize};

/// How raw bytes become the model's inputs, and how its outputs become answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// How a body becomes tensors. Absent: it holds tensors already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputSpec>,
    /// How tensors become an answer. Absent: they are the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
}

/// The `[input]` table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// What a body is.
    pub kind: InputKind,
    /// The model's input to fill. Default: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The size that a picture is resized to. Default: the model's, where its shape is concrete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How a picture of another shape meets `size`. Default: stretch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// The grey that `contain` puts around the picture, 0 to 255. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<u8>,
    /// Height and width cut from the middle after the resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<[u32; 2]>,
    /// The resampling filter. Default: bilinear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resample: Option<Resample>,
    /// The channels of the tensor. Default: rgb, or grey where the model takes one channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// What a pixel of 0 to 255 is multiplied by. Default: 1/255; for a UINT8 input 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Subtracted after `scale`, in the order of the tensor's channels. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<PerChannel>,
    /// Divides what is left after `mean`. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<PerChannel>,
    /// The order of the tensor's dimensions. Default: nchw, or nhwc where only that fits the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
}

/// The `[output]` table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// What the outputs become.
    pub kind: OutputKind,
    /// The model's output to read. Default: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// What is done to the scores first. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// The most classes in an answer. Default: 5; with `sigmoid` all above the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Classes that score lower are left out. Default: 0.5 with `sigmoid`, else there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// An inference request of the Open Inference Protocol v2.
    #[default]
    Tensor,
    /// A picture: JPEG, PNG, WebP, GIF or BMP.
    Image,
}

/// What the outputs become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// They stay tensors.
    #[default]
    Tensor,
    /// Classes with their scores, best first.
    Classification,
}

/// The size that a picture is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`size` is `[height, width]`, or one number for the shorter side (then `crop` is needed)"
)]
pub enum Size {
    /// Height and width.
    Exact([u32; 2]),
    /// The shorter side; the longer one follows the picture.
    Shorter(u32),
}

/// One value for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number, or a list with one number a channel"
)]
pub enum PerChannel {
    /// The same for every channel.
    All(f64),
    /// In the order of the tensor's channels.
    Each(Vec<f64>),
}

/// How a picture of another shape meets the wanted size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Each side by itself: Pillow's `resize`.
    #[default]
    Stretch,
    /// Fills the size, cutting what stands out evenly: Pillow's `ImageOps.fit`.
    Cover,
    /// Fits inside, with a border: Pillow's `ImageOps.pad`.
    Contain,
}

/// The resampling filter, each as Pillow has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// `Resampling.NEAREST`.
    Nearest,
    /// `Resampling.BILINEAR`.
    #[default]
    Bilinear,
    /// `Resampling.BICUBIC`.
    Bicubic,
    /// `Resampling.LANCZOS`.
    Lanczos,
}

/// The channels of a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma of ITU-R 601, as Pillow's `convert("L")`.
    Grey,
}

impl Color {
    /// How many channels these are.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// The order of a tensor's dimensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, height, width.
    #[default]
    Nchw,
    /// Batch, height, width, channel.
    Nhwc,
}

/// What is done to scores before they are ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// Probabilities that sum to 1: one class is right.
    Softmax,
    /// A probability each: any number of classes is right.
    Sigmoid,
}
