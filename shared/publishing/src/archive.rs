//! The files of an upload: an ONNX file alone, or those of an archive, in memory.

use std::io::{Cursor, Read as _};

use bytes::Bytes;
use zip::ZipArchive;

use crate::upload::Files;
use crate::{Error, ErrorKind, Result};

/// Files that an archive may have.
const FILES: usize = 10_000;

/// The files, by their names; those of an archive below its one folder, if that is all it has.
/// Together they may have `room` bytes.
pub(crate) fn files(file: &str, bytes: Bytes, room: u64) -> Result<Files> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if !name.to_ascii_lowercase().ends_with(".zip") {
        return Ok(Files::from([(name.to_owned(), bytes)]));
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(name, &error))?;
    if archive.len() > FILES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{name} has {} files, at most {FILES} are allowed",
                archive.len()
            ),
        ));
    }
    let mut files = Files::new();
    let mut left = room;
    for place in 0..archive.len() {
        let entry = archive
            .by_index(place)
            .map_err(|error| broken(name, &error))?;
        let path = entry.name().map_err(|error| broken(name, &error))?;
        let path = path.replace('\\', "/");
        // What macOS adds, and folders by themselves.
        if !entry.is_file() || path.starts_with("__MACOSX/") || path.ends_with("/.DS_Store") {
            continue;
        }
        // The stated size may lie: the bytes are counted.
        let mut content = Vec::new();
        let read = entry.take(left + 1).read_to_end(&mut content);
        read.map_err(|error| broken(name, &error))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(|| {
            Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{name} unpacks to more than the {} MiB that can be held here: publish it with \
                     `dunlin push` on a larger machine, or from the training job",
                    room >> 20
                ),
            )
        })?;
        files.insert(path, content.into());
    }
    Ok(below_the_one_folder(files))
}

fn below_the_one_folder(files: Files) -> Files {
    let folder = files.keys().next().and_then(|first| first.split_once('/'));
    let Some(folder) = folder.map(|(folder, _)| format!("{folder}/")) else {
        return files;
    };
    if !files.keys().all(|path| path.starts_with(&folder)) {
        return files;
    }
    let below = files.into_iter();
    below
        .map(|(path, bytes)| (path[folder.len()..].to_owned(), bytes))
        .collect()
}

fn broken(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Read,
        format!("{name} can't be unpacked: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zipped(files: &[(&str, &[u8])]) -> Bytes {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner().into()
    }

    fn names(files: &Files) -> Vec<&str> {
        files.keys().map(String::as_str).collect()
    }

    #[test]
    fn files_of_a_folder_or_of_the_top() {
        let bytes = zipped(&[
            ("m/model.toml", b""),
            ("m/a/1.png", b"1"),
            ("__MACOSX/x", b""),
        ]);
        let files = super::files("uploads/d/m.zip", bytes, 100).unwrap();
        assert_eq!(names(&files), ["a/1.png", "model.toml"]);
        let bytes = zipped(&[("model.toml", b""), ("a/1.png", b"1")]);
        assert_eq!(
            names(&super::files("m.zip", bytes, 100).unwrap()),
            ["a/1.png", "model.toml"]
        );
        let alone = super::files("uploads/d/net.onnx", "graph".into(), 100).unwrap();
        assert_eq!(names(&alone), ["net.onnx"]);
    }

    #[test]
    fn what_can_not_be_held_is_refused_before_it_is() {
        let zeros = vec![0; 1 << 20];
        let bytes = zipped(&[("model.onnx", &zeros)]);
        assert!(bytes.len() < 10_000);
        let error = super::files("m.zip", bytes, 10_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        let error = super::files("m.zip", "no archive".into(), 10_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Read, "{error}");
    }
}
