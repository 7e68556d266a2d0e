//! [`TYPED`]: a value under a name that says its type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use super::scalar::{Outcome, Scalar, external, is_text};
use crate::error::Error;

/// The function that gives its first argument; the second, the name of a type, only makes a part of its own name.
pub const TYPED: &str = "velo_typed";

/// Returns the functions of this family.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |arguments: &[DataType]| arguments.first().cloned().unwrap_or(DataType::Null);
    let value = |args: &ScalarFunctionArgs| {
        args.args.first().cloned().ok_or_else(|| external(Error::internal("`velo_typed` without a value")))
    };
    vec![Scalar::new(TYPED, as_given, own, value).into_udf()]
}

fn as_given(_name: &str, arguments: &[DataType]) -> Outcome<Vec<DataType>> {
    match arguments {
        [value, name] if is_text(name) => Ok(vec![value.clone(), DataType::Utf8]),
        _ => Err(external(Error::internal("`velo_typed` takes a value and the name of a type"))),
    }
}
