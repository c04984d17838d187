//! Resizing.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TypedOp;
use tract_onnx::tract_core::internal::Op;
use tract_onnx::tract_core::ops::nn::resize::{
    CoordTransformer, Interpolator, Nearest, NearestUpsample, Resize,
};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Resizing {
    /// Each element repeated so often along each axis.
    Repeat(Vec<usize>),
    Interpolate {
        coordinates: Coordinates,
        interpolation: Interpolation,
        round: bool,
        scales_input: Option<usize>,
        sizes_input: Option<usize>,
    },
}

/// How a place in the result becomes a place in the input: ONNX, Resize.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Coordinates {
    HalfPixel,
    AlignCorners,
    Asymmetric,
    PytorchHalfPixel,
    HalfPixelSymmetric,
    TfHalfPixelForNn,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Interpolation {
    Linear,
    Nearest,
    Cubic,
}

impl Resizing {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        if let Some(repeat) = op.downcast_ref::<NearestUpsample>() {
            return Some(Self::Repeat(repeat.scales.to_vec()));
        }
        let resize = op.downcast_ref::<Resize>()?;
        Some(Self::Interpolate {
            coordinates: match resize.coord_transformer {
                CoordTransformer::HalfPixel => Coordinates::HalfPixel,
                CoordTransformer::AlignCorners => Coordinates::AlignCorners,
                CoordTransformer::Asymmetric => Coordinates::Asymmetric,
                CoordTransformer::PytorchHalfPixel => Coordinates::PytorchHalfPixel,
                CoordTransformer::HalfPixelSymmetric => Coordinates::HalfPixelSymmetric,
                CoordTransformer::TfHalfPixelForNn => Coordinates::TfHalfPixelForNn,
            },
            interpolation: match resize.interpolator {
                Interpolator::Linear => Interpolation::Linear,
                Interpolator::Nearest => Interpolation::Nearest,
                Interpolator::Cubic => Interpolation::Cubic,
            },
            round: matches!(resize.nearest, Nearest::RoundPreferCeil),
            scales_input: resize.optional_scales_input,
            sizes_input: resize.optional_sizes_input,
        })
    }

    pub(super) fn build(&self) -> Box<dyn TypedOp> {
        match self {
            Self::Repeat(scales) => Box::new(NearestUpsample {
                scales: scales.iter().copied().collect(),
            }),
            Self::Interpolate {
                coordinates,
                interpolation,
                round,
                scales_input,
                sizes_input,
            } => Box::new(Resize {
                coord_transformer: match coordinates {
                    Coordinates::HalfPixel => CoordTransformer::HalfPixel,
                    Coordinates::AlignCorners => CoordTransformer::AlignCorners,
                    Coordinates::Asymmetric => CoordTransformer::Asymmetric,
                    Coordinates::PytorchHalfPixel => CoordTransformer::PytorchHalfPixel,
                    Coordinates::HalfPixelSymmetric => CoordTransformer::HalfPixelSymmetric,
                    Coordinates::TfHalfPixelForNn => CoordTransformer::TfHalfPixelForNn,
                },
                interpolator: match interpolation {
                    Interpolation::Linear => Interpolator::Linear,
                    Interpolation::Nearest => Interpolator::Nearest,
                    Interpolation::Cubic => Interpolator::Cubic,
                },
                nearest: if *round {
                    Nearest::RoundPreferCeil
                } else {
                    Nearest::Floor
                },
                optional_scales_input: *scales_input,
                optional_sizes_input: *sizes_input,
            }),
        }
    }
}
