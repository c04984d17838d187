//! `POST /v2/repository/index`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use dunlin_protocol::RepositoryIndexRequest;
use http::HeaderMap;

use super::reply;
use super::request::read;
use crate::{Error, ErrorKind, Service};

/// Every version of every model. An empty body asks for all.
pub(super) async fn index(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let held = read(&headers, body, &service.options().limits, service.budget()).await?;
    let request = if held.bytes.trim_ascii().is_empty() {
        RepositoryIndexRequest::default()
    } else {
        serde_json::from_slice(&held.bytes).map_err(|error| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("the body is not {{\"ready\": true|false}}: {error}"),
            )
        })?
    };
    reply::json(&service.index(request.ready).await?)
}
