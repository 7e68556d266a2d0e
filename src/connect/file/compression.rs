//! Compression of whole files: gzip and zstd, by option or by the file's name.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// By the ending of its name.
    ByName,
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Decides by the name where the option leaves it open.
    fn of(self, path: &Path) -> Self {
        if self != Self::ByName {
            return self;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns whether a file of this name is compressed.
    pub(super) fn compresses(self, path: &Path) -> bool {
        self.of(path) != Self::None
    }

    /// Opens a file for reading what is in it, and says how many bytes that will be, where the file's length is that.
    pub(super) fn open(self, path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
        self.open_counted(path, &Arc::default())
    }

    /// Opens a file as [`open`](Self::open) does; what is read of it, compressed as it is, is added to `count`.
    pub(super) fn open_counted(
        self,
        path: &Path,
        count: &Arc<AtomicU64>,
    ) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
        }
        let file = Counted { file, count: Arc::clone(count) };
        Ok(match self.of(path) {
            Self::Gzip => {
                let file = BufReader::with_capacity(256 << 10, file);
                (Box::new(flate2::read::MultiGzDecoder::new(file)), None)
            }
            Self::Zstd => (Box::new(zstd::stream::read::Decoder::new(file)?), None),
            // A pipe or device has no length of its own.
            Self::ByName | Self::None => {
                (Box::new(file), metadata.is_file().then_some(metadata.len()).filter(|length| *length > 0))
            }
        })
    }

    /// Wraps a file for writing.
    pub(super) fn create(self, path: &Path, file: File) -> io::Result<CompressedFile> {
        Ok(match self.of(path) {
            Self::Gzip => {
                CompressedFile::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default()))
            }
            Self::Zstd => CompressedFile::Zstd(zstd::stream::write::Encoder::new(file, 0)?),
            Self::ByName | Self::None => CompressedFile::Plain(file),
        })
    }
}

/// A file that is read, and how many bytes of it were.
struct Counted {
    file: File,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A file that is being written.
pub(super) enum CompressedFile {
    Plain(File),
    Gzip(flate2::write::GzEncoder<File>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
}

impl CompressedFile {
    /// Writes what ends the file.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut file) => file.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Write for CompressedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
