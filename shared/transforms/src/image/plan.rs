//! The declaration of a picture input, held against the model's input and filled in.

use bytes::Bytes;
use dunlin_protocol::{Datatype, Tensor, TensorMetadata};

use super::Picture;
use super::decode::{check_pixels, decode};
use super::fit::{Placement, center_crop, place};
use super::resize::resize;
use super::tensor::{Normalization, Writer};
use crate::scaling::Scaling;
use crate::{Color, Error, Fit, ImageSpec, Layout, Limits, Resample, Result, Size};

/// How a picture becomes the tensor of one input.
#[derive(Debug)]
pub(crate) struct ImagePlan {
    size: Size,
    fit: Fit,
    pad: u8,
    crop: Option<[u32; 2]>,
    resample: Resample,
    color: Color,
    writer: Writer,
}

/// What the model says of its input; -1 where any size goes.
struct Shape {
    batch: Option<i64>,
    channels: i64,
    height: i64,
    width: i64,
}

impl ImagePlan {
    pub(crate) fn new(spec: &ImageSpec, input: &TensorMetadata, limits: &Limits) -> Result<Self> {
        let layout = spec.layout.unwrap_or_else(|| guess_layout(input));
        let shape = Shape::of(input, layout)?;
        let color = spec.color.unwrap_or(match shape.channels {
            1 => Color::Grey,
            _ => Color::Rgb,
        });
        shape.check_channels(input, color, layout)?;
        let size = shape.size(spec.size)?;
        let [height, width] = output_size(spec, size)?;
        shape.check_size(input, [height, width])?;
        check_pixels("the size asked for is", width, height, limits)
            .map_err(|error| Error::spec(error.to_string()))?;
        let sides = [height as usize, width as usize];
        let channels = color.channels();
        let mut tensor = match layout {
            Layout::Nchw => vec![channels, sides[0], sides[1]],
            Layout::Nhwc => vec![sides[0], sides[1], channels],
        };
        if shape.batch.is_some() {
            tensor.insert(0, 1);
        }
        let normalization = normalization(spec, input.datatype, channels)?;
        Ok(Self {
            size,
            fit: spec.fit.unwrap_or_default(),
            pad: spec.pad.unwrap_or(0),
            crop: spec.crop,
            resample: spec.resample.unwrap_or_default(),
            color,
            writer: Writer::new(input.datatype, tensor, layout, color, &normalization)?,
        })
    }

    /// A picture file as the input's tensor.
    pub(crate) fn decode(&self, file: &Bytes, limits: &Limits) -> Result<Tensor> {
        let picture = decode(file, self.color == Color::Grey, limits)?;
        let placement = place([picture.width, picture.height], self.size, self.fit);
        let [width, height] = placement.resized;
        check_pixels("resized, the picture is", width, height, limits)?;
        let resized = resize(picture, placement.region, placement.resized, self.resample)?;
        let canvas = pad(resized, &placement, self.pad);
        let picture = match self.crop {
            Some([height, width]) => crop(&canvas, [width, height]),
            None => canvas,
        };
        self.writer.write(&picture)
    }
}

impl Shape {
    fn of(input: &TensorMetadata, layout: Layout) -> Result<Self> {
        let (batch, rest) = match input.shape[..] {
            [batch, a, b, c] => (Some(batch), [a, b, c]),
            [a, b, c] => (None, [a, b, c]),
            _ => {
                return Err(Error::spec(format!(
                    "input {:?} has shape {:?}; a picture needs 4 dimensions, or 3 without a batch",
                    input.name, input.shape
                )));
            }
        };
        if let Some(size) = batch
            && size > 1
        {
            return Err(Error::spec(format!(
                "input {:?} takes batches of {size}; a picture is a batch of 1 \
                 (export the model with a dynamic batch)",
                input.name
            )));
        }
        let [channels, height, width] = match layout {
            Layout::Nchw => rest,
            Layout::Nhwc => [rest[2], rest[0], rest[1]],
        };
        Ok(Self {
            batch,
            channels,
            height,
            width,
        })
    }

    fn check_channels(&self, input: &TensorMetadata, color: Color, layout: Layout) -> Result<()> {
        let wanted = color.channels();
        if self.channels < 0 || self.channels == wanted as i64 {
            return Ok(());
        }
        Err(Error::spec(format!(
            "color {color:?} has {wanted} channels, and input {:?} of shape {:?} takes {} \
             (layout {layout:?})",
            input.name, input.shape, self.channels
        )))
    }

    /// The size declared, else the model's own.
    fn size(&self, declared: Option<Size>) -> Result<Size> {
        if let Some(size) = declared {
            return Ok(size);
        }
        match (u32::try_from(self.height), u32::try_from(self.width)) {
            (Ok(height), Ok(width)) => Ok(Size::Exact([height, width])),
            _ => Err(Error::spec(
                "the model takes pictures of any size: `size = [height, width]` is needed",
            )),
        }
    }

    fn check_size(&self, input: &TensorMetadata, [height, width]: [u32; 2]) -> Result<()> {
        let fits = |declared: i64, got: u32| declared < 0 || declared == i64::from(got);
        if fits(self.height, height) && fits(self.width, width) {
            return Ok(());
        }
        Err(Error::spec(format!(
            "pictures come out {height}×{width} (height×width), and input {:?} has shape {:?}",
            input.name, input.shape
        )))
    }
}

/// NHWC where only that fits a picture, else NCHW.
fn guess_layout(input: &TensorMetadata) -> Layout {
    let picture = |channels: &i64| matches!(channels, 1 | 3);
    let any = |channels: &i64| *channels < 0;
    let rank = input.shape.len();
    let first = rank.checked_sub(3).and_then(|at| input.shape.get(at));
    let last = input.shape.last();
    match (first, last) {
        (Some(first), Some(last)) if !picture(first) && !any(first) && picture(last) => {
            Layout::Nhwc
        }
        (Some(first), Some(last)) if any(first) && picture(last) => Layout::Nhwc,
        _ => Layout::Nchw,
    }
}

/// Height and width of what comes out; an error where `size`, `fit`, `pad` and `crop` disagree.
fn output_size(spec: &ImageSpec, size: Size) -> Result<[u32; 2]> {
    let room = match size {
        Size::Exact(sides) => sides,
        Size::Shorter(shorter) => [shorter, shorter],
    };
    if room.contains(&0) || spec.crop.is_some_and(|sides| sides.contains(&0)) {
        return Err(Error::spec("`size` and `crop` are at least 1"));
    }
    if spec.pad.is_some() && spec.fit != Some(Fit::Contain) {
        return Err(Error::spec("`pad` is for fit = \"contain\""));
    }
    if matches!(size, Size::Shorter(_)) {
        if spec.crop.is_none() {
            return Err(Error::spec(
                "one number for `size` is the shorter side: `crop = [height, width]` is needed too",
            ));
        }
        if spec.fit.is_some() {
            return Err(Error::spec(
                "one number for `size` keeps the picture's shape: `fit` has no say",
            ));
        }
    }
    match spec.crop {
        Some(crop) if crop[0] > room[0] || crop[1] > room[1] => Err(Error::spec(format!(
            "crop {crop:?} is larger than size {room:?} (height, width)"
        ))),
        Some(crop) => Ok(crop),
        None => Ok(room),
    }
}

fn normalization(spec: &ImageSpec, datatype: Datatype, channels: usize) -> Result<Normalization> {
    let whole_pixels = datatype == Datatype::Uint8;
    if whole_pixels && (spec.scale.is_some() || spec.mean.is_some() || spec.std.is_some()) {
        return Err(Error::spec(
            "a UINT8 input takes pixels as they are: `scale`, `mean` and `std` are for floats",
        ));
    }
    let scale = spec.scale.unwrap_or(1.0 / 255.0);
    if !scale.is_finite() || scale == 0.0 {
        return Err(Error::spec(format!(
            "`scale` is {scale}; it is a number other than 0"
        )));
    }
    let Scaling { mean, std } =
        Scaling::new(spec.mean.as_ref(), spec.std.as_ref(), channels, "channels")?;
    Ok(Normalization { scale, mean, std })
}

/// Puts a picture on its canvas.
fn pad(picture: Picture, placement: &Placement, pad: u8) -> Picture {
    let [width, height] = placement.canvas;
    if [picture.width, picture.height] == [width, height] {
        return picture;
    }
    let row = picture.width as usize * picture.channels;
    let target_row = width as usize * picture.channels;
    let left = placement.offset[0] as usize * picture.channels;
    let top = placement.offset[1] as usize;
    let mut pixels = vec![pad; target_row * height as usize];
    let rows = pixels.chunks_exact_mut(target_row).skip(top);
    for (target, source) in rows.zip(picture.pixels.chunks_exact(row)) {
        target[left..left + row].copy_from_slice(source);
    }
    Picture {
        width,
        height,
        pixels,
        ..picture
    }
}

/// Cuts `[width, height]` from the middle.
fn crop(picture: &Picture, [width, height]: [u32; 2]) -> Picture {
    let [left, top] = center_crop([picture.width, picture.height], [width, height]);
    let channels = picture.channels;
    let row = picture.width as usize * channels;
    let columns = left as usize * channels..(left + width) as usize * channels;
    let rows = picture.pixels.chunks_exact(row);
    let mut pixels = Vec::with_capacity(columns.len() * height as usize);
    for row in rows.skip(top as usize).take(height as usize) {
        pixels.extend_from_slice(&row[columns.clone()]);
    }
    Picture {
        width,
        height,
        channels,
        pixels,
    }
}
