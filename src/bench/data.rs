//! [`Input`]: the bids that both engines read, made once and outside the measured time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::digest::Digest;
use crate::connect::nexmark::{NexmarkGenerator, NexmarkKind};
use crate::error::{Error, Result};
use crate::format::{CsvEncoder, CsvOptions, Encoder, JsonEncoder};

/// The seed of all benchmark data.
const SEED: u64 = 1;
/// Events of all kinds in a second of event time.
const EVENTS_PER_SECOND: u64 = 10_000;
/// The event time of the first event: 2026-01-01 in epoch milliseconds.
const BASE_TIME_MILLIS: i64 = 1_767_225_600_000;
/// How many rows are made at a time, and a batch in memory has.
const BATCH_ROWS: u64 = 65_536;
/// How many rows a Parquet row group has: few enough that readers can share a file among threads.
const GROUP_ROWS: usize = 131_072;
/// How many bids stand for the rules by which all are made.
const SAMPLE_ROWS: u64 = 1_000;

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

/// Bids, ready to be read.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// A file.
    File(InputFormat, PathBuf),
    /// Batches in memory.
    Memory(Vec<RecordBatch>),
}

impl Input {
    /// Makes `bids` bids as `format` says; a file in `directory` that holds them already is used again.
    pub(super) fn prepare(format: InputFormat, bids: u64, directory: &Path) -> Result<Self> {
        let bids = Bids::try_new(bids)?;
        if format == InputFormat::Memory {
            return Ok(Self::Memory(bids.batches().collect::<Result<_>>()?));
        }
        let name = format!("nexmark-bid-{}-seed{SEED}-{}.{}", bids.count, bids.version()?, format.name());
        let path = directory.join(name);
        if !path.exists() {
            // Under another name until it is whole: a run that was cut short leaves nothing that looks finished.
            let unfinished = path.with_extension(format!("{}.{}", format.name(), std::process::id()));
            std::fs::create_dir_all(directory).map_err(|error| unwritable(directory, error))?;
            bids.write(format, &unfinished)?;
            std::fs::rename(&unfinished, &path).map_err(|error| unwritable(&path, error))?;
        }
        Ok(Self::File(format, path))
    }

    /// Says what is read, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::File(_, path) => {
                let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
                format!("`{}` ({} MB)", path.display(), bytes / 1_000_000)
            }
            Self::Memory(batches) => {
                let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                format!("memory ({} MB in {} batches)", bytes / 1_000_000, batches.len())
            }
        }
    }
}

/// Returns the columns of a bid as both engines declare them.
pub(super) fn bid_schema() -> SchemaRef {
    let own = NexmarkKind::Bid.schema();
    let nullable = own.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(nullable.collect::<Vec<_>>()))
}

/// The first bids of the seed.
pub(super) struct Bids {
    generator: NexmarkGenerator,
    count: u64,
}

impl Bids {
    /// Creates the first `count` bids.
    pub(super) fn try_new(count: u64) -> Result<Self> {
        if count == 0 {
            return Err(
                Error::invalid("no bids, nothing to measure").with_hint("give `--events` a number above 0")
            );
        }
        Ok(Self { generator: NexmarkGenerator::try_new(SEED, EVENTS_PER_SECOND, BASE_TIME_MILLIS)?, count })
    }

    /// Makes the bids `from..to`.
    fn batch(&self, from: u64, to: u64) -> Result<RecordBatch> {
        let kind = NexmarkKind::Bid;
        let (first, end) = (kind.event(from), kind.event(to));
        let rows = self.generator.batch(kind, first, end - first, None)?;
        Ok(rows.with_schema(bid_schema())?)
    }

    /// Makes all bids, batch by batch.
    pub(super) fn batches(&self) -> impl Iterator<Item = Result<RecordBatch>> {
        let starts = (0..self.count).step_by(usize::try_from(BATCH_ROWS).unwrap_or(usize::MAX));
        starts.map(|from| self.batch(from, (from + BATCH_ROWS).min(self.count)))
    }

    /// Returns a text that changes when the generator makes other rows, so that no stale file is ever used.
    fn version(&self) -> Result<String> {
        let mut digest = Digest::default();
        digest.add(&self.batch(0, SAMPLE_ROWS)?, None, &bid_schema())?;
        Ok(format!("{:08x}", digest.hash >> 32))
    }

    fn write(&self, format: InputFormat, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(|error| unwritable(path, error))?;
        match format {
            InputFormat::Json => self.write_lines(JsonEncoder::new(bid_schema()), file, path),
            InputFormat::Csv => {
                self.write_lines(CsvEncoder::new(bid_schema(), CsvOptions::default(), true), file, path)
            }
            InputFormat::Parquet => self.write_parquet(file, path),
            InputFormat::Memory => Err(Error::internal("rows in memory have no file")),
        }
    }

    fn write_lines(&self, mut encoder: impl Encoder, file: File, path: &Path) -> Result<()> {
        let failed = |error| unwritable(path, error);
        let mut file = BufWriter::new(file);
        let mut bytes = encoder.header()?;
        for rows in self.batches() {
            encoder.encode(&rows?, &mut bytes)?;
            file.write_all(&bytes).map_err(failed)?;
            bytes.clear();
        }
        file.flush().map_err(failed)
    }

    fn write_parquet(&self, file: File, path: &Path) -> Result<()> {
        let failed = |error: parquet::errors::ParquetError| {
            Error::unavailable(format!("cannot write `{}`", path.display())).with_cause(error)
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let mut writer = ArrowWriter::try_new(file, bid_schema(), Some(properties)).map_err(failed)?;
        for rows in self.batches() {
            writer.write(&rows?).map_err(failed)?;
        }
        writer.close().map(drop).map_err(failed)
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("cannot write benchmark data to `{}`", path.display()))
        .with_hint("name a directory that can be written: --data DIRECTORY")
        .with_cause(error)
}
