//! Tensors as the body of a request, which is how an example is kept.

use bytes::Bytes;
use dunlin_protocol::{InferInput, InferRequest, NamedTensor, Parameters};

use crate::{Error, ErrorKind, Result};

/// The body of a request of the Open Inference Protocol with binary tensors.
pub(crate) struct Request {
    pub(crate) content_type: String,
    pub(crate) header_length: usize,
    pub(crate) body: Bytes,
}

/// The request that gives these inputs; `example` names it in errors.
pub(crate) fn request(example: &str, inputs: Vec<NamedTensor>) -> Result<Request> {
    let inputs = inputs
        .into_iter()
        .map(|NamedTensor { name, tensor }| InferInput {
            name,
            parameters: Parameters::new(),
            tensor,
        });
    let request = InferRequest {
        inputs: inputs.collect(),
        ..InferRequest::default()
    };
    let encoded = request.encode(true).map_err(|error| {
        let message = format!("example \"{example}\" makes no request: {error}");
        Error::new(ErrorKind::Unproven, message).because(error)
    })?;
    Ok(Request {
        content_type: encoded.content_type().to_owned(),
        // A model without inputs has nothing binary: its request is JSON alone.
        header_length: encoded.header_length.unwrap_or(encoded.body.len()),
        body: encoded.body,
    })
}
