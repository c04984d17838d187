//! The wire: tensors, Open Inference Protocol v2, and the error body. Pure data, no I/O.
//!
//! A request travels through this room so:
//!
//! 1. [`InferRequest::decode`] reads a body (JSON, or a JSON header with binary tensors behind
//!    it) into [`Tensor`]s, under [`Limits`]. JSON numbers go straight into the buffer of their
//!    [`Datatype`]; binary tensors are slices of the body, not copies.
//! 2. An engine turns tensors into tensors.
//! 3. [`InferResponse::encode`] writes the reply, each output as JSON or as binary.
//!
//! ```
//! use dunlin_protocol::{InferRequest, Limits, Tensor};
//!
//! let body = br#"{"inputs": [
//!     {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4.5]]}
//! ]}"#;
//! let request = InferRequest::decode(&body.to_vec().into(), None, &Limits::default())?;
//! let x = &request.inputs[0].tensor;
//! assert_eq!(x.shape(), [2, 2]);
//! assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.5]);
//! # Ok::<(), dunlin_protocol::Error>(())
//! ```
//!
//! The same types serve clients: [`InferRequest::encode`] and [`InferResponse::decode`].
//!
//! Every error is an [`Error`]: its [`ErrorKind`] to match on, and a message that says which
//! input, what came, and what was wanted.

#[cfg(target_endian = "big")]
compile_error!("tensors are little-endian in memory, as they are on the wire");

mod datatype;
mod element;
mod error;
mod infer;
mod json;
mod limits;
mod metadata;
mod repository;
mod statistics;
mod tensor;

pub use datatype::Datatype;
pub use element::Element;
pub use error::{Error, ErrorBody, ErrorKind};
pub use infer::{
    Encoded, HEADER_LENGTH, InferInput, InferOutput, InferRequest, InferResponse, Parameters,
    RequestedOutput,
};
pub use limits::Limits;
pub use metadata::{
    ModelMetadata, ModelReady, ServerLive, ServerMetadata, ServerReady, TensorMetadata,
};
pub use repository::{ModelState, RepositoryIndex, RepositoryIndexEntry, RepositoryIndexRequest};
pub use statistics::{
    BatchStatistics, InferenceStatistics, MemoryUsage, ModelStatistics, StatisticDuration,
    Statistics,
};
pub use tensor::{NamedTensor, Tensor};
