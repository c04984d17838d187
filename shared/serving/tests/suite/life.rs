//! Loads, evictions, moves, failures and the end, while requests come in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dunlin_registry::{Alias, Artifact, Draft, Manifest, ModelName, Role, Version};
use http::StatusCode;
use serde_json::json;

use crate::support::{Served, blank, options, picture};

const INFER: &str = "/v2/models/digits/infer";

fn name(text: &str) -> ModelName {
    text.parse().expect("a name")
}

fn version(number: u64) -> Version {
    Version::new(number).expect("a number")
}

/// Publishes a next version of digits past the publish road, with a graph that is none.
async fn publish_broken(served: &Served) -> Manifest {
    let first = served
        .registry
        .manifest(&name("digits"), Version::FIRST)
        .await
        .expect("it is there");
    let mut draft = Draft::new(name("digits"));
    draft.manifest.inputs = first.inputs;
    draft.manifest.outputs = first.outputs;
    draft.attach(Role::Model, "onnx", "this is no graph".into());
    served.registry.publish(draft).await.expect("it is stored")
}

async fn answered_by(served: &Served, path: &str) -> String {
    let answer = served.post(path, blank(1).to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["model_version"]
        .as_str()
        .expect("text")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_requests_load_once() {
    let served = Arc::new(Served::digits(options()).await);
    let requests = (0..64).map(|_| {
        let served = served.clone();
        tokio::spawn(async move { served.post("/predict/digits", picture(5)).await })
    });
    for answer in futures_util::future::join_all(requests).await {
        let answer = answer.expect("no panic");
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.json()["predictions"][0]["label"], "5");
    }
    let loads = "dunlin_model_loads_total{model=\"digits\",outcome=\"success\",version=\"1\"}";
    assert_eq!(served.metric(loads).await, 1);
}

#[tokio::test]
async fn a_load_goes_on_when_its_caller_has_gone() {
    let served = Arc::new(Served::digits(options()).await);
    let asking = served.clone();
    let gone = tokio::spawn(async move { asking.get("/v2/models/digits/ready").await });
    tokio::task::yield_now().await;
    gone.abort();
    let answer = served.get("/v2/models/digits/ready").await;
    assert_eq!(answer.status, StatusCode::OK);
    let loads = "dunlin_model_loads_total{model=\"digits\",outcome=\"success\",version=\"1\"}";
    assert_eq!(served.metric(loads).await, 1);
}

#[tokio::test]
async fn the_cache_is_bounded_in_bytes_and_forgets_what_was_used_longest_ago() {
    let probe = Served::digits(options()).await;
    probe.get("/v2/models/digits/ready").await;
    let one = probe.metric("dunlin_model_memory_bytes").await;
    assert!(one > 400_000, "a model of 424 kB holds {one} bytes");

    let mut options = options();
    options.cache_bytes = one * 5 / 2;
    let served = Served::empty(options).await;
    for model in ["a", "b", "c"] {
        served.publish(model).await;
    }
    for model in ["a", "b", "a", "c", "a"] {
        let answer = served.post(&format!("/predict/{model}"), picture(4)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert_eq!(served.metric("dunlin_models_loaded").await, 2);
    assert_eq!(served.metric("dunlin_model_evictions_total").await, 1);
    assert!(served.metric("dunlin_model_memory_bytes").await <= one * 5 / 2);
    let ready = served
        .post("/v2/repository/index", r#"{"ready": true}"#)
        .await
        .json();
    let names: Vec<_> = ready
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| m["name"].clone())
        .collect();
    assert_eq!(names, ["a", "c"], "b was used longest ago");
}

#[tokio::test]
async fn a_model_that_grows_with_the_shapes_it_sees_stays_within_the_cache() {
    let probe = Served::digits(options()).await;
    probe.get("/v2/models/digits/ready").await;
    let limit = probe.metric("dunlin_model_memory_bytes").await * 11 / 10;
    let mut options = options();
    options.cache_bytes = limit;
    let served = Served::digits(options).await;
    for batch in 1..=8 {
        let answer = served.post(INFER, blank(batch).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let held = served.metric("dunlin_model_memory_bytes").await;
        assert!(
            held <= limit,
            "{held} bytes after a batch of {batch}; the limit is {limit}"
        );
    }
}

#[tokio::test]
async fn a_model_larger_than_the_cache_is_refused_with_the_numbers() {
    let mut options = options();
    options.cache_bytes = 1000;
    let served = Served::digits(options).await;
    let answer = served.post("/predict/digits", picture(1)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["kind"], "out_of_memory");
    assert!(answer.text().contains("1000"), "{}", answer.text());
}

#[tokio::test]
async fn a_failed_load_keeps_the_version_that_served() {
    for background in [true, false] {
        let mut options = options();
        options.background = background;
        let served = Served::digits(options).await;
        assert_eq!(answered_by(&served, INFER).await, "1");
        assert_eq!(publish_broken(&served).await.version, version(2));
        for _ in 0..3 {
            assert_eq!(
                answered_by(&served, INFER).await,
                "1",
                "background {background}"
            );
        }
        let direct = served
            .post("/v2/models/digits/versions/2/infer", blank(1).to_string())
            .await;
        assert_eq!(direct.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(direct.json()["kind"], "model_unusable", "{}", direct.text());
        let index = served.post("/v2/repository/index", "").await.json();
        assert_eq!(index[1]["state"], "UNAVAILABLE");
        assert!(
            index[1]["reason"]
                .as_str()
                .expect("text")
                .contains("version 2"),
            "{index}"
        );
        // A good version mends it.
        served.publish("digits").await;
        let mut seen = String::new();
        for _ in 0..500 {
            seen = answered_by(&served, INFER).await;
            if seen == "3" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(seen, "3", "background {background}");
    }
}

#[tokio::test]
async fn a_load_that_fails_is_not_tried_by_every_request() {
    let mut options = options();
    options.retry_failed = Duration::from_hours(1);
    let served = Served::digits(options).await;
    publish_broken(&served).await;
    for _ in 0..5 {
        let answer = served.get("/v2/models/digits/ready").await;
        assert_eq!(answer.json()["kind"], "model_unusable", "{}", answer.text());
    }
    let loads = "dunlin_model_loads_total{model=\"digits\",outcome=\"failure\",version=\"2\"}";
    assert_eq!(served.metric(loads).await, 1);
}

#[tokio::test]
async fn a_blob_with_a_wrong_digest_is_never_served() {
    let served = Served::digits(options()).await;
    let manifest = served
        .registry
        .manifest(&name("digits"), Version::FIRST)
        .await
        .expect("it is there");
    let digest = dunlin_serving::runnable(&manifest.artifacts)
        .expect("a graph")
        .digest
        .to_string();
    let hex = digest.trim_start_matches("sha256:");
    let path = served.folder.path().join("blobs/sha256").join(hex);
    let mut bytes = std::fs::read(&path).expect("it is a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).expect("it can go");
    std::fs::write(&path, bytes).expect("it can come back");
    let answer = served.post("/predict/digits", picture(1)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["kind"], "model_unusable");
    assert!(answer.text().contains(hex), "{}", answer.text());
}

/// A batch of three rows that see one another: the plan is for one row.
#[tokio::test(flavor = "multi_thread")]
async fn a_shape_that_was_not_compiled_is_answered_from_the_onnx_file() {
    let served = Served::empty(options()).await;
    let path = "../engine/tests/data/batch_as_one.onnx";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let manifest = served.publish_from(path, "rows").await;
    let format = |loaded: &Artifact| loaded.format.clone();
    let loaded = dunlin_serving::runnable(&manifest.artifacts).expect("a graph");
    assert_eq!(format(loaded), dunlin_engine::PLAN_FORMAT);
    let body = |rows: usize| {
        let data: Vec<usize> = (0..rows * 8).collect();
        let input = json!({"name": "x", "datatype": "FP32", "shape": [rows, 8], "data": data});
        json!({ "inputs": [input] }).to_string()
    };
    for rows in [1, 3, 1] {
        let answer = served.post("/v2/models/rows/infer", body(rows)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.json()["outputs"][0]["shape"][0], rows);
    }
}

#[tokio::test]
async fn a_model_that_gives_other_answers_than_published_is_never_served() {
    let served = Served::digits(options()).await;
    let first = served
        .registry
        .manifest(&name("digits"), Version::FIRST)
        .await
        .expect("it is there");
    let examples = first
        .artifact(&Role::Examples, "examples-1")
        .expect("examples");
    let graph = first.artifact(&Role::Model, "onnx").expect("a graph");
    let mut pack = served
        .registry
        .blob(examples, None)
        .await
        .expect("its bytes")
        .to_vec();
    // The last bytes are those of the last example's logits.
    let end = pack.len();
    pack[end - 4..].copy_from_slice(&1000f32.to_le_bytes());
    let graph = served.registry.blob(graph, None).await.expect("its bytes");
    let mut draft = Draft::new(name("digits"));
    draft.manifest.inputs = first.inputs.clone();
    draft.manifest.outputs = first.outputs.clone();
    draft.manifest.transforms = first.transforms.clone();
    draft.attach(Role::Model, "onnx", graph);
    draft.attach(Role::Examples, "examples-1", pack.into());
    served.registry.publish(draft).await.expect("it is stored");
    let answer = served.get("/v2/models/digits/versions/2/ready").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.text().contains("1 of 10 examples failed"),
        "{}",
        answer.text()
    );
    assert_eq!(
        served
            .get("/v2/models/digits/versions/1/ready")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_alias_moves_and_rolls_back_without_a_gap() {
    let served = Served::digits(options()).await;
    served.publish("digits").await;
    let alias = Alias::production();
    for (target, path) in [
        (1, INFER),
        (2, "/v2/models/digits/versions/production/infer"),
        (1, INFER),
    ] {
        let targets = vec![(version(target), 1)];
        served
            .registry
            .set_alias(&name("digits"), &alias, targets)
            .await
            .expect("it moves");
        let mut seen = String::new();
        for _ in 0..500 {
            seen = answered_by(&served, path).await;
            if seen == target.to_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(seen, target.to_string());
    }
}

#[tokio::test]
async fn one_request_id_falls_on_one_side_of_a_weighted_alias() {
    let served = Served::digits(options()).await;
    served.publish("digits").await;
    for number in [1, 2] {
        served
            .get(&format!("/v2/models/digits/versions/{number}/ready"))
            .await;
    }
    let targets = vec![(version(1), 50), (version(2), 50)];
    let set = served
        .registry
        .set_alias(&name("digits"), &Alias::production(), targets)
        .await;
    set.expect("it is set");
    let mut sides = std::collections::BTreeSet::new();
    for id in 0..32 {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let request = http::Request::post(INFER)
                .header("x-request-id", format!("order-{id}"))
                .body(blank(1).to_string().into());
            let answer = served.send(request.expect("a request")).await;
            seen.insert(answer.json()["model_version"].to_string());
        }
        assert_eq!(seen.len(), 1, "order-{id} fell on {seen:?}");
        sides.extend(seen);
    }
    assert_eq!(sides.len(), 2, "both versions get requests");
}

#[tokio::test]
async fn a_deleted_version_is_gone_within_the_refresh_interval() {
    let served = Served::digits(options()).await;
    served.publish("digits").await;
    assert_eq!(
        answered_by(&served, "/v2/models/digits/versions/2/infer").await,
        "2"
    );
    served
        .registry
        .delete_version(&name("digits"), version(2))
        .await
        .expect("it is deleted");
    let answer = served
        .post("/v2/models/digits/versions/2/infer", blank(1).to_string())
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    assert_eq!(answered_by(&served, INFER).await, "1");
}

#[tokio::test]
async fn not_ready_before_the_preloaded_models_are_proven() {
    let mut with = options();
    with.preload = vec!["digits".parse().expect("a reference")];
    let served = Served::empty(with).await;
    assert!(served.service.preload().await.is_err());
    let answer = served.get("/v2/health/ready").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["ready"], false);
    assert_eq!(answer.json()["kind"], "not_ready");
    assert!(
        answer.text().contains("digits is not loaded"),
        "{}",
        answer.text()
    );
    assert_eq!(served.get("/v2/health/live").await.status, StatusCode::OK);
    served.publish("digits").await;
    served.service.preload().await.expect("now it loads");
    assert_eq!(served.get("/v2/health/ready").await.status, StatusCode::OK);
}

#[tokio::test]
async fn draining_finishes_what_runs_and_refuses_the_rest() {
    let served = Arc::new(Served::digits(options()).await);
    // The first request has to load: it is under way while the drain begins.
    let asking = served.clone();
    let running = tokio::spawn(async move { asking.post("/predict/digits", picture(8)).await });
    tokio::task::yield_now().await;
    let draining = served.clone();
    let drain = tokio::spawn(async move { draining.service.drain().await });
    while !served.service.draining() {
        tokio::task::yield_now().await;
    }
    let refused = served.post("/predict/digits", picture(8)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json()["kind"], "draining");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        served.get("/v2/health/ready").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(served.get("/v2/health/live").await.status, StatusCode::OK);
    assert_eq!(running.await.expect("no panic").status, StatusCode::OK);
    drain.await.expect("it ends");
}

#[tokio::test]
async fn a_full_queue_answers_429_at_once_and_a_past_deadline_504() {
    let mut options = options();
    (options.workers, options.queue) = (1, 0);
    let served = Arc::new(Served::digits(options).await);
    served.get("/v2/models/digits/ready").await;
    let requests = (0..16).map(|_| {
        let served = served.clone();
        tokio::spawn(async move { served.post(INFER, blank(64).to_string()).await })
    });
    let answers = futures_util::future::join_all(requests).await;
    let (mut good, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.expect("no panic");
        match answer.status {
            StatusCode::OK => good += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                refused += 1;
                assert_eq!(answer.header("retry-after"), "1");
                assert_eq!(answer.json()["kind"], "overloaded");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(
        good >= 1 && refused >= 1,
        "{good} answered, {refused} refused"
    );

    let mut request = http::Request::post(INFER);
    let past = std::time::Instant::now();
    request = request.extension(dunlin_serving::Deadline(past));
    let late = served
        .send(
            request
                .body(blank(1).to_string().into())
                .expect("a request"),
        )
        .await;
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT, "{}", late.text());
    assert_eq!(late.json()["kind"], "deadline_exceeded");
}
