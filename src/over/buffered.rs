//! [`BufferedOver`]: functions over the last rows of each key, in an order of their own.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::window::WindowExpr;

use super::keyed_rows::KeyedRows;
use super::keys::Keys;
use super::last_rows::LastRows;
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, Pending, StateDelta};
use crate::time::Watermark;

/// What `OVER (ROWS WINDOW BUFFER n ROWS …)` computes.
#[derive(Debug, Clone)]
pub struct BufferedOverSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The rows that go out: those that came in, and a column for each function.
    pub output: SchemaRef,
    /// The ordinals of the key's columns.
    pub keys: Vec<usize>,
    /// The ordinal of the event time, in epoch milliseconds.
    pub time: usize,
    /// What settles the order of rows of one instant: ordinals of columns.
    pub ties: Vec<usize>,
    /// The order of the rows that a function sees.
    pub order: Vec<PhysicalSortExpr>,
    /// How many rows a function sees, its own included.
    pub count: usize,
    /// The functions.
    pub functions: Vec<Arc<dyn WindowExpr>>,
    /// What `EXPLAIN` shows of the functions.
    pub description: String,
}

/// Gives each row in the order of event time, with what the functions are over the last rows of its key.
pub struct BufferedOver {
    name: String,
    spec: Arc<BufferedOverSpec>,
    pending: Pending,
    keys: Keys,
    by_time: RowConverter,
    functions: LastRows,
    kept: KeyedRows,
    watermark: Watermark,
    recorded: DeltaLog,
}

impl BufferedOver {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<BufferedOverSpec>, record: bool) -> Result<Self> {
        let field = |&column: &usize| SortField::new(spec.input.field(column).data_type().clone());
        let (order, functions) = (spec.order.clone(), spec.functions.clone());
        Ok(Self {
            name,
            pending: Pending::new(Arc::clone(&spec.input), spec.time, spec.time),
            keys: Keys::try_new(&spec.input, &spec.keys)?,
            by_time: RowConverter::new(std::iter::once(&spec.time).chain(&spec.ties).map(field).collect())?,
            functions: LastRows::try_new(&spec.input, order, spec.count, functions)?,
            kept: KeyedRows::new(Arc::clone(&spec.input)),
            watermark: Watermark::NONE,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    fn release(&mut self, watermark: Watermark) -> Result<Option<RecordBatch>> {
        self.watermark.advance_to(watermark);
        let rows = self.pending.take_before(self.watermark)?;
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let columns = std::iter::once(&self.spec.time).chain(&self.spec.ties);
        let columns: Vec<ArrayRef> = columns.map(|&column| Arc::clone(rows.column(column))).collect();
        let times = self.by_time.convert_columns(&columns)?;
        let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        order.sort_by(|&a, &b| times.row(a as usize).cmp(&times.row(b as usize)));
        let rows = take_record_batch(&rows, &UInt32Array::from(order))?;

        let keys = self.keys.of(&rows)?;
        let mut grouped: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        grouped.sort_by_key(|&row| keys[row as usize]);
        let mut results = vec![vec![ScalarValue::Null; rows.num_rows()]; self.spec.functions.len()];
        let (mut left, mut lengths) = (vec![], vec![]);
        for fresh in grouped.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
            let key = u32::try_from(keys[fresh[0] as usize]).unwrap_or(u32::MAX);
            let beyond = self.kept.beyond();
            let mut places: Vec<_> = self.kept.places(key).collect();
            places.extend(fresh.iter().map(|&row| (beyond, row as usize)));
            let seen = self.kept.gather(&rows, &places)?;
            let values = self.functions.evaluate(&seen, seen.num_rows() - fresh.len())?;
            for (results, values) in results.iter_mut().zip(values) {
                for (&row, value) in fresh.iter().zip(values) {
                    results[row as usize] = value;
                }
            }
            places.drain(..places.len().saturating_sub(self.spec.count - 1));
            lengths.push((key, places.len()));
            left.extend(places);
        }
        let left = self.kept.gather(&rows, &left)?;
        self.kept.replace(left, &lengths)?;
        self.output(&rows, results).map(Some)
    }

    fn output(&self, rows: &RecordBatch, results: Vec<Vec<ScalarValue>>) -> Result<RecordBatch> {
        let carried = self.spec.output.fields().len() - self.spec.functions.len();
        let mut columns = rows.columns()[..carried].to_vec();
        for (results, field) in results.into_iter().zip(self.spec.output.fields().iter().skip(carried)) {
            columns.push(match results.is_empty() {
                true => new_empty_array(field.data_type()),
                false => ScalarValue::iter_to_array(results)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }
}

impl Operator for BufferedOver {
    fn name(&self) -> &str {
        &self.name
    }

    fn apply(
        &mut self,
        _port: usize,
        change: &ChangeBatch,
        _epoch: &EpochContext,
    ) -> Result<Vec<ChangeBatch>> {
        if change.weights().is_some() {
            return Err(Error::internal("OVER got a changelog"));
        }
        if change.num_rows() > 0 {
            self.pending.push(change.rows().clone())?;
            self.recorded.keep(change.rows(), self.watermark);
        }
        Ok(vec![])
    }

    fn advance(&mut self, watermark: Watermark, _epoch: &EpochContext) -> Result<Vec<ChangeBatch>> {
        Ok(self.release(watermark)?.map(ChangeBatch::inserts).into_iter().collect())
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.input)))
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.pending.push(delta.rows.clone())?;
        // What this releases came out before the snapshot.
        self.release(delta.watermark).map(drop)
    }

    fn bytes(&self) -> usize {
        self.pending.bytes() + self.keys.bytes() + self.kept.bytes()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.pending.len() + self.kept.len())
    }
}
