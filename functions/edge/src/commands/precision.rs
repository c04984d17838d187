//! `--precision`: what is asked for, and the table that was chosen from.

use std::path::PathBuf;

use clap::Args;
use dunlin_publishing::{Choice, Evaluation, Trial, WeighOptions};

use crate::exit::Failure;

/// Which precision a model is compiled and published at.
#[derive(Debug, Clone, Args)]
pub(crate) struct PrecisionArgs {
    /// `f16` and `int8` store and compute weights in fewer bits; `auto` takes the fastest that answers as well
    /// [default: as model.toml says, else source]
    #[arg(long, value_name = Choice::NAMES, verbatim_doc_comment)]
    precision: Option<Choice>,
    /// Compare precisions on these inputs: files, in folders that are named like their labels if they have any
    /// [default: the examples]
    #[arg(long, value_name = "FOLDER", verbatim_doc_comment)]
    evaluate: Option<PathBuf>,
    /// The most accuracy (or agreement with the source) that a precision may lose: 0.01 is one in a hundred
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    max_loss: f64,
}

impl PrecisionArgs {
    pub(crate) fn options(&self) -> Result<WeighOptions, Failure> {
        let evaluation = self.evaluate.as_deref().map(Evaluation::read);
        Ok(WeighOptions {
            choice: self.precision,
            max_loss: self.max_loss,
            evaluation: evaluation.transpose()?.unwrap_or_default(),
            ..WeighOptions::default()
        })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("expected a number from 0 to 1".into())
    }
}

/// The table and an empty line; nothing where only one precision was wanted.
pub(crate) fn table(trials: &[Trial]) -> String {
    if trials.is_empty() {
        return String::new();
    }
    Trial::table(trials) + "\n"
}
