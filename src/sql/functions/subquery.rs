//! What subqueries that belong to single rows are computed with; queries cannot name it usefully.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external};
use crate::error::Error;

/// The name of the function that numbers the rows of a batch from 0.
pub const ROW_ORDINAL: &str = "velo_row";

/// Returns the function that numbers the rows of a batch from 0.
pub fn row_ordinal_function() -> Arc<ScalarUDF> {
    Scalar::new(ROW_ORDINAL, as_given, |_| DataType::Int64, ordinals).volatile().strict().into_udf()
}

/// Returns the function that gives its first argument, and fails where the second, a number of rows, is more than one.
pub fn only_row_function() -> Arc<ScalarUDF> {
    let returns = |types: &[DataType]| types.first().cloned().unwrap_or(DataType::Null);
    Scalar::new("velo_only_row", as_given, returns, only_row).into_udf()
}

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![row_ordinal_function(), only_row_function()]
}

fn as_given(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    Ok(arguments.to_vec())
}

fn ordinals(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let rows = i64::try_from(args.number_rows).unwrap_or(i64::MAX);
    let ordinals: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    Ok(ColumnarValue::Array(ordinals))
}

fn only_row(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let [value, count] = args.args.as_slice() else {
        return Err(external(Error::internal("a value and the number of its rows are expected")));
    };
    let counts = count.to_array(args.number_rows)?;
    let Some(counts) = counts.as_primitive_opt::<Int64Type>() else {
        return Err(external(Error::internal("the number of rows of a subquery is no number")));
    };
    let most = counts.iter().flatten().max().unwrap_or(0);
    if most > 1 {
        return Err(external(
            Error::data(format!("a subquery that stands for a value has {most} rows for one row"))
                .with_hint("ask for the whole key, aggregate, or say which row: ORDER BY … LIMIT 1"),
        ));
    }
    Ok(value.clone())
}
