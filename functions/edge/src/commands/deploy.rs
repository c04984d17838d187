//! `dunlin deploy`: the system of infra/template.yaml into an account, by `sam build` and `sam deploy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::template::Template;

/// `dunlin deploy`
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The template
    #[arg(long, value_name = "FILE", default_value = "infra/template.yaml")]
    template: PathBuf,
    /// The stack's name
    #[arg(long, value_name = "NAME", default_value = "dunlin")]
    stack: String,
    /// Where to [default: as the AWS tools find it]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// A parameter of the template, as in PredictMemory=3008; may be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = crate::template::parameter)]
    parameters: Vec<(String, String)>,
    /// Say what would be done, and what it makes; do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the stack is changed
    #[arg(short, long)]
    yes: bool,
}

/// The release profile, which is all that `sam build` knows, becomes the profile `deploy` of Cargo.toml; one codegen
/// unit is cargo-lambda's own doing.
const SHIPPED: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
];

/// Where `sam build` leaves what `sam deploy` takes.
const BUILT: &str = "target/sam";

#[derive(Serialize)]
struct Plan {
    stack: String,
    architecture: String,
    /// Each command, and the environment that it gets.
    commands: Vec<Step>,
    routes: Vec<String>,
    resources: BTreeMap<String, usize>,
    /// What is paid while nothing happens.
    idle: Vec<String>,
}

#[derive(Serialize)]
struct Step {
    environment: BTreeMap<String, String>,
    command: Vec<String>,
}

pub(crate) fn deploy(arguments: &DeployArgs, context: &Context) -> Result<(), Failure> {
    let given: BTreeMap<_, _> = arguments.parameters.iter().cloned().collect();
    let template = Template::read(&arguments.template, &given)?;
    let plan = Plan {
        stack: arguments.stack.clone(),
        architecture: template.parameter("Architecture"),
        commands: vec![build(arguments), deploy_step(arguments)],
        routes: template
            .routes()?
            .iter()
            .map(|route| format!("{} {}", route.method, route.path))
            .collect(),
        resources: template.resources()?,
        idle: idle(&template),
    };
    if arguments.dry_run {
        return context.output.answer(&plan, || describe(&plan));
    }
    for step in &plan.commands {
        run(step, context)?;
    }
    context.output.note(&format!(
        "deployed; next: dunlin doctor --stack {}",
        arguments.stack
    ));
    Ok(())
}

fn build(arguments: &DeployArgs) -> Step {
    let template = arguments.template.display().to_string();
    let mut command = words(&["sam", "build", "--beta-features", "--template", &template]);
    command.extend(words(&["--build-dir", BUILT]));
    command.extend(overrides(arguments));
    let environment = SHIPPED.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Step {
        environment: environment.into(),
        command,
    }
}

fn deploy_step(arguments: &DeployArgs) -> Step {
    let built = Path::new(BUILT).join("template.yaml").display().to_string();
    let mut command = words(&["sam", "deploy", "--template-file", &built]);
    command.extend(words(&["--stack-name", &arguments.stack, "--resolve-s3"]));
    command.extend(words(&[
        "--capabilities",
        "CAPABILITY_IAM",
        "CAPABILITY_AUTO_EXPAND",
    ]));
    command.extend(words(&["--no-fail-on-empty-changeset"]));
    if let Some(region) = &arguments.region {
        command.extend(words(&["--region", region]));
    }
    if !arguments.yes {
        command.extend(words(&["--confirm-changeset"]));
    }
    command.extend(overrides(arguments));
    Step {
        environment: BTreeMap::new(),
        command,
    }
}

fn overrides(arguments: &DeployArgs) -> Vec<String> {
    if arguments.parameters.is_empty() {
        return Vec::new();
    }
    let pairs = arguments
        .parameters
        .iter()
        // As sam reads them: quoted, since a value may hold blanks.
        .map(|(name, value)| format!("{name}=\"{}\"", value.replace('"', "\\\"")));
    ["--parameter-overrides".to_owned()]
        .into_iter()
        .chain(pairs)
        .collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What costs money with no request at all.
fn idle(template: &Template) -> Vec<String> {
    let mut idle = vec![
        "the bucket: what lies in it".to_owned(),
        "one KMS key, for alarms: $1 a month; 9 alarms: $0.10 a month each".to_owned(),
    ];
    let provisioned = template.parameter("PredictProvisioned");
    if !matches!(provisioned.as_str(), "" | "0") {
        idle.push(format!(
            "{provisioned} provisioned environments of {} MB",
            template.parameter("PredictMemory")
        ));
    }
    idle.push("functions, queues, API, training instances: nothing".to_owned());
    idle
}

fn run(step: &Step, context: &Context) -> Result<(), Failure> {
    context
        .output
        .note(&format!("$ {}", step.command.join(" ")));
    let (program, arguments) = step.command.split_first().unwrap_or_else(|| unreachable!());
    let status = Command::new(program)
        .args(arguments)
        .envs(&step.environment)
        .status()
        .map_err(|error| {
            Exit::Usage.failure(format!(
                "{program} can't be started ({error}); deploying needs AWS SAM and cargo-lambda: pip install aws-sam-cli cargo-lambda"
            ))
        })?;
    if !status.success() {
        return Err(Failure::failed(format!(
            "{} ended with {status}; its messages are above",
            step.command[..2.min(step.command.len())].join(" ")
        )));
    }
    Ok(())
}

fn describe(plan: &Plan) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "stack {} ({}), nothing is done\n\n",
        plan.stack, plan.architecture
    );
    for step in &plan.commands {
        for (name, value) in &step.environment {
            let _ = write!(text, "{name}={value} ");
        }
        let _ = writeln!(text, "{}", step.command.join(" "));
    }
    text.push_str("\nresources\n");
    for (kind, count) in &plan.resources {
        let _ = writeln!(text, "  {count:>3} {kind}");
    }
    let _ = writeln!(text, "\nthe API's routes\n  {}", plan.routes.join("\n  "));
    let _ = writeln!(
        text,
        "\npaid while nothing happens\n  {}",
        plan.idle.join("\n  ")
    );
    text.push_str("\npaid for each prediction: dunlin cost MODEL\n");
    text
}
