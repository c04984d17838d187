//! One model: metadata, ready, statistics.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dunlin_protocol::ModelReady;
use dunlin_registry::Selector;

use super::reply;
use super::request::OfModel;
use crate::{Call, Error, Service};

/// `GET /v2/models/{model}[/versions/{version}]`
pub(super) async fn metadata(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    let metadata = service.model_metadata(&reference, &call).await;
    reply::json(&metadata.map_err(|error| error.of_model(reference.name.as_str()))?)
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`: loads it if need be.
pub(super) async fn ready(
    State(service): State<Arc<Service>>,
    Extension(mut call): Extension<Call>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    let ready = service.model_ready(&reference, &mut call).await;
    ready.map_err(|error| error.of_model(reference.name.as_str()))?;
    reply::json(&ModelReady {
        name: reference.name.to_string(),
        ready: true,
    })
}

/// `GET /v2/models/{model}[/versions/{version}]/stats`
pub(super) async fn statistics(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
    OfModel(reference): OfModel,
) -> Result<Response, Error> {
    // Without a version: all of the model's versions, not the one that a name alone means.
    let named = (reference.selector != Selector::Default).then_some(&reference);
    let statistics = service
        .statistics(Some(&reference.name), named, &call)
        .await;
    reply::json(&statistics.map_err(|error| error.of_model(reference.name.as_str()))?)
}

/// `GET /v2/models/stats`
pub(super) async fn all_statistics(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
) -> Result<Response, Error> {
    reply::json(&service.statistics(None, None, &call).await?)
}
