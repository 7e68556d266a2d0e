//! [`PartialAggregate`]: the rows of one batch become accumulator states, one row for each group.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::{AggregateMode, aggregate_expressions};

use super::spec::{AggregateSpec, Groups};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, Step, Tally};

/// Aggregates each batch by itself.
///
/// The result has one row for each group of the batch, sorted by window, so that the rows of a window are one slice.
/// Late rows, those without a window, are counted and left out.
pub struct PartialAggregate {
    spec: Arc<AggregateSpec>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    schema: SchemaRef,
    groups: Groups,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    group_of_row: Vec<usize>,
}

/// The evaluated inputs of the functions for some rows.
struct Inputs {
    keys: Vec<ArrayRef>,
    arguments: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
    rows: usize,
}

impl PartialAggregate {
    /// Creates the step.
    pub fn try_new(spec: Arc<AggregateSpec>) -> Result<Self> {
        Ok(Self {
            arguments: aggregate_expressions(&spec.functions, &AggregateMode::Partial, 0)?,
            schema: spec.state_schema()?,
            groups: spec.groups()?,
            accumulators: spec.accumulators()?,
            group_of_row: vec![],
            spec,
        })
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<Inputs> {
        let count = rows.num_rows();
        let array = |expression: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            Ok(expression.evaluate(rows)?.into_array(count)?)
        };
        let keys = self.spec.keys.iter().map(|(key, _)| array(key)).collect::<Result<_>>()?;
        let arguments = self.arguments.iter().map(|arguments| arguments.iter().map(array).collect());
        let arguments = arguments.collect::<Result<_>>()?;
        let filter = |filter: &Option<Arc<dyn PhysicalExpr>>| -> Result<Option<BooleanArray>> {
            let Some(filter) = filter else { return Ok(None) };
            let mask = array(filter)?;
            let mask = mask.as_boolean_opt().cloned();
            mask.map(Some).ok_or_else(|| Error::internal("the FILTER of an aggregate is not a boolean"))
        };
        let filters = self.spec.filters.iter().map(filter).collect::<Result<_>>()?;
        Ok(Inputs { keys, arguments, filters, rows: count })
    }

    /// Returns the start of each row's window, NULL for late rows.
    fn window_starts(&self, rows: &RecordBatch) -> Result<Option<TimestampMillisecondArray>> {
        let Some(key) = &self.spec.window else { return Ok(None) };
        let starts = key.start.evaluate(rows)?.into_array(rows.num_rows())?;
        match starts.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Ok(Some(starts.as_primitive::<TimestampMillisecondType>().clone()))
            }
            other => Err(Error::internal(format!("window bounds are of type {other}"))),
        }
    }

    fn aggregate(&mut self, window_start: Option<i64>, inputs: &Inputs) -> Result<RecordBatch> {
        self.groups.intern(&inputs.keys, inputs.rows, &mut self.group_of_row)?;
        let total = self.groups.len();
        let each = self.accumulators.iter_mut().zip(&inputs.arguments).zip(&inputs.filters);
        for ((accumulator, arguments), filter) in each {
            accumulator.update_batch(arguments, &self.group_of_row, filter.as_ref(), total)?;
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        if let Some(start) = window_start {
            columns.push(Arc::new(TimestampMillisecondArray::from_value(start, total)));
        }
        columns.extend(self.groups.drain()?);
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Drops half-built groups, so that the step can be used again after an error.
    fn start_afresh(&mut self) -> Result<()> {
        self.groups = self.spec.groups()?;
        self.accumulators = self.spec.accumulators()?;
        Ok(())
    }
}

impl Step for PartialAggregate {
    fn describe(&self) -> String {
        "partial aggregate".to_owned()
    }

    fn run(&mut self, batch: ChangeBatch, tally: &mut Tally) -> Result<ChangeBatch> {
        if batch.weights().is_some() {
            return Err(Error::internal("a partial aggregate got a changelog"));
        }
        if batch.num_rows() == 0 {
            return Ok(ChangeBatch::inserts(RecordBatch::new_empty(Arc::clone(&self.schema))));
        }
        let inputs = self.evaluate(batch.rows())?;
        let starts = self.window_starts(batch.rows())?;
        let parts = match &starts {
            None => vec![(None, inputs)],
            Some(starts) => by_window(starts, inputs, tally)?,
        };
        let mut states = Vec::with_capacity(parts.len());
        for (start, inputs) in &parts {
            match self.aggregate(*start, inputs) {
                Ok(rows) => states.push(rows),
                Err(error) => {
                    self.start_afresh()?;
                    return Err(error);
                }
            }
        }
        tally.merged += parts.iter().map(|(_, inputs)| inputs.rows as u64).sum::<u64>();
        match <[RecordBatch; 1]>::try_from(states) {
            Ok([rows]) => Ok(ChangeBatch::inserts(rows)),
            Err(states) => Ok(ChangeBatch::inserts(concat_batches(&self.schema, &states)?)),
        }
    }
}

/// Splits the inputs by window, ascending, and counts the late rows.
fn by_window(
    starts: &TimestampMillisecondArray,
    inputs: Inputs,
    tally: &mut Tally,
) -> Result<Vec<(Option<i64>, Inputs)>> {
    let late = starts.null_count();
    tally.late += late as u64;
    if late == 0 {
        let first = starts.value(0);
        if starts.values().iter().all(|&start| start == first) {
            return Ok(vec![(Some(first), inputs)]);
        }
    }
    let mut windows: Vec<(i64, Vec<u32>)> = vec![];
    let mut last = 0;
    for (row, start) in starts.iter().enumerate() {
        let Some(start) = start else { continue };
        if windows.get(last).is_none_or(|window| window.0 != start) {
            last = windows.iter().position(|window| window.0 == start).unwrap_or_else(|| {
                windows.push((start, vec![]));
                windows.len() - 1
            });
        }
        windows[last].1.push(u32::try_from(row).unwrap_or(u32::MAX));
    }
    windows.sort_unstable_by_key(|window| window.0);
    windows
        .into_iter()
        .map(|(start, rows)| Ok((Some(start), inputs.take(&UInt32Array::from(rows))?)))
        .collect()
}

impl Inputs {
    fn take(&self, rows: &UInt32Array) -> Result<Self> {
        let pick = |array: &ArrayRef| -> Result<ArrayRef> { Ok(take(array, rows, None)?) };
        let filter = |mask: &Option<BooleanArray>| -> Result<Option<BooleanArray>> {
            let Some(mask) = mask else { return Ok(None) };
            Ok(Some(take(mask, rows, None)?.as_boolean().clone()))
        };
        Ok(Self {
            keys: self.keys.iter().map(pick).collect::<Result<_>>()?,
            arguments: self
                .arguments
                .iter()
                .map(|arguments| arguments.iter().map(pick).collect())
                .collect::<Result<_>>()?,
            filters: self.filters.iter().map(filter).collect::<Result<_>>()?,
            rows: rows.len(),
        })
    }
}
