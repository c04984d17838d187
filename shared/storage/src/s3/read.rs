//! One try of each operation that reads, and of deleting.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::Object as Listed;
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::S3Store;
use super::fault::{fault, innermost, status};
use crate::retry::Fault;
use crate::{ETag, ErrorKind, Object, ObjectKey, ObjectMeta};

/// An object's description, and the mark of the put that wrote it.
pub(super) struct Head {
    pub(super) meta: ObjectMeta,
    pub(super) mark: Option<String>,
}

impl S3Store {
    pub(super) async fn try_head(&self, key: &ObjectKey) -> Result<Head, Fault> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(self.name(key));
        let answer = self.answer(0, request.send()).await?.map_err(fault)?;
        let size = answer
            .content_length()
            .and_then(|size| u64::try_from(size).ok());
        let mark = answer
            .metadata()
            .and_then(|entries| entries.get(super::write::MARK))
            .cloned();
        let meta = meta(key, size, answer.e_tag, answer.last_modified)?;
        Ok(Head { meta, mark })
    }

    pub(super) async fn try_get(&self, key: &ObjectKey) -> Result<Object, Fault> {
        let answer = self
            .answer(0, self.get_request(key).send())
            .await?
            .map_err(fault)?;
        self.whole(key, answer).await
    }

    pub(super) async fn try_get_if_changed(
        &self,
        key: &ObjectKey,
        etag: &ETag,
    ) -> Result<Option<Object>, Fault> {
        let request = self.get_request(key).if_none_match(etag.as_str());
        match self.answer(0, request.send()).await? {
            Ok(answer) => self.whole(key, answer).await.map(Some),
            Err(error) if status(&error) == 304 => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    pub(super) async fn try_get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        etag: Option<&ETag>,
        mut room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut), Fault> {
        if range.is_empty() {
            return Err(Fault::new(ErrorKind::Other, "a range has a byte at least"));
        }
        let request = self
            .get_request(key)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_if_match(etag.map(|etag| etag.as_str().to_owned()));
        let answer = match self.answer(0, request.send()).await? {
            Ok(answer) => answer,
            // No range is within an empty object.
            Err(error) if status(&error) == 416 && range.start == 0 => {
                let meta = self.try_head(key).await?.meta;
                return if meta.size == 0 {
                    Ok((meta, room))
                } else {
                    Err(fault(error))
                };
            }
            Err(error) => return Err(fault(error)),
        };
        let size = match answer.content_range() {
            Some(range) => range
                .rsplit('/')
                .next()
                .and_then(|total| total.parse().ok()),
            None if range.start > 0 => {
                let reason = "the server does not answer ranges";
                return Err(Fault::new(ErrorKind::Corrupt, reason));
            }
            None => length(&answer),
        };
        let meta = meta(key, size, answer.e_tag, answer.last_modified)?;
        if etag.is_some_and(|etag| meta.etag != *etag) {
            // A server that does not know If-Match.
            return Err(Fault::new(ErrorKind::Precondition, "it has been replaced"));
        }
        let length = range.end.min(meta.size).saturating_sub(range.start) as usize;
        room.clear();
        room.reserve(length);
        let take = |chunk: Bytes| {
            let rest = length - room.len();
            room.extend_from_slice(&chunk[..chunk.len().min(rest)]);
        };
        self.receive(answer.body, length, take).await?;
        Ok((meta, room))
    }

    pub(super) async fn try_list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        page: Option<String>,
    ) -> Result<ListObjectsV2Output, Fault> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{prefix}", self.prefix))
            .set_delimiter(delimiter.map(str::to_owned))
            .set_continuation_token(page);
        self.answer(0, request.send()).await?.map_err(fault)
    }

    pub(super) async fn try_delete(&self, key: &ObjectKey) -> Result<(), Fault> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.name(key));
        match self.answer(0, request.send()).await? {
            Ok(_) => Ok(()),
            Err(error) => match fault(error) {
                gone if gone.kind == ErrorKind::NotFound && gone.cure.is_none() => Ok(()),
                fault => Err(fault),
            },
        }
    }

    /// An entry of a listing, if its name is a key: other programs' folder markers are not.
    pub(super) fn listed(&self, object: &Listed) -> Option<ObjectMeta> {
        let key = ObjectKey::new(object.key()?.strip_prefix(&self.prefix)?).ok()?;
        Some(ObjectMeta {
            key,
            size: u64::try_from(object.size()?).ok()?,
            etag: ETag::new(object.e_tag()?),
            modified: object.last_modified().and_then(time),
        })
    }

    /// Waits for an answer as long as a store may be silent, longer if `bytes` are sent first.
    pub(super) fn answer<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Result<T, Fault>> + Send {
        let sending = Duration::from_secs(bytes / self.options.minimum_rate.max(1));
        let limit = self.options.stall_timeout + sending;
        // The SDK's futures have 16 KiB, which every caller's would have to hold.
        let request = timeout(limit, Box::pin(request));
        async move {
            let silent = |_| Fault::passing(format!("no answer within {limit:.0?}"));
            request.await.map_err(silent)
        }
    }

    fn get_request(&self, key: &ObjectKey) -> GetObjectFluentBuilder {
        self.client
            .get_object()
            .bucket(&self.bucket)
            .key(self.name(key))
    }

    async fn whole(&self, key: &ObjectKey, answer: GetObjectOutput) -> Result<Object, Fault> {
        let size = length(&answer);
        let meta = meta(key, size, answer.e_tag, answer.last_modified)?;
        let limit = self.options.get_limit;
        if meta.size > limit {
            let reason = format!("it has {} bytes, the limit is {limit}", meta.size);
            return Err(Fault::new(ErrorKind::TooLarge, reason));
        }
        let length = meta.size as usize;
        // A body that comes in one piece is not copied.
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        let take = |chunk: Bytes| {
            if first.is_empty() && whole.is_empty() {
                first = chunk;
                return;
            }
            if whole.is_empty() {
                whole.reserve(length);
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        };
        self.receive(answer.body, length, take).await?;
        let mut bytes = if whole.is_empty() {
            first
        } else {
            whole.freeze()
        };
        bytes.truncate(length);
        Ok(Object { meta, bytes })
    }

    /// Gives the pieces of a body as they come: `length` bytes, or more where the server doesn't know
    /// ranges.
    async fn receive(
        &self,
        mut body: ByteStream,
        length: usize,
        mut take: impl FnMut(Bytes),
    ) -> Result<(), Fault> {
        let limit = self.options.stall_timeout;
        let mut came = 0;
        while came <= length {
            let next = timeout(limit, body.next()).await.map_err(|_| {
                Fault::passing(format!(
                    "silence for {limit:.0?} after {came} of {length} bytes"
                ))
            })?;
            match next {
                Some(Ok(chunk)) => {
                    came += chunk.len();
                    take(chunk);
                }
                Some(Err(error)) => {
                    let cause = innermost(&error);
                    let reason = format!("cut after {came} of {length} bytes: {cause}");
                    return Err(Fault::passing(reason).with_source(error));
                }
                // At the end, and only there, the SDK has compared the checksum.
                None => break,
            }
        }
        if came < length {
            let reason = format!("ended after {came} of {length} bytes");
            return Err(Fault::passing(reason));
        }
        Ok(())
    }
}

/// What an answer says of its own length.
fn length(answer: &GetObjectOutput) -> Option<u64> {
    answer
        .content_length()
        .and_then(|length| u64::try_from(length).ok())
}

fn meta(
    key: &ObjectKey,
    size: Option<u64>,
    etag: Option<String>,
    modified: Option<DateTime>,
) -> Result<ObjectMeta, Fault> {
    let missing = |what| {
        Fault::new(
            ErrorKind::Corrupt,
            format!("the server's answer has no {what}"),
        )
    };
    Ok(ObjectMeta {
        key: key.clone(),
        size: size.ok_or_else(|| missing("size"))?,
        etag: ETag::new(etag.ok_or_else(|| missing("ETag"))?),
        modified: modified.as_ref().and_then(time),
    })
}

fn time(time: &DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*time).ok()
}
