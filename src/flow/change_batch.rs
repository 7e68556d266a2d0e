//! [`ChangeBatch`]: rows that come and go.

use arrow::array::{BooleanArray, Int8Array, RecordBatch};
use arrow::compute::{filter, filter_record_batch};

use crate::error::{Error, Result};

/// A batch of rows, each inserted or deleted.
///
/// Weights are how updates travel: an update is the old row with weight −1 and the new one with +1. A batch without
/// weights inserts all its rows, which is the common and the fast case.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    rows: RecordBatch,
    weights: Option<Int8Array>,
}

impl ChangeBatch {
    /// Creates a batch that inserts all `rows`.
    pub fn inserts(rows: RecordBatch) -> Self {
        Self { rows, weights: None }
    }

    /// Creates a batch of changes; `weights` holds +1 (insert) or −1 (delete) for each row.
    pub fn try_new(rows: RecordBatch, weights: Option<Int8Array>) -> Result<Self> {
        match &weights {
            Some(weights) if weights.len() != rows.num_rows() => {
                Err(Error::internal(format!("{} weights for {} rows", weights.len(), rows.num_rows())))
            }
            _ => Ok(Self { rows, weights }),
        }
    }

    /// Returns the rows.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Returns the weights; none means that every row is inserted.
    pub fn weights(&self) -> Option<&Int8Array> {
        self.weights.as_ref()
    }

    /// Returns the number of rows, deleted ones included.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Replaces the rows by others that stand for them one to one.
    pub fn with_rows(self, rows: RecordBatch) -> Result<Self> {
        Self::try_new(rows, self.weights)
    }

    /// Returns `length` changes from the change `offset` on, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let weights = self.weights.as_ref().map(|weights| weights.slice(offset, length));
        Self { rows: self.rows.slice(offset, length), weights }
    }

    /// Keeps the rows for which `mask` is true.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        let rows = filter_record_batch(&self.rows, mask)?;
        let weights = match &self.weights {
            Some(weights) => {
                let kept = filter(weights, mask)?;
                kept.as_any().downcast_ref::<Int8Array>().cloned()
            }
            None => None,
        };
        Self::try_new(rows, weights)
    }
}
