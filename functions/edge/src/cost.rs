//! What predictions cost on Lambda: dollars per million, from what was measured when a version was
//! published and a table of prices with its date.
//!
//! The model of time: one run takes what it took where it was published, on one whole core. Lambda
//! gives a function one core for each 1,769 MB, and less below; a run is counted as one core's, so more makes
//! it no faster. A cold start bills its init phase too (since August 2025), which has a whole core
//! whatever the memory.

use dunlin_registry::{Artifact, Manifest};
use serde::{Deserialize, Serialize};

/// Memory that buys one core, MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const CORE_MB: f64 = 1769.0;

/// Memory sizes that are compared, MB.
const SIZES: [u32; 7] = [256, 512, 1024, 1769, 3008, 5120, 10_240];

/// Shares of cold starts that are compared, percent.
pub(crate) const COLD_PERCENT: [f64; 3] = [0.0, 1.0, 10.0];

/// What a function uses besides its model, MB: twice what docs/performance.md has measured.
const BESIDE_MODEL_MB: f64 = 64.0;

/// What a request takes besides the run, milliseconds at one core: decoding, encoding, the event.
const REQUEST_MS: f64 = 1.0;

/// From process start to the first poll, S3's client included, milliseconds (docs/performance.md).
const START_MS: f64 = 15.0;

/// Reads that a load waits for one after the other (the alias; the manifest beside the file), and S3's median, milliseconds.
const READS: f64 = 2.0;
const READ_MS: f64 = 27.0;

/// Lambda's network: a burst, then a steady rate (arXiv 2501.07771).
const BURST_BYTES: f64 = 300.0 * MIB;
const BURST_RATE: f64 = 1.2 * 1024.0 * MIB;
const STEADY_RATE: f64 = 75.0 * MIB;
const MIB: f64 = 1024.0 * 1024.0;

/// Processors that Lambda has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Processor {
    #[serde(rename = "x86-64")]
    X86,
    #[serde(rename = "arm64")]
    Arm,
}

/// The table of prices.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Prices {
    /// The day on which they were looked up.
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) currency: String,
    pub(crate) source: String,
    gb_second: PerProcessor,
    million_requests: f64,
    million_http_api_requests: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct PerProcessor {
    #[serde(rename = "x86-64")]
    x86: f64,
    arm64: f64,
}

/// What was measured of a version.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// One run on one core, milliseconds.
    pub(crate) run_ms: f64,
    /// From bytes to a runnable model, milliseconds.
    pub(crate) load_ms: f64,
    /// The loaded model, bytes.
    pub(crate) memory_bytes: u64,
    /// The file that is fetched, bytes.
    pub(crate) file_bytes: u64,
    /// The processors that this was measured for; absent where nobody said.
    pub(crate) target: Option<String>,
}

/// What one memory size costs on one kind of processor.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) processor: Processor,
    pub(crate) memory_mb: u32,
    /// A warm request, milliseconds as billed.
    pub(crate) warm_ms: u32,
    /// The init phase that a cold request adds, milliseconds as billed.
    pub(crate) init_ms: u32,
    /// Per million predictions, at each of [`COLD_PERCENT`].
    pub(crate) dollars: [f64; 3],
}

impl Prices {
    /// The table that this program came with.
    pub(crate) fn known() -> Result<Self, serde_json::Error> {
        serde_json::from_str(include_str!("cost/prices.json"))
    }

    fn gb_second(&self, processor: Processor) -> f64 {
        match processor {
            Processor::X86 => self.gb_second.x86,
            Processor::Arm => self.gb_second.arm64,
        }
    }
}

impl Measured {
    /// What is known of a version for these processors: of a plan made for them, else of the portable file.
    pub(crate) fn of(manifest: &Manifest, processor: Processor) -> Option<Self> {
        let measured = |artifact: &&Artifact| artifact.measured.latency_ms.is_some();
        let fits = |artifact: &&Artifact| {
            let target = artifact.target.as_deref();
            target.is_some_and(|target| processor.makes(target))
        };
        let all = || manifest.artifacts.iter().filter(measured);
        let fastest = |one: &&Artifact, other: &&Artifact| {
            let ms = |artifact: &Artifact| artifact.measured.latency_ms.unwrap_or(f64::INFINITY);
            ms(one).total_cmp(&ms(other))
        };
        // A plan of other processors says nothing of these; the portable file was run by somebody.
        let portable = |artifact: &&Artifact| artifact.target.is_none();
        let best = all().filter(fits).min_by(fastest);
        let best = best.or_else(|| all().filter(portable).min_by(fastest))?;
        Some(Self {
            run_ms: best.measured.latency_ms?,
            load_ms: best.measured.load_ms.unwrap_or(0.0),
            memory_bytes: best.measured.memory_bytes.unwrap_or(best.size),
            file_bytes: best.size,
            target: best.target.clone(),
        })
    }

    /// Rows for every memory size that holds the model.
    pub(crate) fn rows(&self, processor: Processor, prices: &Prices, api: bool) -> Vec<Row> {
        let needed =
            self.memory_bytes as f64 / MIB + self.file_bytes as f64 / MIB + BESIDE_MODEL_MB;
        let sizes = SIZES.iter().filter(|size| f64::from(**size) >= needed);
        sizes
            .map(|size| self.row(*size, processor, prices, api))
            .collect()
    }

    fn row(&self, memory_mb: u32, processor: Processor, prices: &Prices, api: bool) -> Row {
        let cores = (f64::from(memory_mb) / CORE_MB).min(1.0);
        let warm_ms = ((self.run_ms + REQUEST_MS) / cores).ceil() as u32;
        let init_ms = (START_MS + READS * READ_MS + self.fetch_ms() + self.load_ms).ceil() as u32;
        let gb = f64::from(memory_mb) / 1024.0;
        let dollars = COLD_PERCENT.map(|percent| {
            let billed = f64::from(warm_ms) + f64::from(init_ms) * percent / 100.0;
            let compute = billed / 1000.0 * gb * prices.gb_second(processor) * 1e6;
            let api = if api {
                prices.million_http_api_requests
            } else {
                0.0
            };
            compute + prices.million_requests + api
        });
        Row {
            processor,
            memory_mb,
            warm_ms,
            init_ms,
            dollars,
        }
    }

    fn fetch_ms(&self) -> f64 {
        let bytes = self.file_bytes as f64;
        let burst = bytes.min(BURST_BYTES);
        1000.0 * (burst / BURST_RATE + (bytes - burst) / STEADY_RATE)
    }
}

impl Processor {
    pub(crate) const ALL: [Self; 2] = [Self::X86, Self::Arm];

    /// Its name in Lambda's settings and in targets of plans.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86-64",
            Self::Arm => "arm64",
        }
    }

    fn makes(self, target: &str) -> bool {
        target.starts_with(match self {
            Self::X86 => "x86",
            Self::Arm => "aarch64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(run_ms: f64, megabytes: u64) -> Measured {
        Measured {
            run_ms,
            load_ms: 20.0,
            memory_bytes: megabytes << 20,
            file_bytes: megabytes << 20,
            target: None,
        }
    }

    #[test]
    fn a_million_of_nine_milliseconds_cost_what_aws_would_bill() {
        let prices = Prices::known().unwrap();
        let rows = measured(9.0, 12).rows(Processor::X86, &prices, false);
        let row = rows.iter().find(|row| row.memory_mb == 1769).unwrap();
        assert_eq!(row.warm_ms, 10);
        // 15 + 2 * 27 + 12 / (1.2 * 1024) * 1000 + 20, rounded up.
        assert_eq!(row.init_ms, 99);
        // 1e6 * 0.010 s * 1769/1024 GB * 0.0000166667 + 0.20
        assert!((row.dollars[0] - 0.4879).abs() < 1e-3, "{row:?}");
        // A tenth of the requests has 99 ms more.
        assert!(
            (row.dollars[2] - 0.4879 - 0.2879 * 0.99).abs() < 1e-3,
            "{row:?}"
        );
        let api = measured(9.0, 12).rows(Processor::X86, &prices, true);
        let same = api.iter().find(|row| row.memory_mb == 1769).unwrap();
        assert!((same.dollars[0] - row.dollars[0] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn less_memory_is_slower_and_more_than_a_core_is_not_faster() {
        let prices = Prices::known().unwrap();
        let rows = measured(9.0, 12).rows(Processor::Arm, &prices, false);
        let ms = |memory| {
            rows.iter()
                .find(|row| row.memory_mb == memory)
                .unwrap()
                .warm_ms
        };
        assert_eq!(ms(512), 35);
        assert_eq!(ms(3008), ms(1769));
    }

    #[test]
    fn sizes_that_do_not_hold_the_model_are_left_out() {
        let prices = Prices::known().unwrap();
        let sizes: Vec<u32> = measured(9.0, 600)
            .rows(Processor::Arm, &prices, false)
            .iter()
            .map(|row| row.memory_mb)
            .collect();
        assert_eq!(sizes, [1769, 3008, 5120, 10_240]);
    }
}
