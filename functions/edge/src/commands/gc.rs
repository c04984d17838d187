//! `dunlin gc`: old versions and files that no version names are removed.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use dunlin_registry::{Collection, Retention};
use serde::Serialize;

use crate::cli::GcArgs;
use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use crate::progress::Task;

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
