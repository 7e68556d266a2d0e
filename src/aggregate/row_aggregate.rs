//! [`RowAggregate`]: each row with aggregates of what steps find for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int8Type, Int64Type};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::{AggregateMode, aggregate_expressions};

use super::spec::{AggregateSpec, Bounds};
use crate::error::{Error, Result};
use crate::flow::{ChangeBatch, Fragment, Step, Tally};

/// About how many pairs are in memory at a time.
const MOST_PAIRS: usize = 262_144;
/// How much larger the next slice of a batch may be than the last one.
const GROWTH: usize = 8;

/// Lets steps find any number of rows, but at least one, for each row of a batch, and aggregates them for each.
///
/// Each row comes out once, in its place. A batch goes through the steps in slices, so that the rows that are found stay few
/// at a time.
pub struct RowAggregate {
    /// The first of them numbers the rows of what it gets.
    steps: Fragment,
    spec: Arc<AggregateSpec>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    /// Which of the keys is the number of the row.
    ordinal: usize,
    /// How many rows go through the steps together.
    slice: usize,
}

impl RowAggregate {
    /// Creates the step; the key of `spec` with the ordinal `ordinal` is the number of the row that was looked for.
    pub fn try_new(steps: Fragment, spec: Arc<AggregateSpec>, ordinal: usize) -> Result<Self> {
        let arguments = aggregate_expressions(&spec.functions, &AggregateMode::Single, 0)?;
        Ok(Self { steps, spec, arguments, ordinal, slice: 1 })
    }

    /// Aggregates `pairs` for each of `rows` rows.
    fn aggregate(&self, pairs: &ChangeBatch, rows: usize) -> Result<(RecordBatch, Option<Int8Array>)> {
        let found = pairs.rows();
        let array = |expression: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            Ok(expression.evaluate(found)?.into_array(found.num_rows())?)
        };
        let Some((ordinal, _)) = self.spec.keys.get(self.ordinal) else {
            return Err(Error::internal("rows without a number are to be aggregated"));
        };
        let ordinals = array(ordinal)?;
        let Some(ordinals) = ordinals.as_primitive_opt::<Int64Type>() else {
            return Err(Error::internal("the number of a row is no number"));
        };
        let groups = ordinals.values().iter().map(|ordinal| usize::try_from(*ordinal).unwrap_or(usize::MAX));
        let groups: Vec<usize> = groups.collect();
        let first = first_of_each(&groups, rows)?;
        let mut values = vec![];
        let functions = self.spec.accumulators()?.into_iter().zip(&self.arguments).zip(&self.spec.filters);
        for ((mut accumulator, arguments), filter) in functions {
            let arguments = arguments.iter().map(array).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(array).transpose()?;
            let filter: Option<&BooleanArray> = filter.as_ref().and_then(|filter| filter.as_boolean_opt());
            accumulator.update_batch(&arguments, &groups, filter, rows)?;
            values.push(accumulator.evaluate(EmitTo::All)?);
        }
        let of_rows = take_record_batch(found, &first)?;
        let key = |key: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            Ok(key.evaluate(&of_rows)?.into_array(rows)?)
        };
        let keys =
            self.spec.keys.iter().map(|(expression, _)| key(expression)).collect::<Result<Vec<_>>>()?;
        let result = self.spec.result(&Bounds::Same(0..0), &keys, values, rows)?;
        let weights = pairs.weights().map(|weights| take(weights, &first, None)).transpose()?;
        Ok((result, weights.map(|weights| weights.as_primitive::<Int8Type>().clone())))
    }
}

/// Returns for each of `rows` groups the first row that is in it.
fn first_of_each(groups: &[usize], rows: usize) -> Result<UInt32Array> {
    let mut first = vec![None; rows];
    for (row, group) in (0_u32..).zip(groups) {
        match first.get_mut(*group) {
            Some(first) => _ = first.get_or_insert(row),
            None => return Err(Error::internal("a row was found for a row that is not there")),
        }
    }
    let first: Option<Vec<u32>> = first.into_iter().collect();
    first.map(UInt32Array::from).ok_or_else(|| Error::internal("a row was lost while rows were found for it"))
}

impl Step for RowAggregate {
    fn describe(&self) -> String {
        let functions = self
            .spec
            .functions
            .iter()
            .map(|function| function.human_display().unwrap_or_else(|| function.name()));
        let functions = functions.collect::<Vec<_>>().join(", ");
        format!("for each row {functions} of: {}", self.steps.describe().join("; "))
    }

    fn run(&mut self, batch: ChangeBatch, _tally: &mut Tally) -> Result<ChangeBatch> {
        let rows = batch.num_rows();
        let (mut results, mut weights, mut start) = (vec![], vec![], 0);
        while start < rows {
            let count = self.slice.min(rows - start);
            // What is found for a row is no row of its own: nothing of it is counted.
            let pairs = self.steps.run(batch.slice(start, count), &mut Tally::default())?;
            let (result, weight) = self.aggregate(&pairs, count)?;
            results.push(result);
            weights.extend(weight);
            start += count;
            let fitting = MOST_PAIRS.saturating_mul(count) / pairs.num_rows().max(1);
            self.slice = fitting.clamp(1, count.max(self.slice).saturating_mul(GROWTH));
        }
        let result = concat_batches(&self.spec.output, &results)?;
        let weights: Vec<&dyn Array> = weights.iter().map(|weights| weights as &dyn Array).collect();
        let weights = (!weights.is_empty()).then(|| arrow::compute::concat(&weights)).transpose()?;
        ChangeBatch::try_new(result, weights.map(|weights| weights.as_primitive::<Int8Type>().clone()))
    }
}
