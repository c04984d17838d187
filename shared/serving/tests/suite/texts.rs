//! Texts and series in; labels, vectors and forecasts out.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Served, options};

/// One of the tiny models of `tests/models/texts`.
fn tiny(name: &str) -> PathBuf {
    let folder = "../../tests/models/texts";
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name)
}

async fn served(names: &[&str]) -> Served {
    let served = Served::empty(options()).await;
    for name in names {
        served.publish_from(tiny(name), name).await;
    }
    served
}

async fn post_json(served: &Served, path: &str, body: Value) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .expect("a request");
    served.send(request).await
}

#[tokio::test]
async fn a_text_is_answered_with_labels() {
    let served = served(&["spam"]).await;
    for (text, label) in [("WIN free money!!!", "spam"), ("See you on Tuesday", "ham")] {
        let answer = served.post("/predict/spam", text).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["model"], "spam");
        assert_eq!(body["predictions"][0]["label"], label, "{body}");
    }
    let both = json!({"texts": ["free money!", "the meeting is moved"]});
    let body = post_json(&served, "/predict/spam", both).await.json();
    assert_eq!(body["predictions"][0][0]["label"], "spam", "{body}");
    assert_eq!(body["predictions"][1][0]["label"], "ham", "{body}");

    let answer = served.post("/predict/spam", &b"K\xe4fer"[..]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.text().contains("not UTF-8, at byte 1"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_series_is_answered_with_what_comes_next() {
    let served = served(&["weather"]).await;
    let days = std::fs::read(tiny("weather/examples/two-days.csv")).expect("it is there");
    let body = served.post("/predict/weather", days).await.json();
    assert_eq!(
        (&body["unit"], &body["step"]),
        (&json!("°F"), &json!("hour"))
    );
    let forecast: Vec<f64> = serde_json::from_value(body["forecast"].clone()).expect("numbers");
    for (got, want) in forecast.iter().zip([43.35, 42.15, 41.35]) {
        assert!((got - want).abs() < 1e-3, "{forecast:?}");
    }
    let answer = served.post("/predict/weather", "temp\n1\n2\n").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer.text().contains("looks at the last 24"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_vector_does_not_depend_on_other_texts() {
    let served = served(&["words"]).await;
    let texts: Vec<String> = (0..70)
        .map(|n| "the bird flies ".repeat(n % 7 + 1))
        .collect();
    let body = json!({"model": "words", "input": texts, "user": "anybody"});
    let answer = post_json(&served, "/v1/embeddings", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (&body["object"], &body["model"]),
        (&json!("list"), &json!("words@1"))
    );
    let data = body["data"].as_array().expect("a list");
    assert_eq!(data.len(), texts.len());
    for (index, (entry, text)) in data.iter().zip(&texts).enumerate() {
        assert_eq!(entry["index"], index);
        let alone = served.post("/predict/words", text.clone()).await.json();
        let together: Vec<f32> = serde_json::from_value(entry["embedding"].clone()).expect("8");
        let alone: Vec<f32> = serde_json::from_value(alone["embedding"].clone()).expect("8");
        assert!((together.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        for (a, b) in alone.iter().zip(&together) {
            assert!((a - b).abs() < 1e-5, "{text}: {alone:?} {together:?}");
        }
    }
    // [CLS], three words each time, [SEP].
    let tokens: usize = (0..70).map(|n| 2 + 3 * (n % 7 + 1)).sum();
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": tokens, "total_tokens": tokens})
    );

    let one = json!({"model": "words@1", "input": texts[0], "encoding_format": "base64"});
    let one = post_json(&served, "/v1/embeddings", one).await.json();
    let bytes = STANDARD.decode(one["data"][0]["embedding"].as_str().expect("text"));
    let bytes = bytes.expect("base64");
    let (values, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
    let listed: Vec<f32> = serde_json::from_value(data[0]["embedding"].clone()).expect("8");
    for (a, b) in values.iter().zip(&listed) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[tokio::test]
async fn errors_are_those_of_openai() {
    let served = served(&["words", "spam"]).await;
    let many = vec!["a"; 2049];
    let cases = [
        (
            json!({"model": "nobody", "input": "a"}),
            404,
            "model_not_found",
            "no model \"nobody\"",
        ),
        (
            json!({"model": "spam", "input": "a"}),
            400,
            "invalid_request",
            "no embeddings",
        ),
        (
            json!({"model": "words", "input": []}),
            400,
            "invalid_request",
            "empty list",
        ),
        (
            json!({"model": "words", "input": [1, 2]}),
            400,
            "invalid_request",
            "check_embedding_ctx_length",
        ),
        (
            json!({"model": "words", "input": "a", "dimensions": 4}),
            400,
            "invalid_request",
            "have 8",
        ),
        (
            json!({"model": "words", "input": many}),
            413,
            "too_large",
            "the limit is 2048",
        ),
        (
            json!({"model": "words"}),
            400,
            "invalid_request",
            "missing field `input`",
        ),
    ];
    for (body, status, code, says) in cases {
        let answer = post_json(&served, "/v1/embeddings", body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["request_id"], answer.header("x-request-id"));
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(says), "{message}, not {says}");
    }
}

#[tokio::test]
async fn models_are_listed_as_openai_lists_them() {
    let served = served(&["words", "spam"]).await;
    let body = served.get("/v1/models").await.json();
    assert_eq!(body["object"], "list");
    let ids: Vec<&Value> = body["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|m| &m["id"])
        .collect();
    assert_eq!(ids, ["spam", "words"]);
    assert!(body["data"][0]["created"].as_u64().expect("seconds") > 1_700_000_000);
    let one = served.get("/v1/models/words@1").await.json();
    assert_eq!(
        (&one["id"], &one["object"]),
        (&json!("words@1"), &json!("model"))
    );
    let none = served.get("/v1/models/nobody").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(none.json()["error"]["code"], "model_not_found");
}
