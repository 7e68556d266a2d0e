//! [`KeyedRows`]: the rows that are kept for each key, in order, as columns.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::error::Result;

/// A row: the ordinal of a chunk, or [`KeyedRows::beyond`] for a batch from outside, and the row in it.
pub(super) type RowPlace = (usize, usize);

/// Where the rows of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Run {
    chunk: u32,
    start: u32,
    length: u32,
}

/// Rows that were kept together: a run for each key.
struct Chunk {
    rows: RecordBatch,
    keys: Vec<u32>,
}

/// Rows by key.
///
/// The rows of a key stand together in one chunk. Chunks are immutable and appended; small ones are merged into larger
/// ones, so that a release costs what it touches and no more than a logarithm of all that is kept.
pub(super) struct KeyedRows {
    schema: SchemaRef,
    runs: Vec<Run>,
    chunks: Vec<Chunk>,
    live: usize,
}

impl KeyedRows {
    /// Creates an empty store.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, runs: vec![], chunks: vec![], live: 0 }
    }

    /// Returns the schema of the rows.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the number of rows of a key.
    pub(super) fn count(&self, key: u32) -> usize {
        self.runs.get(key as usize).map_or(0, |run| run.length as usize)
    }

    /// Returns the number of rows of all keys.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Returns the ordinal that stands for a batch from outside in [`gather`](Self::gather).
    pub(super) fn beyond(&self) -> usize {
        self.chunks.len()
    }

    /// Returns where the rows of a key are, in order.
    pub(super) fn places(&self, key: u32) -> impl Iterator<Item = RowPlace> + use<> {
        let run = self.runs.get(key as usize).copied().unwrap_or_default();
        (run.start..run.start + run.length).map(move |row| (run.chunk as usize, row as usize))
    }

    /// Puts rows of this store and of a batch from outside together.
    pub(super) fn gather(&self, outside: &RecordBatch, places: &[RowPlace]) -> Result<RecordBatch> {
        let beyond = self.beyond();
        if places.iter().all(|&(source, _)| source == beyond) {
            let rows = places.iter().map(|&(_, row)| u32::try_from(row).unwrap_or(u32::MAX));
            return Ok(take_record_batch(outside, &UInt32Array::from_iter_values(rows))?);
        }
        let mut sources: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.rows).collect();
        sources.push(outside);
        Ok(interleave_record_batch(&sources, places)?)
    }

    /// Replaces the rows of some keys: `lengths` says how many of `rows`, one key after the other, are whose.
    pub(super) fn replace(&mut self, rows: RecordBatch, lengths: &[(u32, usize)]) -> Result<()> {
        let chunk = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        let mut start = 0;
        for &(key, length) in lengths {
            let place = key as usize;
            if place >= self.runs.len() {
                self.runs.resize(place + 1, Run::default());
            }
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.live = self.live + length as usize - self.runs[place].length as usize;
            self.runs[place] = if length == 0 { Run::default() } else { Run { chunk, start, length } };
            start += length;
        }
        if rows.num_rows() > 0 {
            let keys = lengths.iter().filter(|(_, length)| *length > 0).map(|(key, _)| *key).collect();
            self.chunks.push(Chunk { rows, keys });
        }
        while let [.., larger, smaller] = self.chunks.as_slice() {
            if larger.rows.num_rows() > 2 * smaller.rows.num_rows() {
                break;
            }
            self.merge_last(2)?;
        }
        let all: usize = self.chunks.iter().map(|chunk| chunk.rows.num_rows()).sum();
        if all > 2 * self.live + 4_096 {
            self.merge_last(self.chunks.len())?;
        }
        Ok(())
    }

    /// Makes the last `count` chunks one, without their dead rows.
    fn merge_last(&mut self, count: usize) -> Result<()> {
        let first = self.chunks.len() - count;
        let (mut places, mut keys) = (vec![], vec![]);
        for (ordinal, chunk) in self.chunks.iter().enumerate().skip(first) {
            for &key in &chunk.keys {
                let run = self.runs[key as usize];
                if run.length > 0 && run.chunk as usize == ordinal {
                    places.extend(self.places(key));
                    keys.push(key);
                }
            }
        }
        let rows = self.gather(&RecordBatch::new_empty(SchemaRef::clone(&self.schema)), &places)?;
        self.chunks.truncate(first);
        if keys.is_empty() {
            return Ok(());
        }
        let (chunk, mut start) = (u32::try_from(first).unwrap_or(u32::MAX), 0);
        for &key in &keys {
            let run = &mut self.runs[key as usize];
            (run.chunk, run.start) = (chunk, start);
            start += run.length;
        }
        self.chunks.push(Chunk { rows, keys });
        Ok(())
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        let chunks =
            self.chunks.iter().map(|chunk| chunk.rows.get_array_memory_size() + chunk.keys.len() * 4);
        chunks.sum::<usize>() + self.runs.capacity() * size_of::<Run>()
    }
}
