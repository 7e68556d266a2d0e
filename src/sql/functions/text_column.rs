//! [`TextColumn`]: text of any Arrow layout, one value or a column, read without a copy.

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::scalar::{Outcome, external};
use crate::error::Error;

/// Text arguments of a function.
pub(super) enum TextColumn<'a> {
    /// The same text in each row.
    One(Option<&'a str>),
    /// 32-bit offsets.
    Small(&'a StringArray),
    /// 64-bit offsets.
    Large(&'a LargeStringArray),
    /// Views.
    View(&'a StringViewArray),
}

impl<'a> TextColumn<'a> {
    /// Reads an argument; fails where it is not text.
    pub(super) fn try_new(value: &'a ColumnarValue) -> Outcome<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Null) => Ok(Self::One(None)),
            ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
                Some(text) => Ok(Self::One(text)),
                None => Err(not_text(&scalar.data_type())),
            },
            ColumnarValue::Array(array) => Self::from_array(array),
        }
    }

    fn from_array(array: &'a ArrayRef) -> Outcome<Self> {
        match array.data_type() {
            DataType::Utf8 => Ok(Self::Small(array.as_string())),
            DataType::LargeUtf8 => Ok(Self::Large(array.as_string())),
            DataType::Utf8View => Ok(Self::View(array.as_string_view())),
            DataType::Null => Ok(Self::One(None)),
            other => Err(not_text(other)),
        }
    }

    /// Returns the text of a row, or nothing for a null.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::One(text) => *text,
            Self::Small(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    /// Returns the one text that all rows have, where it is known to be one.
    pub(super) fn constant(&self) -> Option<&'a str> {
        match self {
            Self::One(text) => *text,
            _ => None,
        }
    }
}

fn not_text(data_type: &DataType) -> datafusion::common::DataFusionError {
    external(Error::internal(format!("expected text and got {data_type}")))
}

/// Returns whether all arguments are single values, so that the result is one too.
pub(super) fn all_single(args: &[ColumnarValue]) -> bool {
    args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
}

/// Returns a computed column as one value where all arguments were single values.
pub(super) fn shaped(column: ArrayRef, args: &[ColumnarValue]) -> Outcome<ColumnarValue> {
    if all_single(args) && column.len() == 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
    }
    Ok(ColumnarValue::Array(column))
}

/// Returns how many rows to compute: one where all arguments are single values.
pub(super) fn rows_of(args: &[ColumnarValue], rows: usize) -> usize {
    if all_single(args) { 1 } else { rows }
}
