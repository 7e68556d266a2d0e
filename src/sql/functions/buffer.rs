//! `OVER (ROWS WINDOW BUFFER n ROWS …)`: its mark in a query's tree, which the planner takes out, and what computes it in a
//! batch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    ColumnarValue, LimitEffect, PartitionEvaluator, ScalarFunctionArgs, ScalarUDF, Signature, Volatility,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::scalar::{Outcome, Scalar, external, wrong_arguments};
use crate::error::Error;
use crate::over::LastRows;

/// Marks, in `PARTITION BY`, over how many of its last rows a key's functions are computed.
pub const ROWS_BUFFER: &str = "__rows_buffer";

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    // Volatile, so that nothing takes it for a constant.
    vec![Scalar::new(ROWS_BUFFER, coerce, |_| DataType::Int64, placeholder).volatile().into_udf()]
}

fn coerce(name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [count] if count.is_integer() => Ok(vec![DataType::Int64]),
        _ => Err(wrong_arguments(name, arguments, &format!("{name}(100)"))),
    }
}

fn placeholder(_args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    Err(external(Error::internal("the mark of `ROWS WINDOW BUFFER` was left in the plan")))
}

/// A function over the last rows before each row, as one of a whole partition that is in the order of time.
///
/// Its arguments are the columns that the function reads.
#[derive(Clone)]
pub struct LastRowsFunction {
    signature: Signature,
    rows: Arc<LastRows>,
    input: SchemaRef,
    output: FieldRef,
}

impl LastRowsFunction {
    /// Creates the one function of `rows`, over columns of the schema `input`; its values are of the type of `output`.
    pub fn new(rows: LastRows, input: SchemaRef, output: FieldRef) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { signature, rows: Arc::new(rows), input, output }
    }
}

impl fmt::Debug for LastRowsFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastRowsFunction").field("output", &self.output).finish_non_exhaustive()
    }
}

impl PartialEq for LastRowsFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rows, &other.rows)
    }
}

impl Eq for LastRowsFunction {}

impl Hash for LastRowsFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.output.hash(state);
    }
}

impl WindowUDFImpl for LastRowsFunction {
    fn name(&self) -> &'static str {
        "velo_last_rows"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _args: PartitionEvaluatorArgs<'_>) -> Outcome<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(OfPartition(self.clone())))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Outcome<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), self.output.data_type().clone(), self.output.is_nullable())))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct OfPartition(LastRowsFunction);

impl PartitionEvaluator for OfPartition {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Outcome<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = values.to_vec();
        let seen = RecordBatch::try_new_with_options(Arc::clone(&self.0.input), columns, &options)?;
        let mut results = self.0.rows.evaluate(&seen, 0).map_err(external)?;
        ScalarValue::iter_to_array(results.pop().unwrap_or_default())
    }

    fn evaluate(&mut self, _values: &[ArrayRef], _range: &std::ops::Range<usize>) -> Outcome<ScalarValue> {
        Err(external(Error::internal("last rows are found over whole partitions")))
    }
}
