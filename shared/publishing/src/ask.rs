//! An example, asked as a request would ask it.

use std::time::{Duration, Instant};

use dunlin_engine::Model;
use dunlin_protocol::NamedTensor;
use dunlin_registry::examples::Example;
use dunlin_transforms::{Decoded, Pipeline, Prediction};

use crate::{Error, ErrorKind, Result};

/// Runs are repeated for latency at least and at most so often.
const MEASURED_RUNS: std::ops::RangeInclusive<usize> = 3..=100;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// The answer must put this label first.
pub(crate) fn check_label(label: Option<&str>, prediction: &Prediction) -> Result<(), String> {
    let Some(want) = label else { return Ok(()) };
    let Some(top) = prediction.top() else {
        return Err(format!(
            "want label \"{want}\" first, got no classes; declare [output] kind = \"classification\""
        ));
    };
    let got = top.label.clone().unwrap_or_else(|| top.index.to_string());
    if got == want {
        return Ok(());
    }
    Err(format!(
        "want label \"{want}\" first, got \"{got}\" with score {:.4}",
        top.score
    ))
}

/// What an example asks the model, as a request would.
fn decoded(pipeline: &Pipeline, example: &Example) -> Result<Decoded, Boxed> {
    let mut asked = None;
    let inputs = example.inputs(|body, content_type| {
        let decoded = pipeline.decode(body, content_type).map_err(Boxed::from)?;
        asked = Some(decoded.asked);
        Ok::<_, Boxed>(decoded.inputs)
    })?;
    Ok(match asked {
        Some(asked) => Decoded { inputs, asked },
        None => pipeline.of_tensors(inputs),
    })
}

/// Its inputs alone.
pub(crate) fn inputs(pipeline: &Pipeline, example: &Example) -> Result<Vec<NamedTensor>, Boxed> {
    Ok(decoded(pipeline, example)?.inputs)
}

/// An example's outputs, by the road that a request takes.
pub(crate) fn run(
    model: &Model,
    pipeline: &Pipeline,
    example: &Example,
) -> Result<Vec<NamedTensor>, Boxed> {
    Ok(model.run(inputs(pipeline, example)?)?)
}

/// The same, and what a caller is answered: outputs that make no answer prove nothing.
pub(crate) fn answer(
    model: &Model,
    pipeline: &Pipeline,
    example: &Example,
) -> Result<(Vec<NamedTensor>, Prediction), Boxed> {
    let Decoded { inputs, asked } = decoded(pipeline, example)?;
    let outputs = model.run(inputs)?;
    let prediction = pipeline.encode(&asked, &outputs)?;
    Ok((outputs, prediction))
}

/// The median of runs of the first example; the first run, which was before, warmed them.
pub(crate) fn latency(
    model: &Model,
    pipeline: &Pipeline,
    examples: &[Example],
    time: Duration,
) -> Result<Option<Duration>> {
    let Some(example) = examples.first() else {
        return Ok(None);
    };
    let inputs = inputs(pipeline, example).map_err(|error| {
        Error::new(ErrorKind::Unproven, format!("{}: {error}", example.name)).because(error)
    })?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < *MEASURED_RUNS.start()
        || (begun.elapsed() < time && times.len() < *MEASURED_RUNS.end())
    {
        let inputs = inputs.clone();
        let started = Instant::now();
        model.run(inputs)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(Some(times[times.len() / 2]))
}
