//! The objects and what S3 does with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, Metadata, Object, PutObjectInput, PutObjectOutput, StreamingBlob,
    UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest, Sha256};

/// S3 answers at most so many names at a time.
const PAGE: usize = 1000;

#[derive(Clone, Debug)]
struct Stored {
    bytes: Bytes,
    etag: String,
    modified: SystemTime,
    metadata: Option<Metadata>,
}

impl Stored {
    fn new(bytes: Bytes, metadata: Option<Metadata>) -> Self {
        Self {
            etag: digest(&bytes),
            bytes,
            modified: SystemTime::now(),
            metadata,
        }
    }

    fn size(&self) -> i64 {
        self.bytes.len() as i64
    }

    fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }
}

#[derive(Debug, Default)]
struct Upload {
    parts: BTreeMap<i32, Bytes>,
    metadata: Option<Metadata>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: HashMap<String, Upload>,
    uploads_begun: u64,
}

impl State {
    fn get(&self, key: &str) -> S3Result<&Stored> {
        self.objects
            .get(key)
            .ok_or_else(|| s3_error!(NoSuchKey, "The key does not exist"))
    }

    /// Checks the condition and writes, with the lock held in between.
    fn put(
        &mut self,
        key: String,
        stored: Stored,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<ETag> {
        let old = self.objects.get(&key);
        if if_match.is_some() && old.is_none() {
            return Err(s3_error!(NoSuchKey, "The key does not exist"));
        }
        if !if_match.is_none_or(|wanted| meets(wanted, old))
            || if_none_match.is_some_and(|unwanted| meets(unwanted, old))
        {
            return Err(s3_error!(PreconditionFailed, "A precondition did not hold"));
        }
        let etag = stored.etag();
        self.objects.insert(key, stored);
        Ok(etag)
    }
}

fn meets(condition: &ETagCondition, stored: Option<&Stored>) -> bool {
    match (condition, stored) {
        (_, None) => false,
        (ETagCondition::Any, Some(_)) => true,
        (ETagCondition::ETag(etag), Some(stored)) => etag.value() == stored.etag,
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(16)
        .fold(String::new(), |text, b| format!("{text}{b:02x}"))
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    let Some(mut body) = body else {
        return Ok(Bytes::new());
    };
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| s3_error!(IncompleteBody, "the body ended: {error}"))?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// One bucket.
#[derive(Debug)]
pub(super) struct Backend {
    bucket: String,
    state: Mutex<State>,
}

impl Backend {
    pub(super) fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.into(),
            state: Mutex::default(),
        }
    }

    fn state(&self, bucket: &str) -> S3Result<MutexGuard<'_, State>> {
        if bucket != self.bucket {
            return Err(s3_error!(NoSuchBucket, "The bucket does not exist"));
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self
            .state(&request.input.bucket)?
            .get(&request.input.key)?
            .clone();
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.size()),
            e_tag: Some(stored.etag()),
            last_modified: Some(stored.modified.into()),
            metadata: stored.metadata,
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let stored = self.state(&input.bucket)?.get(&input.key)?.clone();
        if input
            .if_match
            .is_some_and(|wanted| !meets(&wanted, Some(&stored)))
        {
            return Err(s3_error!(PreconditionFailed, "A precondition did not hold"));
        }
        if input
            .if_none_match
            .is_some_and(|unwanted| meets(&unwanted, Some(&stored)))
        {
            return Err(s3_error!(NotModified));
        }
        let mut output = GetObjectOutput {
            e_tag: Some(stored.etag()),
            last_modified: Some(stored.modified.into()),
            metadata: stored.metadata.clone(),
            ..GetObjectOutput::default()
        };
        let mut bytes = stored.bytes.clone();
        if let Some(range) = input.range {
            let range = range
                .check(bytes.len() as u64)
                .map_err(|_| s3_error!(InvalidRange, "The range is not within the object"))?;
            let of = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            output.content_range = Some(of);
            bytes = bytes.slice(range.start as usize..range.end as usize);
        }
        output.content_length = Some(bytes.len() as i64);
        output.body = Some(StreamingBlob::from(Body::from(bytes)));
        Ok(S3Response::new(output))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let stored = Stored::new(collect(input.body).await?, input.metadata);
        let mut state = self.state(&input.bucket)?;
        let (if_match, if_none_match) = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let e_tag = Some(state.put(input.key, stored, if_match, if_none_match)?);
        Ok(S3Response::new(PutObjectOutput {
            e_tag,
            ..PutObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.state(&request.input.bucket)?
            .objects
            .remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
        let page = input
            .max_keys
            .map_or(PAGE, |most| (most.max(0) as usize).min(PAGE));
        let after = input
            .continuation_token
            .or(input.start_after)
            .unwrap_or_default();
        let state = self.state(&input.bucket)?;
        let mut contents = Vec::new();
        let mut folders = BTreeSet::new();
        let mut next = None;
        let mut last = String::new();
        let range = (Bound::Excluded(after.clone()), Bound::Unbounded);
        for (key, stored) in state.objects.range::<String, _>(range) {
            let Some(rest) = key.strip_prefix(&prefix) else {
                continue;
            };
            let end = delimiter
                .as_ref()
                .and_then(|d| rest.find(d.as_str()).map(|at| at + d.len()));
            let folder = end.map(|end| format!("{prefix}{}", &rest[..end]));
            // A token that is a folder's name stands for all that is in it.
            if folder
                .as_ref()
                .is_some_and(|folder| folders.contains(folder) || *folder == after)
            {
                continue;
            }
            if contents.len() + folders.len() == page {
                next = Some(last);
                break;
            }
            last = folder.clone().unwrap_or_else(|| key.clone());
            if let Some(folder) = folder {
                folders.insert(folder);
            } else {
                contents.push(Object {
                    key: Some(key.clone()),
                    size: Some(stored.size()),
                    e_tag: Some(stored.etag()),
                    last_modified: Some(stored.modified.into()),
                    ..Object::default()
                });
            }
        }
        let folder = |prefix| CommonPrefix {
            prefix: Some(prefix),
        };
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            key_count: Some((contents.len() + folders.len()) as i32),
            max_keys: Some(page as i32),
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(folders.into_iter().map(folder).collect()),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let mut state = self.state(&input.bucket)?;
        state.uploads_begun += 1;
        let id = format!("upload-{}", state.uploads_begun);
        let upload = Upload {
            metadata: input.metadata,
            ..Upload::default()
        };
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let bytes = collect(input.body).await?;
        let e_tag = Some(ETag::Strong(digest(&bytes)));
        let mut state = self.state(&input.bucket)?;
        let upload = state.uploads.get_mut(&input.upload_id);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload, "No such upload"))?;
        upload.parts.insert(input.part_number, bytes);
        Ok(S3Response::new(UploadPartOutput {
            e_tag,
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let mut state = self.state(&input.bucket)?;
        let upload = state.uploads.get(&input.upload_id);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload, "No such upload"))?;
        let mut whole = BytesMut::new();
        for part in input
            .multipart_upload
            .and_then(|list| list.parts)
            .unwrap_or_default()
        {
            let bytes = part
                .part_number
                .and_then(|number| upload.parts.get(&number));
            let bytes = bytes.ok_or_else(|| s3_error!(InvalidPart, "No such part"))?;
            if part.e_tag.is_none_or(|etag| etag.value() != digest(bytes)) {
                return Err(s3_error!(InvalidPart, "Another part has come in its place"));
            }
            whole.extend_from_slice(bytes);
        }
        let stored = Stored::new(whole.freeze(), upload.metadata.clone());
        let (if_match, if_none_match) = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let e_tag = Some(state.put(input.key.clone(), stored, if_match, if_none_match)?);
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let removed = self
            .state(&request.input.bucket)?
            .uploads
            .remove(&request.input.upload_id);
        removed.ok_or_else(|| s3_error!(NoSuchUpload, "No such upload"))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
