//! What is learned.

use clap::ValueEnum;
use serde::Serialize;

use super::series::SERIES;
use super::{Form, Source, pictures, tables};
use crate::Result;

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

/// The columns that tell what a table is for.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Of texts.
    pub text: &'a str,
    /// Of texts that belong to those.
    pub pair: &'a str,
    /// Of labels.
    pub label: &'a str,
    /// Of the series that rows belong to.
    pub id: &'a str,
}

impl Source {
    /// What can be learned from it, by the names of its files and of the columns of its first table.
    pub fn task(&self, columns: Columns<'_>) -> Result<Task> {
        let mut names = self.files().iter().map(|file| file.key.as_str());
        if self.form() != Form::Folders || names.any(pictures::is_picture) {
            return Ok(Task::ImageClassification);
        }
        let Some(table) = self.tables().next() else {
            return Ok(Task::TextClassification);
        };
        let names = tables::names(self, table)?;
        let has = |wanted: [&str; 2]| wanted.iter().all(|name| names.iter().any(|n| n == name));
        Ok(if has([columns.text, columns.label]) {
            Task::TextClassification
        } else if has([columns.text, columns.pair]) {
            Task::SentenceSimilarity
        } else if has([columns.id, columns.label]) || has([SERIES, columns.label]) {
            Task::SeriesClassification
        } else {
            Task::Forecasting
        })
    }
}
