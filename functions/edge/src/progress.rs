//! What is under way: bars on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dunlin_storage::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// One task that takes time. Its line goes away when it is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    bar: ProgressBar,
    what: String,
    output: Output,
    started: Instant,
}

impl Task {
    /// A task of unknown length, as in "loading digits".
    pub(crate) fn start(output: Output, what: impl Into<String>) -> Self {
        Self::new(output, what.into(), ProgressBar::new_spinner(), SPINNER)
    }

    /// A transfer of so many bytes, as in "fetching digits".
    pub(crate) fn bytes(output: Output, what: impl Into<String>, total: u64) -> Self {
        Self::new(output, what.into(), ProgressBar::new(total), BYTES)
    }

    /// So many inputs to be answered.
    pub(crate) fn inputs(output: Output, what: impl Into<String>, total: u64) -> Self {
        Self::new(output, what.into(), ProgressBar::new(total), INPUTS)
    }

    fn new(output: Output, what: String, bar: ProgressBar, style: &str) -> Self {
        let on_terminal = output.shows_progress() && stderr().is_terminal();
        let bar = if on_terminal {
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar.with_message(what.clone())
        } else {
            output.note(&format!("{what} …"));
            ProgressBar::hidden()
        };
        Self {
            bar,
            what,
            output,
            started: Instant::now(),
        }
    }

    /// What storage calls with the bytes that have passed.
    pub(crate) fn callback(&self) -> Progress {
        let bar = self.bar.clone();
        Arc::new(move |bytes| bar.inc(bytes))
    }

    /// So much more is done.
    pub(crate) fn moved(&self, count: u64) {
        self.bar.inc(count);
    }

    /// Ends the task and says how long it took.
    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        self.output
            .note(&format!("{}: done in {seconds:.2} s", self.what));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const SPINNER: &str = "{spinner} {msg} {elapsed}";
const BYTES: &str = "{msg} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const INPUTS: &str = "{msg} [{bar:32}] {pos}/{len} {per_sec} {eta}";
