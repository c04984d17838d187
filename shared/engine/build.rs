//! Tells builds apart by what they write into plans and read from them.

use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

/// Where the records are, and how they are read.
const RECORDS: &str = "src/plan_file";

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed={RECORDS}");
    let mut files = Vec::new();
    files_in(Path::new(RECORDS), &mut files)?;
    files.sort();
    let mut hasher = std::hash::DefaultHasher::new();
    for file in files {
        hasher.write(&std::fs::read(file)?);
    }
    let revision = hasher.finish() >> 32;
    println!("cargo:rustc-env=DUNLIN_PLAN_REVISION={revision:08x}");
    Ok(())
}

fn files_in(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_in(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
