//! Operators that look at one element at a time.

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::TypedOp;
use tract_onnx::tract_core::internal::{ElementWiseMiniOp, Op};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{BitNot, Not};
use tract_onnx::tract_core::ops::nn::gelu_approximate::GeluApproximate;
use tract_onnx::tract_core::ops::nn::gelu_exact::GeluExact;
use tract_onnx::tract_core::ops::nn::silu::Silu;
use tract_onnx::tract_core::ops::nn::{HardSwish, LeakyRelu, Sigmoid};
use tract_onnx::tract_core::ops::quant::{
    DequantizeLinearF32, OffsetI8asU8, OffsetU8asI8, QuantizeLinearI8, QuantizeLinearU8,
};
use tract_onnx::tract_core::ops::{identity::Identity, math};

use crate::error::{Error, Result};
use crate::plan_file::record::Number;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Elements {
    Identity,
    Cast(Number),
    DequantizeLinear {
        scale: f32,
        zero_point: i32,
    },
    /// An element-wise function, and the datatype of its result where that isn't the input's.
    Function(Function, Option<Number>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plan_file) enum Function {
    /// A function without parameters, by name.
    Plain(String),
    LeakyRelu {
        alpha: f32,
    },
    PowConst {
        exponent: f32,
    },
    Gelu {
        fast: bool,
    },
    IsInf {
        positive: bool,
        negative: bool,
    },
    QuantizeU8 {
        scale: f32,
        zero_point: u8,
    },
    QuantizeI8 {
        scale: f32,
        zero_point: i8,
    },
}

macro_rules! plain_functions {
    ($($name:literal => $($function:ident)::+),* $(,)?) => {
        fn name_of(op: &dyn ElementWiseMiniOp) -> Option<&'static str> {
            $(if op.is::<$($function)::+>() { return Some($name); })*
            None
        }

        fn by_name(name: &str) -> Option<Box<dyn ElementWiseMiniOp>> {
            Some(match name {
                $($name => Box::new($($function)::+ {}),)*
                _ => return None,
            })
        }
    };
}

plain_functions! {
    "abs" => math::Abs, "acos" => math::Acos, "acosh" => math::Acosh, "asin" => math::Asin,
    "asinh" => math::Asinh, "atan" => math::Atan, "atanh" => math::Atanh, "bitnot" => BitNot,
    "ceil" => math::Ceil, "cos" => math::Cos, "cosh" => math::Cosh, "erf" => math::Erf,
    "exp" => math::Exp, "floor" => math::Floor, "gelu" => GeluExact, "hardswish" => HardSwish,
    "isnan" => math::IsNan, "ln" => math::Ln, "neg" => math::Neg, "not" => Not,
    "recip" => math::Recip, "round" => math::Round, "roundhalftoeven" => math::RoundHalfToEven,
    "rsqrt" => math::Rsqrt, "sigmoid" => Sigmoid, "sign" => math::Sign, "silu" => Silu,
    "sin" => math::Sin, "sinh" => math::Sinh, "sqrt" => math::Sqrt, "square" => math::Square,
    "offset_i8_as_u8" => OffsetI8asU8, "offset_u8_as_i8" => OffsetU8asI8,
    "tan" => math::Tan, "tanh" => math::Tanh,
}

impl Elements {
    pub(super) fn of(op: &dyn Op) -> Option<Self> {
        if op.is::<Identity>() {
            return Some(Self::Identity);
        }
        if let Some(cast) = op.downcast_ref::<Cast>() {
            return Some(Self::Cast(Number::of(cast.to)?));
        }
        if let Some(linear) = op.downcast_ref::<DequantizeLinearF32>() {
            return Some(Self::DequantizeLinear {
                scale: linear.scale,
                zero_point: linear.zero_point,
            });
        }
        let ElementWiseOp(function, datatype) = op.downcast_ref()?;
        let datatype = Number::optional(*datatype).ok()?;
        Some(Self::Function(Function::of(&**function)?, datatype))
    }

    pub(super) fn build(&self) -> Result<Box<dyn TypedOp>> {
        Ok(match self {
            Self::Identity => Box::new(Identity),
            Self::Cast(to) => Box::new(Cast { to: to.build() }),
            &Self::DequantizeLinear { scale, zero_point } => {
                Box::new(DequantizeLinearF32 { scale, zero_point })
            }
            Self::Function(function, datatype) => {
                let datatype = datatype.map(Number::build);
                Box::new(ElementWiseOp(function.build()?, datatype))
            }
        })
    }
}

impl Function {
    fn of(op: &dyn ElementWiseMiniOp) -> Option<Self> {
        if let Some(name) = name_of(op) {
            return Some(Self::Plain(name.to_owned()));
        }
        if let Some(&LeakyRelu { alpha }) = op.downcast_ref() {
            return Some(Self::LeakyRelu { alpha });
        }
        if let Some(&math::PowConst { exponent }) = op.downcast_ref() {
            return Some(Self::PowConst { exponent });
        }
        if let Some(&GeluApproximate { fast_impl }) = op.downcast_ref() {
            return Some(Self::Gelu { fast: fast_impl });
        }
        if let Some(&math::IsInf {
            detect_positive,
            detect_negative,
        }) = op.downcast_ref()
        {
            return Some(Self::IsInf {
                positive: detect_positive,
                negative: detect_negative,
            });
        }
        if let Some(&QuantizeLinearU8 { scale, zero_point }) = op.downcast_ref() {
            return Some(Self::QuantizeU8 { scale, zero_point });
        }
        if let Some(&QuantizeLinearI8 { scale, zero_point }) = op.downcast_ref() {
            return Some(Self::QuantizeI8 { scale, zero_point });
        }
        None
    }

    fn build(&self) -> Result<Box<dyn ElementWiseMiniOp>> {
        Ok(match *self {
            Self::Plain(ref name) => by_name(name).ok_or_else(|| {
                Error::invalid_model(format!("no sound plan: no function is called \"{name}\""))
            })?,
            Self::LeakyRelu { alpha } => Box::new(LeakyRelu { alpha }),
            Self::PowConst { exponent } => Box::new(math::PowConst { exponent }),
            Self::Gelu { fast } => Box::new(GeluApproximate { fast_impl: fast }),
            Self::IsInf { positive, negative } => Box::new(math::IsInf {
                detect_positive: positive,
                detect_negative: negative,
            }),
            Self::QuantizeU8 { scale, zero_point } => {
                Box::new(QuantizeLinearU8 { scale, zero_point })
            }
            Self::QuantizeI8 { scale, zero_point } => {
                Box::new(QuantizeLinearI8 { scale, zero_point })
            }
        })
    }
}
