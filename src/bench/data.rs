//! [`Input`]: the rows that both engines read, made once and outside the measured time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::dataset::{Dataset, SEED, Site};
use crate::error::{Error, Result};
use crate::format::{CsvEncoder, CsvOptions, Encoder, JsonEncoder};

/// How many rows a Parquet row group has: few enough that readers can share a file among threads.
const GROUP_ROWS: usize = 131_072;

/// What the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// A file of JSON lines.
    Json,
    /// A CSV file with a header.
    Csv,
    /// A Parquet file, compressed with zstd.
    Parquet,
    /// Batches in memory.
    Memory,
}

impl InputFormat {
    /// Returns the name, which is also how files end.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Memory => "memory",
        }
    }
}

/// A dataset, ready to be read.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// Which one.
    pub(super) dataset: Dataset,
    /// How many rows it has.
    pub(super) rows: u64,
    /// Where they are.
    pub(super) place: Place,
}

/// Where the rows of an input are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In a file.
    File(InputFormat, PathBuf),
    /// In memory.
    Memory(Vec<RecordBatch>),
}

impl Input {
    /// Makes a dataset of `site` as `format` says; a file in `directory` that holds it already is used again.
    pub(super) fn prepare(
        site: &Site,
        dataset: Dataset,
        format: InputFormat,
        directory: &Path,
    ) -> Result<Self> {
        let rows = site.rows(dataset);
        if format == InputFormat::Memory {
            let batches = site.batches(dataset).collect::<Result<_>>()?;
            return Ok(Self { dataset, rows, place: Place::Memory(batches) });
        }
        let (name, version, ending) = (dataset.name(), site.version(dataset)?, format.name());
        let path = directory.join(format!("nexmark-{name}-{rows}-seed{SEED}-{version}.{ending}"));
        if !path.exists() {
            // Under another name until it is whole: a run that was cut short leaves nothing that looks finished.
            let unfinished = path.with_extension(format!("{ending}.{}", std::process::id()));
            std::fs::create_dir_all(directory).map_err(|error| unwritable(directory, error))?;
            write(site, dataset, format, &unfinished)?;
            std::fs::rename(&unfinished, &path).map_err(|error| unwritable(&path, error))?;
        }
        Ok(Self { dataset, rows, place: Place::File(format, path) })
    }

    /// Says what is read, for people.
    pub(super) fn describe(&self) -> String {
        let place = match &self.place {
            Place::File(_, path) => {
                let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
                format!("`{}` ({} MB)", path.display(), bytes / 1_000_000)
            }
            Place::Memory(batches) => {
                let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                format!("memory ({} MB in {} batches)", bytes / 1_000_000, batches.len())
            }
        };
        format!("{}: {} rows from {place}", self.dataset.name(), self.rows)
    }
}

fn write(site: &Site, dataset: Dataset, format: InputFormat, path: &Path) -> Result<()> {
    let file = File::create(path).map_err(|error| unwritable(path, error))?;
    let (schema, rows) = (dataset.schema(), site.batches(dataset));
    match format {
        InputFormat::Json => write_lines(JsonEncoder::new(schema), rows, file, path),
        InputFormat::Csv => {
            write_lines(CsvEncoder::new(schema, CsvOptions::default(), true), rows, file, path)
        }
        InputFormat::Parquet => {
            let failed = |error: parquet::errors::ParquetError| {
                Error::unavailable(format!("cannot write `{}`", path.display())).with_cause(error)
            };
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_max_row_group_row_count(Some(GROUP_ROWS))
                .build();
            let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(failed)?;
            for rows in rows {
                writer.write(&rows?).map_err(failed)?;
            }
            writer.close().map(drop).map_err(failed)
        }
        InputFormat::Memory => Err(Error::internal("rows in memory have no file")),
    }
}

fn write_lines(
    mut encoder: impl Encoder,
    rows: impl Iterator<Item = Result<RecordBatch>>,
    file: File,
    path: &Path,
) -> Result<()> {
    let failed = |error| unwritable(path, error);
    let mut file = BufWriter::new(file);
    let mut bytes = encoder.header()?;
    for rows in rows {
        encoder.encode(&rows?, &mut bytes)?;
        file.write_all(&bytes).map_err(failed)?;
        bytes.clear();
    }
    file.flush().map_err(failed)
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("cannot write benchmark data to `{}`", path.display()))
        .with_hint("name a directory that can be written: --data DIRECTORY")
        .with_cause(error)
}
