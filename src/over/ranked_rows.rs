//! [`RankedRows`]: rows as columns with their rank as bytes, of which only those at given places are kept.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::compute::{interleave, interleave_record_batch};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// How many chunks of about one size are made one.
const FAN_IN: usize = 8;

/// Marks a place that was moved, so that it is not taken for that of a row which has still to be.
const MOVED: u32 = 1 << 31;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u32,
    pub(super) row: u32,
}

struct Chunk {
    rows: RecordBatch,
    ranks: BinaryArray,
    /// The key of each row.
    keys: Vec<u32>,
}

/// Rows in immutable chunks: those that were settled, then those that arrived in the running epoch.
///
/// Settled chunks of about one size are merged, so that a row is copied a logarithmic number of times.
pub(super) struct RankedRows {
    schema: SchemaRef,
    chunks: Vec<Chunk>,
    settled: usize,
}

impl RankedRows {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, chunks: vec![], settled: 0 }
    }

    /// Adds rows that arrived; returns the ordinal of their chunk.
    pub(super) fn add(&mut self, rows: RecordBatch, ranks: BinaryArray) -> u32 {
        self.chunks.push(Chunk { rows, ranks, keys: vec![] });
        u32::try_from(self.chunks.len() - 1).unwrap_or(u32::MAX)
    }

    /// Returns the rank of a row; less is better.
    pub(super) fn rank(&self, place: Place) -> &[u8] {
        self.chunks[place.chunk as usize].ranks.value(place.row as usize)
    }

    /// Puts the rows at `places` together.
    pub(super) fn gather(&self, places: &[Place]) -> Result<RecordBatch> {
        let sources: Vec<&RecordBatch> = self.chunks.iter().map(|chunk| &chunk.rows).collect();
        if sources.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        Ok(interleave_record_batch(&sources, &indices(places))?)
    }

    /// Ends an epoch that touched `keys`: keeps of what arrived only the rows at the places in `tops`, and moves the
    /// places to where the rows are then. `live` is the number of all places. Returns the rows that came to stay.
    pub(super) fn settle(
        &mut self,
        tops: &mut [Vec<Place>],
        touched: impl Iterator<Item = u32>,
        live: usize,
    ) -> Result<Option<RecordBatch>> {
        let settled = u32::try_from(self.settled).unwrap_or(u32::MAX);
        let (mut places, mut keys) = (vec![], vec![]);
        for key in touched {
            for place in tops[key as usize].iter_mut().filter(|place| place.chunk >= settled) {
                let row = u32::try_from(places.len()).unwrap_or(u32::MAX);
                places.push(std::mem::replace(place, Place { chunk: settled, row }));
                keys.push(key);
            }
        }
        if places.is_empty() {
            self.chunks.truncate(self.settled);
            return Ok(None);
        }
        let chunk = self.chunk_of(&places, keys)?;
        let rows = chunk.rows.clone();
        self.chunks.truncate(self.settled);
        self.chunks.push(chunk);
        self.settled += 1;
        self.merge(tops, live)?;
        Ok(Some(rows))
    }

    fn chunk_of(&self, places: &[Place], keys: Vec<u32>) -> Result<Chunk> {
        let ranks: Vec<&dyn Array> = self.chunks.iter().map(|chunk| &chunk.ranks as &dyn Array).collect();
        let ranks = interleave(&ranks, &indices(places))?;
        let ranks = ranks.as_any().downcast_ref::<BinaryArray>().cloned();
        let ranks = ranks.ok_or_else(|| Error::internal("ranks that are no bytes"))?;
        Ok(Chunk { rows: self.gather(places)?, ranks, keys })
    }

    /// Makes small chunks one, and all if most of their rows are dead.
    fn merge(&mut self, tops: &mut [Vec<Place>], live: usize) -> Result<()> {
        let rows = |chunk: &Chunk| chunk.rows.num_rows();
        if self.chunks.iter().map(rows).sum::<usize>() > 2 * live + 4_096 {
            return self.merge_last(self.chunks.len(), tops);
        }
        let tier = |chunk: &Chunk| (rows(chunk) + 1).ilog(FAN_IN);
        while let Some(last) = self.chunks.last() {
            let smallest = tier(last);
            let alike = self.chunks.iter().rev().take_while(|chunk| tier(chunk) <= smallest).count();
            if alike < FAN_IN {
                break;
            }
            self.merge_last(alike, tops)?;
        }
        Ok(())
    }

    /// Makes the last `count` chunks one, without their dead rows.
    fn merge_last(&mut self, count: usize, tops: &mut [Vec<Place>]) -> Result<()> {
        let first = self.chunks.len() - count;
        let target = u32::try_from(first).unwrap_or(u32::MAX);
        let (mut places, mut keys) = (vec![], vec![]);
        for (chunk, part) in (0u32..).zip(&self.chunks).skip(first) {
            for (row, &key) in (0u32..).zip(&part.keys) {
                let place = Place { chunk, row };
                if tops[key as usize].contains(&place) {
                    places.push(place);
                    keys.push(key);
                }
            }
        }
        let merged = self.chunk_of(&places, keys)?;
        for (row, (place, &key)) in (0u32..).zip(places.iter().zip(&merged.keys)) {
            let top = &mut tops[key as usize];
            if let Some(own) = top.iter_mut().find(|own| **own == *place) {
                *own = Place { chunk: target | MOVED, row };
            }
        }
        for &key in &merged.keys {
            tops[key as usize].iter_mut().for_each(|place| place.chunk &= !MOVED);
        }
        self.chunks.truncate(first);
        self.chunks.push(merged);
        self.settled = self.chunks.len();
        Ok(())
    }

    /// Returns about how many bytes the rows take.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |chunk: &Chunk| {
            chunk.rows.get_array_memory_size() + chunk.ranks.get_array_memory_size() + chunk.keys.len() * 4
        };
        self.chunks.iter().map(bytes).sum()
    }
}

fn indices(places: &[Place]) -> Vec<(usize, usize)> {
    places.iter().map(|place| (place.chunk as usize, place.row as usize)).collect()
}
