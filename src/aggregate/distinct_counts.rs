//! [`DistinctCounts`]: `COUNT(DISTINCT …)` of a running aggregate, for which a group's values are not written anew with
//! each change.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::groups::KeyedRows;
use super::spec::AggregateSpec;
use crate::error::Result;

/// The values that each group has had, of the functions that count them.
///
/// A partial state of such a function is a list of values. What is kept of it in the groups' rows is a count: the list is
/// replaced by the number of its values that are new to the group.
pub(super) struct DistinctCounts {
    columns: Vec<SeenValues>,
}

/// The pairs of a group and a value that have come.
struct SeenValues {
    /// The state column among the functions' states.
    column: usize,
    pairs: Box<dyn GroupValues>,
}

impl DistinctCounts {
    /// Takes over the functions of `spec` that count distinct values; returns what is aggregated in their place.
    pub(super) fn take_over(spec: &AggregateSpec) -> Result<(Self, AggregateSpec)> {
        let mut columns = vec![];
        let mut inner = spec.clone();
        let mut column = 0;
        for function in &mut inner.functions {
            let states = function.state_fields()?;
            if let (true, [state]) = (counts_distinct(function), states.as_slice())
                && let DataType::List(values) = state.data_type()
            {
                let group = Field::new("group", DataType::UInt32, false);
                let value = Field::new("value", values.data_type().clone(), true);
                let schema = Arc::new(Schema::new(vec![group, value]));
                let pairs = new_group_values(schema, &GroupOrdering::None)?;
                columns.push(SeenValues { column, pairs });
                *function = Arc::new(count()?);
            }
            column += states.len();
        }
        Ok((Self { columns }, inner))
    }

    /// Replaces the lists of partial states by the number of values that are new; `groups` are those of their rows.
    pub(super) fn count(&mut self, spec: &AggregateSpec, rows: &mut KeyedRows, groups: &[u32]) -> Result<()> {
        for seen in &mut self.columns {
            let column = &mut rows.columns[spec.keys.len() + seen.column];
            *column = seen.count(column, groups)?;
        }
        Ok(())
    }

    /// Returns about how many bytes the values take.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(|seen| seen.pairs.size()).sum()
    }
}

impl SeenValues {
    fn count(&mut self, lists: &ArrayRef, groups: &[u32]) -> Result<ArrayRef> {
        let lists = lists.as_list::<i32>();
        let length_of = |row: usize| usize::try_from(lists.value_length(row)).unwrap_or(0);
        let mut of_values = Vec::with_capacity(lists.values().len());
        for (row, &group) in groups.iter().enumerate() {
            of_values.extend(std::iter::repeat_n(group, length_of(row)));
        }
        let mut fresh = vec![0_i64; groups.len()];
        let first = lists.value_offsets().first().and_then(|first| usize::try_from(*first).ok()).unwrap_or(0);
        let values = lists.values().slice(first, of_values.len());
        let mut known = self.pairs.len();
        let mut pairs = vec![];
        let counts = values.nulls().cloned();
        self.pairs.intern(&[Arc::new(UInt32Array::from(of_values)), values], &mut pairs)?;
        let mut pairs = pairs.into_iter().enumerate();
        for (row, fresh) in fresh.iter_mut().enumerate() {
            for (value, pair) in pairs.by_ref().take(length_of(row)) {
                // Pairs get their numbers in the order in which they come first. Some states list NULL, which counts
                // nowhere.
                if pair == known {
                    known += 1;
                    *fresh += i64::from(counts.as_ref().is_none_or(|counts| counts.is_valid(value)));
                }
            }
        }
        Ok(Arc::new(Int64Array::from(fresh)))
    }
}

fn counts_distinct(function: &AggregateFunctionExpr) -> bool {
    function.is_distinct() && function.fun().name() == "count" && function.expressions().len() == 1
}

/// Returns a count whose partial states are numbers.
fn count() -> Result<AggregateFunctionExpr> {
    let one = vec![lit(1_i64)];
    Ok(AggregateExprBuilder::new(count_udaf(), one)
        .schema(Arc::new(Schema::empty()))
        .alias("count")
        .build()?)
}
