//! `dunlin cost`: dollars per million predictions of a published model.

use std::fmt::Write as _;

use clap::Args;
use dunlin_registry::ModelRef;
use serde::Serialize;

use super::source;
use crate::context::Context;
use crate::cost::{COLD_PERCENT, Measured, Prices, Processor, Row};
use crate::exit::{Exit, Failure};
use crate::output;

/// `dunlin cost`
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// A model of the store
    model: ModelRef,
    /// One run on one core, in milliseconds, instead of what was measured
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    latency_ms: Option<f64>,
    /// Without the HTTP API in front
    #[arg(long)]
    no_api: bool,
}

#[derive(Serialize)]
struct Told {
    model: String,
    prices: Prices,
    measured: Vec<Measured>,
    rows: Vec<Row>,
    cold_percent: [f64; 3],
}

pub(crate) async fn cost(arguments: CostArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let manifest = source::manifest(&registry, &arguments.model).await?;
    let prices = Prices::known()
        .map_err(|error| Failure::failed(format!("the price table can't be read: {error}")))?;
    let mut told = Told {
        model: format!("{}@{}", manifest.name, manifest.version),
        measured: Vec::new(),
        rows: Vec::new(),
        cold_percent: COLD_PERCENT,
        prices,
    };
    for processor in Processor::ALL {
        let Some(mut measured) = Measured::of(&manifest, processor) else {
            return Err(Exit::Invalid.failure(format!(
                "{} has no measured latency; --latency-ms tells one, and publishing it anew measures it",
                told.model
            )));
        };
        if let Some(run_ms) = arguments.latency_ms {
            measured.run_ms = run_ms;
        }
        let rows = measured.rows(processor, &told.prices, !arguments.no_api);
        told.rows.extend(rows);
        told.measured.push(measured);
    }
    if told.rows.is_empty() {
        return Err(Exit::Invalid.failure(format!(
            "{} is too large for any Lambda function (10,240 MB)",
            told.model
        )));
    }
    context.output.answer(&told, || describe(&told, &arguments))
}

fn describe(told: &Told, arguments: &CostArgs) -> String {
    let mut text = format!(
        "{} on AWS Lambda, dollars per million predictions\n\n",
        told.model
    );
    let rows: Vec<Vec<String>> = told
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![
                row.processor.name().to_owned(),
                row.memory_mb.to_string(),
                row.warm_ms.to_string(),
                row.init_ms.to_string(),
            ];
            cells.extend(row.dollars.iter().map(|dollars| format!("{dollars:.2}")));
            cells
        })
        .collect();
    let cold = COLD_PERCENT.map(|percent| format!("{percent}% COLD"));
    let mut headings = vec!["CPU", "MB", "WARM MS", "INIT MS"];
    headings.extend(cold.iter().map(String::as_str));
    text.push_str(&output::table(&headings, &[1, 2, 3, 4, 5, 6], &rows));
    text.push('\n');
    for (processor, measured) in Processor::ALL.iter().zip(&told.measured) {
        let from = match &measured.target {
            _ if arguments.latency_ms.is_some() => "as told".to_owned(),
            Some(target) => format!("measured on {target} when it was published"),
            None => "measured where it was published, on whatever that was".to_owned(),
        };
        let _ = writeln!(
            text,
            "{}: {} a run on one core, {from}",
            processor.name(),
            output::milliseconds(measured.run_ms)
        );
    }
    let prices = &told.prices;
    let api = if arguments.no_api { "without" } else { "with" };
    let _ = writeln!(
        text,
        "Prices of {} in {}, {api} the HTTP API; no data transfer, logs or storage. An estimate: measure what you deploy.",
        prices.date, prices.region
    );
    text
}

fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ms) if (0.001..=900_000.0).contains(&ms) => Ok(ms),
        _ => Err("a number of milliseconds, from 0.001 to 900000".to_owned()),
    }
}
