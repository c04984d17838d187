//! Objects in S3, or in a server that speaks its protocol.

mod client;
mod connect;
mod fault;
mod link;
mod read;
mod write;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::{Bytes, BytesMut};

use crate::key::{check_prefix, folder_prefix};
use crate::retry::{Fault, run};
use crate::{
    ETag, Object, ObjectKey, ObjectMeta, Progress, PutCondition, Result, Store, StoreOptions,
};

/// Objects in a bucket.
///
/// Conditions are the server's: AWS and `SeaweedFS` keep them under a race. The
/// SDK's own retries and timeouts are off; this crate's retry policy is the only one.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty, or ends in `/`.
    prefix: String,
    options: StoreOptions,
}

impl S3Store {
    /// A store in `bucket`, its keys below `prefix` (`""`: none). Nothing is sent yet.
    pub async fn new(bucket: &str, prefix: &str, options: &StoreOptions) -> Result<Self> {
        let client = client::client(&format!("s3://{bucket}"), options).await?;
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Ok(Self {
            client,
            bucket: bucket.into(),
            prefix,
            options: options.clone(),
        })
    }

    /// The object's name in the bucket.
    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn object(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    /// Tries an operation on an object that moves `bytes`.
    async fn run<T, F: Future<Output = Result<T, Fault>> + Send>(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        bytes: u64,
        attempt: impl FnMut(u32) -> F,
    ) -> Result<T> {
        run(
            &self.options,
            operation,
            || self.object(key.as_str()),
            bytes,
            attempt,
        )
        .await
    }
}

#[async_trait]
impl Store for S3Store {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
            .trim_end_matches('/')
            .to_owned()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        self.run("head", key, 0, |_| async {
            Ok(self.try_head(key).await?.meta)
        })
        .await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Object> {
        let limit = self.options.get_limit;
        self.run("get", key, limit, |_| self.try_get(key)).await
    }

    async fn get_if_changed(&self, key: &ObjectKey, etag: &ETag) -> Result<Option<Object>> {
        let limit = self.options.get_limit;
        self.run("get", key, limit, |_| self.try_get_if_changed(key, etag))
            .await
    }

    async fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        if_match: Option<&ETag>,
        room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut)> {
        let mut room = Some(room);
        let length = range.end.saturating_sub(range.start);
        self.run("get", key, length, |_| {
            self.try_get_range(
                key,
                range.clone(),
                if_match,
                room.take().unwrap_or_default(),
            )
        })
        .await
    }

    async fn put_with_progress(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        condition: PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag> {
        if bytes.len() > self.options.multipart_bytes {
            return self.put_in_parts(key, bytes, &condition, progress).await;
        }
        let length = bytes.len() as u64;
        let etag = self.put_whole(key, bytes, &condition).await?;
        if let Some(progress) = progress {
            progress(length);
        }
        Ok(etag)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        check_prefix("list", &self.url(), prefix)?;
        let mut found = Vec::new();
        let mut page = None;
        loop {
            let token = page.take();
            let object = || self.object(prefix);
            let attempt = |_| self.try_list(prefix, None, token.clone());
            let answer = run(&self.options, "list", object, 0, attempt).await?;
            found.extend(
                answer
                    .contents()
                    .iter()
                    .filter_map(|object| self.listed(object)),
            );
            page = answer.next_continuation_token;
            if page.is_none() {
                break;
            }
        }
        // Servers other than AWS's sort by other rules.
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn list_folders(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = folder_prefix("list", &self.url(), folder)?;
        let below = format!("{}{prefix}", self.prefix);
        let mut found = Vec::new();
        let mut page = None;
        loop {
            let token = page.take();
            let object = || self.object(&prefix);
            let attempt = |_| self.try_list(&prefix, Some("/"), token.clone());
            let answer = run(&self.options, "list", object, 0, attempt).await?;
            let folders = answer
                .common_prefixes()
                .iter()
                .filter_map(|folder| folder.prefix());
            let names = folders.filter_map(|folder| folder.strip_prefix(&below)?.strip_suffix('/'));
            found.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
            page = answer.next_continuation_token;
            if page.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn link(
        &self,
        key: &ObjectKey,
        valid: Duration,
        content_type: &str,
    ) -> Result<Option<String>> {
        let attempt = |_| self.try_link(key, valid, content_type);
        self.run("link", key, 0, attempt).await.map(Some)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<()> {
        self.run("delete", key, 0, |_| self.try_delete(key)).await
    }
}
