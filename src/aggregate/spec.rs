//! [`AggregateSpec`]: what an aggregation computes, compiled once per job.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use crate::error::Result;
use crate::time::TumblingWindow;

/// The name of the first column of partial states when the aggregation has a window: the window's start.
pub(super) const WINDOW_START: &str = "__window_start";

/// How windows come into the groups.
#[derive(Debug, Clone)]
pub struct WindowKey {
    /// Gives each row the start of its window, or NULL when the row is late.
    pub start: Arc<dyn PhysicalExpr>,
    /// The windows.
    pub window: TumblingWindow,
}

/// What a group column of the result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupColumn {
    /// The key expression with this ordinal.
    Key(usize),
    /// The start of the window.
    WindowStart,
    /// The end of the window.
    WindowEnd,
}

/// What an aggregation computes.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// The key expressions over the input, window bounds aside.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, FieldRef)>,
    /// The windows, if rows are grouped by them.
    pub window: Option<WindowKey>,
    /// The functions.
    pub functions: Vec<Arc<AggregateFunctionExpr>>,
    /// For each function its `FILTER (WHERE …)`.
    pub filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// For each group column of the result where it comes from.
    pub layout: Vec<GroupColumn>,
    /// The result: the group columns, then one column for each function.
    pub output: SchemaRef,
}

impl AggregateSpec {
    /// Returns the schema of partial states: the window's start if there is a window, the keys, and the functions'
    /// states.
    pub fn state_schema(&self) -> Result<SchemaRef> {
        let mut fields: Vec<FieldRef> = vec![];
        if self.window.is_some() {
            let instant = DataType::Timestamp(TimeUnit::Millisecond, None);
            fields.push(Arc::new(Field::new(WINDOW_START, instant, false)));
        }
        for (ordinal, (_, field)) in self.keys.iter().enumerate() {
            fields.push(Arc::new(Field::new(format!("key_{ordinal}"), field.data_type().clone(), true)));
        }
        for (ordinal, function) in self.functions.iter().enumerate() {
            for (part, field) in function.state_fields()?.iter().enumerate() {
                let name = format!("state_{ordinal}_{part}");
                fields.push(Arc::new(Field::new(name, field.data_type().clone(), true)));
            }
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Returns the ordinals of the key columns in the partial states.
    pub fn state_keys(&self) -> Vec<usize> {
        let first = usize::from(self.window.is_some());
        (first..first + self.keys.len()).collect()
    }

    /// Returns the ordinal of the first state column in the partial states.
    pub(super) fn first_state(&self) -> usize {
        usize::from(self.window.is_some()) + self.keys.len()
    }

    /// Returns for each function how many state columns it has.
    pub(super) fn state_widths(&self) -> Result<Vec<usize>> {
        self.functions.iter().map(|function| Ok(function.state_fields()?.len())).collect()
    }

    /// Creates an empty accumulator for each function.
    pub(super) fn accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        let create = |function: &Arc<AggregateFunctionExpr>| -> Result<Box<dyn GroupsAccumulator>> {
            if function.groups_accumulator_supported() {
                return Ok(function.create_groups_accumulator()?);
            }
            let function = Arc::clone(function);
            Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
        };
        self.functions.iter().map(create).collect()
    }

    /// Creates an empty interner of keys.
    pub(super) fn groups(&self) -> Result<Groups> {
        if self.keys.is_empty() {
            return Ok(Groups::One { seen: false });
        }
        let fields: Vec<FieldRef> = self.keys.iter().map(|(_, field)| Arc::clone(field)).collect();
        Ok(Groups::Keyed(new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?))
    }

    /// Returns the one row that an aggregation without keys gives for an empty input.
    pub(super) fn result_of_nothing(&self) -> Result<RecordBatch> {
        // Accumulators of groups only know groups that have had a row.
        let nothing = |function: &Arc<AggregateFunctionExpr>| -> Result<ArrayRef> {
            Ok(function.create_accumulator()?.evaluate()?.to_array()?)
        };
        let values = self.functions.iter().map(nothing).collect::<Result<_>>()?;
        self.result(None, &[], values, 1)
    }

    /// Returns the values of the functions for no group at all.
    pub(super) fn empty_values(&self) -> Vec<ArrayRef> {
        let values = self.output.fields().iter().skip(self.layout.len());
        values.map(|field| arrow::array::new_empty_array(field.data_type())).collect()
    }

    /// Puts a result together; `window_start` is the window that all groups belong to.
    pub(super) fn result(
        &self,
        window_start: Option<i64>,
        keys: &[ArrayRef],
        values: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.layout.len() + values.len());
        for (column, field) in self.layout.iter().zip(self.output.fields()) {
            let start = window_start.unwrap_or_default();
            columns.push(match column {
                GroupColumn::Key(key) => Arc::clone(&keys[*key]),
                GroupColumn::WindowStart => instants(start, rows, field.data_type())?,
                GroupColumn::WindowEnd => {
                    let end = self.window.as_ref().map_or(start, |key| key.window.end(start));
                    instants(end, rows, field.data_type())?
                }
            });
        }
        columns.extend(values);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

fn instants(millis: i64, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    let instants = TimestampMillisecondArray::from_value(millis, rows);
    if data_type == &DataType::Timestamp(TimeUnit::Millisecond, None) {
        return Ok(Arc::new(instants));
    }
    if data_type == &DataType::Int64 {
        return Ok(Arc::new(Int64Array::from_value(millis, rows)));
    }
    Ok(cast(&instants, data_type)?)
}

/// Gives each distinct key a dense ordinal.
pub(super) enum Groups {
    /// No keys: one group for everything.
    One {
        /// Whether a row was there.
        seen: bool,
    },
    /// Groups by key.
    Keyed(Box<dyn GroupValues>),
}

impl Groups {
    /// Sets `groups` to the group of each of the `rows` rows.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<usize>) -> Result<()> {
        match self {
            Self::One { seen } => {
                *seen |= rows > 0;
                groups.clear();
                groups.resize(rows, 0);
            }
            Self::Keyed(values) => values.intern(keys, groups)?,
        }
        Ok(())
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One { seen } => usize::from(*seen),
            Self::Keyed(values) => values.len(),
        }
    }

    /// Returns the keys of all groups in the order of their ordinals, and forgets them.
    pub(super) fn drain(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::One { seen } => {
                *seen = false;
                Ok(vec![])
            }
            Self::Keyed(values) if values.is_empty() => Ok(vec![]),
            Self::Keyed(values) => {
                let rows = values.len();
                let keys = values.emit(EmitTo::All)?;
                // Keys of several columns are still in the hash table after they were emitted.
                values.clear_shrink(rows);
                Ok(keys)
            }
        }
    }

    /// Returns about how many bytes the keys take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One { .. } => 0,
            Self::Keyed(values) => values.size(),
        }
    }
}
