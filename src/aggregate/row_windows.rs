//! [`RowWindows`]: each change once for each window that its row is in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int8Array, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use super::window_key::instants;
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, Step, Tally};
use crate::time::AlignedWindow;

/// Gives changes the bounds of their windows as last columns, and each as often as it has windows.
pub struct RowWindows {
    time: Arc<dyn PhysicalExpr>,
    windows: AlignedWindow,
    output: SchemaRef,
}

impl RowWindows {
    /// Creates the step; `output` has the rows' columns, the start and the end of a window.
    pub fn new(time: Arc<dyn PhysicalExpr>, windows: AlignedWindow, output: SchemaRef) -> Self {
        Self { time, windows, output }
    }
}

impl Step for RowWindows {
    fn describe(&self) -> String {
        "windows of each change".to_owned()
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        let times = instants(&self.time, batch.rows())?;
        let (mut rows, mut starts, mut ends) = (vec![], vec![], vec![]);
        for (row, time) in (0_u32..).zip(&times) {
            let Some(time) = time else { continue };
            for window in self.windows.windows_of(self.windows.pane_at(time)) {
                let bounds = self.windows.bounds(window);
                rows.push(row);
                starts.push(bounds.start);
                ends.push(bounds.end);
            }
        }
        let rows = UInt32Array::from(rows);
        let mut columns = take_record_batch(batch.rows(), &rows)?.columns().to_vec();
        columns.push(Arc::new(TimestampMillisecondArray::from(starts)) as ArrayRef);
        columns.push(Arc::new(TimestampMillisecondArray::from(ends)));
        let weights = match batch.weights() {
            Some(weights) => {
                let taken = take(weights, &rows, None)?;
                let taken = taken.as_any().downcast_ref::<Int8Array>().cloned();
                Some(taken.ok_or_else(|| Error::internal("weights that are no numbers"))?)
            }
            None => None,
        };
        if let Some(late_rows) = &mut tally.late_rows {
            late_rows.remade();
        }
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        tally.expanded += signed(rows.len()) - signed(batch.num_rows());
        ChangeBatch::try_new(RecordBatch::try_new(Arc::clone(&self.output), columns)?, weights)
    }
}
