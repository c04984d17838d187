//! What a batch costs whole, and as the engine runs it.
//!
//! ```text
//! cargo run --release -p dunlin-engine --example batches -- MODEL.onnx...
//! ```
//!
//! Prints, for each model whose only dynamic dimension is the batch: load time, the estimate of
//! its memory, and medians in milliseconds.

use std::time::Instant;

use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};

const RUNS: usize = 15;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    for path in std::env::args().skip(1) {
        let onnx = bytes::Bytes::from(std::fs::read(&path)?);
        let start = Instant::now();
        let split = Model::load(&path, onnx.clone(), &LoadOptions::default())?;
        let load = start.elapsed().as_secs_f64() * 1e3;
        let mut options = LoadOptions::default();
        options.split_batches = false;
        let whole = Model::load(&path, onnx, &options)?;
        println!(
            "{path}: load {load:.1} ms, {} kB",
            split.memory_bytes() / 1024
        );
        println!("| batch | whole ms | as run ms | singles ms |");
        let single = median(&whole, 1)?;
        for batch in [1, 2, 4, 8, 16, 32] {
            let (whole, split) = (median(&whole, batch)?, median(&split, batch)?);
            let singles = single * batch as f64;
            println!("| {batch} | {whole:.3} | {split:.3} | {singles:.3} |");
        }
        println!("memory after: {} kB\n", split.memory_bytes() / 1024);
    }
    Ok(())
}

/// The median time of a run; the first run, which plans and measures, is left out.
fn median(model: &Model, batch: usize) -> Result<f64, Failure> {
    let inputs = model.inputs().iter().map(|input| noise(input, batch));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    model.run(inputs.clone())?;
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let inputs = inputs.clone();
        let start = Instant::now();
        std::hint::black_box(model.run(inputs)?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Some numbers between -1 and 1, no two items alike.
fn noise(input: &TensorMetadata, batch: usize) -> Result<NamedTensor, Failure> {
    let dims = input
        .shape
        .iter()
        .map(|&dim| usize::try_from(dim).unwrap_or(batch));
    let shape: Vec<usize> = dims.collect();
    if input.datatype != Datatype::Fp32 {
        return Err(format!("input {} is {}, not FP32", input.name, input.datatype).into());
    }
    let len: usize = shape.iter().product();
    let values = (0..len)
        .map(|at| ((at * 7919) % 2003) as f32 / 1001.5 - 1.0)
        .collect();
    Ok(NamedTensor::new(
        input.name.clone(),
        Tensor::from_vec(shape, values)?,
    ))
}
