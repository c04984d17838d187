//! The registry over each store, and over one that fails at the worst moments.

use bytes::Bytes;
use dunlin_registry::{Draft, ErrorKind, ModelName, Registry, Role, Version};
use dunlin_storage::StoreOptions;
use dunlin_tests::registry_suite;
use dunlin_tests::s3_server::{Fault, On, S3Server};
use http::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}", folder.path().display());
    let store = dunlin_storage::open(&url, &StoreOptions::default())
        .await
        .unwrap();
    registry_suite::run(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn over_s3() {
    let server = S3Server::start().await;
    let store = server.store("some/prefix", &server.options()).await;
    registry_suite::run(store).await;
}

fn name() -> ModelName {
    "digits".parse().unwrap()
}

fn draft(content: &'static str) -> Draft {
    let mut draft = Draft::new(name());
    draft.attach(Role::Model, "onnx", Bytes::from_static(content.as_bytes()));
    draft.attach(Role::Labels, "text", Bytes::from_static(b"no\nyes\n"));
    draft
}

async fn versions(registry: &Registry) -> Vec<u64> {
    registry
        .versions(&name())
        .await
        .unwrap()
        .into_iter()
        .map(Version::get)
        .collect()
}

#[tokio::test]
async fn blobs_are_sent_once() {
    let server = S3Server::start().await;
    let registry = Registry::new(server.store("", &server.options()).await);
    for _ in 0..3 {
        registry.publish(draft("graph")).await.unwrap();
    }
    assert_eq!(
        server
            .faults()
            .count(&On::new(&Method::PUT, "/blobs/sha256/")),
        2
    );
    assert_eq!(versions(&registry).await, [1, 2, 3]);
}

/// The answer to a write is lost after the write was done: a version is there once, and whole.
#[tokio::test]
async fn lost_answers_make_no_second_version() {
    let server = S3Server::start().await;
    let registry = Registry::new(server.store("", &server.options()).await);
    for path in [
        "/blobs/sha256/",
        "/numbers/digits/",
        "/models/digits/versions/",
    ] {
        let before = versions(&registry).await.len();
        server
            .faults()
            .add(On::new(&Method::PUT, path), 1, Fault::LoseAnswer);
        let manifest = registry.publish(draft("graph")).await.unwrap();
        let after = versions(&registry).await;
        assert_eq!(
            (after.len(), after.last()),
            (before + 1, Some(&manifest.version.get())),
            "{path}"
        );
        for artifact in &manifest.artifacts {
            registry.blob(artifact, None).await.unwrap();
        }
    }
}

/// A publisher whose store fails at any of its writes leaves nothing that a reader sees.
#[tokio::test]
async fn failed_publishing_is_invisible() {
    let server = S3Server::start().await;
    let registry = Registry::new(server.store("", &server.options()).await);
    for path in [
        "/blobs/sha256/",
        "/numbers/digits/",
        "/models/digits/versions/",
    ] {
        server
            .faults()
            .add(On::new(&Method::PUT, path), 1, Fault::Status(403));
        let error = registry.publish(draft("graph")).await.unwrap_err();
        let denied = ErrorKind::Storage(dunlin_storage::ErrorKind::PermissionDenied);
        assert_eq!(error.kind(), denied, "{path}: {error}");
        assert_eq!(registry.models().await.unwrap(), [], "{path}");
    }
    // The number of the last attempt is taken and stays a gap.
    assert_eq!(
        registry
            .publish(draft("graph"))
            .await
            .unwrap()
            .version
            .get(),
        2
    );
}
