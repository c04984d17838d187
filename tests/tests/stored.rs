//! Answers that go by way of the store, on the built functions under AWS's Runtime Interface Emulator
//! (`DUNLIN_TEST_RIE` names it) with an S3 server of this process: replies too large for an event, and
//! answers that are asked for later. What is not there is reported as skipped; `.ci/run lambda` has it all.

use std::path::PathBuf;
use std::sync::Arc;

use dunlin_storage::Store;
use dunlin_tests::hosts::{Emulator, Function, Gateway, binary, publish_to};
use dunlin_tests::requests::{Host as _, Reply, picture};
use dunlin_tests::s3_server::{BUCKET, S3Server};
use serde_json::{Value, json};

/// What AWS gives back of a function at most.
const LAMBDAS_LIMIT: usize = 6 << 20;

/// A bucket, and an emulator for functions over it.
struct Cloud {
    server: S3Server,
    bucket: Arc<dyn Store>,
    emulator: Emulator,
}

impl Cloud {
    async fn start(model: &str) -> Option<Self> {
        let Some(rie) = std::env::var_os("DUNLIN_TEST_RIE").map(PathBuf::from) else {
            eprintln!("skipped: DUNLIN_TEST_RIE is not set");
            return None;
        };
        let server = S3Server::start().await;
        let bucket = server.store("", &server.options()).await;
        publish_to(bucket.clone(), model).await;
        Some(Self {
            server,
            bucket,
            emulator: Emulator::Aws(rie),
        })
    }

    async fn function(&self, name: &str, more: &[(&str, &str)]) -> Function {
        let credentials = self.server.options().credentials.expect("it has some");
        let mut settings = vec![
            ("DUNLIN_STORE", format!("s3://{BUCKET}")),
            ("DUNLIN_S3_ENDPOINT", self.server.endpoint()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        ];
        settings.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let program = binary(name).unwrap_or_else(|| panic!("`{name}` is not built"));
        let function = Function::launch(&self.emulator, &program, &settings);
        function.await.behind(Gateway::HttpApi)
    }

    async fn keys(&self, folder: &str) -> Vec<String> {
        let objects = self.bucket.list(folder).await.expect("a list");
        let keys = objects.into_iter().map(|object| object.key.to_string());
        keys.collect()
    }
}

/// Numbers for `echo-fp32`, sent as binary data; as JSON or binary data they come back.
async fn echo(function: &Function, values: &[f32], binary: bool) -> Reply {
    let data: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let head = json!({
        "parameters": {"binary_data_output": binary},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [values.len() / 4, 4],
                    "parameters": {"binary_data_size": data.len()}}],
    });
    let head = head.to_string();
    let headers = [
        ("content-type", "application/octet-stream".to_owned()),
        ("inference-header-content-length", head.len().to_string()),
    ];
    let body = [head.as_bytes(), &data].concat();
    let path = "/v2/models/echo-fp32/infer";
    function.send("POST", path, &headers, &body).await
}

/// What a client gets that goes where it is sent.
async fn follow(reply: &Reply) -> (String, bytes::Bytes) {
    assert_eq!(reply.status, 303, "{:?}", reply.body);
    let told = reply.json();
    assert_eq!(told["url"], reply.header("location"), "{told}");
    let client = reqwest::Client::builder().no_proxy().build();
    let got = client.expect("a client").get(reply.header("location"));
    let got = got.send().await.expect("an answer");
    assert_eq!(got.status(), 200);
    let content_type = got.headers()["content-type"].to_str().expect("text");
    let content_type = content_type.to_owned();
    let bytes = got.bytes().await.expect("a body");
    assert_eq!(told["bytes"], bytes.len());
    assert_eq!(told["content_type"], content_type);
    (content_type, bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_no_event_carries_is_fetched_from_the_store() {
    let Some(cloud) = Cloud::start("tests/models/echo/echo-fp32.onnx").await else {
        return;
    };
    let function = cloud.function("bootstrap", &[]).await;
    let values: Vec<f32> = (0..1_000_000).map(|n| 1.0 / (n + 3) as f32).collect();
    // What fits is answered as ever, up to the limit.
    for (count, fits) in [(400_000, true), (1_000_000, false)] {
        let reply = echo(&function, &values[..count], false).await;
        if fits {
            assert_eq!(reply.status, 200, "{:?}", reply.body);
            assert_eq!(reply.json()["outputs"][0]["shape"][0], count / 4);
            assert!(cloud.keys("replies/").await.is_empty());
            continue;
        }
        assert!(reply.header("server-timing").contains("infer"));
        let (content_type, bytes) = follow(&reply).await;
        assert_eq!(content_type, "application/json");
        assert!(bytes.len() > LAMBDAS_LIMIT, "{}", bytes.len());
        let got: Value = serde_json::from_slice(&bytes).expect("JSON");
        let numbers = got["outputs"][0]["data"].as_array().expect("numbers");
        let numbers = numbers
            .iter()
            .map(|number| number.as_f64().unwrap_or_default() as f32);
        assert!(numbers.eq(values.iter().copied()), "they are the same");
        let keys = cloud.keys("replies/echo-fp32/").await;
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
    drop(function);
    // Behind a load balancer less is too much; what is binary comes so, and says how.
    let function = cloud
        .function("bootstrap", &[("DUNLIN_REPLY_MIB", "1")])
        .await;
    let reply = echo(&function, &values[..250_000], true).await;
    let (content_type, bytes) = follow(&reply).await;
    assert_eq!(content_type, "application/octet-stream");
    let head: usize = reply
        .header("inference-header-content-length")
        .parse()
        .expect("a length");
    let numbers = bytes[head..]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    assert!(
        numbers.eq(values[..250_000].iter().copied()),
        "they are the same"
    );
}

/// As the template wires it: S3 tells the queue of the request, and the queue the function `batch`.
fn notified(key: &str) -> Value {
    let read = |name: &str| -> Value {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/lambda/tests/events");
        let text = std::fs::read_to_string(format!("{folder}/{name}.json")).expect("the event");
        serde_json::from_str(&text).expect("JSON")
    };
    let mut told = read("s3");
    told["Records"][0]["s3"]["bucket"]["name"] = BUCKET.into();
    told["Records"][0]["s3"]["object"]["key"] = key.into();
    let mut message = read("sqs")["Records"][0].clone();
    message["body"] = told.to_string().into();
    json!({"Records": [message]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_function_takes_another_answers_later() {
    let Some(cloud) = Cloud::start("models/digits").await else {
        return;
    };
    let predict = cloud
        .function("bootstrap", &[("DUNLIN_LATER", "true")])
        .await;
    let batch = cloud
        .function("bootstrap-batch", &[("DUNLIN_ROUTES", "inbox/=digits")])
        .await;
    let headers = [
        ("content-type", "image/png".to_owned()),
        ("prefer", "respond-async".to_owned()),
    ];
    let poison = b"this is no picture".to_vec();
    for (body, status) in [(picture(7), 200), (poison, 415)] {
        let taken = predict
            .send("POST", "/predict/digits", &headers, &body)
            .await;
        assert_eq!(taken.status, 202, "{:?}", taken.body);
        assert_eq!(taken.header("preference-applied"), "respond-async");
        let place = format!("/predict/{}", taken.header("location"));
        let waiting = predict.send("GET", &place, &[], &[]).await;
        assert_eq!(waiting.status, 202, "{:?}", waiting.body);
        // Each message twice, as queues do.
        let keys = cloud.keys("requests/").await;
        for key in keys.iter().chain(&keys) {
            let reply = batch.invoke(&notified(key)).await;
            assert_eq!(reply, json!({"batchItemFailures": []}));
        }
        let answer = predict.send("GET", &place, &[], &[]).await;
        assert_eq!(answer.status, status, "{:?}", answer.body);
        if status == 200 {
            assert_eq!(answer.json()["predictions"][0]["label"], "7");
        } else {
            assert_eq!(answer.json()["kind"], "unsupported_media_type");
        }
    }
    assert_eq!(cloud.keys("results/").await.len(), 1);
    assert_eq!(cloud.keys("dead-letters/").await.len(), 1);
}
