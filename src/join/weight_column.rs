//! Weights as a column of the rows that a delta has.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef};

use crate::error::Result;
use crate::flow::ChangeBatch;

/// Returns the rows of a change, with its weights as a last column if there are any.
pub(super) fn with_weights(change: &ChangeBatch) -> Result<RecordBatch> {
    let Some(weights) = change.weights() else { return Ok(change.rows().clone()) };
    let mut fields = change.rows().schema().fields().to_vec();
    fields.push(Arc::new(Field::new("weight", DataType::Int8, false)));
    let mut columns = change.rows().columns().to_vec();
    columns.push(Arc::new(weights.clone()));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Returns the change that [`with_weights`] made `rows` of, which were of the schema `input`.
pub(super) fn without_weights(rows: &RecordBatch, input: &SchemaRef) -> Result<ChangeBatch> {
    let width = input.fields().len();
    let Some(weights) = rows.columns().get(width) else { return Ok(ChangeBatch::inserts(rows.clone())) };
    let own: Vec<usize> = (0..width).collect();
    ChangeBatch::try_new(rows.project(&own)?, weights.as_primitive_opt::<Int8Type>().cloned())
}
