//! A cold host over S3 fetches what an alias hints at beside the manifest, and believes the manifest.

use std::sync::Arc;
use std::time::Duration;

use dunlin_registry::{Alias, Artifact, ModelName, Registry, Version};
use dunlin_serving::{Call, Error, ErrorKind, PredictBody, Service, ServiceOptions};
use dunlin_storage::{ObjectKey, PutCondition, Store};
use dunlin_tests::hosts::publish_to;
use dunlin_tests::requests::picture;
use dunlin_tests::s3_server::{Fault, On, S3Server};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const ALIAS: &str = "models/digits/aliases/production.json";
const MANIFEST: &str = "models/digits/versions/1.json";
const BLOBS: &str = "blobs/sha256/";

/// The plan, the labels and the examples of digits.
const FILES: usize = 3;

/// How long the manifest takes in these tests.
const LATE: Duration = Duration::from_millis(1500);

/// Digits in an S3 of its own, with the alias `production`.
struct Cloud {
    server: S3Server,
    store: Arc<dyn Store>,
    registry: Registry,
}

impl Cloud {
    async fn start() -> Self {
        let server = S3Server::start().await;
        let store = server.store("", &server.options()).await;
        publish_to(store.clone(), "models/digits").await;
        let registry = Registry::new(store.clone());
        let (name, alias) = (digits(), Alias::production());
        let promoted = registry.promote(&name, &alias, Version::FIRST, None);
        promoted.await.expect("it is proven");
        Self {
            server,
            store,
            registry,
        }
    }

    /// A host that has nothing yet.
    async fn cold(&self, options: ServiceOptions) -> Arc<Service> {
        let store = self.server.store("", &self.server.options()).await;
        Service::new(Registry::new(store), options)
    }

    /// Requests of objects so far whose key has this in it.
    fn asked(&self, path: &str) -> usize {
        self.server.faults().count(&On::new(&Method::GET, path))
    }

    fn fault(&self, path: &str, fault: Fault) {
        let on = On::new(&Method::GET, path);
        self.server.faults().add(on, 1, fault);
    }

    /// Changes the hints as they are stored.
    async fn hint(&self, hints: Value) {
        let key = ObjectKey::new(ALIAS).expect("a key");
        let bytes = self.store.get(&key).await.expect("it is there").bytes;
        let mut record: Value = serde_json::from_slice(&bytes).expect("JSON");
        record["hints"] = hints;
        let bytes = serde_json::to_vec(&record).expect("JSON");
        let put = self.store.put(&key, bytes.into(), PutCondition::Always);
        put.await.expect("it is stored");
    }

    async fn artifacts(&self) -> Vec<Artifact> {
        let manifest = self.registry.manifest(&digits(), Version::FIRST).await;
        manifest.expect("it is there").artifacts
    }

    /// How many files a cold host asks for while the manifest is late, and how many in all; its
    /// answer must be right.
    async fn files(&self, options: ServiceOptions) -> (usize, usize) {
        let service = self.cold(options).await;
        self.fault(MANIFEST, Fault::Delay(LATE));
        let before = self.asked(BLOBS);
        let answering = tokio::spawn(async move { answer(&service, 7).await });
        sleep(LATE / 2).await;
        let early = self.asked(BLOBS) - before;
        assert_eq!(answering.await.expect("no panic"), Ok("7".to_owned()));
        (early, self.asked(BLOBS) - before)
    }
}

fn digits() -> ModelName {
    "digits".parse().expect("a name")
}

async fn predict(service: &Service, digit: u8) -> Result<String, Error> {
    let body = PredictBody {
        body: picture(digit).into(),
        content_type: Some("image/png".to_owned()),
        header_length: None,
    };
    let reference = "digits".parse().expect("a reference");
    let mut call = Call::new(None);
    let reply = service.predict(&reference, body, &mut call).await?;
    let reply: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let best = &reply["predictions"][0]["label"];
    Ok(best.as_str().expect("a label").to_owned())
}

async fn answer(service: &Service, digit: u8) -> Result<String, ErrorKind> {
    predict(service, digit).await.map_err(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_asked_for_before_the_manifest_has_answered() {
    let cloud = Cloud::start().await;
    let all = cloud.files(ServiceOptions::default()).await;
    assert_eq!(all, (FILES, FILES), "each once");
    cloud.hint(json!([])).await;
    let all = cloud.files(ServiceOptions::default()).await;
    assert_eq!(all, (0, FILES), "without hints");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_fetch_once() {
    let cloud = Cloud::start().await;
    let service = cloud.cold(ServiceOptions::default()).await;
    cloud.fault(MANIFEST, Fault::Delay(LATE));
    let before = cloud.asked(BLOBS);
    let asking = (0..16).map(|digit| {
        let service = service.clone();
        tokio::spawn(async move { answer(&service, digit % 10).await })
    });
    for (digit, answered) in asking.collect::<Vec<_>>().into_iter().enumerate() {
        let answered = answered.await.expect("no panic");
        assert_eq!(answered, Ok((digit % 10).to_string()));
    }
    assert_eq!(cloud.asked(BLOBS) - before, FILES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_lies_changes_no_answer() {
    let cloud = Cloud::start().await;
    let right = serde_json::to_value(cloud.artifacts().await).expect("JSON");
    let examples = right.as_array().expect("a list").iter();
    let examples = examples.clone().find(|file| file["role"] == "examples");
    let examples = examples.expect("they are proven on").clone();
    let with = |alter: &dyn Fn(&mut Value)| {
        let mut artifacts = right.clone();
        for artifact in artifacts.as_array_mut().expect("a list") {
            alter(artifact);
        }
        json!([{"version": 1, "artifacts": artifacts}])
    };
    let nowhere = format!("sha256:{}", "a5".repeat(32));
    let size = |size: u64| with(&|file: &mut Value| file["size"] = json!(size));
    for (case, hints, early) in [
        (
            "no such files",
            with(&|file| file["digest"] = json!(nowhere)),
            FILES,
        ),
        (
            "another graph",
            with(&|file| {
                if file["role"] == "model" {
                    file["digest"] = examples["digest"].clone();
                    file["size"] = examples["size"].clone();
                }
            }),
            FILES,
        ),
        ("files that are smaller", size(1), FILES),
        ("files that are larger", size(1 << 20), FILES),
        ("files larger than memory", size(1 << 40), 0),
        ("files as large as can be told", size(u64::MAX), 0),
        (
            "more memory than there is",
            with(&|file| file["measured"]["memory_bytes"] = json!(u64::MAX)),
            0,
        ),
        (
            "another version's",
            json!([{"version": 2, "artifacts": right}]),
            0,
        ),
        (
            "no graph",
            json!([{"version": 1, "artifacts": [examples]}]),
            0,
        ),
        ("no hints", json!({"version": 1}), 0),
    ] {
        cloud.hint(hints).await;
        let (before, all) = cloud.files(ServiceOptions::default()).await;
        assert_eq!(before, early, "{case}");
        assert!(all <= early + FILES, "{case}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_room_is_not_fetched_ahead() {
    let cloud = Cloud::start().await;
    let service = cloud.cold(ServiceOptions {
        cache_bytes: 1000,
        ..ServiceOptions::default()
    });
    let service = service.await;
    let before = cloud.asked(BLOBS);
    let refused = answer(&service, 1).await;
    assert_eq!(refused, Err(ErrorKind::OutOfMemory));
    assert_eq!(cloud.asked(BLOBS), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_fails_is_made_again() {
    let cloud = Cloud::start().await;
    for fault in [Fault::Status(403), Fault::Status(404), Fault::CutAfter(20)] {
        cloud.fault(BLOBS, fault);
        let (early, all) = cloud.files(ServiceOptions::default()).await;
        assert!(early >= FILES && all > FILES, "{fault:?}: {early}, {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_gone_is_told_of_as_ever() {
    let cloud = Cloud::start().await;
    let key = ObjectKey::new(MANIFEST).expect("a key");
    let manifest = cloud.store.get(&key).await.expect("it is there").bytes;
    cloud.store.delete(&key).await.expect("it is deleted");
    let hinted = cloud.cold(ServiceOptions::default()).await;
    let gone = predict(&hinted, 3).await.expect_err("it is gone");
    cloud.hint(json!([])).await;
    let other = cloud.cold(ServiceOptions::default()).await;
    let as_ever = predict(&other, 3).await.expect_err("it is gone");
    assert_eq!(gone.chain(), as_ever.chain());
    assert_eq!(gone.kind(), as_ever.kind());

    // Nothing is left behind that a load would wait for.
    let put = cloud.store.put(&key, manifest, PutCondition::IfAbsent);
    put.await.expect("it is back");
    assert_eq!(answer(&hinted, 3).await, Ok("3".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_end_with_the_caller_who_waits_for_the_manifest() {
    let cloud = Cloud::start().await;
    let service = cloud.cold(ServiceOptions::default()).await;
    let late = Fault::Delay(Duration::from_mins(1));
    cloud.fault(MANIFEST, late);
    let on = On::new(&Method::GET, BLOBS);
    cloud.server.faults().add(on, FILES, late);
    let before = cloud.asked(BLOBS);
    let call = |deadline| {
        let mut call = Call::new(None);
        call.deadline = Some((Instant::now() + deadline).into());
        call
    };
    let reference = "digits".parse().expect("a reference");
    let mut hurried = call(Duration::from_millis(500));
    let gone = service.model_ready(&reference, &mut hurried).await;
    assert_eq!(gone.expect_err("it is late").kind(), ErrorKind::Deadline);
    assert_eq!(cloud.asked(BLOBS) - before, FILES);
    // Neither their places among the loads nor their room are held any more.
    let mut patient = call(Duration::from_secs(20));
    let loaded = service.model_ready(&reference, &mut patient).await;
    loaded.expect("it is loaded");
}
