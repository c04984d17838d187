//! From a picture's file to the numbers that a network takes: the road that serving takes, too.

use bytes::Bytes;
use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_transforms::{
    Color, Files, ImageSpec, InputSpec, Layout, Limits, PerChannel, Pipeline, Size, Spec,
};

use super::source::Source;
use super::{Content, Example};
use crate::{Error, Result};

/// The name of the network's input.
pub const INPUT: &str = "image";

/// Reads pictures as the published model will.
#[derive(Debug)]
pub struct Decoder {
    source: Source,
    spec: InputSpec,
    pipeline: Pipeline,
    shape: [usize; 3],
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Decoder {
    /// For pictures of `[channels, height, width]`, 1 or 3 channels; each channel minus its mean,
    /// divided by its deviation.
    pub fn new(source: Source, shape: [usize; 3], mean: &[f64], std: &[f64]) -> Result<Self> {
        let [channels, height, width] = shape;
        let spec = InputSpec::Image(ImageSpec {
            tensor: Some(INPUT.to_owned()),
            size: Some(Size::Exact([height as u32, width as u32])),
            color: Some(if channels == 1 {
                Color::Grey
            } else {
                Color::Rgb
            }),
            scale: Some(1.0 / 255.0),
            mean: Some(PerChannel::Each(mean.to_vec())),
            std: Some(PerChannel::Each(std.to_vec())),
            layout: Some(Layout::Nchw),
            ..ImageSpec::default()
        });
        let input = TensorMetadata {
            name: INPUT.to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![-1, channels as i64, height as i64, width as i64],
        };
        let whole = Spec {
            input: Some(spec.clone()),
            output: None,
        };
        let pipeline = Pipeline::new(&whole, &[input], &[], Files::default(), Limits::default())
            .map_err(|error| {
                Error::usage(format!("pictures of {height}×{width}: {error}")).because(error)
            })?;
        Ok(Self {
            source,
            spec,
            pipeline,
            shape,
            mean: mean.to_vec(),
            std: std.to_vec(),
        })
    }

    /// The same for pictures of another mean and deviation.
    pub(super) fn normalized(self, mean: &[f64], std: &[f64]) -> Result<Self> {
        Self::new(self.source, self.shape, mean, std)
    }

    /// The same for pictures as they are: 0 is black, 1 is white.
    pub fn plain(&self) -> Result<Self> {
        let channels = self.shape[0];
        Self::new(
            self.source.clone(),
            self.shape,
            &vec![0.0; channels],
            &vec![1.0; channels],
        )
    }

    /// Another of the same.
    pub fn copy(&self) -> Result<Self> {
        Self::new(self.source.clone(), self.shape, &self.mean, &self.std)
    }

    /// Mean and deviation of each channel.
    pub fn normalization(&self) -> [&[f64]; 2] {
        [&self.mean, &self.std]
    }

    /// What `model.toml` says of the input.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The picture's file.
    pub fn file(&self, example: &Example) -> Result<Bytes> {
        self.bytes(&example.content)
    }

    /// The picture's numbers: channel by channel, row by row.
    pub fn picture(&self, example: &Example) -> Result<Vec<f32>> {
        let file = self.file(example)?;
        self.decode(&file).map_err(|error| {
            let name = &example.name;
            Error::data(format!("{name} can't be read any more")).because(error)
        })
    }

    pub(super) fn bytes(&self, content: &Content) -> Result<Bytes> {
        match content {
            Content::Held(bytes, _) => Ok(bytes.clone()),
            Content::Stored(key) => self.source.read(key),
        }
    }

    pub(super) fn decode(&self, file: &Bytes) -> Result<Vec<f32>> {
        let unread = |error: &dyn std::error::Error| Error::data(error.to_string());
        let decoded = self
            .pipeline
            .decode(file, None)
            .map_err(|error| unread(&error))?;
        decoded.inputs[0].tensor.to_vec().map_err(|error| unread(&error))
    }
}
