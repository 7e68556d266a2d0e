//! [`Sort`]: all rows in order, once the input has ended.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalSortExpr;

use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, StateDelta};
use crate::time::Watermark;

/// How many rows more than wanted are kept before the front is sorted out again.
const SPARE_ROWS: usize = 65_536;

/// Keeps the rows of a bounded input and gives them in order at its end; with a limit it keeps only the front.
pub struct Sort {
    schema: SchemaRef,
    order: Vec<PhysicalSortExpr>,
    fetch: Option<usize>,
    kept: Vec<RecordBatch>,
    rows: usize,
    recorded: DeltaLog,
}

impl Sort {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn new(schema: SchemaRef, order: Vec<PhysicalSortExpr>, fetch: Option<usize>, record: bool) -> Self {
        Self { schema, order, fetch, kept: vec![], rows: 0, recorded: DeltaLog::new(record) }
    }

    fn keep(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.kept.push(rows.clone());
        if self.fetch.is_some_and(|fetch| self.rows > fetch.saturating_mul(2).saturating_add(SPARE_ROWS)) {
            let front = self.sorted()?;
            self.rows = front.num_rows();
            self.kept = vec![front];
        }
        Ok(())
    }

    fn sorted(&self) -> Result<RecordBatch> {
        let all = concat_batches(&self.schema, &self.kept)?;
        let columns = self.order.iter().map(|key| {
            let values = key.expr.evaluate(&all)?.into_array(all.num_rows())?;
            Ok(SortColumn { values, options: Some(key.options) })
        });
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        // Rows that the order leaves equal stay as they came.
        let arrival = UInt32Array::from_iter_values(0..u32::try_from(all.num_rows()).unwrap_or(u32::MAX));
        columns.push(SortColumn { values: Arc::new(arrival), options: None });
        let order = lexsort_to_indices(&columns, self.fetch)?;
        Ok(take_record_batch(&all, &order)?)
    }
}

impl Operator for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("ORDER BY got a changelog"));
        }
        if change.num_rows() > 0 {
            self.keep(change.rows())?;
            self.recorded.keep(change.rows(), Watermark::NONE);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        if watermark != Watermark::END || self.kept.is_empty() {
            return Ok(vec![]);
        }
        let sorted = self.sorted()?;
        self.kept.clear();
        self.rows = 0;
        Ok(vec![ChangeBatch::inserts(sorted)])
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        Ok(self.recorded.take())
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.keep(&delta.rows)
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.rows)
    }
}
