//! Every mistake a caller can make: the right status, a stable kind, and words that help.

use serde_json::Value;

use super::{Case, expect, good, picture};

const INFER: &str = "/v2/models/digits/infer";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

pub(super) fn cases() -> Vec<Case> {
    [names(), tensors(), binary(), pictures()]
        .into_iter()
        .flatten()
        .collect()
}

/// A reply that must be an error body.
fn error(
    what: &'static str,
    (method, path): (&'static str, &str),
    status: u16,
    kind: &'static str,
    says: &'static str,
) -> Case {
    Case::new(what, method, path, move |reply| {
        let json = reply.json();
        let good = reply.status == status
            && json["kind"] == kind
            && json["error"]
                .as_str()
                .is_some_and(|text| text.contains(says))
            && json["request_id"] == reply.header("x-request-id")
            && reply.header("content-type") == JSON;
        expect(good, format!("not {status} {kind} with {says:?}"))
    })
}

fn invalid(what: &'static str, says: &'static str, body: impl Into<Vec<u8>>) -> Case {
    error(what, ("POST", INFER), 400, "invalid_request", says).body(JSON, body)
}

fn names() -> Vec<Case> {
    let get = |what, path, status, kind, says| error(what, ("GET", path), status, kind, says);
    vec![
        get(
            "no such model",
            "/v2/models/nope",
            404,
            "model_not_found",
            "nope",
        ),
        get(
            "no such version",
            "/v2/models/digits/versions/9",
            404,
            "version_not_found",
            "9",
        ),
        get(
            "no such alias",
            "/v2/models/digits/versions/beta",
            404,
            "alias_not_found",
            "beta",
        ),
        get(
            "version 0",
            "/v2/models/digits/versions/0",
            400,
            "invalid_name",
            "",
        ),
        get(
            "../ as a name",
            "/v2/models/%2e%2e%2fetc/ready",
            400,
            "invalid_name",
            "",
        ),
        get("NUL in a name", "/v2/models/a%00b", 400, "invalid_name", ""),
        get(
            "bytes that are not text",
            "/v2/models/%ff",
            400,
            "invalid_name",
            "UTF-8",
        ),
        get("no such path", "/nowhere", 404, "route_not_found", ""),
        get("the wrong method", INFER, 405, "method_not_allowed", ""),
        error(
            "no such model",
            ("POST", "/predict/nope"),
            404,
            "model_not_found",
            "nope",
        )
        .body(BYTES, "x"),
        error(
            "../ as a name",
            ("POST", "/predict/..%2f..%2fetc"),
            400,
            "invalid_name",
            "",
        )
        .body(BYTES, "x"),
    ]
}

/// A good request, changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let body = good::blank(1, false)
        .encode(false)
        .expect("finite numbers")
        .body;
    let mut request = serde_json::from_slice(&body).expect("our own JSON");
    change(&mut request);
    request.to_string().into_bytes()
}

fn tensors() -> Vec<Case> {
    let input = |field: &'static str, value: Value| changed(move |r| r["inputs"][0][field] = value);
    let text = String::from_utf8(changed(|_| ())).expect("JSON is text");
    vec![
        invalid("no JSON", "JSON", "{"),
        invalid("no inputs", "inputs", "{}"),
        invalid("no input", "image", r#"{"inputs": []}"#),
        invalid("a wrong input's name", "image", input("name", "img".into())),
        invalid("no such datatype", "FP31", input("datatype", "FP31".into())),
        invalid(
            "another datatype",
            "image",
            input("datatype", "FP64".into()),
        ),
        invalid("another shape", "image", input("shape", [1, 784].into())),
        invalid(
            "a negative dimension",
            "image",
            input("shape", [-1, 784].into()),
        ),
        invalid(
            "a wrong count",
            "image",
            input("shape", [2, 1, 28, 28].into()),
        ),
        invalid("NaN", "NaN", text.replacen("0.25", "NaN", 1)),
        invalid(
            "Infinity",
            "Infinity",
            text.replacen("0.25", "-Infinity", 1),
        ),
        invalid(
            "a string",
            "element 0",
            text.replacen("0.25", "\"0.25\"", 1),
        ),
        invalid("out of range", "1e39", text.replacen("0.25", "1e39", 1)),
        invalid(
            "a wrong output's name",
            "logits",
            changed(|r| {
                r["outputs"] = serde_json::json!([{"name": "probs"}]);
            }),
        ),
        error(
            "JSON too deep",
            ("POST", INFER),
            413,
            "too_large",
            "nesting",
        )
        .body(
            JSON,
            format!(r#"{{"parameters":{}"#, r#"{"a":"#.repeat(10_000)),
        ),
        error(
            "a huge shape",
            ("POST", INFER),
            413,
            "too_large",
            "elements",
        )
        .body(
            JSON,
            r#"{"inputs":[{"name":"image","datatype":"FP32","shape":[2000000000],"data":[]}]}"#,
        ),
        error(
            "a body over the limit",
            ("POST", "/predict/digits"),
            413,
            "too_large",
            "1048576",
        )
        .body(BYTES, vec![0; (1 << 20) + 1]),
    ]
}

fn binary() -> Vec<Case> {
    let encoded = good::blank(1, false).encode(true).expect("finite numbers");
    let length = encoded.header_length.unwrap_or_default();
    let send = |what, says, length: &str, body: &[u8]| {
        error(what, ("POST", INFER), 400, "invalid_request", says)
            .body(BYTES, body)
            .header("inference-header-content-length", length)
    };
    let (right, whole) = (length.to_string(), &encoded.body[..]);
    let short = (length - 1).to_string();
    vec![
        send(
            "a truncated body",
            "image",
            &right,
            &whole[..whole.len() - 1],
        ),
        send("no binary data", "image", &right, &whole[..length]),
        send(
            "bytes left over",
            "1 bytes",
            &right,
            &[whole, &[0]].concat(),
        ),
        send(
            "a header too short",
            "Inference-Header-Content-Length",
            &short,
            whole,
        ),
        send(
            "a header past the end",
            "Inference-Header-Content-Length",
            "999999",
            whole,
        ),
        send("a negative header", "-1", "-1", whole),
        send("a header that is no number", "ten", "ten", whole),
    ]
}

/// 54 bytes that say they are a picture of 40,000 × 40,000 pixels.
fn huge_bmp() -> Vec<u8> {
    let mut bmp = b"BM".to_vec();
    for word in [
        54_u32,
        0,
        54,
        40,
        40_000,
        40_000,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ] {
        bmp.extend_from_slice(&word.to_le_bytes());
    }
    bmp
}

fn pictures() -> Vec<Case> {
    let predict = ("POST", "/predict/digits");
    let png = picture(3);
    let jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xdb\x00";
    vec![
        error("40,000 × 40,000 pixels", predict, 413, "too_large", "40000")
            .body("image/bmp", huge_bmp()),
        error("a truncated PNG", predict, 400, "invalid_request", "").body("image/png", &png[..60]),
        error("a truncated JPEG", predict, 400, "invalid_request", "").body("image/jpeg", jpeg),
        error(
            "text as a picture",
            predict,
            415,
            "unsupported_media_type",
            "",
        )
        .body("image/png", "I am no picture"),
        error("nothing as a picture", predict, 400, "invalid_request", "").body("image/png", ""),
    ]
}
