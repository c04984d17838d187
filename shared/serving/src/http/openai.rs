//! `POST /v1/embeddings`, `GET /v1/models[/{model}]`: as `OpenAI`'s clients call them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use dunlin_registry::ModelRef;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply;
use super::request::{Named, read};
use crate::embed::{EmbedBody, VectorEncoding};
use crate::{Call, Error, ErrorKind, Facts, Service};

/// The paths whose errors are told as `OpenAI` tells them.
pub(super) const PATHS: &str = "/v1/";

/// The fields of a request that mean something here.
#[derive(Deserialize)]
struct Request {
    model: String,
    input: Input,
    #[serde(default)]
    encoding_format: Option<VectorEncoding>,
    #[serde(default)]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`input` is a text or a list of texts; lists of tokens are another tokenizer's \
                 (LangChain: check_embedding_ctx_length=False)"
)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// Vectors for texts.
pub(super) async fn embeddings(
    State(service): State<Arc<Service>>,
    Extension(mut call): Extension<Call>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let limits = &service.options().limits;
    let held = read(&headers, body, limits, service.budget()).await?;
    let refuse = |why: String| Error::new(ErrorKind::InvalidRequest, why);
    let request: Request = serde_json::from_slice(&held.bytes)
        .map_err(|error| refuse(format!("the body is no request for embeddings: {error}")))?;
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let most = limits.transforms.texts;
    if texts.is_empty() {
        return Err(refuse("`input` is an empty list".to_owned()));
    }
    if texts.len() > most {
        let message = format!("{} texts; the limit is {most}", texts.len());
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let reference: ModelRef = request.model.parse()?;
    let body = EmbedBody {
        body: held.bytes.clone(),
        texts,
        encoding: request.encoding_format.unwrap_or_default(),
        dimensions: request.dimensions,
    };
    let encoded = service.embed(&reference, body, &mut call).await?;
    reply::inference(&service, &reference.name, encoded, &call.phases).await
}

/// All models of the store, whatever they take.
pub(super) async fn models(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
) -> Result<Response, Error> {
    let models = service.listed(&call).await?;
    let data: Vec<Value> = models
        .iter()
        .map(|(name, created)| model(name, *created))
        .collect();
    reply::json(&json!({"object": "list", "data": data}))
}

/// One model.
pub(super) async fn look(
    State(service): State<Arc<Service>>,
    Extension(call): Extension<Call>,
    Named(reference): Named,
) -> Result<Response, Error> {
    let created = service.created(&reference, &call).await;
    let created = created.map_err(|error| error.of_model(reference.name.as_str()))?;
    reply::json(&model(&reference.to_string(), created))
}

fn model(id: &str, created: u64) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": "dunlin"})
}

/// An error in `OpenAI`'s words: their clients make exceptions of the status, and show the message.
pub(super) fn error(error: &Error, facts: Facts, request_id: &str) -> Vec<u8> {
    let kind = match facts.status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let body = json!({"error": {
        "message": error.to_string(),
        "type": kind,
        "param": null,
        "code": facts.word,
        "request_id": request_id,
    }});
    body.to_string().into_bytes()
}
