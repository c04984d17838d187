//! `POST /v2/models/{model}[/versions/{version}]/infer`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::reply;
use super::request::{OfModel, header_length, read};
use crate::{Call, Error, InferBody, Service};

/// Inference as the protocol has it, JSON or binary. The content type is not asked: Triton's
/// clients send none with JSON.
pub(super) async fn infer(
    State(service): State<Arc<Service>>,
    Extension(mut call): Extension<Call>,
    OfModel(reference): OfModel,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let named = |error: Error| error.of_model(reference.name.as_str());
    let header_length = header_length(&headers).map_err(named)?;
    let held = read(&headers, body, &service.options().limits, service.budget()).await;
    let held = held.map_err(named)?;
    let body = InferBody::Wire {
        body: held.bytes.clone(),
        header_length,
    };
    let encoded = service.infer(&reference, body, &mut call).await?;
    reply::inference(&service, &reference.name, encoded, &call.phases).await
}
