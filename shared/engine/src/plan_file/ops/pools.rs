//! Pooling, and the windows that pools and convolutions slide over their input.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{TypedFact, TypedOp};
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::cnn::pools::PoolGeometry;
use tract_onnx::tract_core::ops::cnn::{OptMaxPool, OptSumPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::refused;
use crate::error::{Error, Result};
use crate::plan_file::record::Number;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Pool {
    Max {
        pooling: Pooling,
        indices: Option<Number>,
    },
    Sum {
        pooling: Pooling,
        count_include_pad: bool,
        normalize: bool,
    },
}

/// A window that slides over the spatial axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) struct Pooling {
    layout: Layout,
    kernel: Vec<usize>,
    padding: Padding,
    dilations: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    input_channels: usize,
    output_channels: usize,
}

/// The order of batch, channels and spatial axes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Layout {
    Nchw,
    Nhwc,
    Chw,
    Hwc,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Padding {
    Explicit(Vec<usize>, Vec<usize>),
    /// As ONNX pools count it: with `ceil_mode`.
    OnnxPool(Vec<usize>, Vec<usize>, bool),
    Valid,
    SameUpper,
    SameLower,
}

impl Pool {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        if let Some(pool) = op.downcast_ref::<OptMaxPool>() {
            let indices = Number::optional(pool.with_index_outputs).ok()?;
            return Some(Self::Max {
                pooling: Pooling::of(&pool.pool_spec),
                indices,
            });
        }
        let pool = op.downcast_ref::<OptSumPool>()?;
        Some(Self::Sum {
            pooling: Pooling::of(&pool.pool_spec),
            count_include_pad: pool.count_include_pad,
            normalize: pool.normalize,
        })
    }

    pub(super) fn build(&self, facts: &[&TypedFact]) -> Result<Box<dyn TypedOp>> {
        let input = facts
            .first()
            .filter(|fact| fact.shape.as_concrete().is_some());
        let input =
            input.ok_or_else(|| Error::invalid_model("no sound plan: a pool without an input"))?;
        match self {
            Self::Max { pooling, indices } => {
                let pool_spec = pooling.build_for(input)?;
                Ok(Box::new(OptMaxPool {
                    geometry: geometry(&pool_spec, input)?,
                    pool_spec,
                    with_index_outputs: indices.map(Number::build),
                }))
            }
            Self::Sum {
                pooling,
                count_include_pad,
                normalize,
            } => {
                let pool_spec = pooling.build_for(input)?;
                Ok(Box::new(OptSumPool {
                    geometry: geometry(&pool_spec, input)?,
                    pool_spec,
                    count_include_pad: *count_include_pad,
                    normalize: *normalize,
                }))
            }
        }
    }
}

fn geometry(spec: &PoolSpec, input: &TypedFact) -> Result<PoolGeometry> {
    let geometry = spec.compute_geo(&input.shape).map_err(refused)?;
    geometry
        .optimize_if(input.shape.as_concrete())
        .map_err(refused)
}

impl Pooling {
    pub(super) fn of(spec: &PoolSpec) -> Self {
        Self {
            layout: match spec.data_format {
                DataFormat::NCHW => Layout::Nchw,
                DataFormat::NHWC => Layout::Nhwc,
                DataFormat::CHW => Layout::Chw,
                DataFormat::HWC => Layout::Hwc,
            },
            kernel: spec.kernel_shape.to_vec(),
            padding: match &spec.padding {
                PaddingSpec::Explicit(before, after) => {
                    Padding::Explicit(before.to_vec(), after.to_vec())
                }
                PaddingSpec::ExplicitOnnxPool(before, after, ceil) => {
                    Padding::OnnxPool(before.to_vec(), after.to_vec(), *ceil)
                }
                PaddingSpec::Valid => Padding::Valid,
                PaddingSpec::SameUpper => Padding::SameUpper,
                PaddingSpec::SameLower => Padding::SameLower,
            },
            dilations: spec.dilations.as_ref().map(|dims| dims.to_vec()),
            strides: spec.strides.as_ref().map(|dims| dims.to_vec()),
            input_channels: spec.input_channels,
            output_channels: spec.output_channels,
        }
    }

    /// The window, if its parts have one number for each spatial axis.
    pub(super) fn build(&self) -> Result<PoolSpec> {
        let rank = self.kernel.len();
        let fits = |dims: &Vec<usize>| dims.len() == rank && !dims.contains(&0);
        let pads = |dims: &Vec<usize>| dims.len() == rank;
        let padding_fits = match &self.padding {
            Padding::Explicit(before, after) | Padding::OnnxPool(before, after, _) => {
                pads(before) && pads(after)
            }
            Padding::Valid | Padding::SameUpper | Padding::SameLower => true,
        };
        let sound = fits(&self.kernel)
            && self.strides.as_ref().is_none_or(fits)
            && self.dilations.as_ref().is_none_or(fits)
            && padding_fits;
        if !sound {
            return Err(Error::invalid_model("no sound plan: a window of no shape"));
        }
        let dims = |dims: &Vec<usize>| dims.iter().copied().collect();
        Ok(PoolSpec {
            data_format: match self.layout {
                Layout::Nchw => DataFormat::NCHW,
                Layout::Nhwc => DataFormat::NHWC,
                Layout::Chw => DataFormat::CHW,
                Layout::Hwc => DataFormat::HWC,
            },
            kernel_shape: dims(&self.kernel),
            padding: match &self.padding {
                Padding::Explicit(before, after) => {
                    PaddingSpec::Explicit(dims(before), dims(after))
                }
                Padding::OnnxPool(before, after, ceil) => {
                    PaddingSpec::ExplicitOnnxPool(dims(before), dims(after), *ceil)
                }
                Padding::Valid => PaddingSpec::Valid,
                Padding::SameUpper => PaddingSpec::SameUpper,
                Padding::SameLower => PaddingSpec::SameLower,
            },
            dilations: self.dilations.as_ref().map(dims),
            strides: self.strides.as_ref().map(dims),
            input_channels: self.input_channels,
            output_channels: self.output_channels,
        })
    }

    fn build_for(&self, input: &TypedFact) -> Result<PoolSpec> {
        let spec = self.build()?;
        let batch = usize::from(spec.data_format.has_n());
        if input.rank() != spec.kernel_shape.len() + 1 + batch {
            return Err(Error::invalid_model(
                "no sound plan: a window of another rank",
            ));
        }
        let shape = input.shape.as_concrete().unwrap_or(&[]);
        let shape = spec.data_format.shape(shape).map_err(refused)?;
        // tract walks through the channels of the input, and makes room for those of the output.
        if [spec.input_channels, spec.output_channels] != [*shape.c(); 2] {
            return Err(Error::invalid_model(
                "no sound plan: a window on other channels than its input has",
            ));
        }
        Ok(spec)
    }
}
