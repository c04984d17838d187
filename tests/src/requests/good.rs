//! What a caller may ask.

use dunlin_protocol::{
    HEADER_LENGTH, InferInput, InferRequest, InferResponse, Limits, Parameters, RequestedOutput,
    Tensor,
};
use serde_json::{Value, json};

use super::{Case, Reply, expect, picture};

const INFER: &str = "/v2/models/digits/infer";

pub(super) fn cases() -> Vec<Case> {
    // Those that look at what the others have left come last.
    [looking(), inferring(), binary(), predicting(), counting()]
        .into_iter()
        .flatten()
        .collect()
}

fn looking() -> Vec<Case> {
    vec![
        Case::new("liveness", "GET", "/v2/health/live", |r| {
            expect(r.status == 200, r.status)
        }),
        Case::new("readiness", "GET", "/v2/health/ready", |r| {
            expect(r.status == 200, r.status)
        }),
        Case::new("server metadata", "GET", "/v2", |r| {
            let extensions = &r.json()["extensions"];
            expect(
                extensions.to_string().contains("binary_tensor_data"),
                extensions,
            )
        }),
        Case::new("model metadata", "GET", "/v2/models/digits", |r| {
            let json = r.json();
            let input = json!({"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]});
            expect(
                json["name"] == "digits" && json["inputs"] == json!([input]),
                json,
            )
        }),
        Case::new(
            "a version's metadata",
            "GET",
            "/v2/models/digits/versions/1",
            |r| expect(r.json()["versions"].to_string().contains("\"1\""), r.json()),
        ),
        Case::new(
            "a model's readiness",
            "GET",
            "/v2/models/digits/ready",
            |r| expect(r.status == 200, r.status),
        ),
    ]
}

fn inferring() -> Vec<Case> {
    vec![
        Case::new("JSON", "POST", INFER, logits(1, false)).body("application/json", request(1)),
        Case::new(
            "JSON, a version, a batch",
            "POST",
            "/v2/models/digits/versions/1/infer",
            logits(3, false),
        )
        .body("application/json", request(3)),
        Case::new("the id comes back", "POST", INFER, |r| {
            expect(r.json()["id"] == "my-id", r.json())
        })
        .body("application/json", request(1)),
        Case::new("the request's id comes back", "GET", "/v2", |r| {
            expect(r.header("x-request-id") == "mine", &r.headers)
        })
        .header("x-request-id", "mine"),
        Case::new("phases", "POST", INFER, |r| {
            expect(r.header("server-timing").contains("infer;dur="), &r.headers)
        })
        .body("application/json", request(1)),
        Case::new("picked outputs, as classes", "POST", INFER, |r| {
            let output = r.json()["outputs"][0].clone();
            let classes = output["data"].as_array().map_or(0, Vec::len);
            expect(output["datatype"] == "BYTES" && classes == 2, output)
        })
        .body("application/json", classification()),
    ]
}

fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, send_binary, want_binary) in [
        ("binary, both ways", true, true),
        ("binary in, JSON out", true, false),
        ("JSON in, binary out", false, true),
    ] {
        let encoded = blank(2, want_binary)
            .encode(send_binary)
            .expect("finite numbers");
        let mut case = Case::new(what, "POST", INFER, logits(2, want_binary))
            .body(encoded.content_type(), encoded.body);
        if let Some(length) = encoded.header_length {
            case = case.header("inference-header-content-length", &length.to_string());
        }
        cases.push(case);
    }
    cases
}

fn predicting() -> Vec<Case> {
    let mut cases = Vec::new();
    for (digit, image) in [("0", picture(0)), ("3", picture(3)), ("7", picture(7))] {
        let check = move |r: &Reply| {
            let json = r.json();
            expect(
                json["predictions"][0]["label"].as_str() == Some(digit),
                json,
            )
        };
        for content_type in ["image/png", "application/octet-stream"] {
            cases.push(
                Case::new("a picture", "POST", "/predict/digits", check)
                    .body(content_type, image.clone()),
            );
        }
    }
    cases
}

fn counting() -> Vec<Case> {
    vec![
        Case::new("statistics", "GET", "/v2/models/digits/stats", |r| {
            let count = r.json()["model_stats"][0]["inference_count"].as_u64();
            expect(count.is_some_and(|count| count > 0), r.json())
        }),
        Case::new("the index", "POST", "/v2/repository/index", |r| {
            let entry = r.json()[0].clone();
            expect(
                entry["name"] == "digits" && entry["state"] == "READY",
                entry,
            )
        }),
        Case::new("metrics", "GET", "/metrics", |r| {
            let text = String::from_utf8_lossy(&r.body).into_owned();
            expect(text.contains("nv_inference_request_success{"), text)
        }),
    ]
}

/// `batch` blank pictures.
pub(super) fn blank(batch: usize, binary_output: bool) -> InferRequest {
    let shape = vec![batch, 1, 28, 28];
    let tensor = Tensor::from_vec(shape, vec![0.25_f32; batch * 784]).expect("the shape's count");
    let mut parameters = Parameters::new();
    if binary_output {
        parameters.insert("binary_data_output".into(), true.into());
    }
    InferRequest {
        id: Some("my-id".into()),
        parameters,
        inputs: vec![InferInput {
            name: "image".into(),
            parameters: Parameters::new(),
            tensor,
        }],
        outputs: Vec::new(),
    }
}

fn request(batch: usize) -> Vec<u8> {
    blank(batch, false)
        .encode(false)
        .expect("finite numbers")
        .body
        .to_vec()
}

fn classification() -> Vec<u8> {
    let mut request = blank(1, false);
    let mut parameters = Parameters::new();
    parameters.insert("classification".into(), Value::from(2));
    request.outputs.push(RequestedOutput {
        name: "logits".into(),
        parameters,
    });
    request.encode(false).expect("finite numbers").body.to_vec()
}

/// The reply holds `batch` rows of ten finite logits, all rows the same.
fn logits(batch: usize, binary: bool) -> impl Fn(&Reply) -> Result<(), String> {
    move |reply| {
        let length = reply.header(HEADER_LENGTH).parse().ok();
        if binary != length.is_some() {
            return Err(format!("{:?}", reply.headers));
        }
        let limits = Limits::default();
        let response = InferResponse::decode(&reply.body, length, &limits);
        let response = response.map_err(|error| error.to_string())?;
        let output = &response.outputs[0];
        let values = output
            .tensor
            .to_vec::<f32>()
            .map_err(|error| error.to_string())?;
        let same = values.chunks(10).all(|row| {
            row.iter()
                .zip(&values)
                .all(|(a, b)| a.is_finite() && (a - b).abs() < 1e-4)
        });
        let shaped = output.tensor.shape() == [batch, 10];
        expect(
            output.name == "logits" && shaped && same && response.model_version == "1",
            response,
        )
    }
}
