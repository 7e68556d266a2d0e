//! Which files a path means: one file, a glob, or a directory.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::connect::PartitionId;
use crate::error::{Error, Result};

/// In which order the files of a glob make one partition (`file.sequence`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    /// By name.
    Name,
    /// By the time of their last change, then by name.
    Modified,
}

/// Returns the error for a path that means no file.
pub(super) fn no_file(path: &str) -> Error {
    Error::absent(format!("no file matches `{path}`"))
        .with_hint("check the path; it is relative to the directory in which `velo` was started")
}

/// Returns the files that `path` means, by name.
pub(super) fn files(path: &str, recursive: bool) -> Result<Vec<PathBuf>> {
    if !path.contains(['*', '?', '[']) {
        let plain = Path::new(path);
        if plain.is_dir() {
            let pattern = if recursive { "**/*" } else { "*" };
            let pattern = format!("{}/{pattern}", path.trim_end_matches('/'));
            let found = files(&pattern, false)?;
            return if found.is_empty() { Err(no_file(&pattern)) } else { Ok(found) };
        }
        return if plain.exists() { Ok(vec![plain.to_owned()]) } else { Err(no_file(path)) };
    }
    let pattern = match path.rsplit_once('/') {
        Some((directory, name)) if recursive => format!("{directory}/**/{name}"),
        None if recursive => format!("**/{path}"),
        _ => path.to_owned(),
    };
    let paths = glob::glob(&pattern)
        .map_err(|error| Error::invalid(format!("`{path}` is not a glob")).with_cause(error))?;
    let mut found = vec![];
    for path in paths {
        let path = path.map_err(|error| Error::unavailable("cannot list files").with_cause(error))?;
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Puts files into the order in which they make one partition.
pub(super) fn in_sequence(mut files: Vec<PathBuf>, sequence: Sequence) -> Result<Vec<PathBuf>> {
    if sequence == Sequence::Modified {
        let mut stamped = vec![];
        for path in files {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            let modified = modified.map_err(|error| {
                Error::unavailable(format!("cannot read when `{}` was changed", path.display()))
                    .with_cause(error)
            })?;
            stamped.push((modified, path));
        }
        stamped.sort();
        files = stamped.into_iter().map(|(_, path)| path).collect();
    }
    Ok(files)
}

/// Returns how many bytes files take, unless one of them is none with a length of its own.
pub(super) fn total_bytes<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Option<u64> {
    let length = |path: &PathBuf| path.metadata().ok().filter(Metadata::is_file).map(|found| found.len());
    files.map(length).sum()
}

/// Returns the name of the partition that `files` make.
pub(super) fn partition_id(files: &[PathBuf]) -> PartitionId {
    let first = files.first().map(|path| path.display().to_string()).unwrap_or_default();
    PartitionId(if files.len() > 1 { format!("{first}…").into() } else { first.into() })
}

/// Returns the error for a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Error::absent(format!("cannot read file `{}`", path.display())),
        std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::IsADirectory
        | std::io::ErrorKind::NotADirectory => {
            Error::invalid(format!("cannot read file `{}`", path.display()))
        }
        std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::UnexpectedEof => {
            Error::data(format!("file `{}` is damaged or not compressed as its name says", path.display()))
        }
        _ => Error::unavailable(format!("cannot read file `{}`", path.display())),
    };
    kind.with_cause(error)
}
