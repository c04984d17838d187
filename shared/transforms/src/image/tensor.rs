//! Pixels to tensors: one look into a table a value.

use dunlin_protocol::{Datatype, Element, Tensor};
use half::{bf16, f16};

use super::Picture;
use crate::{Color, Error, Layout, Result};

/// Writes pictures of one size into tensors of one shape.
#[derive(Debug)]
pub(super) struct Writer {
    shape: Vec<usize>,
    layout: Layout,
    color: Color,
    tables: Tables,
}

/// The tensor's value for each pixel value, a table a channel.
#[derive(Debug)]
enum Tables {
    Uint8,
    Fp16(Vec<[f16; 256]>),
    Bf16(Vec<[bf16; 256]>),
    Fp32(Vec<[f32; 256]>),
    Fp64(Vec<[f64; 256]>),
}

/// `(pixel * scale - mean) / std`, the latter two for each channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Normalization {
    pub(super) scale: f64,
    pub(super) mean: Vec<f64>,
    pub(super) std: Vec<f64>,
}

impl Normalization {
    fn tables<T: Copy + Default>(&self, cast: impl Fn(f64) -> T) -> Vec<[T; 256]> {
        let channel = |(&mean, &std): (&f64, &f64)| {
            std::array::from_fn(|pixel| cast((pixel as f64 * self.scale - mean) / std))
        };
        self.mean.iter().zip(&self.std).map(channel).collect()
    }
}

impl Writer {
    /// `shape` is that of one picture: its batch dimension, if there is one, is 1.
    pub(super) fn new(
        datatype: Datatype,
        shape: Vec<usize>,
        layout: Layout,
        color: Color,
        normalization: &Normalization,
    ) -> Result<Self> {
        let tables = match datatype {
            Datatype::Uint8 => Tables::Uint8,
            Datatype::Fp16 => Tables::Fp16(normalization.tables(f16::from_f64)),
            Datatype::Bf16 => Tables::Bf16(normalization.tables(bf16::from_f64)),
            Datatype::Fp32 => Tables::Fp32(normalization.tables(|value| value as f32)),
            Datatype::Fp64 => Tables::Fp64(normalization.tables(|value| value)),
            other => {
                return Err(Error::spec(format!(
                    "a picture fills an input of UINT8, FP16, BF16, FP32 or FP64; \
                     the model's is {other}"
                )));
            }
        };
        Ok(Self {
            shape,
            layout,
            color,
            tables,
        })
    }

    pub(super) fn write(&self, picture: &Picture) -> Result<Tensor> {
        match &self.tables {
            Tables::Uint8 => self.fill(picture, |_, pixel| pixel),
            Tables::Fp16(tables) => self.fill(picture, |at, pixel| tables[at][usize::from(pixel)]),
            Tables::Bf16(tables) => self.fill(picture, |at, pixel| tables[at][usize::from(pixel)]),
            Tables::Fp32(tables) => self.fill(picture, |at, pixel| tables[at][usize::from(pixel)]),
            Tables::Fp64(tables) => self.fill(picture, |at, pixel| tables[at][usize::from(pixel)]),
        }
    }

    fn fill<T: Element>(
        &self,
        picture: &Picture,
        value: impl Fn(usize, u8) -> T,
    ) -> Result<Tensor> {
        let pixels = picture.pixels.chunks_exact(picture.channels);
        // Where each of the tensor's channels lies in a pixel.
        let offsets: &[usize] = match (self.color, picture.channels) {
            (Color::Grey, _) => &[0],
            (_, 1) => &[0, 0, 0],
            (Color::Rgb, _) => &[0, 1, 2],
            (Color::Bgr, _) => &[2, 1, 0],
        };
        let mut values = Vec::with_capacity(pixels.len() * offsets.len());
        match self.layout {
            Layout::Nchw => {
                for (channel, &offset) in offsets.iter().enumerate() {
                    values.extend(pixels.clone().map(|pixel| value(channel, pixel[offset])));
                }
            }
            Layout::Nhwc => {
                for pixel in pixels {
                    let channels = offsets.iter().enumerate();
                    values.extend(channels.map(|(channel, &at)| value(channel, pixel[at])));
                }
            }
        }
        Tensor::from_vec(self.shape.clone(), values)
            .map_err(|error| Error::input("the picture does not fill the tensor").because(error))
    }
}
