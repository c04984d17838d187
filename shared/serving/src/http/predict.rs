//! `POST /predict/{model}`

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::request::{Named, content_type, header_length, read};
use super::{later, reply};
use crate::{Call, Error, PredictBody, Service};

/// A picture or JSON as it is; labels and scores, or tensors, back.
pub(super) async fn predict(
    State(service): State<Arc<Service>>,
    Extension(mut call): Extension<Call>,
    Named(reference): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let named = |error: Error| error.of_model(reference.name.as_str());
    let header_length = header_length(&headers).map_err(named)?;
    let held = read(&headers, body, &service.options().limits, service.budget()).await;
    let held = held.map_err(named)?;
    let body = PredictBody {
        body: held.bytes.clone(),
        content_type: content_type(&headers),
        header_length,
    };
    if let Some(later) = later::wanted(&service, &headers) {
        return later::accept(&service, later, &reference, body).await;
    }
    let encoded = service.predict(&reference, body, &mut call).await?;
    reply::inference(&service, &reference.name, encoded, &call.phases).await
}
