//! How the answers of two versions to one request differ.

use dunlin_protocol::{Datatype, Element, NamedTensor, Tensor};
use dunlin_transforms::Class;
use half::{bf16, f16};

use crate::load::Loaded;

/// Numbers agree within this share of the root mean square of their tensor. Two versions are two
/// trainings: they are not wanted to agree in every digit.
const TOLERANCE: f64 = 0.01;

/// The distance of answers that can't be compared: another shape, another type, not a number.
const INCOMPARABLE: f64 = 1e9;

/// A difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// Whether a caller would call the two the same.
    pub(crate) agrees: bool,
    /// How far they are apart: 0 is the same.
    pub(crate) distance: f64,
}

impl Difference {
    const NONE: Self = Self {
        agrees: true,
        distance: 0.0,
    };
    pub(crate) const ALL: Self = Self {
        agrees: false,
        distance: INCOMPARABLE,
    };

    fn and(self, other: Self) -> Self {
        Self {
            agrees: self.agrees && other.agrees,
            distance: self.distance.max(other.distance),
        }
    }
}

/// A version and its outputs.
pub(crate) type Answer<'a> = (&'a Loaded, &'a [NamedTensor]);

/// Compares answers: by the first class of each item where both versions classify, else by value.
pub(crate) fn compare(first: Answer<'_>, second: Answer<'_>) -> Difference {
    match (classes(first), classes(second)) {
        (Some(first), Some(second)) => by_class(&first, &second),
        _ => by_value(first.1, second.1),
    }
}

/// The classes of each item, best first; `None` where the version does not classify.
fn classes((loaded, outputs): Answer<'_>) -> Option<Vec<Vec<Class>>> {
    loaded.pipeline.classes(outputs)?.ok()
}

fn by_class(first: &[Vec<Class>], second: &[Vec<Class>]) -> Difference {
    if first.len() != second.len() {
        return Difference::ALL;
    }
    let items = first
        .iter()
        .zip(second)
        .map(|(a, b)| match (a.first(), b.first()) {
            (None, None) => Difference::NONE,
            (Some(a), Some(b)) => {
                let agrees = match (&a.label, &b.label) {
                    (Some(a), Some(b)) => a == b,
                    _ => a.index == b.index,
                };
                let scores = f64::from(a.score - b.score).abs();
                // The surer both were of something else, the worse.
                let both = f64::from(a.score.abs() + b.score.abs());
                let distance = if agrees { scores } else { 1.0 + both };
                Difference {
                    agrees,
                    distance: if distance.is_finite() {
                        distance
                    } else {
                        INCOMPARABLE
                    },
                }
            }
            _ => Difference::ALL,
        });
    items.fold(Difference::NONE, Difference::and)
}

fn by_value(first: &[NamedTensor], second: &[NamedTensor]) -> Difference {
    if first.len() != second.len() {
        return Difference::ALL;
    }
    let outputs = first.iter().map(|a| {
        let b = second.iter().find(|b| b.name == a.name);
        b.map_or(Difference::ALL, |b| tensors(&a.tensor, &b.tensor))
    });
    outputs.fold(Difference::NONE, Difference::and)
}

fn tensors(a: &Tensor, b: &Tensor) -> Difference {
    if a.datatype() != b.datatype() || a.shape() != b.shape() {
        return Difference::ALL;
    }
    if a.data() == b.data() {
        return Difference::NONE;
    }
    match a.datatype() {
        Datatype::Fp32 => floats::<f32>(a, b),
        Datatype::Fp64 => floats::<f64>(a, b),
        Datatype::Fp16 => floats::<f16>(a, b),
        Datatype::Bf16 => floats::<bf16>(a, b),
        _ => Difference {
            agrees: false,
            distance: 1.0,
        },
    }
}

fn floats<T: Element + Copy + Into<f64>>(a: &Tensor, b: &Tensor) -> Difference {
    let (Ok(a), Ok(b)) = (a.values::<T>(), b.values::<T>()) else {
        return Difference::ALL;
    };
    let (mut squares, mut largest) = (0.0f64, 0.0f64);
    for (&a, &b) in a.iter().zip(b.iter()) {
        let (a, b): (f64, f64) = (a.into(), b.into());
        if a.total_cmp(&b).is_eq() {
            squares += if a.is_finite() { a * a } else { 0.0 };
            continue;
        }
        if !(a.is_finite() && b.is_finite()) {
            return Difference::ALL;
        }
        squares += a * a;
        largest = largest.max((a - b).abs());
    }
    let size = (squares / a.len().max(1) as f64).sqrt();
    let distance = if largest == 0.0 {
        0.0
    } else {
        (largest / size.max(f64::MIN_POSITIVE)).min(INCOMPARABLE)
    };
    Difference {
        agrees: distance <= TOLERANCE,
        distance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> NamedTensor {
        let tensor = Tensor::from_vec(vec![values.len()], values.to_vec());
        NamedTensor::new("y", tensor.expect("it fits"))
    }

    #[test]
    fn numbers_agree_by_their_size() {
        let wanted = [tensor(&[100.0, -100.0, 0.0])];
        for (got, agrees) in [
            (vec![100.0, -100.0, 0.0], true),
            (vec![100.5, -100.0, 0.5], true),
            (vec![102.0, -100.0, 0.0], false),
            (vec![100.0, f32::NAN, 0.0], false),
            (vec![100.0, -100.0], false),
        ] {
            let difference = by_value(&wanted, &[tensor(&got)]);
            assert_eq!(difference.agrees, agrees, "{got:?}: {difference:?}");
            assert!(difference.distance.is_finite());
        }
        let both = [tensor(&[f32::NAN, 1.0])];
        assert_eq!(by_value(&both, &both), Difference::NONE);
        assert_eq!(by_value(&wanted, &[]), Difference::ALL);
    }

    #[test]
    fn classes_agree_by_the_first_of_each_item() {
        let class = |label: &str, score| Class {
            label: Some(label.into()),
            index: 0,
            score,
        };
        let first = vec![vec![class("cat", 0.9), class("dog", 0.1)]];
        let same = by_class(&first, &[vec![class("cat", 0.6)]]);
        assert!(same.agrees && same.distance > 0.2, "{same:?}");
        let sure = by_class(&first, &[vec![class("dog", 0.9)]]);
        let unsure = by_class(&first, &[vec![class("dog", 0.4)]]);
        assert!(!sure.agrees && sure.distance > unsure.distance);
        assert!(!by_class(&first, &[]).agrees);
        assert!(!by_class(&first, &[vec![]]).agrees);
    }
}
