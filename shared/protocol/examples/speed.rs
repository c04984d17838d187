//! How long a picture's tensor, FP32 [1, 3, 224, 224], takes to be read and written.
//!
//! `cargo run --release -p dunlin-protocol --example speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use dunlin_protocol::{
    Datatype, Error, InferInput, InferOutput, InferRequest, InferResponse, Limits, Parameters,
    Tensor,
};

const SHAPE: [usize; 4] = [1, 3, 224, 224];

fn main() -> Result<(), Error> {
    let count: usize = SHAPE.iter().product();
    // Without a pattern, which the processor's branch prediction would learn.
    let mixed = |at: usize| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes() >> 32;
    let pixels: Vec<f32> = (0..count)
        .map(|at| (mixed(at) % 256) as f32 / 255.0)
        .collect();
    let noise: Vec<f32> = (0..count)
        .map(|at| (mixed(at) as f32).sin() * 3.0)
        .collect();
    for (name, values) in [("pixels / 255", pixels), ("noise", noise)] {
        measure(name, values)?;
    }
    Ok(())
}

fn measure(name: &str, values: Vec<f32>) -> Result<(), Error> {
    let limits = Limits::default();
    // Python's clients write each float32 with the digits of the float64 of the same value.
    let list: Vec<String> = values
        .iter()
        .map(|&value| f64::from(value).to_string())
        .collect();
    let python = format!(
        r#"{{"inputs":[{{"name":"x","shape":{SHAPE:?},"datatype":"{}","data":[{}]}}]}}"#,
        Datatype::Fp32,
        list.join(", ")
    );
    let python = bytes::Bytes::from(python);
    let tensor = Tensor::from_vec(SHAPE.to_vec(), values)?;
    let request = InferRequest {
        inputs: vec![InferInput {
            name: "x".into(),
            parameters: Parameters::new(),
            tensor: tensor.clone(),
        }],
        ..InferRequest::default()
    };
    let json = request.encode(false)?;
    let binary = request.encode(true)?;
    let mut response = InferResponse {
        model_name: "m".into(),
        model_version: "1".into(),
        outputs: vec![InferOutput {
            name: "y".into(),
            parameters: Parameters::new(),
            tensor,
            binary: false,
        }],
        ..InferResponse::default()
    };
    let decode = |body: &_, length| InferRequest::decode(body, length, &limits).map(drop);
    report(name, "decode JSON, shortest digits", || {
        decode(&json.body, None)
    })?;
    report(name, "decode JSON, Python's digits", || {
        decode(&python, None)
    })?;
    report(name, "decode binary", || {
        decode(&binary.body, binary.header_length)
    })?;
    report(name, "encode JSON", || {
        response.encode().map(|encoded| drop(black_box(encoded)))
    })?;
    response.outputs[0].binary = true;
    report(name, "encode binary", || {
        response.encode().map(|encoded| drop(black_box(encoded)))
    })
}

fn report(name: &str, what: &str, mut run: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..101 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    let [best, median] = [times[0], times[50]].map(|time| time.as_secs_f64() * 1e3);
    println!("{name:14} {what:30} {median:>8.3} ms, at best {best:.3}");
    Ok(())
}
