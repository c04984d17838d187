//! What goes out.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use dunlin_protocol::{Encoded, HEADER_LENGTH};
use dunlin_registry::ModelName;
use dunlin_telemetry::Phases;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use super::large;
use crate::{Error, ErrorKind, Service};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A JSON reply.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(value).map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("the reply does not become JSON: {error}"),
        )
    })?;
    Ok(body_of("application/json", body.into()))
}

/// The reply of an inference, with the phases it took.
pub(super) async fn inference(
    service: &Arc<Service>,
    model: &ModelName,
    encoded: Encoded,
    phases: &Phases,
) -> Result<Response, Error> {
    let content_type = encoded.content_type();
    let mut response = sent(service, model, encoded.body, content_type).await?;
    let headers = response.headers_mut();
    if let Some(length) = encoded.header_length {
        // The protocol's own constant, in lower case as HTTP/2 wants it.
        let name = HeaderName::from_bytes(HEADER_LENGTH.as_bytes());
        if let Ok(name) = name {
            headers.insert(name, HeaderValue::from(length));
        }
    }
    if let Ok(timing) = HeaderValue::try_from(phases.server_timing()) {
        headers.insert(SERVER_TIMING, timing);
    }
    // For the span, if there is one.
    response.extensions_mut().insert(*phases);
    Ok(response)
}

/// A reply with this body, or, where the host can't carry it, with where it is.
pub(super) async fn sent(
    service: &Arc<Service>,
    model: &ModelName,
    body: Bytes,
    content_type: &'static str,
) -> Result<Response, Error> {
    let stored = large::stored(service, model, &body, content_type).await?;
    Ok(stored.unwrap_or_else(|| body_of(content_type, body.into())))
}

/// A reply with a body.
pub(super) fn body_of(content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
