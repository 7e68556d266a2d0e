//! [`SignedTotals`]: counts and sums that are as exact when rows are withdrawn as when they come.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, Int64Array, RecordBatch, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, Decimal256Type, FieldRef, i256};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::spec::accumulator;
use crate::error::{Error, Result};

/// What is added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TotalPlan {
    /// The column that says which rows count.
    pub(super) filter: Option<usize>,
    /// The columns that must not be NULL; the first one is summed.
    pub(super) arguments: Vec<usize>,
    /// The scale of the sum; none where only rows are counted.
    pub(super) scale: Option<i8>,
}

/// For each group how many values there are, and what they come to.
pub(super) struct SignedTotals {
    plan: TotalPlan,
    counts: Vec<i64>,
    sums: Vec<i256>,
}

impl SignedTotals {
    /// Creates totals without groups.
    pub(super) fn new(plan: TotalPlan) -> Self {
        Self { plan, counts: vec![], sums: vec![] }
    }

    /// Adds rows with weight +1, and takes off those with −1.
    pub(super) fn apply(
        &mut self,
        rows: &RecordBatch,
        weights: &[i8],
        groups: &[u32],
        total: usize,
    ) -> Result<()> {
        self.counts.resize(total.max(self.counts.len()), 0);
        let counted = self.counted(rows)?;
        let is_counted = |row: usize| counted.as_ref().is_none_or(|counted| counted.is_valid(row));
        let each = || weights.iter().zip(groups).enumerate().filter(|(row, _)| is_counted(*row));
        for (_, (&weight, &group)) in each() {
            self.counts[group as usize] += i64::from(weight);
        }
        let Some(scale) = self.plan.scale else { return Ok(()) };
        self.sums.resize(total.max(self.sums.len()), i256::ZERO);
        let wide = DataType::Decimal256(DECIMAL256_MAX_PRECISION, scale);
        let values = cast(rows.column(self.plan.arguments[0]), &wide)?;
        let values = values.as_primitive::<Decimal256Type>().values();
        for (row, (&weight, &group)) in each() {
            let sum = &mut self.sums[group as usize];
            *sum = if weight > 0 { sum.wrapping_add(values[row]) } else { sum.wrapping_sub(values[row]) };
        }
        Ok(())
    }

    /// Returns which rows count; none means all.
    fn counted(&self, rows: &RecordBatch) -> Result<Option<NullBuffer>> {
        let mut counted = self.plan.filter.map(|filter| passing(rows.column(filter))).transpose()?;
        for &argument in &self.plan.arguments {
            counted = NullBuffer::union(counted.as_ref(), rows.column(argument).logical_nulls().as_ref());
        }
        Ok(counted)
    }

    /// Returns what the function is for `groups`.
    ///
    /// # Errors
    /// Data: a sum does not fit its type.
    pub(super) fn evaluate(&self, function: &Arc<AggregateFunctionExpr>, groups: &[u32]) -> Result<ArrayRef> {
        let states = function.state_fields()?;
        let states = states.iter().map(|state| self.state(function, state, groups));
        let states = states.collect::<Result<Vec<_>>>()?;
        let mut accumulator = accumulator(function)?;
        let each: Vec<usize> = (0..groups.len()).collect();
        accumulator.merge_batch(&states, &each, groups.len())?;
        Ok(accumulator.evaluate(EmitTo::All)?)
    }

    /// Returns a column of the function's partial states.
    fn state(&self, function: &AggregateFunctionExpr, field: &FieldRef, groups: &[u32]) -> Result<ArrayRef> {
        let counts = groups.iter().map(|&group| self.counts[group as usize]);
        // The sum of nothing is NULL.
        let sum = |group: &u32| (self.counts[*group as usize] != 0).then(|| self.sums[*group as usize]);
        let does_not_fit = || Error::data(format!("`{}` comes to more than 38 digits", function.name()));
        Ok(match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from_iter_values(counts)),
            DataType::UInt64 => {
                // The mean of nothing is NULL.
                let counts = counts.map(|count| u64::try_from(count).ok().filter(|&count| count > 0));
                Arc::new(counts.collect::<UInt64Array>())
            }
            DataType::Decimal128(..) => {
                let narrow = |sum: i256| sum.to_i128().ok_or_else(does_not_fit);
                let sums = groups.iter().map(|group| sum(group).map(narrow).transpose());
                let sums: Decimal128Array = sums.collect::<Result<Vec<_>>>()?.into();
                Arc::new(sums.with_data_type(field.data_type().clone()))
            }
            _ => {
                let sums: Decimal256Array = groups.iter().map(sum).collect();
                Arc::new(sums.with_data_type(field.data_type().clone()))
            }
        })
    }

    /// Forgets a group that has no rows; returns whether nothing was left in it.
    pub(super) fn forget(&mut self, group: u32) -> bool {
        let count = self.counts.get_mut(group as usize).map_or(0, std::mem::take);
        let sum = self.sums.get_mut(group as usize).map_or(i256::ZERO, std::mem::take);
        count == 0 && sum == i256::ZERO
    }

    /// Returns about how many bytes the totals take.
    pub(super) fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>() + self.sums.capacity() * size_of::<i256>()
    }
}

/// Returns the rows for which a condition is true, as a mask.
pub(super) fn passing(condition: &ArrayRef) -> Result<NullBuffer> {
    let Some(condition) = condition.as_boolean_opt() else {
        return Err(Error::internal("the FILTER of an aggregate is not a boolean"));
    };
    let known = condition.nulls().map(NullBuffer::inner);
    Ok(NullBuffer::new(known.map_or_else(|| condition.values().clone(), |known| condition.values() & known)))
}
