//! What the training says while it runs: a line that changes on a terminal, lines in a log.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::{Point, Score};

/// A log gets a line this often; a terminal, several times a second.
const LOGGED: Duration = Duration::from_secs(15);
const SHOWN: Duration = Duration::from_millis(250);

/// So much of the smoothed loss is the last step's.
const FRESH: f64 = 0.05;

/// Writes to standard error.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    quiet: bool,
    started: Instant,
    told: Option<Instant>,
    first: usize,
    steps: usize,
    smoothed: Option<Score>,
}

impl Progress {
    /// Of a run of so many steps, of which `first` are done already.
    pub fn new(first: usize, steps: usize, quiet: bool) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            quiet,
            started: Instant::now(),
            told: None,
            first,
            steps,
            smoothed: None,
        }
    }

    /// After a step, the first being 1.
    pub fn step(&mut self, step: usize, epoch: usize, epochs: usize, score: Score) {
        let mix = |old: f64, new: f64| old + FRESH * (new - old);
        let smoothed = self.smoothed.map_or(score, |old| Score {
            loss: mix(old.loss, score.loss),
            accuracy: old
                .accuracy
                .zip(score.accuracy)
                .map(|(old, new)| mix(old, new)),
        });
        self.smoothed = Some(smoothed);
        let pause = if self.terminal { SHOWN } else { LOGGED };
        if self.quiet || self.told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        self.told = Some(Instant::now());
        let Score { loss, accuracy } = smoothed;
        let accuracy = accuracy.map_or(String::new(), |accuracy| {
            format!("  accuracy {:5.1} %", accuracy * 100.0)
        });
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (step - self.first) as f64 / seconds.max(1e-9);
        let left = Duration::from_secs_f64((self.steps - step) as f64 / rate.max(1e-9));
        let line = format!(
            "epoch {epoch:>2}/{epochs}  step {step:>6}/{}  loss {loss:.4}{accuracy}  {rate:.1} steps/s  {} left",
            self.steps,
            duration(left)
        );
        let mut out = std::io::stderr().lock();
        // A terminal that is gone is no reason to stop.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// After an epoch. `best`: whether its validation loss is the lowest so far.
    pub fn epoch(&mut self, point: &Point, best: bool) {
        let Point {
            epoch,
            train,
            valid,
            ..
        } = point;
        let told = |score: &Score| {
            let accuracy = score.accuracy.map_or(String::new(), |accuracy| {
                format!(", accuracy {:.2} %", accuracy * 100.0)
            });
            format!("loss {:.4}{accuracy}", score.loss)
        };
        let valid = valid.map_or(String::new(), |valid| {
            let star = if best { "  best so far" } else { "" };
            format!("   valid: {}{star}", told(&valid))
        });
        self.say(&format!(
            "epoch {epoch:>2} done in {}   train: {}{valid}",
            duration(self.started.elapsed()),
            told(train)
        ));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.write(line);
        }
    }

    /// A line that nobody should miss.
    pub fn warn(&self, line: &str) {
        self.write(&format!("warning: {line}"));
    }

    fn write(&self, line: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{line}");
    }
}

/// `1:02:03` or `2:03`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
