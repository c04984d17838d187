//! HTTP events: each is the request that it stands for.

use std::fmt::Write as _;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use dunlin_serving::Deadline;
use http::Uri;
use http::uri::PathAndQuery;
use lambda_http::request::RequestContext;
use lambda_http::{Error, Request, RequestExt as _, service_fn};
use tower::ServiceExt as _;

use crate::time_left;

/// Answers HTTP events by a router, for as long as the function lives.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(service_fn(move |request: Request| {
        router.clone().oneshot(http_request(request))
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
    let (mut parts, body) = event.into_parts();
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
