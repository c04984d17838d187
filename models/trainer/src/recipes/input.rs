//! What networks take: tensors of requests, on a device.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use dunlin_protocol::{Element, NamedTensor};

use crate::{Error, ErrorKind, Result};

/// What a network takes.
pub trait Input: Sized {
    /// From the tensors of a batch, in the order of the network's inputs.
    fn on(device: &Device, inputs: &[NamedTensor]) -> Result<Self>;
}

/// Pictures, or series: numbers.
impl<const D: usize> Input for Tensor<D> {
    fn on(device: &Device, inputs: &[NamedTensor]) -> Result<Self> {
        let values: Vec<f32> = values(&inputs[0])?;
        let data = TensorData::new(values, inputs[0].tensor.shape().to_vec());
        Ok(Tensor::from_data(data, device))
    }
}

/// Texts, each filled up to the longest of them.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// `[batch, tokens]`.
    pub ids: Tensor<2, Int>,
    /// The same shape: true where there is no token.
    pub padding: Tensor<2, Bool>,
}

impl Input for Tokens {
    fn on(device: &Device, inputs: &[NamedTensor]) -> Result<Self> {
        let whole = |input: &NamedTensor| -> Result<Tensor<2, Int>> {
            let values: Vec<i64> = values(input)?;
            let data = TensorData::new(values, input.tensor.shape().to_vec());
            Ok(Tensor::from_data(data, device))
        };
        Ok(Self {
            ids: whole(&inputs[0])?,
            padding: whole(&inputs[1])?.equal_elem(0),
        })
    }
}

fn values<T: Element>(input: &NamedTensor) -> Result<Vec<T>> {
    input
        .tensor
        .to_vec()
        .map_err(|error| Error::new(ErrorKind::Failed, "a tensor of another type").because(error))
}
