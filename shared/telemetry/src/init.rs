//! The process's one tracing subscriber.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How log lines look. They go to standard error, so that standard output stays the program's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines for people; coloured on a terminal.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Error(format!(
                "log format '{text}' is not one of auto, text, json"
            ))),
        }
    }
}

/// The logging set-up could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Sets the process's subscriber. `filter` is in `tracing`'s syntax: `info`, `dunlin_serving=debug,warn`.
///
/// # Errors
/// When the filter does not parse, or when a subscriber is set already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| Error(format!("log filter '{filter}' does not parse: {error}")))?;
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal);
    let set = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init()
    } else {
        builder.with_target(false).try_init()
    };
    set.map_err(|error| Error(format!("logging is set up already: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_or_format_is_an_error_that_names_it() {
        let error = init(LogFormat::Text, "info=;;=x").expect_err("no such filter");
        assert!(error.to_string().contains("info=;;=x"), "{error}");
        let error = "yaml".parse::<LogFormat>().expect_err("no such format");
        assert!(error.to_string().contains("yaml"), "{error}");
        assert_eq!("JSON".parse(), Ok(LogFormat::Json));
    }

    #[test]
    fn a_second_subscriber_is_refused() {
        init(LogFormat::Json, "info").expect("the first one");
        assert!(init(LogFormat::Text, "info").is_err());
    }
}
