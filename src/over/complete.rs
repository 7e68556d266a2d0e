//! [`WindowedOver`]: functions over all rows of a key in a window, given when the window closes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::window::WindowExpr;

use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, DeltaLog, EpochContext, Operator, Pending, StateDelta};
use crate::time::Watermark;

/// What an `OVER` computes whose key has the bound of a window.
#[derive(Debug, Clone)]
pub struct WindowedOverSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The rows that go out: those that came in, and a column for each function.
    pub output: SchemaRef,
    /// The ordinals of the key's columns, the window's bound among them.
    pub keys: Vec<usize>,
    /// The ordinal of the last instant at which the row's window is open, in epoch milliseconds.
    pub open_until: usize,
    /// The ordinal of the event time, in epoch milliseconds.
    pub time: usize,
    /// The order as the query says it; any.
    pub order: Vec<PhysicalSortExpr>,
    /// What settles the order where the query leaves rows equal: ordinals of columns.
    pub ties: Vec<usize>,
    /// The functions.
    pub functions: Vec<Arc<dyn WindowExpr>>,
    /// What `EXPLAIN` shows of the functions.
    pub description: String,
}

/// Holds the rows of open windows; when a window closes, evaluates the functions over each key's rows.
pub struct WindowedOver {
    name: String,
    spec: Arc<WindowedOverSpec>,
    pending: Pending,
    keys: RowConverter,
    order: RowConverter,
    watermark: Watermark,
    recorded: DeltaLog,
}

impl WindowedOver {
    /// Creates the operator; `record` says whether deltas will be asked for.
    pub fn try_new(name: String, spec: Arc<WindowedOverSpec>, record: bool) -> Result<Self> {
        let field = |&column: &usize| SortField::new(spec.input.field(column).data_type().clone());
        let mut order = vec![];
        for key in &spec.order {
            order.push(SortField::new_with_options(key.expr.data_type(&spec.input)?, key.options));
        }
        order.extend(spec.ties.iter().map(field));
        Ok(Self {
            name,
            pending: Pending::new(Arc::clone(&spec.input), spec.open_until, spec.time),
            keys: RowConverter::new(spec.keys.iter().map(field).collect())?,
            order: RowConverter::new(order)?,
            watermark: Watermark::NONE,
            recorded: DeltaLog::new(record),
            spec,
        })
    }

    /// Puts rows in order, key by key; returns where each key's are.
    fn by_key(&self, rows: &RecordBatch) -> Result<(RecordBatch, Vec<Range<usize>>)> {
        let column = |&column: &usize| Arc::clone(rows.column(column));
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(column).collect();
        let keys = self.keys.convert_columns(&keys)?;
        let mut order = vec![];
        for key in &self.spec.order {
            order.push(key.expr.evaluate(rows)?.into_array(rows.num_rows())?);
        }
        order.extend(self.spec.ties.iter().map(column));
        let order = self.order.convert_columns(&order)?;
        let mut places: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        let at = |row: u32| (keys.row(row as usize), order.row(row as usize));
        places.sort_by(|&a, &b| at(a).cmp(&at(b)));
        let (mut ranges, mut start) = (vec![], 0);
        for key in places.chunk_by(|&a, &b| keys.row(a as usize) == keys.row(b as usize)) {
            ranges.push(start..start + key.len());
            start += key.len();
        }
        Ok((take_record_batch(rows, &UInt32Array::from(places))?, ranges))
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let (rows, keys) = self.by_key(rows)?;
        let carried = self.spec.output.fields().len() - self.spec.functions.len();
        let mut columns = rows.columns()[..carried].to_vec();
        for function in &self.spec.functions {
            let results = keys.iter().map(|key| Ok(function.evaluate(&rows.slice(key.start, key.len()))?));
            let results: Vec<ArrayRef> = results.collect::<Result<_>>()?;
            let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
            columns.push(concat(&results)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }
}

impl Operator for WindowedOver {
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
        self.watermark.advance_to(watermark);
        let rows = self.pending.take_before(self.watermark)?;
        if rows.num_rows() == 0 {
            return Ok(vec![]);
        }
        Ok(vec![ChangeBatch::inserts(self.evaluate(&rows)?)])
    }

    fn watermark_behind(&self, watermark: Watermark) -> Watermark {
        watermark.min(self.pending.earliest_time())
    }

    fn take_delta(&mut self) -> Result<Vec<StateDelta>> {
        self.recorded.take_at(self.watermark, || Ok(Arc::clone(&self.spec.input)))
    }

    fn restore(&mut self, delta: &StateDelta) -> Result<()> {
        self.pending.push(delta.rows.clone())?;
        self.watermark.advance_to(delta.watermark);
        // What closed before the snapshot has come out.
        self.pending.take_before(self.watermark).map(drop)
    }

    fn bytes(&self) -> usize {
        self.pending.bytes()
    }

    fn rows(&self) -> Option<usize> {
        Some(self.pending.len())
    }
}
