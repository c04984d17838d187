//! What the program prints: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::exit::Failure;

/// How this process talks: the answer goes to standard output, all else to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether progress is shown: not to a program that reads JSON.
    pub(crate) fn shows_progress(self) -> bool {
        !self.json && !self.quiet
    }

    /// Prints the answer: `value` as JSON, or the text that `human` makes.
    pub(crate) fn answer(
        self,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.text(&human());
        }
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::failed(format!("could not write JSON: {error}")))?;
        self.text(&json)
    }

    /// As [`answer`](Self::answer), with the JSON on one line: more may follow it.
    pub(crate) fn line(
        self,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if !self.json {
            return self.text(&human());
        }
        let json = serde_json::to_string(value)
            .map_err(|error| Failure::failed(format!("could not write JSON: {error}")))?;
        self.text(&json)
    }

    /// Prints text and a line end. A reader that has gone is no failure.
    #[allow(
        clippy::unused_self,
        reason = "all that is printed goes through the output"
    )]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let line_end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(out, "{text}{line_end}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A line for the person who looks on.
    pub(crate) fn note(self, text: &str) {
        if self.shows_progress() {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says why the program failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let line = if self.json {
            serde_json::to_string(failure).unwrap_or_else(|_| failure.error.clone())
        } else {
            format!("error: {}", failure.error)
        };
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Rows under headings, in columns as wide as their widest cell. Columns in `right` hold numbers.
pub(crate) fn table(headings: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings = headings.iter().map(|h| (*h).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if right.contains(&at) {
                write!(line, "{cell:>width$}   ")
            } else {
                write!(line, "{cell:<width$}   ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes for people: `512 B`, `414 KiB`, `1.2 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 10.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Milliseconds with the digits that mean something.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{v:.4} ms"),
        v if v < 100.0 => format!("{v:.2} ms"),
        v => format!("{v:.0} ms"),
    }
}

/// A tensor's type and shape, as `FP32 [?, 3, 224, 224]`.
pub(crate) fn tensor(tensor: &dunlin_protocol::TensorMetadata) -> String {
    let shape: Vec<String> = tensor
        .shape
        .iter()
        .map(|&size| {
            if size < 0 {
                "?".to_owned()
            } else {
                size.to_string()
            }
        })
        .collect();
    format!("{} [{}]", tensor.datatype, shape.join(", "))
}

/// `text` on one line, without the control characters that could move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["digits".to_owned(), "2".to_owned(), "x".to_owned()],
            vec!["a".to_owned(), "10".to_owned(), String::new()],
        ];
        let text = table(&["NAME", "N", "LAST"], &[1], &rows);
        assert_eq!(text, "NAME      N   LAST\ndigits    2   x\na        10\n");
    }

    #[test]
    fn sizes_are_readable() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (424_000, "414 KiB"),
            (1 << 31, "2.0 GiB"),
            (u64::MAX, "16777216 TiB"),
        ];
        for (count, wanted) in cases {
            assert_eq!(bytes(count), wanted);
        }
    }
}
