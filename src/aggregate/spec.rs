//! [`AggregateSpec`]: what an aggregation computes, compiled once per job.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::compute::{binary, cast};
use arrow::datatypes::{DataType, DurationMillisecondType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::groups::Groups;
use super::window_key::WindowKey;
use crate::error::Result;

/// What a group column of the result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupColumn {
    /// The key expression with this ordinal.
    Key(usize),
    /// The start of the window.
    WindowStart,
    /// The end of the window.
    WindowEnd,
    /// From the first row of a session to its last.
    SessionDuration,
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
    /// Returns the schema of partial states: where the windows are, the keys, and the functions' states.
    pub fn state_schema(&self) -> Result<SchemaRef> {
        let mut fields = self.window.as_ref().map(WindowKey::fields).unwrap_or_default();
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
        let first = self.first_key();
        (first..first + self.keys.len()).collect()
    }

    /// Returns the ordinal of the first state column in the partial states.
    pub(super) fn first_state(&self) -> usize {
        self.first_key() + self.keys.len()
    }

    /// Returns the ordinal of the first key in the partial states.
    pub(super) fn first_key(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.fields().len())
    }

    /// Returns for each function how many state columns it has.
    pub(super) fn state_widths(&self) -> Result<Vec<usize>> {
        self.functions.iter().map(|function| Ok(function.state_fields()?.len())).collect()
    }

    /// Creates an empty accumulator for each function.
    pub(super) fn accumulators(&self) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        self.functions.iter().map(accumulator).collect()
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
        self.result(&Bounds::Same(0..0), &[], values, 1)
    }

    /// Returns the values of the functions for no group at all.
    pub(super) fn empty_values(&self) -> Vec<ArrayRef> {
        let values = self.output.fields().iter().skip(self.layout.len());
        values.map(|field| arrow::array::new_empty_array(field.data_type())).collect()
    }

    /// Puts a result together.
    pub(super) fn result(
        &self,
        bounds: &Bounds,
        keys: &[ArrayRef],
        values: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.layout.len() + values.len());
        for (column, field) in self.layout.iter().zip(self.output.fields()) {
            columns.push(match column {
                GroupColumn::Key(key) => Arc::clone(&keys[*key]),
                GroupColumn::WindowStart => bounds.start(rows, field.data_type())?,
                GroupColumn::WindowEnd => bounds.end(rows, field.data_type())?,
                GroupColumn::SessionDuration => bounds.duration(rows, field.data_type())?,
            });
        }
        columns.extend(values);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

/// Creates an empty accumulator for a function.
pub(super) fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return Ok(function.create_groups_accumulator()?);
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// The window columns of some groups.
pub(super) enum Bounds {
    /// All groups are of one window; without windows it is any.
    Same(Range<i64>),
    /// Sessions: their first and last rows, and their gap.
    Sessions { first: Int64Array, last: Int64Array, gap_ms: i64 },
}

impl Bounds {
    fn start(&self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Same(window) => instants(Int64Array::from_value(window.start, rows), data_type),
            Self::Sessions { first, .. } => instants(first.clone(), data_type),
        }
    }

    fn end(&self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Same(window) => instants(Int64Array::from_value(window.end, rows), data_type),
            Self::Sessions { last, gap_ms, .. } => {
                instants(last.unary(|last| last.saturating_add(*gap_ms)), data_type)
            }
        }
    }

    fn duration(&self, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
        let millis: Int64Array = match self {
            Self::Same(window) => Int64Array::from_value(window.end.saturating_sub(window.start), rows),
            Self::Sessions { first, last, .. } => binary(last, first, i64::saturating_sub)?,
        };
        Ok(cast(&millis.reinterpret_cast::<DurationMillisecondType>(), data_type)?)
    }
}

fn instants(millis: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    if data_type == &DataType::Int64 {
        return Ok(Arc::new(millis));
    }
    let instants: TimestampMillisecondArray = millis.reinterpret_cast();
    if data_type == &DataType::Timestamp(TimeUnit::Millisecond, None) {
        return Ok(Arc::new(instants));
    }
    Ok(cast(&instants, data_type)?)
}
