//! Reading, writing and removing objects; everything here blocks.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use super::lock::lock;
use super::path_of;
use super::temporary::{Temporary, make_durable};
use crate::key::RESERVED;
use crate::{
    ETag, Error, ErrorKind, Object, ObjectKey, ObjectMeta, Progress, PutCondition, Result,
    StoreOptions,
};

/// How much is written between two reports of progress.
const CHUNK: usize = 4 << 20;

/// A folder may be removed by a deletion between its making and its use; this many times in a row
/// means that something else is wrong.
const FOLDER_TRIES: usize = 100;

#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    reserved: PathBuf,
    options: StoreOptions,
    cleaned: std::sync::Once,
}

impl Files {
    pub(super) fn new(root: PathBuf, options: StoreOptions) -> Self {
        let reserved = root.join(RESERVED);
        Self {
            root,
            reserved,
            options,
            cleaned: std::sync::Once::new(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn head(&self, key: &ObjectKey) -> Result<ObjectMeta> {
        let path = path_of(&self.root, key);
        let metadata = fs::metadata(&path).map_err(|error| self.failed("read", key, error))?;
        self.describe("read", key, &metadata)
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Result<Object> {
        let (file, meta) = self.open(key)?;
        let limit = self.options.get_limit;
        if meta.size > limit {
            let reason = format!("it has {} bytes, the limit is {limit}", meta.size);
            return Err(self.error(ErrorKind::TooLarge, "read", key, reason));
        }
        let bytes = self.read(key, &file, meta.size)?;
        Ok(Object { meta, bytes })
    }

    pub(super) fn get_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
        etag: Option<&ETag>,
        mut room: BytesMut,
    ) -> Result<(ObjectMeta, BytesMut)> {
        let (mut file, meta) = self.open(key)?;
        if etag.is_some_and(|etag| meta.etag != *etag) {
            return Err(self.error(ErrorKind::Precondition, "read", key, "it has been replaced"));
        }
        if range.is_empty() || range.start > 0 && range.start >= meta.size {
            let reason = format!("bytes {range:?} were asked for, it has {}", meta.size);
            return Err(self.error(ErrorKind::Other, "read", key, reason));
        }
        let length = range.end.min(meta.size) - range.start;
        room.clear();
        room.resize(length as usize, 0);
        file.seek(SeekFrom::Start(range.start))
            .and_then(|_| file.read_exact(&mut room))
            .map_err(|error| self.failed("read", key, error))?;
        Ok((meta, room))
    }

    pub(super) fn put(
        &self,
        key: &ObjectKey,
        bytes: &[u8],
        condition: &PutCondition,
        progress: Option<&Progress>,
    ) -> Result<ETag> {
        self.cleaned.call_once(|| Temporary::clean(&self.reserved));
        let path = path_of(&self.root, key);
        let failed = |error| self.failed("write", key, error);
        let mut temporary = self.write(bytes, progress).map_err(failed)?;
        for _ in 0..FOLDER_TRIES {
            match self.make_folder(&path) {
                Ok(()) => {}
                // One above it was removed while it was made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            }
            let _held = self.lock(key)?;
            let old = match fs::metadata(&path) {
                Ok(metadata) => Some(self.describe("write", key, &metadata).map_err(|_| {
                    let reason = "there is a folder of this name";
                    self.error(ErrorKind::InvalidKey, "write", key, reason)
                })?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed(error)),
            };
            self.check(key, condition, old.as_ref())?;
            if let Some(old) = old.as_ref().and_then(|old| old.modified) {
                // The ETag holds this time: it must move even when the clock does not.
                temporary.make_newer_than(old).map_err(failed)?;
            }
            let metadata = temporary.metadata().map_err(failed)?;
            match temporary.place(&path, old.is_some()) {
                Ok(()) => {
                    if let Some(folder) = path.parent() {
                        make_durable(folder).map_err(failed)?;
                    }
                    return Ok(etag(&metadata));
                }
                // The folder was removed, or somebody who does not lock, with `cp`, was faster.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists
                    ) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let reason = "its folder is removed again and again";
        Err(self.error(ErrorKind::Unavailable, "write", key, reason))
    }

    pub(super) fn delete(&self, key: &ObjectKey) -> Result<()> {
        let path = path_of(&self.root, key);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(()),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(self.failed("delete", key, error)),
        }
        let _held = self.lock(key)?;
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(self.failed("delete", key, error)),
        }
        let folders = path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.root);
        for folder in folders {
            // A folder that still has entries stays, and so do those above it.
            if fs::remove_dir(folder).is_err() {
                return match make_durable(folder) {
                    Err(error) if !is_absent(&error) => Err(self.failed("delete", key, error)),
                    _ => Ok(()),
                };
            }
        }
        make_durable(&self.root).map_err(|error| self.failed("delete", key, error))
    }

    fn check(&self, key: &ObjectKey, when: &PutCondition, old: Option<&ObjectMeta>) -> Result<()> {
        match (when, old) {
            (PutCondition::IfAbsent, Some(_)) => Err(self.error(
                ErrorKind::AlreadyExists,
                "write",
                key,
                "it is already there",
            )),
            (PutCondition::IfMatch(_), None) => Err(self.error(
                ErrorKind::Precondition,
                "write",
                key,
                "it is no longer there",
            )),
            (PutCondition::IfMatch(wanted), Some(old)) if old.etag != *wanted => Err(self.error(
                ErrorKind::Precondition,
                "write",
                key,
                "it has been replaced",
            )),
            _ => Ok(()),
        }
    }

    fn open(&self, key: &ObjectKey) -> Result<(File, ObjectMeta)> {
        let path = path_of(&self.root, key);
        let file = File::open(path).map_err(|error| self.failed("read", key, error))?;
        let metadata = file
            .metadata()
            .map_err(|error| self.failed("read", key, error))?;
        let meta = self.describe("read", key, &metadata)?;
        Ok((file, meta))
    }

    fn read(&self, key: &ObjectKey, file: &File, length: u64) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length as usize);
        let read = file.take(length).read_to_end(&mut bytes);
        read.map_err(|error| self.failed("read", key, error))?;
        if bytes.len() as u64 != length {
            let reason = format!("it ended after {} of {length} bytes", bytes.len());
            return Err(self.error(ErrorKind::Corrupt, "read", key, reason));
        }
        Ok(bytes.into())
    }

    fn write(&self, bytes: &[u8], progress: Option<&Progress>) -> io::Result<Temporary> {
        let mut temporary = Temporary::new(&self.reserved)?;
        for chunk in bytes.chunks(CHUNK) {
            temporary.file().write_all(chunk)?;
            if let Some(progress) = progress {
                progress(chunk.len() as u64);
            }
        }
        // The clock, since the kernel's own stamp may be the same for two writes in a row.
        temporary.file().set_modified(SystemTime::now())?;
        temporary.file().sync_all()?;
        Ok(temporary)
    }

    /// Makes the folders above a file, so that they survive a power cut.
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        let missing: Vec<_> = folder
            .ancestors()
            .take_while(|folder| !folder.is_dir())
            .collect();
        fs::create_dir_all(folder)?;
        for made in missing {
            match made.parent().map_or(Ok(()), make_durable) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn lock(&self, key: &ObjectKey) -> Result<File> {
        match lock(&self.reserved, key, self.options.timeout) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => {
                let reason = "another writer has held its lock all the time";
                Err(self.error(ErrorKind::Unavailable, "lock", key, reason))
            }
            Err(error) => Err(self.failed("lock", key, error)),
        }
    }

    pub(super) fn describe(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        metadata: &Metadata,
    ) -> Result<ObjectMeta> {
        if !metadata.is_file() {
            return Err(self.error(ErrorKind::NotFound, operation, key, "it is not there"));
        }
        Ok(ObjectMeta {
            key: key.clone(),
            size: metadata.len(),
            etag: etag(metadata),
            modified: metadata.modified().ok(),
        })
    }

    fn error(
        &self,
        kind: ErrorKind,
        operation: &'static str,
        key: &ObjectKey,
        reason: impl Into<String>,
    ) -> Error {
        Error::new(
            kind,
            operation,
            path_of(&self.root, key).display().to_string(),
            reason,
        )
    }

    fn failed(&self, operation: &'static str, key: &ObjectKey, error: io::Error) -> Error {
        fault(operation, &path_of(&self.root, key), error)
    }
}

/// What a failure of the file system means.
pub(super) fn fault(operation: &'static str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let writes = operation == "write";
    let (kind, cure) = match error.kind() {
        Io::NotFound | Io::NotADirectory | Io::IsADirectory if !writes => {
            (ErrorKind::NotFound, None)
        }
        Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename | Io::AlreadyExists => {
            let cure =
                "a name cannot be a folder and an object, and each part has 255 bytes at most";
            (ErrorKind::InvalidKey, Some(cure))
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            ErrorKind::PermissionDenied,
            Some("give this user the right to the directory, or choose another one"),
        ),
        Io::StorageFull | Io::QuotaExceeded => (
            ErrorKind::StorageFull,
            Some("free some space; nothing was changed"),
        ),
        Io::FileTooLarge => (ErrorKind::TooLarge, None),
        _ => (ErrorKind::Other, None),
    };
    let reason = if kind == ErrorKind::NotFound {
        "it is not there".into()
    } else {
        error.to_string()
    };
    let fault = Error::new(kind, operation, path.display().to_string(), reason).with_source(error);
    match cure {
        Some(cure) => fault.with_cure(cure),
        None => fault,
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Size, time and file number: writers see to it that the time of a name only ever grows.
fn etag(metadata: &Metadata) -> ETag {
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let number = 0;
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let nanos = modified
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_nanos();
    ETag::new(format!("{:x}-{nanos:x}-{number:x}", metadata.len()))
}

/// A time that is later than `old`, and now if it can be.
pub(super) fn later_than(old: SystemTime) -> SystemTime {
    // Coarser than the nanosecond, since some file systems keep tenths of microseconds.
    SystemTime::now().max(old + Duration::from_micros(1))
}
