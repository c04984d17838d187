//! The server as a whole: metadata, live, ready.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use dunlin_protocol::ServerLive;
use http::StatusCode;
use serde_json::{Map, Value};

use super::reply;
use crate::{Call, Error, ErrorKind, Service, facts};

/// `GET /v2`
pub(super) async fn server(State(service): State<Arc<Service>>) -> Result<Response, Error> {
    reply::json(&service.metadata())
}

/// `GET /v2/health/live`: who answers is alive.
pub(super) async fn live() -> Result<Response, Error> {
    reply::json(&ServerLive { live: true })
}

/// `GET /v2/health/ready`: 200 or 503, and the reasons why not.
pub(super) async fn ready(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
) -> Result<Response, Error> {
    let readiness = service.ready().await;
    // `ready` is the protocol's field; the others are those of an error body.
    let mut body = Map::new();
    body.insert("ready".into(), readiness.ready().into());
    if readiness.ready() {
        return reply::json(&body);
    }
    let kind = facts(ErrorKind::NotReady).word;
    for (field, text) in [
        ("error", readiness.reasons.join("; ")),
        ("kind", kind.into()),
        ("request_id", call.id),
    ] {
        body.insert(field.into(), Value::String(text));
    }
    let mut response = reply::json(&body)?;
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(response)
}
