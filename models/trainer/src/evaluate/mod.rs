//! How good a classifier is, on pictures that it has never seen.

mod charts;
mod gate;
mod html;
mod interval;
mod metrics;
mod report;

pub use gate::Gate;
pub use html::{Mistake, html};
pub use interval::Interval;
pub use metrics::{Answers, Bin, ClassMetrics, Metrics};
pub use report::Report;
