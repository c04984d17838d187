//! Storage: one suite over each store, and what is true of each alone.
//!
//! An S3 elsewhere is tried too when `DUNLIN_TEST_S3_ENDPOINT` names it, with its bucket in
//! `DUNLIN_TEST_S3_BUCKET` (default `models`) and the credentials in AWS's own variables.

#[path = "storage/access.rs"]
mod access;
#[path = "storage/directory.rs"]
mod directory;
#[path = "storage/s3.rs"]
mod s3;

use std::env;

use dunlin_storage::{StoreOptions, open};
use dunlin_tests::conformance::{self, GET_LIMIT, MULTIPART_BYTES};
use dunlin_tests::s3_server::S3Server;

/// What the suite wants of a store.
fn suited(options: StoreOptions) -> StoreOptions {
    StoreOptions {
        get_limit: GET_LIMIT,
        multipart_bytes: MULTIPART_BYTES,
        ..options
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file:{}", folder.path().display());
    conformance::run(
        open(&url, &suited(StoreOptions::default())).await.unwrap(),
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_of_s3() {
    let server = S3Server::start().await;
    let options = suited(server.options());
    for prefix in ["", "a/prefix of its own+"] {
        conformance::run(server.store(prefix, &options).await, &[]).await;
    }
}

/// `SeaweedFS` removes empty folders a little later, on its own.
const EXCEPTIONS: &[&str] = &["folders_go_with_their_last_object"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_of_an_s3_elsewhere() {
    let Ok(endpoint) = env::var("DUNLIN_TEST_S3_ENDPOINT") else {
        println!("skipped: DUNLIN_TEST_S3_ENDPOINT is not set");
        return;
    };
    let bucket = env::var("DUNLIN_TEST_S3_BUCKET").unwrap_or_else(|_| "models".into());
    let options = suited(StoreOptions {
        endpoint: Some(endpoint),
        ..StoreOptions::default()
    });
    let url = format!("s3://{bucket}/dunlin-tests");
    conformance::run(open(&url, &options).await.unwrap(), EXCEPTIONS).await;
}
