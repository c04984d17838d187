//! `dunlin rm`: a version, or a model, is deleted.

use std::fmt::Write as _;

use clap::Args;
use dunlin_registry::{Deleted, ModelRef, Selector};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin rm`
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// MODEL@VERSION, or MODEL if it has only one
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// Every version of the model, and its aliases
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Removed {
    model: String,
    versions: Vec<String>,
    aliases: Vec<String>,
    changed_aliases: Vec<String>,
}

pub(crate) async fn rm(arguments: RmArgs, context: &Context) -> Result<(), Failure> {
    let registry = context.registry().await?;
    let name = &arguments.model.name;
    let deleted = match &arguments.model.selector {
        Selector::Version(_) | Selector::Alias(_) if arguments.all => {
            return Err(Exit::Usage.failure(format!(
                "--all deletes every version; name the model alone: dunlin rm {name} --all"
            )));
        }
        Selector::Version(version) => registry.delete_version(name, *version).await?,
        Selector::Alias(alias) => {
            return Err(Exit::Usage.failure(format!(
                "{alias} is an alias; name the version to delete, as in {name}@3 (dunlin show {name} lists them)"
            )));
        }
        Selector::Default if arguments.all => registry.delete_model(name).await?,
        Selector::Default => match registry.versions(name).await?.as_slice() {
            [_, _, ..] => {
                return Err(Exit::Usage.failure(format!(
                    "{name} has several versions; name one, as in {name}@3, or delete all with --all"
                )));
            }
            _ => registry.delete_model(name).await?,
        },
    };
    let removed = Removed::new(name.to_string(), &deleted);
    context.output.answer(&removed, || removed.describe())
}

impl Removed {
    fn new(model: String, deleted: &Deleted) -> Self {
        let aliases =
            |aliases: &[dunlin_registry::Alias]| aliases.iter().map(ToString::to_string).collect();
        Self {
            model,
            versions: deleted.versions.iter().map(ToString::to_string).collect(),
            aliases: aliases(&deleted.aliases),
            changed_aliases: aliases(&deleted.changed_aliases),
        }
    }

    fn describe(&self) -> String {
        let mut text = format!(
            "deleted {} version {}",
            self.model,
            self.versions.join(", ")
        );
        if !self.aliases.is_empty() {
            let _ = write!(text, "; its alias {} too", self.aliases.join(", "));
        }
        if !self.changed_aliases.is_empty() {
            let rest = self.changed_aliases.join(", ");
            let _ = write!(text, "; alias {rest} serves the rest");
        }
        text
    }
}
