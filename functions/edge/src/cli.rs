//! What can be said on the command line, and the help that teaches it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use dunlin_registry::PemSource;
use dunlin_telemetry::LogFormat;

use crate::commands::alias::AliasArgs;
use crate::commands::batch::BatchArgs;
use crate::commands::bench::BenchArgs;
use crate::commands::compile::CompileArgs;
use crate::commands::cost::CostArgs;
use crate::commands::deploy::DeployArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::gc::GcArgs;
use crate::commands::inspect::InspectArgs;
use crate::commands::key::KeyCommand;
use crate::commands::push::PushArgs;
use crate::commands::release::{CanaryArgs, PromoteArgs, RollbackArgs};
use crate::commands::rm::RmArgs;
use crate::commands::run::RunArgs;
use crate::commands::serve::ServeArgs;
use crate::commands::shadow::ShadowArgs;
use crate::commands::show::ShowArgs;
use crate::commands::sign::SignArgs;
use crate::commands::train::TrainCommand;
use crate::commands::verify::VerifyArgs;
use crate::exit::Exit;

/// The commands by what they are for; `{subcommands}` would be one long list.
const HELP: &str = "\
{about-with-newline}
Usage: dunlin [OPTIONS] [COMMAND]

Serve:
  serve        Start the server; the default without a command
  run          Run a model on a file, without a server
  batch        Run a model on many objects, or on the rows of a file

Publish:
  push         Publish a model: an .onnx file, or a directory with a model.toml
  ls           List the models of the store
  show         Show a model: versions, aliases, inputs, outputs, files
  rm           Delete a version, or a model
  gc           Remove old versions, and files that no version names

Sign:
  key          Make a key that signs versions
  sign         Sign a version that is published already
  verify       Check a version: its signatures, and every byte of its files

Release:
  promote      Give an alias to a version
  canary       Try a version on a share of an alias's requests
  rollback     Take an alias back to what it was before
  shadow       Ask a second version too, and see where it differs
  alias        Show, set or delete aliases

  compile      Compile and prove a model without publishing it
  train        Train a model on pictures, texts or series; a program of its own, dunlin-train

Look inside:
  inspect      Show what an .onnx file takes, gives, and is made of
  bench        Measure a model: latency, throughput, time in each node
  routes       List what the HTTP API answers

Deploy:
  deploy       Deploy the whole system to AWS
  doctor       Find what stands in its way, and the cure
  cost         Tell what a model's predictions cost on Lambda

This program:
  version      Print the version
  completions  Print completions for a shell
  help         Print this, or the help of a command

Options:
{options}
{after-help}";

const EXAMPLES: &str = "\
Examples:
  dunlin                                     # serve, with a built-in sample to try
  dunlin push resnet.onnx                    # publish version 1 of \"resnet\"
  dunlin run resnet cat.jpg                  # its answer to a picture
  dunlin --store s3://my-bucket/models ls    # the same with objects in S3

Exit codes:
  0 done     1 failed     2 wrong usage     3 no such model, version, alias or file
  4 invalid model or input     5 the store can't be used     6 stored data is damaged
  7 can't listen on the address     8 no trusted key has signed the version

More: docs/cli.md";

/// Models as a service: publish, serve and run ONNX models, on this machine
#[derive(Debug, Parser)]
#[command(name = "dunlin", version, help_template = HELP, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where models are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// Where models are kept: `file:PATH` or `s3://bucket/prefix` [default: a folder of your own]
    #[arg(long, value_name = "URL", env = "DUNLIN_STORE", global = true)]
    pub(crate) store: Option<String>,
    /// An S3 other than AWS's, as <http://host:port>
    #[arg(
        long,
        value_name = "URL",
        env = "DUNLIN_S3_ENDPOINT",
        global = true,
        hide_short_help = true
    )]
    pub(crate) s3_endpoint: Option<String>,
    /// The bucket's region [default: as the AWS tools find it]
    #[arg(
        long,
        value_name = "NAME",
        env = "DUNLIN_S3_REGION",
        global = true,
        hide_short_help = true
    )]
    pub(crate) s3_region: Option<String>,
    /// Put the bucket into the path, not the host name [default: true with --s3-endpoint]
    #[arg(long, value_name = "true|false", env = "DUNLIN_S3_PATH_STYLE", global = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", hide_short_help = true)]
    pub(crate) s3_path_style: Option<bool>,
    /// Serve and verify only versions that one of these public keys has signed: a PEM file, or its text
    #[arg(
        long,
        value_name = "KEYS",
        env = "DUNLIN_TRUSTED_KEYS",
        global = true,
        hide_short_help = true
    )]
    pub(crate) trusted_keys: Option<PemSource>,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct CommonArgs {
    /// Print JSON: the answer on standard output, an error on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bars
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// What to log, as in `info` or `dunlin_serving=debug,warn` [default: info to serve, else warn]
    #[arg(
        long,
        value_name = "FILTER",
        env = "DUNLIN_LOG",
        global = true,
        hide_short_help = true
    )]
    pub(crate) log: Option<String>,
    /// How to log: auto (text on a terminal, else JSON), text or json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "DUNLIN_LOG_FORMAT",
        default_value = "auto",
        global = true,
        hide_short_help = true
    )]
    pub(crate) log_format: LogFormat,
}

/// One task each; its arguments are beside what it does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server; the default without a command
    #[command(after_help = "\
Examples:
  dunlin serve
  dunlin serve --listen 0.0.0.0:80 --preload digits@production
  dunlin serve --store s3://my-bucket/models --cache-mib 4096

Then:
  curl --data-binary @models/digits/examples/3.png http://127.0.0.1:8080/predict/digits
  curl http://127.0.0.1:8080/v2/models/digits

SIGTERM or Ctrl-C drains: running requests end, new ones are refused; a second one ends at once.")]
    Serve(ServeArgs),
    /// Run a model on a file, without a server
    #[command(after_help = "\
Examples:
  dunlin run digits models/digits/examples/3.png
  dunlin run resnet@2 cat.jpg --json
  dunlin run spam mail.txt
  dunlin run weather last-week.csv
  curl -s https://example.com/cat.jpg | dunlin run resnet@production -

FILE is what `POST /predict/MODEL` takes: a picture, a text or a CSV file, as the model
declares, or a JSON request of the Open Inference Protocol.")]
    Run(RunArgs),
    /// Run a model on many objects, or on the rows of a file
    #[command(after_help = "\
Examples:
  dunlin batch digits ./pictures --to ./answers          # each file of a folder
  dunlin batch digits inbox/2026/ --to results/2026      # each object of a prefix in the store
  dunlin batch iris rows.csv --to ./out --format parquet # each row of a file
  dunlin batch digits s3://bucket/in/ --to s3://bucket/out

The same words again go on where it was stopped, be it by kill -9, and do nothing twice. docs/batch.md says more.")]
    Batch(BatchArgs),
    /// Publish a model: an .onnx file, or a directory with a model.toml
    #[command(after_help = "\
Examples:
  dunlin push resnet.onnx                      # named after the file
  dunlin push export/model.onnx --name resnet
  dunlin push models/digits --alias production # with the labels and examples of its model.toml
  dunlin push bert.onnx --example text.npz     # proven on these inputs, compiled for their shapes
  dunlin push flowers/ --precision auto --evaluate test/   # int8 or f16, where it answers as well

The model is checked, run on its examples (or on random inputs), and published as the next version.")]
    Push(PushArgs),
    /// Compile and prove a model without publishing it
    #[command(after_help = "\
Examples:
  dunlin compile resnet.onnx                   # what `push` would do, and what came of it
  dunlin compile models/digits -o digits.plan  # keep the plan
  dunlin bench digits.plan
  dunlin compile models/digits --precision auto            # compare f16 and int8 with the source
  dunlin compile models/digits --precision int8 -o digits-int8.onnx

A plan is the optimized graph, for this class of processors: it loads without parsing ONNX. `push` compiles too.")]
    Compile(CompileArgs),
    /// List the models of the store
    #[command(alias = "list")]
    Ls,
    /// Show a model: versions, aliases, inputs, outputs, files
    #[command(after_help = "\
Examples:
  dunlin show digits
  dunlin show digits@2 --json        # the manifest, as it is stored")]
    Show(ShowArgs),
    /// Delete a version, or a model
    #[command(after_help = "\
Examples:
  dunlin rm digits@2
  dunlin rm digits --all             # every version and alias

Numbers never come back: the next push gets the next one. Files of no other version stay in the store.")]
    Rm(RmArgs),
    /// Remove old versions, and files that no version names
    #[command(after_help = "\
Examples:
  dunlin gc                              # what would go; nothing is removed
  dunlin gc --yes                        # files that no version names, unless they are of the last day
  dunlin gc --keep-versions 5 --yes      # and all but the newest five versions of each model

Versions that an alias names, or could be rolled back to, stay. Publishing may go on meanwhile.")]
    Gc(GcArgs),
    /// Make a key that signs versions
    #[command(after_help = "\
Examples:
  dunlin key new team.pem            # the secret key, and team.pem.pub for those who check
  dunlin push digits/ --sign-key team.pem
  dunlin serve --trusted-keys team.pem.pub

The key is of the curve P-256, as `model_signing` takes it. docs/security.md says how keys take over from each other.")]
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Sign a version that is published already
    #[command(after_help = "\
Examples:
  dunlin sign digits@3 --sign-key next.pem

A version may have signatures of several keys; a host wants one of a key that it trusts.")]
    Sign(SignArgs),
    /// Check a version: its signatures, and every byte of its files
    #[command(after_help = "\
Examples:
  dunlin verify digits@3 --trusted-keys team.pem.pub
  dunlin verify digits                               # files only: without keys no signature is checked

It says what was checked. Exit code 8: no trusted key has signed it; 6: a file is damaged.")]
    Verify(VerifyArgs),
    /// Give an alias to a version
    #[command(after_help = "\
Examples:
  dunlin promote digits@4                         # all requests of \"production\"
  dunlin promote digits@4 --alias staging --reason \"better on 7s\"
  dunlin promote digits@4 --guard errors=1%,p95=1.5x,agreement=95% --watch

Only a proven version is taken. Running hosts follow within their refresh interval (5 s).")]
    Promote(PromoteArgs),
    /// Try a version on a share of an alias's requests
    #[command(after_help = "\
Examples:
  dunlin canary digits@4                          # 10 % of \"production\"
  dunlin canary digits@4 --percent 50             # more of it
  dunlin promote digits@4                         # all of it
  dunlin rollback digits                          # or none
  dunlin canary digits@4 --guard errors=1%,p95=50ms,agreement=95% --steps 5,25,50
  dunlin canary digits --watch                    # moves it on, or back, until it ends

Requests with one id fall on the same side, and stay on the new version while its share grows.")]
    Canary(CanaryArgs),
    /// Take an alias back to what it was before
    #[command(after_help = "\
Examples:
  dunlin rollback digits                          # the alias \"production\"
  dunlin rollback digits@staging --reason \"p95 doubled\"

A canary is undone as a whole. A second rollback goes back further.")]
    Rollback(RollbackArgs),
    /// Ask a second version too, and see where it differs
    #[command(after_help = "\
Examples:
  dunlin shadow digits@4 --percent 5              # 5 % of \"production\" is asked of version 4 too
  dunlin shadow digits                            # where answers differ most
  dunlin shadow digits --off

Callers get the alias's own answer and wait for no other. Counts are in /metrics: dunlin_mirrored_total.")]
    Shadow(ShadowArgs),
    /// Show, set or delete aliases
    #[command(after_help = "\
Examples:
  dunlin alias digits                             # its aliases
  dunlin alias digits@production                  # what it stands for, and stood for before
  dunlin alias digits@production 3=90 4=10        # nine requests of ten to version 3
  dunlin alias digits@production 4 --if-match ETAG
  dunlin alias digits@staging --delete")]
    Alias(AliasArgs),
    /// Show what an .onnx file takes, gives, and is made of
    #[command(after_help = "\
Examples:
  dunlin inspect resnet.onnx
  dunlin inspect digits@2 --json     # a published model")]
    Inspect(InspectArgs),
    /// Measure a model: latency, throughput, time in each node
    #[command(after_help = "\
Examples:
  dunlin bench resnet.onnx
  dunlin bench resnet.onnx --shape image=4,3,224,224 --threads 2
  dunlin bench digits --inputs batch.npz --profile
  dunlin bench digits --json | jq .median_ms

Inputs are random, from a fixed seed, unless --inputs gives an archive as `numpy.savez` writes it.")]
    Bench(BenchArgs),
    /// Deploy the whole system to AWS
    #[command(after_help = "\
Examples:
  dunlin deploy --dry-run                            # commands, resources, routes; nothing is done
  dunlin deploy --stack models --region eu-west-1
  dunlin deploy --parameter AdminAccess=IAM --parameter PredictProvisioned=2

Runs `sam build` and `sam deploy` on infra/template.yaml, from a checkout of this repository. docs/deploy.md has the rest.")]
    Deploy(DeployArgs),
    /// Find what stands in its way, and the cure
    #[command(after_help = "\
Examples:
  dunlin doctor                                      # the store
  dunlin doctor --stack dunlin                       # the stack, its functions and its bucket
  dunlin doctor --store s3://my-bucket/models --json

Exit code 1 if a finding is bad. What concerns the account needs the AWS command line.")]
    Doctor(DoctorArgs),
    /// Tell what a model's predictions cost on Lambda
    #[command(after_help = "\
Examples:
  dunlin cost digits
  dunlin cost digits@2 --json
  dunlin cost resnet --latency-ms 42 --no-api

From the latency that was measured when the version was published, and a table of prices with its date.")]
    Cost(CostArgs),
    /// List what the HTTP API answers
    Routes,
    /// Train a model on pictures, texts or series; a program of its own, dunlin-train
    #[command(
        disable_help_flag = true,
        disable_help_subcommand = true,
        args_conflicts_with_subcommands = true
    )]
    Train {
        #[command(subcommand)]
        command: Option<TrainCommand>,
        /// What dunlin-train takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print the version
    Version,
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  dunlin completions bash > ~/.local/share/bash-completion/completions/dunlin
  dunlin completions zsh > ~/.zfunc/_dunlin
  dunlin completions fish > ~/.config/fish/completions/dunlin.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Reads the arguments of this process; help, version and mistakes are printed here.
    pub(crate) fn from_environment() -> Result<Self, ExitCode> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        Self::read(arguments.clone()).map_err(|error| {
            let json = arguments.iter().any(|argument| argument == "--json");
            if error.use_stderr() && json {
                let text = error.render().to_string();
                let line = text.lines().next().unwrap_or_default();
                let failure =
                    Exit::Usage.failure(line.strip_prefix("error: ").unwrap_or(line).to_owned());
                crate::output::Output::new(true, true).failure(&failure);
            } else {
                // A closed pipe: nobody is left to tell.
                let _ = error.print();
            }
            ExitCode::from(error.exit_code() as u8)
        })
    }

    /// Without a command it is `serve`, whose options then come from the environment.
    fn read(mut arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        match Self::try_parse_from(&arguments) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                ) =>
            {
                arguments.push("serve".into());
                Self::try_parse_from(&arguments)
            }
            read => read,
        }
    }

    /// What to log where nothing else is asked for: a server tells what it does.
    pub(crate) fn log_filter(&self) -> &str {
        match (&self.common.log, &self.command) {
            (Some(filter), _) => filter,
            (None, Command::Serve(_)) => "info",
            (None, _) => "warn",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_grouped_help_names_every_command_as_it_describes_itself() {
        let mut command = Cli::command();
        command.build();
        for sub in command.get_subcommands() {
            let (name, about) = (sub.get_name(), sub.get_about().unwrap_or_default());
            let line = format!("  {name:<12} {about}\n");
            assert!(name == "help" || HELP.contains(&line), "{line}");
        }
    }

    #[test]
    fn no_command_is_serve_with_the_store_that_was_given() {
        let arguments = ["dunlin", "--store", "file:/x"].map(OsString::from);
        let cli = Cli::read(arguments.to_vec()).expect("these are arguments");
        assert_eq!(cli.store.store.as_deref(), Some("file:/x"));
        assert!(matches!(cli.command, Command::Serve(_)));
    }
}
