//! `dunlin doctor`: what stands in the way of a deployment that works, each finding with its cure.
//!
//! - `store`: reached, written to, its conditions and its clock; for any store.
//! - `account`, `bucket`: what the AWS command line tells of the stack and its functions, and of the bucket.

mod account;
mod bucket;
mod store;

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// A stack that `dunlin deploy` made
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
}

/// What was looked at, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    state: State,
    /// What was seen.
    seen: String,
    /// What to do about it; empty where all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    cure: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Works, but not as it should, or could not be looked at.
    Warning,
    Bad,
}

impl Finding {
    fn good(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Good,
            seen: seen.into(),
            cure: String::new(),
        }
    }

    fn warning(check: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            cure: cure.into(),
            ..Self::good(check, seen)
        }
    }

    fn bad(check: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            state: State::Bad,
            ..Self::warning(check, seen, cure)
        }
    }
}

pub(crate) async fn doctor(arguments: DoctorArgs, context: &Context) -> Result<(), Failure> {
    let version = format!(
        "dunlin {} ({}, {})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let mut findings = vec![Finding::good("version", version)];
    let mut url = context.url()?;
    if let Some(stack) = &arguments.stack {
        let (outputs, told) = account::stack(stack);
        findings.extend(told);
        if let Some(store) = outputs.get("Store") {
            url.clone_from(store);
        }
        findings.extend(account::functions(&outputs));
    }
    findings.extend(store::check(&url, context).await);
    if let Some(name) = bucket_of(&url) {
        findings.extend(bucket::look(name));
    }
    context.output.answer(&findings, || describe(&findings))?;
    let bad = findings.iter().filter(|f| f.state == State::Bad).count();
    match bad {
        0 => Ok(()),
        1 => Err(Failure::failed("one finding is bad; its cure is beside it")),
        _ => Err(Exit::Failed.failure(format!(
            "{bad} findings are bad; their cures are beside them"
        ))),
    }
}

fn bucket_of(url: &str) -> Option<&str> {
    url.strip_prefix("s3://")?.split('/').next()
}

fn describe(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Good => "good",
            State::Warning => "warning",
            State::Bad => "BAD",
        };
        let _ = writeln!(text, "{mark:<8} {:<12} {}", finding.check, finding.seen);
        if !finding.cure.is_empty() {
            let _ = writeln!(text, "{:<21} cure: {}", "", finding.cure);
        }
    }
    text
}
