//! What is learned.

use clap::ValueEnum;
use serde::Serialize;

/// What is learned from data, in the words of `model.toml`'s `task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Classes of pictures
    ImageClassification,
    /// Classes of texts
    TextClassification,
    /// Classes of series
    SeriesClassification,
    /// What comes next in a series
    Forecasting,
    /// Which texts belong together
    SentenceSimilarity,
}

impl Task {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageClassification => "image-classification",
            Self::TextClassification => "text-classification",
            Self::SeriesClassification => "series-classification",
            Self::Forecasting => "forecasting",
            Self::SentenceSimilarity => "sentence-similarity",
        }
    }
}
