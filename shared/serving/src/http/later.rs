//! `Prefer: respond-async`, and `GET /predict/{model}/later/{id}`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use dunlin_registry::ModelRef;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::reply;
use super::request::Named;
use crate::later::{self, Later};
use crate::{Error, ErrorKind, PredictBody, Service};

const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Seconds after which it is worth asking again.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Whether the caller would rather not wait (RFC 7240), and somebody is there to answer later.
pub(super) fn wanted(service: &Service, headers: &HeaderMap) -> Option<Later> {
    let later = service.options().later?;
    let mut preferences = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']));
    preferences
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
        .then_some(later)
}

/// Takes a request to be answered later.
pub(super) async fn accept(
    service: &Arc<Service>,
    later: Later,
    model: &ModelRef,
    body: PredictBody,
) -> Result<Response, Error> {
    let id = later::submit(service, later, model, body).await?;
    let mut response = waiting(&format!("/predict/{model}/later/{id}"))?;
    let headers = response.headers_mut();
    headers.insert(APPLIED, HeaderValue::from_static("respond-async"));
    // Relative to the request's own URL, whatever stage is before it.
    if let Ok(place) = HeaderValue::try_from(format!("{model}/later/{id}")) {
        headers.insert(LOCATION, place);
    }
    Ok(response)
}

fn waiting(path: &str) -> Result<Response, Error> {
    let mut response = reply::json(&json!({"status": "accepted", "result": path}))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(RETRY_AFTER, AGAIN);
    Ok(response)
}

/// The answer, as it would have been; 202 as long as there is none.
pub(super) async fn look(
    State(service): State<Arc<Service>>,
    Named(model): Named,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Error> {
    let Some(later) = service.options().later else {
        return Err(Error::new(
            ErrorKind::RequestNotFound,
            "this host answers at once, and nothing later",
        ));
    };
    match later::look(&service, later, &model, &id).await? {
        later::State::Answered(bytes) => {
            reply::sent(&service, &model.name, bytes, "application/json").await
        }
        later::State::Failed(error) => Err(error.of_model(model.name.as_str())),
        later::State::Waiting => waiting(&format!("/predict/{model}/later/{id}")),
    }
}
