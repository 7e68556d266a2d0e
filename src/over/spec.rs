//! [`OverSpec`]: what `OVER` computes, compiled once per job.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::window::StandardWindowFunctionExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use crate::error::Result;

/// How a function is evaluated row by row.
#[derive(Debug, Clone)]
pub enum Evaluation {
    /// An aggregate whose frame starts with the key's first row: rows only ever come in.
    Growing(Arc<AggregateFunctionExpr>),
    /// An aggregate whose rows leave the frame again, and whose accumulator can take them back.
    Sliding(Arc<AggregateFunctionExpr>),
    /// An aggregate over a frame that moves, whose accumulator cannot take rows back.
    Recomputed(Arc<AggregateFunctionExpr>),
    /// A ranking or offset function.
    Standard(Arc<dyn StandardWindowFunctionExpr>),
    /// `LAST_VALUE` and `NTH_VALUE` with `IGNORE NULLS`, over a frame that starts with the key's first row: the value
    /// with that number of those that are not null, from the frame's end where it is negative.
    NthKnown {
        /// The number, from 1 or -1.
        nth: i64,
        /// What there is where there are fewer values.
        nothing: ScalarValue,
    },
    /// `LEAD` with `IGNORE NULLS`: the value with that number of those after the row that are not null.
    NextKnown {
        /// The number, from 1.
        nth: usize,
        /// What there is where there are fewer values.
        nothing: ScalarValue,
    },
}

/// How far beyond a row its function looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ahead {
    /// Rows of the key after it.
    pub rows: usize,
    /// Event time after it, in milliseconds.
    pub millis: i64,
}

impl Ahead {
    /// Returns what covers both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { rows: self.rows.max(other.rows), millis: self.millis.max(other.millis) }
    }

    /// Returns whether rows wait for others.
    pub fn waits(self) -> bool {
        self != Self::default()
    }
}

/// One function of an `OVER`.
#[derive(Debug, Clone)]
pub struct OverFunction {
    /// What is computed.
    pub evaluation: Evaluation,
    /// The arguments: ordinals of [`OverSpec::values`].
    pub arguments: Vec<usize>,
    /// `FILTER (WHERE …)`: an ordinal of [`OverSpec::values`].
    pub filter: Option<usize>,
    /// The rows that it is computed over.
    pub frame: Arc<WindowFrame>,
    /// How far it looks ahead.
    pub ahead: Ahead,
}

/// What an `OVER` computes; all its functions share key and order.
#[derive(Debug, Clone)]
pub struct OverSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The rows that go out: those that came in, and a column for each function.
    pub output: SchemaRef,
    /// The ordinals of the key's columns.
    pub keys: Vec<usize>,
    /// The ordinal of the event time, in milliseconds.
    pub time: usize,
    /// The order as the query says it.
    pub order: Vec<PhysicalSortExpr>,
    /// What settles the order where the query leaves rows equal: ordinals of columns.
    pub ties: Vec<usize>,
    /// What the functions are computed from, evaluated once for each row.
    pub values: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns of `order` among `values`.
    pub order_values: Vec<usize>,
    /// The event time among `values`, where rows wait for it.
    pub time_value: Option<usize>,
    /// The functions.
    pub functions: Vec<OverFunction>,
    /// How far the functions look ahead, in all.
    pub ahead: Ahead,
    /// What `EXPLAIN` shows of the functions and their frames.
    pub description: String,
}

impl OverSpec {
    /// Says what is kept for each key.
    pub fn kept(&self) -> String {
        let mut parts: Vec<String> = vec![];
        for function in &self.functions {
            let bound = &function.frame.start_bound;
            let part = match (&function.evaluation, bound) {
                (Evaluation::Growing(_) | Evaluation::NthKnown { .. } | Evaluation::NextKnown { .. }, _) => {
                    "what the functions have come to".to_owned()
                }
                (Evaluation::Standard(_), WindowFrameBound::Preceding(distance)) if distance.is_null() => {
                    "what the functions have come to".to_owned()
                }
                (_, WindowFrameBound::Preceding(distance)) => match function.frame.units {
                    WindowFrameUnits::Range => format!("the rows of the last {}", distance_text(distance)),
                    _ => format!("the last {distance} rows"),
                },
                _ => "the rows of the frame".to_owned(),
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.join(", ")
    }

    /// Returns how many columns of the rows go out; keys that were computed come after them.
    pub(super) fn carried(&self) -> usize {
        self.output.fields().len() - self.functions.len()
    }

    /// Returns how each column of the order is sorted.
    pub(super) fn sort_options(&self) -> Vec<SortOptions> {
        self.order.iter().map(|key| key.options).collect()
    }

    /// Returns the schema of the values.
    pub(super) fn value_schema(&self) -> Result<SchemaRef> {
        let fields = self.values.iter().enumerate().map(|(ordinal, value)| {
            Ok(Field::new(format!("value_{ordinal}"), value.data_type(&self.input)?, true))
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
    }

    /// Evaluates the values of `rows`.
    pub(super) fn evaluate(&self, schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns =
            self.values.iter().map(|value| Ok(value.evaluate(rows)?.into_array(rows.num_rows())?));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// Writes the distance of a frame's bound: a number, or a time in milliseconds.
pub fn distance_text(distance: &ScalarValue) -> String {
    match distance {
        ScalarValue::IntervalMonthDayNano(Some(span)) if span.months == 0 => {
            let millis = i64::from(span.days) * 86_400_000 + span.nanoseconds / 1_000_000;
            format!("{millis} ms")
        }
        other => other.to_string(),
    }
}
