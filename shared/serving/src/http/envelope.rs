//! What every request has in common.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dunlin_protocol::ErrorBody;
use dunlin_telemetry::{Phases, Span, Trace};
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Uri};
use tracing::field::display;

use super::openai;
use crate::options::Limits;
use crate::{Call, Error, ErrorKind, Service, facts};

/// The header of a request's id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// W3C's trace context, in and out.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// How long spans wait for others.
const GROUPED: Duration = Duration::from_secs(1);

/// AWS's trace context, both ways.
const AMAZON_TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Put into a request's extensions by a host: after this moment nobody waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl IntoResponse for Error {
    /// The error travels beside the response; `envelope` writes its body, knowing the request.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = facts(self.kind()).status;
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives the request a [`Call`], and its answer an id; turns errors and panics into error bodies.
pub(super) async fn envelope(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let own_id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok());
    let mut call = Call::new(own_id);
    call.deadline = request
        .extensions()
        .get::<Deadline>()
        .map(|deadline| deadline.0);
    call.trace = trace(request.headers());
    let by_amazon = call.trace.is_some() && !request.headers().contains_key(TRACEPARENT);
    let (id, started, trace) = (call.id.clone(), call.started, call.trace);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let limits = &service.options().limits;
    let mut response = if let Err(error) = check(request.uri(), request.headers(), limits) {
        error.into_response()
    } else {
        request.extensions_mut().insert(call);
        // A handler owns what it works on: after a panic no broken state is seen again.
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        answered.unwrap_or_else(|_| {
            Error::new(ErrorKind::Internal, "a handler panicked; see the log").into_response()
        })
    };
    let error = response.extensions_mut().remove::<Error>();
    if let Some(error) = &error {
        service.count_error(error);
        write_error(&mut response, error, &id, path.starts_with(openai::PATHS));
    }
    let status = response.status();
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    let trace_id = trace.map(|trace| display(trace.id()));
    let span_id = trace.map(|trace| display(trace.span()));
    let parent_id = trace.and_then(|trace| trace.parent()).map(display);
    match &error {
        Some(error) if status.is_server_error() => tracing::warn!(
            request_id = id, trace_id, span_id, parent_id, %method, path, status = status.as_u16(), elapsed_ms,
            error = error.chain(), "failed"
        ),
        Some(error) => tracing::debug!(
            request_id = id, trace_id, span_id, parent_id, %method, path, status = status.as_u16(), elapsed_ms,
            error = error.chain(), "refused"
        ),
        None => tracing::debug!(
            request_id = id, trace_id, span_id, parent_id, %method, path, status = status.as_u16(), elapsed_ms, "answered"
        ),
    }
    if let (Some(trace), Some(_)) = (trace, &service.options().spans) {
        let phases = response.extensions().get::<Phases>().copied();
        let span = Span {
            trace,
            method: method.to_string(),
            path,
            status: status.as_u16(),
            request_id: id.clone(),
            elapsed: started.elapsed(),
            phases,
        };
        take(&service, &span);
    }
    // Ids are printable ASCII: the conversion can't fail.
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(trace) = trace {
        pass_on(&mut response, trace, by_amazon);
    }
    response
}

/// Has a span sent: soon, where the process goes on; else the host sees to it.
fn take(service: &Arc<Service>, span: &Span) {
    let options = service.options();
    let Some(spans) = &options.spans else {
        return;
    };
    if spans.take(span) && options.background {
        let spans = spans.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GROUPED).await;
            spans.flush().await;
        });
    }
}

/// The caller's trace, as W3C writes it, else as AWS does.
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let text = |name| headers.get(name)?.to_str().ok();
    text(TRACEPARENT)
        .and_then(Trace::of_traceparent)
        .or_else(|| Trace::of_amazon(text(AMAZON_TRACE)?))
}

/// Tells the caller the span that answered, in the form that it used; and the host, for its metrics.
fn pass_on(response: &mut Response, trace: Trace, by_amazon: bool) {
    let (name, text) = if by_amazon {
        (AMAZON_TRACE, trace.amazon())
    } else {
        (TRACERESPONSE, trace.traceparent())
    };
    if let Ok(text) = HeaderValue::try_from(text) {
        response.headers_mut().insert(name, text);
    }
    response.extensions_mut().insert(trace);
}

fn check(uri: &Uri, headers: &HeaderMap, limits: &Limits) -> Result<(), Error> {
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if path > limits.uri_bytes {
        return Err(Error::new(
            ErrorKind::UriTooLong,
            format!(
                "the URI has {path} bytes; the limit is {}",
                limits.uri_bytes
            ),
        ));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > limits.header_bytes {
        return Err(Error::new(
            ErrorKind::HeadersTooLarge,
            format!(
                "the headers have {bytes} bytes; the limit is {}",
                limits.header_bytes
            ),
        ));
    }
    Ok(())
}

fn write_error(response: &mut Response, error: &Error, id: &str, as_openai: bool) {
    let facts = facts(error.kind());
    let body = if as_openai {
        openai::error(error, facts, id)
    } else {
        let body = ErrorBody {
            error: error.to_string(),
            kind: facts.word.to_owned(),
            model: error.model().map(str::to_owned),
            request_id: Some(id.to_owned()),
        };
        // Four strings always become JSON.
        serde_json::to_vec(&body).unwrap_or_default()
    };
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(http::header::CONTENT_LENGTH);
    if let Some(seconds) = facts.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}
