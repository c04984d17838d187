//! What comes next in a series.

use dunlin_protocol::{Datatype, NamedTensor, TensorMetadata};
use serde::Serialize;

use super::named;
use super::scores::floats;
use crate::scaling::Scaling;
use crate::{Error, ForecastSpec, PerChannel, Result};

/// The steps to come, the next one first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Steps {
    /// A value a step.
    Values(Vec<f32>),
    /// A list a step: a value a column.
    Rows(Vec<Vec<f32>>),
}

/// How one output becomes values as they were measured.
#[derive(Debug)]
pub(crate) struct Unscaling {
    tensor: String,
    scaling: Scaling,
    pub(crate) unit: Option<String>,
    pub(crate) step: Option<String>,
}

impl Unscaling {
    pub(crate) fn new(spec: &ForecastSpec, output: &TensorMetadata) -> Result<Self> {
        let floats = [
            Datatype::Fp32,
            Datatype::Fp16,
            Datatype::Bf16,
            Datatype::Fp64,
        ];
        let rank = output.shape.len();
        if !(2..=3).contains(&rank) || !floats.contains(&output.datatype) {
            return Err(Error::spec(format!(
                "output {:?} is {} of shape {:?}; a forecast reads floats of [batch, steps] or \
                 [batch, steps, columns]",
                output.name, output.datatype, output.shape
            )));
        }
        let own = output.shape.get(2).copied().unwrap_or(1);
        let listed = [&spec.mean, &spec.std]
            .into_iter()
            .find_map(|list| match list {
                Some(PerChannel::Each(values)) => Some(values.len()),
                _ => None,
            });
        let count = usize::try_from(own).ok().or(listed).unwrap_or(1);
        Ok(Self {
            tensor: output.name.clone(),
            scaling: Scaling::new(spec.mean.as_ref(), spec.std.as_ref(), count, "columns")?,
            unit: spec.unit.clone(),
            step: spec.step.clone(),
        })
    }

    /// The steps to come, of each series.
    pub(crate) fn steps(&self, outputs: &[NamedTensor]) -> Result<Vec<Steps>> {
        let name = &self.tensor;
        let tensor = named(name, outputs)?;
        let refuse =
            |what: String| Error::output(format!("output {name:?} is no forecast: {what}"));
        let Scaling { mean, std } = &self.scaling;
        let columns = mean.len();
        let steps = match *tensor.shape() {
            [_, steps] if columns == 1 => steps,
            [_, steps, own] if own == columns => steps,
            ref shape => return Err(refuse(format!("shape {shape:?}, with {columns} columns"))),
        };
        let values = floats(tensor).map_err(refuse)?;
        let scales = mean.iter().zip(std).cycle();
        let values = values.iter().zip(scales);
        let values = values.map(|(&value, (mean, std))| (f64::from(value) * std + mean) as f32);
        let values: Vec<f32> = values.collect();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(refuse(format!("value {at} is {}", values[at])));
        }
        if steps == 0 {
            return Err(refuse("it has no steps".to_owned()));
        }
        let series = values.chunks_exact(steps * columns);
        Ok(series
            .map(|values| match columns {
                1 => Steps::Values(values.to_vec()),
                _ => Steps::Rows(values.chunks_exact(columns).map(<[f32]>::to_vec).collect()),
            })
            .collect())
    }
}
