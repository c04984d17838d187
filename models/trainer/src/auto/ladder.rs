//! The networks that there are to choose from.

use std::fmt;

use crate::data::Task;
use crate::fit::Hyperparameters;
use crate::recipes::Recipe;

/// A network of a recipe, by its width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rung {
    pub(super) recipe: Recipe,
    pub(super) width: usize,
    /// It is worth its time from so many training examples on.
    pub(super) from: usize,
}

/// From narrow to wide. The middle ones are the recipes' defaults, which the models that ship were
/// trained with, on 5,000 to 60,000 examples.
const LADDER: [Rung; 12] = [
    rung(Recipe::Resnet, 8, 0),
    rung(Recipe::Resnet, 16, 2_000),
    rung(Recipe::Resnet, 32, 50_000),
    rung(Recipe::Transformer, 32, 0),
    rung(Recipe::Transformer, 48, 2_000),
    rung(Recipe::Transformer, 96, 50_000),
    rung(Recipe::Embed, 32, 0),
    rung(Recipe::Embed, 64, 2_000),
    rung(Recipe::Embed, 128, 50_000),
    rung(Recipe::Rnn, 16, 0),
    rung(Recipe::Rnn, 32, 2_000),
    rung(Recipe::Rnn, 64, 50_000),
];

/// Only compared: where there is no time for that, the first does better on most data.
const ALSO: [(Recipe, Rung); 2] = [
    (Recipe::Resnet, rung(Recipe::Cnn, 32, 0)),
    (Recipe::Transformer, rung(Recipe::Rnn, 32, 0)),
];

const fn rung(recipe: Recipe, width: usize, from: usize) -> Rung {
    Rung {
        recipe,
        width,
        from,
    }
}

impl Rung {
    pub(super) fn defaults(self) -> Hyperparameters {
        Hyperparameters {
            width: self.width,
            ..self.recipe.defaults()
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.recipe.name(), self.width))
    }
}

/// The recipe for a task.
pub(crate) fn recipe(task: Task) -> Recipe {
    match task {
        Task::ImageClassification => Recipe::Resnet,
        Task::TextClassification => Recipe::Transformer,
        Task::SentenceSimilarity => Recipe::Embed,
        Task::SeriesClassification | Task::Forecasting => Recipe::Rnn,
    }
}

/// The networks of a recipe, from narrow to wide; the one of this width, if it is given.
pub(super) fn rungs(recipe: Recipe, width: Option<usize>) -> Vec<Rung> {
    let own = LADDER.into_iter().filter(|rung| rung.recipe == recipe);
    only(width, own.collect())
}

/// The same, and what takes the same data.
pub(super) fn all(recipe: Recipe, width: Option<usize>) -> Vec<Rung> {
    let mut all = rungs(recipe, width);
    for (_, also) in ALSO.into_iter().filter(|(beside, _)| *beside == recipe) {
        all.extend(only(width, vec![also]));
    }
    all
}

fn only(width: Option<usize>, rungs: Vec<Rung>) -> Vec<Rung> {
    match (width, &rungs[..]) {
        (Some(width), [first, ..]) => vec![Rung { width, ..*first }],
        _ => rungs,
    }
}
