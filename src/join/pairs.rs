//! [`Pairs`]: rows of both sides beside each other, told apart by kernels over whole columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::kernels::cmp::{eq, not_distinct};
use arrow::compute::{and, filter, prep_null_mask_filter, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::datum::compare_op_for_nested;

use super::chunks::{Chunks, Places, RowId};
use super::spec::JoinSpec;
use crate::error::{Error, Result};

/// A condition over a few columns of a pair.
pub(super) struct Condition {
    expression: Arc<dyn PhysicalExpr>,
    /// The columns that it reads: ordinals of a pair's.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Condition {
    /// Compiles `expression`, which is over the columns of `pair`.
    pub(super) fn try_new(expression: &Arc<dyn PhysicalExpr>, pair: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expression).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let moved = Arc::clone(expression).transform(|part| {
            let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
            let at = columns.binary_search(&column.index()).unwrap_or_default();
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
        })?;
        let schema = Arc::new(pair.project(&columns)?);
        Ok(Self { expression: moved.data, columns, schema })
    }

    /// Returns the columns that it reads: ordinals of a pair's.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Evaluates it for `count` pairs, of which it gets the columns that it reads; the answer is never NULL.
    pub(super) fn evaluate(&self, columns: Vec<ArrayRef>, count: usize) -> Result<BooleanArray> {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let mask = self.expression.evaluate(&rows)?.into_array(count)?;
        let mask = mask.as_boolean_opt().cloned();
        mask.map(no_nulls).ok_or_else(|| Error::internal("the condition of a join is not a boolean"))
    }
}

/// Rows of a batch, each with a row that the other side keeps.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Rows of the batch.
    pub(super) rows: Vec<u32>,
    /// Rows that are kept.
    pub(super) ids: Vec<RowId>,
}

impl Candidates {
    fn retain(&mut self, mask: &BooleanArray) {
        let mut kept = mask.values().iter();
        self.rows.retain(|_| kept.next().unwrap_or_default());
        let mut kept = mask.values().iter();
        self.ids.retain(|_| kept.next().unwrap_or_default());
    }
}

/// The columns of candidates, gathered as they are needed.
pub(super) struct Pairs<'a> {
    spec: &'a JoinSpec,
    /// The side of the batch.
    port: usize,
    batch: &'a RecordBatch,
    kept: &'a Chunks,
    candidates: Candidates,
    rows: UInt32Array,
    places: Places,
    columns: Vec<Option<ArrayRef>>,
}

impl<'a> Pairs<'a> {
    /// Puts rows of `batch`, which came on the side `port`, beside rows that are `kept` of the other side.
    pub(super) fn new(
        spec: &'a JoinSpec,
        port: usize,
        batch: &'a RecordBatch,
        kept: &'a Chunks,
        candidates: Candidates,
    ) -> Self {
        let rows = UInt32Array::from(candidates.rows.clone());
        let places = kept.places(&candidates.ids);
        let columns = vec![None; spec.pair.fields().len()];
        Self { spec, port, batch, kept, candidates, rows, places, columns }
    }

    /// Keeps the pairs whose keys are equal and for which `condition` is true.
    pub(super) fn test(&mut self, condition: Option<&Condition>) -> Result<()> {
        let width = self.spec.inputs[0].fields().len();
        let mut equal: Option<BooleanArray> = None;
        for (&left, &right) in self.spec.keys[0].iter().zip(&self.spec.keys[1]) {
            let same = equals(&self.column(left)?, &self.column(width + right)?, self.spec.nulls_match)?;
            equal = Some(match equal {
                Some(equal) => and(&equal, &same)?,
                None => same,
            });
        }
        if let Some(equal) = equal {
            self.retain(equal)?;
        }
        if let Some(condition) = condition.filter(|_| !self.is_empty()) {
            let columns = condition.columns.iter().map(|&column| self.column(column));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let mask = condition.evaluate(columns, self.rows.len())?;
            self.retain(mask)?;
        }
        Ok(())
    }

    fn column(&mut self, column: usize) -> Result<ArrayRef> {
        if let Some(values) = &self.columns[column] {
            return Ok(Arc::clone(values));
        }
        let width = self.spec.inputs[0].fields().len();
        let (side, own) = if column < width { (0, column) } else { (1, column - width) };
        let values = match side == self.port {
            true => pick(self.batch.column(own), &self.rows)?,
            false => self.kept.gather(own, &self.places)?,
        };
        self.columns[column] = Some(Arc::clone(&values));
        Ok(values)
    }

    fn retain(&mut self, mask: BooleanArray) -> Result<()> {
        let mask = no_nulls(mask);
        if mask.true_count() == mask.len() {
            return Ok(());
        }
        self.candidates.retain(&mask);
        self.rows = UInt32Array::from(self.candidates.rows.clone());
        self.places = self.kept.places(&self.candidates.ids);
        for values in self.columns.iter_mut().flatten() {
            *values = filter(values, &mask)?;
        }
        Ok(())
    }

    /// Returns the pairs as rows of the result.
    pub(super) fn gather(&mut self) -> Result<RecordBatch> {
        let columns = (0..self.columns.len()).map(|column| self.column(column));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)?)
    }

    /// Returns whether no pair is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns which rows are pairs.
    pub(super) fn into_candidates(self) -> Candidates {
        self.candidates
    }
}

/// Takes NULL for false.
fn no_nulls(mask: BooleanArray) -> BooleanArray {
    if mask.null_count() > 0 { prep_null_mask_filter(&mask) } else { mask }
}

/// Picks rows; those that stand one after the other are not copied.
pub(super) fn pick(values: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef> {
    let picked = rows.values();
    if let (Some(&first), true) = (picked.first(), picked.windows(2).all(|two| two[1] == two[0] + 1)) {
        return Ok(values.slice(first as usize, picked.len()));
    }
    Ok(take(values, rows, None)?)
}

/// Compares two columns value by value.
pub(super) fn equals(left: &ArrayRef, right: &ArrayRef, nulls_match: bool) -> Result<BooleanArray> {
    Ok(match (left.data_type().is_nested(), nulls_match) {
        (true, true) => compare_op_for_nested(Operator::IsNotDistinctFrom, left, right)?,
        (true, false) => compare_op_for_nested(Operator::Eq, left, right)?,
        (false, true) => not_distinct(left, right)?,
        (false, false) => eq(left, right)?,
    })
}
