//! Times a picture file's way to a tensor: `time_picture FILE [HEIGHT WIDTH [RESAMPLE]]`.

use std::time::Instant;

use dunlin_protocol::{Datatype, TensorMetadata};
use dunlin_transforms::{Files, Limits, Pipeline, Spec};

const RUNS: usize = 31;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |at: usize, default: &'static str| {
        arguments.get(at).map_or(default, String::as_str).to_owned()
    };
    let file = bytes::Bytes::from(std::fs::read(argument(1, ""))?);
    let (height, width) = (argument(2, "224"), argument(3, "224"));
    let resample = argument(4, "bilinear");
    let spec: Spec = serde_json::from_str(&format!(
        r#"{{"input": {{"kind": "image", "size": [{height}, {width}], "resample": "{resample}"}}}}"#
    ))?;
    let input = TensorMetadata {
        name: "pixels".into(),
        datatype: Datatype::Fp32,
        shape: vec![-1, 3, -1, -1],
    };
    let pipeline = Pipeline::new(&spec, &[input], &[], Files::default(), Limits::default())?;
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        pipeline.decode(&file, None)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{height}×{width} {resample}: median {:.2} ms, best {:.2} ms",
        times[RUNS / 2],
        times[0]
    );
    Ok(())
}
