//! A served registry, and requests to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use dunlin_publishing::{Candidate, CompileOptions, ProveOptions};
use dunlin_registry::{Manifest, Registry};
use dunlin_serving::{Service, ServiceOptions, router};
use dunlin_storage::{StoreOptions, open};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The digits model of this repository.
pub(crate) fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/digits")
}

/// A picture of a digit.
pub(crate) fn picture(digit: u8) -> Bytes {
    let path = digits().join(format!("examples/{digit}.png"));
    std::fs::read(path).expect("the example is there").into()
}

/// A service over a directory of its own.
pub(crate) struct Served {
    pub(crate) folder: TempDir,
    pub(crate) registry: Registry,
    pub(crate) service: Arc<Service>,
    pub(crate) app: Router,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// What a service needs no longer than a test.
pub(crate) fn options() -> ServiceOptions {
    // Every request looks at the store again: what a test changes holds at once.
    ServiceOptions {
        refresh: Duration::ZERO,
        retry_failed: Duration::ZERO,
        ..Default::default()
    }
}

impl Served {
    /// A service over an empty registry.
    pub(crate) async fn empty(options: ServiceOptions) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("file:{}", folder.path().display());
        let store = open(&url, &StoreOptions::default()).await.expect("a store");
        let registry = Registry::new(store);
        let service = Service::new(registry.clone(), options);
        let app = router(service.clone());
        Self {
            folder,
            registry,
            service,
            app,
        }
    }

    /// A service with version 1 of digits.
    pub(crate) async fn digits(options: ServiceOptions) -> Self {
        let served = Self::empty(options).await;
        served.publish("digits").await;
        served
    }

    /// Publishes the digits model under a name.
    pub(crate) async fn publish(&self, name: &str) -> Manifest {
        self.publish_from(digits(), name).await
    }

    /// Publishes a file or folder under a name.
    pub(crate) async fn publish_from(&self, path: PathBuf, name: &str) -> Manifest {
        let name = name.to_owned();
        let verified = tokio::task::spawn_blocking(move || {
            let candidate = Candidate::read(&path, Some(&name)).expect("it reads");
            let compiled = candidate
                .compile(&CompileOptions::default())
                .expect("it compiles");
            let prove = ProveOptions {
                measure: Duration::ZERO,
                ..Default::default()
            };
            compiled.prove(&prove).expect("it is proven")
        });
        let verified = verified.await.expect("no panic");
        verified
            .publish(&self.registry, None)
            .await
            .expect("it is stored")
            .manifest
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).body(body.into()).expect("a request"))
            .await
    }

    /// The value of a metric's line, labels included; 0 if there is none.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let answer = self.get("/metrics").await;
        let text = answer.text();
        let value = text
            .lines()
            .find_map(|got| got.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }
}

/// An inference request for digits with a batch of blank pictures.
pub(crate) fn blank(batch: usize) -> Value {
    serde_json::json!({
        "id": "blank",
        "inputs": [{
            "name": "image", "datatype": "FP32", "shape": [batch, 1, 28, 28],
            "data": vec![0.0; batch * 784],
        }],
    })
}
