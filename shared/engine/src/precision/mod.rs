//! A model at another precision: ONNX in, ONNX of standard operators out, before any plan is made.
//!
//! - [`half`] stores weights in 16 bits and computes as before.
//! - [`int8`] stores weights in 8 bits and multiplies in integers: products with constant weights
//!   and rows quantized as they come ("dynamic quantization", as `onnxruntime.quantization` writes
//!   it), convolutions with inputs on a grid that is fixed by examples ("static", in the
//!   `QuantizeLinear`/`DequantizeLinear` form), tables of embeddings row by row.
//!
//! What is small, or would not be computed faster, stays as it is. Whether the answers are good
//! enough is for the caller to find out: nothing here looks at them.

mod batch_norm;
mod calibrate;
mod convolutions;
mod edit;
mod half;
mod opset;
mod products;
mod tables;

use bytes::Bytes;
use dunlin_protocol::NamedTensor;
use prost::Message;
use tract_onnx::pb;

use crate::border::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Decoded;
use crate::{Limits, check};
use edit::Edit;

/// Smaller weights stay as they are: what they cost is not worth an error.
const SMALL: usize = 1024;

/// The model with its large weights in half precision ([IEEE 754] binary16).
///
/// Weights beyond the range of half precision, ±65,504, stay as they are.
///
/// [IEEE 754]: https://doi.org/10.1109/IEEESTD.2019.8766229
pub fn half(name: &str, onnx: &Bytes, limits: &Limits) -> Result<Bytes> {
    rewrite(onnx, limits, |edit| {
        // The engine does the same later, and what it then stores would be no halves.
        batch_norm::fold(edit);
        half::pass(edit);
        Ok(())
    })
    .map_err(|error| error.in_model(name))
}

/// The model with its large weights, and the products and convolutions that read them, in 8 bits.
///
/// `examples` are inputs such as the model will get: they fix the ranges of what convolutions read.
/// Without any, convolutions stay as they are.
pub fn int8(
    name: &str,
    onnx: &Bytes,
    examples: &[Vec<NamedTensor>],
    limits: &Limits,
) -> Result<Bytes> {
    let int8 = |edit: &mut Edit| {
        if !opset::raise(edit) {
            let opset = edit.opset();
            return Err(
                Error::unsupported(format!("operator set {opset} has no quantization")).with_cure(
                    format!(
                        "convert the model: onnx.version_converter.convert_version(model, {})",
                        opset::QUANTIZATION + 2
                    ),
                ),
            );
        }
        batch_norm::fold(edit);
        if !examples.is_empty() {
            convolutions::pass(edit, name, examples, limits)?;
        }
        products::pass(edit);
        tables::pass(edit);
        Ok(())
    };
    rewrite(onnx, limits, int8).map_err(|error| error.in_model(name))
}

fn rewrite(
    onnx: &Bytes,
    limits: &Limits,
    change: impl FnOnce(&mut Edit) -> Result<()>,
) -> Result<Bytes> {
    let model = Decoded::new(onnx, limits)?.proto;
    check::structure(&model, limits)?;
    guarded(ErrorKind::Unsupported, "rewriting the graph", || {
        changed(model, limits, change)
    })
}

fn changed(
    model: pb::ModelProto,
    limits: &Limits,
    change: impl FnOnce(&mut Edit) -> Result<()>,
) -> Result<Bytes> {
    let mut edit = Edit::new(model);
    change(&mut edit)?;
    if edit.changed == 0 {
        return Err(
            Error::unsupported("it has no weights that this precision is for")
                .with_cure("publish it as it is"),
        );
    }
    encode(&edit.finish(), limits)
}

fn encode(model: &pb::ModelProto, limits: &Limits) -> Result<Bytes> {
    let len = model.encoded_len();
    let limit = limits.model_bytes;
    if len > limit {
        return Err(Error::too_large(format!(
            "{len} bytes; the limit is {limit}"
        )));
    }
    Ok(model.encode_to_vec().into())
}
