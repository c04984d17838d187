//! `dunlin train submit`: the training job of a deployed stack, on AWS Batch's GPUs.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use dunlin_registry::ModelName;
use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::{NO_CLI, Told, aws, outputs, text};
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// `dunlin train submit`
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// A stack that `dunlin deploy` made, with `TrainingImage`
    #[arg(long, value_name = "NAME", default_value = "dunlin")]
    stack: String,
    /// What is trained (docs/training.md) [default: the stack's]
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// The model that is published [default: the stack's]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// The data set [default: datasets/MODEL in the stack's store]
    #[arg(long, value_name = "URL")]
    data: Option<String>,
    /// Where checkpoints are kept [default: runs/MODEL in the stack's store]
    #[arg(long, value_name = "URL")]
    run: Option<String>,
    /// What the job is called [default: as the model]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Stay until it has ended
    #[arg(long)]
    watch: bool,
    /// More of what dunlin-train takes, behind `--`
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(10);

/// The job that was submitted.
#[derive(Serialize)]
struct Submitted {
    job: String,
    name: String,
    queue: String,
    definition: String,
    /// What the job is told beside what its definition says.
    parameters: BTreeMap<&'static str, String>,
    /// How it ended, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

pub(crate) fn submit(arguments: &SubmitArgs, context: &Context) -> Result<(), Failure> {
    let stack = &arguments.stack;
    let told = ask(&["cloudformation", "describe-stacks", "--stack-name", stack])?;
    let outputs = outputs(&told["Stacks"][0]);
    let output = |name: &str| {
        outputs.get(name).cloned().ok_or_else(|| {
            Exit::NotFound.failure(format!(
                "stack {stack} has no output {name}: it was deployed without training; \
                 dunlin deploy --parameter TrainingImage=… (docs/deploy.md)"
            ))
        })
    };
    let (queue, definition) = (output("TrainingQueue")?, output("TrainingDefinition")?);
    let parameters = parameters(arguments, &output("Store")?);
    let name = arguments
        .name
        .clone()
        .unwrap_or_else(|| job_name(arguments));
    let given = json!(parameters).to_string();
    let overrides = overrides(&definition, &parameters, &arguments.options)?;
    let told = ask(&[
        "batch",
        "submit-job",
        "--job-name",
        &name,
        "--job-queue",
        &queue,
        "--job-definition",
        &definition,
        "--parameters",
        &given,
        "--container-overrides",
        &overrides.to_string(),
    ])?;
    let mut submitted = Submitted {
        job: text(&told["jobId"]),
        name,
        queue,
        definition,
        parameters,
        status: None,
    };
    if arguments.watch {
        submitted.status = Some(watch(&submitted.job, context)?);
    }
    context.output.answer(&submitted, || submitted.describe())
}

/// Asks AWS's command line for something without which there is no going on.
fn ask(arguments: &[&str]) -> Result<Value, Failure> {
    match aws(arguments) {
        Told::Json(told) => Ok(told),
        Told::Refused(why) => Err(Failure::failed(format!(
            "aws {} {}: {why}; the region is AWS_REGION, and `dunlin doctor --stack NAME` says what else may be amiss",
            arguments[0], arguments[1]
        ))),
        Told::Absent => Err(Exit::NotFound.failure(format!(
            "there is no program `aws`, which submits the job: {NO_CLI}"
        ))),
    }
}

/// What was asked for; with a model, its own folders of the store.
fn parameters(arguments: &SubmitArgs, store: &str) -> BTreeMap<&'static str, String> {
    let of_model = |folder: &str| {
        let model = arguments.model.as_ref()?;
        Some(format!("{store}/{folder}/{model}"))
    };
    let given = [
        ("recipe", arguments.recipe.clone()),
        ("model", arguments.model.as_ref().map(ToString::to_string)),
        (
            "data",
            arguments.data.clone().or_else(|| of_model("datasets")),
        ),
        ("run", arguments.run.clone().or_else(|| of_model("runs"))),
    ];
    let given = given.into_iter();
    given
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What the container is told instead of the definition's command: that, and more options. Batch puts parameters into a
/// definition's command alone.
fn overrides(
    definition: &str,
    parameters: &BTreeMap<&'static str, String>,
    options: &[String],
) -> Result<Value, Failure> {
    if options.is_empty() {
        return Ok(json!({}));
    }
    let told = ask(&[
        "batch",
        "describe-job-definitions",
        "--job-definitions",
        definition,
    ])?;
    let told = &told["jobDefinitions"][0];
    let of_definition = told["containerProperties"]["command"].as_array();
    let words = of_definition.into_iter().flatten().map(|word| {
        let word = text(word);
        let Some(name) = word.strip_prefix("Ref::") else {
            return word;
        };
        let given = parameters.get(name).cloned();
        given.unwrap_or_else(|| text(&told["parameters"][name]))
    });
    let command: Vec<String> = words.chain(options.iter().cloned()).collect();
    Ok(json!({ "command": command }))
}

/// As Batch takes names: letters, digits, hyphens and underscores.
fn job_name(arguments: &SubmitArgs) -> String {
    arguments.model.as_ref().map_or_else(
        || "training".to_owned(),
        |model| model.as_str().replace('.', "-"),
    )
}

/// Waits for the job's end, and tells of its way there.
fn watch(job: &str, context: &Context) -> Result<String, Failure> {
    let mut before = String::new();
    loop {
        let told = ask(&["batch", "describe-jobs", "--jobs", job])?;
        let told = &told["jobs"][0];
        let status = text(&told["status"]);
        if status != before {
            context.output.note(&format!("{job}: {status}"));
        }
        match status.as_str() {
            "SUCCEEDED" => return Ok(status),
            "FAILED" => {
                let why = text(&told["statusReason"]);
                let log = text(&told["container"]["logStreamName"]);
                return Err(Failure::failed(format!(
                    "job {job} failed: {why}; its log stream is {log:?}"
                )));
            }
            "" => return Err(Exit::NotFound.failure(format!("there is no job {job} any more"))),
            _ => {}
        }
        before = status;
        sleep(EVERY);
    }
}

impl Submitted {
    fn describe(&self) -> String {
        match &self.status {
            Some(status) => format!("job {} ({}): {status}\n", self.name, self.job),
            None => format!(
                "submitted {} ({})\n\nTry:\n  aws batch describe-jobs --jobs {}\n",
                self.name, self.job, self.job
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: SubmitArgs,
    }

    #[test]
    fn a_model_has_its_own_folders_unless_others_are_said() {
        let of = |line: &[&str]| {
            let line = Line::try_parse_from([&["submit"], line].concat()).expect("it parses");
            (
                parameters(&line.arguments, "s3://b"),
                job_name(&line.arguments),
            )
        };
        assert_eq!(of(&[]), (BTreeMap::new(), "training".to_owned()));
        let (told, name) = of(&["--model", "flowers.v2", "--data", "s3://other/flowers"]);
        assert_eq!(name, "flowers-v2");
        let wanted = [
            ("data", "s3://other/flowers"),
            ("model", "flowers.v2"),
            ("run", "s3://b/runs/flowers.v2"),
        ];
        let told: Vec<_> = told.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(told, wanted);
    }
}
