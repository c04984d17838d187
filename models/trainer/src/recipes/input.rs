//! What networks take: tensors of requests, on a device.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use dunlin_protocol::{Element, NamedTensor};

use crate::export::Value;
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

impl Tokens {
    /// `[batch, tokens, width]` to `[batch, width]`: the mean over what is no padding.
    pub(super) fn mean(self, x: Tensor<3>) -> Tensor<2> {
        let present: Tensor<3> = self.padding.bool_not().float().unsqueeze_dim(2);
        let mean = (x * present.clone()).sum_dim(1) / present.sum_dim(1);
        mean.flatten(1, 2)
    }

    /// Ids and mask, as a graph takes them.
    pub(super) fn drawn(inputs: &[Value]) -> [&Value; 2] {
        let [ids, mask] = inputs else {
            panic!("tokens are two inputs, not {}", inputs.len());
        };
        [ids, mask]
    }
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
