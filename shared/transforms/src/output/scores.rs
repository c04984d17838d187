//! A tensor as lists of numbers.

use dunlin_protocol::{Datatype, Tensor};
use half::{bf16, f16};

/// A tensor seen as a list of scores for each item of a batch.
pub(super) struct Scores {
    pub(super) values: Vec<f32>,
    pub(super) count: usize,
    pub(super) classes: usize,
    /// Whether the scores are integers.
    pub(super) whole: bool,
}

impl Scores {
    /// The first of two dimensions or more is the batch; the error says what is wrong.
    pub(super) fn of(tensor: &Tensor) -> Result<Self, String> {
        let (count, classes) = match tensor.shape() {
            [] => (1, 1),
            [classes] => (1, *classes),
            [count, rest @ ..] if is_list(rest) => (*count, rest.iter().product()),
            shape => {
                return Err(format!(
                    "shape {shape:?} has more than one dimension of classes"
                ));
            }
        };
        let values = floats(tensor)?;
        let whole = matches!(
            tensor.datatype(),
            Datatype::Uint8 | Datatype::Int8 | Datatype::Int32 | Datatype::Int64
        );
        Ok(Self {
            values,
            count,
            classes,
            whole,
        })
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.count).map(|item| &self.values[item * self.classes..][..self.classes])
    }
}

/// The numbers of a tensor; the error says why there are none.
pub(super) fn floats(tensor: &Tensor) -> Result<Vec<f32>, String> {
    match tensor.datatype() {
        Datatype::Fp32 => tensor.to_vec::<f32>().map_err(|error| error.to_string()),
        Datatype::Fp64 => cast(tensor, |value: f64| value as f32),
        Datatype::Fp16 => cast(tensor, f16::to_f32),
        Datatype::Bf16 => cast(tensor, bf16::to_f32),
        Datatype::Uint8 => cast::<u8>(tensor, f32::from),
        Datatype::Int8 => cast::<i8>(tensor, f32::from),
        Datatype::Int32 => cast(tensor, |value: i32| value as f32),
        Datatype::Int64 => cast(tensor, |value: i64| value as f32),
        other => Err(format!("datatype {other} holds no scores")),
    }
}

fn cast<T: dunlin_protocol::Element>(
    tensor: &Tensor,
    to: impl Fn(T) -> f32,
) -> Result<Vec<f32>, String> {
    let values = tensor.values::<T>().map_err(|error| error.to_string())?;
    Ok(values.iter().map(|&value| to(value)).collect())
}

/// Whether at most one of these dimensions is not 1.
fn is_list(dimensions: &[usize]) -> bool {
    dimensions
        .iter()
        .filter(|&&dimension| dimension != 1)
        .count()
        <= 1
}
