//! Every mistake a caller can make on the wire: a clear error of the right kind, in the right
//! place.

use bytes::Bytes;
use dunlin_protocol::{ErrorKind, InferRequest, Limits};

struct Case {
    body: String,
    header_length: Option<usize>,
    kind: ErrorKind,
    /// Words of the message.
    words: &'static [&'static str],
}

fn decode(
    body: &str,
    header_length: Option<usize>,
) -> Result<InferRequest, dunlin_protocol::Error> {
    let limits = limits();
    InferRequest::decode(&Bytes::from(body.to_owned()), header_length, &limits)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.body_bytes = 4096;
    limits.elements = 1000;
    limits.tensors = 3;
    limits.rank = 4;
    limits.json_depth = 8;
    limits.name_bytes = 64;
    limits
}

fn check(cases: Vec<Case>) {
    let mut failures = Vec::new();
    for Case {
        body,
        header_length,
        kind,
        words,
    } in cases
    {
        let shown: String = body.chars().take(120).collect();
        match decode(&body, header_length) {
            Ok(request) => failures.push(format!("{shown}: accepted as {request:?}")),
            Err(error) => {
                let text = error.to_string();
                if error.kind() != kind || !words.iter().all(|word| text.contains(word)) {
                    failures.push(format!(
                        "{shown}: {:?} {text:?}, not {kind:?} with {words:?}",
                        error.kind()
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A request whose JSON alone is wrong.
fn json(body: impl Into<String>, kind: ErrorKind, words: &'static [&'static str]) -> Case {
    Case {
        body: body.into(),
        header_length: None,
        kind,
        words,
    }
}

/// A request of one tensor `x`.
fn tensor(datatype: &str, shape: &str, data: &str) -> String {
    format!(
        r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
    )
}

#[test]
fn json_that_is_not_json() {
    let deep = format!(
        r#"{{"parameters":{}1{}}}"#,
        r#"{"a":"#.repeat(9),
        "}".repeat(9)
    );
    check(vec![
        json("", ErrorKind::Json, &["byte 0", "object", "the end"]),
        json("hello", ErrorKind::Json, &["hello"]),
        json("[]", ErrorKind::Json, &["object"]),
        json("{", ErrorKind::Json, &["string"]),
        json(r#"{"inputs":[]"#, ErrorKind::Json, &["',' or '}'"]),
        json(r#"{"inputs":[],}"#, ErrorKind::Json, &["string", "}"]),
        json(r#"{"inputs":[]} x"#, ErrorKind::Json, &["the end", "x"]),
        json(r#"{"inputs" []}"#, ErrorKind::Json, &["':'"]),
        json(r#"{"id":"\x","inputs":[]}"#, ErrorKind::Json, &["escape"]),
        json(r#"{"id":"a"#, ErrorKind::Json, &["does not end"]),
        json(r#"{"other":[1,}],"inputs":[]}"#, ErrorKind::Json, &["byte"]),
        json(deep, ErrorKind::TooLarge, &["nesting", "8"]),
        json(
            tensor("FP32", "[1]", &"[".repeat(3000)),
            ErrorKind::Shape,
            &["\"x\"", "deeper"],
        ),
        json(
            format!(r#"{{"inputs":[{{"data":{}}}]}}"#, "[".repeat(3000)),
            ErrorKind::TooLarge,
            &["nesting"],
        ),
    ]);
}

#[test]
fn json_that_is_not_a_request() {
    let with = |fields: &str| format!(r#"{{"inputs":[{{"name":"x",{fields}}}]}}"#);
    let outputs = |outputs: &str| format!(r#"{{"inputs":[],"outputs":[{outputs}]}}"#);
    check(vec![
        json("{}", ErrorKind::Message, &["inputs"]),
        json(r#"{"inputs":[{}]}"#, ErrorKind::Message, &["name"]),
        json(
            r#"{"id":7,"inputs":[]}"#,
            ErrorKind::Message,
            &["id", "7", "string"],
        ),
        json(
            r#"{"parameters":[],"inputs":[]}"#,
            ErrorKind::Message,
            &["parameters", "object"],
        ),
        json(r#"{"inputs":{}}"#, ErrorKind::Json, &["array"]),
        json(
            r#"{"inputs":[],"inputs":[]}"#,
            ErrorKind::Message,
            &["inputs", "twice"],
        ),
        json(
            with(r#""shape":[1],"data":[1]"#),
            ErrorKind::Message,
            &["\"x\"", "datatype"],
        ),
        json(
            with(r#""datatype":"FP32","data":[1]"#),
            ErrorKind::Message,
            &["\"x\"", "shape"],
        ),
        json(
            with(r#""datatype":"FP32","shape":[1]"#),
            ErrorKind::Message,
            &["\"x\"", "data"],
        ),
        json(
            with(r#""datatype":"FLOAT","shape":[1]"#),
            ErrorKind::Datatype,
            &["FLOAT", "FP32"],
        ),
        json(
            with(r#""datatype":"FP32","shape":[1],"data":[1],"parameters":{"binary_data_size":4}"#),
            ErrorKind::Message,
            &["\"x\"", "both"],
        ),
        json(
            r#"{"inputs":[{"name":"x","shape":[0],"datatype":"FP32","data":[]},
                          {"name":"x","shape":[0],"datatype":"FP32","data":[]}]}"#,
            ErrorKind::Message,
            &["\"x\"", "twice"],
        ),
        json(
            outputs(r#"{"name":"y"},{"name":"y"}"#),
            ErrorKind::Message,
            &["\"y\"", "twice"],
        ),
        json(
            outputs(r#"{"parameters":{}}"#),
            ErrorKind::Message,
            &["name"],
        ),
        json(
            outputs(r#"{"name":"y","parameters":{"binary_data":"yes"}}"#),
            ErrorKind::Message,
            &["\"y\"", "binary_data", "yes"],
        ),
        json(
            outputs(r#"{"name":"y","parameters":{"classification":-1}}"#),
            ErrorKind::Message,
            &["\"y\"", "classification", "-1"],
        ),
        json(
            r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#,
            ErrorKind::Message,
            &["binary_data_output"],
        ),
    ]);
}

#[test]
fn shapes_that_do_not_fit() {
    check(vec![
        json(
            tensor("FP32", "[-1]", "[1]"),
            ErrorKind::Shape,
            &["\"x\"", "-1"],
        ),
        json(tensor("FP32", "[1.5]", "[1]"), ErrorKind::Shape, &["1.5"]),
        json(tensor("FP32", "\"1\"", "[1]"), ErrorKind::Json, &["array"]),
        json(
            tensor("FP32", "[2]", "[1]"),
            ErrorKind::Shape,
            &["\"x\"", "holds 1", "takes 2"],
        ),
        json(
            tensor("FP32", "[2]", "[1,2,3]"),
            ErrorKind::Shape,
            &["more than the 2"],
        ),
        json(
            tensor("FP32", "[2]", "[]"),
            ErrorKind::Shape,
            &["holds 0", "takes 2"],
        ),
        json(
            tensor("FP32", "[3,2]", "[[1,2,3],[4,5,6]]"),
            ErrorKind::Shape,
            &["nesting 2"],
        ),
        json(
            tensor("FP32", "[2,2]", "[[1,2,3],[4]]"),
            ErrorKind::Shape,
            &["holds 3", "takes 2"],
        ),
        json(
            tensor("FP32", "[2,2]", "[[1,2],[]]"),
            ErrorKind::Shape,
            &["holds 0"],
        ),
        json(
            tensor("FP32", "[2]", "[[1],[2]]"),
            ErrorKind::Shape,
            &["deeper"],
        ),
        json(
            tensor("FP32", "[1,0]", "[[],]"),
            ErrorKind::Shape,
            &["more than the 0"],
        ),
        json(
            tensor("BYTES", "[2]", r#"["a"]"#),
            ErrorKind::Shape,
            &["holds 1", "takes 2"],
        ),
        json(tensor("FP32", "[1]", "1"), ErrorKind::Json, &["array"]),
        json(
            tensor("FP32", "[1]", "[1"),
            ErrorKind::Json,
            &["',' or ']'"],
        ),
    ]);
}

#[test]
fn elements_of_another_datatype() {
    check(vec![
        json(
            tensor("FP32", "[2]", "[1,NaN]"),
            ErrorKind::Value,
            &["element 1", "NaN", "binary"],
        ),
        json(
            tensor("FP32", "[1]", "[-Infinity]"),
            ErrorKind::Value,
            &["-Infinity", "binary"],
        ),
        json(tensor("FP64", "[1]", "[null]"), ErrorKind::Value, &["null"]),
        json(
            tensor("FP32", "[1]", "[\"1\"]"),
            ErrorKind::Value,
            &["\"1\"", "number"],
        ),
        json(tensor("FP32", "[1]", "[true]"), ErrorKind::Value, &["true"]),
        json(tensor("FP32", "[1]", "[01]"), ErrorKind::Value, &["01"]),
        json(
            tensor("FP32", "[1]", "[1e39]"),
            ErrorKind::Value,
            &["1e39", "range", "FP32"],
        ),
        json(
            tensor("FP16", "[1]", "[65520]"),
            ErrorKind::Value,
            &["65520", "range", "FP16"],
        ),
        json(
            tensor("BF16", "[1]", "[3.4e38]"),
            ErrorKind::Value,
            &["range", "BF16"],
        ),
        json(
            tensor("FP64", "[1]", "[1e309]"),
            ErrorKind::Value,
            &["range", "FP64"],
        ),
        json(
            tensor("UINT8", "[1]", "[256]"),
            ErrorKind::Value,
            &["256", "range", "UINT8"],
        ),
        json(
            tensor("UINT64", "[1]", "[-1]"),
            ErrorKind::Value,
            &["-1", "range", "UINT64"],
        ),
        json(
            tensor("UINT64", "[1]", "[18446744073709551616]"),
            ErrorKind::Value,
            &["range", "UINT64"],
        ),
        json(
            tensor("INT8", "[1]", "[-129]"),
            ErrorKind::Value,
            &["range", "INT8"],
        ),
        json(
            tensor("INT64", "[1]", "[1.5]"),
            ErrorKind::Value,
            &["1.5", "integer"],
        ),
        json(
            tensor("BOOL", "[1]", "[2]"),
            ErrorKind::Value,
            &["2", "true or false"],
        ),
        json(tensor("BYTES", "[1]", "[1]"), ErrorKind::Value, &["string"]),
        json(
            tensor("BYTES", "[1]", r#"["\ud800"]"#),
            ErrorKind::Json,
            &["\"x\"", "element 0"],
        ),
    ]);
}

#[test]
fn binary_data_that_does_not_fit() {
    let header = |datatype: &str, shape: &str, size: &str| {
        format!(
            r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    let case = |header: String, binary: &str, kind, words| {
        let header_length = Some(header.len());
        Case {
            body: header + binary,
            header_length,
            kind,
            words,
        }
    };
    let good = header("FP32", "[1]", "4");
    let (length, body) = (good.len(), good.clone() + "\0\0\0\0");
    let wrong = |header_length: usize, kind, words| Case {
        body: body.clone(),
        header_length: Some(header_length),
        kind,
        words,
    };
    assert!(decode(&body, Some(length)).is_ok());
    check(vec![
        case(
            good.clone(),
            "\0\0\0",
            ErrorKind::Binary,
            &["\"x\"", "4", "3 bytes"],
        ),
        case(
            good.clone(),
            "\0\0\0\0\0",
            ErrorKind::Binary,
            &["1 bytes follow"],
        ),
        case(
            header("FP32", "[2]", "4"),
            "\0\0\0\0",
            ErrorKind::Binary,
            &["\"x\"", "takes 8"],
        ),
        case(
            header("BOOL", "[1]", "1"),
            "\u{2}",
            ErrorKind::Value,
            &["\"x\"", "BOOL"],
        ),
        case(
            header("BYTES", "[1]", "4"),
            "\u{9}\0\0\0",
            ErrorKind::Binary,
            &["cut short"],
        ),
        case(
            header("FP32", "[1]", "-4"),
            "\0\0\0\0",
            ErrorKind::Message,
            &["-4"],
        ),
        case(
            header("FP32", "[1]", "\"4\""),
            "\0\0\0\0",
            ErrorKind::Message,
            &["binary_data_size"],
        ),
        case(
            header("UINT8", "[1]", "18446744073709551615"),
            "\0",
            ErrorKind::Binary,
            &["1 bytes"],
        ),
        json(
            good.clone(),
            ErrorKind::Binary,
            &["\"x\"", "Inference-Header-Content-Length"],
        ),
        wrong(
            length - 1,
            ErrorKind::Json,
            &["Inference-Header-Content-Length"],
        ),
        wrong(
            length + 1,
            ErrorKind::Json,
            &["Inference-Header-Content-Length"],
        ),
        wrong(0, ErrorKind::Json, &["first 0 bytes"]),
        wrong(
            length + 5,
            ErrorKind::Binary,
            &["Inference-Header-Content-Length"],
        ),
        wrong(
            usize::MAX,
            ErrorKind::Binary,
            &["Inference-Header-Content-Length"],
        ),
    ]);
}

#[test]
fn more_than_the_limits() {
    let many = |count: usize| {
        let one = |at| format!(r#"{{"name":"x{at}","shape":[0],"datatype":"FP32","data":[]}}"#);
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    assert!(decode(&format!(r#"{{"inputs":[{}]}}"#, many(3)), None).is_ok());
    check(vec![
        json(" ".repeat(4097), ErrorKind::TooLarge, &["4097", "4096"]),
        json(
            tensor("FP32", "[1001]", "[]"),
            ErrorKind::TooLarge,
            &["\"x\"", "1001", "1000"],
        ),
        json(
            tensor("FP32", "[1,1,1,1,1]", "[1]"),
            ErrorKind::TooLarge,
            &["dimensions", "4"],
        ),
        json(
            tensor("FP32", "[4294967296,4294967296,2]", "[1]"),
            ErrorKind::Shape,
            &["\"x\"", "can be counted"],
        ),
        json(
            format!(r#"{{"inputs":[{}]}}"#, many(4)),
            ErrorKind::TooLarge,
            &["tensors", "3"],
        ),
        json(
            format!(r#"{{"inputs":[],"id":"{}"}}"#, "i".repeat(65)),
            ErrorKind::TooLarge,
            &["id", "65", "64"],
        ),
    ]);
}
