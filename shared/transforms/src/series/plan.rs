//! The declaration of a series input, held against the model's input and filled in.

use dunlin_protocol::{Datatype, NamedTensor, Tensor, TensorMetadata};

use super::table::Window;
use crate::pipeline::find;
use crate::scaling::Scaling;
use crate::{Error, Limits, PerChannel, Result, SeriesSpec};

/// How the last rows of a table become the tensor of one input.
#[derive(Debug)]
pub(crate) struct SeriesPlan {
    tensor: String,
    columns: Option<Vec<String>>,
    length: usize,
    scaling: Scaling,
}

impl SeriesPlan {
    pub(crate) fn new(
        spec: &SeriesSpec,
        inputs: &[TensorMetadata],
        limits: &Limits,
    ) -> Result<Self> {
        let input = find("input", spec.tensor.as_deref(), inputs)?;
        if inputs.len() > 1 {
            return Err(Error::spec(format!(
                "a series fills one input, and the model has {}",
                inputs.len()
            )));
        }
        let [batch, length, columns] = input.shape[..] else {
            return Err(unfit(input));
        };
        if input.datatype != Datatype::Fp32 || batch > 1 || batch == 0 {
            return Err(unfit(input));
        }
        let own = |size: i64| usize::try_from(size).ok().filter(|&size| size > 0);
        let length = agree("length", spec.length, own(length), input)?;
        if length > limits.series_rows {
            return Err(Error::spec(format!(
                "`length` is {length}; the limit is {} rows",
                limits.series_rows
            )));
        }
        let listed = [&spec.mean, &spec.std]
            .into_iter()
            .find_map(|list| match list {
                Some(PerChannel::Each(values)) => Some(values.len()),
                _ => None,
            });
        let named = spec.columns.as_ref().map(Vec::len).or(listed);
        let count = agree("columns", named, own(columns), input)?;
        Ok(Self {
            tensor: input.name.clone(),
            columns: spec.columns.clone(),
            length,
            scaling: Scaling::new(spec.mean.as_ref(), spec.std.as_ref(), count, "columns")?,
        })
    }

    /// What is wanted of a table.
    pub(crate) fn window(&self) -> Window<'_> {
        Window {
            columns: self.columns.as_deref(),
            count: self.scaling.mean.len(),
            length: self.length,
        }
    }

    /// The values of a window, row by row, as the input's tensor.
    pub(crate) fn tensor(&self, values: &[f64]) -> Result<NamedTensor> {
        let Scaling { mean, std } = &self.scaling;
        let columns = mean.iter().zip(std).cycle();
        let scaled = values
            .iter()
            .zip(columns)
            .map(|(value, (mean, std))| ((value - mean) / std) as f32);
        let shape = vec![1, self.length, mean.len()];
        let tensor = Tensor::from_vec(shape, scaled.collect())
            .map_err(|error| Error::input("the series does not fill a tensor").because(error))?;
        Ok(NamedTensor::new(&self.tensor, tensor))
    }
}

/// The size that is declared, else the model's own; they may not differ.
fn agree(
    name: &str,
    declared: Option<usize>,
    own: Option<usize>,
    input: &TensorMetadata,
) -> Result<usize> {
    match (declared, own) {
        (Some(0), _) => Err(Error::spec(format!("`{name}` is at least 1"))),
        (Some(declared), Some(own)) if declared != own => Err(Error::spec(format!(
            "`{name}` says {declared}, and input {:?} of shape {:?} takes {own}",
            input.name, input.shape
        ))),
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => Err(Error::spec(format!(
            "`{name}` is needed: input {:?} has shape {:?}",
            input.name, input.shape
        ))),
    }
}

fn unfit(input: &TensorMetadata) -> Error {
    Error::spec(format!(
        "input {:?} is {} of shape {:?}; a series is FP32 of [batch, length, columns], with a \
         batch that is dynamic or 1",
        input.name, input.datatype, input.shape
    ))
}
