//! One vector a text.

use dunlin_protocol::{Datatype, NamedTensor, TensorMetadata};

use super::named;
use super::scores::floats;
use crate::{EmbeddingSpec, Error, Pooling, Result};

/// How one output becomes a vector a text.
#[derive(Debug)]
pub(crate) struct Pooler {
    tensor: String,
    pooling: Pooling,
    normalize: bool,
}

impl Pooler {
    pub(crate) fn new(spec: &EmbeddingSpec, output: &TensorMetadata) -> Result<Self> {
        let rank = output.shape.len();
        let pooling = spec.pooling.unwrap_or(match rank {
            3 => Pooling::Mean,
            _ => Pooling::None,
        });
        let (wanted, shape) = match pooling {
            Pooling::None => (2, "[batch, dimensions]"),
            Pooling::Mean | Pooling::Cls => (3, "[batch, tokens, dimensions]"),
        };
        let floats = [
            Datatype::Fp32,
            Datatype::Fp16,
            Datatype::Bf16,
            Datatype::Fp64,
        ];
        if rank != wanted || !floats.contains(&output.datatype) {
            return Err(Error::spec(format!(
                "output {:?} is {} of shape {:?}; an embedding with pooling {pooling:?} reads \
                 floats of {shape}",
                output.name, output.datatype, output.shape
            )));
        }
        Ok(Self {
            tensor: output.name.clone(),
            pooling,
            normalize: spec.normalize.unwrap_or(true),
        })
    }

    /// A vector a text. `real`: which tokens are the texts' own, text by text; none: all.
    pub(crate) fn pool(
        &self,
        outputs: &[NamedTensor],
        real: Option<&[bool]>,
    ) -> Result<Vec<Vec<f32>>> {
        let name = &self.tensor;
        let tensor = named(name, outputs)?;
        let refuse =
            |what: String| Error::output(format!("output {name:?} is no embedding: {what}"));
        let shape = tensor.shape();
        let (tokens, dimensions) = match (self.pooling, shape) {
            (Pooling::None, &[_, dimensions]) => (1, dimensions),
            (Pooling::Mean | Pooling::Cls, &[_, tokens, dimensions]) => (tokens, dimensions),
            _ => return Err(refuse(format!("shape {shape:?}"))),
        };
        let count = shape[0];
        let real = real.filter(|_| self.pooling != Pooling::None);
        if let Some(real) = real.filter(|real| real.len() != count * tokens) {
            let what = format!(
                "shape {shape:?} is not one vector for each of {} tokens",
                real.len()
            );
            return Err(refuse(what));
        }
        let values = floats(tensor).map_err(refuse)?;
        if tokens * dimensions == 0 {
            return Err(refuse(format!("shape {shape:?} is empty")));
        }
        let texts = values.chunks_exact(tokens * dimensions).enumerate();
        texts
            .map(|(text, values)| {
                let is_real = |token: &usize| real.is_none_or(|real| real[text * tokens + token]);
                let vectors = values.chunks_exact(dimensions).enumerate();
                let mut own = vectors
                    .filter(|(token, _)| is_real(token))
                    .map(|(_, vector)| vector);
                let mut pooled = match self.pooling {
                    Pooling::Mean => mean(own, dimensions),
                    Pooling::Cls | Pooling::None => own
                        .next()
                        .map(|vector| vector.iter().copied().map(f64::from).collect()),
                }
                .ok_or_else(|| refuse(format!("text {text} has no tokens")))?;
                if self.normalize {
                    normalize(&mut pooled);
                }
                let pooled: Vec<f32> = pooled.into_iter().map(|value| value as f32).collect();
                match pooled.iter().position(|value| !value.is_finite()) {
                    None => Ok(pooled),
                    Some(at) => Err(refuse(format!(
                        "value {at} of text {text} is {}",
                        pooled[at]
                    ))),
                }
            })
            .collect()
    }
}

fn mean<'a>(vectors: impl Iterator<Item = &'a [f32]>, dimensions: usize) -> Option<Vec<f64>> {
    let mut sums = vec![0.0; dimensions];
    let mut count = 0.0;
    for vector in vectors {
        count += 1.0;
        for (sum, &value) in sums.iter_mut().zip(vector) {
            *sum += f64::from(value);
        }
    }
    for sum in &mut sums {
        *sum /= count;
    }
    (count > 0.0).then_some(sums)
}

/// Makes a vector 1 long; one of zeros stays.
fn normalize(vector: &mut [f64]) {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}
