//! [`LineSink`]: rows as lines of a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::compression::{CompressedFile, Compression};
use crate::connect::{ChangeEncoding, Sink, TextFormat, WriteRequest, Written};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;
use crate::format::Encoder;

/// From how many bytes on the buffer goes to the file before the epoch ends.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes rows as lines, visible at the end of each epoch.
pub(super) struct LineSink {
    path: PathBuf,
    file: Option<CompressedFile>,
    encoder: Box<dyn Encoder>,
    encoding: ChangeEncoding,
    buffer: Vec<u8>,
    written: Written,
}

impl LineSink {
    pub(super) fn create(
        path: &Path,
        compression: Compression,
        append: bool,
        format: &TextFormat,
        encoding: ChangeEncoding,
        request: &WriteRequest,
    ) -> Result<Self> {
        let failed = |error| unwritable(path, error);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let file =
            if append { File::options().create(true).append(true).open(path) } else { File::create(path) };
        let file = file.map_err(failed)?;
        let begins = file.metadata().map_err(failed)?.len() == 0;
        let encoder = format.encoder(encoding.schema(&request.schema));
        let buffer = if begins { encoder.header()? } else { vec![] };
        Ok(Self {
            path: path.to_owned(),
            file: Some(compression.create(path, file).map_err(failed)?),
            encoder,
            encoding,
            buffer,
            written: Written::default(),
        })
    }

    fn drain(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer).map_err(|error| unwritable(&self.path, error))?;
            self.written.bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl Sink for LineSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = self.encoding.encode(changes)?;
        self.encoder.encode(&rows, &mut self.buffer)?;
        self.written.rows += rows.num_rows() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.drain() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.drain()?;
        match &mut self.file {
            Some(file) => file.flush().map_err(|error| unwritable(&self.path, error)),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.drain()?;
        match self.file.take() {
            Some(file) => file.finish().map_err(|error| unwritable(&self.path, error)),
            None => Ok(()),
        }
    }

    fn written(&self) -> Written {
        self.written
    }
}

/// Returns the error for a file that cannot be written.
pub(super) fn unwritable(path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot write file `{}`", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => Error::exhausted(message)
            .with_hint("free space on the disk, or let the sink's `path` point elsewhere"),
        std::io::ErrorKind::NotFound
        | std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::IsADirectory
        | std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::ReadOnlyFilesystem
        | std::io::ErrorKind::InvalidFilename => Error::invalid(message),
        _ => Error::unavailable(message),
    }
    .with_cause(error)
}
