//! What a classifier got wrong, for the report.

use dunlin_transforms::InputSpec;

use crate::Result;
use crate::data::{Dataset, Example, Part};
use crate::evaluate::{Answers, Mistake, Shown};

/// Mistakes that the report shows.
const MISTAKES: usize = 24;

/// Letters of a text that the report shows.
const LETTERS: usize = 400;

/// The surest of the wrong answers.
pub(crate) fn worst(data: &Dataset, answers: &Answers) -> Result<Vec<Mistake>> {
    let test = data.part(Part::Test);
    let mut wrong: Vec<_> = test
        .iter()
        .zip(answers.answers())
        .filter(|(_, (truth, answer, _))| truth != answer)
        .collect();
    wrong.sort_by(|(_, (.., one)), (_, (.., other))| other.total_cmp(one));
    wrong.truncate(MISTAKES);
    let mistake = |(example, (truth, answer, confidence)): (&Example, (usize, usize, f32))| {
        Ok(Mistake {
            name: example.name.clone(),
            truth: data.labels[truth].clone(),
            answer: data.labels[answer].clone(),
            confidence,
            shown: shown(data, example)?,
        })
    };
    wrong.into_iter().map(mistake).collect()
}

fn shown(data: &Dataset, example: &Example) -> Result<Shown> {
    let body = data.decoder.body(example)?;
    Ok(match data.decoder.spec() {
        InputSpec::Image(_) => Shown::Picture(body),
        _ => Shown::Text(
            String::from_utf8_lossy(&body)
                .chars()
                .take(LETTERS)
                .collect(),
        ),
    })
}
