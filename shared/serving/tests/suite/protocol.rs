//! The Open Inference Protocol v2 and its extensions.

use bytes::Bytes;
use dunlin_protocol::{InferResponse, Limits};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Served, blank, options};

const INFER: &str = "/v2/models/digits/infer";

/// A binary request for a batch of blank pictures, and the length of its JSON header.
fn binary(batch: usize) -> (Vec<u8>, usize) {
    let header = json!({
        "inputs": [{
            "name": "image", "datatype": "FP32", "shape": [batch, 1, 28, 28],
            "parameters": {"binary_data_size": batch * 784 * 4},
        }],
        "outputs": [{"name": "logits", "parameters": {"binary_data": true}}],
    });
    let mut body = header.to_string().into_bytes();
    let length = body.len();
    body.resize(length + batch * 784 * 4, 0);
    (body, length)
}

async fn send_binary(served: &Served, body: Vec<u8>, length: usize) -> Answer {
    let request = Request::post(INFER)
        .header("inference-header-content-length", length)
        .header("content-type", "application/octet-stream")
        .body(body.into());
    served.send(request.expect("a request")).await
}

fn decode(answer: &Answer) -> InferResponse {
    let length = answer
        .header("inference-header-content-length")
        .parse()
        .ok();
    InferResponse::decode(&answer.body, length, &Limits::default()).expect("a reply")
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let served = Served::digits(options()).await;
    let metadata = served.get("/v2").await.json();
    assert_eq!(metadata["name"], "dunlin");
    for extension in ["binary_tensor_data", "classification", "statistics"] {
        assert!(
            metadata["extensions"]
                .as_array()
                .expect("a list")
                .contains(&json!(extension))
        );
    }
    assert_eq!(
        served.get("/v2/health/live").await.json(),
        json!({"live": true})
    );
    assert_eq!(
        served.get("/v2/health/ready").await.json(),
        json!({"ready": true})
    );
}

#[tokio::test]
async fn a_model_says_what_it_takes_without_being_loaded() {
    let served = Served::digits(options()).await;
    let wanted = json!({
        "name": "digits", "versions": ["1"], "platform": "onnx_tract",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
    });
    for path in ["/v2/models/digits", "/v2/models/digits/versions/1"] {
        assert_eq!(served.get(path).await.json(), wanted, "{path}");
    }
    assert_eq!(served.metric("dunlin_models_loaded").await, 0);
}

#[tokio::test]
async fn ready_means_loaded_and_proven() {
    let served = Served::digits(options()).await;
    let answer = served.get("/v2/models/digits/versions/1/ready").await;
    assert_eq!(answer.json(), json!({"name": "digits", "ready": true}));
    assert_eq!(served.metric("dunlin_models_loaded").await, 1);
}

#[tokio::test]
async fn json_in_and_out() {
    let served = Served::digits(options()).await;
    let answer = served.post(INFER, blank(2).to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["model_name"], "digits");
    assert_eq!(body["model_version"], "1");
    assert_eq!(body["id"], "blank");
    assert_eq!(body["outputs"][0]["shape"], json!([2, 10]));
    assert_eq!(
        body["outputs"][0]["data"].as_array().expect("a list").len(),
        20
    );
}

#[tokio::test]
async fn binary_in_and_out_equals_json() {
    let served = Served::digits(options()).await;
    let (body, length) = binary(2);
    let answer = send_binary(&served, body, length).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let reply = decode(&answer);
    assert!(reply.outputs[0].binary);
    let json = decode(&served.post(INFER, blank(2).to_string()).await);
    assert_eq!(reply.outputs[0].tensor, json.outputs[0].tensor);
}

#[tokio::test]
async fn a_raw_binary_request_needs_no_header_and_is_answered_binary() {
    let served = Served::digits(options()).await;
    let answer = send_binary(&served, vec![0; 3 * 784 * 4], 0).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let reply = decode(&answer);
    assert!(reply.outputs[0].binary);
    assert_eq!(reply.outputs[0].tensor.shape(), [3, 10]);
}

#[tokio::test]
async fn a_truncated_binary_body_is_refused() {
    let served = Served::digits(options()).await;
    let (mut body, length) = binary(1);
    body.pop();
    let answer = send_binary(&served, body, length).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    assert!(answer.text().contains("image"), "{}", answer.text());
}

#[tokio::test]
async fn classification_names_the_best_classes() {
    let served = Served::digits(options()).await;
    let mut request = blank(2);
    request["outputs"] = json!([{"name": "logits", "parameters": {"classification": 3}}]);
    let body = served.post(INFER, request.to_string()).await.json();
    let output = &body["outputs"][0];
    assert_eq!(output["datatype"], "BYTES");
    assert_eq!(output["shape"], json!([2, 3]));
    let best = output["data"][0].as_str().expect("text");
    let parts: Vec<_> = best.split(':').collect();
    // score:index:label, and the labels of digits are the indices.
    assert_eq!(parts.len(), 3, "{best}");
    assert_eq!(parts[1], parts[2], "{best}");
}

#[tokio::test]
async fn the_index_tells_what_is_loaded() {
    let served = Served::digits(options()).await;
    served.publish("second").await;
    let states = |body: Value| {
        let entries = body.as_array().expect("a list").clone();
        let state =
            |entry: &Value| format!("{} {} {}", entry["name"], entry["version"], entry["state"]);
        entries
            .iter()
            .map(state)
            .collect::<Vec<_>>()
            .join(", ")
            .replace('"', "")
    };
    let index = served.post("/v2/repository/index", "").await.json();
    assert_eq!(states(index), "digits 1 UNAVAILABLE, second 1 UNAVAILABLE");
    served.get("/v2/models/second/ready").await;
    let index = served.post("/v2/repository/index", "{}").await.json();
    assert_eq!(states(index), "digits 1 UNAVAILABLE, second 1 READY");
    let ready = served
        .post("/v2/repository/index", r#"{"ready": true}"#)
        .await
        .json();
    assert_eq!(states(ready), "second 1 READY");
}

#[tokio::test]
async fn statistics_and_metrics_count_the_same() {
    let served = Served::digits(options()).await;
    served.post(INFER, blank(1).to_string()).await;
    served.post(INFER, blank(4).to_string()).await;
    served.post(INFER, "{}").await;
    for path in [
        "/v2/models/digits/stats",
        "/v2/models/digits/versions/1/stats",
        "/v2/models/stats",
    ] {
        let body = served.get(path).await.json();
        let stats = &body["model_stats"][0];
        assert_eq!(stats["name"], "digits", "{path}");
        assert_eq!(stats["version"], "1");
        assert_eq!(stats["inference_count"], 5);
        assert_eq!(stats["execution_count"], 2);
        assert_eq!(stats["inference_stats"]["success"]["count"], 2);
        assert_eq!(stats["inference_stats"]["fail"]["count"], 1);
        assert!(stats["inference_stats"]["compute_infer"]["ns"].as_u64() > Some(0));
        let sizes: Vec<_> = stats["batch_stats"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        assert_eq!(
            sizes
                .iter()
                .map(|size| size["batch_size"].clone())
                .collect::<Vec<_>>(),
            [1, 4]
        );
        assert!(stats["memory_usage"][0]["byte_size"].as_u64() > Some(0));
        assert!(stats["last_inference"].as_u64() > Some(1_600_000_000_000));
    }
    let labels = "{model=\"digits\",version=\"1\"}";
    assert_eq!(
        served
            .metric(&format!("nv_inference_request_success{labels}"))
            .await,
        2
    );
    assert_eq!(
        served.metric(&format!("nv_inference_count{labels}")).await,
        5
    );
    assert_eq!(
        served
            .metric(&format!("nv_inference_exec_count{labels}"))
            .await,
        2
    );
    assert_eq!(
        served
            .metric(&format!("nv_inference_pending_request_count{labels}"))
            .await,
        0
    );
    let failed = "nv_inference_request_failure{model=\"digits\",reason=\"OTHER\",version=\"1\"}";
    assert_eq!(served.metric(failed).await, 1);
}

#[tokio::test]
async fn every_route_of_the_table_answers() {
    let served = Served::digits(options()).await;
    for route in dunlin_serving::routes() {
        let path = route
            .path
            .replace("{model}", "digits")
            .replace("{version}", "1");
        let request = Request::builder().method(route.method).uri(&path);
        let answer = served
            .send(request.body(Bytes::new().into()).expect("a request"))
            .await;
        let kind = if answer.status.is_success() {
            Value::Null
        } else {
            answer.json()["kind"].clone()
        };
        assert!(
            kind != "route_not_found" && kind != "method_not_allowed",
            "{route:?}: {kind}"
        );
    }
}
