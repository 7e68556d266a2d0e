//! [`ChangeBatch`]: rows that come and go.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef};

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

    /// Returns the columns of [`weighted_rows`](Self::weighted_rows), where `schema` has those of the rows.
    pub fn weighted_schema(schema: &Schema) -> SchemaRef {
        let weight = Arc::new(Field::new("weight", DataType::Int8, false));
        Arc::new(Schema::new(schema.fields().iter().cloned().chain([weight]).collect::<Vec<_>>()))
    }

    /// Returns the rows with their weights as the last column: how changes are kept in a state.
    pub fn weighted_rows(&self) -> Result<RecordBatch> {
        let weights = match &self.weights {
            Some(weights) => weights.clone(),
            None => Int8Array::from_value(1, self.num_rows()),
        };
        let columns = self.rows.columns().iter().cloned().chain([Arc::new(weights) as ArrayRef]);
        Ok(RecordBatch::try_new(Self::weighted_schema(&self.rows.schema()), columns.collect())?)
    }

    /// Makes changes of [`weighted_rows`](Self::weighted_rows) again.
    pub fn of_weighted_rows(rows: &RecordBatch) -> Result<Self> {
        let Some((weights, columns)) = rows.columns().split_last() else {
            return Err(Error::internal("changes were kept without weights"));
        };
        let Some(weights) = weights.as_primitive_opt::<Int8Type>() else {
            return Err(Error::internal("the weights of changes that were kept are no numbers"));
        };
        let fields = rows.schema().fields()[..columns.len()].to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns.to_vec(), &options)?;
        Self::try_new(rows, Some(weights.clone()))
    }
}
