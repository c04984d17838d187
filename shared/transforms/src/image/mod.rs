//! Pictures to tensors: decode → orient → grey or colour → resize → crop → tensor.
//!
//! Everything up to the tensor is 8 bits a channel, as in Pillow; the last step reads each
//! pixel's value out of a table.

mod decode;
mod exact;
mod fit;
mod orient;
mod plan;
mod resize;
mod tensor;

pub(crate) use plan::ImagePlan;

/// A decoded picture: interleaved 8-bit channels, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    width: u32,
    height: u32,
    /// 1 for grey, 3 for red, green, blue.
    channels: usize,
    pixels: Vec<u8>,
}
