//! Bad input: a clear error, the right status, and nothing lost.

use axum::body::Body;
use futures_util::stream;
use http::{Request, StatusCode};

use crate::support::{Served, blank, options, picture};

struct Case {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    status: u16,
    kind: &'static str,
    says: &'static str,
}

fn case(what: &'static str, path: &'static str, body: impl Into<String>) -> Case {
    Case {
        what,
        method: "POST",
        path,
        headers: &[],
        body: body.into(),
        status: 400,
        kind: "invalid_request",
        says: "",
    }
}

impl Case {
    fn get(path: &'static str, status: u16, kind: &'static str, says: &'static str) -> Self {
        Self {
            method: "GET",
            status,
            kind,
            says,
            ..case(path, path, "")
        }
    }

    fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    fn status(self, status: u16, kind: &'static str) -> Self {
        Self {
            status,
            kind,
            ..self
        }
    }

    fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
}

const INFER: &str = "/v2/models/digits/infer";

fn with(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut request = blank(1);
    change(&mut request);
    request.to_string()
}

fn names() -> Vec<Case> {
    vec![
        Case::get(
            "/v2/models/nope",
            404,
            "model_not_found",
            "no model \"nope\"",
        ),
        Case::get("/v2/models/nope/ready", 404, "model_not_found", "nope"),
        Case::get("/v2/models/nope/stats", 404, "model_not_found", "nope"),
        Case::get(
            "/v2/models/digits/versions/9",
            404,
            "version_not_found",
            "the newest is 1",
        ),
        Case::get(
            "/v2/models/digits/versions/beta",
            404,
            "alias_not_found",
            "beta",
        ),
        Case::get(
            "/v2/models/digits/versions/0",
            400,
            "invalid_name",
            "whole number",
        ),
        Case::get(
            "/v2/models/%2e%2e%2fetc/ready",
            400,
            "invalid_name",
            "allowed",
        ),
        Case::get("/v2/models/a%00b", 400, "invalid_name", "u{0}"),
        Case::get("/v2/models/%ff", 400, "invalid_name", "UTF-8"),
        Case::get("/v2/models/digits/versions/%2e%2e", 400, "invalid_name", ""),
        Case::get("/nowhere", 404, "route_not_found", ""),
        Case::get(INFER, 405, "method_not_allowed", "Allow"),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        case("no model", "/v2/models/nope/infer", blank(1).to_string())
            .status(404, "model_not_found"),
        case("no model", "/predict/nope", "x").status(404, "model_not_found"),
        case("a path as name", "/predict/..%2f..%2fetc", "x").status(400, "invalid_name"),
        case("no JSON", INFER, "{"),
        case("no inputs", INFER, "{}").says("inputs"),
        case(
            "wrong name",
            INFER,
            with(|r| r["inputs"][0]["name"] = "img".into()),
        )
        .says("no such input; it has \"image\""),
        case(
            "wrong datatype",
            INFER,
            with(|r| r["inputs"][0]["datatype"] = "INT64".into()),
        )
        .says("image"),
        case(
            "no datatype",
            INFER,
            with(|r| r["inputs"][0]["datatype"] = "FP31".into()),
        )
        .says("FP31"),
        case(
            "wrong shape",
            INFER,
            with(|r| r["inputs"][0]["shape"] = [1, 784].into()),
        )
        .says("want [-1, 1, 28, 28]"),
        case(
            "wrong count",
            INFER,
            with(|r| r["inputs"][0]["shape"] = [2, 1, 28, 28].into()),
        )
        .says("image"),
        case("NaN", INFER, blank(1).to_string().replacen("0.0", "NaN", 1)),
        case(
            "input twice",
            INFER,
            with(|r| {
                let again = r["inputs"][0].clone();
                r["inputs"].as_array_mut().expect("a list").push(again);
            }),
        )
        .says("twice"),
        case("no input", INFER, r#"{"inputs": []}"#).says("\"image\" is missing"),
        case(
            "wrong output",
            INFER,
            with(|r| r["outputs"] = serde_json::json!([{"name": "probs"}])),
        )
        .says("no such output; it has \"logits\""),
        case(
            "a header length that is no number",
            INFER,
            blank(1).to_string(),
        )
        .headers(&[("inference-header-content-length", "-1")])
        .says("not a number"),
        case("a header length past the end", INFER, blank(1).to_string())
            .headers(&[("inference-header-content-length", "999999")]),
        case("raw data of the wrong size", INFER, "abc")
            .headers(&[("inference-header-content-length", "0")])
            .says("3 bytes are not the data of input \"image\""),
        case("compressed", INFER, blank(1).to_string())
            .headers(&[("content-encoding", "gzip")])
            .status(415, "unsupported_media_type"),
        case("a form", "/predict/digits", "image=7")
            .headers(&[("content-type", "multipart/form-data; boundary=x")])
            .status(415, "unsupported_media_type"),
        case("index of nonsense", "/v2/repository/index", "[1]").says("ready"),
    ]
}

#[tokio::test]
async fn every_mistake_has_its_status_kind_and_reason() {
    let served = Served::digits(options()).await;
    let mut wrong = Vec::new();
    for case in names().into_iter().chain(bodies()) {
        let mut request = Request::builder().method(case.method).uri(case.path);
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        let request = request
            .header("x-request-id", "the-id")
            .body(Body::from(case.body));
        let answer = served.send(request.expect("a request")).await;
        let body = answer.json();
        let good = answer.status.as_u16() == case.status
            && body["kind"] == case.kind
            && body["error"]
                .as_str()
                .is_some_and(|text| text.contains(case.says))
            && body["request_id"] == "the-id"
            && answer.header("x-request-id") == "the-id"
            && answer.header("content-type") == "application/json";
        if !good {
            wrong.push(format!(
                "{} ({}): {} {body}",
                case.what, case.path, answer.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let served = Served::digits(options()).await;
    let answer = served.get("/predict/digits").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "POST");
    let answer = served.post("/v2", "").await;
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn bodies_have_a_limit_declared_or_not() {
    let mut options = options();
    options.limits.body_bytes = 1000;
    let served = Served::digits(options).await;
    let declared = served.post("/predict/digits", vec![0; 1001]).await;
    assert_eq!(declared.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        declared.text().contains("1001 bytes; the limit is 1000"),
        "{}",
        declared.text()
    );
    let parts = (0..20).map(|_| Ok::<_, std::io::Error>(vec![0u8; 100]));
    let streamed = Body::from_stream(stream::iter(parts));
    let unknown = served.post("/predict/digits", streamed).await;
    assert_eq!(
        unknown.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "{}",
        unknown.text()
    );
    let pieces: Vec<_> = picture(7)
        .chunks(50)
        .map(|part| Ok::<_, std::io::Error>(part.to_vec()))
        .collect();
    let good = served
        .post("/predict/digits", Body::from_stream(stream::iter(pieces)))
        .await;
    assert_eq!(
        good.json()["predictions"][0]["label"],
        "7",
        "{}",
        good.text()
    );
}

#[tokio::test]
async fn bodies_have_a_limit_together() {
    let mut options = options();
    options.limits.bodies_bytes = 4096;
    let served = Served::digits(options).await;
    let answer = served.post("/predict/digits", vec![0; 5000]).await;
    assert_eq!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("retry-after"), "1");
    // Nothing is held once it is answered.
    for _ in 0..10 {
        assert_eq!(
            served.post("/predict/digits", picture(7)).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn uris_and_headers_have_limits() {
    let served = Served::empty(options()).await;
    let long = served.get(&format!("/v2?{}", "x".repeat(5000))).await;
    assert_eq!(long.status, StatusCode::URI_TOO_LONG);
    let request = Request::get("/v2")
        .header("x-big", "x".repeat(40_000))
        .body(Body::empty());
    let big = served.send(request.expect("a request")).await;
    assert_eq!(big.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(big.json()["kind"], "headers_too_large");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let mut options = options();
    options.limits.body_timeout = std::time::Duration::from_millis(20);
    let served = Served::digits(options).await;
    let never = stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let answer = served
        .post("/predict/digits", Body::from_stream(never))
        .await;
    assert_eq!(
        answer.status,
        StatusCode::REQUEST_TIMEOUT,
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn errors_are_counted_by_kind_and_made_up_names_are_no_labels() {
    let served = Served::digits(options()).await;
    for name in ["made", "up", "names"] {
        served.post(&format!("/v2/models/{name}/infer"), "{}").await;
    }
    assert_eq!(
        served
            .metric("dunlin_errors_total{kind=\"model_not_found\"}")
            .await,
        3
    );
    let text = served.get("/metrics").await;
    assert!(!text.text().contains("made"), "{}", text.text());
}
