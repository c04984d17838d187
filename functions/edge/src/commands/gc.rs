//! `dunlin gc`: old versions and files that no version names are removed.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;
use dunlin_registry::{Collection, Retention};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use crate::progress::Task;

/// `dunlin gc`
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Remove it; without this it is only told
    #[arg(long)]
    yes: bool,
    /// Versions of each model that stay, the newest [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_versions: Option<u32>,
    /// Versions younger than this stay in any case
    #[arg(
        long,
        value_name = "DAYS",
        default_value_t = 7.0,
        value_parser = days,
        requires = "keep_versions"
    )]
    keep_days: f64,
    /// Files younger than this stay, though no version names them
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    file_hours: u32,
}

#[derive(Serialize)]
struct Collected {
    /// Whether it has gone, or only would.
    removed: bool,
    versions: Vec<String>,
    files: Vec<String>,
    bytes: u64,
    kept_files: usize,
    /// Payloads whose time is over.
    expired_captures: usize,
}

pub(crate) async fn gc(arguments: GcArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let retention = Retention {
        versions: arguments.keep_versions.map(|count| count as usize),
        version_age: Duration::from_secs_f64(arguments.keep_days * 86_400.0),
        file_age: Duration::from_secs(u64::from(arguments.file_hours) * 3600),
    };
    let what = if arguments.yes { "removing" } else { "looking" };
    let task = Task::start(context.output, what);
    let collection = if arguments.yes {
        registry.collect(&retention).await?
    } else {
        registry.collection(&retention).await?
    };
    let expired = registry.expire(SystemTime::now(), arguments.yes).await?;
    task.done();
    let collected = Collected::new(&collection, expired.len(), arguments.yes);
    context.output.answer(&collected, || collected.describe())
}

impl Collected {
    fn new(collection: &Collection, expired: usize, removed: bool) -> Self {
        let versions = collection.versions.iter();
        Self {
            removed,
            versions: versions
                .map(|(name, version)| format!("{name}@{version}"))
                .collect(),
            files: collection
                .files
                .iter()
                .map(|(digest, _)| digest.to_string())
                .collect(),
            bytes: collection.files.iter().map(|(_, size)| size).sum(),
            kept_files: collection.kept,
            expired_captures: expired,
        }
    }

    fn describe(&self) -> String {
        let verb = if self.removed {
            "removed"
        } else {
            "would remove"
        };
        let mut text = format!(
            "{verb} {} versions and {} files, {}; {} files stay\n",
            self.versions.len(),
            self.files.len(),
            output::bytes(self.bytes),
            self.kept_files
        );
        for gone in self.versions.iter().chain(&self.files) {
            let _ = writeln!(text, "  {gone}");
        }
        if self.expired_captures > 0 {
            let _ = writeln!(
                text,
                "{verb} {} captures that have expired",
                self.expired_captures
            );
        }
        if !self.versions.is_empty() {
            text.push_str("the files of these versions go with the next gc\n");
        }
        if !self.removed && self.versions.len() + self.files.len() + self.expired_captures > 0 {
            text.push_str("nothing is removed yet; --yes does it\n");
        }
        text
    }
}

fn days(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(days) if (0.0..=36_500.0).contains(&days) => Ok(days),
        _ => Err("a number of days, from 0 to 36500".to_owned()),
    }
}
