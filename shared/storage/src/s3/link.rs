//! URLs that are signed: whoever has one may get the object, for a time.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;

use super::S3Store;
use super::fault::fault;
use crate::retry::Fault;
use crate::{ErrorKind, ObjectKey};

impl S3Store {
    /// Nothing is sent for it, unless the credentials have to be fetched.
    pub(super) async fn try_link(
        &self,
        key: &ObjectKey,
        valid: Duration,
        content_type: &str,
    ) -> Result<String, Fault> {
        let signing = PresigningConfig::expires_in(valid)
            .map_err(|error| Fault::new(ErrorKind::InvalidConfig, error.to_string()))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.name(key))
            .response_content_type(content_type);
        let signed = request.presigned(signing).await.map_err(fault)?;
        Ok(signed.uri().to_owned())
    }
}
