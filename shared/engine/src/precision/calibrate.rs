//! The ranges that values take on examples.

use dunlin_protocol::{Datatype, NamedTensor};

use super::edit::Edit;
use super::encode;
use crate::error::{Error, Result};
use crate::{Limits, LoadOptions, Model};

/// The least and the greatest number that a value took, and zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    least: f32,
    greatest: f32,
}

impl Range {
    const ZERO: Self = Self {
        least: 0.0,
        greatest: 0.0,
    };

    fn with(self, number: f32) -> Self {
        Self {
            least: self.least.min(number),
            greatest: self.greatest.max(number),
        }
    }

    /// The step of bytes over the range, and the byte that zero is.
    pub(super) fn grid(self) -> (f32, u8) {
        let step = (self.greatest - self.least) / 255.0;
        let step = if step < f32::MIN_POSITIVE { 1.0 } else { step };
        (
            step,
            (-self.least / step).round_ties_even().clamp(0.0, 255.0) as u8,
        )
    }
}

/// Runs the graph on the examples, and gives the range of each of these values.
pub(super) fn ranges(
    edit: &Edit,
    name: &str,
    values: &[String],
    examples: &[Vec<NamedTensor>],
    limits: &Limits,
) -> Result<Vec<Range>> {
    let model = edit.observing(values);
    let options = LoadOptions {
        limits: limits.clone(),
        split_batches: false,
        ..LoadOptions::default()
    };
    let model = Model::load(name, encode(&model, limits)?, &options)?;
    let mut ranges = vec![Range::ZERO; values.len()];
    for example in examples {
        let observed = model.run(example.clone())?;
        for (range, NamedTensor { tensor, .. }) in ranges.iter_mut().zip(&observed) {
            if tensor.datatype() != Datatype::Fp32 {
                continue;
            }
            let numbers = tensor
                .values::<f32>()
                .map_err(|error| Error::invalid_input("a value can't be read").caused_by(error))?;
            if let Some(odd) = numbers.iter().find(|number| !number.is_finite()) {
                return Err(
                    Error::unsupported(format!("an example gives {odd} within the model"))
                        .with_cure("give examples that the model answers with numbers"),
                );
            }
            *range = numbers
                .iter()
                .fold(*range, |range, &number| range.with(number));
        }
    }
    Ok(ranges)
}
