//! Weights as bytes, and back.

use burn::store::ModuleRecord;

use crate::recipes::Network;
use crate::{Error, ErrorKind, Result};

pub(crate) fn record<N: Network>(network: &N) -> Result<Vec<u8>> {
    // `valid` brings running statistics up to date; a record of the training network lacks the last step's.
    let bytes = network
        .valid()
        .into_record()
        .into_bytes()
        .map_err(damaged)?;
    Ok(bytes.to_vec())
}

pub(crate) fn load<N: Network>(network: N, bytes: Vec<u8>) -> Result<N> {
    let record = ModuleRecord::from_bytes(burn_bytes(bytes)).map_err(damaged)?;
    network.try_load_record(record).map_err(damaged)
}

pub(super) fn burn_bytes(bytes: Vec<u8>) -> burn::tensor::Bytes {
    burn::tensor::Bytes::from_bytes_vec(bytes)
}

pub(super) fn damaged(error: burn::store::RecordError) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the weights of a checkpoint can't be read",
    )
    .because(error)
}
