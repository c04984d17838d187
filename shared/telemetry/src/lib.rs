//! Tracing set-up, the phases of a request, the trace it is part of, and metrics as log lines.
//!
//! A request passes through named [`Phase`]s. [`Phases`] holds how long each took, in a fixed array: no
//! allocation, cheap to copy between threads. The same names appear in logs, in metrics and in the
//! `Server-Timing` header of a reply. [`Trace`] is the caller's trace context; [`Emf`] writes
//! metrics where nobody can scrape them; [`Exporter`] sends spans to a collector.
//!
//! ```
//! use dunlin_telemetry::{Phase, Phases};
//! use std::time::Duration;
//!
//! let mut phases = Phases::new();
//! let sum = phases.time(Phase::Infer, || 2 + 2);
//! phases.record(Phase::Queue, Duration::from_micros(250));
//! assert_eq!(sum, 4);
//! assert!(phases.server_timing().starts_with("queue;dur=0.250, infer;dur="));
//! ```

mod emf;
mod init;
mod otlp;
mod phases;
mod trace;

pub use emf::Emf;
pub use init::{Error, LogFormat, init};
pub use otlp::{Collector, Exporter, Span};
pub use phases::{Phase, Phases, Started};
pub use trace::Trace;
