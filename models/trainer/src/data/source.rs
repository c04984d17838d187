//! Where the data lies, and in which of the known forms.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use dunlin_storage::{ObjectKey, ObjectMeta, Store, StoreOptions};
use flate2::read::GzDecoder;
use tokio::runtime::Handle;

use super::file::File;
use super::{pictures, tables};
use crate::{Error, ErrorKind, Result};

/// The largest file of a data set, packed or not.
pub(super) const FILE_LIMIT: u64 = 1 << 30;

/// The most files in a data set.
const FILES_LIMIT: usize = 5_000_000;

/// The forms of data that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder of pictures for each class; above them, if they are there, `train`, `valid`, `test`.
    Folders,
    /// MNIST's: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-…`; plain or `.gz`.
    Idx,
    /// CIFAR-10's binary version: `data_batch_1.bin` and so on, `test_batch.bin`.
    Cifar,
    /// A folder of texts for each class, parted as pictures are.
    Texts,
    /// CSV, JSON lines (plain or `.gz`) or Parquet; one that is named `train`, `valid` or `test` is that part.
    Tables,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folders => "a folder of pictures per class",
            Self::Idx => "MNIST's IDX files",
            Self::Cifar => "CIFAR-10's binary files",
            Self::Texts => "a folder of texts per class",
            Self::Tables => "tables",
        })
    }
}

/// A folder or a bucket with data in it.
#[derive(Debug, Clone)]
pub struct Source {
    pub(super) store: Arc<dyn Store>,
    runtime: Handle,
    url: String,
    files: Vec<ObjectMeta>,
}

impl Source {
    /// Lists the files at a path or an `s3://bucket/prefix`, or takes the one table that is named.
    /// Blocks; not to be called from a task of `runtime`.
    pub fn open(url: &str, mut options: StoreOptions, runtime: Handle) -> Result<Self> {
        options.get_limit = FILE_LIMIT;
        let (folder, only) = match url.rsplit_once('/') {
            _ if !tables::is_table(url) => (url, None),
            Some((folder, file)) => (folder, Some(file)),
            None => match url.strip_prefix("file:") {
                Some(file) => ("file:.", Some(file)),
                None => (".", Some(url)),
            },
        };
        let store = runtime.block_on(dunlin_storage::open(folder, &options))?;
        let mut files = runtime.block_on(store.list(""))?;
        if let Some(only) = only {
            files.retain(|file| file.key.as_str() == only);
        }
        let visible = |file: &ObjectMeta| {
            !file
                .key
                .as_str()
                .split('/')
                .any(|part| part.starts_with('.'))
        };
        let files: Vec<ObjectMeta> = files.into_iter().filter(visible).collect();
        if files.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                match only {
                    None => format!("there are no files in {}", store.url()),
                    Some(only) => format!("there is no file {only} in {}", store.url()),
                },
            ));
        }
        if files.len() > FILES_LIMIT {
            let (url, count) = (store.url(), files.len());
            return Err(Error::data(format!(
                "{url} has {count} files, at most {FILES_LIMIT} are allowed"
            )));
        }
        Ok(Self {
            url: store.url(),
            store,
            runtime,
            files,
        })
    }

    /// The form of its pictures, that the names of the files tell.
    pub fn form(&self) -> Form {
        pictures::form(self.files.iter().map(|file| file.key.as_str()))
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its files, but for hidden ones, sorted by name.
    pub(super) fn files(&self) -> &[ObjectMeta] {
        &self.files
    }

    /// Its tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &ObjectMeta> {
        let is_table = |file: &&ObjectMeta| tables::is_table(file.key.as_str());
        self.files.iter().filter(is_table)
    }

    /// A file, to be read piece by piece.
    pub(super) fn file(&self, meta: &ObjectMeta) -> File {
        File {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            meta: meta.clone(),
        }
    }

    /// A file whole.
    pub(super) fn read(&self, key: &ObjectKey) -> Result<Bytes> {
        Ok(self.runtime.block_on(self.store.get(key))?.bytes)
    }

    /// A file whole, unpacked if its name ends with `.gz`.
    pub(super) fn read_unpacked(&self, key: &ObjectKey) -> Result<Bytes> {
        let bytes = self.read(key)?;
        let packed = key.as_str().rsplit('.').next();
        if packed.is_none_or(|ending| ending != "gz") {
            return Ok(bytes);
        }
        let mut unpacked = Vec::new();
        GzDecoder::new(&bytes[..])
            .take(FILE_LIMIT + 1)
            .read_to_end(&mut unpacked)
            .map_err(|error| Error::data(format!("{key} is damaged")).because(error))?;
        if unpacked.len() as u64 > FILE_LIMIT {
            return Err(Error::data(format!(
                "{key} unpacks to more than the {FILE_LIMIT} bytes that are allowed"
            )));
        }
        Ok(unpacked.into())
    }

    /// The names of the classes, if a file with one a line tells them: the first is class 0.
    pub(super) fn class_names(&self, file: &str) -> Result<Vec<String>> {
        let Some(file) = self.files.iter().find(|known| known.key.as_str() == file) else {
            return Ok(Vec::new());
        };
        dunlin_transforms::parse_labels(&self.read(&file.key)?)
            .map_err(|error| Error::data(format!("{}: {error}", file.key)).because(error))
    }
}

/// The ending of a file's name, but for that of packing.
pub(super) fn ending(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map(|(_, ending)| ending)
}

/// The label of a class by its number: its name, or the number itself.
pub(super) fn label(names: &[String], class: u8) -> Result<String> {
    if names.is_empty() {
        return Ok(class.to_string());
    }
    names.get(usize::from(class)).cloned().ok_or_else(|| {
        let count = names.len();
        Error::data(format!(
            "there is a label {class}, and names for {count} classes: 0 to {}",
            count - 1
        ))
    })
}

/// The label of a row as the names of the classes have it: that name, or the name of that number.
pub(super) fn known_label(names: &[String], label: String, place: &str) -> Result<String> {
    if names.is_empty() || names.contains(&label) {
        return Ok(label);
    }
    let number = label.parse::<usize>().ok();
    number.and_then(|number| names.get(number)).cloned().ok_or_else(|| {
        let last = names.len() - 1;
        Error::data(format!(
            "{place}: label \"{label}\" is out of range: labels.txt has no such name, and numbers are 0 to {last}"
        ))
    })
}
