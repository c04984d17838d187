//! `dunlin bench`: how fast a model runs here.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use clap::Args;
use cpu_time::ProcessTime;
use dunlin_engine::{LoadOptions, Model, NodeTime, Threads};
use dunlin_protocol::NamedTensor;
use serde::Serialize;

use super::source::{self, Runnable};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::progress::Task;
use crate::{inputs, npz, output};

/// `dunlin bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// An .onnx or .plan file, or a model of the store
    #[arg(value_name = "MODEL")]
    model: String,
    /// Inputs by name, as `numpy.savez` writes them; runs take turns where it is given more than once
    #[arg(long, value_name = "FILE.npz", conflicts_with = "shape")]
    inputs: Vec<PathBuf>,
    /// Write the outputs of the first inputs there, as `numpy.savez` does
    #[arg(long, value_name = "FILE.npz")]
    outputs: Option<PathBuf>,
    /// The shape of a random input; else each dynamic dimension is 1
    #[arg(long, value_name = "NAME=N,N,…")]
    shape: Vec<crate::inputs::NamedShape>,
    /// Threads that share the large nodes of a run
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Runs at one time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: u16,
    /// Runs, of each that run at one time [default: as many as fit into --seconds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Runs before it measures
    #[arg(long, value_name = "N", default_value_t = 3)]
    warm_up: u32,
    /// Also time each node of the optimized graph
    #[arg(long)]
    profile: bool,
}

/// Nodes that the table shows.
const NODES: usize = 20;

/// What was measured. Times are of single runs.
#[derive(Debug, Serialize)]
struct Measurement {
    model: String,
    /// Threads that shared a run.
    threads: usize,
    /// Runs at one time.
    parallel: usize,
    /// All of them.
    runs: usize,
    load_ms: f64,
    /// The first run, which also makes the plan for its shape.
    first_ms: f64,
    min_ms: f64,
    median_ms: f64,
    mean_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    /// Processor time of a run: the mean, over all cores that took part.
    cpu_ms: f64,
    /// Runs a second, of all that run at one time.
    runs_per_second: f64,
    memory_bytes: u64,
    per_loop: Vec<Share>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<NodeTime>,
}

/// What one of those did that run at one time.
#[derive(Debug, Serialize)]
struct Share {
    runs: usize,
    median_ms: f64,
    runs_per_second: f64,
}

pub(crate) async fn bench(arguments: BenchArgs, context: &Context) -> Result<(), Failure> {
    let runnable = source::runnable(&arguments.model, context).await?;
    let task = Task::start(context.output, format!("measuring {}", runnable.name));
    let measured = tokio::task::spawn_blocking(move || measure(runnable, &arguments))
        .await
        .map_err(|error| Failure::failed(format!("the measurement broke off: {error}")))??;
    task.done();
    context.output.answer(&measured, || measured.describe())
}

fn measure(runnable: Runnable, arguments: &BenchArgs) -> Result<Measurement, Failure> {
    let Runnable { name, bytes, onnx } = runnable;
    let started = Instant::now();
    let mut options = LoadOptions::default();
    options.threads = Threads::new(arguments.threads)?;
    let model = if dunlin_engine::is_plan(&bytes) {
        Model::load_plan(&name, &bytes, onnx, &options)?
    } else {
        Model::load(&name, bytes, &options)?
    };
    let load = started.elapsed();
    let inputs = if arguments.inputs.is_empty() {
        vec![inputs::random(model.inputs(), &arguments.shape)?]
    } else {
        let read = arguments.inputs.iter().map(|path| npz::read(path));
        read.collect::<Result<_, _>>()?
    };
    let started = Instant::now();
    let outputs = model.run(inputs[0].clone())?;
    let first = started.elapsed();
    if let Some(path) = &arguments.outputs {
        npz::write(path, &outputs)?;
    }
    drop(outputs);
    let loops = run_loops(&model, &inputs, arguments)?;
    let profile = if arguments.profile {
        model.profile(inputs[0].clone())?
    } else {
        Vec::new()
    };
    let per_loop: Vec<Share> = loops.iter().map(|done| Share::new(&done.times)).collect();
    let cpu = processor_time(&loops);
    let mut all: Vec<Duration> = loops.into_iter().flat_map(|done| done.times).collect();
    all.sort_unstable();
    let (Some(min), false) = (all.first(), per_loop.is_empty()) else {
        return Err(Exit::Usage.failure("nothing was run; give more --seconds or --runs"));
    };
    Ok(Measurement {
        model: name,
        threads: arguments.threads.get(),
        parallel: per_loop.len(),
        runs: all.len(),
        load_ms: ms(load),
        first_ms: ms(first),
        min_ms: ms(*min),
        median_ms: ms(quantile(&all, 0.5)),
        mean_ms: ms(all.iter().sum::<Duration>()) / all.len() as f64,
        p95_ms: ms(quantile(&all, 0.95)),
        p99_ms: ms(quantile(&all, 0.99)),
        cpu_ms: ms(cpu) / all.len() as f64,
        runs_per_second: per_loop.iter().map(|share| share.runs_per_second).sum(),
        memory_bytes: model.memory_bytes(),
        per_loop,
        profile,
    })
}

/// Runs one after the other.
#[derive(Debug)]
struct Loop {
    times: Vec<Duration>,
    /// The process's clock of processor time, before the first and after the last.
    cpu: (Duration, Duration),
}

/// The runs of each loop, all starting together.
fn run_loops(
    model: &Model,
    inputs: &[Vec<NamedTensor>],
    arguments: &BenchArgs,
) -> Result<Vec<Loop>, Failure> {
    let barrier = Barrier::new(usize::from(arguments.parallel));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.parallel)
            .map(|_| scope.spawn(|| run_loop(model, inputs, arguments, &barrier)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let done = thread
                    .join()
                    .map_err(|_| Failure::failed("a thread of the measurement panicked"))?;
                Ok(done?)
            })
            .collect()
    })
}

fn run_loop(
    model: &Model,
    inputs: &[Vec<NamedTensor>],
    arguments: &BenchArgs,
    barrier: &Barrier,
) -> dunlin_engine::Result<Loop> {
    // Each run with the next inputs.
    let mut turns = inputs.iter().cycle().cloned();
    let mut warm = turns.by_ref().take(arguments.warm_up as usize);
    let warm = warm.try_for_each(|given| model.run(given).map(drop));
    // Every loop comes here, whatever happened to it: the others wait.
    barrier.wait();
    warm?;
    let runs = arguments.runs.unwrap_or(u32::MAX);
    let limit = arguments
        .runs
        .is_none()
        .then(|| Duration::from_secs_f64(arguments.seconds));
    let started = Instant::now();
    let cpu = ProcessTime::now().as_duration();
    let mut times = Vec::new();
    for given in turns.take(runs as usize) {
        let run = Instant::now();
        let outputs = model.run(given)?;
        times.push(run.elapsed());
        drop(outputs);
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
    }
    Ok(Loop {
        times,
        cpu: (cpu, ProcessTime::now().as_duration()),
    })
}

/// Processor time from the first loop's start to the last one's end.
fn processor_time(loops: &[Loop]) -> Duration {
    let start = loops.iter().map(|done| done.cpu.0).min();
    let end = loops.iter().map(|done| done.cpu.1).max();
    end.zip(start)
        .map_or(Duration::ZERO, |(end, start)| end.saturating_sub(start))
}

impl Share {
    fn new(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let total: Duration = times.iter().sum();
        Self {
            runs: times.len(),
            median_ms: ms(quantile(&sorted, 0.5)),
            runs_per_second: times.len() as f64 / total.as_secs_f64().max(f64::MIN_POSITIVE),
        }
    }
}

impl Measurement {
    fn describe(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "{what:<12} {value}");
        };
        line("model", self.model.clone());
        line(
            "runs",
            format!(
                "{}, {} at one time, {} thread(s) a run",
                self.runs, self.parallel, self.threads
            ),
        );
        line("median", output::milliseconds(self.median_ms));
        line("min", output::milliseconds(self.min_ms));
        line("p95", output::milliseconds(self.p95_ms));
        line("p99", output::milliseconds(self.p99_ms));
        line("processor", output::milliseconds(self.cpu_ms));
        line(
            "throughput",
            format!("{:.1} runs a second", self.runs_per_second),
        );
        if self.parallel > 1 {
            for share in &self.per_loop {
                line(
                    "  of them",
                    format!(
                        "{:.1} runs a second, median {}",
                        share.runs_per_second,
                        output::milliseconds(share.median_ms)
                    ),
                );
            }
        }
        line("load", output::milliseconds(self.load_ms));
        line("first run", output::milliseconds(self.first_ms));
        line("memory", output::bytes(self.memory_bytes));
        if !self.profile.is_empty() {
            text.push('\n');
            text.push_str(&self.nodes());
        }
        text
    }

    /// The slowest nodes.
    fn nodes(&self) -> String {
        let total: f64 = self.profile.iter().map(|node| node.micros).sum();
        let mut nodes: Vec<&NodeTime> = self.profile.iter().collect();
        nodes.sort_by(|a, b| b.micros.total_cmp(&a.micros));
        let rows: Vec<Vec<String>> = nodes
            .iter()
            .take(NODES)
            .map(|node| {
                vec![
                    format!(
                        "{:.1} %",
                        100.0 * node.micros / total.max(f64::MIN_POSITIVE)
                    ),
                    format!("{:.1}", node.micros),
                    node.runs.to_string(),
                    output::printable(&node.op),
                    output::printable(&node.node),
                ]
            })
            .collect();
        output::table(
            &["SHARE", "MICROSECONDS", "RUNS", "OPERATOR", "NODE"],
            &[0, 1, 2],
            &rows,
        )
    }
}

/// The nearest-rank quantile of sorted times; zero where there are none.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, from 0 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (share, wanted) in [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1)] {
            assert_eq!(
                quantile(&times, share),
                Duration::from_millis(wanted),
                "{share}"
            );
        }
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
