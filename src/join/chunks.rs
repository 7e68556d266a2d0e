//! [`Chunks`]: rows in the order in which they came, as columns.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::{DataType, SchemaRef};

use crate::error::Result;

/// The number of a row, counted from the first that ever came.
pub(super) type RowId = u64;

/// Up to how many rows chunks are put together.
const MOST_MERGED: usize = if cfg!(test) { 40 } else { 65_536 };

/// Rows that stand together, with the span of their times.
pub(super) struct Chunk {
    pub(super) first: RowId,
    pub(super) rows: RecordBatch,
    pub(super) earliest: i64,
    pub(super) latest: i64,
    /// At least half of the rows are at or before this time.
    pub(super) middle: i64,
    bytes: usize,
}

/// Rows in the order in which they came.
///
/// Chunks are immutable and appended; small ones are merged into larger ones, so that an epoch costs what it brings and
/// no more than a logarithm of what is kept. They are dropped from the front.
pub(super) struct Chunks {
    schema: SchemaRef,
    chunks: VecDeque<Chunk>,
    end: RowId,
}

impl Chunks {
    /// Creates an empty store.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, chunks: VecDeque::new(), end: 0 }
    }

    /// Returns the number of the first row.
    pub(super) fn first(&self) -> RowId {
        self.chunks.front().map_or(self.end, |chunk| chunk.first)
    }

    /// Returns the number that the next row gets.
    pub(super) fn end(&self) -> RowId {
        self.end
    }

    /// Returns the chunks in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    /// Adds rows whose times span from `earliest` to `latest`.
    pub(super) fn push(&mut self, rows: &RecordBatch, earliest: i64, latest: i64) -> Result<()> {
        let rows = compact(rows)?;
        let first = self.end;
        self.end += rows.num_rows() as u64;
        let bytes = rows.get_array_memory_size();
        self.chunks.push_back(Chunk { first, rows, earliest, latest, middle: latest, bytes });
        while let Some(before) = self.chunks.len().checked_sub(2) {
            let (larger, smaller) =
                (self.chunks[before].rows.num_rows(), self.chunks[before + 1].rows.num_rows());
            if larger > 2 * smaller || larger + smaller > MOST_MERGED {
                break;
            }
            self.merge_last()?;
        }
        Ok(())
    }

    fn merge_last(&mut self) -> Result<()> {
        if let (Some(after), Some(before)) = (self.chunks.pop_back(), self.chunks.pop_back()) {
            let rows = concat_batches(&self.schema, [&before.rows, &after.rows])?;
            self.chunks.push_back(Chunk {
                first: before.first,
                bytes: rows.get_array_memory_size(),
                rows,
                earliest: before.earliest.min(after.earliest),
                latest: before.latest.max(after.latest),
                middle: before.latest.max(after.latest),
            });
        }
        Ok(())
    }

    /// Returns the last chunk.
    pub(super) fn last_mut(&mut self) -> Option<&mut Chunk> {
        self.chunks.back_mut()
    }

    /// Takes the first chunk out.
    pub(super) fn pop_front(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Gathers one column of some rows.
    pub(super) fn gather(&self, column: usize, places: &Places) -> Result<ArrayRef> {
        let of = |chunk: &u32| self.chunks[*chunk as usize].rows.column(column);
        match (places.chunks.as_slice(), &places.rows) {
            ([], _) => Ok(new_empty_array(self.schema.field(column).data_type())),
            ([chunk], PlacedRows::OfOne(rows)) => Ok(take(of(chunk), rows, None)?),
            (chunks, PlacedRows::OfMany(rows)) => {
                let sources: Vec<&dyn Array> = chunks.iter().map(|chunk| Arc::as_ref(of(chunk))).collect();
                Ok(interleave(&sources, rows)?)
            }
            (_, PlacedRows::OfOne(_)) => Ok(new_empty_array(self.schema.field(column).data_type())),
        }
    }

    /// Finds where the rows `ids` are; all of them must be there.
    pub(super) fn places(&self, ids: &[RowId]) -> Places {
        let mut ordinals = vec![u32::MAX; self.chunks.len()];
        let mut chunks: Vec<u32> = vec![];
        let mut rows = Vec::with_capacity(ids.len());
        // Rows that are asked for together mostly stand together.
        let (mut from, mut until, mut ordinal) = (0, 0, 0);
        for &id in ids {
            if id < from || id >= until {
                let at = self.chunks.partition_point(|chunk| chunk.first <= id).saturating_sub(1);
                from = self.chunks[at].first;
                until = from + self.chunks[at].rows.num_rows() as u64;
                if ordinals[at] == u32::MAX {
                    ordinals[at] = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
                    chunks.push(u32::try_from(at).unwrap_or(u32::MAX));
                }
                ordinal = ordinals[at] as usize;
            }
            rows.push((ordinal, usize::try_from(id - from).unwrap_or(usize::MAX)));
        }
        let rows = match chunks.len() {
            0 | 1 => PlacedRows::OfOne(
                rows.iter()
                    .map(|&(_, row)| u32::try_from(row).unwrap_or(u32::MAX))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            _ => PlacedRows::OfMany(rows),
        };
        Places { chunks, rows }
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// Where rows are.
pub(super) struct Places {
    /// The chunks that they are in.
    chunks: Vec<u32>,
    rows: PlacedRows,
}

enum PlacedRows {
    /// Rows of the one chunk.
    OfOne(UInt32Array),
    /// The ordinal of one of the chunks, and the row in it.
    OfMany(Vec<(usize, usize)>),
}

/// Lets go of what text that is not there any more takes.
fn compact(rows: &RecordBatch) -> Result<RecordBatch> {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !rows.columns().iter().any(is_view) {
        return Ok(rows.clone());
    }
    let own = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        }
    };
    Ok(RecordBatch::try_new(rows.schema(), rows.columns().iter().map(own).collect())?)
}
