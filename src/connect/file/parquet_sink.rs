//! [`ParquetSink`]: rows as a Parquet file.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::line_sink::unwritable;
use crate::connect::{ChangeEncoding, Sink, WriteRequest, Written};
use crate::error::{Error, Result};
use crate::flow::ChangeBatch;

/// How many rows a row group has: few enough that readers can share a file among threads.
const GROUP_ROWS: usize = 131_072;

/// Writes one Parquet file. It can be read once the job has ended: the footer comes last.
pub(super) struct ParquetSink {
    path: PathBuf,
    writer: Option<ArrowWriter<File>>,
    encoding: ChangeEncoding,
    written: Written,
}

impl ParquetSink {
    pub(super) fn create(path: &Path, encoding: ChangeEncoding, request: &WriteRequest) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|error| unwritable(path, error))?;
        }
        let file = File::create(path).map_err(|error| unwritable(path, error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, encoding.schema(&request.schema), Some(properties));
        let writer = writer.map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), writer: Some(writer), encoding, written: Written::default() })
    }
}

fn failed(path: &Path, error: parquet::errors::ParquetError) -> Error {
    match error {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => unwritable(path, *error),
            Err(cause) => {
                Error::unavailable(format!("cannot write file `{}`", path.display())).with_cause(cause)
            }
        },
        error => {
            Error::invalid(format!("cannot write file `{}` as Parquet", path.display())).with_cause(error)
        }
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = self.encoding.encode(changes)?;
        if let Some(writer) = &mut self.writer {
            writer.write(&rows).map_err(|error| failed(&self.path, error))?;
        }
        self.written.rows += rows.num_rows() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.close().map_err(|error| failed(&self.path, error))?;
        let metadata = std::fs::metadata(&self.path).map_err(|error| unwritable(&self.path, error))?;
        self.written.bytes = metadata.len();
        Ok(())
    }

    fn written(&self) -> Written {
        self.written
    }
}
