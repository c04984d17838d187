//! Answers as comma-separated values.

use bytes::Bytes;

use super::Answered;
use crate::{Error, Result};

pub(super) fn write(answers: &[Answered]) -> Result<Bytes> {
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("no CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for answered in answers {
        let record = answered.record()?;
        writer.serialize(record).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(bytes.into())
}
