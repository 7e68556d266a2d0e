//! The marks of joins in time, which the planner takes out of their conditions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external};
use crate::error::Error;

/// Marks how far apart in event time the rows of a pair may be: `'-60000..60000'`, in milliseconds.
pub const JOIN_WITHIN: &str = "__join_within";
/// Marks the time of a row at which the other side's version holds.
pub const JOIN_AS_OF: &str = "__join_as_of";
/// Marks the comparison of times by which a row finds its version.
pub const JOIN_MATCH: &str = "__join_match";

/// Returns the function that carries the time columns of both sides through the optimizer: time and watermark of the
/// left row, time and watermark of the right row, and the bounds of `WITHIN`, if any.
pub fn meets_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_meets", as_given, |_| DataType::Boolean, placeholder).into_udf()
}

/// Returns the function that is true where its first argument is, and fails where it is NULL: the others are the name of
/// a table and what was looked for in it.
pub fn found_function() -> Arc<ScalarUDF> {
    Scalar::new("velo_found", as_given, |_| DataType::Boolean, all_found).volatile().into_udf()
}

fn all_found(args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(&args.args)?;
    if let [found, table, keys @ ..] = columns.as_slice()
        && let Some(row) = (0..found.len()).find(|&row| found.is_null(row))
    {
        let options = FormatOptions::default().with_null("NULL");
        let shown = |column: &ArrayRef| Ok(ArrayFormatter::try_new(column, &options)?.value(row).to_string());
        let keys = keys.iter().map(shown).collect::<Outcome<Vec<String>>>()?.join(", ");
        return Err(external(Error::data(format!("table `{}` has no row for {keys}", shown(table)?))));
    }
    Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
}

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    // Volatile, so that nothing takes them for constants.
    let mark = |name| Scalar::new(name, as_given, |_| DataType::Boolean, placeholder).volatile().into_udf();
    vec![mark(JOIN_WITHIN), mark(JOIN_AS_OF), mark(JOIN_MATCH), meets_function()]
}

fn as_given(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    Ok(arguments.to_vec())
}

fn placeholder(_args: &ScalarFunctionArgs) -> Outcome<ColumnarValue> {
    Err(external(Error::internal("the mark of a join in time was left in the plan")))
}
