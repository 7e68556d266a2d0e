//! [`PartialAggregate`]: the rows of one batch become accumulator states, one row for each group.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::aggregates::{AggregateMode, aggregate_expressions};

use super::groups::Groups;
use super::session_runs::{Runs, place_in_time};
use super::spec::AggregateSpec;
use super::window_key::{LATE, Placement, RowTime, WindowKey};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, LateFor, Step, Tally};
use crate::time::SessionWindow;

/// Up to how many panes of a batch are aggregated one after the other.
const FEW_PARTS: usize = 8;

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

    /// Aggregates rows of one part.
    fn aggregate(&mut self, part: Option<(i64, i64)>, inputs: &Inputs) -> Result<RecordBatch> {
        self.groups.intern(&inputs.keys, inputs.rows, &mut self.group_of_row)?;
        let total = self.groups.len();
        self.update(inputs, total)?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        if let Some((pane, first)) = part {
            let prefix = [pane, first].into_iter().take(self.spec.first_key());
            columns.extend(prefix.map(|value| Arc::new(Int64Array::from_value(value, total)) as ArrayRef));
        }
        columns.extend(self.groups.drain()?);
        self.add_states(&mut columns)?;
        self.states(columns, total)
    }

    /// Aggregates rows of many parts at once: the part is one more key.
    fn aggregate_parts(&mut self, placement: &Placement, inputs: &Inputs) -> Result<RecordBatch> {
        let prefix = self.spec.first_key();
        let fields = self.schema.fields().iter().take(prefix + self.spec.keys.len()).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut groups = Groups::Keyed(new_group_values(schema, &GroupOrdering::None)?);
        let part = |row: &u32| placement.parts[*row as usize];
        let panes = Int64Array::from_iter_values(placement.part_of_row.iter().map(|row| part(row).0));
        let firsts = Int64Array::from_iter_values(placement.part_of_row.iter().map(|row| part(row).1));
        let mut keys: Vec<ArrayRef> = vec![Arc::new(panes), Arc::new(firsts)];
        keys.truncate(prefix);
        keys.extend(inputs.keys.iter().cloned());
        groups.intern(&keys, inputs.rows, &mut self.group_of_row)?;
        let total = groups.len();
        self.update(inputs, total)?;
        let mut columns = groups.drain()?;
        self.add_states(&mut columns)?;
        let states = self.states(columns, total)?;
        let order = states.columns()[..prefix]
            .iter()
            .map(|values| SortColumn { values: Arc::clone(values), options: None });
        let order = lexsort_to_indices(&order.collect::<Vec<_>>(), None)?;
        Ok(take_record_batch(&states, &order)?)
    }

    fn update(&mut self, inputs: &Inputs, total: usize) -> Result<()> {
        let each = self.accumulators.iter_mut().zip(&inputs.arguments).zip(&inputs.filters);
        for ((accumulator, arguments), filter) in each {
            accumulator.update_batch(arguments, &self.group_of_row, filter.as_ref(), total)?;
        }
        Ok(())
    }

    fn add_states(&mut self, columns: &mut Vec<ArrayRef>) -> Result<()> {
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(())
    }

    fn states(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Aggregates a batch by key and session.
    fn aggregate_sessions(
        &mut self,
        time: &RowTime,
        windows: SessionWindow,
        rows: &RecordBatch,
        tally: &mut Tally,
    ) -> Result<RecordBatch> {
        let mut inputs = self.evaluate(rows)?;
        let (times, watermarks) = time.evaluate(rows)?;
        let placed = place_in_time(&windows, &times, &watermarks, tally);
        if let Some(late_rows) = tally.late_rows.as_mut().filter(|_| placed.rows.len() < inputs.rows) {
            let mut placed = placed.rows.iter().map(|&row| row as usize).peekable();
            let late: Vec<usize> = (0..inputs.rows).filter(|row| placed.next_if_eq(row).is_none()).collect();
            let time = |row| Some((times.value(row), watermarks.value(row)));
            late_rows.found(rows, &late, LateFor::Session(windows), time);
        }
        if placed.rows.len() < inputs.rows {
            inputs = inputs.take(&UInt32Array::from(placed.rows))?;
        }
        tally.merged += inputs.rows as u64;
        self.groups.intern(&inputs.keys, inputs.rows, &mut self.group_of_row)?;
        self.groups.drain()?;
        let runs = Runs::find(&windows, &self.group_of_row, &placed.times);
        self.group_of_row = runs.run_of_row;
        let total = runs.first.len();
        self.update(&inputs, total)?;
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(runs.first)), Arc::new(Int64Array::from(runs.last))];
        let one_of_each = UInt32Array::from(runs.row);
        for key in &inputs.keys {
            columns.push(take(key, &one_of_each, None)?);
        }
        self.add_states(&mut columns)?;
        self.states(columns, total)
    }

    fn partial(&mut self, rows: &RecordBatch, tally: &mut Tally) -> Result<RecordBatch> {
        let placement = match self.spec.window.clone() {
            None => {
                tally.merged += rows.num_rows() as u64;
                let inputs = self.evaluate(rows)?;
                return self.aggregate(None, &inputs);
            }
            Some(WindowKey::Session { time, windows }) => {
                return self.aggregate_sessions(&time, windows, rows, tally);
            }
            Some(key) => {
                let placement = key.place(rows)?;
                if placement.late > 0 {
                    collect_late(&key, rows, &placement, tally)?;
                }
                placement
            }
        };
        let mut inputs = self.evaluate(rows)?;
        tally.late += placement.late;
        tally.partly_late += placement.partly_late;
        tally.put_later += placement.put_later;
        tally.merged += inputs.rows as u64 - placement.late;
        match placement.parts.as_slice() {
            [part] if placement.late == 0 => self.aggregate(Some(*part), &inputs),
            parts if parts.len() <= FEW_PARTS => {
                let parts = by_part(&placement, &inputs)?;
                let states = parts.iter().map(|(part, inputs)| self.aggregate(Some(*part), inputs));
                let states = states.collect::<Result<Vec<_>>>()?;
                Ok(concat_batches(&self.schema, &states)?)
            }
            _ => {
                let mut placement = placement;
                if placement.late > 0 {
                    let kept = (0u32..).zip(&placement.part_of_row).filter(|(_, part)| **part != LATE);
                    let kept: Vec<u32> = kept.map(|(row, _)| row).collect();
                    placement.part_of_row.retain(|part| *part != LATE);
                    inputs = inputs.take(&UInt32Array::from(kept))?;
                }
                self.aggregate_parts(&placement, &inputs)
            }
        }
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
        match self.partial(batch.rows(), tally) {
            Ok(states) => Ok(ChangeBatch::inserts(states)),
            Err(error) => {
                self.start_afresh()?;
                Err(error)
            }
        }
    }
}

/// Keeps the rows that are in no window, where they are wanted.
#[cold]
fn collect_late(key: &WindowKey, rows: &RecordBatch, placement: &Placement, tally: &mut Tally) -> Result<()> {
    let Some(late_rows) = &mut tally.late_rows else { return Ok(()) };
    let times = key.row_times(rows)?;
    let parts = placement.part_of_row.iter().enumerate();
    let late: Vec<usize> = parts.filter(|(_, part)| **part == LATE).map(|(row, _)| row).collect();
    late_rows.found(rows, &late, key.late_for(), |row| {
        times.as_ref().map(|(times, watermarks)| (times.value(row), watermarks.value(row)))
    });
    Ok(())
}

/// Splits the inputs by part, in the order of the parts.
fn by_part(placement: &Placement, inputs: &Inputs) -> Result<Vec<((i64, i64), Inputs)>> {
    let mut rows: Vec<((i64, i64), Vec<u32>)> = placement.parts.iter().map(|part| (*part, vec![])).collect();
    for (row, part) in (0u32..).zip(&placement.part_of_row) {
        if *part != LATE {
            rows[*part as usize].1.push(row);
        }
    }
    rows.sort_unstable_by_key(|(part, _)| *part);
    rows.into_iter().map(|(part, rows)| Ok((part, inputs.take(&UInt32Array::from(rows))?))).collect()
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
