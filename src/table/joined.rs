//! [`Joined`]: changes that become part of a table together.

use arrow::array::{ArrayRef, Int8Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::key_index::{Holding, KeyIndex};
use super::keys::{Keys, check_row_count, row_number};
use super::run::compacted;
use crate::error::Result;
use crate::flow::ChangeBatch;

/// Rows with +1 or −1 for each.
pub(super) struct Joined {
    pub(super) rows: RecordBatch,
    pub(super) weights: Option<Int8Array>,
}

impl Joined {
    /// Puts changes together, in their order; none where there are none.
    pub(super) fn of(changes: Vec<ChangeBatch>, schema: &SchemaRef) -> Result<Option<Self>> {
        if changes.is_empty() {
            return Ok(None);
        }
        check_row_count(changes.iter().map(ChangeBatch::num_rows).sum())?;
        let weights = match changes.iter().any(|change| change.weights().is_some()) {
            true => Some(joined_weights(&changes)?),
            false => None,
        };
        let batches: Vec<RecordBatch> = changes.into_iter().map(|change| change.rows().clone()).collect();
        Ok(Some(Self { rows: compacted(schema, &batches)?, weights }))
    }

    pub(super) fn inserts(&self, row: u32) -> bool {
        self.weights.as_ref().is_none_or(|weights| weights.value(row as usize) > 0)
    }

    pub(super) fn ordinals(&self) -> std::ops::Range<u32> {
        0..row_number(self.rows.num_rows())
    }

    /// Returns what the rows come to, of which the first `seen` columns are compared: those that go, and after them those
    /// that come, each once; none where all come.
    pub(super) fn net(&self, seen: usize) -> Result<Option<Self>> {
        let Some(weights) = &self.weights else { return Ok(None) };
        let compared = &self.rows.columns()[..seen];
        let keys = Keys::try_new(compared.to_vec(), self.rows.num_rows())?;
        let (index, _) = KeyIndex::build(&keys, Holding::All, true)?;
        let all: Vec<u32> = self.ordinals().collect();
        let columns: Vec<&ArrayRef> = compared.iter().collect();
        let firsts = index.find(&keys, &all, &columns)?;
        let (mut going, mut coming) = (vec![], vec![]);
        for (row, first) in all.into_iter().zip(firsts).filter(|(row, first)| row == first) {
            let sum: i64 = index.chain(first).map(|equal| i64::from(weights.value(equal as usize))).sum();
            match sum.signum() {
                -1 => going.push(row),
                1 => coming.push(index.chain(first).last().unwrap_or(row)),
                _ => {}
            }
        }
        coming.sort_unstable();
        let weights = going.iter().map(|_| -1).chain(coming.iter().map(|_| 1));
        let weights = Some(Int8Array::from_iter_values(weights));
        let places = UInt32Array::from_iter_values(going.iter().chain(&coming).copied());
        Ok(Some(Self { rows: take_record_batch(&self.rows, &places)?, weights }))
    }
}

fn joined_weights(changes: &[ChangeBatch]) -> Result<Int8Array> {
    let weights = changes.iter().flat_map(|change| match change.weights() {
        Some(weights) => weights.values().to_vec(),
        None => vec![1; change.num_rows()],
    });
    Ok(Int8Array::from_iter_values(weights))
}
