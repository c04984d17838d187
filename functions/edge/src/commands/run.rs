//! `dunlin run`: one request, answered by this process as a server would.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use dunlin_registry::ModelRef;
use dunlin_serving::{Call, PredictBody, Service, ServiceOptions};
use dunlin_telemetry::Phases;
use serde_json::Value;

use super::source;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{self, table};
use crate::progress::Task;

/// `dunlin run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// MODEL, MODEL@VERSION or MODEL@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// The input; - is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Also print the time of each phase
    #[arg(long)]
    timing: bool,
}

pub(crate) async fn run(arguments: RunArgs, context: &Context) -> Result<(), Failure> {
    let options = ServiceOptions {
        workers: 1,
        background: false,
        ..ServiceOptions::default()
    };
    let limit = options.limits.body_bytes;
    let path = arguments.input;
    let body = tokio::task::spawn_blocking(move || read(&path, limit))
        .await
        .map_err(|error| Failure::failed(format!("reading the input broke off: {error}")))??;
    let registry = context.trusting_registry().await?;
    // The registry's own words tell best that there is no such model.
    source::manifest(&registry, &arguments.model).await?;

    let service = Service::new(registry, options);
    let mut call = Call::new(None);
    let task = Task::start(context.output, format!("loading {}", arguments.model));
    service.model_ready(&arguments.model, &mut call).await?;
    task.done();
    let body = PredictBody {
        body,
        content_type: None,
        header_length: None,
    };
    let reply = service.predict(&arguments.model, body, &mut call).await?;
    let answer: Value = serde_json::from_slice(&reply.body)
        .map_err(|error| Failure::failed(format!("the answer is no JSON: {error}")))?;
    let phases = arguments.timing.then_some(call.phases);
    let mut json = answer.clone();
    if let (Some(phases), Some(fields)) = (phases, json.as_object_mut()) {
        let times = phases
            .iter()
            .map(|(phase, time)| (phase.name().to_owned(), (time.as_secs_f64() * 1e3).into()));
        fields.insert("timing_ms".to_owned(), Value::Object(times.collect()));
    }
    context.output.answer(&json, || {
        let mut text = describe(&answer);
        if let Some(phases) = phases {
            let _ = write!(text, "\n{}\n", timing(&phases));
        }
        text
    })
}

/// The phases as a table.
fn timing(phases: &Phases) -> String {
    let rows: Vec<Vec<String>> = phases
        .iter()
        .map(|(phase, time)| {
            let time = output::milliseconds(time.as_secs_f64() * 1e3);
            vec![phase.to_string(), time]
        })
        .collect();
    table(&["PHASE", "TIME"], &[1], &rows)
}

/// The whole input, if it is not larger than a server would take.
fn read(path: &Path, limit: usize) -> Result<Bytes, Failure> {
    let failed = |error| Failure::file(path, &error);
    let mut body = Vec::new();
    let limit = limit as u64;
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(limit + 1)
            .read_to_end(&mut body)
            .map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(limit + 1)
            .read_to_end(&mut body)
            .map_err(failed)?;
    }
    if body.len() as u64 > limit {
        return Err(Exit::Invalid.failure(format!(
            "{} has more than {}, the limit of an input",
            path.display(),
            output::bytes(limit)
        )));
    }
    Ok(body.into())
}

/// Classes and forecasts as tables, one for each item, and vectors by their size; anything else as
/// the JSON that it is.
fn describe(answer: &Value) -> String {
    if let Some(steps) = answer.get("forecast").and_then(Value::as_array) {
        return forecast(steps, answer["unit"].as_str(), answer["step"].as_str());
    }
    if let Some(vector) = answer.get("embedding").and_then(Value::as_array) {
        let first = vector.iter().take(4).map(|value| number(value, 4));
        return format!(
            "a vector of {} numbers: {}, … (all with --json)",
            vector.len(),
            first.collect::<Vec<_>>().join(", ")
        );
    }
    let Some(classes) = answer.get("predictions").and_then(Value::as_array) else {
        return format!("{answer:#}");
    };
    // A batch has a list for each picture.
    let pictures: Vec<&[Value]> = if classes.iter().all(Value::is_array) {
        classes
            .iter()
            .filter_map(|picture| picture.as_array().map(Vec::as_slice))
            .collect()
    } else {
        vec![classes]
    };
    let mut text = String::new();
    for (index, classes) in pictures.iter().enumerate() {
        if index > 0 {
            let _ = writeln!(text);
        }
        let rows: Vec<Vec<String>> = classes.iter().map(row).collect();
        text.push_str(&table(&["SCORE", "LABEL"], &[0], &rows));
    }
    text
}

/// A row a step: how far ahead it is, and what is foretold.
fn forecast(steps: &[Value], unit: Option<&str>, step: Option<&str>) -> String {
    let step = output::printable(step.unwrap_or("step"));
    let unit = unit.map(|unit| format!(" {}", output::printable(unit)));
    let unit = unit.unwrap_or_default();
    let rows = steps.iter().enumerate().map(|(at, values)| {
        let plural = if at == 0 { "" } else { "s" };
        let values = values
            .as_array()
            .map_or(std::slice::from_ref(values), Vec::as_slice);
        let values = values
            .iter()
            .map(|value| format!("{}{unit}", number(value, 2)));
        std::iter::once(format!("{} {step}{plural}", at + 1))
            .chain(values)
            .collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = rows.first().map_or(0, Vec::len);
    let mut headings = vec!["IN"];
    headings.resize(columns, "FORECAST");
    table(&headings, &(0..columns).collect::<Vec<_>>(), &rows)
}

fn number(value: &Value, decimals: usize) -> String {
    format!("{:.decimals$}", value.as_f64().unwrap_or_default())
}

fn row(class: &Value) -> Vec<String> {
    let score = class["score"].as_f64().unwrap_or_default();
    let label = class["label"]
        .as_str()
        .map_or_else(|| class["index"].to_string(), output::printable);
    vec![format!("{score:.4}"), label]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_told_in_words() {
        let cases = [
            (
                json!({"predictions": [{"label": "spam", "index": 1, "score": 0.98}]}),
                " SCORE   LABEL\n0.9800   spam\n",
            ),
            (
                json!({"forecast": [9.5, 12.25], "unit": "°F", "step": "hour"}),
                "     IN   FORECAST\n 1 hour    9.50 °F\n2 hours   12.25 °F\n",
            ),
            (
                json!({"forecast": [[1.0, 2.0]]}),
                "    IN   FORECAST   FORECAST\n1 step       1.00       2.00\n",
            ),
            (
                json!({"embedding": [0.5, -0.25, 0.0, 1.0, 2.0]}),
                "a vector of 5 numbers: 0.5000, -0.2500, 0.0000, 1.0000, … (all with --json)",
            ),
        ];
        for (answer, want) in cases {
            assert_eq!(describe(&answer), want);
        }
    }
}
