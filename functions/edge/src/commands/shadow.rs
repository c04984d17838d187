//! `dunlin shadow`: a version that is asked too, and where its answers differ.

use clap::Args;
use dunlin_registry::{Alias, ModelName, ModelRef, Selector, Shadow, Version};
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{printable, table};

/// `dunlin shadow`
#[derive(Debug, Args)]
pub(crate) struct ShadowArgs {
    /// MODEL@VERSION to begin, MODEL to look or to end
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// The alias whose requests it sees
    #[arg(long, value_name = "ALIAS", default_value_t = Alias::production())]
    alias: Alias,
    /// The share of the requests that it sees
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    percent: u32,
    /// End it
    #[arg(long)]
    off: bool,
}

/// Differences that are shown.
const SHOWN: usize = 20;

/// What is known of a shadow.
#[derive(Serialize)]
struct Told {
    model: ModelName,
    shadow: Option<Shadow>,
    /// The worst first.
    differences: Vec<Value>,
}

pub(crate) async fn shadow(arguments: ShadowArgs, context: &Context) -> Result<(), Failure> {
    let (name, alias) = (&arguments.model.name, &arguments.alias);
    let registry = context.registry().await?;
    let shadow = match (&arguments.model.selector, arguments.off) {
        (Selector::Version(version), false) => Some(Shadow {
            version: *version,
            percent: arguments.percent,
        }),
        (Selector::Default, true) => None,
        (Selector::Default, false) => {
            let (record, _) = registry.alias(name, alias).await?;
            let told = Told {
                model: name.clone(),
                shadow: record.shadow,
                differences: registry.differences(name, SHOWN).await?,
            };
            return context.output.answer(&told, || told.describe());
        }
        _ => {
            return Err(Exit::Usage.failure(format!(
                "name the version by its number, as in dunlin shadow {name}@3, or the model alone with --off"
            )));
        }
    };
    let record = registry.set_shadow(name, alias, shadow).await?;
    context.output.answer(&record, || match record.shadow {
        Some(Shadow { version, percent }) => {
            format!("{percent} % of {name}@{alias} is asked of version {version} too")
        }
        None => format!("{name}@{alias} has no shadow"),
    })
}

impl Told {
    fn describe(&self) -> String {
        let mut text = match self.shadow {
            Some(Shadow { version, percent }) => {
                format!("version {version} is asked {percent} % too")
            }
            None => "no shadow".to_owned(),
        };
        if self.differences.is_empty() {
            return text + "; no differences are kept";
        }
        let rows: Vec<Vec<String>> = self.differences.iter().map(row).collect();
        text.push('\n');
        text + &table(
            &["DISTANCE", "FIRST", "SECOND", "REQUEST", "AT"],
            &[0],
            &rows,
        )
    }
}

/// An example as a row: who said what.
fn row(example: &Value) -> Vec<String> {
    let said = |side: &str| {
        let side = &example[side];
        let version: Option<Version> = serde_json::from_value(side["version"].clone()).ok();
        let version = version.map_or_else(String::new, |version| format!("{version}: "));
        let class = &side["answer"]["predictions"][0];
        let class = if class.is_array() { &class[0] } else { class };
        let said = match (
            side["error"].as_str(),
            class["label"].as_str(),
            &class["index"],
        ) {
            (Some(error), ..) => error.to_owned(),
            (None, Some(label), _) => label.to_owned(),
            (None, None, Value::Number(index)) => index.to_string(),
            _ => "tensors".to_owned(),
        };
        printable(&format!("{version}{said}"))
    };
    let distance = example["distance"].as_f64().unwrap_or_default();
    let text = |field: &str| printable(example[field].as_str().unwrap_or_default());
    vec![
        format!("{distance:.3}"),
        said("first"),
        said("second"),
        text("request_id"),
        text("at"),
    ]
}
