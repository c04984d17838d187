//! What can be said on the command line.

mod auto;
mod cost;
mod data;

use std::path::PathBuf;

use auto::AutoArgs;
pub use auto::Wanted;
use clap::{Args, Parser};
use cost::CostArgs;
use data::{DataArgs, PictureArgs, SeriesArgs, TextArgs};
use dunlin_publishing::Choice;

use crate::data::{Columns, Task};
use crate::evaluate::Gate;
use crate::fit::{Hyperparameters, Optimizer};
use crate::recipes::Cell;
use crate::{Error, Result, device};

const EXAMPLES: &str = "\
Examples:
  dunlin train resnet --data flowers/ --publish flowers
  dunlin train auto --data flowers/ --publish flowers --budget 1h --compare
  dunlin train cnn --data s3://bucket/mnist --epochs 3 --output digits
  dunlin train resnet --data flowers/ --dry-run            # what it would do, and that it could
  dunlin train resnet --data flowers/ --publish flowers --require 'accuracy>=0.95' --require 'ece<=0.05'
  dunlin train resnet --data flowers/ --publish flowers --require 'accuracy>=production+0.01 (p<0.05)'
  dunlin train transformer --data mails.csv --publish spam --require 'f1>=0.95'
  dunlin train resnet --data flowers/ --publish flowers --precision auto       # int8 or f16, where it answers as well
  dunlin train rnn --data temperatures.csv --columns temp --length 168 --steps 24 --publish weather
  dunlin train rnn --task series-classification --data gestures.parquet --cell lstm --publish gestures
  dunlin train embed --data questions.jsonl --text question --pair answer --publish search --require 'mrr>=0.8'

Pictures: a folder of them for each class (above them `train` and `test`, if they are parted already),
MNIST's IDX files, or CIFAR-10's binary files.
Tables are CSV, JSON lines or Parquet (`train.csv` and `test.csv`, if they are parted already).
Texts: a table with a text and a label in each row, or a folder of text files for each class.
Pairs of texts: a table with both in each row.
Series: a table with a row for each hour, day, ...; the oldest first. To name series: beside the numbers
an id and a label in each row; or in each row a list `series` and a label.

A run that was stopped or killed goes on from its last checkpoint when the same command comes again.

Exit codes:
  0 done     1 failed     2 wrong usage     3 no such data     4 data that can't be learned from
  5 the store can't be used     6 a checkpoint is damaged     7 the loss is no number
  8 a gate was not met, nothing was published     9 told to stop: the checkpoint is stored

More: docs/training.md";

/// Trains a model on labelled pictures, texts or series, on pairs of texts, or on a series to be foretold; evaluates it, and publishes it
#[derive(Debug, Clone, Parser)]
#[command(name = "dunlin-train", bin_name = "dunlin train", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What is trained
    pub recipe: Wanted,
    /// What it learns, if the recipe can learn more than one thing [default: rnn: forecasting]
    #[arg(long)]
    pub task: Option<Task>,
    /// Where the data is: a path, or `s3://bucket/prefix`
    #[arg(long, value_name = "URL")]
    pub data: String,
    /// Publish the model under this name
    #[arg(long, value_name = "NAME")]
    pub publish: Option<String>,
    /// Publish only if this holds on the test part, as `accuracy>=0.9` or `accuracy>=production+0.01 (p<0.05)`,
    /// which the version that serves now is asked for; of a slice: `accuracy[lang=de]>=0.8`; may be given several times
    #[arg(long = "require", value_name = "METRIC>=NUMBER|production")]
    pub gates: Vec<Gate>,
    /// Publish with weights of fewer bits, if the test part is answered as well; `auto`: the fastest that does
    /// [default: source]
    #[arg(
        long,
        value_name = Choice::NAMES,
        requires = "publish",
        verbatim_doc_comment
    )]
    pub precision: Option<Choice>,
    /// Where checkpoints are kept: a path, or `s3://bucket/prefix` [default: runs/NAME]
    #[arg(long, value_name = "URL")]
    pub run: Option<String>,
    /// Write the model's folder here [default: runs/NAME/model]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Forget the checkpoints of this run
    #[arg(long)]
    pub fresh: bool,
    /// Read the data, build and export the network, train nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The device to compute on
    #[arg(long, default_value_t = device::default_name().to_owned())]
    pub device: String,
    /// Steps from one checkpoint to the next
    #[arg(long, value_name = "STEPS", default_value_t = 200, value_parser = at_least_one)]
    pub checkpoint_every: usize,
    /// Threads that read the data
    #[arg(long, default_value_t = 2, value_parser = at_least_one)]
    pub workers: usize,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub(crate) auto: AutoArgs,
    #[command(flatten)]
    pub(crate) data_args: DataArgs,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
    #[command(flatten)]
    pub(crate) texts: TextArgs,
    #[command(flatten)]
    pub(crate) series: SeriesArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) cost: CostArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Hyperparameters; what isn't given is the recipe's default.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Training (defaults: the recipe's)")]
pub(crate) struct TrainingArgs {
    /// How often every example is seen
    #[arg(long)]
    epochs: Option<usize>,
    /// Examples in a batch
    #[arg(long)]
    batch: Option<usize>,
    /// How weights follow from gradients
    #[arg(long)]
    optimizer: Option<Optimizer>,
    /// The highest learning rate
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// SGD's momentum; `AdamW`'s first beta
    #[arg(long)]
    momentum: Option<f64>,
    /// Weight decay
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Share of the steps in which the rate rises
    #[arg(long, value_name = "SHARE")]
    warm_up: Option<f64>,
    /// Whether the rate then falls along a cosine
    #[arg(long, value_name = "true|false")]
    cosine: Option<bool>,
    /// Label smoothing
    #[arg(long, value_name = "SHARE")]
    smoothing: Option<f64>,
    /// The largest norm of a layer's gradient
    #[arg(long, value_name = "NORM")]
    clip: Option<f64>,
    /// Batches that make one step
    #[arg(long, value_name = "BATCHES")]
    accumulate: Option<usize>,
    /// Stop after so many epochs without a lower validation loss
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// Augmentation: shift by up to this share of a side
    #[arg(long, value_name = "SHARE")]
    shift: Option<f64>,
    /// Augmentation: rotate by up to so many degrees
    #[arg(long, value_name = "DEGREES")]
    rotate: Option<f64>,
    /// Augmentation: zoom by up to this share
    #[arg(long, value_name = "SHARE")]
    zoom: Option<f64>,
    /// Augmentation: mirror half of the pictures
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    flip: Option<bool>,
    /// Channels of the first convolution, numbers of a token, or units of the recurrent layer; all else follows from it
    #[arg(long)]
    pub(crate) width: Option<usize>,
    /// The kind of the recurrent layer
    #[arg(long)]
    cell: Option<Cell>,
    /// Of all random numbers
    #[arg(long)]
    seed: Option<u64>,
}

impl Cli {
    /// The columns that tell what a table is for.
    pub(crate) fn columns(&self) -> Columns<'_> {
        Columns {
            text: &self.texts.text,
            pair: &self.texts.pair,
            label: &self.data_args.label,
            id: &self.series.id,
        }
    }
}

impl TrainingArgs {
    /// The recipe's defaults, but for what was given.
    pub(crate) fn over(&self, defaults: Hyperparameters) -> Result<Hyperparameters> {
        fn set<T: Copy>(place: &mut T, given: Option<T>) {
            if let Some(given) = given {
                *place = given;
            }
        }
        let mut hyper = defaults;
        set(&mut hyper.epochs, self.epochs);
        set(&mut hyper.batch, self.batch);
        set(&mut hyper.optimizer, self.optimizer);
        set(&mut hyper.learning_rate, self.learning_rate);
        set(&mut hyper.momentum, self.momentum);
        set(&mut hyper.weight_decay, self.weight_decay);
        set(&mut hyper.warm_up, self.warm_up);
        set(&mut hyper.cosine, self.cosine);
        set(&mut hyper.smoothing, self.smoothing);
        set(&mut hyper.accumulate, self.accumulate);
        set(&mut hyper.augment.shift, self.shift);
        set(&mut hyper.augment.rotate, self.rotate);
        set(&mut hyper.augment.zoom, self.zoom);
        set(&mut hyper.augment.flip, self.flip);
        set(&mut hyper.width, self.width);
        set(&mut hyper.seed, self.seed);
        if self.cell.is_some() && hyper.cell.is_none() {
            return Err(Error::usage("--cell is for the recipe rnn"));
        }
        hyper.cell = self.cell.or(hyper.cell);
        hyper.clip = self.clip.or(hyper.clip);
        hyper.patience = self.patience.or(hyper.patience);
        hyper.check()?;
        Ok(hyper)
    }
}

/// What people say of the model.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// The model's name, if it isn't published [default: that of --publish, else the recipe's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What it tells apart, in a sentence
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The licence of the weights
    #[arg(long, value_name = "TEXT")]
    pub(crate) license: Option<String>,
    /// A word for search; may be given several times
    #[arg(long = "tag", value_name = "WORD")]
    pub(crate) tags: Vec<String>,
    /// Classes in an answer [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<usize>,
    /// Pictures: put mean and deviation into the graph, which then takes pixels of 0 to 1
    #[arg(long)]
    pub(crate) normalize_in_graph: bool,
}

/// Where the model is published.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// Where models are kept: `file:PATH` or `s3://bucket/prefix`
    #[arg(long, value_name = "URL", env = "DUNLIN_STORE")]
    pub(crate) store: Option<String>,
    /// An S3 other than AWS's, as <http://host:port>
    #[arg(
        long,
        value_name = "URL",
        env = "DUNLIN_S3_ENDPOINT",
        hide_short_help = true
    )]
    pub(crate) s3_endpoint: Option<String>,
    /// The bucket's region [default: as the AWS tools find it]
    #[arg(
        long,
        value_name = "NAME",
        env = "DUNLIN_S3_REGION",
        hide_short_help = true
    )]
    pub(crate) s3_region: Option<String>,
    /// Put the bucket into the path, not the host name [default: true with --s3-endpoint]
    #[arg(
        long,
        value_name = "true|false",
        env = "DUNLIN_S3_PATH_STYLE",
        hide_short_help = true
    )]
    pub(crate) s3_path_style: Option<bool>,
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    let number: usize = text
        .parse()
        .map_err(|_| "a whole number is needed".to_owned())?;
    if number == 0 {
        Err("it must be at least 1".to_owned())
    } else {
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::recipes::Recipe;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_not_given_is_the_recipes() {
        let parse = |options: &[&str]| {
            let command = ["dunlin-train", "resnet", "--data", "x"];
            let cli = Cli::try_parse_from(command.iter().chain(options)).unwrap();
            assert_eq!(cli.recipe, Wanted::Recipe(Recipe::Resnet));
            cli.training.over(Recipe::Resnet.defaults())
        };
        assert_eq!(parse(&[]).unwrap(), Recipe::Resnet.defaults());
        let given = parse(&["--epochs", "3", "--flip", "--zoom", "0"]).unwrap();
        assert!(given.epochs == 3 && given.augment.flip && given.augment.zoom.abs() < 1e-9);
        for options in [
            ["--epochs", "0"],
            ["--learning-rate", "-1"],
            ["--smoothing", "1"],
            ["--clip", "0"],
        ] {
            assert!(parse(&options).is_err(), "{options:?}");
        }
    }
}
