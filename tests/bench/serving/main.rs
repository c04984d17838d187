//! What serving costs over the bare engine, on loopback, against the built `dunlin`.
//!
//! ```text
//! cargo build --release --workspace --bins
//! cargo bench --workspace --bench serving
//! ```
//!
//! Prints the Markdown table of docs/performance.md. `DUNLIN` names another binary. `--quick`
//! measures for a short time, to see that it works.

mod client;
mod load;
mod server;

use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{InferInput, InferRequest, NamedTensor, Parameters, Tensor};

use client::{Connection, Request};
use server::Server;

/// How often one request is repeated, and how many are left out while caches fill.
struct Effort {
    requests: usize,
    warm_up: usize,
    load: Duration,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let effort = if quick {
        Effort {
            requests: 50,
            warm_up: 10,
            load: Duration::from_secs(2),
        }
    } else {
        Effort {
            requests: 2000,
            warm_up: 200,
            load: Duration::from_secs(15),
        }
    };
    let server = Server::start(&["small", "copy", "busy"], 2);

    println!("| Request | Bare engine p50 | Served p50 | p99 | Overhead p50 | Limit |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let small = tensor(vec![1, 16]);
    let picture = tensor(vec![1, 3, 224, 224]);
    overhead(
        &server,
        &effort,
        "FP32 [1, 16], JSON",
        "small",
        &small,
        false,
        150,
    );
    overhead(
        &server,
        &effort,
        "FP32 [1, 16], binary",
        "small",
        &small,
        true,
        150,
    );
    overhead(
        &server,
        &effort,
        "FP32 [1, 3, 224, 224], binary",
        "copy",
        &picture,
        true,
        1000,
    );
    overhead(
        &server,
        &effort,
        "FP32 [1, 3, 224, 224], JSON",
        "copy",
        &picture,
        false,
        8000,
    );

    println!();
    println!("| 64 connections, 2 workers | Value |");
    println!("| --- | ---: |");
    load::measure(&server, &tensor(vec![1, 3, 96, 96]), effort.load);
    println!();
    println!("Peak memory of the server: {}", server.peak_memory());
}

/// Numbers with as many digits as real ones have: round ones would flatter JSON.
fn tensor(shape: Vec<usize>) -> Tensor {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.618_034).sin()).collect();
    Tensor::from_vec(shape, values).expect("the count is the shape's")
}

/// A model of tests/models/bench.
fn model_file(name: &str) -> String {
    format!("{}/models/bench/{name}.onnx", env!("CARGO_MANIFEST_DIR"))
}

fn load_model(name: &str) -> Model {
    let onnx = Bytes::from(std::fs::read(model_file(name)).expect("tests/models/make.py wrote it"));
    Model::load(name, onnx, &LoadOptions::default()).expect("a sound model")
}

/// An inference request for `model`, its input and output as binary or as JSON.
fn request(model: &str, input: &Tensor, binary: bool) -> Request {
    let mut parameters = Parameters::new();
    if binary {
        parameters.insert("binary_data_output".into(), true.into());
    }
    let request = InferRequest {
        parameters,
        inputs: vec![InferInput {
            name: "x".into(),
            parameters: Parameters::new(),
            tensor: input.clone(),
        }],
        ..InferRequest::default()
    };
    let encoded = request.encode(binary).expect("finite numbers");
    Request::infer(model, &encoded)
}

/// One line of the table: the same input through the engine alone, and through the server.
fn overhead(
    server: &Server,
    effort: &Effort,
    what: &str,
    name: &str,
    input: &Tensor,
    binary: bool,
    limit_micros: u32,
) {
    let model = load_model(name);
    let bare = times(effort, || {
        let outputs = model.run(vec![NamedTensor::new("x", input.clone())]);
        drop(outputs.expect("it runs"));
    });
    let request = request(name, input, binary);
    let mut connection = Connection::open(server.address());
    let answered = times(effort, || {
        assert_eq!(connection.send(&request), 200, "{what}");
    });
    let (bare, p50, p99) = (
        quantile(&bare, 0.5),
        quantile(&answered, 0.5),
        quantile(&answered, 0.99),
    );
    println!(
        "| {what} | {} | {} | {} | **{}** | {} µs |",
        micros(bare),
        micros(p50),
        micros(p99),
        micros(p50.saturating_sub(bare)),
        limit_micros
    );
}

/// Sorted times of one call after another.
fn times(effort: &Effort, mut call: impl FnMut()) -> Vec<Duration> {
    (0..effort.warm_up).for_each(|_| call());
    let mut times: Vec<Duration> = (0..effort.requests)
        .map(|_| {
            let started = Instant::now();
            call();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// The nearest-rank quantile of sorted times.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
