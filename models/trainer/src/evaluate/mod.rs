//! How good a model is, on examples that it has never seen.

mod charts;
mod evaluation;
mod forecast;
mod gate;
mod html;
mod interval;
mod metrics;
mod report;
mod retrieval;
mod significance;
mod slices;

pub use evaluation::Evaluation;
pub use forecast::{ForecastMetrics, Forecasts};
pub use gate::{Gate, Production, Verdict};
pub use html::{Mistake, Shown, html};
pub use interval::Interval;
pub use metrics::{Answers, Bin, ClassMetrics, Metrics};
pub use report::Report;
pub(crate) use retrieval::similarities;
pub use retrieval::{Ranks, RetrievalMetrics};
pub use slices::Slice;
