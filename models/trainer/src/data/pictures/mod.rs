//! Labelled pictures.

mod augment;
mod cifar;
mod idx;
mod moments;

pub use augment::Augment;

use std::collections::HashMap;

use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_registry::Digest;
use dunlin_transforms::{Color, ImageSpec, InputSpec, Layout, PerChannel, Size};
use image::ImageDecoder as _;
use rayon::prelude::*;

use moments::Moments;

use super::dataset::{Look, Sorted};
use super::decoder::floats;
use super::folder;
use super::{Census, Content, Dataset, Decoder, Form, Found, GatherOptions, Part, Source, Task};
use crate::recipes::Shape;
use crate::{Error, ErrorKind, Result};

/// The name of the network's input.
pub const IMAGE: &str = "image";

/// So many pictures are looked at to find out size and colour.
const PROBED: usize = 100;

/// Pictures that are larger are resized to [`USUAL_SIDE`], unless somebody says otherwise.
const SMALL_SIDE: u32 = 96;
const USUAL_SIDE: usize = 224;

/// The endings of picture files, lower case.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

pub(super) fn is_picture(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default();
    ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
}

/// The form of the pictures that lie under these names.
pub(super) fn form<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> Form {
    if names.clone().any(idx::is_part) {
        Form::Idx
    } else if names.any(cifar::is_part) {
        Form::Cifar
    } else {
        Form::Folders
    }
}

impl Dataset {
    /// Reads every picture once: leaves out those that are damaged, and copies of what is held out;
    /// measures mean and deviation of the training part.
    ///
    /// `size`: height and width that pictures are resized to. Default: their own, if they are small
    /// and of one size, else 224 × 224.
    pub fn pictures(
        source: Source,
        options: &GatherOptions,
        size: Option<[usize; 2]>,
    ) -> Result<Self> {
        options.without_columns()?;
        let form = source.form();
        let census = Census {
            unit: "pictures",
            source: format!("{}, {form}", source.url()),
            ..Census::default()
        };
        let found = match form {
            Form::Idx => idx::find(&source)?,
            Form::Cifar => cifar::find(&source)?,
            _ => folder::find(&source, "pictures", is_picture)?,
        };
        let shape = probe(&source, &found, size)?;
        let decoder = plain(source, shape)?;
        let looks: Vec<(Look, Moments)> = found
            .par_iter()
            .map(|found| look(found, &decoder, shape[0]))
            .collect::<Result<_>>()?;
        let (looks, moments): (Vec<Look>, Vec<Moments>) = looks.into_iter().unzip();
        let mut of = HashMap::new();
        for (look, moments) in looks.iter().zip(moments) {
            if let Look::Sound(digest) = look {
                of.insert(*digest, moments);
            }
        }
        let parts = Sorted::sort(found, looks, census, options)?;
        let train = parts.parts[Part::Train as usize].iter();
        let (mean, std) = Moments::sum(train.map(|example| &of[&example.digest]))
            .normalization(shape[1] * shape[2]);
        let decoder = decoder.normalized(&mean, &std)?;
        Ok(Self::new(Task::ImageClassification, parts, decoder))
    }

    /// What a network for these pictures must take and give.
    ///
    /// # Panics
    /// If they are no pictures.
    pub fn shape(&self) -> Shape {
        Shape {
            picture: self.decoder.picture(),
            classes: self.labels.len(),
        }
    }
}

impl Decoder {
    /// For pictures of `[channels, height, width]`, 1 or 3 channels; each channel minus its mean,
    /// divided by its deviation.
    fn pictures(source: Source, shape: [usize; 3], mean: &[f64], std: &[f64]) -> Result<Self> {
        let [channels, height, width] = shape;
        let spec = InputSpec::Image(ImageSpec {
            tensor: Some(IMAGE.to_owned()),
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
            name: IMAGE.to_owned(),
            datatype: Datatype::Fp32,
            shape: vec![-1, channels as i64, height as i64, width as i64],
        };
        Self::new(source, spec, vec![input], None, None)
    }

    /// The same for pictures of this mean and deviation.
    fn normalized(&self, mean: &[f64], std: &[f64]) -> Result<Self> {
        Self::pictures(self.source().clone(), self.picture(), mean, std)
    }

    /// The same for pictures as they are: 0 is black, 1 is white.
    pub fn plain(&self) -> Result<Self> {
        plain(self.source().clone(), self.picture())
    }

    /// Mean and deviation of each channel, if this reads pictures.
    pub fn normalization(&self) -> Option<[&[f64]; 2]> {
        let InputSpec::Image(spec) = self.spec() else {
            return None;
        };
        match (&spec.mean, &spec.std) {
            (Some(PerChannel::Each(mean)), Some(PerChannel::Each(std))) => Some([mean, std]),
            _ => None,
        }
    }

    /// Channels, height and width.
    fn picture(&self) -> [usize; 3] {
        let shape = &self.metadata()[0].shape;
        [1, 2, 3].map(|at| shape[at] as usize)
    }
}

fn plain(source: Source, shape: [usize; 3]) -> Result<Decoder> {
    let channels = shape[0];
    Decoder::pictures(source, shape, &vec![0.0; channels], &vec![1.0; channels])
}

/// Fails only if the store does.
fn look(found: &Found, decoder: &Decoder, channels: usize) -> Result<(Look, Moments)> {
    let damaged = |error: Error| (Look::Damaged(error.chain()), Moments::default());
    let file = match decoder.bytes(&found.content) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::Store => return Err(error),
        Err(error) => return Ok(damaged(error)),
    };
    let picture = match decoder.decode(&file).and_then(|inputs| floats(&inputs)) {
        Ok(picture) => picture,
        Err(error) => return Ok(damaged(error)),
    };
    let digest = match found.content {
        Content::Held(_, digest) => digest,
        _ => Digest::of(&file),
    };
    Ok((Look::Sound(digest), Moments::of(&picture, channels)))
}

/// Channels, height and width, by what the first pictures are.
fn probe(source: &Source, found: &[Found], size: Option<[usize; 2]>) -> Result<[usize; 3]> {
    let step = (found.len() / PROBED).max(1);
    let mut seen: Option<([u32; 2], bool, bool)> = None;
    for found in found.iter().step_by(step).take(PROBED) {
        let file = match &found.content {
            Content::Held(file, _) => file.clone(),
            Content::Stored(key) => source.read(key)?,
            Content::Rows(_) | Content::Pair(..) => continue,
        };
        let reader = image::ImageReader::new(std::io::Cursor::new(&file)).with_guessed_format();
        let Ok(Ok(decoder)) = reader.map(image::ImageReader::into_decoder) else {
            continue;
        };
        let (width, height) = decoder.dimensions();
        let grey = !decoder.color_type().has_color();
        let (first, same, all_grey) = seen.unwrap_or(([height, width], true, true));
        seen = Some((first, same && first == [height, width], all_grey && grey));
    }
    let Some((first, same, grey)) = seen else {
        return Err(Error::data("none of the first pictures can be read"));
    };
    let own = (same && first.iter().all(|&side| side <= SMALL_SIDE)).then_some(first);
    let [height, width] = size
        .or(own.map(|own| own.map(|side| side as usize)))
        .unwrap_or([USUAL_SIDE; 2]);
    if height.min(width) < Shape::MIN_SIDE {
        return Err(Error::usage(format!(
            "pictures of {height}×{width} are too small: no side may be shorter than {}; --size resizes them",
            Shape::MIN_SIDE
        )));
    }
    Ok([if grey { 1 } else { 3 }, height, width])
}
