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

/// The `[input]` table: what a body is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum InputSpec {
    /// An inference request of the Open Inference Protocol v2.
    Tensor {},
    /// A picture: JPEG, PNG, WebP, GIF or BMP.
    Image(ImageSpec),
    /// Text: UTF-8, or JSON with texts in it.
    Text(TextSpec),
    /// Numbers over time: CSV, or JSON with rows in it.
    Series(SeriesSpec),
}

/// The options of `[input]` with `kind = "image"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
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

/// The options of `[input]` with `kind = "text"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// The model's input for the ids of tokens. Default: `input_ids`, else its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The tokenizer's file beside `model.toml`. Default: [`TextSpec::TOKENIZER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Tokens after which a text is cut. Default: the model's length, where its shape is concrete,
    /// else what the tokenizer's file says, else 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

/// The options of `[input]` with `kind = "series"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesSpec {
    /// The model's input to fill. Default: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The columns of a CSV file, by their names in its first row. Default: all that hold numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The window: so many rows, the last ones. Default: the model's, where its shape is concrete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Subtracted, in the order of the columns. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<PerChannel>,
    /// Divides what is left after `mean`. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<PerChannel>,
}

impl TextSpec {
    /// The tokenizer's file, where the declaration names none.
    pub const TOKENIZER: &str = "tokenizer.json";

    /// The tokenizer's file.
    pub fn tokenizer_file(&self) -> &str {
        self.tokenizer.as_deref().unwrap_or(Self::TOKENIZER)
    }
}

/// The `[output]` table: what the outputs become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OutputSpec {
    /// They stay tensors.
    Tensor {},
    /// Classes with their scores, best first.
    Classification(ClassificationSpec),
    /// A list of numbers that stands for the input's meaning.
    Embedding(EmbeddingSpec),
    /// The numbers that come next in a series.
    Forecast(ForecastSpec),
}

/// The options of `[output]` with `kind = "classification"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationSpec {
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

/// The options of `[output]` with `kind = "embedding"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingSpec {
    /// The model's output to read. Default: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// How a vector a token becomes one vector. Default: mean for an output of rank 3, none for
    /// rank 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Whether vectors are made 1 long. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
}

/// The options of `[output]` with `kind = "forecast"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastSpec {
    /// The model's output to read. Default: its only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// Added after `std`, in the order of the output's columns. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<PerChannel>,
    /// What values are multiplied by. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<PerChannel>,
    /// What is measured, for people: `°F`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What one step is, for people: `hour`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// How a vector a token becomes one vector a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the text's own tokens; padding has no part in it.
    Mean,
    /// The first token's.
    Cls,
    /// The output is one vector a text already.
    None,
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

/// One value for all channels or columns, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number, or a list with one number a channel or column"
)]
pub enum PerChannel {
    /// The same for every one.
    All(f64),
    /// In the tensor's order.
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
