//! `GET /metrics`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::reply;
use crate::{Error, Service};

/// All counters, as Prometheus reads them.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Error> {
    Ok(reply::body_of(
        "text/plain; version=0.0.4; charset=utf-8",
        service.metrics_text()?.into(),
    ))
}
