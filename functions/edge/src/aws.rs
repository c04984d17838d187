//! The AWS command line, which knows the account: this program signs nothing but S3's requests.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What to do where it is not installed.
pub(crate) const NO_CLI: &str = "install the AWS command line (aws), or look by hand";

/// What a command of the AWS command line gives.
pub(crate) enum Told {
    Json(Value),
    /// It ended with an error: its message.
    Refused(String),
    /// There is no such program.
    Absent,
}

/// Asks it, and reads what it says.
pub(crate) fn aws(arguments: &[&str]) -> Told {
    let mut command = Command::new("aws");
    command.args(arguments).args(["--output", "json"]);
    // Of version 2 alone; version 1, which PyPI has, takes no flag for it.
    command.env("AWS_PAGER", "");
    match command.output() {
        Err(_) => Told::Absent,
        Ok(output) if output.status.success() => {
            Told::Json(serde_json::from_slice(&output.stdout).unwrap_or_default())
        }
        Ok(output) => Told::Refused(
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .replace('\n', " "),
        ),
    }
}

/// The outputs of a stack that `describe-stacks` tells of.
pub(crate) fn outputs(stack: &Value) -> BTreeMap<String, String> {
    let all = stack["Outputs"].as_array().into_iter().flatten();
    all.map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"])))
        .collect()
}

/// A string as it is, anything else as JSON has it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
