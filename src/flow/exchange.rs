//! [`Exchange`]: sends each row to the shard that owns its key.

use std::sync::Arc;

use arrow::array::{Int8Array, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::flow::ChangeBatch;

/// The number of virtual nodes that keys are spread over; a shard owns a range of them.
///
/// Fixed for ever: state is kept by virtual node, so that a job can restart with another number of shards.
const VIRTUAL_NODES: u64 = 256;

/// Splits batches by the hash of their key columns.
#[derive(Debug)]
pub struct Exchange {
    key: Vec<usize>,
    converter: RowConverter,
    shards: usize,
}

impl Exchange {
    /// Creates an exchange over the columns `key` of `schema`; without key columns everything goes to the first shard.
    pub fn try_new(schema: &SchemaRef, key: Vec<usize>, shards: usize) -> Result<Self> {
        let fields = key.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { key, converter, shards })
    }

    /// Returns for each shard the rows whose keys it owns, in order.
    pub fn split(&mut self, change: &ChangeBatch) -> Result<Vec<Option<ChangeBatch>>> {
        let mut parts: Vec<Option<ChangeBatch>> = vec![None; self.shards];
        if change.num_rows() == 0 {
            return Ok(parts);
        }
        if self.shards == 1 || self.key.is_empty() {
            parts[0] = Some(change.clone());
            return Ok(parts);
        }
        let mut chosen: Vec<Vec<u32>> = vec![vec![]; self.shards];
        for (row, shard) in self.shards_of(change.rows())?.into_iter().enumerate() {
            chosen[shard].push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        for (part, rows) in parts.iter_mut().zip(chosen) {
            if !rows.is_empty() {
                *part = Some(take_changes(change, &UInt32Array::from(rows))?);
            }
        }
        Ok(parts)
    }

    fn shards_of(&mut self, rows: &RecordBatch) -> Result<Vec<usize>> {
        let columns: Vec<_> = self.key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let keys = self.converter.convert_columns(&columns)?;
        let shards = self.shards as u64;
        let shard_of = |key: &[u8]| usize::try_from(xxh3_64(key) % VIRTUAL_NODES * shards / VIRTUAL_NODES);
        Ok(keys.iter().map(|key| shard_of(key.data()).unwrap_or(0)).collect())
    }
}

fn take_changes(change: &ChangeBatch, rows: &UInt32Array) -> Result<ChangeBatch> {
    let weights = match change.weights() {
        Some(weights) => take(weights, rows, None)?.as_any().downcast_ref::<Int8Array>().cloned(),
        None => None,
    };
    ChangeBatch::try_new(take_record_batch(change.rows(), rows)?, weights)
}
