//! Putting objects, in one piece or in parts.
//!
//! A put whose answer was lost may have taken place, and its next try then meets its own work: the
//! condition fails though nobody else wrote. So every put marks its object, and a condition that
//! fails after a lost answer is looked into: the own mark means that the put succeeded.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::S3Store;
use super::fault::{fault, status};
use crate::retry::Fault;
use crate::{ETag, ErrorKind, ObjectKey, Progress, PutCondition, Result};

/// The metadata entry that tells one put from another.
pub(super) const MARK: &str = "dunlin-put";

/// The size of a part, unless that makes more than [`MOST_PARTS`].
const PART_BYTES: usize = 16 << 20;
const MOST_PARTS: usize = 10_000;
/// How many parts are sent at a time.
const AT_ONCE: usize = 4;

/// One put: its condition as headers, its mark, and whether a try of it may have been carried out.
struct Put {
    if_match: Option<String>,
    if_none_match: Option<String>,
    mark: String,
    uncertain: AtomicBool,
}

impl Put {
    fn new(condition: &PutCondition) -> Self {
        let (if_match, if_none_match) = match condition {
            PutCondition::Always => (None, None),
            PutCondition::IfAbsent => (None, Some("*".to_owned())),
            PutCondition::IfMatch(etag) => (Some(etag.as_str().to_owned()), None),
        };
        let mark = format!("{:032x}", fastrand::u128(..));
        Self {
            if_match,
            if_none_match,
            mark,
            uncertain: AtomicBool::new(false),
        }
    }
}

impl S3Store {
    pub(super) async fn put_whole(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: &PutCondition,
    ) -> Result<ETag> {
        let put = Put::new(condition);
        self.run("put", key, bytes.len() as u64, |_| async {
            let request = self
                .client
                .put_object()
                .bucket(&self.bucket)
                .key(self.name(key))
                .set_if_match(put.if_match.clone())
                .set_if_none_match(put.if_none_match.clone())
                .metadata(MARK, &put.mark)
                .body(ByteStream::from(bytes.clone()));
            match self.answer(bytes.len() as u64, request.send()).await {
                Ok(Ok(answer)) => etag(answer.e_tag),
                Ok(Err(error)) => {
                    let (status, fault) = (status(&error), fault(error));
                    self.settle(key, &put, status, fault).await
                }
                Err(silent) => self.settle(key, &put, 0, silent).await,
            }
        })
        .await
    }

    /// Sends the parts, then joins them on the condition; on failure the parts are given up.
    pub(super) async fn put_in_parts(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: &PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag> {
        let put = Put::new(condition);
        let upload = self
            .run("put", key, 0, |_| self.try_begin(key, &put.mark))
            .await?;
        let size = PART_BYTES.max(bytes.len().div_ceil(MOST_PARTS));
        let parts = stream::iter((0..bytes.len()).step_by(size).zip(1..))
            .map(|(from, number)| {
                let part = bytes.slice(from..bytes.len().min(from + size));
                self.put_part(key, &upload, number, part, progress)
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await;
        let joined = match parts {
            Ok(parts) => {
                let join = |_| self.try_join(key, &put, &upload, parts.clone());
                self.run("put", key, bytes.len() as u64, join).await
            }
            Err(error) => Err(error),
        };
        if joined.is_err() {
            let request = self.client.abort_multipart_upload().bucket(&self.bucket);
            let request = request.key(self.name(key)).upload_id(&upload);
            if let Ok(Err(error)) = self.answer(0, request.send()).await {
                tracing::debug!(%key, error = fault(error).reason, "cannot abort the upload");
            }
        }
        joined
    }

    async fn try_begin(&self, key: &ObjectKey, mark: &str) -> Result<String, Fault> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket);
        let request = request.key(self.name(key)).metadata(MARK, mark);
        let answer = self.answer(0, request.send()).await?.map_err(fault)?;
        let missing = || Fault::new(ErrorKind::Corrupt, "the server's answer has no upload id");
        answer.upload_id.ok_or_else(missing)
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &str,
        number: i32,
        part: Bytes,
        progress: Option<&Progress>,
    ) -> Result<CompletedPart> {
        let length = part.len() as u64;
        let answer = self.run("put", key, length, |_| async {
            let request = self
                .client
                .upload_part()
                .bucket(&self.bucket)
                .key(self.name(key))
                .upload_id(upload)
                .part_number(number)
                .body(ByteStream::from(part.clone()));
            self.answer(length, request.send()).await?.map_err(fault)
        });
        let answer = answer.await?;
        if let Some(progress) = progress {
            progress(length);
        }
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag)
            .set_checksum_crc32(answer.checksum_crc32)
            .set_checksum_crc64_nvme(answer.checksum_crc64_nvme)
            .build())
    }

    async fn try_join(
        &self,
        key: &ObjectKey,
        put: &Put,
        upload: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<ETag, Fault> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.name(key))
            .upload_id(upload)
            .set_if_match(put.if_match.clone())
            .set_if_none_match(put.if_none_match.clone())
            .multipart_upload(parts);
        match self.answer(0, request.send()).await {
            Ok(Ok(answer)) => etag(answer.e_tag),
            Ok(Err(error)) => {
                let (status, fault) = (status(&error), fault(error));
                self.settle(key, put, status, fault).await
            }
            Err(silent) => self.settle(key, put, 0, silent).await,
        }
    }

    /// What a failed try of a put means, given the tries before it.
    async fn settle(
        &self,
        key: &ObjectKey,
        put: &Put,
        status: u16,
        fault: Fault,
    ) -> Result<ETag, Fault> {
        if fault.retry {
            // 429 and 503 are refusals: nothing was done. All else leaves it open.
            if !matches!(status, 409 | 429 | 503) {
                put.uncertain.store(true, Ordering::Relaxed);
            }
            return Err(fault);
        }
        let refused = matches!(status, 404 | 412);
        if refused && put.uncertain.load(Ordering::Relaxed) {
            match self.try_head(key).await {
                Ok(head) if head.mark.as_deref() == Some(&put.mark) => return Ok(head.meta.etag),
                Err(fault) if fault.retry => return Err(fault),
                _ => {}
            }
        }
        let wants_absence = put.if_none_match.is_some();
        match status {
            412 if wants_absence => {
                Err(Fault::new(ErrorKind::AlreadyExists, "it is already there"))
            }
            404 if put.if_match.is_some() && fault.cure.is_none() => {
                Err(Fault::new(ErrorKind::Precondition, "it is no longer there"))
            }
            _ => Err(fault),
        }
    }
}

fn etag(etag: Option<String>) -> Result<ETag, Fault> {
    let missing = || Fault::new(ErrorKind::Corrupt, "the server's answer has no ETag");
    etag.map(ETag::new).ok_or_else(missing)
}
