//! `POST /predict/{model}`.

use dunlin_registry::{Alias, ModelName, Version};
use http::{Request, StatusCode};
use serde_json::json;

use crate::support::{Served, blank, options, picture};

#[tokio::test]
async fn every_digit_is_recognized() {
    let served = Served::digits(options()).await;
    for digit in 0..10 {
        let answer = served.post("/predict/digits", picture(digit)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["model"], "digits");
        assert_eq!(body["version"], 1);
        assert_eq!(body["predictions"][0]["label"], digit.to_string(), "{body}");
        assert!(
            body["predictions"][0]["score"].as_f64().expect("a score") > 0.5,
            "{body}"
        );
    }
}

#[tokio::test]
async fn phases_travel_in_server_timing() {
    let served = Served::digits(options()).await;
    let first = served.post("/predict/digits", picture(7)).await;
    let second = served.post("/predict/digits", picture(7)).await;
    let names = |timing: &str| {
        let phases = timing
            .split(", ")
            .map(|phase| phase.split(';').next().expect("a name"));
        phases.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        names(first.header("server-timing")),
        [
            "resolve", "fetch", "load", "warm", "queue", "decode", "infer", "encode"
        ]
    );
    assert_eq!(
        names(second.header("server-timing")),
        ["resolve", "queue", "decode", "infer", "encode"]
    );
}

#[tokio::test]
async fn a_version_and_an_alias_may_follow_the_name() {
    let served = Served::digits(options()).await;
    served.publish("digits").await;
    let name = ModelName::new("digits").expect("a name");
    let alias = Alias::new("stable").expect("an alias");
    let first = vec![(Version::FIRST, 1)];
    served
        .registry
        .set_alias(&name, &alias, first)
        .await
        .expect("it is set");
    for (model, version) in [
        ("digits", 2),
        ("digits@1", 1),
        ("digits@2", 2),
        ("digits@stable", 1),
        ("digits%401", 1),
    ] {
        let answer = served.post(&format!("/predict/{model}"), picture(3)).await;
        assert_eq!(
            answer.json()["version"],
            version,
            "{model}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn json_holds_tensors_and_is_answered_with_a_list_an_item() {
    let served = Served::digits(options()).await;
    let request = Request::post("/predict/digits")
        .header("content-type", "application/json")
        .body(blank(3).to_string().into())
        .expect("a request");
    let answer = served.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let predictions = answer.json()["predictions"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(predictions.len(), 3);
    assert_eq!(predictions[0], predictions[2]);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_with_a_reason() {
    let served = Served::digits(options()).await;
    let whole = picture(1);
    let cases = [
        (
            "text",
            b"seven, please".to_vec(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("empty", Vec::new(), StatusCode::BAD_REQUEST),
        (
            "truncated",
            whole[..whole.len() / 2].to_vec(),
            StatusCode::BAD_REQUEST,
        ),
    ];
    for (what, body, status) in cases {
        let answer = served.post("/predict/digits", body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let body = answer.json();
        assert_eq!(body["model"], "digits", "{what}");
        assert_eq!(body["request_id"], answer.header("x-request-id"), "{what}");
        assert_ne!(body["error"], json!(""), "{what}");
    }
}
