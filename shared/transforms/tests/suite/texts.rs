//! Texts to tokens, against Hugging Face's tokenizers (`data/make_text.py`), and texts that are no good.

use bytes::Bytes;
use dunlin_protocol::{Datatype, NamedTensor, TensorMetadata};
use dunlin_transforms::{Error, ErrorKind, Files, Limits, Pipeline, Result, Spec, Tokenizer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{data, metadata};

#[derive(Deserialize)]
struct Golden {
    max_tokens: usize,
    texts: Vec<Value>,
    tokenizers: std::collections::BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    alone: Vec<Tokens>,
    batch: Vec<Tokens>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Tokens {
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
}

pub(crate) fn tokenizer(name: &str) -> Tokenizer {
    let file = std::fs::read(data().join(format!("text/{name}.json"))).unwrap();
    Tokenizer::parse(&file).unwrap()
}

/// The inputs that a model such as BERT has.
pub(crate) fn bert(length: i64) -> Vec<TensorMetadata> {
    ["input_ids", "attention_mask", "token_type_ids"]
        .map(|name| metadata(name, Datatype::Int64, &[-1, length]))
        .into()
}

fn pipeline(options: &str, inputs: &[TensorMetadata], tokenizer: Tokenizer) -> Result<Pipeline> {
    let spec: Spec = toml::from_str(&format!("[input]\nkind = 'text'\n{options}")).unwrap();
    let files = Files {
        labels: Vec::new(),
        tokenizer: Some(tokenizer),
    };
    Pipeline::new(&spec, inputs, &[], files, Limits::default())
}

fn post(pipeline: &Pipeline, body: &Value) -> Result<Vec<NamedTensor>> {
    let body = Bytes::from(body.to_string());
    Ok(pipeline.decode(&body, Some("application/json"))?.inputs)
}

/// The rows of each input, whatever their type.
fn rows(inputs: &[NamedTensor]) -> Vec<Tokens> {
    let values = |name: &str| {
        let input = inputs.iter().find(|input| input.name == name).unwrap();
        let values = input.tensor.to_vec::<i64>().unwrap();
        let rows = values.chunks(input.tensor.shape()[1]);
        rows.map(<[i64]>::to_vec).collect::<Vec<_>>()
    };
    let all = values("input_ids").into_iter();
    all.zip(values("attention_mask"))
        .zip(values("token_type_ids"))
        .map(|((ids, mask), types)| Tokens { ids, mask, types })
        .collect()
}

#[test]
fn tokens_are_those_of_hugging_face() {
    let golden = std::fs::read(data().join("text/expected.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    for (name, expected) in golden.tokenizers {
        let options = format!("max_tokens = {}", golden.max_tokens);
        let pipeline = pipeline(&options, &bert(-1), tokenizer(&name)).unwrap();
        let batch = post(&pipeline, &json!({"texts": golden.texts})).unwrap();
        assert_eq!(rows(&batch), expected.batch, "{name}");
        for (text, want) in golden.texts.iter().zip(expected.alone) {
            let body = match text {
                Value::Array(pair) => json!({"text": pair[0], "pair": pair[1]}),
                text => json!({"text": text}),
            };
            let alone = post(&pipeline, &body).unwrap();
            assert_eq!(rows(&alone), [want], "{name} {text}");
        }
    }
}

#[test]
fn the_length_is_the_models_then_the_tokenizers() {
    let many = json!({"text": "the ".repeat(600)});
    let cases = [
        ("wordpiece", "", 8, 8),
        ("wordpiece", "max_tokens = 6", 8, 8),
        ("wordpiece", "", -1, 12),
        ("wordpiece", "max_tokens = 30", -1, 30),
        ("unigram", "", -1, 512),
    ];
    for (name, options, length, want) in cases {
        let pipeline = pipeline(options, &bert(length), tokenizer(name)).unwrap();
        let inputs = post(&pipeline, &many).unwrap();
        for input in &inputs {
            assert_eq!(input.tensor.shape(), [1, want], "{name} {options} {length}");
        }
        let tokens = rows(&inputs)[0].mask.iter().sum::<i64>();
        assert_eq!(
            tokens,
            if options == "max_tokens = 6" {
                6
            } else {
                want as i64
            }
        );
    }
}

#[test]
fn inputs_follow_the_model() {
    let ids = metadata("words", Datatype::Int32, &[1, -1]);
    let pipeline = pipeline("", &[ids], tokenizer("wordpiece")).unwrap();
    let decoded = pipeline
        .decode(&Bytes::from_static(b"a bird"), None)
        .unwrap();
    assert_eq!(decoded.inputs.len(), 1);
    assert_eq!(decoded.inputs[0].name, "words");
    let ids = decoded.inputs[0].tensor.to_vec::<i32>().unwrap();
    assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
    assert_eq!(decoded.asked.tokens(), ids.len());
    let error = post(&pipeline, &json!({"texts": ["a", "b"]})).unwrap_err();
    assert!(error.to_string().contains("takes one at a time"), "{error}");
}

#[test]
fn a_body_is_text_unless_it_is_json() {
    let pipeline = pipeline("", &bert(-1), tokenizer("wordpiece")).unwrap();
    let read = |body: &str, content_type: Option<&str>| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        rows(&pipeline.decode(&body, content_type).unwrap().inputs)
    };
    let form = Some("application/x-www-form-urlencoded");
    let want = read("a bird", None);
    assert_eq!(read("a bird", Some("text/plain; charset=UTF-8")), want);
    assert_eq!(read("\u{feff}a bird", form), want);
    let object = r#"{"text": "a bird"}"#;
    for content_type in [None, form, Some("application/json")] {
        assert_eq!(read(object, content_type), want, "{content_type:?}");
    }
    assert_ne!(read(object, Some("text/plain")), want);
    assert_ne!(read(r#"{"a": "bird"}"#, None), want);

    let tensors = json!({"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [1, 2], "data": [2, 3]}]});
    assert_eq!(post(&pipeline, &tensors).unwrap()[0].tensor.shape(), [1, 2]);
}

type Case<'a> = (&'a [u8], Option<&'a str>, ErrorKind, &'a str);

#[test]
fn bodies_that_are_no_good_are_told_why() {
    let pipeline = pipeline("", &bert(-1), tokenizer("wordpiece")).unwrap();
    let json = Some("application/json");
    let many = json!({"texts": vec!["a"; 2049]}).to_string();
    let long = json!({"text": "a".repeat((1 << 20) + 1)}).to_string();
    let wide = json!({"texts": vec!["a b c d e f g h i j k l m n"; 2000]});
    assert!(post(&pipeline, &wide).is_ok());
    let cases: [Case<'_>; 12] = [
        (
            b"K\xe4fer",
            None,
            ErrorKind::InvalidInput,
            "not UTF-8, at byte 1; save",
        ),
        (
            b"x",
            Some("text/plain; charset=latin1"),
            ErrorKind::UnsupportedMedia,
            "charset latin1",
        ),
        (
            b"x",
            Some("image/png"),
            ErrorKind::UnsupportedMedia,
            "takes text: text/plain",
        ),
        (
            b"x",
            Some("multipart/form-data"),
            ErrorKind::UnsupportedMedia,
            "the body is a form",
        ),
        (b"{", json, ErrorKind::InvalidInput, "no JSON object"),
        (b"[]", json, ErrorKind::InvalidInput, "no JSON object"),
        (
            b"{\"txt\": 1}",
            json,
            ErrorKind::InvalidInput,
            "{\"texts\": [",
        ),
        (
            b"{\"text\": 1}",
            json,
            ErrorKind::InvalidInput,
            "`text`: invalid type",
        ),
        (
            b"{\"texts\": []}",
            json,
            ErrorKind::InvalidInput,
            "no texts",
        ),
        (
            b"{\"texts\": [[\"a\"]]}",
            json,
            ErrorKind::InvalidInput,
            "a list of two strings",
        ),
        (
            many.as_bytes(),
            json,
            ErrorKind::TooLarge,
            "2049 texts; the limit is 2048",
        ),
        (
            long.as_bytes(),
            json,
            ErrorKind::TooLarge,
            "the limit is 1048576",
        ),
    ];
    for (body, content_type, kind, says) in cases {
        let told = |error: &Error| (error.kind(), error.to_string());
        let error = pipeline
            .decode(&Bytes::copy_from_slice(body), content_type)
            .unwrap_err();
        let (got, message) = told(&error);
        assert_eq!(got, kind, "{message}");
        assert!(message.contains(says), "{message}, not {says}");
    }
}

#[test]
fn tokens_have_a_limit() {
    let pipeline = pipeline("max_tokens = 512", &bert(-1), tokenizer("wordpiece")).unwrap();
    let long = "the ".repeat(600);
    let texts = |count: usize| json!({"texts": vec![&long; count]});
    assert!(post(&pipeline, &texts(128)).is_ok());
    let error = post(&pipeline, &texts(129)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error
            .to_string()
            .contains("129 texts of up to 512 tokens; the limit is 65536"),
        "{error}"
    );
}

#[test]
fn contradictions_are_found_before_the_first_request() {
    let wide = metadata("input_ids", Datatype::Fp32, &[-1, 8]);
    let flat = metadata("input_ids", Datatype::Int64, &[-1]);
    let eight = metadata("input_ids", Datatype::Int64, &[8, -1]);
    let mut positions = bert(-1);
    positions.push(metadata("position_ids", Datatype::Int64, &[-1, -1]));
    let cases = [
        (
            bert(8),
            "max_tokens = 9",
            "`max_tokens` is 9, and input \"input_ids\" takes 8",
        ),
        (bert(-1), "max_tokens = 3", "no room for text"),
        (bert(-1), "tensor = 'ids'", "no input \"ids\""),
        (vec![wide], "", "INT64 or INT32"),
        (vec![flat], "", "[batch, length]"),
        (vec![eight], "", "dynamic or 1"),
        (positions, "", "\"position_ids\" too"),
    ];
    for (inputs, options, says) in cases {
        let error = pipeline(options, &inputs, tokenizer("wordpiece")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert!(error.to_string().contains(says), "{options}: {error}");
    }
    let spec: Spec = toml::from_str("[input]\nkind = 'text'").unwrap();
    let error =
        Pipeline::new(&spec, &bert(-1), &[], Files::default(), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("\"tokenizer.json\""), "{error}");
}

#[test]
fn tokenizers_that_are_no_good_are_told_why() {
    let file = std::fs::read_to_string(data().join("text/wordpiece.json")).unwrap();
    let whole: Value = serde_json::from_str(&file).unwrap();
    let without = |key: &str| {
        let mut file = whole.clone();
        file[key] = Value::Null;
        file.to_string()
    };
    let cases = [
        ("{\"hello\": 1}".to_owned(), "`save_pretrained`"),
        (file[..300].to_owned(), "can't be read"),
        (without("model"), "can't be read"),
    ];
    for (file, says) in cases {
        let error = Tokenizer::parse(file.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSpec);
        assert!(error.to_string().contains(says), "{error}");
    }
    let unpadded = without("padding").replace("[PAD]", "[VOID]");
    let unpadded = Tokenizer::parse(unpadded.as_bytes()).unwrap();
    let error = pipeline("", &bert(-1), unpadded).unwrap_err();
    assert!(
        error.to_string().contains("`tokenizer.enable_padding("),
        "{error}"
    );
}

#[test]
fn the_last_token_is_known() {
    let pipeline = pipeline("", &bert(5), tokenizer("wordpiece")).unwrap();
    let (inputs, id) = pipeline.last_token().unwrap().unwrap();
    assert!(id > 100);
    assert_eq!(rows(&inputs)[0].ids, [i64::from(id); 5]);
}

#[test]
fn damaged_files_and_bodies_never_panic() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let body = json!({"texts": ["a bird", ["Größe", "🐦"]]}).to_string();
    for name in ["wordpiece", "bpe", "unigram"] {
        let whole = std::fs::read(data().join(format!("text/{name}.json"))).unwrap();
        for _ in 0..150 {
            let mut file = whole.clone();
            let at = next() % file.len();
            file[at] = b"0123456789\"[]{}:,-ae"[next() % 20];
            let mut body = body.clone().into_bytes();
            let at = next() % body.len();
            body[at] = next() as u8;
            // Some pass: a score or a token has changed. The others are errors, not panics.
            let Ok(tokenizer) = Tokenizer::parse(&file) else {
                continue;
            };
            if let Ok(pipeline) = pipeline("", &bert(-1), tokenizer) {
                let _ = pipeline.decode(&body.into(), None);
            }
        }
    }
}
