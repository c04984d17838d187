//! What can be said of the data.

use std::path::PathBuf;

use clap::Args;

use super::at_least_one;
use crate::data::{
    Beside, GatherOptions, LabelledSeriesOptions, SeriesOptions, Split, TextOptions, Words,
};
use crate::{Error, ErrorKind, Result};

/// Rows of a window that foretells, if nobody says otherwise.
const LENGTH: usize = 168;

/// How data becomes parts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataArgs {
    /// Share of the training data that decides when to stop
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    valid: f64,
    /// Share of the data that is held out to the end, where the data itself has no test part
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    test: f64,
    /// Damaged files or rows that are skipped; more are an error
    #[arg(long, value_name = "N", default_value_t = 100)]
    damaged_limit: usize,
    /// Tables: the column of the labels
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    pub(crate) label: String,
    /// Tables: give the figures for each value of this column, too; may be given several times
    #[arg(long, value_name = "COLUMN")]
    slice_by: Vec<String>,
}

impl DataArgs {
    pub(crate) fn options(&self) -> Result<GatherOptions> {
        Ok(GatherOptions {
            split: Split::new(self.valid, self.test)?,
            damaged_limit: self.damaged_limit,
            slice_by: self.slice_by.clone(),
        })
    }
}

/// How data becomes pictures.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct PictureArgs {
    /// Resize to height and width, as 32x48, or to one number for both [default: their own if small and alike, else 224]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) size: Option<[usize; 2]>,
}

/// How data becomes texts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Texts")]
pub(crate) struct TextArgs {
    /// The column of the texts
    #[arg(long, value_name = "COLUMN", default_value = "text")]
    pub(crate) text: String,
    /// The column of the texts that belong to those of --text [recipe embed]
    #[arg(long, value_name = "COLUMN", default_value = "pair")]
    pub(crate) pair: String,
    /// Tokens after which a text is cut
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_tokens: usize,
    /// Different tokens, which are learned from the training part
    #[arg(long, value_name = "N", default_value_t = 4000)]
    vocabulary: usize,
    /// Take the tokens of this `tokenizer.json`
    #[arg(long, value_name = "FILE", conflicts_with = "vocabulary")]
    tokenizer: Option<PathBuf>,
}

impl TextArgs {
    pub(crate) fn labelled(&self, data: &DataArgs) -> Result<TextOptions> {
        self.options(Beside::Label(data.label.clone()))
    }

    pub(crate) fn pairs(&self) -> Result<TextOptions> {
        self.options(Beside::Pair(self.pair.clone()))
    }

    fn options(&self, beside: Beside) -> Result<TextOptions> {
        let words = match &self.tokenizer {
            None => Words::Learned(self.vocabulary),
            Some(file) => {
                let bytes = std::fs::read(file).map_err(|error| {
                    let message = format!("could not read {}", file.display());
                    Error::new(ErrorKind::NotFound, message).because(error)
                })?;
                Words::Given(bytes.into())
            }
        };
        Ok(TextOptions {
            text: self.text.clone(),
            beside,
            max_tokens: self.max_tokens,
            words,
        })
    }
}

/// How data becomes series.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Series")]
pub(crate) struct SeriesArgs {
    /// The columns that are seen, with commas between them [default: all that hold numbers]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// The column that is foretold [default: the first]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Rows that are seen, the last ones [default: 168; to name series, as many as the shortest has]
    #[arg(long, value_name = "ROWS", value_parser = at_least_one)]
    length: Option<usize>,
    /// To name series: the column that tells which series a row is of
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    pub(crate) id: String,
    /// Rows that are foretold
    #[arg(long, value_name = "ROWS", default_value_t = 24, value_parser = at_least_one)]
    steps: usize,
    /// Rows after which things repeat themselves: the naive forecast [default: --steps]
    #[arg(long, value_name = "ROWS", value_parser = at_least_one)]
    season: Option<usize>,
    /// What is measured, for people: °F
    #[arg(long, value_name = "TEXT")]
    unit: Option<String>,
    /// What a row is, for people: hour
    #[arg(long, value_name = "TEXT")]
    step: Option<String>,
}

impl SeriesArgs {
    pub(crate) fn labelled(&self, data: &DataArgs) -> LabelledSeriesOptions {
        LabelledSeriesOptions {
            columns: self.columns.clone(),
            id: self.id.clone(),
            label: data.label.clone(),
            length: self.length,
        }
    }

    pub(crate) fn forecasting(&self) -> SeriesOptions {
        SeriesOptions {
            columns: self.columns.clone(),
            target: self.target.clone(),
            length: self.length.unwrap_or(LENGTH),
            steps: self.steps,
            season: self.season,
            unit: self.unit.clone(),
            step: self.step.clone(),
        }
    }
}

fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| {
        let side = text.parse().ok().filter(|side| (1..=4096).contains(side));
        side.ok_or_else(|| format!("\"{text}\" is no number of 1 to 4096"))
    };
    match text.split_once('x') {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => Ok([side(text)?; 2]),
    }
}
