//! [`RetractedRows`]: of each row what an aggregation over a changelog keeps of it.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};

use super::retraction::Retraction;
use crate::error::Result;
use crate::flow::{ChangeBatch, Step, Tally};

/// Computes the keys of rows and what the functions read, beside the rows' weights.
pub struct RetractedRows {
    retraction: Retraction,
}

impl RetractedRows {
    /// Creates the step.
    pub fn new(retraction: Retraction) -> Self {
        Self { retraction }
    }
}

impl Step for RetractedRows {
    fn describe(&self) -> String {
        "keys and arguments of an aggregate".to_owned()
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        let count = batch.num_rows();
        let mut columns = Vec::with_capacity(self.retraction.expressions().len());
        for expression in self.retraction.expressions() {
            columns.push(expression.evaluate(batch.rows())?.into_array(count)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(self.retraction.schema());
        tally.merged += count as u64;
        batch.with_rows(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
