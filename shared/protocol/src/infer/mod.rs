//! Inference requests and replies (Open Inference Protocol v2, with Triton's binary tensor data
//! and classification extensions).
//!
//! - `request`, `response`: the two messages, read and written.
//! - `frame`: a body taken apart into JSON and binary data, and put together.
//! - `entry`: one tensor of a message, as both messages hold it.
//! - `data_in`, `data_out`: the JSON array of a tensor's elements, read and written.

mod data_in;
mod data_out;
mod entry;
mod frame;
mod request;
mod response;

use bytes::Bytes;

pub use request::{InferInput, InferRequest, RequestedOutput};
pub use response::{InferOutput, InferResponse};

/// Parameters of a request, a reply, or one of their tensors: a JSON object.
pub type Parameters = serde_json::Map<String, serde_json::Value>;

/// The HTTP header that says how many bytes of a body are its JSON header.
pub const HEADER_LENGTH: &str = "Inference-Header-Content-Length";

/// A message as bytes, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// JSON, and behind it the binary tensors.
    pub body: Bytes,
    /// Bytes of the JSON, where binary tensors follow: the value of the header
    /// [`HEADER_LENGTH`]. `None`: the body is JSON alone.
    pub header_length: Option<usize>,
}

impl Encoded {
    /// The `Content-Type` of the body.
    pub fn content_type(&self) -> &'static str {
        if self.header_length.is_some() {
            "application/octet-stream"
        } else {
            "application/json"
        }
    }
}
