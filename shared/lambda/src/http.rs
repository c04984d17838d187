//! HTTP events: each is the request that it stands for.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use dunlin_serving::Deadline;
use dunlin_telemetry::Trace;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Response, Uri};
use lambda_http::lambda_runtime::Runtime;
use lambda_http::lambda_runtime::layers::TracingLayer;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{
    Adapter, Error, LambdaEvent, Request, RequestExt as _, Service as _, lambda_runtime, service_fn,
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::event::HttpEvent;
use crate::{Meter, Settle, time_left};

const AMAZON_TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// What `EventBridge` says of an event that a schedule made.
const SCHEDULED: &str = "Scheduled Event";

/// Answers HTTP events by a router, for as long as the function lives.
pub async fn serve(router: Router, settle: Settle) -> Result<(), Error> {
    let meter = settle.1.clone();
    let answer = service_fn(move |request: Request| answer(router.clone(), meter.clone(), request));
    let service = Adapter::from(answer).map_request(|event: LambdaEvent<HttpEvent>| {
        LambdaEvent::new(event.payload.0, event.context)
    });
    Runtime::new(service)
        .layer(TracingLayer::new())
        .layer(settle)
        .run()
        .await
}

async fn answer(
    router: Router,
    meter: Arc<Meter>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let response = router.oneshot(http_request(request)).await?;
    let id = response.headers().get("x-request-id");
    let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
    let trace = response.extensions().get::<Trace>();
    meter.answered(id, trace.map(Trace::id));
    Ok(response)
}

/// The same, and answers events of a schedule (`EventBridge` rules and Scheduler) by `on_schedule`.
///
/// Such an event comes from within the account, from whoever may invoke the function: no token.
pub async fn serve_scheduled<F>(
    router: Router,
    meter: Arc<Meter>,
    on_schedule: impl Fn() -> F + Send + Sync + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<Value, Error>> + Send,
{
    let on_schedule = Arc::new(on_schedule);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let (router, meter, on_schedule) = (router.clone(), meter.clone(), on_schedule.clone());
        async move {
            let (payload, context) = event.into_parts();
            if payload["detail-type"] == SCHEDULED {
                let done = on_schedule().await;
                meter.answered(&context.request_id, None::<&str>);
                meter.tell();
                return done;
            }
            let request: LambdaRequest = serde_json::from_value(payload)?;
            let answering = meter.clone();
            let mut adapter = Adapter::from(service_fn(move |request: Request| {
                answer(router.clone(), answering.clone(), request)
            }));
            let response = adapter.call(LambdaEvent::new(request, context)).await?;
            meter.tell();
            Ok(serde_json::to_value(response)?)
        }
    }))
    .await
}

/// The HTTP request of an event: the path without the stage, the body as bytes, the deadline.
fn http_request(event: Request) -> http::Request<Body> {
    let path = encoded(without_stage(&event));
    let uri = match event.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    // What is encoded always parses, unless it is longer than a URI may be; serving refuses both.
    let uri = uri
        .parse::<PathAndQuery>()
        .map_or_else(|_| Uri::from_static("/"), Uri::from);
    let context = event.lambda_context_ref();
    let deadline = context.and_then(|context| time_left(context.deadline, SystemTime::now()));
    // Gateways pass the trace on as a header; function URLs and direct calls only as this.
    let trace =
        context.and_then(|context| HeaderValue::try_from(context.xray_trace_id.as_ref()?).ok());
    let (mut parts, body) = event.into_parts();
    if let Some(trace) = trace {
        parts.headers.entry(AMAZON_TRACE).or_insert(trace);
    }
    parts.uri = uri;
    if let Some(left) = deadline {
        parts.extensions.insert(Deadline(Instant::now() + left));
    }
    let body = match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    };
    http::Request::from_parts(parts, body)
}

/// The path that the caller asked for. An HTTP API leaves its stage in front of it.
fn without_stage(event: &Request) -> &str {
    let path = event.raw_http_path();
    let Some(RequestContext::ApiGatewayV2(context)) = event.request_context_ref() else {
        return path;
    };
    let stage = context
        .stage
        .as_deref()
        .filter(|stage| *stage != "$default");
    stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

/// A path as a URI has it: API Gateway has decoded what the caller had encoded.
fn encoded(path: &str) -> String {
    let mut uri = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        uri.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(char::from(byte)),
            _ if b"/-._~!$&'()*+,;=:@%".contains(&byte) => uri.push(char::from(byte)),
            // Writing to a string can't fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_once() {
        for (path, want) in [
            (
                "/v2/models/digits/versions/1",
                "/v2/models/digits/versions/1",
            ),
            ("/v2/models/a b", "/v2/models/a%20b"),
            ("/v2/models/a%20b", "/v2/models/a%20b"),
            ("/v2/models/a\0b", "/v2/models/a%00b"),
            ("/v2/models/é?#", "/v2/models/%C3%A9%3F%23"),
            ("", "/"),
        ] {
            assert_eq!(encoded(path), want);
            assert!(encoded(path).parse::<PathAndQuery>().is_ok(), "{path}");
        }
    }
}
