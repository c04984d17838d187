//! Mean and deviation of channels and columns, as declarations give them.

use crate::{Error, PerChannel, Result};

/// A mean and a deviation for each channel or column.
#[derive(Debug, Clone)]
pub(crate) struct Scaling {
    pub(crate) mean: Vec<f64>,
    pub(crate) std: Vec<f64>,
}

impl Scaling {
    /// `what` are channels or columns, of which there are `count`. Not declared: 0 and 1.
    pub(crate) fn new(
        mean: Option<&PerChannel>,
        std: Option<&PerChannel>,
        count: usize,
        what: &str,
    ) -> Result<Self> {
        let mean = each("mean", mean, 0.0, count, what)?;
        let std = each("std", std, 1.0, count, what)?;
        if std.contains(&0.0) {
            return Err(Error::spec("`std` divides: it is not 0"));
        }
        Ok(Self { mean, std })
    }
}

fn each(
    name: &str,
    values: Option<&PerChannel>,
    default: f64,
    count: usize,
    what: &str,
) -> Result<Vec<f64>> {
    let values = match values {
        None => vec![default; count],
        Some(PerChannel::All(value)) => vec![*value; count],
        Some(PerChannel::Each(values)) => values.clone(),
    };
    if values.len() != count {
        return Err(Error::spec(format!(
            "`{name}` has {} values for {count} {what}",
            values.len()
        )));
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::spec(format!(
            "`{name}` holds a value that is not finite"
        )));
    }
    Ok(values)
}
