//! What a model answers on the evaluation set, and how far two models agree.

use dunlin_protocol::{Datatype, NamedTensor};

use super::Evaluation;
use crate::ask::answer;
use crate::{Compiled, Error, ErrorKind, Result};

/// Answers in the order of the set.
pub(super) struct Answers {
    answers: Vec<Answer>,
    /// Of all inputs that have a label, the share that got it; none where none has.
    pub(super) accuracy: Option<f64>,
}

enum Answer {
    /// The class that came first.
    Class(u64),
    /// All numbers of single precision.
    Numbers(Vec<f32>),
}

impl Answers {
    pub(super) fn of(compiled: &Compiled, evaluation: &Evaluation) -> Result<Self> {
        let (mut labelled, mut right) = (0_u64, 0_u64);
        let mut answers = Vec::with_capacity(evaluation.examples().len());
        for example in evaluation.examples() {
            let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
                let message = format!("{}: {error}", example.name);
                Error::new(ErrorKind::Unproven, message).because(error)
            };
            let answered = answer(&compiled.model, &compiled.pipeline, example);
            let (outputs, prediction) = answered.map_err(failed)?;
            let Some(top) = prediction.top() else {
                answers.push(Answer::Numbers(numbers(&outputs)));
                continue;
            };
            if let Some(label) = &example.label {
                labelled += 1;
                let index = top.index.to_string();
                right += u64::from(top.label.as_ref().unwrap_or(&index) == label);
            }
            answers.push(Answer::Class(top.index as u64));
        }
        Ok(Self {
            answers,
            accuracy: (labelled > 0).then(|| right as f64 / labelled as f64),
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// The share of answers with the same class; of numbers, the mean cosine of the angle between them. 1 is full
    /// agreement.
    pub(super) fn agreement(&self, other: &Self) -> f64 {
        let pairs = self.answers.iter().zip(&other.answers);
        let alike = pairs.map(|pair| match pair {
            (Answer::Class(one), Answer::Class(other)) => f64::from(u8::from(one == other)),
            (Answer::Numbers(one), Answer::Numbers(other)) => cosine(one, other),
            _ => 0.0,
        });
        alike.sum::<f64>() / self.answers.len().max(1) as f64
    }
}

fn numbers(outputs: &[NamedTensor]) -> Vec<f32> {
    let single = outputs
        .iter()
        .filter(|output| output.tensor.datatype() == Datatype::Fp32);
    single
        .flat_map(|output| output.tensor.to_vec::<f32>().unwrap_or_default())
        .collect()
}

/// 1 for two vectors without length, and 0 where one has a number that is none.
fn cosine(one: &[f32], other: &[f32]) -> f64 {
    if one.len() != other.len() {
        return 0.0;
    }
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let lengths = (product(one, one) * product(other, other)).sqrt();
    let cosine = product(one, other) / lengths;
    if lengths == 0.0 {
        f64::from(u8::from(one == other))
    } else if cosine.is_nan() {
        0.0
    } else {
        cosine
    }
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn angles() {
        let cases: [(&[f32], &[f32], f64); 6] = [
            (&[1.0, 2.0], &[2.0, 4.0], 1.0),
            (&[1.0, 0.0], &[0.0, 1.0], 0.0),
            (&[1.0], &[-3.0], -1.0),
            (&[0.0], &[0.0], 1.0),
            (&[0.0], &[1.0], 0.0),
            (&[f32::NAN], &[1.0], 0.0),
        ];
        for (one, other, wanted) in cases {
            assert!(
                (cosine(one, other) - wanted).abs() < 1e-12,
                "{one:?} {other:?}"
            );
        }
    }
}
