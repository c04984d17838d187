//! What is written is read back the same: any datatype, any shape, JSON and binary.

use dunlin_protocol::{
    Datatype, Element, ErrorKind, InferInput, InferOutput, InferRequest, InferResponse, Limits,
    Parameters, RequestedOutput, Tensor,
};
use half::{bf16, f16};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Elements from random bits; floats are finite.
fn elements<T: Element>(shape: &[usize], bits: &[u64], from: impl Fn(u64) -> T) -> Tensor {
    let count = shape.iter().product();
    let values = (0..count)
        .map(|at| from(bits[at % bits.len()].rotate_left(at as u32)))
        .collect();
    Tensor::from_vec(shape.to_vec(), values).unwrap()
}

fn tensor(datatype: Datatype, shape: &[usize], bits: &[u64]) -> Tensor {
    match datatype {
        Datatype::Bool => elements(shape, bits, |b| b % 2 == 1),
        Datatype::Uint8 => elements(shape, bits, |b| b as u8),
        Datatype::Uint16 => elements(shape, bits, |b| b as u16),
        Datatype::Uint32 => elements(shape, bits, |b| b as u32),
        Datatype::Uint64 => elements(shape, bits, |b| b),
        Datatype::Int8 => elements(shape, bits, |b| b as i8),
        Datatype::Int16 => elements(shape, bits, |b| b as i16),
        Datatype::Int32 => elements(shape, bits, |b| b as i32),
        Datatype::Int64 => elements(shape, bits, |b| b as i64),
        Datatype::Fp16 => elements(shape, bits, |b| {
            let value = f16::from_bits(b as u16);
            if value.is_finite() { value } else { f16::MAX }
        }),
        Datatype::Bf16 => elements(shape, bits, |b| {
            let value = bf16::from_bits(b as u16);
            if value.is_finite() { value } else { bf16::MIN }
        }),
        Datatype::Fp32 => elements(shape, bits, |b| {
            let value = f32::from_bits(b as u32);
            if value.is_finite() { value } else { -0.0 }
        }),
        Datatype::Fp64 => elements(shape, bits, |b| {
            let value = f64::from_bits(b);
            if value.is_finite() { value } else { -0.0 }
        }),
        Datatype::Bytes => {
            let count = shape.iter().product::<usize>();
            let strings = (0..count).map(|at| {
                let code = (bits[at % bits.len()] % 0x11_0000) as u32;
                char::from_u32(code)
                    .map(|c| format!("{c}\"\\{at}"))
                    .unwrap_or_default()
            });
            Tensor::from_strings(shape.to_vec(), strings).unwrap()
        }
    }
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let datatype = proptest::sample::select(Datatype::ALL.to_vec());
    let shape = prop::collection::vec(0..4_usize, 0..4);
    (datatype, shape, prop::collection::vec(any::<u64>(), 1..9))
        .prop_map(|(datatype, shape, bits)| tensor(datatype, &shape, &bits))
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    prop::collection::btree_map("[a-z]{1,6}", value, 0..3).prop_map(|map| map.into_iter().collect())
}

/// The flat elements of `data`, nested as `shape` says.
fn nested(shape: &[usize], flat: &[Value]) -> Value {
    match shape {
        [] | [_] => Value::from(flat.to_vec()),
        [outer, inner @ ..] => {
            let size = inner.iter().product::<usize>();
            (0..*outer)
                .map(|at| nested(inner, &flat[at * size..(at + 1) * size]))
                .collect()
        }
    }
}

/// The same JSON with numbers untouched: `Value` keeps their text only as `f64`.
fn reordered(body: &[u8], shape: &[usize]) -> Vec<u8> {
    let mut message: Value = serde_json::from_slice(body).unwrap();
    let input = &mut message["inputs"][0];
    let data = nested(shape, input["data"].as_array().unwrap());
    let name = input["name"].to_string();
    format!(
        r#"{{ "extra": {{"a": [1, "]"]}}, "inputs": [ {{"data" : {data:#}, "shape": {shape:?}, "name": {name}, "datatype": {}}} ] }}"#,
        input["datatype"]
    )
    .into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn requests_round_trip(
        tensors in prop::collection::vec((any_tensor(), any_parameters()), 0..4),
        outputs in prop::collection::btree_map(any::<String>(), any_parameters(), 0..3),
        id: Option<String>,
        parameters in any_parameters(),
        binary: bool,
    ) {
        let inputs = tensors.into_iter().enumerate().map(|(at, (tensor, parameters))| {
            InferInput { name: format!("in\"put {at}"), parameters, tensor }
        });
        let outputs = outputs.into_iter().map(|(name, parameters)| {
            RequestedOutput { name, parameters }
        });
        let request = InferRequest {
            id, parameters, inputs: inputs.collect(), outputs: outputs.collect(),
        };
        let encoded = request.encode(binary).unwrap();
        prop_assert_eq!(encoded.header_length.is_some(), binary && !request.inputs.is_empty());
        let limits = Limits::default();
        let decoded = InferRequest::decode(&encoded.body, encoded.header_length, &limits).unwrap();
        prop_assert_eq!(decoded, request);
    }

    #[test]
    fn responses_round_trip(
        outputs in prop::collection::vec((any_tensor(), any_parameters(), any::<bool>()), 0..4),
        id: Option<String>,
    ) {
        let outputs = outputs.into_iter().enumerate().map(|(at, (tensor, parameters, binary))| {
            InferOutput { name: at.to_string(), parameters, tensor, binary }
        });
        let response = InferResponse {
            model_name: "model".into(),
            model_version: "3".into(),
            id,
            parameters: Parameters::new(),
            outputs: outputs.collect(),
        };
        let encoded = response.encode().unwrap();
        let limits = Limits::default();
        let decoded = InferResponse::decode(&encoded.body, encoded.header_length, &limits).unwrap();
        prop_assert_eq!(decoded, response);
    }

    #[test]
    fn fields_in_any_order_and_nested_data_read_the_same(
        datatype in proptest::sample::select(Datatype::ALL.to_vec()),
        shape in prop::collection::vec(0..4_usize, 0..4),
        bits in prop::collection::vec(0..120_u64, 1..9),
    ) {
        // Small whole numbers: `serde_json::Value` would change the digits of others.
        let tensor = match datatype {
            Datatype::Fp16 => elements(&shape, &bits, |b| f16::from_f64((b % 120) as f64)),
            Datatype::Bf16 => elements(&shape, &bits, |b| bf16::from_f64((b % 120) as f64)),
            Datatype::Fp32 => elements(&shape, &bits, |b| (b % 120) as f32),
            Datatype::Fp64 => elements(&shape, &bits, |b| (b % 120) as f64),
            other => tensor(other, &shape, &bits),
        };
        let request = InferRequest {
            inputs: vec![InferInput { name: "x".into(), parameters: Parameters::new(), tensor }],
            ..InferRequest::default()
        };
        let body = reordered(&request.encode(false).unwrap().body, &shape);
        let decoded = InferRequest::decode(&body.into(), None, &Limits::default()).unwrap();
        prop_assert_eq!(decoded, request);
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, header_length: Option<usize>, text in r#"[\[\]{}",:0-9a-z\\ .-]{0,60}"#) {
        let limits = Limits::default();
        let _ = InferRequest::decode(&body.into(), header_length, &limits);
        let inside = format!(r#"{{"inputs":[{{"name":"x","shape":[2],"datatype":"FP32","data":{text}"#);
        let _ = InferRequest::decode(&text.into_bytes().into(), None, &limits);
        let _ = InferRequest::decode(&inside.into_bytes().into(), None, &limits);
    }
}

#[test]
fn a_binary_tensor_shares_the_memory_of_the_body() {
    let tensor = Tensor::from_vec(vec![3], vec![1_u8, 2, 3]).unwrap();
    let input = InferInput {
        name: "x".into(),
        parameters: Parameters::new(),
        tensor,
    };
    let request = InferRequest {
        inputs: vec![input],
        ..InferRequest::default()
    };
    let encoded = request.encode(true).unwrap();
    let header = encoded.header_length.unwrap();
    let decoded = InferRequest::decode(&encoded.body, Some(header), &Limits::default()).unwrap();
    assert_eq!(
        decoded.inputs[0].tensor.data().as_ptr(),
        encoded.body[header..].as_ptr()
    );
}

#[test]
fn outputs_say_how_they_are_wanted() {
    let body = json!({
        "inputs": [],
        "parameters": {"binary_data_output": true},
        "outputs": [
            {"name": "a"},
            {"name": "b", "parameters": {"binary_data": false}},
            {"name": "c", "parameters": {"classification": 3}},
        ],
    });
    let body = body.to_string().into_bytes().into();
    let request = InferRequest::decode(&body, None, &Limits::default()).unwrap();
    let wanted: Vec<_> = request
        .outputs
        .iter()
        .map(|output| (request.wants_binary(&output.name), output.classification()))
        .collect();
    assert_eq!(wanted, [(true, None), (false, None), (true, Some(3))]);
}

#[test]
fn a_reply_is_the_protocols_json() {
    let tensor = Tensor::from_vec(vec![1, 2], vec![0.5_f32, 3.0]).unwrap();
    let mut response = InferResponse {
        model_name: "digits".into(),
        model_version: "1".into(),
        id: Some("7".into()),
        parameters: Parameters::new(),
        outputs: vec![InferOutput {
            name: "y".into(),
            parameters: Parameters::new(),
            tensor,
            binary: false,
        }],
    };
    let encoded = response.encode().unwrap();
    assert_eq!(encoded.content_type(), "application/json");
    assert_eq!(
        encoded.body,
        r#"{"model_name":"digits","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,3.0]}]}"#
    );
    response.outputs[0].binary = true;
    let encoded = response.encode().unwrap();
    assert_eq!(encoded.content_type(), "application/octet-stream");
    let (header, binary) = encoded.body.split_at(encoded.header_length.unwrap());
    assert!(header.ends_with(br#""shape":[1,2],"parameters":{"binary_data_size":8}}]}"#));
    assert_eq!(binary, [0, 0, 0, 63, 0, 0, 64, 64]);
}

#[test]
fn what_json_cannot_carry_is_an_error_with_the_cure() {
    let cases = [
        Tensor::from_vec(vec![1], vec![f32::NAN]).unwrap(),
        Tensor::from_vec(vec![1], vec![f64::NEG_INFINITY]).unwrap(),
        Tensor::from_vec(vec![1], vec![f16::INFINITY]).unwrap(),
        Tensor::from_strings(vec![1], [[0xff]]).unwrap(),
    ];
    for tensor in cases {
        let datatype = tensor.datatype();
        let mut output = InferOutput {
            name: "y".into(),
            parameters: Parameters::new(),
            tensor,
            binary: false,
        };
        let mut response = InferResponse {
            outputs: vec![output.clone()],
            ..InferResponse::default()
        };
        let error = response.encode().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotJson, "{datatype}");
        assert_eq!(error.tensor(), Some("y"));
        assert!(error.to_string().contains("binary_data"), "{error}");
        output.binary = true;
        response.outputs = vec![output];
        assert!(response.encode().is_ok(), "{datatype}");
    }
}
