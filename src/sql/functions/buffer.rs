//! The mark of `OVER (ROWS WINDOW BUFFER n ROWS …)` in a query's tree, which the planner takes out.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, wrong_arguments};
use crate::error::Error;

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
    let error = Error::not_yet("`OVER (ROWS WINDOW BUFFER …)` in batch mode");
    Err(external(error.with_hint("run it as a stream, or write ROWS BETWEEN 99 PRECEDING AND CURRENT ROW")))
}
