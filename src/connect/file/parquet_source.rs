//! [`ParquetFiles`]: Parquet files, each a partition, read by row groups on the workers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};

use super::listing::{total_bytes, unreadable};
use crate::connect::{Chunk, PartitionId, Payload, Polled, Position, ReadRows, Source};
use crate::error::{Error, Result};

/// Row groups with more rows than this are read in pieces, so that memory stays flat.
const PIECE_ROWS: usize = 131_072;

/// Reads Parquet files. A position is a row number.
pub(super) struct ParquetFiles {
    files: Vec<PathBuf>,
    partitions: Vec<PartitionId>,
    /// The columns to read, as the declaration names and types them.
    used: SchemaRef,
    piece_rows: usize,
    partition: usize,
    open: Option<OpenFile>,
    seeks: Vec<Position>,
    /// How many bytes of row groups were handed out, and how many the files take, where that can be said.
    read: u64,
    total: Option<u64>,
}

struct OpenFile {
    path: Arc<Path>,
    metadata: ArrowReaderMetadata,
    group: usize,
    /// The first row of the group that was not handed out.
    row: usize,
    /// The number of rows in the groups before.
    rows_before: usize,
}

impl ParquetFiles {
    pub(super) fn new(files: Vec<PathBuf>, used: SchemaRef, max_rows: usize) -> Self {
        Self {
            partitions: files.iter().map(|path| PartitionId(Arc::from(path.display().to_string()))).collect(),
            seeks: vec![Position(0); files.len()],
            read: 0,
            total: total_bytes(files.iter()),
            files,
            used,
            // Small row limits are meant; large ones are about memory, for which a piece is the measure.
            piece_rows: if max_rows < 8_192 { max_rows.max(1) } else { PIECE_ROWS },
            partition: 0,
            open: None,
        }
    }

    fn next_piece(&mut self) -> Result<Option<Chunk>> {
        let seek = usize::try_from(self.seeks[self.partition].0).unwrap_or(0);
        if self.open.is_none() {
            let path: Arc<Path> = Arc::from(self.files[self.partition].as_path());
            self.open = Some(OpenFile { metadata: metadata(&path)?, path, group: 0, row: 0, rows_before: 0 });
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        while open.group < open.metadata.metadata().num_row_groups() {
            let group = open.metadata.metadata().row_group(open.group);
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            open.row = open.row.max(seek.saturating_sub(open.rows_before)).min(rows);
            if open.row == rows {
                (open.group, open.row, open.rows_before) = (open.group + 1, 0, open.rows_before + rows);
                continue;
            }
            let count = (rows - open.row).min(self.piece_rows);
            let bytes = u64::try_from(group.compressed_size()).unwrap_or(0);
            let piece = Piece {
                path: Arc::clone(&open.path),
                metadata: open.metadata.clone(),
                used: Arc::clone(&self.used),
                group: open.group,
                skip: open.row,
                rows: count,
                bytes: bytes * count as u64 / rows.max(1) as u64,
            };
            self.read += piece.bytes;
            let start = open.rows_before + open.row;
            open.row += count;
            let position = |row: usize| Position(i64::try_from(row).unwrap_or(i64::MAX));
            return Ok(Some(Chunk {
                partition: self.partition,
                start: position(start),
                end: position(start + count),
                payload: Payload::Deferred(Box::new(piece)),
                origin: None,
                watermark: None,
            }));
        }
        Ok(None)
    }
}

impl Source for ParquetFiles {
    fn reads_in_turn(&self) -> bool {
        true
    }

    fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.total.map(|total| (self.read.min(total), total))
    }

    fn seek(&mut self, partition: usize, position: Position) -> Result<()> {
        self.seeks[partition] = position;
        Ok(())
    }

    fn poll(&mut self, _wait: Duration) -> Result<Polled> {
        if self.partition == self.files.len() {
            return Ok(Polled::End);
        }
        if let Some(chunk) = self.next_piece()? {
            return Ok(Polled::Chunk(chunk));
        }
        self.open = None;
        self.partition += 1;
        // Footers and headers are bytes too.
        self.read = total_bytes(self.files[..self.partition].iter()).unwrap_or(self.read);
        Ok(Polled::PartitionEnd(self.partition - 1))
    }
}

/// Reads the footer of a file.
pub(super) fn metadata(path: &Path) -> Result<ArrowReaderMetadata> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| broken(path, error))
}

fn broken(path: &Path, error: parquet::errors::ParquetError) -> Error {
    Error::data(format!("file `{}` is not a whole Parquet file", path.display())).with_cause(error)
}

/// Some rows of a row group.
struct Piece {
    path: Arc<Path>,
    metadata: ArrowReaderMetadata,
    used: SchemaRef,
    group: usize,
    skip: usize,
    rows: usize,
    bytes: u64,
}

impl Piece {
    /// Returns the ordinals of the used columns in the file.
    fn columns(&self) -> Result<Vec<usize>> {
        let file = self.metadata.schema();
        let find = |name: &String| {
            let lower = name.to_lowercase();
            let exact = file.fields().iter().position(|field| field.name() == name);
            exact.or_else(|| file.fields().iter().position(|field| field.name().to_lowercase() == lower))
        };
        let columns = self.used.fields().iter().map(|field| {
            find(field.name()).ok_or_else(|| {
                let names: Vec<&str> = file.fields().iter().map(|field| field.name().as_str()).collect();
                Error::invalid(format!("file `{}` has no column `{}`", self.path.display(), field.name()))
                    .with_hint(format!("the file has: {}", names.join(", ")))
            })
        });
        columns.collect()
    }
}

impl ReadRows for Piece {
    fn read(self: Box<Self>) -> Result<RecordBatch> {
        let columns = self.columns()?;
        let file = File::open(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let selection =
            RowSelection::from(vec![RowSelector::skip(self.skip), RowSelector::select(self.rows)]);
        let reader = builder
            .with_row_groups(vec![self.group])
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(self.rows)
            .build()
            .map_err(|error| broken(&self.path, error))?;
        let damaged = |error| {
            let place =
                format!("rows {} to {} of row group {}", self.skip + 1, self.skip + self.rows, self.group);
            Error::data(format!("file `{}` is damaged: cannot read {place}", self.path.display()))
                .with_cause(error)
        };
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(damaged)?;
        let there: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let Some(first) = batches.first().filter(|_| there == self.rows) else {
            return Err(Error::data(format!("file `{}` has fewer rows than it says", self.path.display())));
        };
        let read = concat_batches(&first.schema(), &batches)?;
        // Parquet gives its columns in file order; the declaration may name them in another, with other types.
        let mut in_file_order = columns.clone();
        in_file_order.sort_unstable();
        let mut arrays = vec![];
        for (column, field) in columns.iter().zip(self.used.fields()) {
            let array = read.column(in_file_order.binary_search(column).unwrap_or_default());
            arrays.push(if array.data_type() == field.data_type() {
                Arc::clone(array)
            } else {
                arrow::compute::cast_with_options(
                    array,
                    field.data_type(),
                    &arrow::compute::CastOptions { safe: false, ..Default::default() },
                )?
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.used, arrays, &options)?)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
