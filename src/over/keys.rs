//! [`Keys`]: each distinct key gets a dense ordinal.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use crate::error::Result;

/// Gives each key a dense ordinal.
pub(super) enum Keys {
    /// No `PARTITION BY`.
    One,
    /// By the key's columns.
    Many { columns: Vec<usize>, values: Box<dyn GroupValues> },
}

impl Keys {
    pub(super) fn try_new(schema: &SchemaRef, columns: &[usize]) -> Result<Self> {
        if columns.is_empty() {
            return Ok(Self::One);
        }
        let schema: SchemaRef = Arc::new(schema.project(columns)?);
        let values = new_group_values(schema, &GroupOrdering::None)?;
        Ok(Self::Many { columns: columns.to_vec(), values })
    }

    /// Returns the ordinal of each row's key.
    pub(super) fn of(&mut self, rows: &RecordBatch) -> Result<Vec<usize>> {
        match self {
            Self::One => Ok(vec![0; rows.num_rows()]),
            Self::Many { columns, values } => {
                let columns: Vec<ArrayRef> =
                    columns.iter().map(|&column| Arc::clone(rows.column(column))).collect();
                let mut keys = vec![];
                values.intern(&columns, &mut keys)?;
                Ok(keys)
            }
        }
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Many { values, .. } => values.len(),
        }
    }

    /// Returns about how many bytes the keys take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One => 0,
            Self::Many { values, .. } => values.size(),
        }
    }
}
